"""What a guard may do, as its table writes it: `notify`, `throttle:0.5`, `trim:0.3`, `pause`, `halt`, `flatten`."""

from decimal import Decimal, InvalidOperation
from functools import cache

import msgspec

from hedgegridd.model import ZERO

ONE = Decimal(1)
# Weakest first: of several the strongest wins. `restop` (place the leg stop anew) is no action of a table.
STRENGTH = {"notify": 1, "throttle": 2, "trim": 3, "restop": 4, "pause": 5, "halt": 6, "flatten": 7}
TRIPS = frozenset({"halt", "flatten"})
_WITH_SHARE = frozenset({"throttle", "trim"})
EXPECTED = '"notify", "throttle:x", "trim:x" (x between 0 and 1), "pause", "halt", "flatten"'


class Action(msgspec.Struct, frozen=True):
    """An action with its number: the factor of a throttle, the share of a trim."""

    kind: str
    share: Decimal = ONE

    @property
    def strength(self) -> tuple[int, Decimal]:
        """Orders actions from weak to strong: a lower factor and a larger share are stronger."""
        return STRENGTH[self.kind], -self.share if self.kind == "throttle" else self.share

    @property
    def trips(self) -> bool:
        """It latches, and only rearm leaves it."""
        return self.kind in TRIPS

    @property
    def stops_entries(self) -> bool:
        """No entry of its scope rests while it is in force."""
        return self.kind in {"pause", "halt", "flatten"} or (self.kind == "throttle" and self.share == ZERO)

    def __str__(self) -> str:
        return f"{self.kind}:{self.share:f}" if self.kind in _WITH_SHARE else self.kind


@cache
def parse(text: str) -> Action:
    """The action of a table.

    Raises:
        ValueError: it is none; the text says what is expected.
    """
    kind, colon, number = text.partition(":")
    if kind in _WITH_SHARE and colon:
        try:
            share = Decimal(number)
        except InvalidOperation:
            raise ValueError(EXPECTED) from None
        if share.is_finite() and (ZERO <= share < ONE if kind == "throttle" else ZERO < share <= ONE):
            return Action(kind, share)
    elif kind in STRENGTH and kind not in _WITH_SHARE and kind != "restop" and not colon:
        return Action(kind)
    raise ValueError(EXPECTED)

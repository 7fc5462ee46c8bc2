"""`throttle`: how much of their quantity new entries get."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import number
from hedgegridd.messages import SetThrottle

DECIMALS_MAX = 6


class Throttle(Operation, frozen=True, kw_only=True):
    """Multiply the quantity of new entries by a number from 0 to 1; at 0 none rest. Exits are never touched.

    Example: hedgegridctl throttle 0.5
    """

    verb: ClassVar[str] = "throttle"
    paths: ClassVar[tuple[str, ...]] = ("/throttle", "/set-throttle")
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("throttle", "instrument")

    throttle: Annotated[
        Decimal,
        Meta(
            description="0 to 1, at most six decimals",
            extra_json_schema={
                "minimum": 0,
                "maximum": 1,
                "multipleOf": 0.000001,
                "pattern": r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$",
            },
        ),
    ]
    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    def __post_init__(self) -> None:
        """Bounds that a decimal's own type does not have.

        Raises:
            ValueError: not a number from 0 to 1, or more than six decimals.
        """
        if not self.throttle.is_finite() or not 0 <= self.throttle <= 1:
            raise ValueError("`throttle` must be a number from 0 to 1")
        exponent = self.throttle.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -DECIMALS_MAX:
            raise ValueError(f"`throttle` takes at most {DECIMALS_MAX} decimals")

    async def run(self, context: Context) -> Outcome:
        """Set it; `old` and `new` are numbers (`old` null when the instruments differed), `instruments` has each one's."""
        instrument = context.instrument(self.instrument)
        # A zero with an exponent (0e5) would travel as such through the journal; one zero is enough.
        value = self.throttle or Decimal(0)
        outcome = await context.carried_out(SetThrottle(throttle=value, instrument=instrument), CONFIRM_S)
        if outcome.status == 200:
            new = number(value)
            before = outcome.body.get("instruments")
            old = {name: _number(text) for name, text in before.items()} if isinstance(before, dict) else {}
            outcome.body["old"] = _number(outcome.body.get("old"))
            outcome.body["new"] = new
            outcome.body["instruments"] = {name: {"old": was, "new": new} for name, was in old.items()}
        return outcome


def _number(text: object) -> float | None:
    """The desk's text as a number; None for what is none, as `mixed`."""
    try:
        return number(Decimal(str(text)))
    except InvalidOperation:
        return None

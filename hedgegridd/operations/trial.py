"""`test-order`: one small order through the whole path."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import TryOrder
from hedgegridd.model import Leg

LEAST_USDT, MOST_USDT = Decimal(1), Decimal(1_000_000)  # the pre-trade gate's limits are far below
POSITIVE = r"^[1-9][0-9]{0,5}(\.[0-9]{1,8})?$"


class TestOrder(Operation, frozen=True, kw_only=True):
    """Send one small post-only entry through the whole path (gate, journal, venue) and take it away again.

    It stands where the leg's outermost rung does. Answers with its fate and the milliseconds of each stage once it is
    gone; what of it fills is closed at market. With `keep` it rests until a pause, and what fills is kept.

    Example: hedgegridctl test-order long 60
    """

    verb: ClassVar[str] = "test-order"
    paths: ClassVar[tuple[str, ...]] = ("/orders/test",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("leg", "notional_usdt", "instrument")

    leg: Annotated[Literal["long", "short"], Meta(description="the leg to enter")]
    notional_usdt: Annotated[
        Decimal,
        Meta(
            description="about what it is worth; rounded down to the lot step",
            extra_json_schema={"pattern": POSITIVE, "minimum": int(LEAST_USDT), "maximum": int(MOST_USDT)},
        ),
    ]
    instrument: Annotated[str | None, Meta(description="may be left out where only one is traded")] = None
    keep: Annotated[bool, Meta(description="true: let it rest")] = False
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    def __post_init__(self) -> None:
        """A sum of money in bounds.

        Raises:
            ValueError: it is none.
        """
        if not self.notional_usdt.is_finite() or not LEAST_USDT <= self.notional_usdt <= MOST_USDT:
            raise ValueError(f"`notional_usdt` must be from {LEAST_USDT} to {MOST_USDT}")

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; 200 once it is gone, 202 when that is not confirmed in time.

        Raises:
            Problem: 422, several instruments are traded and none is named; 409, no order could rest.
        """
        known = context.services.instruments
        name = context.instrument(self.instrument)
        if name is None and len(known) == 1:
            name = known[0]
        if name is None:
            raise Problem(
                422, "wrong value", "test-order: name the `instrument`", field="instrument", accepted=known
            )
        command = TryOrder(
            instrument=name,
            leg=Leg(self.leg.upper()),
            notional_usdt=self.notional_usdt,
            keep=self.keep,
            reason=self.reason,
        )
        return await context.carried_out(command, CONFIRM_S)

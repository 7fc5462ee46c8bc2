"""`throttle`: how much of their quantity new entries get."""

from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import number
from hedgegridd.messages import GetStatus, SetThrottle, StatusAnswer

DECIMALS_MAX = 6


class Throttle(Operation, frozen=True, kw_only=True):
    """Multiply the quantity of new entries by a number from 0 to 1; at 0 none rest. Exits are never touched.

    Example: hedgegridctl throttle 0.5
    """

    verb: ClassVar[str] = "throttle"
    paths: ClassVar[tuple[str, ...]] = ("/throttle", "/set-throttle")
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("throttle", "instrument")

    throttle: Annotated[Decimal, Meta(description="0 to 1, at most six decimals")]
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
        """Set it; `changed` has old and new per instrument, read from the desk before and after."""
        instrument = context.instrument(self.instrument)
        before = await _throttles(context)
        # A zero with an exponent (0e5) would travel as such through the journal; one zero is enough.
        value = self.throttle or Decimal(0)
        outcome = await context.carried_out(SetThrottle(throttle=value, instrument=instrument), 10.0)
        after = await _throttles(context)  # a desk that hangs now must not turn a done thing into an error
        outcome.body["changed"] = {
            name: {"old": before.get(name), "new": after[name]}
            for name in after
            if instrument in (None, name)
        }
        return outcome


async def _throttles(context: Context) -> dict[str, float | None]:
    answer = await context.try_ask(GetStatus(), StatusAnswer)
    if answer is None:
        return {}
    return {item.instrument: number(item.throttle) for item in answer.view.instruments}

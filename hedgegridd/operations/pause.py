"""`pause`: no new entries; exits and stops stay."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import GetOrders, OrdersAnswer, PauseEntries
from hedgegridd.model import OrderStatus, Purpose


class Pause(Operation, frozen=True, kw_only=True):
    """Take all entries away and place none until you resume; exits and stops stay.

    Answers when the venue has confirmed that no entry rests (`entries_resting` 0).

    Example: hedgegridctl pause --reason "news at 14:30"
    """

    verb: ClassVar[str] = "pause"
    paths: ClassVar[tuple[str, ...]] = ("/pause",)
    role: ClassVar[Role] = Role.OPERATOR
    safety: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; 200 once no entry rests, 202 when that is not confirmed in time."""
        instrument = context.instrument(self.instrument)
        outcome = await context.carried_out(
            PauseEntries(instrument=instrument, reason=self.reason), CONFIRM_S
        )
        if "entries_resting" in outcome.body:
            return outcome
        orders = await context.try_ask(GetOrders(), OrdersAnswer)
        outcome.body["entries_resting"] = (
            None
            if orders is None
            else sum(
                1
                for item in orders.orders
                if item.purpose is Purpose.ENTRY
                and item.status is not OrderStatus.CLOSED
                and instrument in (None, item.instrument)
            )
        )
        return outcome

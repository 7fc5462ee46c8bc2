"""`start`: trading of an instrument begins."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import StartTrading


class Start(Operation, frozen=True, kw_only=True):
    """Trade an instrument; answers once its entries rest, or says why none can.

    Example: hedgegridctl start BTCUSDT
    """

    verb: ClassVar[str] = "start"
    paths: ClassVar[tuple[str, ...]] = ("/start",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; 200 once it is so, 202 when that is not confirmed in time."""
        return await context.carried_out(
            StartTrading(instrument=context.instrument(self.instrument)), CONFIRM_S
        )

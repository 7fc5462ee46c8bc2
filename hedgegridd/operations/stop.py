"""`stop`: trading of an instrument ends."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import StopTrading


class Stop(Operation, frozen=True, kw_only=True):
    """Stop trading an instrument: entries go, exits and stops stay; answers when they are gone.

    Example: hedgegridctl stop BTCUSDT
    """

    verb: ClassVar[str] = "stop"
    paths: ClassVar[tuple[str, ...]] = ("/stop",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; 200 once it is so, 202 when that is not confirmed in time."""
        return await context.carried_out(
            StopTrading(instrument=context.instrument(self.instrument)), CONFIRM_S
        )

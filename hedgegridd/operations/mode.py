"""`mode`: what the strategy may do with a leg."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import SetMode
from hedgegridd.model import Leg, LegMode


class Mode(Operation, frozen=True, kw_only=True):
    """Set a leg's mode: normal, tp_only (exits only), graceful_stop (no re-entry once flat), manual or panic (flatten).

    Example: hedgegridctl mode short tp_only
    """

    verb: ClassVar[str] = "mode"
    paths: ClassVar[tuple[str, ...]] = ("/mode",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("leg", "mode", "instrument")

    leg: Annotated[Literal["long", "short", "both"], Meta(description="the leg")]
    mode: Annotated[LegMode, Meta(description="what the strategy may do with it")]
    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None

    async def run(self, context: Context) -> Outcome:
        """Tell the desk."""
        leg = None if self.leg == "both" else Leg(self.leg.upper())
        command = SetMode(leg=leg, mode=self.mode, instrument=context.instrument(self.instrument))
        return await context.carried_out(command, CONFIRM_S)

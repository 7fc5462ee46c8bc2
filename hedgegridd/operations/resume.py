"""`resume`: entries are allowed again."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import CONFIRM_S
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import ResumeEntries


class Resume(Operation, frozen=True, kw_only=True):
    """End a pause, and the latch that a flatten has left on its legs.

    Example: hedgegridctl resume
    """

    verb: ClassVar[str] = "resume"
    paths: ClassVar[tuple[str, ...]] = ("/resume",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("instrument",)

    instrument: Annotated[str | None, Meta(description="one instrument; all when left out")] = None
    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; 200 once it is so, 202 when that is not confirmed in time."""
        return await context.carried_out(
            ResumeEntries(instrument=context.instrument(self.instrument), reason=self.reason), CONFIRM_S
        )

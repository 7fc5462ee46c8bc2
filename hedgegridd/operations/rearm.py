"""`rearm`: leave HALTED after its checks."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.common import REARM_S
from hedgegridd.control.operation import DURABLE_S, Context, Operation, Outcome, Role
from hedgegridd.messages import Rearm as RearmCommand


class Rearm(Operation, frozen=True, kw_only=True):
    """Leave HALTED after the checks (reconciled, guards OK, feeds fresh); needs a reason, which the journal keeps.

    Leaves the account's trip and those of instruments and legs; with `instrument` that one's alone.

    Example: hedgegridctl rearm --reason "feed is back, checked the account"
    """

    verb: ClassVar[str] = "rearm"
    paths: ClassVar[tuple[str, ...]] = ("/rearm",)
    role: ClassVar[Role] = Role.OPERATOR

    reason: Annotated[str, Meta(min_length=1, max_length=500, description="why it is safe again")]

    instrument: Annotated[str | None, Meta(description="one instrument's trips; all when left out")] = None

    def __post_init__(self) -> None:
        """A reason of blanks is none.

        Raises:
            ValueError: nothing but blanks.
        """
        if not self.reason.strip():
            raise ValueError("`reason` must not be empty")

    def limit_s(self) -> float:
        """The checks', and the journal's."""
        return REARM_S + DURABLE_S

    async def run(self, context: Context) -> Outcome:
        """Tell the kill switch; the answer names the checks and their outcome."""
        command = RearmCommand(reason=self.reason, instrument=context.instrument(self.instrument))
        return await context.carried_out(command, REARM_S)

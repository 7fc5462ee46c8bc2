"""`rearm`: leave HALTED after its checks."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import Rearm as RearmCommand

CHECKS_S = 10.0


class Rearm(Operation, frozen=True, kw_only=True):
    """Leave HALTED after the checks (reconciled, feeds fresh); needs a reason, which the journal keeps.

    Example: hedgegridctl rearm --reason "feed is back, checked the account"
    """

    verb: ClassVar[str] = "rearm"
    paths: ClassVar[tuple[str, ...]] = ("/rearm",)
    role: ClassVar[Role] = Role.OPERATOR

    reason: Annotated[str, Meta(min_length=1, max_length=500, description="why it is safe again")]

    def __post_init__(self) -> None:
        """A reason of blanks is none.

        Raises:
            ValueError: nothing but blanks.
        """
        if not self.reason.strip():
            raise ValueError("`reason` must not be empty")

    async def run(self, context: Context) -> Outcome:
        """Tell the kill switch; the answer names the checks and their outcome."""
        return await context.carried_out(RearmCommand(reason=self.reason), CHECKS_S)

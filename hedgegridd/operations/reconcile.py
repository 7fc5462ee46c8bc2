"""`reconcile`: compare our books with the venue now."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import Reconcile as ReconcileCommand

COMPARE_S = 10.0


class Reconcile(Operation, frozen=True, kw_only=True):
    """Compare orders and legs with the venue now: orders adopted, fills applied, differences left.

    Example: hedgegridctl reconcile
    """

    verb: ClassVar[str] = "reconcile"
    paths: ClassVar[tuple[str, ...]] = ("/reconcile/manual",)
    role: ClassVar[Role] = Role.OPERATOR

    async def run(self, context: Context) -> Outcome:
        """Tell the desk; it answers when the venue has been read and compared."""
        command = ReconcileCommand(cause=f"asked by {context.caller.actor}")
        return await context.carried_out(command, COMPARE_S)

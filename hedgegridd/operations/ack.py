"""`ack`: somebody looks after an alert."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import AckAlert

ANSWER_S = 2.0


class Ack(Operation, frozen=True, kw_only=True):
    """Acknowledge an open alert by its id, or `all`: it escalates no further; its recovery is still told.

    Acknowledging stops nothing else: a removal that is not verified goes on. `alerts` lists the ids.

    Example: hedgegridctl ack A-1834
    """

    verb: ClassVar[str] = "ack"
    paths: ClassVar[tuple[str, ...]] = ("/alerts/ack",)
    role: ClassVar[Role] = Role.OPERATOR
    positional: ClassVar[tuple[str, ...]] = ("alert_id",)
    in_read_only: ClassVar[bool] = True

    alert_id: Annotated[str, Meta(min_length=1, max_length=40, description='as `alerts` lists it, or "all"')]

    async def run(self, context: Context) -> Outcome:
        """Tell the alerts; those that were open are in the answer."""
        command = AckAlert(alert_id=self.alert_id, by=context.caller.actor)
        return await context.carried_out(command, ANSWER_S)

"""`kill`: trip the kill switch."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hedgegridd.control.common import REARM_S
from hedgegridd.control.operation import DURABLE_S, Context, Operation, Outcome, Problem, Role
from hedgegridd.messages import Command, Rearm
from hedgegridd.messages import Kill as KillCommand
from hedgegridd.model import Leg

ANSWER_MARGIN_S = 1.0  # the kill switch answers at its deadline; this much later it is taken for hung


class Kill(Operation, frozen=True, kw_only=True):
    """Trip the kill switch: the configured action (flatten or halt), latched over restarts until you rearm.

    Of the whole account, or with `instrument` or `side` of that alone.

    `{"enabled": false}` (trading off) is the same as no field; `{"enabled": true}` (trading on) is a rearm, which needs
    a reason. The answer's `asked` says which it was. 200 when all that the trip removes is gone, 202 at the deadline.

    Example: hedgegridctl kill --reason "strange fills"
    """

    verb: ClassVar[str] = "kill"
    paths: ClassVar[tuple[str, ...]] = ("/kill",)
    role: ClassVar[Role] = Role.OPERATOR
    safety: ClassVar[bool] = True
    confirm: ClassVar[bool] = True

    reason: Annotated[str, Meta(max_length=500, description="kept in the journal")] = ""
    action: Annotated[
        Literal["flatten", "halt"] | None, Meta(description="instead of the configured action")
    ] = None
    instrument: Annotated[str | None, Meta(description="one instrument; the account when left out")] = None
    side: Annotated[Literal["long", "short", "both"], Meta(description="one leg; both when left out")] = (
        "both"
    )
    deadline_s: Annotated[float, Meta(ge=0.1, le=300, description="seconds to wait until it is verified")] = (
        10.0
    )
    enabled: Annotated[bool | None, Meta(description="false: trip; true: rearm")] = None

    def safe(self) -> bool:
        """A rearm is none."""
        return not self.enabled

    def limit_s(self) -> float:
        """Its own deadline, the margin, and the journal's 100 ms; of a rearm that one's."""
        return self._answer_s() + DURABLE_S

    def _answer_s(self) -> float:
        return REARM_S if self.enabled else self.deadline_s + ANSWER_MARGIN_S

    async def run(self, context: Context) -> Outcome:
        """Tell the kill switch.

        Raises:
            Problem: 422, a rearm without a reason or with an action.
        """
        command: Command
        if self.enabled:
            if not self.reason.strip():
                raise Problem(422, "reason needed", "`reason`: a rearm needs one", field="reason")
            if self.action is not None:
                raise Problem(422, "no action here", "`action`: a rearm takes none", field="action")
            if self.side != "both":
                raise Problem(422, "no side here", "`side`: a rearm takes none", field="side")
            command = Rearm(reason=self.reason, instrument=context.instrument(self.instrument))
        else:
            command = KillCommand(
                reason=self.reason or f"asked by {context.caller.actor}",
                action=self.action,
                instrument=context.instrument(self.instrument),
                legs=() if self.side == "both" else (Leg(self.side.upper()),),
                deadline_s=self.deadline_s,
            )
        outcome = await context.carried_out(command, self._answer_s())
        outcome.body["asked"] = "rearm" if self.enabled else "kill"
        return outcome

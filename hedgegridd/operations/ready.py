"""`ready`: how far start-up is, and whether trading can happen."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import age_s
from hedgegridd.messages import BootAnswer, GetBoot, GetKillSwitch, KillSwitchAnswer
from hedgegridd.model import KillState


class Ready(Operation, frozen=True, kw_only=True):
    """Say which stage start-up has reached; 200 once trading can happen, else 503.

    Example: hedgegridctl ready
    """

    verb: ClassVar[str] = "ready"
    paths: ClassVar[tuple[str, ...]] = ("/readyz",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.NONE

    async def run(self, context: Context) -> Outcome:
        """Ask start-up and kill switch; either one silent is not ready."""
        boot = await context.try_ask(GetBoot(), BootAnswer)
        kill = await context.try_ask(GetKillSwitch(), KillSwitchAnswer)
        if boot is None or kill is None:
            return Outcome({"ready": False, "stage": None, "reasons": list(context.silent)}, 503)
        reasons = [] if boot.ready else [f"start-up is at {boot.stage}"]
        if boot.stopping:
            reasons.append("the daemon is stopping")
        if kill.state is not KillState.ARMED:
            reasons.append(f"kill switch is {kill.state.value}")
        body: dict[str, object] = {
            "ready": not reasons,
            "stage": boot.stage,
            "number": boot.number,
            "of": boot.of,
            "waits_for": boot.waits_for or None,
            "stage_age_s": age_s(boot.since_ns, context.services.time_ns()),
            "stopping": boot.stopping,
            "kill_switch": kill.state.value,
            "reasons": reasons,
        }
        return Outcome(body, 503 if reasons else 200)

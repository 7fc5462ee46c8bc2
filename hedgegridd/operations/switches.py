"""`switches`: where each switch stands, and what its other place does."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.messages import GetSwitches, SwitchesAnswer

NS_PER_S = 1_000_000_000


class Switches(Operation, frozen=True, kw_only=True):
    """Show every switch: emergency ones, and one for each venue, instrument and transport.

    `status` is OK in its normal place and BLOCK out of it; `effect` says what being out of it does.

    Example: hedgegridctl switches
    """

    verb: ClassVar[str] = "switches"
    paths: ClassVar[tuple[str, ...]] = ("/switches",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    async def run(self, context: Context) -> Outcome:
        """Ask for them."""
        answer = await context.ask(GetSwitches(), SwitchesAnswer)
        now_ns = context.services.time_ns()
        rows = [
            {
                "name": each.name,
                "kind": each.kind,
                "value": each.enabled,
                "limit": each.normal,
                "enabled": each.enabled,
                "normal": each.normal,
                "status": "OK" if each.enabled == each.normal else "BLOCK",
                "effect": each.effect,
                "since_s": None if not each.since_ns else (now_ns - each.since_ns) / NS_PER_S,
                "by": each.by,
                "reason": each.reason,
            }
            for each in answer.switches
        ]
        return Outcome({"count": len(rows), "switches": rows})

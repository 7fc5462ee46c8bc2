"""`health`: is it running and trading as it should; what a monitor polls."""

from typing import ClassVar

from hedgegridd.control.gather import gather
from hedgegridd.control.health import health_of, running
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.verdict import judge
from hedgegridd.core.health import HALTED, NAMES


class Health(Operation, frozen=True, kw_only=True):
    """Say whether the daemon runs and how well.

    `health_state` 0 OK, 1 DEGRADED, 2 HALTED. HTTP 200 while it runs (0 and 1), 503 while it starts, stops, is halted or
    a part does not answer.

    Example: hedgegridctl health
    """

    verb: ClassVar[str] = "health"
    paths: ClassVar[tuple[str, ...]] = ("/health",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.NONE

    async def run(self, context: Context) -> Outcome:
        """Compose it from boot, kill switch, venue and desk."""
        facts = await gather(context)
        state, reasons = health_of(facts, judge(facts))
        runs = running(facts)
        bars = [] if facts.desk is None else [item.last_bar_ns for item in facts.desk.instruments]
        newest = max((bar for bar in bars if bar is not None), default=None)
        body: dict[str, object] = {
            "running": runs,
            "last_bar_timestamp": None if newest is None else newest / 1e9,
            "health_state": state,
            "health": NAMES[state],
            "reasons": list(reasons),
        }
        return Outcome(body, 200 if runs and state != HALTED else 503)

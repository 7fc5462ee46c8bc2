"""`guards`: what each guard measures, its limit and its verdict."""

from typing import ClassVar

from hedgegridd.control.common import Reading
from hedgegridd.control.kept_away import hold_facts
from hedgegridd.control.operation import Context, Outcome
from hedgegridd.control.views import guard
from hedgegridd.messages import GetGuards, GuardsAnswer

RANK = {"OK": 0, "WARN": 1, "CRITICAL": 2, "BLOCK": 3}


class Guards(Reading, frozen=True, kw_only=True):
    """Show each guard with value, limit, OK/WARN/CRITICAL/BLOCK and since when; the holds in force; those that are off.

    Example: hedgegridctl guards --json
    """

    verb: ClassVar[str] = "guards"
    paths: ClassVar[tuple[str, ...]] = ("/guards",)

    async def run(self, context: Context) -> Outcome:
        """Ask the risk machine."""
        answer = await context.ask(GetGuards(), GuardsAnswer)
        now_ns = context.services.time_ns()
        wanted = context.instrument(self.instrument)
        shown = [
            guard(each, now_ns)
            for each in sorted(answer.verdicts, key=lambda each: -RANK[each.level])
            if wanted is None or each.scope.instrument in (None, wanted)
        ]
        return Outcome(
            {
                "count": len(shown),
                "guards": shown,
                "holds": [hold_facts(each, now_ns) for each in answer.holds],
                "off": list(answer.off),
            }
        )

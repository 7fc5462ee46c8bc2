"""`kpi`: the key figures of operations with their thresholds."""

from typing import ClassVar

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import exact
from hedgegridd.messages import GetGuards, GetKpi, GuardsAnswer, KpiAnswer


class Kpi(Operation, frozen=True, kw_only=True):
    """Show requests per minute, error rate, cache hit rate, open breakers and healthy venues, with OK/WARN/CRITICAL.

    Example: hedgegridctl kpi
    """

    verb: ClassVar[str] = "kpi"
    paths: ClassVar[tuple[str, ...]] = ("/kpi",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    async def run(self, context: Context) -> Outcome:
        """Ask for the windows and for the breakers."""
        from hedgegridd.core.kpi import figures  # noqa: PLC0415  # hedgegridctl reads the metadata alone

        answer = await context.ask(GetKpi(), KpiAnswer)
        guards = await context.ask(GetGuards(), GuardsAnswer)
        found = [
            {
                "name": each.name,
                "value": exact(each.value),
                "unit": each.unit,
                "warn": exact(each.warn),
                "critical": exact(each.critical),
                "status": each.status,
                "message": each.message,
            }
            for each in figures(answer, guards)
        ]
        return Outcome({"count": len(found), "kpis": found})

"""How much of the last 15 minutes the venue was there, and how long it takes to answer."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, judge, missing, shown, warn_level
from hedgegridd.messages import VenueHealth

TYPE = "venue_health"
INPUTS = (VenueHealth,)


class Table(GuardTable, frozen=True, kw_only=True):
    """Uptime below `min_uptime_pct`, or the 95th percentile of answers of 60 s above `trip_latency_ms`."""

    min_uptime_pct: Annotated[Decimal, above("0", "100")] = Decimal(95)
    warn_uptime_pct: Annotated[Decimal, above("0", "100")] = Decimal(98)
    trip_latency_ms: Annotated[Decimal, above("0")] = Decimal(5000)
    warn_latency_ms: Annotated[Decimal, above("0")] | None = None
    action: str = "pause"


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account: of uptime and latency the one that is past its level, uptime first."""
    health = view.fresh(VenueHealth, now, params.max_age_s)
    if health is None or health.uptime_pct is None or health.latency_p95_ms is None:
        return (missing(params, "the venue's health is not known", limit=params.min_uptime_pct, unit="%"),)
    uptime, latency = health.uptime_pct, health.latency_p95_ms
    slow = warn_level(params.warn_latency_ms, params.trip_latency_ms)
    by_uptime = judge(
        params,
        uptime,
        reached=uptime < params.min_uptime_pct,
        near=uptime < params.warn_uptime_pct,
        warn=params.warn_uptime_pct,
        limit=params.min_uptime_pct,
        unit="%",
        words=lambda: f"up {shown(uptime)} % of 15 min, limit {shown(params.min_uptime_pct)} %",
    )
    by_latency = judge(
        params,
        latency,
        reached=latency > params.trip_latency_ms,
        near=latency > slow,
        warn=slow,
        limit=params.trip_latency_ms,
        unit="ms",
        words=lambda: f"answers take {shown(latency)} ms (p95), limit {shown(params.trip_latency_ms)} ms",
    )
    order = (by_uptime.breach, by_latency.breach, by_uptime.level != "OK", by_latency.level != "OK")
    first = order.index(True) if True in order else 0
    return ((by_uptime, by_latency)[first % 2],)

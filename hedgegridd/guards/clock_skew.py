"""How far our clock is from the venue's; it is applied to signatures, yet a clock that runs away is a fault of the host."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, judge, missing, shown
from hedgegridd.messages import VenueHealth

TYPE = "clock_skew"
INPUTS = (VenueHealth,)


class Table(GuardTable, frozen=True, kw_only=True):
    """Milliseconds in either direction; a reading counts for `max_reading_age_s` (`[venue] clock_poll_s`)."""

    warn_ms: Annotated[Decimal, above("0", "86400000")] = Decimal(300)
    trip_ms: Annotated[Decimal, above("0", "86400000")] = Decimal(800)
    max_reading_age_s: Annotated[Decimal, between("1", "86400")] = Decimal(180)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(0)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    health = view.fresh(VenueHealth, now, params.max_age_s)
    if health is None or health.clock_offset_ms is None or health.clock_age_s is None:
        return (missing(params, "the venue's clock has not been read", limit=params.trip_ms, unit="ms"),)
    if health.clock_age_s > params.max_reading_age_s:
        what = f"the venue's clock was last read {shown(health.clock_age_s)} s ago"
        return (missing(params, what, limit=params.trip_ms, unit="ms"),)
    offset_ms = health.clock_offset_ms
    apart = abs(Decimal(offset_ms))
    side = "behind" if offset_ms > 0 else "ahead of"
    return (
        judge(
            params,
            apart,
            reached=apart >= params.trip_ms,
            near=apart >= params.warn_ms,
            warn=params.warn_ms,
            limit=params.trip_ms,
            unit="ms",
            words=lambda: f"our clock is {apart} ms {side} the venue's, limit {shown(params.trip_ms)} ms",
        ),
    )

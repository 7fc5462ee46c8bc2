"""Calls of the venue that failed, over all calls of the last 60 s: a circuit breaker with a half-open probe.

CLOSED     too many fail -> OPEN
OPEN       for `pause_s`, however few calls are left in the minute -> HALF_OPEN
HALF_OPEN  the next call is the probe: answered -> PROBED, failed -> OPEN anew; without one it stays so
PROBED     the old failures still count: one more failed call -> OPEN; too few are left -> CLOSED
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from hedgegridd.config import above, between
from hedgegridd.core.facts import Fact, View
from hedgegridd.core.guard import (
    SECOND_NS,
    GuardTable,
    Keep,
    Now,
    Verdict,
    judge,
    missing,
    shown,
    warn_level,
)
from hedgegridd.messages import Scope, VenueHealth
from hedgegridd.model import ZERO

TYPE = "venue_errors"
INPUTS = (VenueHealth,)
HUNDRED = Decimal(100)
PAUSES_KEPT = 4  # so many pauses back the breaker's course is followed
_NS_PER_MS = 1_000_000

type Breaker = Literal["CLOSED", "OPEN", "HALF_OPEN", "PROBED"]
_STOPS: tuple[Breaker, ...] = ("OPEN", "HALF_OPEN")


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_pct` of at least `min_calls` calls; `pause_s`: how long before one call decides."""

    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal(50)
    warn_pct: Annotated[Decimal, above("0", "100")] | None = None
    min_calls: Annotated[int, between("1", "5000")] = 20
    pause_s: Annotated[Decimal, between("0", "3600")] = Decimal(30)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(0)


def history(params: Table) -> tuple[Keep, ...]:
    """The breaker's course."""
    return (Keep(kind=VenueHealth, seconds=_course_s(params)),)


def _course_s(params: Table) -> Decimal:
    return 60 + PAUSES_KEPT * params.pause_s


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    health = view.fresh(VenueHealth, now, params.max_age_s)
    if health is None:
        return (missing(params, "the venue's health is not known", limit=params.trip_pct, unit="%"),)
    course = tuple(view.recent(VenueHealth, now, _course_s(params)))
    state, opened_ns = _before(course, view, now), 0
    for fact in course:
        state, opened_ns = _step(state, opened_ns, fact, params)
    if state == "OPEN" and now.time_ns >= opened_ns + int(params.pause_s * SECOND_NS):
        state = "HALF_OPEN"
    failed_pct = _failed_pct(health)
    warn = warn_level(params.warn_pct, params.trip_pct)
    words = f"{health.failed} of {health.calls} calls failed in 60 s ({shown(failed_pct)} %), breaker {state}"
    verdict = judge(
        params,
        failed_pct,
        reached=state in _STOPS,
        near=state == "PROBED" or (health.calls >= params.min_calls and failed_pct >= warn),
        warn=warn,
        limit=params.trip_pct,
        unit="%",
        words=lambda: words,
    )
    return (msgspec.structs.replace(verdict, held=state in _STOPS),)


def _before(course: tuple[Fact[VenueHealth], ...], view: View, now: Now) -> Breaker:
    """The breaker before the first report that is kept: one that waits for its probe for longer waits still."""
    kept_s = Decimal(now.time_ns - course[0].time_ns) / SECOND_NS if course else ZERO
    return "HALF_OPEN" if view.held_s(Scope(), now) > kept_s else "CLOSED"


def _step(state: Breaker, opened_ns: int, fact: Fact[VenueHealth], params: Table) -> tuple[Breaker, int]:
    """The breaker after one more report, and when it opened (wall clock: it goes on over a restart)."""
    health, now_ns = fact.message, fact.time_ns
    bad = health.calls >= params.min_calls and _failed_pct(health) >= params.trip_pct
    if state == "CLOSED":
        return ("OPEN", now_ns) if bad else ("CLOSED", 0)
    if state == "PROBED":
        if not bad:
            return "CLOSED", 0
        return ("PROBED", 0) if health.last_ok else ("OPEN", now_ns)
    ended_ns = now_ns - (health.last_call_age_ms or 0) * _NS_PER_MS
    if health.last_ok is None or ended_ns < opened_ns + int(params.pause_s * SECOND_NS):
        return state, opened_ns  # no call has probed it yet
    if not health.last_ok:
        return "OPEN", now_ns
    return ("PROBED", 0) if bad else ("CLOSED", 0)


def _failed_pct(health: VenueHealth) -> Decimal:
    return Decimal(health.failed) * HUNDRED / health.calls if health.calls else ZERO

"""Whether we still hear what happens to the account: the user stream is lost, or silent and not verified for long.

The stream's watch (venue/stream_doubt.py, venue/watch.py) finds a stream that does not tell of an acknowledged order
within 2 s, tells of it by `FeedChanged`, and revives it; this guard holds entries meanwhile.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict, judge, missing, shown, warn_level
from hedgegridd.messages import FeedChanged, Reconciled, VenueHealth

TYPE = "stale_account"
INPUTS = (FeedChanged, VenueHealth, Reconciled)
CHANNEL = "user"


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_silent_s`: the stream says nothing and no comparison of books has agreed for so long."""

    trip_silent_s: Annotated[Decimal, above("0", "3600")] = Decimal(60)
    warn_silent_s: Annotated[Decimal, above("0", "3600")] | None = None
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(5)


def history(params: Table) -> tuple[Keep, ...]:
    """Comparisons: the newest that agreed counts, not the newest."""
    return (Keep(kind=Reconciled, seconds=params.trip_silent_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    feed, health = view.last(FeedChanged, CHANNEL), view.last(VenueHealth)
    if feed is not None and not feed.message.up:
        lost_s, detail = feed.age_s(now), feed.message.detail
        return (
            judge(
                params,
                lost_s,
                reached=True,
                near=True,
                warn=None,
                limit=Decimal(0),
                unit="s",
                words=lambda: f"user stream lost for {shown(lost_s)} s: {detail}",
            ),
        )
    if health is None or health.age_s(now) > params.max_age_s:
        return (missing(params, "the user stream's age is not known", limit=params.trip_silent_s, unit="s"),)
    ages = [_agreed_s(view, now, params)]
    if health.message.user_stream_age_s is not None:
        ages.append(health.message.user_stream_age_s + health.age_s(now))
    known = [age for age in ages if age is not None]
    if not known:
        what = "the user stream has said nothing, and no comparison has agreed"
        return (missing(params, what, limit=params.trip_silent_s, unit="s"),)
    silent_s, limit = min(known), params.trip_silent_s
    warn = warn_level(params.warn_silent_s, limit)
    verdict = judge(
        params,
        silent_s,
        reached=silent_s >= limit,
        near=silent_s >= warn,
        warn=warn,
        limit=limit,
        unit="s",
        words=lambda: f"user stream silent and unverified for {shown(silent_s)} s, limit {shown(limit)} s",
    )
    left_s = min((level - silent_s for level in (warn, limit) if level > silent_s), default=None)
    return (msgspec.structs.replace(verdict, again_s=left_s),)


def _agreed_s(view: View, now: Now, params: Table) -> Decimal | None:
    """Seconds since books and venue last agreed, None: not within `trip_silent_s`, or not since this start."""
    recent = view.recent(Reconciled, now, params.trip_silent_s)
    agreed = [fact for fact in recent if fact.message.ok and fact.mono_ns]
    # By arrival: after a step back of the wall clock the last one would lie in the future, and be fresh for as long.
    return agreed[-1].age_s(now) if agreed else None

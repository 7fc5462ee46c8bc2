"""Calls sent to each provider in 10 s, a minute and an hour, against quotas of our own."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing
from hedgegridd.messages import CallsCounted

TYPE = "call_quota"
INPUTS = (CallsCounted,)
HUNDRED = Decimal(100)


class Table(GuardTable, frozen=True, kw_only=True):
    """Calls a minute, in 10 s and an hour; levels in percent of the quota of which most is used."""

    per_minute: Annotated[int, between("1", "1000000000")] = 1_200
    per_10s: Annotated[int, between("1", "1000000000")] = 100
    per_hour: Annotated[int, between("1", "1000000000")] = 3_600
    warn_pct: Annotated[Decimal, above("0", "100")] = Decimal(80)
    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal(95)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(5)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account: the provider and the window of which most is used."""
    facts = view.each(CallsCounted)
    stale = [name for name, fact in facts.items() if fact.age_s(now) > params.max_age_s]
    if not facts or stale:
        what = f"calls of {', '.join(stale) or 'the venue'} are not counted"
        return (missing(params, what, limit=params.trip_pct, unit="%"),)
    used, what = max(
        (Decimal(count) * HUNDRED / quota, f"{name}: {count} of {quota} calls in {window}")
        for name, fact in facts.items()
        for count, quota, window in (
            (fact.message.burst, params.per_10s, "10 s"),
            (fact.message.minute, params.per_minute, "a minute"),
            (fact.message.hour, params.per_hour, "an hour"),
        )
    )
    return (
        at_or_above(params, used, warn=params.warn_pct, limit=params.trip_pct, unit="%", what=f"{what},"),
    )

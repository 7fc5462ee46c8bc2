"""How much of the venue's request weight and order counts is used; the client itself keeps a fifth for cancels and closes."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, judge, missing
from hedgegridd.messages import VenueHealth

TYPE = "rate_budget"
INPUTS = (VenueHealth,)
HUNDRED = Decimal(100)


class Table(GuardTable, frozen=True, kw_only=True):
    """Percent of the limit of which most is used; a ban counts as all of it."""

    warn_pct: Annotated[Decimal, above("0", "100")] = Decimal(80)
    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal(95)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(5)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    health = view.fresh(VenueHealth, now, params.max_age_s)
    if health is not None and health.banned_until_ns is not None and health.banned_until_ns > now.time_ns:
        left_s = (health.banned_until_ns - now.time_ns) // 1_000_000_000 + 1
        return (
            judge(
                params,
                HUNDRED,
                reached=True,
                near=True,
                warn=params.warn_pct,
                limit=params.trip_pct,
                unit="%",
                words=lambda: f"the venue asks us to send nothing for {left_s} s",
            ),
        )
    if health is None or health.weight_used is None or health.orders_used is None:
        return (missing(params, "the used request weight is not known", limit=params.trip_pct, unit="%"),)
    weight, orders = health.weight_used * HUNDRED, health.orders_used * HUNDRED
    used, what = (weight, "request weight") if weight >= orders else (orders, "orders")
    return (
        at_or_above(params, used, warn=params.warn_pct, limit=params.trip_pct, unit="%", what=f"{what} used"),
    )

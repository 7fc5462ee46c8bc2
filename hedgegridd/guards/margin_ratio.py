"""Maintenance margin over margin balance, the venue's own figures: at 1 it liquidates."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing, warn_level
from hedgegridd.messages import RiskFigures
from hedgegridd.model import ZERO

TYPE = "margin_ratio"
INPUTS = (RiskFigures,)
WARN_PART = Decimal("0.75")
LIQUIDATED = Decimal(1)


class Table(GuardTable, frozen=True, kw_only=True):
    """At `trip_ratio`; `warn_ratio` before it, left out: 75 % of `trip_ratio`. `max_age_s`: of the venue's report."""

    trip_ratio: Annotated[Decimal, above("0", "1")] = Decimal("0.80")
    warn_ratio: Annotated[Decimal, above("0", "1")] | None = None
    action: str = "flatten"
    max_age_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(60)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    fact, age = view.last(RiskFigures), view.margin_age_s(now)
    figures = None if fact is None or age is None or age > params.max_age_s else fact.message
    if figures is None or figures.maint_margin_usdt is None or figures.margin_balance_usdt is None:
        what = (
            "the venue's margin figures are missing" if age is None else f"margin figures are {age:.0f} s old"
        )
        return (missing(params, what, limit=params.trip_ratio),)
    if figures.maint_margin_usdt == ZERO:
        ratio = ZERO
    elif figures.margin_balance_usdt <= ZERO:
        ratio = LIQUIDATED
    else:
        ratio = figures.maint_margin_usdt / figures.margin_balance_usdt
    warn = warn_level(params.warn_ratio, params.trip_ratio, WARN_PART)
    return (at_or_above(params, ratio, warn=warn, limit=params.trip_ratio, unit="", what="margin ratio"),)

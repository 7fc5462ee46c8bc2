"""Gross notional of all legs over equity."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above
from hedgegridd.core.facts import View, gross_usdt
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing, warn_level
from hedgegridd.messages import RiskFigures
from hedgegridd.model import ZERO

TYPE = "leverage"
INPUTS = (RiskFigures,)
LEAST_USDT = Decimal(1)  # with no equity left any inventory is too much


class Table(GuardTable, frozen=True, kw_only=True):
    """At `trip_ratio` times equity; `warn_ratio` before it, left out: 80 % of `trip_ratio`."""

    trip_ratio: Annotated[Decimal, above("0", "125")] = Decimal(5)
    warn_ratio: Annotated[Decimal, above("0", "125")] | None = None
    action: str = "pause"


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    figures = view.figures(now, params.max_age_s)
    if figures is None or figures.equity_usdt is None:
        return (missing(params, "equity is not known", limit=params.trip_ratio),)
    gross = sum((gross_usdt(view, name) for name in view.names), ZERO)
    ratio = gross / max(figures.equity_usdt, LEAST_USDT)
    warn = warn_level(params.warn_ratio, params.trip_ratio)
    return (at_or_above(params, ratio, warn=warn, limit=params.trip_ratio, unit="", what="leverage"),)

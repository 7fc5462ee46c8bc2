"""Equity that must not fall below a floor."""

from decimal import Decimal
from typing import Annotated, ClassVar

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_below, missing, warn_level
from hedgegridd.messages import RiskFigures

TYPE = "equity_floor"
INPUTS = (RiskFigures,)
WARN_PART = Decimal("1.25")


class Table(GuardTable, frozen=True, kw_only=True):
    """Equity at or below `trip_usdt`; `warn_usdt` before it, left out: 125 % of `trip_usdt`."""

    falling: ClassVar[bool] = True

    trip_usdt: Annotated[Decimal, above("0")] = Decimal(500)
    warn_usdt: Annotated[Decimal, above("0")] | None = None
    action: str = "flatten"
    confirm: Annotated[int, between("1", "1000")] = 3
    cooldown_s: Annotated[Decimal, between("0", "86400")] = Decimal(300)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    figures = view.figures(now, params.max_age_s)
    if figures is None or figures.equity_usdt is None:
        return (missing(params, "equity is not known", limit=params.trip_usdt, unit="USDT"),)
    warn = warn_level(params.warn_usdt, params.trip_usdt, WARN_PART)
    return (
        at_or_below(
            params, figures.equity_usdt, warn=warn, limit=params.trip_usdt, unit="USDT", what="equity"
        ),
    )

"""How far equity has fallen from its peak since start, over that peak. Rearm begins it anew."""

from decimal import Decimal
from typing import Annotated, ClassVar

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import HUNDRED, GuardTable, Now, Verdict, at_or_above, missing, warn_level
from hedgegridd.messages import RiskFigures
from hedgegridd.model import ZERO

TYPE = "session_drawdown"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_pct` of the peak; `warn_pct` before it, left out: 80 % of `trip_pct`."""

    renews: ClassVar[bool] = True

    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal(5)
    warn_pct: Annotated[Decimal, above("0", "100")] | None = None
    action: str = "flatten"
    confirm: Annotated[int, between("1", "1000")] = 3


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    figures = view.figures(now, params.max_age_s)
    if figures is None or figures.equity_usdt is None or figures.session_peak_usdt is None:
        return (missing(params, "equity is not known", limit=params.trip_pct, unit="%"),)
    peak, equity = figures.session_peak_usdt, figures.equity_usdt
    fall = (peak - equity) / peak * HUNDRED if peak > ZERO else HUNDRED
    warn = warn_level(params.warn_pct, params.trip_pct)
    return (
        at_or_above(
            params, fall, warn=warn, limit=params.trip_pct, unit="%", what="fall from the peak since start"
        ),
    )

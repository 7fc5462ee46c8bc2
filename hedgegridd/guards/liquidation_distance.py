"""How far the mark is from the liquidation price of a leg, over the mark."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import (
    HUNDRED,
    PAUSE,
    GuardTable,
    Now,
    Verdict,
    judge,
    leg_scope,
    missing,
    shown,
    warn_level,
)
from hedgegridd.messages import RiskFigures, Scope
from hedgegridd.model import ZERO

TYPE = "liquidation_distance"
INPUTS = (RiskFigures,)
WARN_PART = Decimal("1.25")


class Table(GuardTable, frozen=True, kw_only=True):
    """Entries are paused from `pause_pct` on, `action` follows at `trip_pct`; `warn_pct` left out: 125 % of `pause_pct`.

    The balance is shared by all legs (cross margin), so what it does is for the account unless `scope` says otherwise.
    """

    falling: ClassVar[bool] = True

    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal(7)
    pause_pct: Annotated[Decimal, above("0", "100")] = Decimal(15)
    warn_pct: Annotated[Decimal, above("0", "100")] | None = None
    action: str = "flatten"
    confirm: Annotated[int, between("1", "1000")] = 2
    scope: Literal["leg", "instrument", "account"] = "account"


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each leg with inventory that a price would liquidate."""
    warn = warn_level(params.warn_pct, params.pause_pct, WARN_PART)
    verdicts = []
    for name in view.names:
        figures = view.instrument(name, now, params.max_age_s)
        if figures is None or figures.mark is None:
            books = view.books(name)
            if books is None or any(leg.qty for leg in books.legs):
                what = "mark price is missing or old"
                verdicts.append(
                    missing(params, what, scope=Scope(instrument=name), limit=params.trip_pct, unit="%")
                )
            continue
        for leg in figures.legs:
            if leg.qty == ZERO or leg.liquidation_price is None:
                continue
            away = abs(figures.mark - leg.liquidation_price) / figures.mark * HUNDRED
            trips = away <= params.trip_pct
            verdicts.append(
                judge(
                    params,
                    away,
                    reached=away <= params.pause_pct,
                    near=away <= warn,
                    warn=warn,
                    limit=params.trip_pct,
                    unit="%",
                    words=lambda a=away, p=leg.liquidation_price: (
                        f"liquidation at {p:f} is {shown(a)} % away"
                    ),  # type: ignore[misc]
                    scope=leg_scope(name, leg.leg),
                    action=None if trips else PAUSE,
                )
            )
    return tuple(verdicts)

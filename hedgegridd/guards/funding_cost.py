"""What the next funding settlement would cost, net of both legs, in bps of their gross notional per 8 hours."""

from decimal import Decimal
from typing import Annotated

import msgspec

from hedgegridd.config import above
from hedgegridd.core.facts import View, leg_of
from hedgegridd.core.funding import cost_bps
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, leg_scope, missing, warn_level
from hedgegridd.messages import RiskFigures, Scope
from hedgegridd.model import ZERO, Leg

TYPE = "funding_cost"
INPUTS = (RiskFigures,)
EIGHT_HOURS_MIN = 480


class Table(GuardTable, frozen=True, kw_only=True):
    """At `trip_bps` the leg that pays is trimmed, once a settlement; `warn_bps` left out: 80 % of `trip_bps`."""

    trip_bps: Annotated[Decimal, above("0", "1000")] = Decimal(20)
    warn_bps: Annotated[Decimal, above("0", "1000")] | None = None
    action: str = "trim:0.3"


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument with inventory, about the leg that pays."""
    warn = warn_level(params.warn_bps, params.trip_bps)
    verdicts = []
    for name in view.names:
        books = view.books(name)
        if books is not None and not any(leg.qty for leg in books.legs):
            continue
        figures = view.instrument(name, now, params.max_age_s)
        if figures is None or figures.funding_rate is None:
            what = "funding rate or mark price is missing or old"
            scope = Scope(instrument=name)
            verdicts.append(missing(params, what, scope=scope, limit=params.trip_bps, unit="bps"))
            continue
        long, short = (leg_of(figures, leg).notional_usdt or ZERO for leg in (Leg.LONG, Leg.SHORT))
        cost = cost_bps(figures.funding_rate, long, short, EIGHT_HOURS_MIN)
        paying = Leg.LONG if figures.funding_rate > ZERO else Leg.SHORT
        verdict = at_or_above(
            params,
            cost,
            warn=warn,
            limit=params.trip_bps,
            unit="bps",
            what="funding cost per 8 h",
            scope=leg_scope(name, paying),
        )
        verdicts.append(msgspec.structs.replace(verdict, once=f"settlement {figures.next_funding_ns}"))
    return tuple(verdicts)

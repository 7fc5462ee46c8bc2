"""Notional of both legs of an instrument, and of all instruments together."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above
from hedgegridd.core.facts import View, gross_usdt
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing, short, warn_level
from hedgegridd.messages import RiskFigures, Scope
from hedgegridd.model import ZERO

TYPE = "exposure"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_usdt` of one instrument, `trip_total_usdt` of all. WARN at 80 % of each."""

    trip_usdt: Annotated[Decimal, above("0")] = Decimal(25_000)
    trip_total_usdt: Annotated[Decimal, above("0")] = Decimal(50_000)
    action: str = "pause"


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument, one for the account."""
    stale = view.stale(now, params.max_age_s)
    verdicts = []
    total = ZERO
    for name in view.names:
        scope = Scope(instrument=name)
        if name in stale:
            what = "mark price is missing or old"
            verdicts.append(missing(params, what, scope=scope, limit=params.trip_usdt, unit="USDT"))
            continue
        worth = gross_usdt(view, name)
        total += worth
        verdicts.append(_judge(params, worth, params.trip_usdt, scope))
    if stale:  # a total without one of its parts would be too small
        what = f"mark price of {', '.join(short(name) for name in stale)} is missing or old"
        verdicts.append(missing(params, what, limit=params.trip_total_usdt, unit="USDT"))
    else:
        verdicts.append(_judge(params, total, params.trip_total_usdt, Scope()))
    return tuple(verdicts)


def _judge(params: Table, worth: Decimal, limit: Decimal, scope: Scope) -> Verdict:
    warn = warn_level(None, limit)
    return at_or_above(params, worth, warn=warn, limit=limit, unit="USDT", what="exposure", scope=scope)

"""What the legs of an instrument are worth, together and each. Off until a level is given."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above
from hedgegridd.core.facts import View, gross_usdt
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, leg_scope, missing, warn_level
from hedgegridd.messages import RiskFigures, Scope
from hedgegridd.model import ZERO

TYPE = "position_notional"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_usdt`: LONG plus SHORT notional of an instrument; `trip_leg_usdt`: of one leg. WARN at 80 % of each."""

    trip_usdt: Annotated[Decimal, above("0")] | None = None
    trip_leg_usdt: Annotated[Decimal, above("0")] | None = None
    action: str = "pause"

    @property
    def off(self) -> bool:
        """Without a level there is nothing to judge by."""
        return not self.enabled or (self.trip_usdt is None and self.trip_leg_usdt is None)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument, one for each of its legs."""
    verdicts = []
    for name in view.names:
        scope = Scope(instrument=name)
        if name in view.stale(now, params.max_age_s):
            what = "mark price is missing or old"
            verdicts.append(missing(params, what, scope=scope, limit=params.trip_usdt, unit="USDT"))
            continue
        if params.trip_usdt is not None:
            verdicts.append(_judge(params, gross_usdt(view, name), params.trip_usdt, scope))
        books = view.books(name)
        if params.trip_leg_usdt is not None and books is not None:
            verdicts += [
                _judge(params, leg.notional_usdt or ZERO, params.trip_leg_usdt, leg_scope(name, leg.leg))
                for leg in books.legs
            ]
    return tuple(verdicts)


def _judge(params: Table, worth: Decimal, limit: Decimal, scope: Scope) -> Verdict:
    warn = warn_level(None, limit)
    return at_or_above(params, worth, warn=warn, limit=limit, unit="USDT", what="notional", scope=scope)

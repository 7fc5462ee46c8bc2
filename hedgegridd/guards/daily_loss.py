"""What was lost since the trading day began, unrealised, fees and funding included. Off until `trip_usdt` is given."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing, warn_level
from hedgegridd.messages import RiskFigures

TYPE = "daily_loss"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_usdt` of loss; `warn_usdt` before it, left out: 80 % of it. A pause ends with the trading day."""

    trip_usdt: Annotated[Decimal, above("0")] | None = None
    warn_usdt: Annotated[Decimal, above("0")] | None = None
    action: str = "pause"
    confirm: Annotated[int, between("1", "1000")] = 3

    @property
    def off(self) -> bool:
        """Without a level there is nothing to judge by."""
        return not self.enabled or self.trip_usdt is None


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    if params.trip_usdt is None:
        return ()
    figures = view.figures(now, params.max_age_s)
    if figures is None or figures.day_usdt is None:
        return (missing(params, "profit of the day is not known", limit=params.trip_usdt, unit="USDT"),)
    warn = warn_level(params.warn_usdt, params.trip_usdt)
    return (
        at_or_above(
            params, -figures.day_usdt, warn=warn, limit=params.trip_usdt, unit="USDT", what="loss of the day"
        ),
    )

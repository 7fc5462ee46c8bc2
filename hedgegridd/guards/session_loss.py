"""What was lost since start, unrealised, fees and funding included. Rearm begins it anew."""

from decimal import Decimal
from typing import Annotated, ClassVar

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing, warn_level
from hedgegridd.messages import RiskFigures

TYPE = "session_loss"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_usdt` of loss; `warn_usdt` before it, left out: 80 % of `trip_usdt`."""

    renews: ClassVar[bool] = True

    trip_usdt: Annotated[Decimal, above("0")] = Decimal(1000)
    warn_usdt: Annotated[Decimal, above("0")] | None = None
    action: str = "flatten"
    confirm: Annotated[int, between("1", "1000")] = 3


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    figures = view.figures(now, params.max_age_s)
    if figures is None or figures.session_usdt is None:
        return (missing(params, "profit since start is not known", limit=params.trip_usdt, unit="USDT"),)
    loss = -figures.session_usdt
    warn = warn_level(params.warn_usdt, params.trip_usdt)
    return (
        at_or_above(params, loss, warn=warn, limit=params.trip_usdt, unit="USDT", what="loss since start"),
    )

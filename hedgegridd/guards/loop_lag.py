"""How late the event loop runs what is due: a daemon that is late decides on what is over."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, at_or_above, missing
from hedgegridd.messages import LoopLagged

TYPE = "loop_lag"
INPUTS = (LoopLagged,)


class Table(GuardTable, frozen=True, kw_only=True):
    """Milliseconds, the worst of a second."""

    warn_ms: Annotated[Decimal, above("0", "60000")] = Decimal(250)
    trip_ms: Annotated[Decimal, above("0", "60000")] = Decimal(2000)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(10)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    lagged = view.fresh(LoopLagged, now, params.max_age_s)
    if lagged is None:
        return (missing(params, "the loop's lag is not measured", limit=params.trip_ms, unit="ms"),)
    return (
        at_or_above(
            params, lagged.lag_ms, warn=params.warn_ms, limit=params.trip_ms, unit="ms", what="loop lag"
        ),
    )

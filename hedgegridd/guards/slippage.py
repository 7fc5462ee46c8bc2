"""What closes and stops cost against their reference (core/slippage.py), on average over a while, by notional."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict, at_or_above, warn_level
from hedgegridd.core.slippage import Cost, cost_of
from hedgegridd.messages import Fill, Scope
from hedgegridd.model import BPS, ZERO

TYPE = "slippage"
INPUTS = (Fill,)
LOOK_AGAIN_S = Decimal(10)  # while fills are in the window: they leave it without an event


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_bps` on average over `window_s`, of at least `min_fills` fills; `warn_bps` left out: 80 % of `trip_bps`."""

    trip_bps: Annotated[Decimal, above("0", "1000")] = Decimal(15)
    warn_bps: Annotated[Decimal, above("0", "1000")] | None = None
    window_s: Annotated[Decimal, between("1", "86400")] = Decimal(300)
    min_fills: Annotated[int, between("1", "1000")] = 1
    action: str = "throttle:0.5"
    cooldown_s: Annotated[Decimal, between("0", "86400")] = Decimal(3600)
    clear_s: Annotated[Decimal, between("0", "86400")] = ZERO


def history(params: Table) -> tuple[Keep, ...]:
    """The fills of the window."""
    return (Keep(kind=Fill, seconds=params.window_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument."""
    costs: dict[str, list[Cost]] = {name: [] for name in view.names}
    for fact in view.recent(Fill, now, params.window_s):
        if fact.message.instrument in costs:
            cost = cost_of(fact.message, fact.figures)
            costs[fact.message.instrument] += [] if cost is None else [cost]
    verdicts = []
    for name, found in costs.items():
        worth = sum((notional for notional, _ in found), ZERO)
        mean = sum((cost for _, cost in found), ZERO) / worth * BPS if worth else ZERO
        enough = len(found) >= params.min_fills
        warn = warn_level(params.warn_bps, params.trip_bps)
        judged = mean if enough else ZERO
        verdict = at_or_above(
            params,
            judged,
            warn=warn,
            limit=params.trip_bps,
            unit="bps",
            what=f"mean slippage of {len(found)} closes",
            scope=Scope(instrument=name),
        )
        verdicts.append(verdict.look_again(LOOK_AGAIN_S) if found else verdict)
    return tuple(verdicts)

"""Whether there is a market to trade in: the book's spread, and the thinner side's depth within 1 % of mid."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, judge, missing, short, shown, warn_level
from hedgegridd.messages import BookDepth, Scope

TYPE = "spread_depth"
INPUTS = (BookDepth,)


class Table(GuardTable, frozen=True, kw_only=True):
    """A spread above `trip_spread_bps`, or a depth under `min_depth_usdt`; the depth is read every 15 s."""

    trip_spread_bps: Annotated[Decimal, above("0", "10000")] = Decimal(100)
    warn_spread_bps: Annotated[Decimal, above("0", "10000")] | None = None
    min_depth_usdt: Annotated[Decimal, between("0", "1000000000")] = Decimal(50_000)
    warn_depth_usdt: Annotated[Decimal, between("0", "1000000000")] | None = None
    action: str = "pause"
    max_age_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(40)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument."""
    return tuple(_of(name, view, now, params) for name in view.names)


def _of(name: str, view: View, now: Now, params: Table) -> Verdict:
    scope = Scope(instrument=name)
    book = view.fresh(BookDepth, now, params.max_age_s, name)
    if book is None:
        what = f"the book of {short(name)} is not known"
        return missing(params, what, scope=scope, limit=params.trip_spread_bps, unit="bps")
    spread, depth = book.spread_bps, book.depth_usdt
    wide = warn_level(params.warn_spread_bps, params.trip_spread_bps)
    thin = warn_level(params.warn_depth_usdt, params.min_depth_usdt, Decimal("1.25"))
    if depth < params.min_depth_usdt or (depth < thin and spread <= wide):
        return judge(
            params,
            depth,
            reached=depth < params.min_depth_usdt,
            near=True,
            warn=thin,
            limit=params.min_depth_usdt,
            unit="USDT",
            scope=scope,
            words=lambda: (
                f"depth within 1 % is {shown(depth)} USDT, limit {shown(params.min_depth_usdt)} USDT"
            ),
        )
    return judge(
        params,
        spread,
        reached=spread > params.trip_spread_bps,
        near=spread > wide,
        warn=wide,
        limit=params.trip_spread_bps,
        unit="bps",
        scope=scope,
        words=lambda: f"spread {shown(spread)} bps, limit {shown(params.trip_spread_bps)} bps",
    )

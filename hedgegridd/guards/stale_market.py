"""How long no mark price and no closed bar of an instrument has come: by arrival, on the monotonic clock."""

from decimal import Decimal
from typing import Annotated

import msgspec

from hedgegridd.config import above, between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, judge, missing, short, shown, warn_level
from hedgegridd.messages import BarClosed, MarkPrice, Scope

TYPE = "stale_market"
INPUTS = (MarkPrice, BarClosed)
RANKS = {"OK": 0, "WARN": 1, "CRITICAL": 2, "BLOCK": 3}


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_mark_s` without a mark price (one comes each second), `trip_bar_s` without a closed bar."""

    trip_mark_s: Annotated[Decimal, above("0", "3600")] = Decimal(5)
    warn_mark_s: Annotated[Decimal, above("0", "3600")] | None = None
    trip_bar_s: Annotated[Decimal, above("0", "86400")] = Decimal(300)
    warn_bar_s: Annotated[Decimal, above("0", "86400")] | None = None
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(5)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument, and a look when the next one would be too old."""
    return tuple(_of(name, view, now, params) for name in view.names)


def _of(name: str, view: View, now: Now, params: Table) -> Verdict:
    scope = Scope(instrument=name)
    mark, bar = view.last(MarkPrice, name), view.last(BarClosed, name)
    if mark is None or bar is None:
        what = f"no {'mark price' if mark is None else 'bar'} of {short(name)} yet"
        return missing(params, what, scope=scope, limit=params.trip_mark_s, unit="s")
    marks = (warn_level(params.warn_mark_s, params.trip_mark_s), params.trip_mark_s)
    bars = (warn_level(params.warn_bar_s, params.trip_bar_s), params.trip_bar_s)
    by_mark = _judge(params, scope, "mark price", mark.age_s(now), marks)
    by_bar = _judge(params, scope, "closed bar", bar.age_s(now), bars)
    worse = by_bar if RANKS[by_bar.level] > RANKS[by_mark.level] else by_mark
    looks = [each.again_s for each in (by_mark, by_bar) if each.again_s is not None]
    return msgspec.structs.replace(worse, again_s=min(looks, default=None))


def _judge(
    params: Table, scope: Scope, what: str, age_s: Decimal, levels: tuple[Decimal, Decimal]
) -> Verdict:
    warn, limit = levels
    verdict = judge(
        params,
        age_s,
        reached=age_s >= limit,
        near=age_s >= warn,
        warn=warn,
        limit=limit,
        unit="s",
        scope=scope,
        words=lambda: f"no {what} for {shown(age_s)} s, limit {shown(limit)} s",
    )
    left_s = min((level - age_s for level in levels if level > age_s), default=None)
    return msgspec.structs.replace(verdict, again_s=left_s)

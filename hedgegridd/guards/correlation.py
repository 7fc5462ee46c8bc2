"""Grids whose instruments move together are one risk: no further one adds inventory in the same direction.

Pearson's correlation of returns between stretches of `sample_s` over `window_s` of market time. Of two grids that are
correlated the one with more inventory in a direction keeps it; the other may add none there. Instruments that move
against each other (below minus the level) are the same risk with the legs crossed.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from statistics import StatisticsError, correlation
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import View, leg_of, market_ns
from hedgegridd.core.guard import (
    SECOND_NS,
    GuardTable,
    Keep,
    Now,
    Verdict,
    judge,
    leg_scope,
    short,
    shown,
    warn_level,
)
from hedgegridd.messages import BarClosed, RiskFigures
from hedgegridd.model import LEGS, ZERO, Leg

TYPE = "correlation"
INPUTS = (BarClosed, RiskFigures)
WARN_PART = Decimal("0.9")


class Table(GuardTable, frozen=True, kw_only=True):
    """At `trip_ratio`; `warn_ratio` left out: 90 % of it. Fewer than `min_samples` returns say nothing yet."""

    trip_ratio: Annotated[Decimal, above("0", "1")] = Decimal("0.85")
    warn_ratio: Annotated[Decimal, above("0", "1")] | None = None
    window_s: Annotated[Decimal, between("60", "604800")] = Decimal(86_400)
    sample_s: Annotated[Decimal, between("60", "86400")] = Decimal(900)
    min_samples: Annotated[int, between("3", "10000")] = 24
    action: str = "pause"


def history(params: Table) -> tuple[Keep, ...]:
    """The last bar of each stretch."""
    return (Keep(kind=BarClosed, seconds=params.window_s, every_s=params.sample_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each leg: its strongest tie to a grid that has inventory in the same direction."""
    del now  # returns are on the market's clock
    closes = _closes(view, int(params.sample_s * SECOND_NS)) if len(view.names) > 1 else {}
    tied: dict[tuple[str, Leg], tuple[Decimal, str]] = {}
    for first, second, ratio in _pairs(view.names, closes, params.min_samples):
        for leg in LEGS:
            other = leg if ratio > ZERO else leg.opposite
            one, two = _worth(view, first, leg), _worth(view, second, other)
            if one >= two and one > ZERO:
                _tie(tied, (second, other), abs(ratio), f"{short(first)} {leg}")
            elif two > ZERO:
                _tie(tied, (first, leg), abs(ratio), f"{short(second)} {other}")
    warn = warn_level(params.warn_ratio, params.trip_ratio, WARN_PART)
    return tuple(
        judge(
            params,
            ratio,
            reached=ratio >= params.trip_ratio,
            near=ratio >= warn,
            warn=warn,
            limit=params.trip_ratio,
            unit="",
            words=lambda r=ratio, w=whom: f"moves with {w}, which has inventory: correlation {shown(r)}",  # type: ignore[misc]
            scope=leg_scope(name, leg),
        )
        for name in view.names
        for leg in LEGS
        for ratio, whom in (tied.get((name, leg), (ZERO, "none")),)
    )


def _tie(
    tied: dict[tuple[str, Leg], tuple[Decimal, str]], key: tuple[str, Leg], ratio: Decimal, whom: str
) -> None:
    if ratio > tied.get(key, (ZERO, ""))[0]:
        tied[key] = (ratio, whom)


def _worth(view: View, name: str, leg: Leg) -> Decimal:
    books = view.books(name)
    return ZERO if books is None else leg_of(books, leg).notional_usdt or ZERO


def _closes(view: View, stretch_ns: int) -> dict[str, dict[int, float]]:
    """Last close of each stretch by instrument. Floats: a statistic, no money."""
    closes: dict[str, dict[int, float]] = {name: {} for name in view.names}
    for fact in view.kept(BarClosed):
        bar = fact.message
        if bar.instrument in closes:
            closes[bar.instrument][(market_ns(bar, fact.time_ns) - 1) // stretch_ns] = float(bar.close)
    return closes


def _pairs(
    names: tuple[str, ...], closes: dict[str, dict[int, float]], least: int
) -> Iterator[tuple[str, str, Decimal]]:
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            shared = sorted(closes[first].keys() & closes[second].keys())
            steps = [(a, b) for a, b in pairwise(shared) if b == a + 1]
            if len(steps) < least:
                continue
            try:
                ratio = correlation(
                    [closes[first][b] / closes[first][a] - 1 for a, b in steps],
                    [closes[second][b] / closes[second][a] - 1 for a, b in steps],
                )
            except StatisticsError:  # one of them did not move at all
                continue
            yield first, second, Decimal(f"{ratio:.6f}")

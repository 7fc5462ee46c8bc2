"""Grids whose instruments move together are one risk: no further one adds inventory in the same direction.

Pearson's correlation of returns between stretches of `sample_s` over `window_s` of market time. Of two grids that are
correlated the one with more inventory in a direction keeps it; the other may add none there. Instruments that move
against each other (below minus the level) are the same risk with the legs crossed. While a correlation is not known the
further grid adds nothing in either.
"""

from decimal import Decimal
from itertools import combinations, pairwise
from statistics import StatisticsError, correlation
from typing import Annotated, NamedTuple

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
    missing,
    short,
    shown,
    warn_level,
)
from hedgegridd.messages import BarClosed, RiskFigures, Scope
from hedgegridd.model import LEGS, ZERO, Leg

TYPE = "correlation"
INPUTS = (BarClosed, RiskFigures)
WARN_PART = Decimal("0.9")
STRONGEST = Decimal(2)  # of a tie that is not known: above any correlation


class Table(GuardTable, frozen=True, kw_only=True):
    """At `trip_ratio`; `warn_ratio` left out: 90 % of it. Fewer than `min_samples` returns are missing data.

    At a start the venue's history of bars fills them (1,500 bars at most).
    """

    trip_ratio: Annotated[Decimal, above("0", "1")] = Decimal("0.85")
    warn_ratio: Annotated[Decimal, above("0", "1")] | None = None
    window_s: Annotated[Decimal, between("60", "604800")] = Decimal(86_400)
    sample_s: Annotated[Decimal, between("60", "86400")] = Decimal(900)
    min_samples: Annotated[int, between("3", "10000")] = 24
    action: str = "pause"

    @property
    def warm_up_s(self) -> Decimal:
        """Market time whose bars make enough returns; the first and the last stretch may be begun."""
        return self.sample_s * (self.min_samples + 2)


def history(params: Table) -> tuple[Keep, ...]:
    """The last bar of each stretch."""
    return (Keep(kind=BarClosed, seconds=params.window_s, every_s=params.sample_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each leg: its strongest tie to a grid that has inventory in the same direction."""
    del now  # returns are on the market's clock
    closes = _closes(view, int(params.sample_s * SECOND_NS)) if len(view.names) > 1 else {}
    tied: dict[tuple[str, Leg], _Tie] = {}
    for first, second in combinations(view.names, 2):
        steps = _steps(closes[first], closes[second])
        known = len(steps) >= params.min_samples
        ratio = _correlation(closes[first], closes[second], steps) if known else None
        for leg in LEGS:
            # Which legs share a risk is not known without the sign: then all of them do.
            for other in LEGS if ratio is None else (leg if ratio > ZERO else leg.opposite,):
                one, two = _worth(view, first, leg), _worth(view, second, other)
                if one >= two and one > ZERO:
                    _tie(tied, (second, other), _Tie(ratio, len(steps), f"{short(first)} {leg}"))
                elif two > ZERO:
                    _tie(tied, (first, leg), _Tie(ratio, len(steps), f"{short(second)} {other}"))
    none = _Tie(ZERO, 0, "none")
    return tuple(
        _verdict(tied.get((name, leg), none), leg_scope(name, leg), params)
        for name in view.names
        for leg in LEGS
    )


class _Tie(NamedTuple):
    """To a leg that has inventory: the correlation, None when so few `returns` do not tell it."""

    ratio: Decimal | None
    returns: int
    whom: str

    @property
    def strength(self) -> Decimal:
        return STRONGEST if self.ratio is None else abs(self.ratio)


def _verdict(tie: _Tie, scope: Scope, params: Table) -> Verdict:
    if tie.ratio is None:
        whom = tie.whom.partition(" ")[0]
        what = f"{tie.returns} of {params.min_samples} returns shared with {whom}, which has inventory"
        return missing(params, what, scope=scope, limit=params.trip_ratio)
    ratio = tie.strength
    warn = warn_level(params.warn_ratio, params.trip_ratio, WARN_PART)
    return judge(
        params,
        ratio,
        reached=ratio >= params.trip_ratio,
        near=ratio >= warn,
        warn=warn,
        limit=params.trip_ratio,
        unit="",
        words=lambda: f"moves with {tie.whom}, which has inventory: correlation {shown(ratio)}",
        scope=scope,
    )


def _tie(tied: dict[tuple[str, Leg], _Tie], key: tuple[str, Leg], tie: _Tie) -> None:
    known = tied.get(key)
    if known is None or tie.strength > known.strength:
        tied[key] = tie


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


def _steps(one: dict[int, float], two: dict[int, float]) -> list[tuple[int, int]]:
    """Stretches that follow each other and have a close of both."""
    return [(a, b) for a, b in pairwise(sorted(one.keys() & two.keys())) if b == a + 1]


def _correlation(one: dict[int, float], two: dict[int, float], steps: list[tuple[int, int]]) -> Decimal:
    try:
        ratio = correlation([one[b] / one[a] - 1 for a, b in steps], [two[b] / two[a] - 1 for a, b in steps])
    except StatisticsError:  # one of them did not move at all, so not with the other
        return ZERO
    return Decimal(f"{ratio:.6f}")

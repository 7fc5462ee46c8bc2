"""Markets of the paper exchange: deterministic, continuous, exact, and as lively as the demo promises."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from hedgegridd.exchange.book import LEVELS, DepthModel
from hedgegridd.exchange.klines import MINUTE_MS
from hedgegridd.exchange.mark import MarkFilter
from hedgegridd.exchange.markets import build
from hedgegridd.exchange.regimes import DEMO_SPEED, SCHEDULES
from hedgegridd.exchange.synthetic import SyntheticMarket
from hedgegridd.exchange.types import SymbolRules, Tick
from tests.support.ticks import on_grid, take

RULES = SymbolRules()
START_MS = 1_700_000_040_000


def synthetic(regime: str = "demo", seed: int = 7, rate: str = "1", history: int = 5) -> SyntheticMarket:
    return SyntheticMarket(
        RULES, seed=seed, start_ms=START_MS, tick_rate=Decimal(rate), regime=regime, history_bars=history
    )


# --- synthetic


@pytest.mark.parametrize("regime", sorted(SCHEDULES))
def test_ticks_are_exact_ordered_and_show_a_sane_book(regime: str) -> None:
    ticks = take(synthetic(regime), 3_000)
    for before, tick in pairwise(ticks):
        assert before.ts_ms <= tick.ts_ms
        touches = tick.low <= before.last <= tick.high
        assert touches or tick.low == tick.last == tick.high
        assert tick.low <= tick.last <= tick.high
        assert tick.volume > 0 or tick.last == before.last
    for tick in ticks[::50]:
        assert on_grid(tick)
        assert tick.bids[0][0] <= tick.last <= tick.asks[0][0]
        assert tick.bids[0][0] < tick.asks[0][0]
        assert len(tick.bids) == len(tick.asks) == LEVELS
        assert [p for p, _ in tick.bids] == sorted({p for p, _ in tick.bids}, reverse=True)
        assert [p for p, _ in tick.asks] == sorted({p for p, _ in tick.asks})
        assert all(q > 0 for _, q in (*tick.bids, *tick.asks))
        assert isinstance(tick.last, Decimal)


def test_same_seed_same_ticks_other_seed_others() -> None:
    assert take(synthetic(), 500) == take(synthetic(), 500)
    assert take(synthetic(seed=8), 500) != take(synthetic(), 500)


def test_symbols_of_one_seed_do_not_move_together() -> None:
    first, second = build(
        "synthetic", symbols=[RULES, SymbolRules(symbol="XBTUSDT")], start_ms=START_MS, tick_rate=1, seed=3
    )
    moves = [[b.last > a.last for a, b in pairwise(t)] for t in (take(first, 200), take(second, 200))]
    assert moves[0] != moves[1]


def test_only_gaps_skip_prices() -> None:
    def gaps(regime: str) -> int:
        ticks = take(synthetic(regime, rate="0.1"), 5_000)
        return sum(not t.low <= b.last <= t.high for b, t in pairwise(ticks))

    assert gaps("gap") > 10
    assert gaps("spike") == gaps("range") == gaps("crash") == 0


def test_a_jump_multiplies_the_level_and_is_a_gap() -> None:
    market, still = synthetic("quiet"), synthetic("quiet")
    before = take(market, 10)[-1]
    take(still, 10)
    market.jump(Decimal("0.9"))
    tick = market.next()
    assert tick.high == tick.low == tick.last
    assert abs(tick.last / still.next().last - Decimal("0.9")) < Decimal("0.0001")
    assert tick.last < before.last < Decimal("1.2") * tick.last
    assert abs(take(market, 600)[-1].last / tick.last - 1) < Decimal("0.02")
    market.jump(Decimal(30))
    assert abs(market.next().last / tick.last - 30) < 1
    for factor in (Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(ValueError, match="factor"):
            market.jump(factor)


def test_history_is_closed_minutes_up_to_the_first_tick() -> None:
    market = synthetic(history=240)
    klines = market.history()
    assert len(klines) == 240
    assert [k.open_ms for k in klines] == [START_MS - (240 - i) * MINUTE_MS for i in range(240)]
    assert all(k.closed and k.low <= min(k.open, k.close) and k.high >= max(k.open, k.close) for k in klines)
    first = market.next()
    assert first.ts_ms == START_MS + 1000
    assert first.low <= klines[-1].close <= first.high
    assert max(k.high for k in klines) / min(k.low for k in klines) > Decimal("1.03")


def test_tick_rate_spaces_the_ticks() -> None:
    assert [t.ts_ms - START_MS for t in take(synthetic(rate="4"), 3)] == [250, 500, 750]
    market = synthetic(rate="15000")
    assert take(market, 15_000)[-1].ts_ms - START_MS == pytest.approx(1000, abs=1)
    assert market.next_ts_ms() == market.next().ts_ms


class Grid:
    """The default grid by its definition alone, factors of price: rungs 50 bps apart, take-profit 150 and stop
    250 bps off the fill, no rung within 25 bps of an open lot, recentre at 400 bps."""

    def __init__(self, centre: Decimal) -> None:
        self.centre = self.before = float(centre)
        self.recentres = 0
        self.lots: dict[int, list[float]] = {1: [], -1: []}
        self.fills = {1: 0, -1: 0}
        self.exits = {1: 0, -1: 0}

    def on_tick(self, tick: Tick) -> None:
        low, high = float(tick.low), float(tick.high)
        for leg, worst, best in ((1, low, high), (-1, high, low)):
            taken = [lot for lot in self.lots[leg] if (best - lot * (1 + leg * 0.015)) * leg > 0]
            stopped = [lot for lot in self.lots[leg] if (worst - lot * (1 - leg * 0.025)) * leg < 0]
            self.exits[leg] += len(taken)
            self.lots[leg] = lots = [lot for lot in self.lots[leg] if lot not in taken + stopped]
            for level in range(1, 7):
                rung = self.centre * (1 - leg * level * 0.005)
                crossed = (self.before - rung) * leg > 0 > (worst - rung) * leg
                if crossed and all(abs(rung / lot - 1) > 0.0025 for lot in lots) and len(lots) < 14:
                    lots.append(rung)
                    self.fills[leg] += 1
        if abs(float(tick.last) / self.centre - 1) > 0.04:
            self.centre = float(tick.last)
            self.recentres += 1
        self.before = float(tick.last)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("late_s", [0, 180, 360, 540])
def test_demo_fills_both_legs_takes_profit_and_recentres_within_two_minutes(seed: int, late_s: int) -> None:
    """Whatever the point of the swing at which the daemon has become ready, two wall minutes show all of it."""
    ticks = take(synthetic("demo", seed=seed, rate="0.5"), (late_s + 100 * DEMO_SPEED) // 2)[late_s // 2 :]
    grid = Grid(ticks[0].last)
    for tick in ticks:
        grid.on_tick(tick)
    assert min(grid.fills.values()) >= 3
    assert min(grid.exits.values()) >= 2
    assert grid.recentres >= 1


def test_demo_comes_back_to_where_it_began() -> None:
    market = synthetic("demo", rate="0.02")
    cycle_s = int(sum(seconds for _, seconds in SCHEDULES["demo"]))
    ticks = take(market, 40 * cycle_s // 50)
    assert Decimal("0.85") < min(t.last for t in ticks) / ticks[0].last
    assert max(t.last for t in ticks) / ticks[0].last < Decimal("1.15")


def test_regimes_differ_as_their_names_say() -> None:
    def roughness(regime: str) -> Decimal:
        ticks = take(synthetic(regime, rate="1"), 1_200)
        return sum((abs(b.last / a.last - 1) for a, b in pairwise(ticks)), Decimal(0))

    assert roughness("quiet") < roughness("range") < roughness("crash")
    crash = take(synthetic("crash", rate="1"), 1_200)
    assert crash[-1].last < crash[299].last * Decimal("0.96")
    assert crash[600].asks[0][0] - crash[600].bids[0][0] > 10 * (crash[0].asks[0][0] - crash[0].bids[0][0])
    assert crash[600].asks[3][1] < crash[0].asks[3][1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"regime": "calm"}, "regime"),
        ({"tick_rate": 0}, "tick_rate"),
        ({"tick_rate": 15_001}, "tick_rate"),
        ({"history_bars": -1}, "history_bars"),
        ({"history_bars": 20_001}, "history_bars"),
        ({"start_ms": 5}, "start_ms"),
        ({"symbols": []}, "symbols"),
        ({"symbols": [RULES, RULES]}, "symbols"),
        ({"data": Path("x.csv")}, "data"),
        ({"kind": "bridge"}, "market"),
        ({"kind": "replay"}, "data"),
        (
            {"kind": "replay", "data": Path("x.csv"), "symbols": [RULES, SymbolRules(symbol="XBTUSDT")]},
            "symbols",
        ),
        ({"symbols": [SymbolRules(tick=Decimal(5000))]}, "start_price"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], field: str) -> None:
    arguments: dict[str, object] = {"kind": "synthetic", "symbols": [RULES], "start_ms": START_MS} | change
    with pytest.raises(ValueError, match=f"^{field}"):
        build(**arguments)  # type: ignore[arg-type]


# --- book


def test_depth_scales_with_size_and_spread() -> None:
    depth = DepthModel(RULES, 650_000)
    bids, asks = depth.around(650_000, 0.0, 100)
    assert (bids[0][0], asks[0][0]) == (Decimal("65000.0"), Decimal("65000.1"))
    wide_bids, wide_asks = depth.around(650_000, 4.0, 20)
    assert wide_asks[0][0] - wide_bids[0][0] == Decimal("26.0")
    assert sum(q for _, q in wide_bids) < sum(q for _, q in bids) / 4
    assert depth.around(650_000, 0.0, 100) == (bids, asks)
    assert Decimal(50_000) < bids[0][0] * sum(q for _, q in bids)


def test_depth_near_zero_shows_no_price_below_one_tick() -> None:
    bids, asks = DepthModel(RULES, 650_000).around(3, 0.2, 100)
    assert bids[0][0] == Decimal("0.3")
    assert all(p > 0 for p, _ in bids)
    assert len(asks) == LEVELS


def test_mark_follows_smoothly_and_does_not_overshoot() -> None:
    mark = MarkFilter(1_000, 0)
    seen = [mark.at(2_000, ms) for ms in range(1_000, 120_000, 1_000)]
    assert seen == sorted(seen)
    assert 1_050 < seen[0] < 1_150
    assert seen[-1] in (1_999, 2_000)
    assert mark.at(9_000, 119_000) == seen[-1]

"""Guards of positions: notional, exposure, liquidation, funding, the leg stop, correlation."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd.model import Leg
from tests.support.guard_bench import BTC, ETH, SECOND_NS, START_NS, Bench, bar, figures, instrument_figures

LONG, SHORT = Leg.LONG, Leg.SHORT
XRP = "XRPUSDT-PERP.BINANCE"
MINUTE_NS = 60 * SECOND_NS


# parameters, liquidation price of LONG at mark 50,000, level, action
LIQUIDATION = [
    ({}, None, None, None),
    ({}, D(40_000), "OK", None),  # 20 %
    ({}, D(40_625), "WARN", None),  # 18.75 %
    ({}, D(42_500), "BLOCK", "pause"),  # 15 %
    ({}, D(46_499), "BLOCK", "pause"),
    ({}, D(46_500), "CRITICAL", None),  # 7 %: the table's action
    ({"pause_pct": D(20)}, D(40_000), "BLOCK", "pause"),
    ({"trip_pct": D(15)}, D(42_500), "CRITICAL", None),
    ({"warn_pct": D(30)}, D(35_000), "WARN", None),
    ({}, D(53_500), "CRITICAL", None),  # above the mark counts as well
]


@pytest.mark.parametrize(("params", "price", "level", "action"), LIQUIDATION)
def test_distance_of_liquidation(params, price, level, action):
    legs = {LONG: {"liquidation_price": price}}
    bench = Bench("liquidation_distance", **params)(figures(instrument_figures(long="0.1", legs=legs)))
    if level is None:
        assert bench.verdicts() == ()
        return
    verdict = bench.of(BTC, LONG)
    acts = verdict.breach and verdict.action is not None
    assert (verdict.level, str(verdict.action) if acts else None) == (level, action)


def test_liquidation_of_either_leg_counts_and_only_with_inventory():
    legs = {LONG: {"liquidation_price": D(49_000)}, SHORT: {"liquidation_price": D(51_000)}}
    bench = Bench("liquidation_distance")(figures(instrument_figures(short="0.1", legs=legs)))
    assert [(each.scope.leg, each.level) for each in bench.verdicts()] == [(SHORT, "CRITICAL")]


def test_liquidation_without_a_fresh_mark_is_a_breach_when_there_is_inventory():
    bench = Bench("liquidation_distance", max_age_s=D(5))
    assert bench.of(BTC).level == "BLOCK"
    bench(figures(instrument_figures()))
    assert bench.wait(6).verdicts() == ()
    bench(figures(instrument_figures(long=1, market_ns=2)))
    assert bench.wait(6).of(BTC).level == "BLOCK"


NOTIONAL = [
    ({"trip_usdt": D(10_000)}, "0.1", "0.05", None, "OK"),
    ({"trip_usdt": D(10_000)}, "0.1", "0.06", None, "WARN"),
    ({"trip_usdt": D(10_000)}, "0.1", "0.1", None, "BLOCK"),
    ({"trip_leg_usdt": D(5_000)}, "0.079", "0.1", LONG, "OK"),
    ({"trip_leg_usdt": D(5_000)}, "0.08", "0.1", LONG, "WARN"),
    ({"trip_leg_usdt": D(5_000)}, "0.1", "0", LONG, "BLOCK"),
    ({"trip_leg_usdt": D(5_000)}, "0.1", "0", SHORT, "OK"),
]


@pytest.mark.parametrize(("params", "long", "short", "leg", "level"), NOTIONAL)
def test_notional_of_an_instrument_and_of_a_leg(params, long, short, leg, level):
    bench = Bench("position_notional", **params)(figures(instrument_figures(long=long, short=short)))
    assert bench.of(BTC, leg).level == level


@pytest.mark.parametrize("guard", ["daily_loss", "position_notional"])
def test_a_guard_without_a_level_is_off(guard):
    assert Bench(guard).params.off
    assert not Bench(guard, trip_usdt=D(1)).params.off
    assert Bench(guard, trip_usdt=D(1), enabled=False).params.off


EXPOSURE = [
    ({}, "0.2", "0.1", BTC, "OK"),
    ({}, "0.4", "0", BTC, "WARN"),
    ({}, "0.25", "0.25", BTC, "BLOCK"),
    ({"trip_usdt": D(1_000)}, "0.02", "0", BTC, "BLOCK"),
    ({}, "0.4", "0.3", None, "OK"),  # with ETH's 3,000: 38,000
    ({}, "0.4", "0.35", None, "WARN"),
    ({}, "0.5", "0.44", None, "BLOCK"),
    ({"trip_total_usdt": D(4_000)}, "0.02", "0", None, "BLOCK"),
]


@pytest.mark.parametrize(("params", "long", "short", "scope", "level"), EXPOSURE)
def test_exposure_of_an_instrument_and_of_all(params, long, short, scope, level):
    eth = instrument_figures(ETH, long=1, mark=D(3_000))
    bench = Bench("exposure", (BTC, ETH), **params)(figures(instrument_figures(long=long, short=short), eth))
    assert bench.of(scope).level == level


def test_exposure_of_all_is_missing_without_a_mark_of_each():
    bench = Bench("exposure", (BTC, ETH))(figures(instrument_figures(long="0.1")))
    told = [(each.scope.instrument, each.level) for each in bench.verdicts()]
    assert told == [(BTC, "OK"), (ETH, "BLOCK"), (None, "BLOCK")]
    assert bench.of().value is None, "a sum of what is left would be too small"


FUNDING = [
    ({}, "0.0015", "0.1", "0", LONG, "OK"),  # 15 bps
    ({}, "0.0016", "0.1", "0", LONG, "WARN"),
    ({}, "0.002", "0.1", "0", LONG, "CRITICAL"),
    ({}, "-0.002", "0.1", "0", SHORT, "OK"),  # LONG receives
    ({}, "-0.002", "0", "0.1", SHORT, "CRITICAL"),
    ({}, "0.01", "0.1", "0.1", LONG, "OK"),  # balanced: net nothing
    ({}, "0.004", "0.1", "0.034", LONG, "WARN"),  # a third hedged
    ({"trip_bps": D(5)}, "0.0005", "0.1", "0", LONG, "CRITICAL"),
    ({"warn_bps": D(1)}, "0.0001", "0.1", "0", LONG, "WARN"),
]


@pytest.mark.parametrize("row", FUNDING)
def test_funding_cost_is_net_and_about_the_leg_that_pays(row):
    params, rate, long, short, leg, level = row
    bench = Bench("funding_cost", **params)
    verdict = bench(figures(instrument_figures(long=long, short=short, funding_rate=D(rate)))).of(BTC, leg)
    assert verdict.level == level


def test_a_trim_is_for_a_settlement():
    one = Bench("funding_cost")(
        figures(instrument_figures(long=1, funding_rate=D("0.01"), next_funding_ns=8))
    )
    two = Bench("funding_cost")(
        figures(instrument_figures(long=1, funding_rate=D("0.01"), next_funding_ns=9))
    )
    assert one.only().once != two.only().once
    assert one.params.action == "trim:0.3"


def test_funding_that_is_not_known_is_a_breach_with_inventory_only():
    assert Bench("funding_cost")(figures(instrument_figures(funding_rate=None))).verdicts() == ()
    bench = Bench("funding_cost", max_age_s=D(5))(figures(instrument_figures(long=1, funding_rate=None)))
    assert bench.only().level == "BLOCK"
    bench(figures(instrument_figures(long=1, market_ns=2)))
    assert bench.only().level == "OK"
    assert bench.wait(6).only().level == "BLOCK"


# parameters, seconds without a stop, level, action, look again in
STOPS = [
    ({}, "0", "OK", "restop", "2"),
    ({}, "1.9", "OK", "restop", "0.1"),
    ({}, "2", "CRITICAL", "restop", "5"),
    ({}, "28", "CRITICAL", "restop", "2"),
    ({}, "30", "CRITICAL", None, None),
    ({"restop_s": D(1)}, "1", "CRITICAL", "restop", "5"),
    ({"trip_s": D(10)}, "10", "CRITICAL", None, None),
]


@pytest.mark.parametrize(("params", "held", "level", "action", "again"), STOPS)
def test_a_stop_that_is_missing(params, held, level, action, again):
    legs = {SHORT: {"stop_resting": False}}
    bench = Bench("stop_missing", **params)(figures(instrument_figures(short="0.1", legs=legs)))
    verdict = bench.holds_since(f"{BTC}:SHORT", held).of(BTC, SHORT)
    assert verdict.held
    assert (verdict.level, verdict.action and str(verdict.action)) == (level, action)
    assert verdict.again_s == (None if again is None else D(again))
    assert bench.of(BTC, LONG).level == "OK"


@pytest.mark.parametrize("leg", [{"stop_resting": True}, {"stop_resting": False, "hands_off": True}])
def test_a_stop_that_rests_or_is_not_ours_to_place_is_not_missed(leg):
    bench = Bench("stop_missing")(figures(instrument_figures(short="0.1", legs={SHORT: leg})))
    assert bench.holds_since(f"{BTC}:SHORT", 100).of(BTC, SHORT).level == "OK"
    flat = Bench("stop_missing")(figures(instrument_figures(legs={SHORT: {"stop_resting": False}})))
    assert flat.of(BTC, SHORT).level == "OK"


def test_stops_of_positions_that_are_not_known():
    assert Bench("stop_missing").only().level == "BLOCK"
    assert Bench("stop_missing")(figures(reconciled=False)).only().level == "BLOCK"
    assert Bench("stop_missing", (BTC, ETH))(figures()).of(ETH).level == "BLOCK"


def test_each_try_to_place_a_stop_is_one():
    legs = {LONG: {"stop_resting": False}}
    bench = Bench("stop_missing")(figures(instrument_figures(long="0.1", legs=legs)))
    said = [bench.holds_since(f"{BTC}:LONG", at).of(BTC, LONG).once for at in ("2", "4.9", "5", "9", "10")]
    assert [said.index(each) for each in said] == [0, 0, 2, 2, 4]


# -------------------------------------------------------------------------------------------------- correlation


def together(bench: Bench, moves: list[tuple[float, float]], step_s: int = 900) -> Bench:
    """Closes of both instruments, one each stretch, moved by so many per cent."""
    btc, eth = 50_000.0, 3_000.0
    for number, (one, two) in enumerate(moves):
        btc, eth = btc * (1 + one / 100), eth * (1 + two / 100)
        close_ns = START_NS + number * step_s * SECOND_NS
        bench(bar(BTC, close_ns, f"{btc:.4f}"), bar(ETH, close_ns, f"{eth:.4f}"))
    return bench


WAVE = [(-1.0 if number % 3 else 2.0) for number in range(40)]
OTHER = [(-1.0 if number % 2 else 1.0) for number in range(40)]


def holding(**legs: object) -> object:
    btc = instrument_figures(long=legs.get("btc_long", 0), short=legs.get("btc_short", 0))
    eth = instrument_figures(ETH, long=legs.get("eth_long", 0), short=legs.get("eth_short", 0), mark=D(3_000))
    return figures(btc, eth)


def blocked(bench: Bench) -> list[tuple[str, Leg]]:
    return [(each.scope.instrument, each.scope.leg) for each in bench.verdicts() if each.level == "BLOCK"]


def test_the_smaller_of_two_grids_that_move_together_may_not_add_in_that_direction():
    bench = together(Bench("correlation", (BTC, ETH)), [(each, each * 0.7) for each in WAVE])
    assert blocked(bench) == []
    bench(holding(btc_long="0.1"))
    assert blocked(bench) == [(ETH, LONG)]
    bench(holding(btc_long="0.01", eth_long=1, eth_short=1))
    assert blocked(bench) == [(BTC, LONG), (BTC, SHORT)]


def test_grids_that_move_against_each_other_are_tied_crosswise():
    bench = together(Bench("correlation", (BTC, ETH)), [(each, -each) for each in WAVE])
    bench(holding(btc_long="0.1"))
    assert blocked(bench) == [(ETH, SHORT)]


def test_grids_that_move_apart_tie_nothing():
    bench = together(Bench("correlation", (BTC, ETH)), list(zip(WAVE, OTHER, strict=True)))
    bench(holding(btc_long="0.1"))
    assert blocked(bench) == []
    enough = together(Bench("correlation", (BTC, ETH), min_samples=10), [(each, each) for each in WAVE[:20]])
    enough(holding(btc_long="0.1"))
    assert blocked(enough) == [(ETH, LONG)]
    still = together(Bench("correlation", (BTC, ETH)), [(each, 0.0) for each in WAVE])
    still(holding(btc_long="0.1"))
    assert blocked(still) == []


def test_a_correlation_that_is_not_known_ties_in_every_direction():
    """Missing data is a breach: no further grid adds inventory while its neighbour has some."""
    for moves in ([], [(each, each) for each in WAVE[:24]]):
        few = together(Bench("correlation", (BTC, ETH)), moves)
        few(holding())
        assert blocked(few) == [], "the first grid of all may begin"
        few(holding(btc_long="0.1"))
        assert blocked(few) == [(ETH, LONG), (ETH, SHORT)]
        verdict = few.of(ETH, SHORT)
        assert verdict.value is None
        assert (
            verdict.words()
            == f"{max(len(moves) - 1, 0)} of 24 returns shared with BTCUSDT, which has inventory"
        )
        few(holding(btc_long="0.01", eth_long=1))
        assert blocked(few) == [(BTC, LONG), (BTC, SHORT), (ETH, SHORT)]
    known = together(Bench("correlation", (BTC, ETH)), [(each, each) for each in WAVE[:25]])
    assert blocked(known(holding(btc_long="0.1"))) == [(ETH, LONG)]
    told = Bench("correlation", (BTC, ETH), on_missing="WARN")(holding(btc_long="0.1"))
    assert blocked(told) == []
    assert told.of(ETH, LONG).level == "WARN"
    alone = Bench("correlation", (BTC,))(figures(instrument_figures(long="0.1")))
    assert blocked(alone) == []


def test_a_tie_that_is_known_does_not_hide_one_that_is_not():
    bench = together(Bench("correlation", (BTC, ETH, XRP)), [(each, each) for each in WAVE])
    bench(holding(btc_long="0.1"))
    assert blocked(bench) == [(ETH, LONG), (XRP, LONG), (XRP, SHORT)]


def test_levels_and_window_of_correlation():
    mixed = [(one, one + two * 0.8) for one, two in zip(WAVE, OTHER, strict=True)]
    bench = together(Bench("correlation", (BTC, ETH)), mixed)
    bench(holding(btc_long="0.1"))
    value = bench.of(ETH, LONG).value
    assert D("0.8") < value < D("0.9")
    for params, level in (
        ({"trip_ratio": value}, "BLOCK"),
        ({"trip_ratio": value + D("0.01")}, "WARN"),
        ({"trip_ratio": D("0.99"), "warn_ratio": D("0.98")}, "OK"),
    ):
        other = together(Bench("correlation", (BTC, ETH), **params), mixed)
        assert other(holding(btc_long="0.1")).of(ETH, LONG).level == level
    short = together(Bench("correlation", (BTC, ETH), window_s=D(9000)), mixed)
    assert short(holding(btc_long="0.1")).of(ETH, LONG).value is None, "ten stretches are too few"
    coarse = together(Bench("correlation", (BTC, ETH), sample_s=D(3600)), mixed)
    assert coarse(holding(btc_long="0.1")).of(ETH, LONG).value is None, "ten hours are too few"

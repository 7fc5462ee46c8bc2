"""How the realism of the synthetic market is measured, and that the calibrated schedules keep what is claimed."""

import random
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.realism import (
    DAY_MINUTES,
    autocorrelation,
    calm_and_wild,
    figures,
    kurtosis,
    log_returns,
    middle,
    returns_table,
    shown_by,
    shown_in,
    shown_table,
    synthetic_minutes,
)
from hedgegridd.exchange.regimes import SCHEDULES, TREND_UP
from hedgegridd.exchange.synthetic import SyntheticMarket
from hedgegridd.exchange.types import SymbolRules


def test_log_returns_are_in_bps_and_add_up() -> None:
    returns = log_returns([100.0, 101.0, 99.0])
    assert returns == pytest.approx([99.503, -200.007], abs=1e-3)
    assert returns.sum() == pytest.approx(np.log(0.99) * 1e4)
    with pytest.raises(ValueError, match="prices"):
        log_returns([1.0, 0.0])


@pytest.mark.parametrize(
    ("values", "lag", "expected"),
    [
        ([1.0, -1.0] * 500, 1, -0.999),
        ([1.0, -1.0] * 500, 2, 0.998),
        ([3.0] * 10, 1, 0.0),
        ([1.0] * 500 + [2.0] * 500, 1, 0.997),
    ],
)
def test_autocorrelation(values: list[float], lag: int, expected: float) -> None:
    assert autocorrelation(values, lag) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("lag", [0, -1, 10])
def test_a_lag_out_of_bounds_is_refused(lag: int) -> None:
    with pytest.raises(ValueError, match=f"lag {lag}"):
        autocorrelation([1.0] * 10, lag)


def test_kurtosis_knows_thin_normal_and_fat_tails() -> None:
    rng = random.Random(1)
    assert kurtosis([1.0, -1.0] * 50) == pytest.approx(1.0)
    assert kurtosis([rng.gauss(0, 2) for _ in range(50_000)]) == pytest.approx(3.0, abs=0.15)
    assert kurtosis([0.0] * 99 + [1.0]) == pytest.approx(98.01, abs=0.01)
    assert kurtosis([5.0] * 9) == 0.0


def test_calm_half_and_wildest_day_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    scales = (5.0, 1.0, 30.0, 2.0)
    returns = np.concatenate([rng.normal(0, scale, DAY_MINUTES) for scale in scales])
    calm, wild = calm_and_wild(np.append(returns, [500.0]))  # what is no whole day is left out
    assert (
        calm == np.concatenate([returns[DAY_MINUTES : 2 * DAY_MINUTES], returns[3 * DAY_MINUTES :]])
    ).all()
    assert (wild == returns[2 * DAY_MINUTES : 3 * DAY_MINUTES]).all()
    with pytest.raises(ValueError, match="no whole day"):
        calm_and_wild(returns[:100])


def test_captured_messages_become_spreads_sizes_and_times() -> None:
    trade = {"e": "aggTrade", "s": "ABC", "p": "2.00", "q": "30", "T": 1_000}
    found = shown_in(
        [
            {"e": "bookTicker", "s": "ABC", "b": "1.99", "B": "100", "a": "2.01", "A": "200"},
            trade,
            {"e": "depthUpdate", "s": "ABC"},
            {**trade, "s": "XYZ", "T": 1_200},
            {**trade, "T": 1_500, "q": "5"},
        ],
        {"ABC": 0.01, "XYZ": 0.01},
    )
    abc = found["ABC"]
    assert abc.spread_bps == pytest.approx([100.0])
    assert abc.spread_ticks == [2]
    assert abc.touch_usdt == pytest.approx([199.0, 402.0])
    assert abc.trade_usdt == pytest.approx([60.0, 10.0])
    assert abc.between_s == pytest.approx([0.5])  # the other symbol's trade does not count
    assert found["XYZ"].between_s == []


def test_tables_have_a_row_for_each_and_cells_for_each_column() -> None:
    rng = np.random.default_rng(2)
    for table in (
        returns_table({"a": figures(rng.normal(0, 1, 500)), "b": figures(rng.normal(0, 9, 500))}),
        shown_table({"a": shown_by("range", 1, 100), "b": shown_by("crash", 1, 100)}),
    ):
        lines = table.splitlines()
        assert len(lines) == 4
        assert len({line.count("|") for line in lines}) == 1
    assert middle([]) == "-"
    assert middle([1.0, 2.0, 9.0]) == "2"
    assert middle([1_000.0, 3_000.0]) == "2,000"


def test_what_is_shown_is_the_regimes_spread_and_touch() -> None:
    shown = shown_by("range", 1, 2_000)
    assert middle(shown.spread_bps) == "0.2"
    assert 50_000 < float(np.median(shown.touch_usdt)) < 70_000
    assert 0.09 < float(np.median(shown.between_s)) < 0.11
    # Weibull of shape 0.6: the 90th percentile is 7.4 medians; an even spread of sizes would give 1.8.
    assert 5 < np.quantile(shown.trade_usdt, 0.9) / np.median(shown.trade_usdt) < 11


@pytest.mark.parametrize(("schedule", "deviation"), [("range", 6.0), ("trend", 8.3)])
def test_calibrated_schedules_have_fat_tails_and_clusters(schedule: str, deviation: float) -> None:
    """Three days of each; without bursts and moods kurtosis is 3 and nothing clusters."""
    found = figures(log_returns(synthetic_minutes(schedule, 1, 3 * DAY_MINUTES).closes))
    assert deviation * 0.6 < found.deviation < deviation * 1.6
    assert found.kurtosis > 5
    assert found.clustering[0] > 0.15
    assert found.clustering[1] > 0.03


def test_a_regime_without_bursts_stays_thin_tailed() -> None:
    found = figures(log_returns(synthetic_minutes("quiet", 1, 2 * DAY_MINUTES).closes))
    assert found.kurtosis < 4
    assert abs(found.clustering[0]) < 0.1


def test_three_plots_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the packages of requirements-bench.txt")
    from bench import realism_plots

    rng = np.random.default_rng(3)
    returns = {name: rng.normal(0, 5, 10 * DAY_MINUTES) for name in realism_plots.COLOURS}
    shown = {name: shown_by(name, 1, 200) for name in SCHEDULES}
    paths = realism_plots.draw(returns, {"ABCUSDT": shown["range"]}, shown, tmp_path)
    assert len(paths) == 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_bursts_and_moods_go_on_where_they_were() -> None:
    """A market that was kept in mid-burst gives the ticks that it would have given."""
    assert TREND_UP.burst > 0
    assert TREND_UP.mood > 0

    def made() -> SyntheticMarket:
        return SyntheticMarket(
            SymbolRules(),
            seed=4,
            start_ms=1_700_000_040_000,
            tick_rate=Decimal(2),
            regime="trend",
            history_bars=2,
        )

    first, second = made(), made()
    for _ in range(777):
        first.next()
    second.restore(first.save())
    ticks = [(first.next(), second.next()) for _ in range(500)]
    assert all(one == other for one, other in ticks)
    assert any(before[0].last != after[0].last for before, after in pairwise(ticks))

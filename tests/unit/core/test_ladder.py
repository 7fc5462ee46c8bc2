"""Ladder, recentre, policy and funding as tables of the spec's sentences."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd import config
from hedgegridd.core.funding import cost_bps, entry_scale
from hedgegridd.core.ladder import RungTarget, build_ladder, should_recentre, step_of
from hedgegridd.core.policy import apply_policy
from hedgegridd.model import Leg, Regime


def test_a_step_is_bps_of_the_centre() -> None:
    assert step_of(D(40000), D(50)) == D(200)


def test_rungs_stand_below_for_long_and_above_for_short_and_grow() -> None:
    grid = config.Grid(levels_long=2, levels_short=3, base_qty=D("0.01"), qty_scale=D("1.5"), step_bps=D(50))
    assert build_ladder(Leg.LONG, D(40000), grid) == (
        RungTarget(Leg.LONG, 1, D(39800), D("0.01")),
        RungTarget(Leg.LONG, 2, D(39600), D("0.015")),
    )
    assert build_ladder(Leg.SHORT, D(40000), grid) == (
        RungTarget(Leg.SHORT, 1, D(40200), D("0.01")),
        RungTarget(Leg.SHORT, 2, D(40400), D("0.015")),
        RungTarget(Leg.SHORT, 3, D(40600), D("0.0225")),
    )


def test_a_long_ladder_ends_above_zero() -> None:
    grid = config.Grid(levels_long=20, step_bps=D(1000))
    assert [rung.price for rung in build_ladder(Leg.LONG, D(10), grid)] == [D(x) for x in range(9, 0, -1)]


@pytest.mark.parametrize(
    ("mid", "centre", "moves"),
    [
        ("104", "100", False),
        ("104.01", "100", True),
        ("96", "100", False),
        ("95.99", "100", True),
        ("5", None, True),
    ],
)
def test_the_centre_moves_beyond_the_trigger(mid: str, centre: str | None, moves: bool) -> None:
    assert should_recentre(D(mid), None if centre is None else D(centre), D(400)) is moves


def ladders(levels: int = 4) -> dict[Leg, tuple[RungTarget, ...]]:
    grid = config.Grid(levels_long=levels, levels_short=levels, base_qty=D(1), qty_scale=D(1))
    return {leg: build_ladder(leg, D(100), grid) for leg in Leg}


def shape(result: dict[Leg, tuple[RungTarget, ...]]) -> dict[str, list[tuple[int, D]]]:
    return {leg.value: [(rung.level, rung.qty) for rung in rungs] for leg, rungs in result.items()}


FULL = [(1, D(1)), (2, D(1)), (3, D(1)), (4, D(1))]
NEAR = FULL[:2]
SMALL = [(1, D("0.5")), (2, D("0.5"))]


@pytest.mark.parametrize(
    ("kind", "regime", "long", "short"),
    [
        ("throttled-counter", Regime.SIDEWAYS, FULL, FULL),
        ("throttled-counter", Regime.UP, FULL, SMALL),
        ("throttled-counter", Regime.DOWN, SMALL, FULL),
        ("core-and-scalp", Regime.SIDEWAYS, FULL, FULL),
        ("core-and-scalp", Regime.UP, NEAR, SMALL),
        ("core-and-scalp", Regime.DOWN, SMALL, NEAR),
        ("symmetric", Regime.UP, FULL, FULL),
        ("symmetric", Regime.DOWN, FULL, FULL),
    ],
)
def test_policy(kind: str, regime: Regime, long: list[object], short: list[object]) -> None:
    policy = config.Policy(kind=kind, counter_levels=2, counter_qty_scale=D("0.5"))  # type: ignore[arg-type]
    assert shape(apply_policy(regime, ladders(), policy)) == {"LONG": long, "SHORT": short}


@pytest.mark.parametrize("change", [{"counter_levels": 0}, {"counter_qty_scale": D(0)}])
def test_no_levels_or_no_scale_empty_the_counter_side(change: dict[str, object]) -> None:
    result = apply_policy(Regime.UP, ladders(), config.Policy(**change))  # type: ignore[arg-type]
    assert shape(result) == {"LONG": FULL, "SHORT": []}


@pytest.mark.parametrize(
    ("rate", "long", "short", "window", "cost"),
    [
        ("0.001", 1000, 0, 480, "10"),
        ("0.001", 1000, 0, 240, "5"),
        ("0.001", 0, 1000, 480, "-10"),
        ("-0.001", 0, 1000, 480, "10"),
        ("0.001", 3000, 1000, 480, "5"),
        ("0.01", 500, 500, 480, "0"),
        ("0.01", 0, 0, 480, "0"),
    ],
)
def test_funding_cost(rate: str, long: int, short: int, window: int, cost: str) -> None:
    assert cost_bps(D(rate), D(long), D(short), window) == D(cost)


@pytest.mark.parametrize(
    ("leg", "rate", "minutes", "long", "short", "scale"),
    [
        (Leg.LONG, "0.002", "120", 1000, 0, "0.25"),  # pays 20 bps, a quarter of the window left
        (Leg.SHORT, "0.002", "120", 1000, 0, "1"),  # the side that receives
        (Leg.SHORT, "-0.002", "120", 0, 1000, "0.25"),
        (Leg.LONG, "-0.002", "120", 0, 1000, "1"),
        (Leg.LONG, "0.002", "480", 1000, 0, "1"),  # the window has not begun
        (Leg.LONG, "0.002", "500", 1000, 0, "1"),
        (Leg.LONG, "0.002", "0", 1000, 0, "0"),
        (Leg.LONG, "0.002", "-3", 1000, 0, "0"),
        (Leg.LONG, "0.0012", "120", 1000, 0, "1"),  # exactly the cost that is allowed
        (Leg.LONG, "0.00121", "120", 1000, 0, "0.25"),
        (Leg.LONG, "0.002", "120", 1000, 1000, "1"),  # a balanced hedge
        (Leg.SHORT, "0.002", "120", 1000, 1000, "1"),
        (Leg.LONG, "0.002", "120", 0, 1000, "1"),  # receiving
        (Leg.LONG, None, "120", 1000, 0, "1"),
        (Leg.LONG, "0.002", None, 1000, 0, "1"),
    ],
)
def test_funding_scales_the_paying_side_alone(  # noqa: PLR0917  # columns of a table
    leg: Leg, rate: str | None, minutes: str | None, long: int, short: int, scale: str
) -> None:
    got = entry_scale(
        leg,
        rate=None if rate is None else D(rate),
        minutes_to_funding=None if minutes is None else D(minutes),
        long_notional=D(long),
        short_notional=D(short),
        cfg=config.Funding(),
    )
    assert got == D(scale)


def scale_with(cfg: config.Funding) -> D:
    return entry_scale(
        Leg.LONG,
        rate=D("0.002"),
        minutes_to_funding=D(60),
        long_notional=D(1000),
        short_notional=D(0),
        cfg=cfg,
    )


def test_funding_parameters_have_an_effect() -> None:
    assert scale_with(config.Funding()) == D("0.125")
    assert scale_with(config.Funding(max_cost_bps=D(20))) == 1
    assert scale_with(config.Funding(window_min=240, max_cost_bps=D(9))) == D("0.25")
    assert scale_with(config.Funding(window_min=240)) == 1  # 10 bps in half the time
    assert scale_with(config.Funding(window_min=0, max_cost_bps=D(0))) == 1

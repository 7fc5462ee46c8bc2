"""The market's clock: N times the wall, still while paused, stepped by hand."""

from fractions import Fraction

import pytest

from hedgegridd.exchange.clock import MarketClock, WallClock


class Time:
    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns


def test_runs_n_times_and_stands_while_paused() -> None:
    time = Time()
    clock = MarketClock(1_000, Fraction(60), paused=True, monotonic_ns=time)
    time.ns += 10**9
    assert clock.now_ms() == 1_000
    clock.resume()
    time.ns += 10**9
    assert clock.now_ms() == 61_000
    assert clock.wall_ms_until(121_000) == 1_000
    clock.pause()
    time.ns += 10**9
    assert clock.now_ms() == 61_000
    assert clock.advance(500) == 61_500
    clock.resume()
    time.ns += 10**6
    assert clock.now_ms() == 61_560


def test_stepping_needs_a_pause_and_goes_forward() -> None:
    clock = MarketClock(0, Fraction(1), paused=False, monotonic_ns=Time())
    with pytest.raises(ValueError, match="pause"):
        clock.advance(1)
    clock.pause()
    with pytest.raises(ValueError, match="negative"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="speed"):
        MarketClock(0, Fraction(0), paused=True)


def test_a_skewed_wall() -> None:
    wall = WallClock(lambda: 2_000_000)
    wall.skew_ms = -1
    assert wall.now_ms() == 1

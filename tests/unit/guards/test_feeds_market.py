"""Guards of the market's feeds and of the peg: at and around their limits, missing, old, each parameter."""

from decimal import Decimal
from typing import Any

import pytest

from hedgegridd import messages as m
from tests.support.guard_rig import IID, Eyes, Held

D = Decimal
OTHER = "ETHUSDT-PERP.BINANCE"


# ------------------------------------------------------------------------------------------------------ stale_market


def mark(instrument: str = IID) -> m.MarkPrice:
    return m.MarkPrice(instrument=instrument, market_ns=1, mark=D(100))


def bar(instrument: str = IID) -> m.BarClosed:
    one = D(1)
    return m.BarClosed(
        instrument=instrument, open_ns=0, close_ns=1, open=one, high=one, low=one, close=one, volume=one
    )  # fmt: skip


def test_a_market_without_mark_or_bar_is_not_known() -> None:
    eyes = Eyes("stale_market")
    assert eyes.missing()
    assert eyes.take(mark()).missing()
    assert "no bar of BTCUSDT" in eyes.one().words()
    assert eyes.take(bar()).level() == "OK"


@pytest.mark.parametrize(
    ("mark_age", "bar_age", "level", "value"),
    [
        ("3.999", "3.999", "OK", "3.999"),
        ("4", "4", "WARN", "4"),
        ("4.999", "239", "WARN", "4.999"),
        ("5", "5", "BLOCK", "5"),
        ("1", "240", "WARN", "240"),
        ("1", "299.999", "WARN", "299.999"),
        ("1", "300", "BLOCK", "300"),
        ("5", "300", "BLOCK", "5"),
    ],
)
def test_stale_market_judges_marks_and_bars(mark_age: str, bar_age: str, level: str, value: str) -> None:
    eyes = Eyes("stale_market").take(bar()).wait(D(bar_age) - D(mark_age)).take(mark()).wait(D(mark_age))
    assert (eyes.level(), eyes.one().value) == (level, D(value))


@pytest.mark.parametrize(
    ("table", "level"),
    [({"trip_mark_s": D(6)}, "WARN"), ({"trip_mark_s": D(10)}, "OK"), ({"trip_mark_s": D(10), "warn_mark_s": D(5)}, "WARN"),
     ({"trip_mark_s": D(10), "trip_bar_s": D(20)}, "BLOCK"), ({"trip_mark_s": D(10), "trip_bar_s": D(25)}, "WARN"),
     ({"trip_mark_s": D(10), "trip_bar_s": D(25), "warn_bar_s": D(21)}, "OK")],
)  # fmt: skip
def test_stale_market_follows_its_table(table: dict[str, Any], level: str) -> None:
    assert Eyes("stale_market", **table).take(bar()).wait(15).take(mark()).wait(5).level() == level


def test_each_instrument_is_judged_by_itself() -> None:
    eyes = (
        Eyes("stale_market", names=(IID, OTHER))
        .take(bar(), bar(OTHER), mark())
        .wait(3)
        .take(mark(OTHER))
        .wait(2)
    )
    found = {verdict.scope.instrument: verdict.level for verdict in eyes.look()}
    assert found == {IID: "BLOCK", OTHER: "OK"}


def test_a_market_that_falls_silent_pauses_at_its_limit_by_a_timer_and_comes_back() -> None:
    held = Held("stale_market", clear_s=D(2)).take(bar(), mark())
    held.wait(4.99)
    assert not held.paused
    held.wait(0.011)
    assert held.paused
    assert held.holds[0].scope == m.Scope(instrument=IID)
    for _ in range(3):
        held.take(mark()).wait(0.9)
    assert not held.paused
    held.wait(4.2)
    assert held.paused


def test_a_market_that_is_late_is_warned_of_before_it_is_too_late() -> None:
    held = Held("stale_market").take(bar(), mark()).wait(3.99)

    def warned() -> bool:
        told = [each.verdict for each in held.feed.log if isinstance(each, m.GuardChanged)]
        return bool(told) and (told[-1].level, told[-1].value) == ("WARN", D(4))

    assert not warned()
    held.wait(0.02)
    assert warned()


def test_a_missing_bar_is_found_while_marks_go_on() -> None:
    held = Held("stale_market", trip_bar_s=D(20)).take(bar())
    for _ in range(199):
        held.take(mark()).wait(0.1)
    assert not held.paused
    held.take(mark()).wait(0.1)
    assert held.paused


# ------------------------------------------------------------------------------------------------------ spread_depth


def book(spread: str = "1", depth: str = "1000000", instrument: str = IID) -> m.BookDepth:
    return m.BookDepth(instrument=instrument, spread_bps=D(spread), depth_usdt=D(depth))


@pytest.mark.parametrize(
    ("spread", "depth", "level", "unit"),
    [
        ("80", "62500", "OK", "bps"),
        ("80.1", "62500", "WARN", "bps"),
        ("100", "62500", "WARN", "bps"),
        ("100.1", "62500", "BLOCK", "bps"),
        ("1", "62499", "WARN", "USDT"),
        ("1", "50000", "WARN", "USDT"),
        ("1", "49999", "BLOCK", "USDT"),
        ("101", "50000", "BLOCK", "bps"),
        ("101", "0", "BLOCK", "USDT"),
    ],
)
def test_spread_depth(spread: str, depth: str, level: str, unit: str) -> None:
    verdict = Eyes("spread_depth").take(book(spread, depth)).one()
    assert (verdict.level, verdict.unit, verdict.scope.instrument) == (level, unit, IID)


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"trip_spread_bps": D(20)}, "BLOCK"), ({"trip_spread_bps": D(30)}, "WARN"), ({}, "OK"),
        ({"trip_spread_bps": D(30), "warn_spread_bps": D(29)}, "OK"),
        ({"min_depth_usdt": D(100_001)}, "BLOCK"), ({"min_depth_usdt": D(90_000)}, "WARN"),
        ({"min_depth_usdt": D(90_000), "warn_depth_usdt": D(95_000)}, "OK"),
    ],
)  # fmt: skip
def test_spread_depth_follows_its_table(table: dict[str, Any], level: str) -> None:
    assert Eyes("spread_depth", **table).take(book("25", "100000")).level() == level


def test_each_instrument_has_its_book() -> None:
    eyes = Eyes("spread_depth", names=(IID, OTHER)).take(book("500"))
    found = {verdict.scope.instrument: (verdict.level, verdict.value) for verdict in eyes.look()}
    assert found == {IID: ("BLOCK", D(500)), OTHER: ("BLOCK", None)}


# ------------------------------------------------------------------------------------------------------------- depeg


def prices(peg: str = "1", in_usdt: str = "100000", in_usdc: str = "100000") -> list[m.ReferencePrice]:
    named = {"USDCUSDT": peg, "BTCUSDT": in_usdt, "BTCUSDC": in_usdc}
    return [m.ReferencePrice(symbol=symbol, price=D(price)) for symbol, price in named.items()]


def samples(eyes: Eyes | Held, every_s: int, *pegs: str) -> None:
    for number, peg in enumerate(pegs):
        if number:
            eyes.wait(every_s)
        eyes.take(*prices(peg))


def test_depeg_is_off_until_it_is_enabled() -> None:
    assert Eyes("depeg").setting.off
    assert not Eyes("depeg", enabled=True).setting.off
    assert Eyes("depeg", enabled=True).setting.params.references == ("USDCUSDT", "BTCUSDT", "BTCUSDC")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("pegs", "level"),
    [
        (("1.005",), "WARN"),
        (("1.005", "1.005"), "WARN"),
        (("1.005", "1.005", "1.005"), "BLOCK"),
        (("0.995", "1.006", "0.99"), "BLOCK"),
        (("1.005", "1.0049", "1.005"), "WARN"),
        (("1.005", "1.005", "1.0049"), "WARN"),
        (("1.005", "1.005", "1.004"), "WARN"),
        (("1.005", "1.005", "1.0039"), "OK"),
        (("1", "1", "1"), "OK"),
    ],
)
def test_three_samples_a_minute_apart_are_needed(pegs: tuple[str, ...], level: str) -> None:
    eyes = Eyes("depeg", enabled=True)
    samples(eyes, 60, *pegs)
    assert eyes.level() == level


def test_samples_that_follow_faster_do_not_count_as_three() -> None:
    eyes = Eyes("depeg", enabled=True)
    samples(eyes, 10, *["1.02"] * 12)
    assert eyes.level() == "WARN", "110 s"
    eyes.wait(10).take(*prices("1.02"))
    assert eyes.level() == "BLOCK"


@pytest.mark.parametrize(("in_usdt", "in_usdc", "level"), [("100500", "100000", "BLOCK"), ("99500", "100000", "BLOCK"),
                                                           ("100499", "100000", "WARN"), ("100399", "100000", "OK")])  # fmt: skip
def test_the_larger_of_both_deviations_counts(in_usdt: str, in_usdc: str, level: str) -> None:
    eyes = Eyes("depeg", enabled=True, samples=1).take(*prices("1.001", in_usdt, in_usdc))
    assert eyes.level() == level


@pytest.mark.parametrize("lacking", range(3))
def test_each_price_is_needed_and_none_may_be_old(lacking: int) -> None:
    some = prices()
    del some[lacking]
    eyes = Eyes("depeg", enabled=True).take(*some)
    assert eyes.missing()
    assert eyes.take(*prices()).level() == "OK"
    assert eyes.wait(35).level() == "OK"
    assert eyes.take(*some).wait(1).missing()


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"trip_pct": D("0.7")}, "WARN"), ({"trip_pct": D("0.7"), "warn_pct": D("0.65")}, "OK"), ({}, "BLOCK"),
        ({"samples": 4}, "WARN"), ({"every_s": D(61), "samples": 3}, "WARN"), ({"exit": True}, "CRITICAL"),
        ({"usdt_symbol": "BTCFDUSD"}, "BLOCK"),
    ],
)  # fmt: skip
def test_depeg_follows_its_table(table: dict[str, Any], level: str) -> None:
    eyes = Eyes("depeg", enabled=True, max_age_s=D(1), **table)
    samples(eyes, 60, "1.006", "1.006", "1.006")
    assert eyes.level() == level
    assert (eyes.one().value is None) is ("usdt_symbol" in table)


def test_the_next_sample_is_looked_at_when_it_is_due_though_no_price_comes() -> None:
    held = Held("depeg", enabled=True, samples=2, every_s=D(5)).take(*prices("1.02"))
    held.wait(4.9)
    assert not held.paused
    held.wait(0.2)
    assert held.paused


def test_a_price_of_nothing_is_no_price_and_no_sample() -> None:
    eyes = Eyes("depeg", enabled=True, samples=2).take(*prices("1.02", in_usdc="0"))
    assert eyes.missing()
    assert eyes.wait(60).take(*prices("1.02")).level() == "WARN"


def test_exit_flattens_and_without_it_entries_are_paused() -> None:
    leaving = Held("depeg", enabled=True, exit=True, samples=2, every_s=D(5))
    samples(leaving, 5, "1.02", "1.02")
    assert [(kill.action, kill.guard) for kill in leaving.trips] == [("flatten", "depeg")]
    staying = Held("depeg", enabled=True, samples=2, every_s=D(5))
    samples(staying, 5, "1.02", "1.02")
    assert (staying.trips, staying.paused) == ([], True)

"""The venue's health from call outcomes, the budget of orders, and what a book is worth: on a hand-moved clock."""

from decimal import Decimal

import pytest

from hedgegridd.venue.depth import depth_of, spread_bps
from hedgegridd.venue.health import CallMeter, OrderBudget

S = 1_000_000_000
MS = 1_000_000


def fed(*calls: tuple[float, bool], took_ms: int = 10) -> CallMeter:
    meter = CallMeter()
    for at_s, failed in calls:
        meter.called(int(at_s * S), failed=failed, took_ns=took_ms * MS)
    return meter


def test_calls_are_counted_in_their_windows() -> None:
    meter = fed(*[(at_s, at_s % 2 == 0) for at_s in range(100)])
    counted = meter.counted(99 * S)
    assert (counted.burst, counted.minute, counted.hour) == (10, 60, 100)
    assert meter.failed(99 * S) == 30
    later = meter.counted(159 * S)
    assert (later.burst, later.minute, later.hour) == (0, 0, 100)
    assert meter.counted(3_700 * S).hour == 40, "the first minute is over an hour ago"
    assert meter.counted(8_000 * S).hour == 0


def test_the_edge_of_a_window_is_outside() -> None:
    meter = fed((0, True))
    assert meter.failed(60 * S - 1) == 1
    assert meter.failed(60 * S) == 0


@pytest.mark.parametrize(
    ("took_ms", "p95"),
    [([7], "7.0"), (list(range(1, 101)), "95.0"), (list(range(1, 21)), "19.0"), ([1] * 19 + [6000], "1.0")],
)
def test_latency_is_the_95th_percentile_of_the_last_minute(took_ms: list[int], p95: str) -> None:
    meter = CallMeter()
    for number, took in enumerate(took_ms):
        meter.called(number, failed=False, took_ns=took * MS)
    meter.called(5, failed=False, took_ns=None)
    assert meter.latency_p95_ms(S) == Decimal(p95)
    assert meter.latency_p95_ms(61 * S) is None


def test_uptime_is_the_time_between_a_failure_and_the_next_answer() -> None:
    meter = CallMeter()
    assert meter.uptime_pct(5 * S) is None
    meter.called(100 * S, failed=False, took_ns=1)
    assert meter.uptime_pct(500 * S) == 100
    meter.called(505 * S, failed=True, took_ns=1)
    assert meter.uptime_pct(505 * S) == 100
    assert meter.uptime_pct(550 * S) == 95, "45 of 900 s"
    meter.called(550 * S, failed=False, took_ns=1)
    assert meter.uptime_pct(1_300 * S) == 95
    assert meter.uptime_pct(1_500 * S) == 100, "15 minutes later it is forgotten"


def test_what_we_hold_back_after_a_limit_is_no_outage_of_the_venue() -> None:
    meter = CallMeter()
    meter.called(0, failed=True, took_ns=1, limited=True)
    assert meter.failed(S) == 1
    meter.called(60 * S, failed=False, took_ns=1)  # nothing was sent for a minute
    assert meter.uptime_pct(60 * S) == 100
    meter.called(100 * S, failed=True, took_ns=1)
    meter.called(145 * S, failed=True, took_ns=1, limited=True)  # it answers again
    assert meter.uptime_pct(500 * S) == 95


def test_a_venue_that_is_down_for_long_has_no_uptime_left() -> None:
    meter = fed((0, True))
    assert meter.uptime_pct(5_000 * S) < 2, "up to one slot of 10 s is not in the window"
    meter.called(5_000 * S, failed=False, took_ns=1)
    assert meter.uptime_pct(7_000 * S) == 100


def test_a_fifth_of_each_order_count_is_kept_for_exits() -> None:
    budget = OrderBudget()
    for number in range(239):
        budget.sent(number)
    assert budget.refuses_entry(S) == ""
    budget.sent(240)
    assert "240 of 300 orders in 10 s" in budget.refuses_entry(S)
    assert budget.used(S) == Decimal(240) / 300
    assert budget.refuses_entry(10 * S + 1_000) == ""
    assert budget.used(10 * S + 1_000) == Decimal(240) / 1_200
    assert budget.used(60 * S + 1_000) == 0


def test_the_longer_count_refuses_as_well_and_the_venues_limits_are_taken() -> None:
    budget = OrderBudget()
    budget.limits = ((10, 1_000), (60, 10))
    for second in range(8):
        budget.sent(second * 7 * S)
    assert "8 of 10 orders in 60 s" in budget.refuses_entry(50 * S)
    assert budget.used(50 * S) == Decimal("0.8")


def levels(*pairs: tuple[str, str]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(qty)) for price, qty in pairs]


def test_a_book_is_worth_its_thinner_side_within_one_percent() -> None:
    bids = levels(("999", "2"), ("991", "1"), ("989.9", "50"))
    asks = levels(("1001", "1"), ("1010", "1"), ("1010.1", "50"))
    depth = depth_of(bids, asks, 50)
    assert depth is not None
    assert (depth.spread_bps, depth.depth_usdt, depth.whole) == (Decimal(20), Decimal("2011.00"), True)


def test_a_side_that_is_cut_off_within_the_distance_is_not_whole() -> None:
    bids = levels(("999", "2"), ("998", "2"))
    asks = levels(("1001", "1"), ("1030", "1"))
    assert depth_of(bids, asks, 2).whole is False  # type: ignore[union-attr]
    assert depth_of(bids, asks, 3).whole is True  # type: ignore[union-attr]


def test_an_empty_side_is_worth_nothing_that_could_be_told() -> None:
    assert depth_of([], levels(("1", "1")), 50) is None
    assert depth_of(levels(("1", "1")), [], 50) is None


def test_the_spread_is_in_bps_of_the_middle() -> None:
    assert spread_bps(Decimal("99.5"), Decimal("100.5")) == 100

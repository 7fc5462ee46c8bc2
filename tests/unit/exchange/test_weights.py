"""Weights and order counts: counted always, refused when enforced, and a ban for those who do not listen."""

import pytest

from hedgegridd.exchange.weights import FIRST_BAN_MS, STRIKES_BEFORE_BAN, RateError, RateLimiter

START = 1_700_000_040_000  # begins a minute


def refused(limiter: RateLimiter, weight: int, wall_ms: int) -> RateError:
    with pytest.raises(RateError) as error:
        limiter.charge_weight(weight, wall_ms)
    return error.value


def test_the_whole_budget_may_be_used_and_no_more() -> None:
    limiter = RateLimiter(enforced=True)
    limiter.charge_weight(2_400, START)
    error = refused(limiter, 1, START + 10_000)
    assert (error.status, error.code, error.retry_after_s) == (429, -1003, 50)
    limiter.charge_weight(2_400, START + 60_000)


def test_going_on_after_429_is_a_ban_that_doubles() -> None:
    limiter = RateLimiter(enforced=True)
    limiter.charge_weight(2_400, START)
    statuses = [refused(limiter, 1, START).status for _ in range(STRIKES_BEFORE_BAN + 1)]
    assert statuses == [429] * STRIKES_BEFORE_BAN + [418]
    assert refused(limiter, 1, START + FIRST_BAN_MS - 1).status == 418
    later = START + FIRST_BAN_MS
    limiter.charge_weight(2_400, later)
    for _ in range(STRIKES_BEFORE_BAN):
        refused(limiter, 1, later)
    assert refused(limiter, 1, later).retry_after_s == 2 * FIRST_BAN_MS // 1000


def test_counts_go_on_when_nothing_is_enforced() -> None:
    limiter = RateLimiter(enforced=False)
    for _ in range(5):
        limiter.charge_weight(2_400, START)
        limiter.charge_orders(300, 300, START)
    assert (limiter.weight.used, limiter.orders_10s.used, limiter.orders_1m.used) == (12_000, 1_500, 1_500)


@pytest.mark.parametrize(("gap_ms", "limit"), [(0, 300), (10_000, 1_200)])
def test_order_counts_hold_in_both_windows(gap_ms: int, limit: int) -> None:
    limiter = RateLimiter(enforced=True)
    for index in range(limit):
        limiter.charge_orders(1, 1, START + (index // 300) * gap_ms)
    with pytest.raises(RateError) as error:
        limiter.charge_orders(1, 1, START + (limit // 300 - (1 if gap_ms == 0 else 0)) * gap_ms)
    assert (error.value.status, error.value.code) == (429, -1015)
    assert limiter.orders_1m.used == limit

"""Filters that change while the symbol trades."""

from decimal import Decimal

import pytest

from tests.unit.exchange.engine_kit import D, code_of, engine, order

BUY = order("BUY", "LONG", "0.01", "49000")


@pytest.mark.parametrize(
    ("changes", "request_", "code"),
    [
        ({"min_notional": D(1_000)}, BUY, -4164),
        ({"min_qty": D("0.02")}, BUY, -4004),
        ({"max_qty": D("0.005"), "market_max_qty": D("0.005")}, BUY, -4005),
        ({"percent_up": D("1.001")}, {**BUY, "side": "BUY", "price": "50100"}, -4016),
        ({"max_orders": 1}, BUY, -2025),
        ({"tick": D("0.05")}, {**BUY, "price": "49000.07"}, -4014),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_the_new_filter_refuses_what_the_old_one_took(
    changes: dict[str, Decimal], request_: dict[str, str], code: int
) -> None:
    made = engine()
    made.new_order({**BUY, "price": "48000"}, 1_500)
    made.set_rules("BTCUSDT", changes)
    assert code_of(made.new_order, request_, 2_000) == code
    told = made.exchange_info(2_000)["symbols"][0]
    flat = {f"{f['filterType']}.{name}": value for f in told["filters"] for name, value in f.items()}
    expected = {
        "min_notional": "MIN_NOTIONAL.notional", "min_qty": "LOT_SIZE.minQty", "max_qty": "LOT_SIZE.maxQty",
        "percent_up": "PERCENT_PRICE.multiplierUp", "max_orders": "MAX_NUM_ORDERS.limit",
        "tick": "PRICE_FILTER.tickSize",
    }  # fmt: skip
    for name, value in changes.items():
        if name in expected:
            assert D(str(flat[expected[name]])) == value


def test_fees_change_from_the_next_fill_on() -> None:
    made = engine()
    made.set_rules("BTCUSDT", {"taker_fee": D("0.001")})
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    trade = made.user_trades({"symbol": "BTCUSDT"})[0]
    assert D(trade["commission"]) == D(trade["price"]) * D("0.01") * D("0.001")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "nothing"),
        ({"status": 1}, "status"),
        ({"tick": D("0.03")}, "tick"),
        ({"tick": D("0.2")}, "tick"),
        ({"step": D(0)}, "step"),
        ({"maker_fee": D("NaN")}, "maker_fee"),
        ({"min_qty": D(2_000)}, "min_qty"),
        ({"percent_down": D("1.1")}, "percent_down"),
        ({"percent_down": D("0.05")}, "percent_down"),
        ({"percent_up": D(100)}, "percent_up"),
        ({"maker_fee": D("0.011")}, "maker_fee"),
        ({"taker_fee": D(1)}, "taker_fee"),
        ({"max_algo_orders": 1_000_000}, "max_algo_orders"),
        ({"max_orders": 1}, "max_orders"),
    ],
)
def test_a_change_that_makes_no_sense_is_named_and_changes_nothing(
    changes: dict[str, Decimal], word: str
) -> None:
    made = engine()
    for price in ("48000", "48001"):
        made.new_order({**BUY, "price": price}, 1_500)
    before = dict(made.rules)
    with pytest.raises(ValueError, match=word):
        made.set_rules("BTCUSDT", changes)
    assert made.rules == before

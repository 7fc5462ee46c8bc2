"""Resting orders against the market: through, touch and queue, gaps, partial fills, exits of a shrinking leg."""

import pytest

from tests.unit.exchange.engine_kit import D, engine, leg_of, order, tick

RICH = D(1_000_000)


def filled(made: object, name: str) -> str:
    answer = made.query_order({"symbol": "BTCUSDT", "origClientOrderId": name})  # type: ignore[attr-defined]
    return f"{answer['status']} {answer['executedQty']}"


@pytest.mark.parametrize(
    ("last", "low", "high", "expected"),
    [
        ("49950", "49950", "49950", "NEW 0.000"),
        ("49900", "49900", "49900", "FILLED 0.010"),  # touched: nothing stood before it
        ("49950", "49899.9", "49950", "FILLED 0.010"),  # traded through and back
        ("49800", "49800", "49800", "FILLED 0.010"),  # the book stands beyond it
    ],
)
def test_a_resting_buy_fills_when_the_market_comes_to_it(
    last: str, low: str, high: str, expected: str
) -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01", "49900", newClientOrderId="a"), 2_000)
    made.on_tick(tick(last, low=low, high=high), 3_000)
    assert filled(made, "a") == expected


@pytest.mark.parametrize(
    ("last", "low", "high", "expected"),
    [
        ("50050", "50050", "50050", "NEW 0.000"),
        ("50100", "50100", "50100", "FILLED 0.010"),
        ("50050", "50050", "50100.1", "FILLED 0.010"),
        ("50200", "50200", "50200", "FILLED 0.010"),
    ],
)
def test_a_resting_sell_fills_when_the_market_comes_to_it(
    last: str, low: str, high: str, expected: str
) -> None:
    made = engine()
    made.new_order(order("SELL", "SHORT", "0.01", "50100", newClientOrderId="a"), 2_000)
    made.on_tick(tick(last, low=low, high=high), 3_000)
    assert filled(made, "a") == expected


def test_the_queue_before_it_trades_first() -> None:
    made = engine()  # five displayed at 49999.9, the best bid
    made.new_order(order("BUY", "LONG", "2", "49999.9", newClientOrderId="a"), 2_000)
    assert filled(made, "a") == "NEW 0.000"
    for volume, expected in (("3", "NEW 0.000"), ("2.5", "PARTIALLY_FILLED 0.500"), ("9", "FILLED 2.000")):
        made.on_tick(tick("50000", low="49999.9", high="49999.9", volume=volume), 3_000)
        assert filled(made, "a") == expected


def test_volume_spread_over_the_range_reaches_the_touch_in_part() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)  # no queue shown there
    made.on_tick(tick("50000", low="49990", high="49990.9", volume="10"), 3_000)  # ten prices, one each
    assert filled(made, "a") == "PARTIALLY_FILLED 1.000"


def test_two_orders_at_a_price_share_its_volume_in_time_order() -> None:
    made = engine()
    for name in ("a", "b"):
        made.new_order(order("BUY", "LONG", "1", "49990", newClientOrderId=name), 2_000)
    made.on_tick(tick("50000", low="49990", high="49990", volume="1.5"), 3_000)
    assert (filled(made, "a"), filled(made, "b")) == ("FILLED 1.000", "PARTIALLY_FILLED 0.500")


def test_small_volume_through_fills_in_part_and_loses_the_queue() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)
    made.on_tick(tick("50000", low="49980", volume="0.7"), 3_000)
    assert filled(made, "a") == "PARTIALLY_FILLED 0.700"
    made.on_tick(tick("50000", low="49980", volume="100"), 3_001)
    assert filled(made, "a") == "FILLED 2.000"


def test_without_partial_fills_the_first_touch_fills_all() -> None:
    made = engine(partial_fills=False)
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)
    made.on_tick(tick("50000", low="49990", high="49990", volume="0.1"), 3_000)
    assert filled(made, "a") == "FILLED 2.000"


def test_a_gap_of_ten_rungs_fills_ten_rungs_in_price_order_at_their_prices() -> None:
    made = engine(deposit=RICH)
    prices = [49_900 - 100 * k for k in range(12)]
    for price in reversed(prices):
        made.new_order(order("BUY", "LONG", "0.01", str(price)), 2_000)
    made.on_tick(tick("48950", volume="0"), 3_000)
    trades = made.user_trades({"symbol": "BTCUSDT"})
    assert [D(t["price"]) for t in trades] == [D(p) for p in prices[:10]]
    assert all(t["maker"] for t in trades)
    assert len(made.open_orders()) == 2


def test_ladders_of_both_sides_fill_in_a_wide_tick() -> None:
    made = engine(deposit=RICH)
    for k in (1, 2):
        made.new_order(order("BUY", "LONG", "0.01", str(50_000 - 100 * k)), 2_000)
        made.new_order(order("SELL", "SHORT", "0.01", str(50_000 + 100 * k)), 2_000)
    made.on_tick(tick("49760", low="49750", high="50250"), 3_000)
    trades = [(t["side"], t["price"]) for t in made.user_trades({"symbol": "BTCUSDT"})]
    assert trades == [("SELL", "50100.0"), ("SELL", "50200.0"), ("BUY", "49900.0"), ("BUY", "49800.0")]
    assert made.open_orders() == []


def test_amending_the_price_goes_behind_the_new_queue_and_shrinking_keeps_the_place() -> None:
    made = engine(deposit=RICH)
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)
    base = {"symbol": "BTCUSDT", "origClientOrderId": "a", "side": "BUY"}
    made.modify_order({**base, "quantity": "2", "price": "49999.9"}, 2_001)  # behind five
    made.on_tick(tick("50000", low="49999.9", high="49999.9", volume="4"), 3_000)
    made.modify_order({**base, "quantity": "1", "price": "49999.9"}, 3_001)  # one of the queue is left
    made.on_tick(tick("50000", low="49999.9", high="49999.9", volume="1.5"), 3_002)
    assert filled(made, "a") == "PARTIALLY_FILLED 0.500"
    made.modify_order({**base, "quantity": "3", "price": "49999.9"}, 3_003)  # larger: behind five again
    made.on_tick(tick("50000", low="49999.9", high="49999.9", volume="5"), 3_004)
    assert filled(made, "a") == "PARTIALLY_FILLED 0.500"


def test_exits_never_flip_the_leg_and_end_when_it_is_flat() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.03"), 2_000)
    for name, price in (("t1", "50100"), ("t2", "50200"), ("t3", "50300")):
        made.new_order(order("SELL", "LONG", "0.02", price, newClientOrderId=name), 2_000)
    made.on_tick(tick("50400"), 3_000)
    assert [filled(made, n) for n in ("t1", "t2", "t3")] == ["FILLED 0.020", "EXPIRED 0.010", "EXPIRED 0.000"]
    assert leg_of(made, "LONG") == (0, 0)


def test_a_market_close_ends_the_take_profits_of_its_leg_only() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.01"), 2_000)
    made.new_order(order("SELL", "LONG", "0.01", "50500", newClientOrderId="l"), 2_000)
    made.new_order(order("BUY", "SHORT", "0.01", "49500", newClientOrderId="s"), 2_000)
    made.new_order(order("SELL", "LONG", "0.01"), 2_001)
    assert (filled(made, "l"), filled(made, "s")) == ("EXPIRED 0.000", "NEW 0.000")
    assert leg_of(made, "SHORT")[0] == D("0.01")


def test_a_symbol_that_is_not_listed_is_a_bug_of_the_caller() -> None:
    import msgspec

    with pytest.raises(KeyError):
        engine().on_tick(msgspec.structs.replace(tick("1"), symbol="ETHUSDT"), 1)


def test_volume_through_is_shared_in_price_order() -> None:
    made = engine(deposit=RICH)
    made.new_order(order("BUY", "LONG", "1", "49980", newClientOrderId="b"), 2_000)
    made.new_order(order("BUY", "LONG", "1", "49990", newClientOrderId="a"), 2_000)
    made.on_tick(tick("50000", low="49970", volume="1.4"), 3_000)
    assert (filled(made, "a"), filled(made, "b")) == ("FILLED 1.000", "PARTIALLY_FILLED 0.400")


def test_once_traded_through_nothing_stands_before_the_rest() -> None:
    made = engine(deposit=RICH)
    made.new_order(order("BUY", "LONG", "2", "49999.9", newClientOrderId="a"), 2_000)  # behind five
    made.on_tick(tick("50000", low="49999", volume="0.5"), 3_000)
    made.on_tick(tick("50000", low="49999.9", high="49999.9", volume="1"), 3_001)
    assert filled(made, "a") == "PARTIALLY_FILLED 1.500"


def test_a_book_that_comes_to_stand_at_its_price_trades_what_it_shows() -> None:
    made = engine(deposit=RICH)
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)
    made.on_tick(tick("49990", low="49995", high="50000", volume="50", size="0.3"), 3_000)
    assert filled(made, "a") == "PARTIALLY_FILLED 0.300"


def test_a_level_taken_in_part_keeps_the_rest() -> None:
    made = engine(deposit=RICH)
    made.on_tick(tick("50000", size="0.01"), 2_000)
    made.new_order(order("BUY", "LONG", "0.004"), 2_001)
    made.new_order(order("BUY", "LONG", "0.008"), 2_002)
    prices = [(t["price"], t["qty"]) for t in made.user_trades({"symbol": "BTCUSDT"})]
    assert prices == [("50000.0", "0.004"), ("50000.0", "0.006"), ("50000.1", "0.002")]


def test_amending_to_what_has_filled_cancels() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "2", "49990", newClientOrderId="a"), 2_000)
    made.on_tick(tick("50000", low="49980", volume="0.7"), 3_000)
    request = {"symbol": "BTCUSDT", "origClientOrderId": "a", "side": "BUY", "price": "49990"}
    made.modify_order({**request, "quantity": "0.7"}, 3_001)
    assert filled(made, "a") == "CANCELED 0.700"


def test_the_volume_at_the_touch_is_what_better_prices_of_ours_have_left() -> None:
    made = engine(deposit=D(1_000_000))
    better, worse = (
        made.new_order(order("BUY", "LONG", "0.5", price), 1_200)["orderId"] for price in ("49990", "49980")
    )
    made.on_tick(tick("50000", ts_ms=2_000, low="49980", high="50000", volume="0.3"), 2_000)
    assert (made.state.orders[better].filled, made.state.orders[worse].filled) == (D("0.3"), D(0))


def test_a_younger_order_never_overtakes_the_older_at_its_price() -> None:
    made = engine(deposit=D(1_000_000))
    made.on_tick(tick("49991", ts_ms=1_500, size="5"), 1_500)
    older = made.new_order(order("BUY", "LONG", "0.5", "49990.9"), 1_600)["orderId"]  # 5 displayed before it
    made.on_tick(tick("50000", ts_ms=1_700, size="5"), 1_700)
    younger = made.new_order(order("BUY", "LONG", "0.5", "49990.9"), 1_800)[
        "orderId"
    ]  # nothing is displayed there
    made.on_tick(tick("50000", ts_ms=2_000, low="49990.9", high="50000", volume="100"), 2_000)
    assert [made.state.orders[order_id].filled for order_id in (older, younger)] == [0, 0]


def test_an_amended_order_goes_behind_a_younger_one_at_its_new_price() -> None:
    made = engine(deposit=D(1_000_000))
    first, second = (
        made.new_order(order("BUY", "LONG", "0.5", price), 1_200)["orderId"] for price in ("49980", "49990")
    )
    moved = {"symbol": "BTCUSDT", "orderId": str(first), "side": "BUY", "quantity": "0.5", "price": "49990"}
    made.modify_order(moved, 1_300)
    made.on_tick(tick("50000", ts_ms=2_000, low="49989", high="50000", volume="0.6"), 2_000)
    assert [made.state.orders[order_id].filled for order_id in (first, second)] == [D("0.1"), D("0.5")]

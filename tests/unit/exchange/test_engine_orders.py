"""Ordinary orders: refusals with the venue's codes, times in force, amend, cancel, queries, countdown."""

from decimal import Decimal

import pytest

from hedgegridd.exchange.types import VenueError
from tests.unit.exchange.engine_kit import D, code_of, engine, kinds, leg_of, order, stop, tick

LONG = ("BUY", "LONG", "0.01", "49000")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"positionSide": ""}, -4061),
        ({"positionSide": "BOTH"}, -4061),
        ({"positionSide": "UP"}, -4060),
        ({"reduceOnly": "true"}, -1106),
        ({"reduceOnly": "false"}, -1106),
        ({"side": "HOLD"}, -1117),
        ({"type": "STOP_MARKET"}, -4120),
        ({"type": "TAKE_PROFIT"}, -4120),
        ({"type": "TRAILING_STOP_MARKET"}, -4120),
        ({"type": "ICEBERG"}, -1116),
        ({"timeInForce": ""}, -1102),
        ({"timeInForce": "DAY"}, -1115),
        ({"symbol": "NOPE"}, -1121),
        ({"symbol": ""}, -1102),
        ({"price": ""}, -1102),
        ({"price": "1e5"}, -1102),
        ({"price": "NaN"}, -1102),
        ({"price": "49000\n"}, -1102),
        ({"price": "\u0664\u0669000"}, -1102),
        ({"newClientOrderId": "a\n"}, -4015),
        ({"price": "0"}, -4001),
        ({"price": "-1"}, -4001),
        ({"price": "49000.05"}, -1111),
        ({"price": "99999999"}, -4002),
        ({"price": "52600"}, -4016),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "1001"}, -4005),
        ({"quantity": "0.002"}, -4164),
        ({"quantity": "10"}, -2019),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -4015),
        ({"timeInForce": "GTX", "price": "50000"}, -5022),
        ({"timeInForce": "GTD"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": "1"}, -1130),
        ({"newOrderRespType": "FULL"}, -1130),
    ],
)
def test_refused_with_the_venues_code_and_nothing_changes(change: dict[str, str], code: int) -> None:
    made = engine()
    before = made.snapshot()
    assert code_of(made.new_order, {**order(*LONG), **change}, 2_000) == code
    assert made.snapshot() == before
    assert made.take_events() == []


def test_the_same_order_unchanged_is_accepted() -> None:
    assert code_of(engine().new_order, order(*LONG), 2_000) == 0


@pytest.mark.parametrize(
    ("step", "tick_size", "qty", "price", "code"),
    [
        ("0.005", "0.5", "0.007", "49000", -4023),
        ("0.005", "0.5", "0.010", "49000.2", -4014),
        ("0.005", "0.5", "0.004", "49000", -4004),
    ],
)
def test_steps_that_are_no_powers_of_ten(step: str, tick_size: str, qty: str, price: str, code: int) -> None:
    from hedgegridd.exchange.engine import Engine
    from hedgegridd.exchange.types import SymbolRules

    made = Engine([SymbolRules(step=D(step), tick=D(tick_size), min_qty=D(step))])
    made.on_tick(tick("50000"), 1_000)
    assert code_of(made.new_order, order("BUY", "LONG", qty, price), 2_000) == code


def test_sell_far_below_mark_is_refused() -> None:
    assert code_of(engine().new_order, order("SELL", "SHORT", "0.01", "47000"), 2_000) == -4024


def test_market_without_a_counterparty_is_refused() -> None:
    made = engine()
    made.on_tick(tick("50000", levels=0), 1_500)
    assert code_of(made.new_order, order("BUY", "LONG", "0.01"), 2_000) == -4131


def test_market_must_not_carry_limit_parameters() -> None:
    made = engine()
    assert code_of(made.new_order, {**order("BUY", "LONG", "0.01"), "price": "50000"}, 2_000) == -1106
    assert code_of(made.new_order, order("BUY", "LONG", "0.01", None, timeInForce="GTC"), 2_000) == -1106
    assert code_of(made.new_order, order("BUY", "LONG", "121"), 2_000) == -4005


def test_a_close_above_its_leg_is_refused_and_one_within_accepted() -> None:
    made = engine()
    assert code_of(made.new_order, order("SELL", "LONG", "0.01", "50500"), 2_000) == -2022
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    assert code_of(made.new_order, order("SELL", "LONG", "0.021"), 2_000) == -2022
    assert code_of(made.new_order, order("SELL", "LONG", "0.021", "50500"), 2_000) == -2022
    assert code_of(made.new_order, order("SELL", "LONG", "0.02", "50500"), 2_000) == 0
    assert code_of(made.new_order, order("BUY", "SHORT", "0.01"), 2_000) == -2022


def test_where_exits_reserve_their_leg_a_close_needs_what_they_leave() -> None:
    made = engine(exits_reserve=True)
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.02"), 2_000)
    exit_ = order("SELL", "LONG", "0.015", "50500", newClientOrderId="t")
    assert code_of(made.new_order, exit_, 2_000) == 0
    for price in (None, "50600"):
        assert code_of(made.new_order, order("SELL", "LONG", "0.006", price), 2_001) == -4118
        assert code_of(made.new_order, order("SELL", "LONG", "0.021", price), 2_001) == -2022
    assert code_of(made.new_order, order("BUY", "SHORT", "0.02"), 2_001) == 0, "the other leg is free"
    more = {"symbol": "BTCUSDT", "origClientOrderId": "t", "side": "SELL", "price": "50500"}
    assert code_of(made.modify_order, {**more, "quantity": "0.02"}, 2_002) == 0, "its own place is its own"
    assert code_of(made.new_order, order("SELL", "LONG", "0.001"), 2_003) == -4118
    made.new_algo_order(stop("SELL", "LONG", "48000"), 2_003)
    made.on_tick(tick("47000", ts_ms=5), 2_004)
    assert leg_of(made, "LONG")[0] == 0, "closePosition closes all, whatever rests"


def test_a_small_close_needs_no_notional() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    assert code_of(made.new_order, order("SELL", "LONG", "0.001", "50500"), 2_000) == 0


def test_duplicate_open_client_id_is_refused_until_the_first_has_ended() -> None:
    made = engine()
    request = order(*LONG, newClientOrderId="a")
    made.new_order(request, 2_000)
    assert code_of(made.new_order, request, 2_001) == -4116
    made.cancel_order({"symbol": "BTCUSDT", "origClientOrderId": "a"}, 2_002)
    assert code_of(made.new_order, request, 2_003) == 0


def test_open_order_limit() -> None:
    from hedgegridd.exchange.engine import Engine
    from hedgegridd.exchange.types import SymbolRules

    made = Engine([SymbolRules(max_orders=2)])
    made.on_tick(tick("50000"), 1_000)
    assert [code_of(made.new_order, order(*LONG), 2_000) for _ in range(3)] == [0, 0, -2025]


def test_market_walks_the_depth_and_the_rest_expires() -> None:
    made = engine(deposit=D(1_000_000))
    made.on_tick(tick("50000", size="0.01", levels=3), 1_500)
    answer = made.new_order(order("BUY", "LONG", "0.05", None, newOrderRespType="RESULT"), 2_000)
    assert (answer["status"], answer["executedQty"], answer["avgPrice"]) == (
        "EXPIRED",
        "0.030",
        "50000.10000000",
    )
    assert leg_of(made, "LONG") == (D("0.03"), D("50000.1"))
    assert [k for k in kinds(made) if k[0] == "ORDER_TRADE_UPDATE"] == [
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ORDER_TRADE_UPDATE", "PARTIALLY_FILLED"),
        ("ORDER_TRADE_UPDATE", "PARTIALLY_FILLED"),
        ("ORDER_TRADE_UPDATE", "PARTIALLY_FILLED"),
        ("ORDER_TRADE_UPDATE", "EXPIRED"),
    ]


def test_depth_taken_once_is_gone_until_the_next_tick() -> None:
    made = engine(deposit=D(1_000_000))
    made.on_tick(tick("50000", size="0.01", levels=2), 1_500)
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    second = made.new_order(order("BUY", "LONG", "0.01", None, newOrderRespType="RESULT"), 2_000)
    assert second["avgPrice"] == "50000.10000000"


@pytest.mark.parametrize(
    ("tif", "qty", "status", "filled"),
    [
        ("GTC", "0.05", "PARTIALLY_FILLED", "0.020"),
        ("IOC", "0.05", "EXPIRED", "0.020"),
        ("FOK", "0.05", "EXPIRED", "0.000"),
        ("FOK", "0.02", "FILLED", "0.020"),
        ("IOC", "0.02", "FILLED", "0.020"),
    ],
)
def test_times_in_force_of_a_crossing_limit(tif: str, qty: str, status: str, filled: str) -> None:
    made = engine(deposit=D(1_000_000))
    made.on_tick(tick("50000", size="0.01"), 1_500)
    request = {**order("BUY", "LONG", qty, "50000.1", newOrderRespType="RESULT"), "timeInForce": tif}
    answer = made.new_order(request, 2_000)
    assert (answer["status"], answer["executedQty"]) == (status, filled)
    assert len(made.open_orders("BTCUSDT")) == (status == "PARTIALLY_FILLED")


def test_the_default_answer_is_the_acceptance() -> None:
    answer = engine().new_order(order("BUY", "LONG", "0.01"), 2_000)
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0.000")


def test_gtd_expires_at_its_second() -> None:
    made = engine()
    made.new_order({**order(*LONG), "timeInForce": "GTD", "goodTillDate": "700500"}, 2_000)
    made.on_wall(699_999)
    assert len(made.open_orders()) == 1
    made.on_wall(700_000)
    assert made.open_orders() == []
    assert made.all_orders({"symbol": "BTCUSDT"})[0]["status"] == "EXPIRED"


def test_cancel_and_query_codes() -> None:
    made = engine()
    placed = made.new_order(order(*LONG, newClientOrderId="a"), 2_000)
    by_id = {"symbol": "BTCUSDT", "orderId": str(placed["orderId"])}
    unknown = {"symbol": "BTCUSDT", "orderId": "7"}
    assert made.query_order(by_id)["status"] == "NEW"
    assert code_of(made.query_order, unknown) == -2013
    assert code_of(made.cancel_order, unknown, 2_001) == -2011
    assert code_of(made.cancel_order, {"symbol": "BTCUSDT"}, 2_001) == -1102
    assert made.cancel_order(by_id, 2_001)["status"] == "CANCELED"
    assert code_of(made.cancel_order, by_id, 2_002) == -2011
    assert made.query_order({"symbol": "BTCUSDT", "origClientOrderId": "a"})["status"] == "CANCELED"


def test_cancel_all_leaves_algo_orders() -> None:
    made = engine()
    made.new_order(order(*LONG), 2_000)
    made.new_order(order("SELL", "SHORT", "0.01", "51000"), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "48000"), 2_000)
    assert made.cancel_all("BTCUSDT", 2_001)["code"] == 200
    assert made.open_orders() == []
    assert len(made.open_algo_orders("BTCUSDT")) == 1


AMEND = {"symbol": "BTCUSDT", "origClientOrderId": "a", "side": "BUY", "quantity": "0.01", "price": "49000"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, -5027),
        ({"origClientOrderId": "b"}, -2013),
        ({"side": "SELL"}, -1117),
        ({"price": "49000.01"}, -1111),
        ({"quantity": "0.0005"}, -1111),
        ({"quantity": "10"}, -2019),
        ({"quantity": "0.001", "price": "49000"}, -4164),
        ({"price": "60000"}, -4016),
    ],
)
def test_amend_refusals_change_nothing(change: dict[str, str], code: int) -> None:
    made = engine()
    made.new_order(order(*LONG, newClientOrderId="a"), 2_000)
    before = made.snapshot()
    assert code_of(made.modify_order, {**AMEND, **change}, 2_001) == code
    assert made.snapshot() == before


def test_amend_moves_price_and_a_crossing_post_only_is_cancelled() -> None:
    made = engine()
    made.new_order({**order(*LONG, newClientOrderId="a"), "timeInForce": "GTX"}, 2_000)
    assert made.modify_order({**AMEND, "price": "49100"}, 2_001)["price"] == "49100.0"
    made.take_events()
    assert made.modify_order({**AMEND, "price": "50000"}, 2_002)["status"] == "CANCELED"
    assert kinds(made) == [("ORDER_TRADE_UPDATE", "CANCELED")]


def test_amend_to_a_crossing_price_takes() -> None:
    made = engine()
    made.new_order(order(*LONG, newClientOrderId="a"), 2_000)
    assert made.modify_order({**AMEND, "price": "50000"}, 2_001)["status"] == "FILLED"
    assert leg_of(made, "LONG") == (D("0.01"), D(50000))


def test_amend_of_an_exit_above_the_leg_is_refused() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.new_order(order("SELL", "LONG", "0.01", "50500", newClientOrderId="t"), 2_000)
    more = {**AMEND, "origClientOrderId": "t", "side": "SELL", "quantity": "0.02", "price": "50500"}
    assert code_of(made.modify_order, more, 2_001) == -2022


@pytest.mark.parametrize("takes_algo", [False, True])
def test_countdown_cancels_at_its_time_unless_renewed_or_disarmed(takes_algo: bool) -> None:
    made = engine(countdown_cancels_algo=takes_algo)
    made.new_order(order(*LONG), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "48000"), 2_000)
    made.countdown_cancel({"symbol": "BTCUSDT", "countdownTime": "1000"}, 2_000)
    made.countdown_cancel({"symbol": "BTCUSDT", "countdownTime": "1000"}, 2_500)
    made.on_wall(3_499)
    assert len(made.open_orders()) == 1
    made.countdown_cancel({"symbol": "BTCUSDT", "countdownTime": "0"}, 3_499)
    made.on_wall(9_000)
    assert len(made.open_orders()) == 1
    made.countdown_cancel({"symbol": "BTCUSDT", "countdownTime": "1000"}, 9_000)
    made.on_wall(10_000)
    assert made.open_orders() == []
    assert len(made.open_algo_orders()) == (0 if takes_algo else 1)


def test_histories_page_by_id_time_and_limit() -> None:
    made = engine()
    for n in range(5):
        made.new_order(order("BUY", "LONG", "0.01"), 2_000 + n)
    orders, trades = made.all_orders({"symbol": "BTCUSDT"}), made.user_trades({"symbol": "BTCUSDT"})
    ids, trade_ids = [o["orderId"] for o in orders], [t["id"] for t in trades]
    assert ids == sorted(ids)
    assert len(ids) == len(trade_ids) == 5

    def asked(call: object, **request: str) -> list[int]:
        rows = call({"symbol": "BTCUSDT", **request})  # type: ignore[operator]
        return [row.get("id", row.get("orderId")) for row in rows]

    assert asked(made.all_orders, limit="2") == ids[-2:]
    assert asked(made.all_orders, orderId=str(ids[1]), limit="2") == ids[1:3]
    assert asked(made.all_orders, startTime="2001", endTime="2002") == ids[1:3]
    assert asked(made.user_trades, limit="2") == trade_ids[-2:]
    assert asked(made.user_trades, fromId=str(trade_ids[2])) == trade_ids[2:]
    assert asked(made.user_trades, orderId=str(ids[3])) == [trade_ids[3]]
    assert asked(made.user_trades, startTime="2003") == trade_ids[3:]
    assert code_of(made.user_trades, {"symbol": "BTCUSDT", "limit": "1001"}) == -1130


def test_a_halted_symbol_takes_exits_only() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.set_status("BTCUSDT", "SETTLING")
    assert made.exchange_info()["symbols"][0]["status"] == "SETTLING"
    assert code_of(made.new_order, order("BUY", "LONG", "0.01"), 2_001) == -4140
    assert code_of(made.new_order, order("SELL", "LONG", "0.01"), 2_001) == 0
    with pytest.raises(VenueError, match="status must be one of"):
        made.set_status("BTCUSDT", "ASLEEP")


def test_margin_counts_both_legs_and_working_entries() -> None:
    made = engine(deposit=D(1_000))  # 20 x: 20,000 USDT of notional
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)  # 5,000
    made.new_order(order("SELL", "SHORT", "0.1"), 2_000)  # 5,000
    made.new_order(order("BUY", "LONG", "0.15", "48000"), 2_000)  # 7,200
    assert code_of(made.new_order, order("SELL", "SHORT", "0.06", "51000"), 2_000) == -2019
    assert code_of(made.new_order, order("SELL", "SHORT", "0.05", "51000"), 2_000) == 0
    account = made.account_v2()
    assert Decimal(account["totalPositionInitialMargin"]) == D(500)
    assert Decimal(account["totalOpenOrderInitialMargin"]) == D("487.5")


def test_the_bracket_of_the_leverage_caps_a_leg() -> None:
    made = engine(deposit=D(1_000_000))
    made.set_leverage({"symbol": "BTCUSDT", "leverage": "125"})
    assert code_of(made.new_order, order("BUY", "LONG", "6.1", "49500"), 2_000) == -2027
    assert code_of(made.new_order, order("BUY", "LONG", "6", "49500"), 2_000) == 0


def test_expiry_by_the_venue() -> None:
    made = engine()
    placed = made.new_order(order(*LONG), 2_000)
    made.take_events()
    made.expire_order("BTCUSDT", placed["orderId"], 2_001)
    assert kinds(made) == [("ORDER_TRADE_UPDATE", "EXPIRED")]
    assert code_of(made.expire_order, "BTCUSDT", placed["orderId"], 2_002) == -2011


def test_working_entries_count_towards_the_bracket() -> None:
    made = engine(deposit=D(1_000_000))
    made.set_leverage({"symbol": "BTCUSDT", "leverage": "125"})
    made.new_order(order("BUY", "LONG", "4", "49500"), 2_000)
    assert code_of(made.new_order, order("BUY", "LONG", "4", "49500"), 2_001) == -2027
    assert code_of(made.new_order, order("SELL", "SHORT", "4", "50500"), 2_001) == 0


def test_paging_from_an_id_starts_there() -> None:
    made = engine()
    for n in range(4):
        made.new_order(order("BUY", "LONG", "0.01"), 2_000 + n)
    ids = [t["id"] for t in made.user_trades({"symbol": "BTCUSDT"})]
    page = made.user_trades({"symbol": "BTCUSDT", "fromId": str(ids[0]), "limit": "2"})
    assert [t["id"] for t in page] == ids[:2]


def test_events_and_positions_tell_the_notional_of_working_orders() -> None:
    made = engine()
    made.new_order(order("SELL", "SHORT", "0.01", "51000"), 2_000)
    made.new_order(order("BUY", "LONG", "0.01", "49000"), 2_001)
    made.take_events()
    made.new_order(order("BUY", "LONG", "0.01", "48000", newClientOrderId="x"), 2_002)
    made.cancel_order({"symbol": "BTCUSDT", "origClientOrderId": "x"}, 2_003)
    last = made.take_events()[-1].body["o"]
    assert (last["b"], last["a"]) == ("490.00000000", "510.00000000")
    long, short = made.position_risk("BTCUSDT")
    assert (long["bidNotional"], long["askNotional"]) == ("490.00000000", "0.00000000")
    assert (short["bidNotional"], short["askNotional"]) == ("0.00000000", "510.00000000")

"""The algo service: refusals, triggers by mark and last, what a triggered order becomes, its events."""

import pytest

from tests.unit.exchange.engine_kit import D, code_of, engine, kinds, leg_of, order, stop, tick

SELL_STOP = ("SELL", "LONG", "49000")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"algoType": "VP"}, -1130),
        ({"algoType": ""}, -1102),
        ({"type": "LIMIT"}, -1116),
        ({"type": "TRAILING_STOP_MARKET"}, -1116),
        ({"side": "UP"}, -1117),
        ({"positionSide": ""}, -4061),
        ({"reduceOnly": "true"}, -1106),
        ({"quantity": "0.01"}, -4137),
        ({"closePosition": "false"}, -1102),
        ({"closePosition": "maybe"}, -1130),
        ({"closePosition": "false", "quantity": "0.0001"}, -1111),
        ({"type": "STOP", "price": "48900"}, -4136),
        ({"price": "48900"}, -1106),
        ({"triggerPrice": ""}, -1102),
        ({"triggerPrice": "-5"}, -4006),
        ({"triggerPrice": "49000.01"}, -1111),
        ({"triggerPrice": "50000"}, -2021),
        ({"triggerPrice": "50100"}, -2021),
        ({"workingType": "INDEX"}, -1130),
        ({"timeInForce": "X"}, -1115),
        ({"side": "BUY", "triggerPrice": "51000"}, -2022),
        ({"clientAlgoId": "x" * 40}, -4015),
    ],
)
def test_refused_with_the_venues_code_and_nothing_changes(change: dict[str, str], code: int) -> None:
    made = engine()
    before = made.snapshot()
    assert code_of(made.new_algo_order, {**stop(*SELL_STOP), **change}, 2_000) == code
    assert made.snapshot() == before


@pytest.mark.parametrize(
    ("kind", "side", "leg", "trigger", "through"),
    [
        ("STOP_MARKET", "SELL", "LONG", "49000", "48999"),
        ("STOP_MARKET", "BUY", "SHORT", "51000", "51001"),
        ("TAKE_PROFIT_MARKET", "SELL", "LONG", "51000", "51001"),
        ("TAKE_PROFIT_MARKET", "BUY", "SHORT", "49000", "48999"),
    ],
)
def test_each_kind_fires_on_its_side_and_is_refused_beyond_it(
    kind: str, side: str, leg: str, trigger: str, through: str
) -> None:
    made = engine()
    made.new_order(order("BUY" if leg == "LONG" else "SELL", leg, "0.02"), 2_000)
    request = stop(side, leg, trigger, type=kind)
    made.new_algo_order(request, 2_000)
    made.on_tick(tick("50000"), 2_500)
    assert len(made.open_algo_orders()) == 1
    made.on_tick(tick(through), 3_000)
    assert leg_of(made, leg) == (0, 0)
    assert code_of(made.new_algo_order, request, 3_001) == -2021


@pytest.mark.parametrize(
    ("working", "mark", "low", "fires"),
    [
        ("MARK_PRICE", "50000", "48000", False),
        ("MARK_PRICE", "49000", "50000", True),
        ("CONTRACT_PRICE", "48000", "50000", False),
        ("CONTRACT_PRICE", "50000", "49000", True),
    ],
)
def test_mark_and_last_are_apart(working: str, mark: str, low: str, fires: bool) -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_algo_order({**stop(*SELL_STOP), "workingType": working}, 2_000)
    made.on_tick(tick("50000", low=low, mark=mark), 3_000)
    assert (leg_of(made, "LONG")[0] == 0) is fires


def test_the_events_of_a_triggered_stop_in_order() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_algo_order(stop(*SELL_STOP, clientAlgoId="s1"), 2_000)
    made.take_events()
    made.on_tick(tick("48900"), 3_000)
    assert kinds(made) == [
        ("ALGO_UPDATE", "TRIGGERING"),
        ("ALGO_UPDATE", "TRIGGERED"),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ACCOUNT_UPDATE", "ORDER"),
        ("ORDER_TRADE_UPDATE", "FILLED"),
        ("ALGO_UPDATE", "FINISHED"),
    ]
    algo = made.query_algo_order({"clientAlgoId": "s1"})
    became = made.query_order({"symbol": "BTCUSDT", "orderId": algo["actualOrderId"]})
    assert (became["clientOrderId"], became["type"], became["origType"]) == ("s1", "MARKET", "STOP_MARKET")
    assert (became["origQty"], became["closePosition"], became["stopPrice"]) == ("0.020", True, "49000.0")
    assert algo["algoStatus"] == "FINISHED"
    assert algo["actualPrice"] == became["avgPrice"] == "48899.90000000"


def test_close_position_closes_what_the_leg_holds_at_the_trigger() -> None:
    made = engine()
    made.new_algo_order(stop(*SELL_STOP), 2_000)
    made.new_order(order("BUY", "LONG", "0.02"), 2_001)
    made.new_order(order("BUY", "LONG", "0.03"), 2_002)
    made.on_tick(tick("48900"), 3_000)
    assert leg_of(made, "LONG") == (0, 0)


def test_larger_than_the_leg_at_its_trigger_is_rejected_with_its_reason() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_algo_order(stop(*SELL_STOP, quantity="0.03", clientAlgoId="s"), 2_000)
    made.take_events()
    made.on_tick(tick("48900"), 3_000)
    events = [e.body["o"] for e in made.take_events() if e.body["e"] == "ALGO_UPDATE"]
    assert [(o["X"], o["rm"]) for o in events] == [
        ("TRIGGERING", ""),
        ("REJECTED", "ReduceOnly Order is rejected."),
    ]
    assert leg_of(made, "LONG")[0] == D("0.02")
    assert made.open_algo_orders() == []


def test_a_close_position_stop_of_a_flat_leg_expires_at_its_trigger() -> None:
    made = engine()
    made.new_algo_order(stop(*SELL_STOP, clientAlgoId="s"), 2_000)
    made.on_tick(tick("48900"), 3_000)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "EXPIRED"


def test_where_a_stop_may_not_rest_on_a_flat_leg() -> None:
    made = engine(allow_flat_stop=False)
    assert code_of(made.new_algo_order, stop(*SELL_STOP), 2_000) == -4509
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_algo_order(stop(*SELL_STOP, clientAlgoId="s"), 2_001)
    made.new_order(order("SELL", "LONG", "0.02"), 2_002)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "EXPIRED"


@pytest.mark.parametrize(("options", "code"), [({}, -4130), ({"single_close_position": False}, 0)])
def test_a_second_close_position_stop_of_a_leg(options: dict[str, bool], code: int) -> None:
    made = engine(**options)
    made.new_algo_order(stop(*SELL_STOP), 2_000)
    assert code_of(made.new_algo_order, stop("SELL", "LONG", "48000"), 2_000) == code
    assert code_of(made.new_algo_order, stop("BUY", "SHORT", "51000"), 2_000) == 0
    assert code_of(made.new_algo_order, stop("SELL", "LONG", "51000", type="TAKE_PROFIT_MARKET"), 2_000) == 0


def test_stop_limit_rests_as_a_limit_order_and_finishes_when_cancelled() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    request = stop("SELL", "LONG", "49000", type="STOP", quantity="0.02", price="49500", clientAlgoId="s")
    made.new_algo_order(request, 2_000)
    made.on_tick(tick("48900"), 3_000)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "TRIGGERED"
    (resting,) = made.open_orders("BTCUSDT")
    assert (resting["type"], resting["price"], resting["origType"]) == ("LIMIT", "49500.0", "STOP")
    assert code_of(made.cancel_algo_order, {"clientAlgoId": "s"}, 3_001) == -2011
    made.cancel_order({"symbol": "BTCUSDT", "origClientOrderId": "s"}, 3_002)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "FINISHED"


def test_a_conditional_entry_opens_its_leg() -> None:
    made = engine()
    made.new_algo_order(stop("BUY", "LONG", "51000", quantity="0.01"), 2_000)
    made.on_tick(tick("51000"), 3_000)
    assert leg_of(made, "LONG") == (D("0.01"), D(51000))


def test_limits_duplicates_and_cancels() -> None:
    made = engine()
    for n in range(10):
        made.new_algo_order(
            stop("SELL", "LONG", str(48_000 - n), quantity="0.01", clientAlgoId=f"s{n}"), 2_000
        )
    assert code_of(made.new_algo_order, stop("SELL", "LONG", "47000", quantity="0.01"), 2_001) == -4045
    assert made.cancel_algo_order({"clientAlgoId": "s0"}, 2_002)["code"] == "200"
    assert (
        code_of(made.new_algo_order, stop("SELL", "LONG", "47000", quantity="0.01", clientAlgoId="s1"), 2_003)
        == -4116
    )
    assert code_of(made.cancel_algo_order, {"clientAlgoId": "s0"}, 2_004) == -2011
    assert code_of(made.cancel_algo_order, {"clientAlgoId": "zz"}, 2_004) == -2011
    assert code_of(made.cancel_algo_order, {}, 2_004) == -1102
    assert code_of(made.query_algo_order, {"algoId": "1"}) == -2013
    assert made.cancel_all_algo("BTCUSDT", 2_005)["code"] == 200
    assert made.open_algo_orders() == []
    every = made.all_algo_orders({"symbol": "BTCUSDT"})
    assert [a["algoStatus"] for a in every] == ["CANCELED"] * 10
    assert made.all_algo_orders({"symbol": "BTCUSDT", "limit": "3"}) == every[-3:]
    assert made.all_algo_orders({"symbol": "BTCUSDT", "startTime": "2001"}) == []


def test_gtd_of_an_algo_order() -> None:
    made = engine()
    request = stop(*SELL_STOP, timeInForce="GTD", goodTillDate="700000", clientAlgoId="s")
    made.new_algo_order(request, 2_000)
    made.on_wall(700_000)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "EXPIRED"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"timeInForce": "GTX", "price": "48000"}, "Due to the order could not be executed as maker"),
        ({"price": "49500"}, "Reach max open order limit."),
    ],
)
def test_a_stop_limit_is_checked_at_its_trigger_like_any_order(more: dict[str, str], reason: str) -> None:
    from hedgegridd.exchange.engine import Engine
    from hedgegridd.exchange.types import SymbolRules

    made = Engine([SymbolRules(max_orders=1 if reason.startswith("Reach") else 5)])
    made.on_tick(tick("50000"), 1_000)
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_order(order("BUY", "LONG", "0.01", "47600"), 2_000)
    made.new_algo_order(
        {**stop("SELL", "LONG", "49000", type="STOP", quantity="0.02", clientAlgoId="s"), **more}, 2_000
    )
    made.take_events()
    made.on_tick(tick("48900"), 3_000)
    last = made.take_events()[-1].body["o"]
    assert last["X"] == "REJECTED"
    assert last["rm"].startswith(reason)


def test_a_conditional_entry_needs_its_notional() -> None:
    made = engine()
    assert code_of(made.new_algo_order, stop("BUY", "LONG", "51000", quantity="0.001"), 2_000) == -4164
    assert code_of(made.new_algo_order, stop("SELL", "LONG", "49000", quantity="0.001"), 2_000) == 0


@pytest.mark.parametrize(("protect", "fires"), [("true", False), ("false", True)])
def test_price_protect_waits_while_mark_and_last_are_apart(protect: str, fires: bool) -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_algo_order(stop(*SELL_STOP, priceProtect=protect), 2_000)
    made.on_tick(tick("52000", mark="49000"), 3_000)
    assert (not made.open_algo_orders()) is fires
    made.on_tick(tick("49000", mark="49000"), 3_001)
    assert made.open_algo_orders() == []

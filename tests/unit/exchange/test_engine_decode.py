"""Every answer and event decodes in the unmodified adapter, and its instrument provider takes the instrument."""

import json

import msgspec
import pytest
from nautilus_trader.adapters.binance.common.schemas.account import BinanceOrder, BinanceUserTrade
from nautilus_trader.adapters.binance.futures.schemas import account, market, user, wallet

from hedgegridd.exchange.engine import Engine
from tests.unit.exchange.engine_kit import D, engine, order, stop, tick

EVENTS = {
    "ORDER_TRADE_UPDATE": user.BinanceFuturesOrderUpdateMsg,
    "ACCOUNT_UPDATE": user.BinanceFuturesAccountUpdateMsg,
    "ALGO_UPDATE": user.BinanceFuturesAlgoUpdateMsg,
}


def decoded(answer: object, kind: object) -> object:
    return msgspec.json.decode(json.dumps(answer).encode(), type=kind)


def busy() -> Engine:
    """An engine with legs, resting orders, algo orders in every state, funding, an ADL and a liquidation behind it."""
    made = engine(deposit=D(2_000))
    made.new_order(order("BUY", "LONG", "0.05"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.02"), 2_000)
    made.new_order(order("BUY", "LONG", "0.01", "49000"), 2_001)
    made.new_order({**order("BUY", "LONG", "0.01", "49001"), "timeInForce": "GTX"}, 2_001)
    made.new_algo_order(stop("SELL", "LONG", "48000"), 2_002)
    made.new_algo_order(stop("BUY", "SHORT", "50900", quantity="0.3"), 2_002)
    made.new_algo_order(stop("BUY", "SHORT", "51000", quantity="0.01"), 2_002)
    cancelled = made.new_algo_order(stop("SELL", "LONG", "47000", quantity="0.01"), 2_003)
    made.cancel_algo_order({"algoId": str(cancelled["algoId"])}, 2_004)
    made.transfer(D(5), 2_005)
    made.on_tick(tick("51000", ts_ms=28_800_000), 2_006)
    made.deleverage("BTCUSDT", "LONG", D("0.01"), 2_007)
    return made


@pytest.mark.parametrize(
    ("call", "args", "kind"),
    [
        ("account_v2", (), account.BinanceFuturesAccountInfo),
        ("position_risk", (None,), list[account.BinanceFuturesPositionRisk]),
        ("symbol_config", (None,), list[account.BinanceFuturesSymbolConfig]),
        ("position_mode", (), account.BinanceFuturesDualSidePosition),
        ("set_leverage", ({"symbol": "BTCUSDT", "leverage": "10"},), account.BinanceFuturesLeverage),
        ("exchange_info", (), market.BinanceFuturesExchangeInfo),
        ("commission_rate", ("BTCUSDT",), wallet.BinanceFuturesCommissionRate),
        ("open_orders", (None,), list[BinanceOrder]),
        ("all_orders", ({"symbol": "BTCUSDT"},), list[BinanceOrder]),
        ("user_trades", ({"symbol": "BTCUSDT"},), list[BinanceUserTrade]),
        ("open_algo_orders", (None,), list[account.BinanceFuturesAlgoOrder]),
        ("all_algo_orders", ({"symbol": "BTCUSDT"},), list[account.BinanceFuturesAlgoOrder]),
    ],
)
def test_answers_decode_and_are_not_empty(call: str, args: tuple[object, ...], kind: object) -> None:
    assert decoded(getattr(busy(), call)(*args), kind)


def test_answers_of_orders_decode() -> None:
    made = busy()
    placed = made.new_order(order("BUY", "LONG", "0.01", "49000", newClientOrderId="a"), 3_000)
    amended = made.modify_order(
        {
            "symbol": "BTCUSDT",
            "origClientOrderId": "a",
            "side": "BUY",
            "quantity": "0.01",
            "price": "49100",
        },
        3_001,
    )
    cancelled = made.cancel_order({"symbol": "BTCUSDT", "origClientOrderId": "a"}, 3_002)
    for answer in (placed, amended, cancelled):
        assert decoded(answer, BinanceOrder).clientOrderId == "a"
    algo = made.new_algo_order(
        stop("SELL", "LONG", "55000", type="TAKE_PROFIT_MARKET", clientAlgoId="s"), 3_003
    )
    assert decoded(algo, account.BinanceFuturesAlgoOrder).closePosition is True
    gone = made.cancel_algo_order({"clientAlgoId": "s"}, 3_004)
    assert decoded(gone, account.BinanceFuturesAlgoOrderCancelResponse).clientAlgoId == "s"


def test_every_event_decodes_in_order() -> None:
    made = busy()
    made.on_tick(tick("10000", ts_ms=28_800_001), 3_000)
    events = made.take_events()
    assert [e.seq for e in events] == sorted({e.seq for e in events})
    states = set()
    for event in events:
        kind = event.body["e"]
        if kind == "ALGO_UPDATE":
            states.add(event.body["o"]["X"])
        if kind in EVENTS:
            decoded(event.body, EVENTS[kind])
    assert {"NEW", "CANCELED", "TRIGGERING", "TRIGGERED", "FINISHED", "REJECTED"} <= states


def test_margin_call_names_the_legs() -> None:
    made = engine(deposit=D(500))
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)
    made.take_events()
    made.on_tick(tick("45240"), 3_000)
    (event,) = made.take_events()
    assert decoded(event.body["p"], list[user.MarginCallPosition])[0].ps.value == "LONG"


def test_figures_are_text_without_exponents() -> None:
    made = busy()
    answers = [
        made.account_v2(),
        made.position_risk(),
        made.all_orders({"symbol": "BTCUSDT"}),
        made.income({}),
    ]
    text = json.dumps(answers)
    assert "E+" not in text
    assert "E-" not in text

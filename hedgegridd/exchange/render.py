"""REST answers about orders, trades and algo orders, in the venue's field names."""

from typing import Any

from hedgegridd.exchange.events import average_price
from hedgegridd.exchange.numbers import fixed, money_text
from hedgegridd.exchange.state import Algo, Income, Order, Trade
from hedgegridd.exchange.types import SymbolRules


def order_json(order: Order, rules: SymbolRules, *, accepted_only: bool = False) -> dict[str, Any]:
    """One order; with `accepted_only` as it was at acceptance (the venue's ACK, the default answer of POST)."""
    filled = order.filled * 0 if accepted_only else order.filled
    quote = order.quote * 0 if accepted_only else order.quote
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": "NEW" if accepted_only else order.status,
        "clientOrderId": order.client_id,
        "price": fixed(order.price, rules.tick),
        "avgPrice": "0.00" if accepted_only or not filled else average_price(order),
        "origQty": fixed(order.qty, rules.step),
        "executedQty": fixed(filled, rules.step),
        "cumQty": fixed(filled, rules.step),
        "cumQuote": money_text(quote),
        "timeInForce": order.tif,
        "type": order.type,
        "reduceOnly": order.closes,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": order.leg,
        "stopPrice": fixed(order.stop_price, rules.tick),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.orig_type or order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.stp,
        "goodTillDate": order.gtd_ms,
        "time": order.time_ms,
        "updateTime": order.time_ms if accepted_only else order.update_ms,
    }


def trade_json(trade: Trade, rules: SymbolRules) -> dict[str, Any]:
    """One row of `userTrades`."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": fixed(trade.price, rules.tick),
        "qty": fixed(trade.qty, rules.step),
        "realizedPnl": money_text(trade.realised),
        "quoteQty": money_text(trade.price * trade.qty),
        "commission": money_text(trade.commission),
        "commissionAsset": rules.quote,
        "time": trade.time_ms,
        "positionSide": trade.leg,
        "buyer": trade.side == "BUY",
        "maker": trade.maker,
    }


def algo_json(algo: Algo, rules: SymbolRules, order: Order | None = None) -> dict[str, Any]:
    """One algo order, as its POST, GET and list answers have it; `order` is what it turned into."""
    return {
        "algoId": algo.id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": algo.leg,
        "timeInForce": algo.tif,
        "quantity": fixed(algo.qty, rules.step),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.order_id) if algo.order_id else "",
        "actualPrice": average_price(order) if order else "0",
        "triggerPrice": fixed(algo.trigger, rules.tick),
        "price": fixed(algo.price, rules.tick),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.stp,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.closes,
        "createTime": algo.create_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": algo.gtd_ms,
    }


def income_json(row: Income) -> dict[str, Any]:
    """One row of `income`."""
    return {
        "symbol": row.symbol,
        "incomeType": row.kind,
        "income": money_text(row.amount),
        "asset": "USDT",
        "info": str(row.trade_id) if row.trade_id else row.kind,
        "time": row.time_ms,
        "tranId": row.tran_id,
        "tradeId": str(row.trade_id) if row.trade_id else "",
    }

"""Signed REST answers: orders, conditional orders, account and settings, each handed to the engine."""

from collections.abc import Callable
from typing import Any

import msgspec

from hedgegridd.exchange.info import RATE_LIMITS
from hedgegridd.exchange.market_rest import Params
from hedgegridd.exchange.params import missing
from hedgegridd.exchange.types import VenueError
from hedgegridd.exchange.venue import Venue

MAX_BATCH_NEW = 5
MAX_BATCH_CANCEL = 10


def new_order(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/order`."""
    return venue.engine.new_order(params, venue.wall.now_ms())


def test_order(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/order/test`: checked like an order, and nothing placed."""
    return venue.engine.test_order(params, venue.wall.now_ms())


def modify_order(venue: Venue, params: Params) -> Any:
    """`PUT /fapi/v1/order`."""
    return venue.engine.modify_order(params, venue.wall.now_ms())


def cancel_order(venue: Venue, params: Params) -> Any:
    """`DELETE /fapi/v1/order`."""
    return venue.engine.cancel_order(params, venue.wall.now_ms())


def query_order(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/order`."""
    return venue.engine.query_order(params)


def query_open_order(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/openOrder`: as a query, but an order that no longer rests is not found (-2013)."""
    order = venue.engine.query_order(params)
    if order["status"] not in ("NEW", "PARTIALLY_FILLED"):
        raise VenueError(-2013, "Order does not exist.")
    return order


def batch_new(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/batchOrders`: up to five orders, each answered by itself."""
    return _batch(params, lambda order: venue.engine.new_order(order, venue.wall.now_ms()))


def batch_modify(venue: Venue, params: Params) -> Any:
    """`PUT /fapi/v1/batchOrders`: up to five amendments, each answered by itself."""
    return _batch(params, lambda order: venue.engine.modify_order(order, venue.wall.now_ms()))


def _batch(params: Params, act: Callable[[Params], dict[str, Any]]) -> list[dict[str, Any]]:
    answers = []
    for item in _json_list(params, "batchOrders", MAX_BATCH_NEW):
        if not isinstance(item, dict):
            raise missing("batchOrders")
        order = {str(name): _text(value) for name, value in item.items()}
        answers.append(_each(act, order))
    return answers


def batch_cancel(venue: Venue, params: Params) -> Any:
    """`DELETE /fapi/v1/batchOrders`: up to ten by id or by client id, each answered by itself.

    The venue takes the names of the two lists in any case, and public clients send them in lower case.
    """
    lists = {name.lower(): text for name, text in params.items()}
    name, field = "orderIdList", "orderId"
    if "orderidlist" not in lists:
        name, field = "origClientOrderIdList", "origClientOrderId"
    answers = []
    for item in _json_list({name: lists.get(name.lower(), "")}, name, MAX_BATCH_CANCEL):
        order = {"symbol": params["symbol"], field: _text(item)}
        answers.append(_each(lambda order: venue.engine.cancel_order(order, venue.wall.now_ms()), order))
    return answers


def cancel_all(venue: Venue, params: Params) -> Any:
    """`DELETE /fapi/v1/allOpenOrders`: one symbol, both legs, ordinary orders only."""
    return venue.engine.cancel_all(params["symbol"], venue.wall.now_ms())


def countdown(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/countdownCancelAll`: wall clock."""
    return venue.engine.countdown_cancel(params, venue.wall.now_ms())


def open_orders(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/openOrders`."""
    return venue.engine.open_orders(params.get("symbol"))


def all_orders(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/allOrders`."""
    return venue.engine.all_orders(params)


def user_trades(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/userTrades`."""
    return venue.engine.user_trades(params)


def new_algo(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/algoOrder`."""
    return venue.engine.new_algo_order(params, venue.wall.now_ms())


def cancel_algo(venue: Venue, params: Params) -> Any:
    """`DELETE /fapi/v1/algoOrder`."""
    return venue.engine.cancel_algo_order(params, venue.wall.now_ms())


def query_algo(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/algoOrder`."""
    return venue.engine.query_algo_order(params)


def open_algos(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/openAlgoOrders`."""
    return venue.engine.open_algo_orders(params.get("symbol"))


def all_algos(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/allAlgoOrders`."""
    return venue.engine.all_algo_orders(params)


def cancel_all_algos(venue: Venue, params: Params) -> Any:
    """`DELETE /fapi/v1/algoOpenOrders`."""
    return venue.engine.cancel_all_algo(params["symbol"], venue.wall.now_ms())


def listen_key_new(venue: Venue, _params: Params) -> Any:
    """`POST /fapi/v1/listenKey`."""
    venue.touch()
    return {"listenKey": venue.user.create(venue.wall.now_ms())}


def listen_key_keep(venue: Venue, _params: Params) -> Any:
    """`PUT /fapi/v1/listenKey`."""
    venue.touch()
    return {"listenKey": venue.user.keep_alive(venue.wall.now_ms())}


def listen_key_close(venue: Venue, _params: Params) -> Any:
    """`DELETE /fapi/v1/listenKey`."""
    venue.touch()
    venue.user.close()
    return {}


def account_v2(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v2/account`."""
    return venue.engine.account_v2()


def account_v3(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v3/account`."""
    return venue.engine.account_v3()


def balance(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v2/balance` and v3."""
    return venue.engine.balance()


def position_risk(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v2/positionRisk` and v3."""
    return venue.engine.position_risk(params.get("symbol"))


def symbol_config(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/symbolConfig`."""
    return venue.engine.symbol_config(params.get("symbol"))


def position_mode(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/positionSide/dual`."""
    return venue.engine.position_mode()


def set_position_mode(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/positionSide/dual`."""
    return venue.engine.set_position_mode(params, venue.wall.now_ms())


def set_leverage(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/leverage`."""
    return venue.engine.set_leverage(params, venue.wall.now_ms())


def set_margin_type(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/marginType`."""
    return venue.engine.set_margin_type(params, venue.wall.now_ms())


def multi_assets(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/multiAssetsMargin`."""
    return venue.engine.multi_assets_mode()


def set_multi_assets(venue: Venue, params: Params) -> Any:
    """`POST /fapi/v1/multiAssetsMargin`."""
    return venue.engine.set_multi_assets_mode(params, venue.wall.now_ms())


def account_config(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/accountConfig`."""
    return venue.engine.account_config()


def order_limits(_venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/rateLimit/order`: the order limits of exchangeInfo."""
    return [dict(limit) for limit in RATE_LIMITS if limit["rateLimitType"] == "ORDERS"]


def key_rights(venue: Venue, _params: Params) -> Any:
    """`GET /sapi/v1/account/apiRestrictions`."""
    return venue.engine.key_rights()


def adl_quantile(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/adlQuantile`: one account has no queue, so every leg stands at 0."""
    return venue.engine.adl_quantile(params.get("symbol"))


def force_orders(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/forceOrders`: what the venue closed by itself."""
    return venue.engine.force_orders(params)


def commission_rate(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/commissionRate`."""
    return venue.engine.commission_rate(params["symbol"])


def leverage_brackets(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/leverageBracket`."""
    return venue.engine.leverage_brackets(params.get("symbol"))


def income(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/income`."""
    return venue.engine.income(params)


def _each(act: Callable[[Params], dict[str, Any]], order: Params) -> dict[str, Any]:
    try:
        return act(order)
    except VenueError as error:
        return {"code": error.code, "msg": error.msg}


def _json_list(params: Params, name: str, most: int) -> list[Any]:
    try:
        items = msgspec.json.decode(params.get(name, ""), type=list[Any])
    except msgspec.MsgspecError as error:
        raise missing(name) from error
    if not 1 <= len(items) <= most:
        if name == "batchOrders":
            raise VenueError(-4082, "Invalid number of batch place order requests.")
        raise VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return items


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise VenueError(-1130, "Data sent for parameter 'batchOrders' is not valid.")

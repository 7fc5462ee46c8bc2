"""Every REST route the exchange answers: who may call it, what it must carry, what it weighs."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from hedgegridd.exchange import account_rest as account
from hedgegridd.exchange import market_rest as market
from hedgegridd.exchange.market_rest import Params
from hedgegridd.exchange.venue import Venue

Security = Literal["none", "key", "signed"]
Handler = Callable[[Venue, Params], Any]
Weight = Callable[[Params], int]


class Route(msgspec.Struct, frozen=True):
    """One method and path. `orders`: what it counts in the 10 s and the 1 min window."""

    method: str
    path: str
    handler: Handler
    security: Security
    weight: Weight
    needs: tuple[str, ...] = ()
    orders: tuple[int, int] = (0, 0)


def _flat(weight: int) -> Weight:
    return lambda _params: weight


def _by_symbol(one: int, every: int) -> Weight:
    return lambda params: one if "symbol" in params else every


def _by_limit(steps: tuple[tuple[int, int], ...], beyond: int, default: int) -> Weight:
    def weight(params: Params) -> int:
        text = params.get("limit", "")
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
        return next((cost for most, cost in steps if limit <= most), beyond)

    return weight


_DEPTH = _by_limit(((50, 2), (100, 5), (500, 10)), 20, 500)
_KLINES = _by_limit(((99, 1), (499, 2), (1000, 5)), 10, 500)


def _public(path: str, handler: Handler, weight: Weight, *needs: str) -> Route:
    return Route("GET", path, handler, "none", weight, needs)


def _signed(method: str, path: str, handler: Handler, weight: int | Weight, *needs: str) -> Route:
    return Route(method, path, handler, "signed", _flat(weight) if isinstance(weight, int) else weight, needs)


def _order(
    method: str, path: str, handler: Handler, counts: tuple[int, int], weight: int, *needs: str
) -> Route:
    return Route(method, path, handler, "signed", _flat(weight), needs, counts)


ROUTES: tuple[Route, ...] = (
    _public("/fapi/v1/ping", market.ping, _flat(1)),
    _public("/fapi/v1/time", market.server_time, _flat(1)),
    _public("/fapi/v1/exchangeInfo", market.exchange_info, _flat(1)),
    _public("/fapi/v1/klines", market.klines, _KLINES, "symbol", "interval"),
    _public("/fapi/v1/depth", market.depth, _DEPTH, "symbol"),
    _public("/fapi/v1/premiumIndex", market.premium_index, _by_symbol(1, 10)),
    _public("/fapi/v1/ticker/bookTicker", market.book_ticker, _by_symbol(2, 5)),
    _public("/fapi/v1/ticker/price", market.price_ticker, _by_symbol(1, 2)),
    _public("/fapi/v2/ticker/price", market.price_ticker, _by_symbol(1, 2)),
    _public("/fapi/v1/ticker/24hr", market.day_ticker, _by_symbol(1, 40)),
    _public("/fapi/v1/trades", market.trades, _flat(5), "symbol"),
    _public("/fapi/v1/aggTrades", market.aggregate_trades, _flat(20), "symbol"),
    _public("/fapi/v1/fundingInfo", market.funding_info, _flat(0)),
    _public("/fapi/v1/fundingRate", market.funding_rates, _flat(1)),
    Route("POST", "/fapi/v1/listenKey", account.listen_key_new, "key", _flat(1)),
    Route("PUT", "/fapi/v1/listenKey", account.listen_key_keep, "key", _flat(1)),
    Route("DELETE", "/fapi/v1/listenKey", account.listen_key_close, "key", _flat(1)),
    _order("POST", "/fapi/v1/order", account.new_order, (1, 1), 0, "symbol", "side", "type"),
    _order("PUT", "/fapi/v1/order", account.modify_order, (1, 1), 0, "symbol", "side"),
    _order("POST", "/fapi/v1/order/test", account.test_order, (0, 0), 0, "symbol", "side", "type"),
    _order("POST", "/fapi/v1/batchOrders", account.batch_new, (5, 1), 5, "batchOrders"),
    _order("PUT", "/fapi/v1/batchOrders", account.batch_modify, (5, 1), 5, "batchOrders"),
    _order("POST", "/fapi/v1/algoOrder", account.new_algo, (1, 1), 0, "symbol", "side", "type", "algoType"),
    _signed("DELETE", "/fapi/v1/order", account.cancel_order, 1, "symbol"),
    _signed("GET", "/fapi/v1/order", account.query_order, 1, "symbol"),
    _signed("GET", "/fapi/v1/openOrder", account.query_open_order, 1, "symbol"),
    _signed("DELETE", "/fapi/v1/batchOrders", account.batch_cancel, 1, "symbol"),
    _signed("DELETE", "/fapi/v1/allOpenOrders", account.cancel_all, 1, "symbol"),
    _signed("POST", "/fapi/v1/countdownCancelAll", account.countdown, 10, "symbol", "countdownTime"),
    _signed("GET", "/fapi/v1/openOrders", account.open_orders, _by_symbol(1, 40)),
    _signed("GET", "/fapi/v1/allOrders", account.all_orders, 5, "symbol"),
    _signed("GET", "/fapi/v1/userTrades", account.user_trades, 5, "symbol"),
    _signed("DELETE", "/fapi/v1/algoOrder", account.cancel_algo, 1),
    _signed("GET", "/fapi/v1/algoOrder", account.query_algo, 1),
    _signed("GET", "/fapi/v1/openAlgoOrders", account.open_algos, _by_symbol(1, 40)),
    _signed("GET", "/fapi/v1/allAlgoOrders", account.all_algos, 5, "symbol"),
    _signed("DELETE", "/fapi/v1/algoOpenOrders", account.cancel_all_algos, 1, "symbol"),
    _signed("GET", "/fapi/v2/account", account.account_v2, 5),
    _signed("GET", "/fapi/v3/account", account.account_v3, 5),
    _signed("GET", "/fapi/v2/balance", account.balance, 5),
    _signed("GET", "/fapi/v3/balance", account.balance, 5),
    _signed("GET", "/fapi/v2/positionRisk", account.position_risk, 5),
    _signed("GET", "/fapi/v3/positionRisk", account.position_risk, 5),
    _signed("GET", "/fapi/v1/symbolConfig", account.symbol_config, 5),
    _signed("GET", "/fapi/v1/positionSide/dual", account.position_mode, 30),
    _signed("POST", "/fapi/v1/positionSide/dual", account.set_position_mode, 1, "dualSidePosition"),
    _signed("POST", "/fapi/v1/leverage", account.set_leverage, 1, "symbol", "leverage"),
    _signed("POST", "/fapi/v1/marginType", account.set_margin_type, 1, "symbol", "marginType"),
    _signed("GET", "/fapi/v1/multiAssetsMargin", account.multi_assets, 30),
    _signed("POST", "/fapi/v1/multiAssetsMargin", account.set_multi_assets, 1, "multiAssetsMargin"),
    _signed("GET", "/fapi/v1/accountConfig", account.account_config, 5),
    _signed("GET", "/sapi/v1/account/apiRestrictions", account.key_rights, 0),  # of another budget
    _signed("GET", "/fapi/v1/rateLimit/order", account.order_limits, 1),
    _signed("GET", "/fapi/v1/adlQuantile", account.adl_quantile, 5),
    _signed("GET", "/fapi/v1/forceOrders", account.force_orders, _by_symbol(20, 50)),
    _signed("GET", "/fapi/v1/commissionRate", account.commission_rate, 20, "symbol"),
    _signed("GET", "/fapi/v1/leverageBracket", account.leverage_brackets, 1),
    _signed("GET", "/fapi/v1/income", account.income, 30),
)
TABLE: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in ROUTES}

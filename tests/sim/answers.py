"""The venue's REST side: what each path answers, from the venue as it is at that moment."""

from decimal import Decimal
from typing import Any

from tests.sim.venue import MAINTENANCE, ZERO, Algo, Market, Order, Refusal, Trade, Venue

BAR_MS = {"1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}


class Answers:
    """Dispatch by method and path. `settings` are leverage and margin type; `bars` the klines, oldest first."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.leverage = 5
        self.bars: dict[str, list[list]] = {symbol: [] for symbol in venue.markets}
        self.countdowns: dict[str, list | None] = {}
        self._routes = {
            "GET /fapi/v1/time": lambda _p: {"serverTime": venue.ms()},
            "GET /fapi/v1/exchangeInfo": self._info,
            "GET /fapi/v1/leverageBracket": self._brackets,
            "GET /fapi/v1/accountConfig": lambda _p: {
                "dualSidePosition": True,
                "multiAssetsMargin": False,
                "canTrade": True,
            },
            "GET /fapi/v1/positionSide/dual": lambda _p: {"dualSidePosition": True},
            "GET /fapi/v1/multiAssetsMargin": lambda _p: {"multiAssetsMargin": False},
            "GET /fapi/v1/symbolConfig": self._symbol_config,
            "POST /fapi/v1/leverage": self._set_leverage,
            "GET /fapi/v1/premiumIndex": self._premium,
            "GET /fapi/v1/klines": self._klines,
            "GET /fapi/v1/depth": self._depth,
            "GET /fapi/v3/account": self._account,
            "GET /fapi/v3/positionRisk": self._positions,
            "GET /fapi/v1/openOrders": self._open_orders,
            "GET /fapi/v1/openAlgoOrders": self._open_algos,
            "GET /fapi/v1/order": self._order,
            "GET /fapi/v1/algoOrder": self._algo,
            "GET /fapi/v1/userTrades": self._trades,
            "GET /fapi/v1/income": self._income,
            "POST /fapi/v1/order": lambda p: order_json(venue.place(p)),
            "POST /fapi/v1/algoOrder": lambda p: algo_json(venue.place_algo(p)),
            "DELETE /fapi/v1/order": lambda p: order_json(venue.cancel(p)),
            "DELETE /fapi/v1/algoOrder": lambda p: algo_json(venue.cancel_algo(p)),
            "DELETE /fapi/v1/batchOrders": self._cancel_batch,
            "DELETE /fapi/v1/allOpenOrders": self._cancel_all,
            "POST /fapi/v1/countdownCancelAll": self._countdown,
        }

    def answer(self, endpoint: str, p: dict[str, str]) -> Any:
        """The JSON-ready body. Raises Refusal."""
        route = self._routes.get(endpoint)
        if route is None:
            raise Refusal(-5000, f"Path {endpoint} is not served", 404)
        return route(p)

    # ------------------------------------------------------------------------------------------------- rules

    def _info(self, _p: dict) -> dict:
        symbols = []
        for market in self.venue.markets.values():
            r = market.rules
            lot = {"minQty": r.step, "stepSize": r.step}
            filters = [
                {"filterType": "PRICE_FILTER", "tickSize": r.tick},
                {"filterType": "LOT_SIZE", "maxQty": r.max_qty, **lot},
                {"filterType": "MARKET_LOT_SIZE", "maxQty": r.market_max_qty, **lot},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": r.max_algos},
                {"filterType": "MIN_NOTIONAL", "notional": r.min_notional},
                {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
            ]
            symbols.append({"symbol": r.symbol, "status": market.status, "filters": filters})
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}
        return {"symbols": symbols, "rateLimits": [limit]}

    def _brackets(self, p: dict) -> list:
        return [{"symbol": p["symbol"], "brackets": [{"maintMarginRatio": MAINTENANCE}]}]

    def _symbol_config(self, p: dict) -> list:
        return [{"symbol": p["symbol"], "marginType": "CROSSED", "leverage": self.leverage}]

    def _set_leverage(self, p: dict) -> dict:
        self.leverage = int(p["leverage"])
        return {"leverage": self.leverage, "symbol": p["symbol"]}

    def _premium(self, p: dict) -> dict:
        return {"symbol": p["symbol"], "markPrice": self._market(p).mark, "time": self.venue.ms()}

    def _market(self, p: dict) -> Market:
        return self.venue.markets[p["symbol"]]

    def _depth(self, p: dict) -> dict:
        market, venue = self._market(p), self.venue
        bid, ask, tick = venue.bid(market), venue.ask(market), market.rules.tick
        steps = range(int(p["limit"]))
        return {
            "bids": [[str(bid - tick * step), "5"] for step in steps],
            "asks": [[str(ask + tick * step), "5"] for step in steps],
        }

    def _klines(self, p: dict) -> list:
        rows = self.bars[p["symbol"]]
        if "startTime" in p:
            start = int(p["startTime"])
            rows = [row for row in rows if row[0] >= start]
        return rows[-int(p["limit"]) :]

    # ------------------------------------------------------------------------------------------------- truth

    def _account(self, _p: dict) -> dict:
        venue = self.venue
        unrealized, notional = venue.unrealized(), venue.notional()
        balance = venue.wallet + unrealized
        initial = notional / self.leverage
        return {
            "totalWalletBalance": venue.wallet,
            "totalMarginBalance": balance,
            "totalMaintMargin": notional * MAINTENANCE,
            "totalInitialMargin": initial,
            "availableBalance": max(balance - initial, ZERO),
            "totalUnrealizedProfit": unrealized,
        }

    def _positions(self, _p: dict) -> list:
        rows = []
        for (symbol, side), leg in self.venue.legs.items():
            if not leg.qty:
                continue
            mark = self.venue.markets[symbol].mark
            sign = 1 if side == "LONG" else -1
            rows.append(
                {
                    "symbol": symbol,
                    "positionSide": side,
                    "positionAmt": leg.qty * sign,
                    "entryPrice": leg.entry.quantize(Decimal("0.00000001")),
                    "markPrice": mark,
                    "unRealizedProfit": (mark - leg.entry) * leg.qty * sign,
                }
            )
        return rows

    def _open_orders(self, p: dict) -> list:
        return [order_json(order) for order in self._market(p).orders.values()]

    def _open_algos(self, p: dict) -> list:
        return [algo_json(algo) for algo in self._market(p).algos.values()]

    def _order(self, p: dict) -> dict:
        venue = self.venue
        order = (
            venue.orders.get(int(p["orderId"]))
            if "orderId" in p
            else venue.by_coid.get(p["origClientOrderId"])
        )
        if order is None:
            raise Refusal(-2013, "Order does not exist.")
        return order_json(order)

    def _algo(self, p: dict) -> dict:
        algo = self.venue.algo_by_coid.get(p["clientAlgoId"])
        if algo is None:
            raise Refusal(-2013, "Order does not exist.")
        return algo_json(algo)

    def _trades(self, p: dict) -> list:
        trades = self.venue.trades
        if "orderId" in p:
            wanted = int(p["orderId"])
            return [trade_json(t) for t in trades if t.order_id == wanted]
        rows = []
        first = int(p.get("fromId", 0))
        for trade in reversed(trades):
            if trade.id < first:
                break
            if trade.symbol == p["symbol"]:
                rows.append(trade)
        rows.reverse()
        limit = int(p["limit"])
        return [trade_json(t) for t in (rows[:limit] if first else rows[-limit:])]

    def _income(self, p: dict) -> list:
        since, kind = int(p.get("startTime", 0)), p.get("incomeType")
        return [
            {"incomeType": k, "income": amount, "asset": "USDT", "time": ms, "tranId": tran, "symbol": symbol}
            for ms, k, amount, symbol, tran in self.venue.income
            if ms >= since and kind in (None, k)
        ][: int(p["limit"])]

    # ------------------------------------------------------------------------------------------------- orders

    def _cancel_batch(self, p: dict) -> list:
        out = []
        for coid in p["origClientOrderIdList"].strip("[]").replace('"', "").split(","):
            try:
                out.append(order_json(self.venue.cancel({"origClientOrderId": coid})))
            except Refusal as no:
                out.append({"code": no.code, "msg": no.msg})
        return out

    def _cancel_all(self, p: dict) -> dict:
        self.venue.cancel_all(p["symbol"])
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _countdown(self, p: dict) -> dict:
        """The dead-man switch of the venue: cancels when it is not renewed."""
        symbol, wait_ms = p["symbol"], int(p["countdownTime"])
        running = self.countdowns.get(symbol)
        if running is not None:
            running.clear()
        self.countdowns[symbol] = None
        if wait_ms:
            self.countdowns[symbol] = self.venue.time.after(wait_ms * 1_000_000, self._fire, symbol)
        return {"symbol": symbol, "countdownTime": str(wait_ms)}

    def _fire(self, symbol: str) -> None:
        self.countdowns[symbol] = None
        self.venue.cancel_all(symbol)
        if self.venue.manners.countdown_algos:
            for algo in list(self.venue.markets[symbol].algos.values()):
                self.venue.drop_algo(algo, silent=False)


def order_json(order: Order) -> dict:
    """A row of openOrders, and every answer about an order."""
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "clientOrderId": order.coid,
        "status": order.status,
        "side": order.side,
        "positionSide": order.leg,
        "type": order.kind,
        "origQty": order.qty,
        "executedQty": order.filled,
        "price": order.price,
        "avgPrice": order.quote / order.filled if order.filled else ZERO,
        "time": order.ms,
        "updateTime": order.ms,
    }


def algo_json(algo: Algo) -> dict:
    """A row of openAlgoOrders, and every answer about a conditional order."""
    return {
        "symbol": algo.symbol,
        "algoId": algo.id,
        "clientAlgoId": algo.coid,
        "algoStatus": algo.status,
        "side": algo.side,
        "positionSide": algo.leg,
        "orderType": "STOP_MARKET",
        "triggerPrice": algo.trigger,
        "quantity": algo.qty,
        "closePosition": algo.close_position,
        "actualOrderId": str(algo.order_id or ""),
        "createTime": algo.ms,
        "updateTime": algo.ms,
    }


def trade_json(trade: Trade) -> dict:
    """A row of userTrades."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side,
        "positionSide": trade.leg,
        "price": trade.price,
        "qty": trade.qty,
        "commission": trade.commission,
        "commissionAsset": "USDT",
        "maker": trade.maker,
        "time": trade.ms,
    }

"""Ordinary orders as the REST endpoints take them: new, amend, cancel, query, and the dead-man countdown."""

from decimal import Decimal
from typing import Any

from hedgegridd.exchange import filters, params
from hedgegridd.exchange.desk import Desk
from hedgegridd.exchange.params import Params
from hedgegridd.exchange.render import order_json
from hedgegridd.exchange.state import ZERO, Order
from hedgegridd.exchange.types import SymbolRules, VenueError

CONDITIONAL = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
TIFS = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD"})
GTD_LEAST_MS = 600_000  # goodTillDate lies at least this far ahead
GTD_MOST_MS = 253_402_300_799_000


class Trading:
    """The order endpoints over a desk.

    `exits_reserve`: a close is refused (-4118) when it and the closes that rest are together larger than the leg.
    """

    def __init__(self, desk: Desk, *, exits_reserve: bool = False) -> None:
        self._desk = desk
        self._exits_reserve = exits_reserve

    # -- new ---------------------------------------------------------------------------------------------------

    def new(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Places a LIMIT or MARKET order; the answer is the ACK unless newOrderRespType=RESULT."""
        order = self._read(request, now_ms)
        rules = self._desk.rules_of(order.symbol)
        response = request.get("newOrderRespType", "") or "ACK"
        if response not in {"ACK", "RESULT"}:
            raise VenueError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
        self._check(order, rules)
        self.execute(order, now_ms)
        return order_json(order, rules, accepted_only=response == "ACK")

    def test(self, request: Params, now_ms: int) -> None:
        """Checks an order as `new` does, and places nothing."""
        order = self._read(request, now_ms)
        self._check(order, self._desk.rules_of(order.symbol))

    def _read(self, request: Params, now_ms: int) -> Order:
        """The order a request describes, or a refusal of its parameters."""
        rules = self._desk.rules_of(params.required(request, "symbol"))
        kind = params.required(request, "type")
        if kind in CONDITIONAL:
            raise VenueError(
                -4120,
                "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
            )
        if kind not in {"LIMIT", "MARKET"}:
            raise VenueError(-1116, "Invalid orderType.")
        side = params.choice(request, "side", {"BUY", "SELL"}, -1117, "Invalid side.")
        leg = params.leg_side(request)
        self._desk.check_settings()
        for name in ("reduceOnly", "closePosition", "quoteOrderQty", "priceMatch", "icebergQty", "stopPrice"):
            if request.get(name):
                raise params.not_required(name)
        market = kind == "MARKET"
        price, tif, gtd_ms = ZERO, "GTC", 0
        if market:
            for name in ("price", "timeInForce"):
                if request.get(name):
                    raise params.not_required(name)
        else:
            tif = params.choice(request, "timeInForce", TIFS, -1115, "Invalid timeInForce.")
            price = params.decimal(request, "price")
            gtd_ms = read_gtd(request, tif, now_ms)
        order_id = self._desk.state.next_order_id
        return Order(
            id=order_id,
            client_id=params.client_id(request, "newClientOrderId", f"auto-{order_id}"),
            symbol=rules.symbol,
            side=side,
            leg=leg,
            type=kind,
            tif=tif,
            price=price,
            qty=params.decimal(request, "quantity"),
            time_ms=now_ms,
            update_ms=now_ms,
            gtd_ms=gtd_ms,
            stp=params.self_trade_prevention(request),
        )

    def _check(self, order: Order, rules: SymbolRules) -> None:
        """Refuses what the filters, the legs, the limits or the margin do not allow."""
        desk = self._desk
        known = desk.client_ids.get(order.client_id)
        if known is not None and desk.state.orders[known].open:
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        market = order.type == "MARKET"
        filters.check_qty(rules, order.qty, market=market)
        if not market:
            filters.check_price(rules, order.price)
            filters.check_percent_price(rules, order.side, order.price, desk.account.mark(order.symbol))
        self._check_post_only(order)
        reference = self._reference(order, rules)
        if order.closes:
            self._check_close(order, order.remaining)
        else:
            filters.check_notional(rules, reference, order.qty)
            self._check_open(order, reference, order.qty)
        self._check_count(order, rules)

    def _reference(self, order: Order, rules: SymbolRules) -> Decimal:
        """The price an order is valued at: its own, or for MARKET the best it faces (-4131 when out of bounds)."""
        if order.type != "MARKET":
            return order.price
        best = self._desk.books[order.symbol].best("SELL" if order.side == "BUY" else "BUY")
        mark = self._desk.account.mark(order.symbol)
        bound = filters.market_bound(rules, order.side, mark)
        if best is None or (best > bound if order.side == "BUY" else best < bound):
            raise VenueError(
                -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
            )
        return max(best, mark)

    def _check_close(self, order: Order, left: Decimal) -> None:
        """Refuses a close of `left` that is larger than its leg, or than what resting closes leave of it."""
        held = self._desk.state.leg(order.symbol, order.leg).qty
        if left > held:
            raise VenueError(-2022, "ReduceOnly Order is rejected.")
        if not self._exits_reserve or order.close_position:
            return
        for other in self._desk.books[order.symbol].orders.values():
            if other.closes and other.leg == order.leg and other.id != order.id:
                held -= other.remaining
        if left > held:
            raise VenueError(
                -4118, "ReduceOnly Order Failed. Please check your existing position and open orders."
            )

    def _check_open(self, order: Order, price: Decimal, added: Decimal) -> None:
        """Refuses an entry of `added` at `price` that status, brackets or margin do not allow."""
        desk = self._desk
        market = desk.state.markets[order.symbol]
        if market.status != "TRADING":
            raise VenueError(-4140, "Invalid symbol status for opening position.")
        if market.isolated:
            raise VenueError(
                -2010, "The paper exchange trades cross margin only; the symbol is set to isolated."
            )
        notional = desk.account.notional(desk.state.leg(order.symbol, order.leg)) + price * added
        for other in desk.books[order.symbol].orders.values():
            if other.leg == order.leg and not other.closes:
                notional += other.price * other.remaining
        if notional > desk.account.max_notional(order.symbol):
            raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
        if price * added / market.leverage > desk.account.available():
            raise VenueError(-2019, "Margin is insufficient.")

    def check_triggered(self, order: Order) -> None:
        """Refuses an order that an algo order turned into, as the matching engine would at the trigger."""
        desk = self._desk
        known = desk.client_ids.get(order.client_id)
        if known is not None and desk.state.orders[known].open:
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        rules = desk.rules_of(order.symbol)
        self._check_count(order, rules)
        reference = self._reference(order, rules)
        if order.closes:
            self._check_close(order, order.remaining)
        else:
            self._check_open(order, reference, order.qty)
        self._check_post_only(order)

    def _check_count(self, order: Order, rules: SymbolRules) -> None:
        if order.type != "MARKET" and len(self._desk.books[order.symbol].orders) >= rules.max_orders:
            raise VenueError(-2025, "Reach max open order limit.")

    def _would_take(self, order: Order, price: Decimal) -> bool:
        """Whether the order at `price` meets the displayed book or an order of our own."""
        book = self._desk.books[order.symbol]
        return book.crosses(order.side, price) or book.own_facing(order.side, price) is not None

    def _check_post_only(self, order: Order) -> None:
        if order.tif == "GTX" and self._would_take(order, order.price):
            raise VenueError(
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected. "
                "The order will not be recorded in the order history",
            )

    def execute(self, order: Order, now_ms: int) -> None:
        """Accepts a checked order: takes what it may, then rests, expires or is done."""
        desk = self._desk
        order.id = desk.next_order_id()
        desk.open_order(order)
        rules = desk.rules_of(order.symbol)
        book = desk.books[order.symbol]
        if order.type == "MARKET":
            bound = filters.market_bound(rules, order.side, desk.account.mark(order.symbol))
            desk.take(order, bound, now_ms)
            desk.end(order, "EXPIRED", now_ms)
            return
        own = None if order.stp == "EXPIRE_MAKER" else book.own_facing(order.side, order.price)
        reach = order.price if own is None else own.price
        if order.tif == "FOK" and book.takeable(order.side, reach) < order.qty:
            desk.end(order, "EXPIRED", now_ms)
            return
        self._take_and_rest(order, now_ms)

    def _take_and_rest(self, order: Order, now_ms: int) -> None:
        """Takes at the limit or better; what is left rests, or expires when IOC or FOK."""
        desk = self._desk
        desk.take(order, order.price, now_ms)
        if not order.open:
            return
        if order.tif in {"IOC", "FOK"}:
            desk.end(order, "EXPIRED", now_ms)
        else:
            desk.rest(order)

    # -- amend, cancel, query ----------------------------------------------------------------------------------

    def find(self, request: Params) -> Order | None:
        """The order a request names by orderId or origClientOrderId (-1102 when by neither), if known."""
        desk = self._desk
        desk.rules_of(params.required(request, "symbol"))
        if request.get("orderId"):
            order_id: int | None = params.integer(request, "orderId")
        elif request.get("origClientOrderId"):
            order_id = desk.client_ids.get(request["origClientOrderId"])
        else:
            raise VenueError(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        order = desk.state.orders.get(order_id) if order_id is not None else None
        return order if order is not None and order.symbol == request["symbol"] else None

    def modify(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Amends price and quantity of a resting LIMIT order.

        A new price, or a larger quantity, goes to the back of the queue. A quantity not above what has filled, or a
        GTX order that would now cross, cancels the order, as on the venue.
        """
        desk = self._desk
        rules = desk.rules_of(params.required(request, "symbol"))
        price, qty = params.decimal(request, "price"), params.decimal(request, "quantity")
        side = params.choice(request, "side", {"BUY", "SELL"}, -1117, "Invalid side.")
        order = self.find(request)
        if order is None or not order.open:
            raise VenueError(-2013, "Order does not exist.")
        if side != order.side:
            raise VenueError(-1117, "Invalid side.")
        if (price, qty) == (order.price, order.qty):
            raise VenueError(-5027, "No need to modify the order.")
        filters.check_price(rules, price)
        filters.check_qty(rules, qty, market=False)
        filters.check_percent_price(rules, side, price, desk.account.mark(order.symbol))
        crosses = order.tif == "GTX" and self._would_take(order, price)
        if qty <= order.filled or crosses:
            desk.end(order, "CANCELED", now_ms)
            return order_json(order, rules)
        self._check_amended(order, rules, price, qty)
        keeps_place = price == order.price and qty < order.qty
        book = desk.books[order.symbol]
        book.remove(order)
        order.price, order.qty, order.update_ms = price, qty, now_ms
        if keeps_place:
            book.add(order)
            desk.outbox.order(order, "AMENDMENT", now_ms)
        else:
            desk.outbox.order(order, "AMENDMENT", now_ms)
            self._take_and_rest(order, now_ms)
        return order_json(order, rules)

    def _check_amended(self, order: Order, rules: SymbolRules, price: Decimal, qty: Decimal) -> None:
        left = qty - order.filled
        if order.closes:
            self._check_close(order, left)
            return
        filters.check_notional(rules, price, qty)
        more = price * left - order.price * order.remaining
        if more > 0:
            self._check_open(order, price, more / price)

    def cancel(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Cancels one order; -2011 when it is unknown or has ended."""
        order = self.find(request)
        if order is None or not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        self._desk.end(order, "CANCELED", now_ms)
        return order_json(order, self._desk.rules_of(order.symbol))

    def query(self, request: Params) -> dict[str, Any]:
        """One order; -2013 when unknown."""
        order = self.find(request)
        if order is None:
            raise VenueError(-2013, "Order does not exist.")
        return order_json(order, self._desk.rules_of(order.symbol))

    def cancel_all(self, symbol: str, now_ms: int) -> int:
        """Cancels the ordinary orders of a symbol (algo orders stay); returns how many."""
        self._desk.rules_of(symbol)
        orders = self._desk.state_open(symbol)
        for order in orders:
            self._desk.end(order, "CANCELED", now_ms)
        return len(orders)

    # -- time --------------------------------------------------------------------------------------------------

    def countdown(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Sets (or with 0 disarms) the countdown after which a symbol's orders are cancelled."""
        symbol = self._desk.rules_of(params.required(request, "symbol")).symbol
        wait_ms = params.integer(request, "countdownTime")
        if wait_ms < 0:
            raise VenueError(-1130, "Data sent for parameter 'countdownTime' is not valid.")
        self._desk.state.markets[symbol].countdown_ms = now_ms + wait_ms if wait_ms else 0
        return {"symbol": symbol, "countdownTime": str(wait_ms)}

    def expire_gtd(self, now_ms: int) -> None:
        """Cancels GTD orders whose time has come (the venue reports them as EXPIRED)."""
        for order in self._desk.account.live_orders():
            if order.gtd_ms and order.gtd_ms <= now_ms:
                self._desk.end(order, "EXPIRED", now_ms)


def read_gtd(request: Params, tif: str, now_ms: int) -> int:
    """Reads goodTillDate in ms for a GTD order (0 for others); -1102 when absent, -1130 when out of range."""
    if tif != "GTD":
        return 0
    until = params.integer(request, "goodTillDate")
    if not now_ms + GTD_LEAST_MS < until < GTD_MOST_MS:
        raise VenueError(-1130, "Data sent for parameter 'goodTillDate' is not valid.")
    return until // 1000 * 1000

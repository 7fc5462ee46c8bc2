"""The algo service: conditional orders that wait for mark or last price and then become ordinary orders.

NEW -> CANCELED                            by the user
NEW -> EXPIRED                             its leg is flat at the trigger (closePosition), or GTD is over
NEW -> TRIGGERING -> REJECTED              refused at the trigger (larger than the leg, no margin): see `rm`
NEW -> TRIGGERING -> TRIGGERED -> FINISHED its order has filled or ended
"""

from decimal import Decimal
from typing import Any

from hedgegridd.exchange import filters, params
from hedgegridd.exchange.account import HISTORY_MAX
from hedgegridd.exchange.desk import Desk
from hedgegridd.exchange.params import Params
from hedgegridd.exchange.render import algo_json
from hedgegridd.exchange.state import ZERO, Algo, Order
from hedgegridd.exchange.trading import Trading, read_gtd
from hedgegridd.exchange.types import SymbolRules, Tick, VenueError

KINDS = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"})
WORKING = frozenset({"MARK_PRICE", "CONTRACT_PRICE"})
_FORGET = 20_000


class AlgoService:
    """The algo endpoints over a desk.

    `allow_flat_stop`: a closePosition order may be placed and rest while its leg is flat; without it the venue
    refuses it (-4509) and expires it when the leg goes flat. `single_close_position`: a second closePosition order of
    the same kind and leg is refused (-4130), as the venue was seen to do whatever the timeInForce.
    """

    def __init__(
        self, desk: Desk, trading: Trading, *, allow_flat_stop: bool, single_close_position: bool
    ) -> None:
        self._desk = desk
        self._trading = trading
        self._allow_flat_stop = allow_flat_stop
        self._single = single_close_position
        self._client_ids: dict[str, int] = {}
        self._open: dict[str, dict[int, Algo]] = {symbol: {} for symbol in desk.rules}
        for algo in desk.state.algos.values():
            self._client_ids[algo.client_id] = algo.id
            if algo.open:
                self._open[algo.symbol][algo.id] = algo

    # -- endpoints ---------------------------------------------------------------------------------------------

    def new(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Places a conditional order."""
        algo = self._read(request, now_ms)
        rules = self._desk.rules_of(algo.symbol)
        self._check(algo, rules)
        state = self._desk.state
        state.next_algo_id += 1
        state.algos[algo.id] = algo
        self._client_ids[algo.client_id] = algo.id
        self._open[algo.symbol][algo.id] = algo
        if len(state.algos) > HISTORY_MAX:
            self._forget()
        self._desk.outbox.algo(algo, now_ms)
        return algo_json(algo, rules)

    def _read(self, request: Params, now_ms: int) -> Algo:
        rules = self._desk.rules_of(params.required(request, "symbol"))
        params.choice(
            request, "algoType", {"CONDITIONAL"}, -1130, "Data sent for parameter 'algoType' is not valid."
        )
        kind = params.choice(request, "type", KINDS, -1116, "Invalid orderType.")
        side = params.choice(request, "side", {"BUY", "SELL"}, -1117, "Invalid side.")
        leg = params.leg_side(request)
        self._desk.check_settings()
        close_position = params.flag(request, "closePosition")
        for name in ("reduceOnly", "priceMatch", "activatePrice", "callbackRate"):
            if request.get(name):
                raise params.not_required(name)
        market = kind.endswith("_MARKET")
        if market and request.get("price"):
            raise params.not_required("price")
        tif = request.get("timeInForce", "") or "GTC"
        if tif not in {"GTC", "IOC", "FOK", "GTX", "GTD"}:
            raise VenueError(-1115, "Invalid timeInForce.")
        working = request.get("workingType", "") or "CONTRACT_PRICE"
        if working not in WORKING:
            raise VenueError(-1130, "Data sent for parameter 'workingType' is not valid.")
        algo_id = self._desk.state.next_algo_id
        return Algo(
            id=algo_id,
            client_id=params.client_id(request, "clientAlgoId", f"auto-algo-{algo_id}"),
            symbol=rules.symbol,
            side=side,
            leg=leg,
            type=kind,
            tif=tif,
            qty=self._quantity(request, rules, market=market, close_position=close_position),
            trigger=params.decimal(request, "triggerPrice"),
            price=ZERO if market else params.decimal(request, "price"),
            working_type=working,
            close_position=close_position,
            price_protect=params.flag(request, "priceProtect"),
            create_ms=now_ms,
            update_ms=now_ms,
            gtd_ms=read_gtd(request, tif, now_ms),
            stp=params.self_trade_prevention(request),
        )

    @staticmethod
    def _quantity(request: Params, rules: SymbolRules, *, market: bool, close_position: bool) -> Decimal:
        if not close_position:
            qty = params.decimal(request, "quantity")
            filters.check_qty(rules, qty, market=market)
            return qty
        if not market:
            raise VenueError(-4136, "Target strategy invalid for orderType STOP, closePosition true.")
        if request.get("quantity"):
            raise VenueError(-4137, "Quantity must be zero with closePosition equals true.")
        return ZERO

    def _check(self, algo: Algo, rules: SymbolRules) -> None:
        desk = self._desk
        working = self._open[algo.symbol].values()
        known = self._client_ids.get(algo.client_id)
        if known is not None and desk.state.algos[known].open:
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        filters.check_price(rules, algo.trigger, trigger=True)
        if algo.price:
            filters.check_price(rules, algo.price)
        if not algo.closes and not algo.close_position:
            filters.check_notional(rules, algo.price or algo.trigger, algo.qty)
        if algo.close_position:
            self._check_close_position(algo)
        if self._through(algo, self._price(algo)):
            raise VenueError(-2021, "Order would immediately trigger.")
        if len(working) >= rules.max_algo_orders:
            raise VenueError(-4045, "Reach max stop order limit.")

    def _check_close_position(self, algo: Algo) -> None:
        if not algo.closes:
            raise VenueError(-2022, "ReduceOnly Order is rejected.")
        if not self._allow_flat_stop and not self._desk.state.leg(algo.symbol, algo.leg).qty:
            raise VenueError(
                -4509,
                "Time in Force (TIF) GTE can only be used with open positions. "
                "Please ensure that positions are available.",
            )
        if self._single and any(
            o.close_position and o.leg == algo.leg and o.fires_up == algo.fires_up
            for o in self._open[algo.symbol].values()
        ):
            raise VenueError(
                -4130,
                "An open stop or take profit order with GTE and closePosition in the direction is existing.",
            )

    def _find(self, request: Params) -> Algo | None:
        if request.get("algoId"):
            return self._desk.state.algos.get(params.integer(request, "algoId"))
        if request.get("clientAlgoId"):
            algo_id = self._client_ids.get(request["clientAlgoId"])
            return None if algo_id is None else self._desk.state.algos.get(algo_id)
        raise VenueError(-1102, "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!")

    def cancel(self, request: Params, now_ms: int) -> dict[str, Any]:
        """Cancels one waiting algo order; -2011 when unknown, triggered or ended."""
        algo = self._find(request)
        if algo is None or not algo.open:
            raise VenueError(-2011, "Unknown order sent.")
        self._end(algo, "CANCELED", now_ms)
        return {"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}

    def cancel_all(self, symbol: str, now_ms: int) -> int:
        """Cancels the waiting algo orders of a symbol; returns how many."""
        self._desk.rules_of(symbol)
        algos = list(self._open[symbol].values())
        for algo in algos:
            self._end(algo, "CANCELED", now_ms)
        return len(algos)

    def query(self, request: Params) -> dict[str, Any]:
        """One algo order; -2013 when unknown."""
        algo = self._find(request)
        if algo is None:
            raise VenueError(-2013, "Order does not exist.")
        return self._json(algo)

    def open(self, symbol: str | None) -> list[dict[str, Any]]:
        """The waiting algo orders of a symbol, or of all."""
        symbols = list(self._open) if symbol is None else [self._desk.rules_of(symbol).symbol]
        return [self._json(algo) for s in symbols for algo in self._open[s].values()]

    def all(self, request: Params) -> list[dict[str, Any]]:
        """Waiting and past algo orders of a symbol, oldest first; by algoId, startTime, endTime, limit."""
        symbol = self._desk.rules_of(params.required(request, "symbol")).symbol
        most = params.limit(request, 500, 1000)
        first_id = params.integer(request, "algoId", 0)
        start, end = params.integer(request, "startTime", 0), params.integer(request, "endTime", 1 << 62)
        rows: list[dict[str, Any]] = []
        for algo in reversed(self._desk.state.algos.values()):
            if algo.id < first_id or algo.create_ms < start or len(rows) == most:
                break
            if algo.symbol == symbol and algo.create_ms <= end:
                rows.append(self._json(algo))
        return rows[::-1]

    def _json(self, algo: Algo) -> dict[str, Any]:
        order = self._desk.state.orders.get(algo.order_id)
        return algo_json(algo, self._desk.rules_of(algo.symbol), order)

    # -- trigger -----------------------------------------------------------------------------------------------

    def _price(self, algo: Algo) -> Decimal:
        market = self._desk.state.markets[algo.symbol]
        return market.mark if algo.working_type == "MARK_PRICE" else market.last

    @staticmethod
    def _through(algo: Algo, price: Decimal) -> bool:
        if not price:
            return False
        return price >= algo.trigger if algo.fires_up else price <= algo.trigger

    def on_tick(self, tick: Tick, now_ms: int) -> None:
        """Triggers what the tick's mark, or the range of its trades, has reached; in order of placing.

        A priceProtect order waits while mark and last are further apart than triggerProtect.
        """
        waiting = self._open[tick.symbol]
        if not waiting:
            return
        reached = [
            algo
            for algo in waiting.values()
            if self._through(
                algo,
                tick.mark
                if algo.working_type == "MARK_PRICE"
                else (tick.high if algo.fires_up else tick.low),
            )
        ]
        protected = filters.protected(tick.mark, tick.last)
        for algo in reached:
            if algo.open and not (protected and algo.price_protect):
                self._trigger(algo, now_ms)

    def _trigger(self, algo: Algo, now_ms: int) -> None:
        """Turns an algo order into an ordinary one that the venue checks like any other."""
        desk = self._desk
        leg = desk.state.leg(algo.symbol, algo.leg)
        algo.trigger_ms = now_ms
        if algo.close_position and not leg.qty:
            self._end(algo, "EXPIRED", now_ms, "ReduceOnly Order is rejected.")
            return
        algo.status, algo.update_ms = "TRIGGERING", now_ms
        desk.outbox.algo(algo, now_ms)
        market = algo.type.endswith("_MARKET")
        order = Order(
            id=0,
            client_id=algo.client_id,
            symbol=algo.symbol,
            side=algo.side,
            leg=algo.leg,
            type="MARKET" if market else "LIMIT",
            tif=algo.tif,
            price=algo.price,
            qty=leg.qty if algo.close_position else algo.qty,
            time_ms=now_ms,
            update_ms=now_ms,
            gtd_ms=algo.gtd_ms,
            orig_type=algo.type,
            stop_price=algo.trigger,
            working_type=algo.working_type,
            close_position=algo.close_position,
            algo_id=algo.id,
            stp=algo.stp,
        )
        try:
            self._trading.check_triggered(order)
        except VenueError as refusal:
            self._end(algo, "REJECTED", now_ms, refusal.msg)
            return
        del self._open[algo.symbol][algo.id]
        algo.status, algo.order_id = "TRIGGERED", desk.state.next_order_id
        desk.outbox.algo(algo, now_ms)
        self._trading.execute(order, now_ms)

    def finish(self, now_ms: int) -> None:
        """Reports the algo orders whose order has filled or ended as FINISHED."""
        desk = self._desk
        for algo in desk.ended_algos:
            algo.status, algo.update_ms = "FINISHED", now_ms
            desk.outbox.algo(algo, now_ms, desk.state.orders[algo.order_id])
        desk.ended_algos.clear()

    def expire(self, now_ms: int) -> None:
        """Expires GTD algo orders whose time has come."""
        for waiting in self._open.values():
            for algo in [a for a in waiting.values() if a.gtd_ms and a.gtd_ms <= now_ms]:
                self._end(algo, "EXPIRED", now_ms)

    def on_flat(self, now_ms: int) -> None:
        """Without `allow_flat_stop`, expires closePosition orders whose leg is flat."""
        if self._allow_flat_stop:
            return
        for waiting in self._open.values():
            for algo in list(waiting.values()):
                if algo.close_position and not self._desk.state.leg(algo.symbol, algo.leg).qty:
                    self._end(algo, "EXPIRED", now_ms)

    def _end(self, algo: Algo, status: str, now_ms: int, reason: str = "") -> None:
        self._open[algo.symbol].pop(algo.id, None)
        algo.status, algo.update_ms, algo.reason = status, now_ms, reason
        self._desk.outbox.algo(algo, now_ms)

    def _forget(self) -> None:
        """Drops the oldest algo orders that have ended."""
        state = self._desk.state
        for algo in [a for a in state.algos.values() if not a.open and a.status != "TRIGGERED"][:_FORGET]:
            del state.algos[algo.id]
            if self._desk.outbox.touched is not None:
                self._desk.outbox.touched[1].add(algo.id)
            if self._client_ids.get(algo.client_id) == algo.id:
                del self._client_ids[algo.client_id]

"""The venue, written anew and simply, so that it judges independently: matching, hedge legs, stops, wallet in Decimal.

It does what an exchange does and nothing of what goes wrong on the way to it; that is `network.py`. What differs among
venues, or is not documented, is in `Manners`, and is drawn for each seed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from tests.sim.loop import Time

D = Decimal
ZERO, ONE = D(0), D(1)
MAKER, TAKER = D("0.0002"), D("0.0005")
MAINTENANCE = D("0.004")
WALL_NS = 1_700_000_000_000_000_000
SIDES = ("LONG", "SHORT")
LIVE = frozenset({"NEW", "PARTIALLY_FILLED"})


class Refusal(Exception):  # noqa: N818  # reads as the event it is
    """The venue says no, and nothing has changed."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(f"{code} {msg}")
        self.code, self.msg, self.status = code, msg, status


@dataclass(slots=True)
class Manners:
    """What venues differ in; both ways must end well."""

    flat_stop: bool = True  # a closePosition stop may rest while its leg is flat
    flat_stop_code: int = -4509
    one_stop: bool = False  # a second closePosition stop of a leg is refused
    stop_dies: bool = False  # a closePosition stop ends when its leg goes flat
    countdown_algos: bool = False  # the countdown cancels algo orders too
    exit_notional: bool = False  # exits need the minimum notional too
    partial: float = 0.0  # how often a fill comes in parts


class Rules(NamedTuple):
    """Filters of the symbol."""

    symbol: str = "BTCUSDT"
    tick: Decimal = D("0.1")
    step: Decimal = D("0.001")
    max_qty: Decimal = D(1000)
    market_max_qty: Decimal = D(120)
    min_notional: Decimal = D(5)
    max_algos: int = 10


@dataclass(slots=True)
class Order:
    id: int
    coid: str
    symbol: str
    leg: str
    side: str
    kind: str  # LIMIT, MARKET
    tif: str
    qty: Decimal
    price: Decimal
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    status: str = "NEW"
    ms: int = 0
    orig: str = ""  # the conditional type it came from

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.filled

    @property
    def opens(self) -> bool:
        return (self.side == "BUY") == (self.leg == "LONG")


@dataclass(slots=True)
class Algo:
    id: int
    coid: str
    symbol: str
    leg: str
    side: str
    qty: Decimal
    trigger: Decimal
    close_position: bool
    status: str = "NEW"
    order_id: int = 0
    ms: int = 0
    reason: str = ""


@dataclass(slots=True)
class Leg:
    qty: Decimal = ZERO
    entry: Decimal = ZERO


@dataclass(slots=True)
class Trade:
    id: int
    order_id: int
    symbol: str
    leg: str
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    maker: bool
    ms: int
    realized: Decimal


@dataclass(slots=True)
class Market:
    rules: Rules
    price: Decimal
    mark: Decimal
    orders: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, Algo] = field(default_factory=dict)
    status: str = "TRADING"


class Venue:
    """One account. `tell` gets each user-stream message as the venue sends it; `watch` hears of every change."""

    def __init__(self, time: Time, rng: random.Random, rules: list[Rules], price: Decimal, manners: Manners):
        self.time, self.rng, self.manners = time, rng, manners
        self.markets = {r.symbol: Market(r, price, price) for r in rules}
        self.legs = {(r.symbol, leg): Leg() for r in rules for leg in SIDES}
        self.wallet = D(20000)
        self.orders: dict[int, Order] = {}
        self.by_coid: dict[str, Order] = {}
        self.algos: dict[int, Algo] = {}
        self.algo_by_coid: dict[str, Algo] = {}
        self.trades: list[Trade] = []
        self.income: list[tuple[int, str, Decimal, str, int]] = []  # ms, kind, amount, symbol, id
        self.tell: Callable[[dict], None] = lambda _message: None
        self.on_fill: Callable[[Order, Decimal], None] = lambda _order, _qty: None
        self.changes = 0  # every change of orders, legs or wallet
        self.events = 0
        self._next = 1000

    # ------------------------------------------------------------------------------------------------- small parts

    def ms(self) -> int:
        return (self.time.now + WALL_NS) // 1_000_000

    def new_id(self) -> int:
        self._next += 1
        return self._next

    def bid(self, market: Market) -> Decimal:
        return market.price - market.rules.tick

    def ask(self, market: Market) -> Decimal:
        return market.price + market.rules.tick

    def unrealized(self) -> Decimal:
        total = ZERO
        for (symbol, side), leg in self.legs.items():
            if leg.qty:
                total += (self.markets[symbol].mark - leg.entry) * leg.qty * (1 if side == "LONG" else -1)
        return total

    def notional(self) -> Decimal:
        return sum((leg.qty * self.markets[key[0]].mark for key, leg in self.legs.items()), ZERO)

    # ------------------------------------------------------------------------------------------------- orders

    def place(self, p: dict[str, str]) -> Order:
        """POST order."""
        market = self.markets[p["symbol"]]
        coid, qty = p["newClientOrderId"], D(p["quantity"])
        known = self.by_coid.get(coid)
        if known is not None and known.status in LIVE:
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        order = Order(
            self.new_id(), coid, market.rules.symbol, p["positionSide"], p["side"], p["type"],
            p.get("timeInForce", "GTC"), qty, D(p.get("price", "0")), ms=self.ms(),
        )  # fmt: skip
        self._check(order, market)
        self.orders[order.id] = self.by_coid[coid] = order
        market.orders[order.id] = order
        self.changes += 1
        self._tell_order(order, "NEW")
        self._take(order, market)
        return order

    def _check(self, order: Order, market: Market) -> None:
        rules = market.rules
        assert order.qty > 0, f"{order.coid}: quantity {order.qty}"
        assert order.qty % rules.step == 0, f"{order.coid}: quantity {order.qty} is not on the step"
        assert order.price % rules.tick == 0, f"{order.coid}: price {order.price} is not on the tick"
        if order.opens and market.status != "TRADING":
            raise Refusal(-4140, "Invalid symbol status for opening position.")
        limit = order.kind == "LIMIT"
        if order.qty > (rules.max_qty if limit else rules.market_max_qty):
            raise Refusal(-4005, "Quantity greater than max quantity.")
        needs = order.opens or self.manners.exit_notional
        if needs and limit and order.qty * order.price < rules.min_notional:
            raise Refusal(-4164, "Order's notional must be no smaller than 5.")
        if not order.opens and order.qty > self.legs[order.symbol, order.leg].qty:
            raise Refusal(-2022, "ReduceOnly Order is rejected.")
        if order.opens:
            worth = order.qty * (order.price or market.price)
            used = self.notional() + self._resting_worth() + worth
            if used / 10 > self.wallet + self.unrealized():
                raise Refusal(-2019, "Margin is insufficient.")
        if order.tif == "GTX" and self._crosses(order, market):
            raise Refusal(-5022, "Due to the order could not be executed as maker, it was rejected.")

    def _resting_worth(self) -> Decimal:
        return sum(
            (o.remaining * o.price for mk in self.markets.values() for o in mk.orders.values() if o.opens),
            ZERO,
        )

    def _crosses(self, order: Order, market: Market) -> bool:
        if order.side == "BUY":
            return order.price >= self.ask(market)
        return order.price <= self.bid(market)

    def _take(self, order: Order, market: Market) -> None:
        """What of a new order trades at once."""
        if order.kind == "MARKET":
            away = market.rules.tick * self.rng.randint(1, 20)
            price = market.price + (away if order.side == "BUY" else -away)
            self._fill_all(order, market, price, maker=False)
        elif self._crosses(order, market):
            price = self.ask(market) if order.side == "BUY" else self.bid(market)
            self._fill_all(order, market, price, maker=False)

    def _fill_all(self, order: Order, market: Market, price: Decimal, *, maker: bool) -> None:
        """Fill what is left, in parts now and then; a closing order that outgrows its leg ends."""
        while order.status in LIVE:
            if not order.opens:
                held = self.legs[order.symbol, order.leg].qty
                if held == 0:
                    self._end(order, "EXPIRED")
                    return
            part = order.remaining
            if part > market.rules.step and self.rng.random() < self.manners.partial:
                part = max((part / 3) // market.rules.step * market.rules.step, market.rules.step)
            if not order.opens:
                part = min(part, self.legs[order.symbol, order.leg].qty)
            self.fill(order, part, price, maker=maker)

    def fill(self, order: Order, qty: Decimal, price: Decimal, *, maker: bool) -> None:
        """One trade of the account."""
        leg = self.legs[order.symbol, order.leg]
        realized = ZERO
        if order.opens:
            leg.entry = (leg.entry * leg.qty + price * qty) / (leg.qty + qty)
            leg.qty += qty
        else:
            assert qty <= leg.qty, f"the venue fills {qty} of a leg of {leg.qty}"
            realized = (price - leg.entry) * qty * (1 if order.leg == "LONG" else -1)
            leg.qty -= qty
        commission = qty * price * (MAKER if maker else TAKER)
        self.wallet += realized - commission
        order.filled += qty
        order.quote += qty * price
        order.status = "FILLED" if order.filled == order.qty else "PARTIALLY_FILLED"
        trade = Trade(
            self.new_id(), order.id, order.symbol, order.leg, order.side, price, qty, commission, maker,
            self.ms(), realized,
        )  # fmt: skip
        self.trades.append(trade)
        self.changes += 1
        market = self.markets[order.symbol]
        if order.status == "FILLED":
            market.orders.pop(order.id, None)
        self._tell_order(order, "CALCULATED" if order.coid.startswith("autoclose-") else "TRADE", trade)
        self._tell_account("ORDER")
        self.on_fill(order, qty)
        if leg.qty == ZERO:
            leg.entry = ZERO
            self._leg_flat(order.symbol, order.leg)

    def _leg_flat(self, symbol: str, side: str) -> None:
        """Closing orders of a flat leg end, as the venue expires what can only be refused."""
        market = self.markets[symbol]
        if self.manners.stop_dies or not self.manners.flat_stop:
            for algo in list(market.algos.values()):
                if algo.leg == side and algo.close_position:
                    self._end_algo(algo, "EXPIRED")
        for order in list(market.orders.values()):
            if order.leg == side and not order.opens:
                self._end(order, "EXPIRED")

    def _end(self, order: Order, status: str) -> None:
        order.status = status
        self.markets[order.symbol].orders.pop(order.id, None)
        self.changes += 1
        self._tell_order(order, status)

    def cancel(self, p: dict[str, str]) -> Order:
        """DELETE order."""
        order = self.by_coid.get(p["origClientOrderId"])
        if order is None or order.status not in LIVE:
            raise Refusal(-2011, "Unknown order sent.")
        self._end(order, "CANCELED")
        return order

    def cancel_all(self, symbol: str) -> None:
        """DELETE allOpenOrders: ordinary ones, both legs."""
        for order in list(self.markets[symbol].orders.values()):
            self._end(order, "CANCELED")

    def expire(self, order: Order) -> None:
        """The venue ends a resting order by itself."""
        self._end(order, "EXPIRED")

    # ------------------------------------------------------------------------------------------------- algo service

    def place_algo(self, p: dict[str, str]) -> Algo:
        """POST algoOrder."""
        market = self.markets[p["symbol"]]
        coid, leg = p["clientAlgoId"], p["positionSide"]
        known = self.algo_by_coid.get(coid)
        if known is not None and known.status == "NEW":
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        whole = p.get("closePosition") == "true"
        algo = Algo(
            self.new_id(), coid, p["symbol"], leg, p["side"], D(p.get("quantity", "0")),
            D(p["triggerPrice"]), whole, ms=self.ms(),
        )  # fmt: skip
        assert algo.trigger % market.rules.tick == 0, f"{coid}: trigger {algo.trigger} is not on the tick"
        mine = [a for a in market.algos.values() if a.leg == leg and a.close_position]
        if whole and not self.manners.flat_stop and not self.legs[p["symbol"], leg].qty:
            raise Refusal(self.manners.flat_stop_code, "GTE can only be used with open positions.")
        if whole and self.manners.one_stop and mine:
            raise Refusal(-4130, "An open stop order with closePosition in the direction is existing.")
        if self._through(algo, market):
            raise Refusal(-2021, "Order would immediately trigger.")
        if len(market.algos) >= market.rules.max_algos:
            raise Refusal(-4045, "Reach max stop order limit.")
        self.algos[algo.id] = self.algo_by_coid[coid] = algo
        market.algos[algo.id] = algo
        self.changes += 1
        self._tell_algo(algo)
        return algo

    def _through(self, algo: Algo, market: Market) -> bool:
        return market.mark <= algo.trigger if algo.side == "SELL" else market.mark >= algo.trigger

    def cancel_algo(self, p: dict[str, str]) -> Algo:
        """DELETE algoOrder."""
        algo = self.algo_by_coid.get(p["clientAlgoId"])
        if algo is None or algo.status != "NEW":
            raise Refusal(-2011, "Unknown order sent.")
        self._end_algo(algo, "CANCELED")
        return algo

    def _end_algo(self, algo: Algo, status: str, *, silent: bool = False) -> None:
        algo.status = status
        self.markets[algo.symbol].algos.pop(algo.id, None)
        self.changes += 1
        if not silent:
            self._tell_algo(algo)

    def drop_algo(self, algo: Algo, *, silent: bool) -> None:
        """The venue removes a conditional order, told or not."""
        self._end_algo(algo, "CANCELED", silent=silent)

    def _trigger(self, algo: Algo, market: Market) -> None:
        leg = self.legs[algo.symbol, algo.leg]
        qty = leg.qty if algo.close_position else algo.qty
        if leg.qty == ZERO:
            self._end_algo(algo, "EXPIRED")
            return
        if qty > leg.qty:
            algo.reason = "ReduceOnly Order is rejected."
            self._end_algo(algo, "REJECTED")
            return
        algo.status = "TRIGGERED"
        market.algos.pop(algo.id, None)
        self.changes += 1
        order = Order(
            self.new_id(), algo.coid, algo.symbol, algo.leg, algo.side, "MARKET", "GTC", qty, ZERO,
            ms=self.ms(), orig="STOP_MARKET",
        )  # fmt: skip
        algo.order_id = order.id
        self._tell_algo(algo)
        self.orders[order.id] = self.by_coid[order.coid] = order
        self._tell_order(order, "NEW")
        gap = market.rules.tick * self.rng.randint(0, 30)
        price = market.price + (gap if order.side == "BUY" else -gap)
        self._fill_all(order, market, price, maker=False)
        algo.status = "FINISHED"
        self._tell_algo(algo)

    # ------------------------------------------------------------------------------------------------- the market

    def move(self, symbol: str, price: Decimal, mark: Decimal) -> None:
        """The market trades at `price`; what rests at or before it fills, marks trigger stops."""
        market = self.markets[symbol]
        tick = market.rules.tick
        market.price = price = price // tick * tick
        market.mark = mark // tick * tick
        for order in sorted(market.orders.values(), key=lambda o: o.id):
            if order.status not in LIVE:
                continue
            through = order.price > price if order.side == "BUY" else order.price < price
            if through or (order.price == price and self.rng.random() < 0.5):
                if self.rng.random() < self.manners.partial and order.remaining > market.rules.step:
                    held = order.remaining if order.opens else self.legs[symbol, order.leg].qty
                    part = min(order.remaining, held) / 2 // market.rules.step * market.rules.step
                    if part > ZERO:
                        self.fill(order, part, order.price, maker=True)
                    if not through:
                        continue
                self._fill_all(order, market, order.price, maker=True)
        for algo in sorted(market.algos.values(), key=lambda a: a.id):
            if algo.status == "NEW" and self._through(algo, market):
                self._trigger(algo, market)
        self._liquidate_if_due()

    def _liquidate_if_due(self) -> None:
        if self.notional() and self.wallet + self.unrealized() <= self.notional() * MAINTENANCE:
            for symbol, side in self.legs:
                self.force_close(symbol, side, "autoclose-")

    def force_close(self, symbol: str, side: str, prefix: str, share: Decimal = ONE) -> None:
        """The venue closes (a part of) a leg by an order of its own: liquidation, ADL."""
        leg, market = self.legs[symbol, side], self.markets[symbol]
        qty = (leg.qty * share) // market.rules.step * market.rules.step
        self._own_order(symbol, side, qty, f"{prefix}{self.new_id()}", opens=False)

    def hand_trade(self, symbol: str, side: str, qty: Decimal, *, opens: bool) -> None:
        """Somebody trades the account by hand."""
        self._own_order(symbol, side, qty, f"web_{self.new_id()}", opens=opens)

    def _own_order(self, symbol: str, side: str, qty: Decimal, coid: str, *, opens: bool) -> None:
        market = self.markets[symbol]
        if not opens:
            qty = min(qty, self.legs[symbol, side].qty)
        if qty <= ZERO:
            return
        buys = (side == "LONG") == opens
        order = Order(
            self.new_id(), coid, symbol, side, "BUY" if buys else "SELL", "MARKET", "GTC", qty, ZERO,
            ms=self.ms(),
        )  # fmt: skip
        self.orders[order.id] = self.by_coid[coid] = order
        self._tell_order(order, "NEW")
        self._fill_all(order, market, market.price, maker=False)

    def hand_order(self, symbol: str, side: str, price: Decimal, qty: Decimal) -> Order:
        """An entry placed by hand, which is not ours."""
        p = {
            "symbol": symbol, "newClientOrderId": f"web_{self.new_id()}", "quantity": str(qty),
            "positionSide": side, "side": "BUY" if side == "LONG" else "SELL", "type": "LIMIT",
            "price": str(price), "timeInForce": "GTC",
        }  # fmt: skip
        return self.place(p)

    # ------------------------------------------------------------------------------------------------- money

    def book_income(self, kind: str, amount: Decimal, symbol: str = "") -> None:
        """FUNDING_FEE or TRANSFER."""
        self.wallet += amount
        self.income.append((self.ms(), kind, amount, symbol, self.new_id()))
        self.changes += 1
        self._tell_account("FUNDING_FEE" if kind == "FUNDING_FEE" else "DEPOSIT")

    def fund(self, symbol: str, rate: Decimal) -> None:
        """A funding settlement: longs pay when the rate is positive."""
        for side in SIDES:
            leg = self.legs[symbol, side]
            if leg.qty:
                worth = leg.qty * self.markets[symbol].mark * rate
                amount = (-worth if side == "LONG" else worth).quantize(D("0.00000001"))
                self.book_income("FUNDING_FEE", amount, symbol)

    # ------------------------------------------------------------------------------------------------- user stream

    def _say(self, message: dict) -> None:
        self.events += 1
        self.tell(message)

    def _tell_order(self, order: Order, execution: str, trade: Trade | None = None) -> None:
        ms = self.ms()
        body = {
            "s": order.symbol, "c": order.coid, "S": order.side, "o": order.kind, "x": execution,
            "X": order.status, "i": order.id, "l": trade.qty if trade else ZERO, "z": order.filled,
            "L": trade.price if trade else ZERO, "T": ms, "ps": order.leg, "t": trade.id if trade else 0,
            "m": trade.maker if trade else False, "ot": order.orig or order.kind,
        }  # fmt: skip
        if trade:
            body["N"], body["n"] = "USDT", trade.commission
        self._say({"e": "ORDER_TRADE_UPDATE", "E": ms, "T": ms, "o": body})

    def _tell_algo(self, algo: Algo) -> None:
        ms = self.ms()
        body = {
            "caid": algo.coid, "aid": algo.id, "s": algo.symbol, "S": algo.side, "ps": algo.leg,
            "X": algo.status, "ai": str(algo.order_id or ""), "tp": algo.trigger, "rm": algo.reason,
        }  # fmt: skip
        self._say({"e": "ALGO_UPDATE", "E": ms, "T": ms, "o": body})

    def _tell_account(self, reason: str) -> None:
        ms = self.ms()
        self._say({"e": "ACCOUNT_UPDATE", "E": ms, "T": ms, "a": {"m": reason}})

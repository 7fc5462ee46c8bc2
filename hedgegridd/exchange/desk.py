"""What every way of trading shares: ids, resting, filling and ending ordinary orders, with their events."""

from collections.abc import Mapping
from decimal import Decimal

from hedgegridd.exchange.account import HISTORY_MAX, Account
from hedgegridd.exchange.events import Outbox
from hedgegridd.exchange.matching import Book
from hedgegridd.exchange.state import Algo, Order, State, Trade
from hedgegridd.exchange.types import SymbolRules, VenueError

_FORGET = 20_000  # closed orders or trades dropped at once when HISTORY_MAX is passed


class Desk:
    """The one place that changes ordinary orders; algo.py and settlement.py trade through it too."""

    def __init__(
        self,
        rules: Mapping[str, SymbolRules],
        state: State,
        account: Account,
        outbox: Outbox,
        books: Mapping[str, Book],
    ) -> None:
        """`books` is rebuilt from the open orders of `state`."""
        self.rules = rules
        self.state = state
        self.account = account
        self.outbox = outbox
        self.books = books
        self.client_ids: dict[str, int] = {}
        self.ended_algos: list[Algo] = []  # triggered algo orders whose order has ended: algo.py reports them
        for order in state.orders.values():
            self.client_ids[order.client_id] = order.id
            if order.open:
                books[order.symbol].add(order)

    def rules_of(self, symbol: str) -> SymbolRules:
        """The rules of a listed symbol; -1121 for others."""
        rules = self.rules.get(symbol)
        if rules is None:
            raise VenueError(-1121, "Invalid symbol.")
        return rules

    def open_order(self, order: Order) -> None:
        """Records a new order and reports it as NEW; it does not rest yet."""
        self.state.orders[order.id] = order
        self.client_ids[order.client_id] = order.id
        if len(self.state.orders) > HISTORY_MAX:
            self._forget_orders()
        self.outbox.order(order, "NEW", order.time_ms)

    def next_order_id(self) -> int:
        """A new order id, larger than all before."""
        self.state.next_order_id += 1
        return self.state.next_order_id - 1

    def take(self, order: Order, bound: Decimal, now_ms: int) -> None:
        """Fills what the displayed depth gives at `bound` or better, as taker, past our own orders in its way.

        At the price of one of ours the displayed size goes first. Which of the two orders expires when they meet, the
        taker's mode of self-trade prevention says.
        """
        book = self.books[order.symbol]
        while order.open:
            own = book.own_facing(order.side, bound)
            for price, qty in book.take(order.side, order.remaining, bound if own is None else own.price):
                self.fill(order, price, qty, now_ms, maker=False)
            if own is None or not order.open:
                return
            if order.stp != "EXPIRE_TAKER":
                self.end(own, "EXPIRED_IN_MATCH", now_ms)
            if order.stp != "EXPIRE_MAKER":
                self.end(order, "EXPIRED_IN_MATCH", now_ms)

    def rest(self, order: Order) -> None:
        """Puts an open order into the book, behind the displayed size at its price."""
        book = self.books[order.symbol]
        order.queue = book.queue_at(order.side, order.price)
        order.rank = self.state.next_rank
        self.state.next_rank += 1
        book.add(order)

    def fill(
        self,
        order: Order,
        price: Decimal,
        qty: Decimal,
        now_ms: int,
        *,
        maker: bool,
        execution: str = "TRADE",
    ) -> None:
        """Fills `qty` at `price`; a close gets no more than its leg holds. Ends the leg's exits when it is flat."""
        leg = self.state.leg(order.symbol, order.leg)
        if order.closes:
            qty = min(qty, leg.qty)
        if qty <= 0:
            raise AssertionError(f"fill of {qty} for order {order.id}")
        commission = self.account.fee(order.symbol, price, qty, maker=maker)
        realised = self.account.apply_fill(order, price, qty, commission, now_ms)
        order.filled += qty
        order.quote += price * qty
        order.update_ms = now_ms
        order.status = "FILLED" if order.filled == order.qty else "PARTIALLY_FILLED"
        trade = Trade(
            id=self.state.next_trade_id,
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            leg=order.leg,
            price=price,
            qty=qty,
            realised=realised,
            commission=commission,
            maker=maker,
            time_ms=now_ms,
        )
        self.state.next_trade_id += 1
        self._record(trade)
        if not order.open:
            self.books[order.symbol].remove(order)
        self.outbox.account("ADL" if order.type == "ADL" else "ORDER", now_ms, [leg])
        self.outbox.order(order, execution, now_ms, trade)
        if not order.open:
            self._ended(order)
        if order.closes and not leg.qty:
            self._expire_exits(order.symbol, order.leg, now_ms)

    def _record(self, trade: Trade) -> None:
        state = self.state
        state.trades.append(trade)
        if len(state.trades) > HISTORY_MAX:
            del state.trades[:_FORGET]
            state.forgotten_trades += _FORGET
        if trade.realised:
            self.account.book_income(
                "REALIZED_PNL", trade.symbol, trade.realised, trade.time_ms, trade_id=trade.id
            )
        self.account.book_income(
            "COMMISSION", trade.symbol, -trade.commission, trade.time_ms, trade_id=trade.id
        )

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """Ends an open order as CANCELED, EXPIRED or EXPIRED_IN_MATCH; no effect on one that has ended."""
        if not order.open:
            return
        self.books[order.symbol].remove(order)
        order.status = status
        order.update_ms = now_ms
        self.outbox.order(order, "EXPIRED" if status == "EXPIRED_IN_MATCH" else status, now_ms)
        self._ended(order)

    def _ended(self, order: Order) -> None:
        if order.algo_id:
            self.ended_algos.append(self.state.algos[order.algo_id])

    def _expire_exits(self, symbol: str, leg: str, now_ms: int) -> None:
        """A flat leg has nothing to close: the venue expires its closing orders."""
        exits = [o for o in self.state_open(symbol) if o.closes and o.leg == leg]
        for order in exits:
            self.end(order, "EXPIRED", now_ms)

    def check_settings(self) -> None:
        """Refuses every order of an account or a key that is not set up to trade legs: -4061, -2015."""
        settings = self.state.settings
        if not settings.hedge_mode:
            raise VenueError(-4061, "Order's position side does not match user's setting.")
        if not (settings.can_trade and settings.key_futures):
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.")

    def state_open(self, symbol: str) -> list[Order]:
        """Resting orders of one symbol, oldest first."""
        return sorted(self.books[symbol].orders.values(), key=_order_id)

    def _forget_orders(self) -> None:
        """Drops the oldest closed orders; open ones always stay."""
        state = self.state
        oldest = [o for o in state.orders.values() if not o.open][:_FORGET]
        for order in oldest:
            del state.orders[order.id]
            if self.outbox.touched is not None:
                self.outbox.touched[0].add(order.id)
            if self.client_ids.get(order.client_id) == order.id:
                del self.client_ids[order.client_id]


def _order_id(order: Order) -> int:
    return order.id

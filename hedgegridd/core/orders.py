"""The book of our live orders, built from what the venue said of them, and nothing else.

PENDING, UNKNOWN and CANCELING count as live: the venue may have the order. An order whose closing report tells more
fills than we were told stays live (`final`) until they are booked. Trade ids are booked once.
"""

from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.core.state import BookState, Order
from hedgegridd.model import Leg, OrderStatus, Purpose

CLOSED_KEPT = 512
TRADES_KEPT = 8192


class OrderBook:
    """Orders of one instrument by client order id. Unknown ids are answered with None and change nothing."""

    def __init__(self, state: BookState) -> None:
        self._state = state

    # -------------------------------------------------------------------------------------------------- reading

    def get(self, client_order_id: str) -> Order | None:
        """A live order."""
        return self._state.live.get(client_order_id)

    def closed(self, client_order_id: str) -> Order | None:
        """One of the latest closed orders."""
        return self._state.closed.get(client_order_id)

    def live(self, leg: Leg | None = None, purpose: Purpose | None = None) -> list[Order]:
        """Live orders in the order they were placed."""
        orders = self._state.live.values()
        if leg is None:
            return [order for order in orders if purpose is None or order.purpose is purpose]
        if purpose is None:
            return [order for order in orders if order.leg is leg]
        return [order for order in orders if order.leg is leg and order.purpose is purpose]

    def __len__(self) -> int:
        return len(self._state.live)

    # -------------------------------------------------------------------------------------------------- changes

    def add(self, order: Order) -> None:
        """A new order of ours.

        Raises:
            ValueError: its id has been used already.
        """
        if order.client_order_id in self._state.live or order.client_order_id in self._state.closed:
            raise ValueError(f"client order id {order.client_order_id} is used twice")
        self._state.live[order.client_order_id] = order

    def accepted(self, event: m.OrderAccepted, mono: int) -> Order | None:
        """PENDING or UNKNOWN becomes WORKING; a cancel under way stays under way."""
        order = self._state.live.get(event.client_order_id)
        if order is None:
            return None
        order.algo = order.algo or event.algo
        order.touched_mono = mono
        if order.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN):
            order.status = OrderStatus.WORKING
        return order

    def unknown(self, client_order_id: str, mono: int) -> Order | None:
        """Its fate is open; it counts as live."""
        order = self._state.live.get(client_order_id)
        if order is not None:
            order.status = OrderStatus.UNKNOWN
            order.touched_mono = mono
        return order

    def canceling(self, order: Order, mono: int) -> None:
        """A cancel has been asked for."""
        order.status = OrderStatus.CANCELING
        order.touched_mono = mono

    def cancel_rejected(
        self, client_order_id: str, mono: int, *, gone: bool, not_before: int
    ) -> Order | None:
        """The cancel was refused; `gone`: the venue does not know the order, so what became of it is open."""
        order = self._state.live.get(client_order_id)
        if order is None or order.final is not None:
            return None
        order.status = OrderStatus.UNKNOWN if gone else OrderStatus.WORKING
        order.touched_mono = mono
        order.no_cancel_before = not_before
        return order

    def triggered(self, client_order_id: str, mono: int) -> Order | None:
        """A conditional order has fired; it lives on until its fills and its closing report came."""
        order = self._state.live.get(client_order_id)
        if order is not None:
            order.triggered = True
            order.touched_mono = mono
        return order

    def close(self, client_order_id: str, mono: int) -> Order | None:
        """It is gone for sure, all its fills are booked."""
        order = self._state.live.pop(client_order_id, None)
        if order is None:
            return None
        order.status = OrderStatus.CLOSED
        order.touched_mono = mono
        self._state.closed[client_order_id] = order
        while len(self._state.closed) > CLOSED_KEPT:
            del self._state.closed[next(iter(self._state.closed))]
        return order

    def closing_report(self, event: m.OrderClosed, mono: int) -> Order | None:
        """It no longer works; it stays live while fills of it that the report tells of are missing."""
        order = self._state.live.get(event.client_order_id)
        if order is None:
            return None
        final = event.filled_qty
        if final is None and event.how == "FILLED":
            final = order.qty
        if final is not None and final > order.filled:
            order.final = final
            order.status = OrderStatus.CANCELING
            order.touched_mono = mono
            return order
        return self.close(event.client_order_id, mono)

    def is_new_trade(self, trade_id: str) -> bool:
        """True the first time; bounded to the latest trades."""
        trades = self._state.trades
        if trade_id in trades:
            return False
        trades[trade_id] = True
        while len(trades) > TRADES_KEPT:
            del trades[next(iter(trades))]
        return True

    def filled(self, client_order_id: str, qty: Decimal, mono: int) -> Order | None:
        """Add a fill to its order, live or just closed; complete orders close by themselves."""
        order = self._state.live.get(client_order_id)
        if order is None:
            order = self._state.closed.get(client_order_id)
            if order is not None:
                order.filled += qty
            return order
        order.filled += qty
        order.touched_mono = mono
        if order.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN):
            order.status = OrderStatus.WORKING
        complete = order.final if order.final is not None else order.qty
        if complete is not None and order.filled >= complete:
            self.close(client_order_id, mono)
        return order

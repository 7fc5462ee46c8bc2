"""The strategy inside NautilusTrader: subscribes, sends our orders under our ids, hands on what it hears."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.binance import BINANCE
from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.data import Bar, BarType, DataType, QuoteTick
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.enums import TimeInForce as NautilusTimeInForce
from nautilus_trader.model.events import OrderCancelRejected, OrderDenied, OrderRejected
from nautilus_trader.model.identifiers import ClientId, ClientOrderId, InstrumentId, PositionId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.orders import LimitOrder, MarketOrder, Order, StopMarketOrder
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from hedgegridd.errors import VenueError
from hedgegridd.messages import BarClosed, PlaceOrder
from hedgegridd.model import OrderKind, Side, TimeInForce, position_id
from hedgegridd.venue.port import Listener

BAR_STEPS = {
    "1m": ("1-MINUTE", 60),
    "3m": ("3-MINUTE", 180),
    "5m": ("5-MINUTE", 300),
    "15m": ("15-MINUTE", 900),
    "1h": ("1-HOUR", 3_600),
}
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_CLIENT = ClientId(BINANCE)
_TIME_IN_FORCE = {
    TimeInForce.GTC: NautilusTimeInForce.GTC,
    TimeInForce.GTX: NautilusTimeInForce.GTC,  # post-only is a flag of the order
    TimeInForce.IOC: NautilusTimeInForce.IOC,
}


class Subscription:
    """One instrument and the bars it wants ("1m", ...)."""

    def __init__(self, instrument: str, bar: str) -> None:
        self.instrument_id = InstrumentId.from_str(instrument)
        step, seconds = BAR_STEPS[bar]
        self.bar_type = BarType.from_str(f"{instrument}-{step}-LAST-EXTERNAL")
        self.bar_ns = seconds * _NS_PER_S


class GridStrategy(Strategy):
    """Carries orders and data; decides nothing."""

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        listener: Listener,
        on_started: Callable[[Exception | None], None],
    ) -> None:
        super().__init__(StrategyConfig(strategy_id="GRID", order_id_tag="000", oms_type="HEDGING"))
        self._subscriptions = subscriptions
        self._listener = listener
        self._on_started = on_started
        self._bar_ns = {item.bar_type: item.bar_ns for item in subscriptions}
        self._names = {item.instrument_id: str(item.instrument_id) for item in subscriptions}

    # --- data ---------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Subscribe to everything, then say so."""
        try:
            for item in self._subscriptions:
                if self.cache.instrument(item.instrument_id) is None:
                    raise VenueError(f"the adapter has not loaded {item.instrument_id}")  # noqa: TRY301  # told below
                self.subscribe_quote_ticks(item.instrument_id)
                self.subscribe_bars(item.bar_type)
                mark = DataType(BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": item.instrument_id})
                self.subscribe_data(mark, client_id=_CLIENT)
        except Exception as error:  # noqa: BLE001  # an exception here would end the process
            self._on_started(error)
            return
        self._on_started(None)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Best bid and ask."""
        name = self._names.get(tick.instrument_id)
        if name is not None:
            bid, ask = tick.bid_price.raw, tick.ask_price.raw
            # A quote without the venue's time gets our wall clock from the adapter, which is not the market's.
            market_ns = 0 if tick.ts_event == tick.ts_init else _whole_ms(tick.ts_event)
            try:
                self._listener.on_quote(name, bid, ask, market_ns)
            except Exception as error:  # noqa: BLE001  # here it would shut the node down; it is ours to judge
                self._listener.on_fault(error)

    def on_data(self, data: Any) -> None:
        """Mark price with funding."""
        if not isinstance(data, BinanceFuturesMarkPriceUpdate):
            return
        name = self._names.get(data.instrument_id)
        if name is not None:
            rate = None if data.funding_rate is None else Decimal(data.funding_rate)
            next_ns = _whole_ms(data.next_funding_ns) if data.next_funding_ns else None
            self._safely(self._listener.on_mark, name, data.mark.raw, _whole_ms(data.ts_event), rate, next_ns)

    def on_bar(self, bar: Bar) -> None:
        """A closed bar; the venue's close time is its last millisecond."""
        close_ns = _whole_ms(bar.ts_event)
        self._safely(
            self._listener.on_bar,
            BarClosed(
                instrument=self._names[bar.bar_type.instrument_id],
                open_ns=close_ns + _NS_PER_MS - self._bar_ns[bar.bar_type],
                close_ns=close_ns,
                open=bar.open.as_decimal(),
                high=bar.high.as_decimal(),
                low=bar.low.as_decimal(),
                close=bar.close.as_decimal(),
                volume=bar.volume.as_decimal(),
            ),
        )

    def _safely(self, tell: Callable[..., None], *what: Any) -> None:
        """An exception in a callback would shut the node down; it is told as a fault of the listener instead."""
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001  # told, not swallowed
            self._listener.on_fault(error)

    # --- refusals: the only order events that the user stream does not bring ------------------------

    def on_order_rejected(self, event: OrderRejected) -> None:
        """The adapter says the venue refused it; whether that is sure is the gateway's to find out."""
        self._refused(self._listener.on_order_refused, event, event.reason)

    def on_order_denied(self, event: OrderDenied) -> None:
        """Refused on our side of the wire: it has never left."""
        self._refused(self._listener.on_order_refused, event, f"denied: {event.reason}")

    def on_order_cancel_rejected(self, event: OrderCancelRejected) -> None:
        """A cancel was refused."""
        self._refused(self._listener.on_cancel_refused, event, event.reason)

    def _refused(self, tell: Callable[..., None], event: Any, reason: str) -> None:
        self._safely(tell, str(event.instrument_id), str(event.client_order_id), reason)

    # --- orders -------------------------------------------------------------------------------

    def send(self, order: PlaceOrder) -> None:
        """Submit under our id, for our leg."""
        self.submit_order(
            self.order_of(order), position_id=PositionId(position_id(order.instrument, order.leg))
        )

    def call_off(self, client_order_id: str) -> bool:
        """Cancel what the cache holds as working; False when it does not."""
        order = self.cache.order(ClientOrderId(client_order_id))
        if order is None or order.is_closed or order.is_pending_cancel:
            return False
        self.cancel_order(order)
        return True

    def order_of(self, order: PlaceOrder) -> Order:
        """Our intent as an order of NautilusTrader.

        A closePosition stop gets the smallest quantity: the venue tells its true one when it triggers.

        Raises:
            VenueError: the instrument is not loaded, or the order lacks what its kind needs.
        """
        instrument_id = InstrumentId.from_str(order.instrument)
        instrument = self.cache.instrument(instrument_id)
        if instrument is None:
            raise VenueError(f"{order.client_order_id}: the adapter has not loaded {order.instrument}")
        qty = order.qty
        common = {
            "trader_id": self.trader_id,
            "strategy_id": self.id,
            "instrument_id": instrument_id,
            "client_order_id": ClientOrderId(order.client_order_id),
            "order_side": OrderSide.BUY if order.side is Side.BUY else OrderSide.SELL,
            "quantity": instrument.size_increment
            if qty is None
            else Quantity.from_str(f"{qty:.{instrument.size_precision}f}"),
            "init_id": UUID4(),
            "ts_init": self.clock.timestamp_ns(),
        }
        if order.kind is OrderKind.MARKET:
            return MarketOrder(**common)
        if order.kind is OrderKind.LIMIT and order.price is not None:
            return LimitOrder(
                **common,
                price=_price(order.price, instrument.price_precision),
                time_in_force=_TIME_IN_FORCE[order.time_in_force],
                post_only=order.time_in_force is TimeInForce.GTX,
            )
        if order.kind is OrderKind.STOP_MARKET and order.stop_price is not None:
            return StopMarketOrder(
                **common,
                trigger_price=_price(order.stop_price, instrument.price_precision),
                trigger_type=TriggerType.MARK_PRICE,
            )
        raise VenueError(f"{order.client_order_id}: a {order.kind} order without its price")


def _whole_ms(time_ns: int) -> int:
    """The adapter turns milliseconds into nanoseconds through a float, which leaves some dozens of them over."""
    return (time_ns + _NS_PER_MS // 2) // _NS_PER_MS * _NS_PER_MS


def _price(price: Decimal, precision: int) -> Price:
    return Price.from_str(f"{price:.{precision}f}")

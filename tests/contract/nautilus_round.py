"""The round of round_clients.py as the Nautilus adapter plays it, event by event."""

import asyncio
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.enums import OrderSide, OrderType, TriggerType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, PositionId
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
QTY = Decimal("0.010")


class Round(Strategy):
    """Each step follows from the venue's answer to the one before; `seen` has the names of `Seen`."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__(StrategyConfig(strategy_id="ROUND-1", oms_type="HEDGING"))
        self._done = done
        self._bid: Decimal | None = None
        self._limit: Any = None
        self._guard: Any = None
        self._finished = False
        self.seen: dict[str, Any] = {
            "market": [],
            "orders": [],
            "refused": "",
            "filled": "0",
            "commission": "0",
        }

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL"))
        kind = DataType(BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": INSTRUMENT})
        self.subscribe_data(kind, client_id=ClientId("BINANCE"))

    def _heard(self, kind: str) -> None:
        if kind not in self.seen["market"]:
            self.seen["market"].append(kind)
        self._check()

    def on_bar(self, _bar: Any) -> None:
        self._heard("bars")

    def on_data(self, _data: Any) -> None:
        self._heard("marks")

    def on_quote_tick(self, quote: Any) -> None:
        if self._bid is None:
            self._bid = quote.bid_price.as_decimal()
            self._market("LONG", OrderSide.BUY)
            self._market("SHORT", OrderSide.SELL)
        self._heard("quotes")

    def _market(self, leg: str, side: OrderSide, qty: Decimal = QTY) -> None:
        order = self.order_factory.market(INSTRUMENT, side, self.cache.instrument(INSTRUMENT).make_qty(qty))
        self.submit_order(order, position_id=PositionId(f"{INSTRUMENT}-{leg}"))

    def _legs(self) -> dict[str, str]:
        legs = {"LONG": "0", "SHORT": "0"}
        for position in self.cache.positions_open():
            legs[str(position.id).rpartition("-")[2]] = str(position.quantity)
        return legs

    def on_order_filled(self, event: Any) -> None:
        self._told("fill")
        for name, amount in (("filled", event.last_qty), ("commission", event.commission)):
            self.seen[name] = str(Decimal(self.seen[name]) + amount.as_decimal())

    def on_position_opened(self, _event: Any) -> None:
        legs = self._legs()
        if self._limit is None and all(Decimal(qty) == QTY for qty in legs.values()):
            self.seen["legs"] = legs
            self._rest()

    def _price(self, factor: str) -> Any:
        assert self._bid is not None
        return self.cache.instrument(INSTRUMENT).make_price(self._bid * Decimal(factor))

    def _rest(self) -> None:
        qty = self.cache.instrument(INSTRUMENT).make_qty(QTY)
        self._limit = self.order_factory.limit(
            INSTRUMENT, OrderSide.BUY, qty, self._price("0.97"), post_only=True
        )
        self.submit_order(self._limit, position_id=PositionId(f"{INSTRUMENT}-LONG"))

    def _told(self, what: str) -> None:
        if what not in self.seen["orders"]:
            self.seen["orders"].append(what)

    def _is(self, event: Any, order: Any) -> bool:
        return order is not None and bool(event.client_order_id == order.client_order_id)

    def on_order_accepted(self, event: Any) -> None:
        if self._is(event, self._limit):
            self._told("limit NEW")
            qty = self.cache.instrument(INSTRUMENT).make_qty(QTY)
            self._guard = self.order_factory.stop_market(
                INSTRUMENT, OrderSide.SELL, qty, self._price("0.90"), trigger_type=TriggerType.MARK_PRICE
            )
            self.submit_order(
                self._guard,
                position_id=PositionId(f"{INSTRUMENT}-LONG"),
                params={"close_position": True},
            )
        if self._is(event, self._guard):
            self._told("stop NEW")
            open_now = self.cache.orders_open()
            self.seen["stops"] = sum(order.order_type is OrderType.STOP_MARKET for order in open_now)
            self.seen["resting"] = len(open_now) - self.seen["stops"]
            self.modify_order(self._limit, price=self._price("0.96"))

    def on_order_updated(self, event: Any) -> None:
        if self._is(event, self._limit):
            self._told("limit AMENDMENT")
            self.seen["amended"] = str(event.price)
            self.cancel_order(self._limit)

    def on_order_canceled(self, event: Any) -> None:
        if self._is(event, self._limit):
            self._told("limit CANCELED")
            self.cancel_order(self._guard)
        if self._is(event, self._guard):
            self._told("stop CANCELED")
            self._market("LONG", OrderSide.SELL, QTY * 2)

    def on_order_rejected(self, event: Any) -> None:
        self.seen["refused"] = event.reason
        self._market("LONG", OrderSide.SELL)
        self._market("SHORT", OrderSide.BUY)

    def on_position_closed(self, _event: Any) -> None:
        self._finished = self.cache.positions_open_count() == 0
        self._check()

    def on_account_state(self, _event: Any) -> None:
        self._check()

    def _check(self) -> None:
        if self._finished and len(self.seen["market"]) == 3 and "wallet" not in self.seen:
            self.seen["legs_after"] = self._legs()
            self.seen["wallet"] = str(self.cache.accounts()[0].balance_total(USDT).as_decimal())
            self._done.set()

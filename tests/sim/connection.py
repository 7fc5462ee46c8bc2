"""The trading connection as NautilusTrader's adapter is (`venue/port.py`): what it hears, hides, says and gets wrong.

It keeps a cache of its own orders, turns some failures into words and is silent about others: a reset, a hang and a
refused connection leave the order in flight without a word. Orders of an earlier process are not in its cache.
"""

import asyncio
import random
from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd.errors import VenueError
from hedgegridd.messages import BarClosed, PlaceOrder
from hedgegridd.model import OrderKind
from hedgegridd.venue.failures import with_status
from hedgegridd.venue.feed import SCALE
from hedgegridd.venue.port import ConnectFailed, Listener
from tests.sim.loop import SECOND
from tests.sim.network import Stream, Wire

RENEWS_AFTER = SECOND  # the adapter reconnects a dropped stream by itself
QUOTES_EVERY = 4 * SECOND


class Connection:
    """`port.Trading` over the wire."""

    def __init__(
        self, listener: Listener, wire: Wire, stream: Stream, process: Any, rng: random.Random
    ) -> None:
        self.listener, self.wire, self.stream, self.process, self.rng = listener, wire, stream, process, rng
        self.connected = False
        self._cache: dict[str, str] = {}  # client order id -> submitted, accepted, cancelling, closed
        self._up = False
        self._quoted = -QUOTES_EVERY
        self.frozen = False

    # ------------------------------------------------------------------------------------------------- port.Trading

    async def connect(self, deadline_s: float) -> None:
        await asyncio.sleep(0.05)
        if self.wire.weather.is_on("down"):
            await asyncio.sleep(deadline_s / 4)
            raise ConnectFailed(f"not connected within {deadline_s:.0f} s")
        self._cache.clear()
        self.connected = True
        self._open()

    async def disconnect(self) -> None:
        self.connected = False
        self._up = False
        self.stream.close()

    def submit(self, order: PlaceOrder) -> None:
        if not self.connected:
            raise VenueError("the trading connection is down")
        coid = order.client_order_id
        if coid in self._cache:
            raise VenueError(f"{coid} is in the cache already")
        self._cache[coid] = "submitted"
        params = {
            "symbol": order.instrument.partition("-")[0],
            "side": order.side.value,
            "positionSide": order.leg.value,
            "type": order.kind.value,
            "quantity": str(order.qty),
            "newClientOrderId": coid,
            "timestamp": str(self.listener.venue_ms()),
        }
        if order.kind is OrderKind.LIMIT:
            params |= {"price": str(order.price), "timeInForce": order.time_in_force.value}

        def reply(status: int, body: bytes, _headers: dict[str, str]) -> None:
            if status >= 400 and not self.process.dead:
                self._cache[coid] = "closed"
                self.process.call(self.listener.on_order_refused, order.instrument, coid, _text(status, body))

        self.wire.leave("POST /fapi/v1/order", params, reply, _silence)

    def cancel(self, client_order_id: str) -> bool:
        if not self.connected or self._cache.get(client_order_id) not in ("submitted", "accepted"):
            return False
        self._cache[client_order_id] = "cancelling"
        instrument = self.process.instrument_of(client_order_id)
        params = {
            "symbol": instrument.partition("-")[0],
            "origClientOrderId": client_order_id,
            "timestamp": str(self.listener.venue_ms()),
        }

        def reply(status: int, body: bytes, _headers: dict[str, str]) -> None:
            if status >= 400 and not self.process.dead:
                self._cache[client_order_id] = "accepted"
                self.process.call(
                    self.listener.on_cancel_refused, instrument, client_order_id, _text(status, body)
                )

        self.wire.leave("DELETE /fapi/v1/order", params, reply, _silence)
        return True

    def remember(self, order: PlaceOrder) -> None:
        if order.client_order_id in self._cache:
            raise VenueError(f"{order.client_order_id} is in the cache already")
        self._cache[order.client_order_id] = "closed"  # goes another way: never cancelled by this one

    def user_stream_up(self) -> bool:
        return self._up

    async def revive_user_stream(self) -> None:
        await asyncio.sleep(0.05)
        if self.wire.weather.is_on("down"):
            raise VenueError("the user stream could not be opened")
        self._renew()

    # ------------------------------------------------------------------------------------------------- what befalls it

    def drop(self, *, dead: bool) -> None:
        """The user stream's socket closes; `dead`: the adapter gives up on it."""
        self.stream.close()
        self._up = False
        if not dead:
            self.wire.time.after(RENEWS_AFTER, self._renew_alone)

    def _renew_alone(self) -> None:
        if self.connected and not self._up and not self.process.dead:
            self.process.call(self._renew)

    def end(self) -> None:
        """The node ends by itself."""
        self.connected = self._up = False
        self.stream.close()

    def _open(self) -> None:
        self._up = True
        self.stream.open(self._hear)

    def _renew(self) -> None:
        if self.connected:
            self._open()
            self.listener.on_user_renewed()

    def _hear(self, raw: bytes) -> None:
        if not self.process.dead:
            self.process.call(self._heard, raw)

    def _heard(self, raw: bytes) -> None:
        self.listener.on_user_message(raw)
        try:
            told = _head.decode(raw)
        except msgspec.MsgspecError:
            return
        if told.e == "ORDER_TRADE_UPDATE" and told.o is not None and told.o.c in self._cache:
            if told.o.X in ("CANCELED", "FILLED", "EXPIRED"):
                self._cache[told.o.c] = "closed"
            elif self._cache[told.o.c] == "submitted":
                self._cache[told.o.c] = "accepted"

    # ------------------------------------------------------------------------------------------------- market data

    def quote(self, instrument: str, bid: Decimal, ask: Decimal, market_ns: int, *, now: int) -> None:
        """The book, when it moved or (so that its age is true) when it was told some seconds ago."""
        if self.connected and not self.frozen:
            self._quoted = now
            self.listener.on_quote(instrument, int(bid * SCALE), int(ask * SCALE), market_ns)

    def quote_is_old(self, now: int) -> bool:
        return now - self._quoted >= QUOTES_EVERY

    def mark(self, instrument: str, mark: Decimal, market_ns: int, rate: Decimal, next_ns: int) -> None:
        if self.connected and not self.frozen:
            self.listener.on_mark(instrument, int(mark * SCALE), market_ns, rate, next_ns)

    def bar(self, bar: BarClosed) -> None:
        if self.connected and not self.frozen:
            self.listener.on_bar(bar)


class _Order(msgspec.Struct):
    c: str = ""
    X: str = ""


class _Told(msgspec.Struct):
    e: str
    o: _Order | None = None


_head = msgspec.json.Decoder(_Told)


def _text(status: int, body: bytes) -> str:
    """As the adapter hands a refusal on, with the status that our hook puts to it."""
    try:
        said = msgspec.json.decode(body) if body else None
    except msgspec.MsgspecError:
        said = body.decode(errors="replace")
    return str(with_status(status, said))


def _silence(_error: Exception) -> None:
    """The adapter says nothing of a broken connection."""

"""The venue as one object: engine, markets, clocks, streams, limits and faults, and the one way a tick goes through."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hedgegridd.exchange.clock import MarketClock, WallClock
from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.faults import FaultBook
from hedgegridd.exchange.klines import KlineBook
from hedgegridd.exchange.sockets import Hub
from hedgegridd.exchange.streams import StreamSpec, SymbolStreams, parse_stream
from hedgegridd.exchange.tape import force_order_message
from hedgegridd.exchange.thin import Thin
from hedgegridd.exchange.types import Market, Tick, VenueError
from hedgegridd.exchange.user_stream import UserStream
from hedgegridd.exchange.weights import RateLimiter

MAX_SPECS = 10_000


class Venue:
    """What REST, streams and admin port work on. Sync: whatever it does is done when it returns."""

    def __init__(
        self,
        engine: Engine,
        markets: Iterable[Market],
        wall: WallClock,
        clock: MarketClock,
        *,
        klines: KlineBook,
        rate_limits: bool,
    ) -> None:
        self.engine = engine
        self.markets = {market.symbol: market for market in markets}
        self.wall = wall
        self.clock = clock
        self.klines = klines
        self.limiter = RateLimiter(enforced=rate_limits)
        self.faults = FaultBook()
        self.hub = Hub()
        self.user = UserStream(self.hub, self.faults)
        self.ticks: dict[str, Tick] = {}
        self.thin: dict[str, Thin] = {}  # by symbol: drills, forgotten at a restart
        self.streams = {symbol: SymbolStreams(symbol) for symbol in self.markets}
        self.breach: Exception | None = None
        self.save: Callable[[], None] | None = None
        self._touched = 0
        self.ticks_fed = 0
        self.slips = 0
        self._specs: dict[str, StreamSpec | None] = {}

    def tick_of(self, symbol: str) -> Tick:
        """The last tick. Raises VenueError -1121 for a symbol that is not traded here."""
        tick = self.ticks.get(symbol)
        if tick is None:
            raise VenueError(-1121, "Invalid symbol.")
        return tick

    @property
    def changes(self) -> int:
        """Grows with everything that may have changed what is kept over a restart."""
        return self.engine.changes + self.ticks_fed + self._touched

    def touch(self) -> None:
        """Something beside engine and ticks has changed: the listenKey, the skew, a jump."""
        self._touched += 1

    def flush(self) -> None:
        """Write down what has changed, then let the frames that tell of it go.

        Raises sqlite3.Error when it cannot be written: nobody hears of it then, and the venue stops.
        """
        if self.save is not None:
            try:
                self.save()
            except Exception as error:
                self.breach = error
                raise
        self.hub.flush()

    def next_due(self) -> tuple[int, str] | None:
        """Market time and symbol of the next tick over all markets; None when all have ended."""
        due = [
            (ts_ms, symbol)
            for symbol, market in self.markets.items()
            if (ts_ms := market.next_ts_ms()) is not None
        ]
        return min(due) if due else None

    def feed_until(self, market_ms: int, limit: int) -> int:
        """Feed at most `limit` ticks that are due at `market_ms`, in order of time; returns how many."""
        fed = 0
        while fed < limit:
            due = self.next_due()
            if due is None or due[0] > market_ms:
                break
            self._feed(self.markets[due[1]].next())
            fed += 1
        if fed:
            self.flush()
        return fed

    def _feed(self, tick: Tick) -> None:
        """One tick through engine, klines and streams, in this order."""
        if (thin := self.thin.get(tick.symbol)) is not None:
            tick = thin.of(tick)
        self.ticks[tick.symbol] = tick
        self.ticks_fed += 1
        self.engine.on_tick(tick, self.wall.now_ms())
        self.publish_user_events()
        self.klines.on_tick(tick)
        self.streams[tick.symbol].on_tick(tick)
        for name in list(self.hub.wanted()):
            spec = self._spec(name)
            if spec is not None and spec.symbol == tick.symbol:
                self._send(spec, tick)

    def _send(self, spec: StreamSpec, tick: Tick) -> None:
        for message in self.streams[tick.symbol].messages(spec, tick, self.klines, self.engine.funding):
            self.hub.send(spec.name, msgspec.json.encode(message))

    def publish_user_events(self) -> None:
        """Hand what the engine has to say to the user stream."""
        events = self.engine.take_events()
        for event in events:
            if event.body["e"] == "ORDER_TRADE_UPDATE" and event.body["o"]["o"] == "LIQUIDATION":
                self._tell_liquidation(event.body)
        self.user.publish(events)

    def _tell_liquidation(self, body: dict[str, Any]) -> None:
        if body["o"]["x"] == "CALCULATED":
            name = body["o"]["s"].lower() + "@forceOrder"
            self.hub.send(name, msgspec.json.encode(force_order_message(body)))

    def on_wall(self) -> None:
        """What happens by the wall clock alone: GTD and countdowns of the engine, the end of a listenKey.

        Raises what a request broke (an invariant, the state file): a venue whose books are wrong must not go on.
        """
        if self.breach is not None:
            raise self.breach
        wall_ms = self.wall.now_ms()
        self.engine.on_wall(wall_ms)
        self.publish_user_events()
        if self.user.expire(wall_ms):
            self.touch()
        self.flush()

    def pass_time(self, market_ms: int) -> None:
        """Close klines whose time is over in a market that is quiet or has ended; all due ticks are fed before."""
        for symbol, tick in self.ticks.items():
            if self.klines.on_time(symbol, market_ms):
                self._send_klines(msgspec.structs.replace(tick, ts_ms=market_ms))
        self.flush()

    def _send_klines(self, tick: Tick) -> None:
        for name in list(self.hub.wanted()):
            spec = self._spec(name)
            if spec is not None and spec.kind == "kline" and spec.symbol == tick.symbol:
                self._send(spec, tick)

    def freeze_sockets(self) -> None:
        """Let the freeze rules in force decide for every socket anew."""
        for socket in self.hub.sockets:
            socket.frozen = self.faults.frozen("user" if socket.user else "market", socket.streams)

    def forget_streams(self) -> None:
        """After a listener left: what a stream sent last matters no more once nobody hears it."""
        wanted = set(self.hub.wanted())
        for streams in self.streams.values():
            streams.forget(wanted)

    def _spec(self, name: str) -> StreamSpec | None:
        try:
            return self._specs[name]
        except KeyError:
            if len(self._specs) >= MAX_SPECS:
                self._specs.clear()
            spec = self._specs[name] = parse_stream(name)
            return spec

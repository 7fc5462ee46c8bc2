"""The paper exchange as a whole: builds engine and markets from options, listens on loopback, runs, stops clean."""

import asyncio
import logging
import secrets
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hedgegridd.exchange import markets
from hedgegridd.exchange.admin import Admin
from hedgegridd.exchange.clock import MarketClock, WallClock
from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.feeder import Feeder
from hedgegridd.exchange.keeper import (
    Keeper,
    Setup,
    begun,
    credentials,
    kept_minutes,
    open_store,
    reading,
    restore,
)
from hedgegridd.exchange.klines import KlineBook
from hedgegridd.exchange.rest import MAX_BODY_BYTES, Latency, Rest
from hedgegridd.exchange.rules import rules_of
from hedgegridd.exchange.settlement import FUNDING_HOURS, USUAL_HOURS
from hedgegridd.exchange.sockets import BACKLOG_BYTES
from hedgegridd.exchange.types import Market
from hedgegridd.exchange.venue import Venue
from hedgegridd.exchange.websockets import WebSockets

STOP_S = 2.0
# Newer clients of the venue put these before /ws and /stream.
WS_PREFIXES = ("", "/public", "/market", "/private")
_log = structlog.get_logger("exchange")


class _Plain(logging.Filter):
    """What a client sends that is no HTTP (a URL of 9,000 characters, say) is its affair: one line, and no traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = "not answered as HTTP: %s", (type(error).__name__,)
            record.exc_info = None
        return True


_http_log = logging.getLogger("hedgegridd.exchange.http")
_http_log.addFilter(_Plain())


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange is set up. Ports: 0 picks a free one. `deposit` in USDT, `speed` x wall clock.

    `api_key`/`api_secret` are made up when empty. `tick_rate` (ticks per second of market time) and `start_ms` (market
    time of its start; None: now) are the synthetic market's, `data` is the replay's file; `history_bars` None leaves
    the market's own default. `funding_hours`: between two settlements (1, 2, 4 or 8). A client that is `backlog_bytes`
    behind in reading a socket is dropped. A request, its answer and what the streams tell take `latency_ms` plus up to
    `jitter_ms` (wall) each. `state` is the file that is kept over a restart (None: nothing is). `partial_fills`,
    `countdown_cancels_algo`, `allow_flat_stop`, `exits_reserve`: see Engine.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    market: str = "synthetic"
    data: Path | None = None
    seed: int = 1
    speed: Decimal = Decimal(1)
    symbols: tuple[str, ...] = ("BTCUSDT",)
    deposit: Decimal = Decimal(100_000)
    api_key: str = ""
    api_secret: str = ""
    start_paused: bool = False
    rate_limits: bool = True
    history_bars: int | None = None
    funding_hours: int = USUAL_HOURS
    tick_rate: Decimal = Decimal(10)
    start_ms: int | None = None
    regime: str = "demo"
    latency_ms: int = 0
    jitter_ms: int = 0
    partial_fills: bool = True
    countdown_cancels_algo: bool = False
    allow_flat_stop: bool = True
    exits_reserve: bool = False
    backlog_bytes: int = BACKLOG_BYTES
    state: Path | None = None


def _setup(options: Options) -> Setup:
    """What a state file must agree with."""
    return Setup(
        market=options.market,
        symbols=options.symbols,
        seed=options.seed,
        regime=options.regime,
        tick_rate=options.tick_rate,
        data="" if options.data is None else options.data.name,
    )


class PaperExchange:
    """`async with PaperExchange(Options(...)) as exchange:` - addresses, key and secret are its attributes."""

    def __init__(self, options: Options) -> None:
        """Raises ValueError naming the option that does not fit."""
        self.options = options
        self._store = None if options.state is None else open_store(options.state, _setup(options))
        try:
            self._build()
        except BaseException:
            self._close_store()
            raise
        self._tasks: list[asyncio.Task[None]] = []
        self._runners: list[web.AppRunner] = []
        self.base_url = ""
        self.ws_url = ""
        self.admin_url = ""

    def _build(self) -> None:
        """The venue, new or as it was kept, and what speaks for it."""
        options, store = self.options, self._store
        self.api_key = options.api_key or secrets.token_hex(32)
        self.api_secret = options.api_secret or secrets.token_hex(32)
        self.restored = False
        if store is not None:
            with reading(store.path):
                kept = credentials(store, options.api_key, options.api_secret)
                self.restored = begun(store)
            self.api_key, self.api_secret = kept.key, kept.secret
        wall = WallClock()
        built = self._markets(wall.now_ms())
        first = [ts_ms for market in built if (ts_ms := market.next_ts_ms()) is not None]
        if not first:
            raise ValueError("data: the market holds no tick")
        engine = Engine(
            [rules_of(symbol) for symbol in options.symbols],
            deposit=options.deposit,
            partial_fills=options.partial_fills,
            countdown_cancels_algo=options.countdown_cancels_algo,
            allow_flat_stop=options.allow_flat_stop,
            exits_reserve=options.exits_reserve,
            start_ms=wall.now_ms(),
        )
        if options.funding_hours not in FUNDING_HOURS:
            raise ValueError(f"funding_hours must be one of {FUNDING_HOURS}, not {options.funding_hours}")
        for symbol in options.symbols:
            engine.set_funding_hours(symbol, options.funding_hours)
        if store is not None and self.restored:
            with reading(store.path):
                history = kept_minutes(store)
        else:
            history = [kline for market in built for kline in market.history()]
        clock = MarketClock(max(first), Fraction(options.speed), paused=True)
        self.venue = Venue(
            engine, built, wall, clock, klines=KlineBook(history), rate_limits=options.rate_limits
        )
        if store is not None:
            if self.restored:
                with reading(store.path):
                    restore(store, self.venue)
                clock.slip_to(max(tick.ts_ms for tick in self.venue.ticks.values()))
            keeper = Keeper(store, self.venue)
            if self.restored:
                keeper.known()
            self.venue.save = keeper.save
        latency = Latency(options.latency_ms, options.jitter_ms, options.seed)
        self._rest = Rest(self.venue, self.api_key, self.api_secret, latency)
        self._sockets = WebSockets(self.venue, options.backlog_bytes, latency)
        self.feeder = Feeder(self.venue, lambda: self._rest.requests, lambda: self._rest.in_progress)

    def _markets(self, now_ms: int) -> list[Market]:
        options = self.options
        return markets.build(
            options.market,
            symbols=[rules_of(symbol) for symbol in options.symbols],
            data=options.data,
            seed=options.seed,
            start_ms=now_ms if options.start_ms is None else options.start_ms,
            tick_rate=options.tick_rate,
            regime=options.regime,
            history_bars=options.history_bars,
        )

    async def start(self) -> None:
        """Feed the first tick of each market, listen, and let the market run unless it starts paused."""
        venue = self.venue
        while venue.feed_until(venue.clock.now_ms(), 1_000):
            continue
        address = await self._listen(self._app(), self.options.host, self.options.port)
        self.base_url, self.ws_url = f"http://{address}", f"ws://{address}"
        admin = Admin(venue, self.feeder, self._rest).app()
        self.admin_url = (
            f"http://{await self._listen(admin, self.options.admin_host, self.options.admin_port)}"
        )
        if not self.options.start_paused:
            self._run_on()
        self._tasks = [
            asyncio.create_task(self.feeder.run(), name="exchange-feeder"),
            asyncio.create_task(self.feeder.run_wall(), name="exchange-wall"),
        ]

    def _run_on(self) -> None:
        """Let the market run, from now on or from where it was kept."""
        venue, options = self.venue, self.options
        venue.clock.resume()
        if options.market != "synthetic" or options.start_ms is not None:
            return
        now_ms = venue.wall.now_ms()
        if self.restored:
            if options.speed != 1:
                return  # its time has left the wall's long ago
            # At life's speed the market went on while the venue was away: its ticks must not look old for ever.
            for market in venue.markets.values():
                market.pass_over(max(0, now_ms - venue.clock.now_ms()))
        # It began when this object was built; now is now.
        venue.clock.slip_to(now_ms)

    async def wait(self) -> None:
        """Until a task of the exchange fails (it raises then); for ever otherwise."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop the market, say goodbye on the sockets, stop listening. May be called twice."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self.venue.faults.clear()  # ends hanging requests
        await self._sockets.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._tasks.clear()
        self._close_store()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        for prefix in WS_PREFIXES:
            app.router.add_get(prefix + "/stream", self._sockets.combined)
            app.router.add_get(prefix + "/ws", self._sockets.raw)
            app.router.add_get(prefix + "/ws/{names:.+}", self._sockets.raw)
        app.router.add_route("*", "/{path:.*}", self._rest.handle)
        return app

    async def _listen(self, app: web.Application, host: str, port: int) -> str:
        runner = web.AppRunner(
            app, access_log=None, logger=_http_log, shutdown_timeout=STOP_S, handle_signals=False
        )
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port = runner.addresses[0][:2]
        return f"{bound_host}:{bound_port}"

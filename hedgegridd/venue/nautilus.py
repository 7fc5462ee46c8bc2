"""NautilusTrader's node with the Binance adapter, in our own loop, as the venue's trading connection.

With its `nautilus_*` neighbours the only importer of `nautilus_trader`. A node that fails to connect does not
raise: we wait for the strategy's own start under our deadline and take the node down when it passes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog
from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
)
from nautilus_trader.adapters.binance.common.enums import BinanceEnvironment
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.identifiers import PositionId
from nautilus_trader.system.kernel import NautilusKernel

from hedgegridd.config import Config
from hedgegridd.errors import ConfigError, VenueError
from hedgegridd.messages import PlaceOrder
from hedgegridd.model import position_id
from hedgegridd.venue import nautilus_hooks as hooks
from hedgegridd.venue.nautilus_log import FILE_NAME, process_pipe
from hedgegridd.venue.nautilus_strategy import GridStrategy, Subscription
from hedgegridd.venue.port import ConnectFailed, Listener
from hedgegridd.venue.rest import Credentials

STOP_S = 8.0
POST_STOP_S = 0.05  # nothing of ours waits in NautilusTrader at a stop: orders are settled before
LEAK_S = 1.0
PURGE_EVERY_S = 60.0
PURGE_AFTER_S = 600  # closed orders and positions are kept so long, for late messages about them
_log = structlog.get_logger("venue.nautilus")


class NautilusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where and what: instruments with their bar ("1m"), addresses (None: the venue's own)."""

    environment: str
    instruments: tuple[tuple[str, str], ...]
    rest_url: str | None
    market_ws_url: str | None
    user_ws_url: str | None
    recv_window_ms: int
    verbose: bool = False  # NautilusTrader's own INFO lines as well


class NautilusTrading:
    """`port.Trading` on a TradingNode; each `connect` builds a new node."""

    def __init__(self, options: NautilusOptions, credentials: Credentials, listener: Listener) -> None:
        self._options = options
        self._credentials = credentials
        self._listener = listener
        self._subscriptions = [Subscription(name, bar) for name, bar in options.instruments]
        self._node: TradingNode | None = None
        self._strategy: GridStrategy | None = None
        self._run: asyncio.Task[None] | None = None
        self._purge: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """See `port.Trading.connected`."""
        return self._strategy is not None and self._run is not None and not self._run.done()

    async def connect(self, deadline_s: float) -> None:
        """See `port.Trading.connect`."""
        assert self._node is None, "connect after connect"
        loop = asyncio.get_running_loop()
        hooks.keep_our_signals()
        process_pipe().start(loop)
        started: asyncio.Future[str] = loop.create_future()

        def on_started(problem: str) -> None:
            if not started.done():
                started.set_result(problem)

        try:
            strategy = self._build(loop, deadline_s, on_started)
            self._run = loop.create_task(self._running(), name="nautilus-node")
            problem = await _outcome(started, self._run, deadline_s)
        except BaseException as error:
            await self.disconnect()
            if isinstance(error, RuntimeError | ValueError):
                raise ConnectFailed(f"the node cannot be built: {error}") from error
            raise
        if problem:
            await self.disconnect()
            raise ConnectFailed(problem)
        self._strategy = strategy
        self._purge = loop.create_task(self._purging(), name="nautilus-purge")

    async def disconnect(self) -> None:
        """See `port.Trading.disconnect`."""
        node, self._node = self._node, None
        self._strategy = None
        run, self._run = self._run, None
        purging, self._purge = self._purge, None
        if purging is not None:
            purging.cancel()
        if node is None:
            return
        try:
            async with asyncio.timeout(STOP_S):
                await node.stop_async()
        except TimeoutError:
            _log.warning("nautilus did not stop in time", stop_s=STOP_S)
        except Exception as error:  # noqa: BLE001  # its state may be anything after a failed start; we go on taking it down
            _log.warning("nautilus failed to stop", error=repr(error))
        if run is not None:
            run.cancel()
            await asyncio.wait([run], timeout=LEAK_S)
        # Never node.dispose(): inside a loop it cancels our own tasks and stops the loop.
        node.kernel.dispose()
        node.kernel.executor.shutdown(wait=False, cancel_futures=True)
        # The kernel had made its executor the loop's own; the loop needs one that still works.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=4))
        await _end_leaks()
        process_pipe().stop()

    def submit(self, order: PlaceOrder) -> None:
        """See `port.Trading.submit`."""
        self._live().send(order)

    def cancel(self, client_order_id: str) -> bool:
        """See `port.Trading.cancel`."""
        return self.connected and self._live().call_off(client_order_id)

    def remember(self, order: PlaceOrder) -> None:
        """See `port.Trading.remember`."""
        strategy = self._live()
        assert self._node is not None, "a live strategy has its node"
        leg = PositionId(position_id(order.instrument, order.leg))
        try:
            self._node.kernel.cache.add_order(strategy.order_of(order), leg)
        except KeyError as error:
            raise VenueError(f"{order.client_order_id} is in NautilusTrader's cache already") from error

    def user_stream_up(self) -> bool:
        """See `port.Trading.user_stream_up`."""
        return self._node is not None and hooks.stream_up(hooks.exec_client(self._node.kernel))

    async def revive_user_stream(self) -> None:
        """See `port.Trading.revive_user_stream`."""
        if self._node is None:
            raise VenueError("the node is not running")
        try:
            await hooks.revive(hooks.exec_client(self._node.kernel))
        except Exception as error:  # the adapter raises whatever its sockets and HTTP client raise
            raise VenueError(f"the user stream could not be opened: {error!r}") from error

    # --- inside -------------------------------------------------------------------------------

    def _live(self) -> GridStrategy:
        if self._strategy is None or not self.connected:
            raise VenueError("the trading connection is down")
        return self._strategy

    async def _running(self) -> None:
        assert self._node is not None, "built by connect"
        with contextlib.suppress(asyncio.CancelledError):
            await self._node.run_async()

    async def _purging(self) -> None:
        """Forget what is long over. NautilusTrader's own timers would do it from another thread."""
        while self._node is not None:
            await asyncio.sleep(PURGE_EVERY_S)
            if self._node is not None:
                purge(self._node.kernel)

    def _hear(self, raw: bytes) -> None:
        try:
            self._listener.on_user_message(raw)
        except Exception as error:  # noqa: BLE001  # an exception would end in the adapter's socket, unseen
            self._listener.on_fault(error)

    def _build(
        self,
        loop: asyncio.AbstractEventLoop,
        deadline_s: float,
        on_started: Callable[[str], None],
    ) -> GridStrategy:
        config = node_config(
            self._options, self._credentials, self._subscriptions, str(process_pipe().directory), deadline_s
        )
        node = self._node = TradingNode(config=config, loop=loop)
        hooks.keep_for_ever(node.kernel.get_log_guard())
        listener = self._listener

        def failed(error: Exception) -> None:
            on_started(f"the adapter could not connect: {error}")

        node.add_data_client_factory(
            BINANCE,
            hooks.data_factory(loop.call_soon, listener.on_quote_overtaken, listener.venue_ms, failed),
        )
        node.add_exec_client_factory(
            BINANCE, hooks.exec_factory(self._hear, listener.on_user_renewed, listener.venue_ms, failed)
        )

        def subscribed(error: Exception | None) -> None:
            on_started("" if error is None else f"the strategy could not subscribe: {error}")

        strategy = GridStrategy(self._subscriptions, self._listener, subscribed)
        node.trader.add_strategy(strategy)
        node.build()
        return strategy


def purge(kernel: NautilusKernel) -> None:
    """Drop closed orders, closed positions and account events of more than ten minutes ago from the cache."""
    now_ns, cache = kernel.clock.timestamp_ns(), kernel.cache
    cache.purge_closed_orders(now_ns, PURGE_AFTER_S)
    cache.purge_closed_positions(now_ns, PURGE_AFTER_S)
    cache.purge_account_events(now_ns, PURGE_AFTER_S)


def node_config(
    options: NautilusOptions,
    credentials: Credentials,
    subscriptions: Sequence[Subscription],
    log_directory: str,
    deadline_s: float,
) -> TradingNodeConfig:
    """The node: risk engine bypassed, no checks and no reconciliation of its own (ours compares per leg)."""
    # LIVE rewrites addresses of the venue itself; anywhere else they are used as they are.
    environment = BinanceEnvironment.LIVE if options.environment == "live" else BinanceEnvironment.TESTNET
    provider = InstrumentProviderConfig(load_ids=frozenset(item.instrument_id for item in subscriptions))
    common = {
        "api_key": credentials.key,
        "api_secret": credentials.secret,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "environment": environment,
        "base_url_http": options.rest_url,
        "instrument_provider": provider,
    }
    return TradingNodeConfig(
        trader_id="HEDGEGRIDD-001",
        logging=LoggingConfig(
            log_level="OFF",
            log_level_file="INFO" if options.verbose else "WARNING",
            log_directory=log_directory,
            log_file_name=FILE_NAME,
            log_file_format="json",
            log_colors=False,
            fileout_sync_on_flush=False,  # a FIFO cannot be synced
        ),
        data_engine=LiveDataEngineConfig(graceful_shutdown_on_exception=True),
        risk_engine=LiveRiskEngineConfig(bypass=True, graceful_shutdown_on_exception=True),
        exec_engine=LiveExecEngineConfig(
            reconciliation=False,
            inflight_check_interval_ms=0,
            allow_overfills=True,  # a leg stop's quantity is known to the venue alone
            graceful_shutdown_on_exception=True,
        ),
        data_clients={BINANCE: BinanceDataClientConfig(base_url_ws=options.market_ws_url, **common)},
        exec_clients={
            BINANCE: BinanceExecClientConfig(
                base_url_ws_stream=options.user_ws_url,
                use_reduce_only=False,  # refused in hedge mode
                recv_window_ms=options.recv_window_ms,
                **common,
            )
        },
        timeout_connection=deadline_s,
        timeout_reconciliation=deadline_s,
        timeout_portfolio=deadline_s,
        timeout_disconnection=STOP_S / 2,
        timeout_post_stop=POST_STOP_S,
        timeout_shutdown=1.0,
    )


async def _outcome(started: "asyncio.Future[str]", run: "asyncio.Task[None]", deadline_s: float) -> str:
    """Wait for the strategy's start: empty when it came, else why not."""
    waits: set[asyncio.Future[str] | asyncio.Task[None]] = {started, run}
    await asyncio.wait(waits, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        return started.result()
    if run.done():
        return "the node ended before its strategy started"
    return f"not connected within {deadline_s:.0f} s"


async def _end_leaks() -> None:
    """Cancel what NautilusTrader leaves running."""
    leaks = hooks.leaked_tasks()
    for task in leaks:
        task.cancel()
    if leaks:
        _, alive = await asyncio.wait(leaks, timeout=LEAK_S)
        if alive:
            _log.warning("nautilus tasks do not end", tasks=[task.get_name() for task in alive])


def for_config(config: Config, credentials: Credentials) -> Callable[[Listener], NautilusTrading]:
    """What makes the trading connection a config asks for.

    Raises:
        ConfigError: paper needs the address of every connection.
    """
    venue = config.venue
    if venue.environment == "paper":
        for name in ("rest_url", "market_ws_url", "user_ws_url"):
            if getattr(venue, name) is None:
                raise ConfigError(f'[venue] {name}: needed with environment = "paper"')
    options = NautilusOptions(
        environment=venue.environment,
        instruments=tuple((grid.instrument_id, grid.bar) for grid in config.grid),
        rest_url=venue.rest_url,
        market_ws_url=venue.market_ws_url,
        user_ws_url=venue.user_ws_url,
        recv_window_ms=venue.recv_window_ms,
        verbose=config.daemon.log_level == "debug",
    )
    return lambda listener: NautilusTrading(options, credentials, listener)

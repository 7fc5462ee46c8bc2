"""The few private places of NautilusTrader and its Binance adapter that we touch, each checked before use.

    _setup_loop        the kernel would take our signal handlers
    _ws_client         of the execution client: we see each raw user message the adapter sees, before it does
    _cache             of the execution client: which orders it knows
    _stream_client     its socket: is it alive? and the flag that says the adapter has given up
    _on_resubscribe    the adapter's comparison after a new socket; we make ours after it
    _clients           of the execution engine: how the client is found
    _prepare_params    of its HTTP client: signed calls are stamped with the venue's clock, not with ours
    send_request       of its HTTP client: what a failed call says carries its HTTP status
    _ws_client, _ws_public_client   of the data client: quotes that were overtaken are not handled
    _connect           of both clients: one that fails is not tried again, and the node would wait for it in vain

A test fails when one of them moves.
"""

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any

import msgspec
from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.data import BinanceCommonDataClient
from nautilus_trader.adapters.binance.execution import BinanceCommonExecutionClient
from nautilus_trader.adapters.binance.futures.data import BinanceFuturesDataClient
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.adapters.binance.http.error import BinanceError
from nautilus_trader.adapters.binance.websocket.user import BinanceUserDataWebSocketClient
from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory
from nautilus_trader.model.identifiers import ClientId, ClientOrderId
from nautilus_trader.system.kernel import NautilusKernel

from hedgegridd.errors import VenueError
from hedgegridd.venue.failures import with_status
from hedgegridd.venue.intake import Intake


class AdapterMoved(VenueError):  # noqa: N818  # reads as the event it is
    """The adapter is not built as this module needs it; another version is installed."""


def _needs(owner: object, *names: str) -> None:
    for name in names:
        if not hasattr(owner, name):
            raise AdapterMoved(f"{owner!r} has no {name}")


def keep_our_signals() -> None:
    """Keep the kernel from installing its signal handlers on our loop; before a node is made.

    Raises:
        AdapterMoved: the kernel has no such hook.
    """
    _needs(NautilusKernel, "_setup_loop")
    NautilusKernel._setup_loop = _leave_loop  # noqa: SLF001  # checked above


def _leave_loop(_kernel: NautilusKernel) -> None:
    """Our loop keeps its own signal handlers."""


def tap(
    client: BinanceFuturesExecutionClient, hear: Callable[[bytes], None], renewed: Callable[[], None]
) -> None:
    """Let `hear` see each raw user-stream message just before the adapter handles it.

    Conditional orders that the adapter does not know (a closePosition stop of an earlier process) are ours alone: it
    cannot model an order without a quantity, and would write a traceback past our log.
    `renewed` is called when the stream runs on a new socket and the adapter has made its own comparison.

    Raises:
        AdapterMoved: the adapter hands messages on in another way.
    """
    _needs(client, "_ws_client", "_handle_user_ws_message", "_cache")
    stream = client._ws_client  # noqa: SLF001  # checked above
    _needs(stream, "_handler", "_handle_stream_message", "_on_resubscribe")
    adapters = stream._handler  # noqa: SLF001  # checked above
    if adapters != client._handle_user_ws_message:  # noqa: SLF001  # checked above
        raise AdapterMoved("the user stream's handler is not the execution client's")

    def both(raw: bytes) -> None:
        hear(raw)
        if not _foreign_algo(client, raw):
            adapters(raw)

    stream._handler = both  # noqa: SLF001  # checked above
    compare = stream._on_resubscribe  # noqa: SLF001  # checked above

    async def compared() -> None:
        try:
            await compare()
        finally:
            renewed()

    stream._on_resubscribe = compared  # noqa: SLF001  # checked above


class _AlgoOrder(msgspec.Struct):
    caid: str = ""


class _AlgoUpdate(msgspec.Struct):
    e: str
    o: _AlgoOrder


_algo_update = msgspec.json.Decoder(_AlgoUpdate).decode


def _foreign_algo(client: BinanceFuturesExecutionClient, raw: bytes) -> bool:
    """Whether `raw` is about a conditional order that the adapter did not place."""
    if b"ALGO_UPDATE" not in raw:
        return False
    try:
        update = _algo_update(raw)
    except msgspec.MsgspecError:
        return False  # of another kind, or broken: the adapter's own affair
    if update.e != "ALGO_UPDATE":
        return False
    known = update.o.caid and client._cache.strategy_id_for_order(ClientOrderId(update.o.caid))  # noqa: SLF001  # checked by tap
    return not known


def stamp(
    client: BinanceCommonExecutionClient | BinanceCommonDataClient, venue_ms: Callable[[], int]
) -> None:
    """Let the adapter's signed calls carry the venue's time `venue_ms`; its own clock knows no offset.

    Raises:
        AdapterMoved: the calls are signed in another way.
    """
    _needs(client, "_http_client")
    http: BinanceHttpClient = client._http_client  # noqa: SLF001  # checked above
    _needs(http, "_prepare_params", "sign_request")
    # What is signed, and afterwards sent, is this dictionary; the one client is shared and may be stamped twice.
    prepare = BinanceHttpClient._prepare_params  # noqa: SLF001  # checked above

    def stamped(payload: dict[str, Any]) -> str:
        if "timestamp" in payload:
            payload["timestamp"] = str(venue_ms())
        return str(prepare(http, payload))

    http._prepare_params = stamped  # noqa: SLF001  # checked above


def tell_status(client: BinanceCommonExecutionClient) -> None:
    """Let the reason of a refused order or cancel carry the HTTP status: whether it is sure depends on it.

    The adapter hands on the body alone, and a proxy's page or an empty body with 502 or 504 would read as a refusal of an
    order that may live.

    Raises:
        AdapterMoved: the calls are sent in another way.
    """
    _needs(client, "_http_client")
    http: BinanceHttpClient = client._http_client  # noqa: SLF001  # checked above
    _needs(http, "send_request")
    send = BinanceHttpClient.send_request  # the one client is shared and may be told twice

    async def told(*what: Any, **options: Any) -> bytes:
        try:
            answer: bytes = await send(http, *what, **options)
        except BinanceError as error:
            said = with_status(error.status, error.message)
            raise type(error)(error.status, said, error.headers) from error
        return answer

    http.send_request = told


def hear_connect(
    client: BinanceCommonExecutionClient | BinanceCommonDataClient, failed: Callable[[Exception], None]
) -> None:
    """Let `failed` hear why the client could not connect; all that the adapter does is to log it.

    Raises:
        AdapterMoved: the client connects in another way.
    """
    _needs(client, "_connect")
    adapters = client._connect  # noqa: SLF001  # checked above

    async def connect() -> None:
        try:
            await adapters()
        except Exception as error:
            failed(error)
            raise

    client._connect = connect  # noqa: SLF001  # checked above


def exec_factory(
    hear: Callable[[bytes], None],
    renewed: Callable[[], None],
    venue_ms: Callable[[], int],
    failed: Callable[[Exception], None],
) -> type[LiveExecClientFactory]:
    """The adapter's own factory, its client tapped and stamped with the venue's time."""

    class TappedFactory(LiveExecClientFactory):
        @staticmethod
        def create(**options: Any) -> BinanceFuturesExecutionClient:
            client = BinanceLiveExecClientFactory.create(**options)
            tap(client, hear, renewed)
            stamp(client, venue_ms)
            tell_status(client)
            hear_connect(client, failed)
            return client

    return TappedFactory


def conflate(
    client: BinanceFuturesDataClient,
    soon: Callable[[Callable[[], None]], object],
    overtaken: Callable[[], None],
) -> None:
    """Let the newest quote of a symbol overtake older ones that the loop has not come to; `overtaken` hears of each.

    Raises:
        AdapterMoved: the adapter takes messages in another way.
    """
    _needs(client, "_ws_client", "_ws_public_client", "_handle_ws_message")
    for stream in (client._ws_client, client._ws_public_client):  # noqa: SLF001  # checked above
        _needs(stream, "_handler")
        adapters = stream._handler  # noqa: SLF001  # checked above
        if adapters != client._handle_ws_message:  # noqa: SLF001  # checked above
            raise AdapterMoved("a market stream's handler is not the data client's")
        stream._handler = Intake(adapters, soon, overtaken)  # noqa: SLF001  # checked above


def data_factory(
    soon: Callable[[Callable[[], None]], object],
    overtaken: Callable[[], None],
    venue_ms: Callable[[], int],
    failed: Callable[[Exception], None],
) -> type[LiveDataClientFactory]:
    """The adapter's own factory, its client's quotes conflated; its instrument provider signs as well."""

    class ConflatingFactory(LiveDataClientFactory):
        @staticmethod
        def create(**options: Any) -> BinanceFuturesDataClient:
            client = BinanceLiveDataClientFactory.create(**options)
            conflate(client, soon, overtaken)
            stamp(client, venue_ms)
            hear_connect(client, failed)
            return client

    return ConflatingFactory


def exec_client(kernel: NautilusKernel) -> BinanceFuturesExecutionClient:
    """The kernel's Binance execution client.

    Raises:
        AdapterMoved: the engine keeps its clients elsewhere.
    """
    engine = kernel.exec_engine
    _needs(engine, "_clients")
    client = engine._clients.get(ClientId(BINANCE))  # noqa: SLF001  # checked above
    if client is None:
        raise AdapterMoved("the execution engine has no Binance client")
    return client


def stream_up(client: BinanceFuturesExecutionClient) -> bool:
    """Whether the user stream's socket is open and the adapter has not given it up."""
    stream: BinanceUserDataWebSocketClient = client._ws_client  # noqa: SLF001  # checked by tap
    _needs(stream, "_stream_client", "_is_recovery_failed")
    socket = stream._stream_client  # noqa: SLF001  # checked above
    if socket is None or stream._is_recovery_failed:  # noqa: SLF001  # checked above
        return False
    # A socket that tries to come back calls itself active.
    return bool(socket.is_active()) and not socket.is_reconnecting()


async def revive(client: BinanceFuturesExecutionClient) -> None:
    """Open the user stream anew, as the adapter does at connect, with its own reconciliation afterwards."""
    stream: BinanceUserDataWebSocketClient = client._ws_client  # noqa: SLF001  # checked by tap
    _needs(stream, "_recovery_lock", "_disconnect_stream", "_cancel_keepalive", "_on_resubscribe")
    async with stream._recovery_lock:  # noqa: SLF001  # checked above
        stream._cancel_keepalive()  # noqa: SLF001  # checked above
        await stream._disconnect_stream()  # noqa: SLF001  # checked above
        await stream.connect()
        await stream.session_logon()
        await stream.subscribe_user_data_stream(pre_dispatch_hook=stream._on_resubscribe)  # noqa: SLF001


def keep_for_ever(guard: object) -> None:
    """Never let go of a log guard: when the last one goes, NautilusTrader ends its logging for the whole process.

    At the process's end it would also complain on stderr that our FIFO cannot be synced.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(guard))


def leaked_tasks() -> list["asyncio.Task[Any]"]:
    """Tasks of NautilusTrader that are still there; after a stop each is a leak."""
    here = asyncio.current_task()
    found = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if task is not here and code is not None and "nautilus_trader" in code.co_filename:
            found.append(task)
    return found

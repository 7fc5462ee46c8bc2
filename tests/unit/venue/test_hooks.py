"""The private places of NautilusTrader that we touch: these fail when upstream moves one."""

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import structlog
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
from nautilus_trader.adapters.binance.data import BinanceCommonDataClient
from nautilus_trader.adapters.binance.execution import BinanceCommonExecutionClient
from nautilus_trader.adapters.binance.futures.enums import BinanceFuturesEnumParser
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.adapters.binance.futures.http.account import BinanceFuturesAccountHttpAPI
from nautilus_trader.adapters.binance.futures.schemas.user import BinanceFuturesAlgoUpdateMsg
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.adapters.binance.http.error import BinanceError, get_binance_error_code
from nautilus_trader.adapters.binance.websocket.client import BinanceWebSocketClient
from nautilus_trader.adapters.binance.websocket.user import BinanceUserDataWebSocketClient
from nautilus_trader.common.component import LiveClock, Logger
from nautilus_trader.core.nautilus_pyo3 import HttpMethod, WebSocketClient
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.retry import RetryManager
from nautilus_trader.model.identifiers import AccountId, InstrumentId
from nautilus_trader.system.kernel import NautilusKernel

from hedgegridd.venue import nautilus_hooks as hooks
from hedgegridd.venue.nautilus_log import FIFO_NAME, LogPipe
from hedgegridd.venue.rest import sign


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def test_the_kernel_still_installs_signals_in_the_hook_we_replace() -> None:
    original = source(NautilusKernel)
    assert "def _setup_loop(self)" in original
    assert "add_signal_handler" in original
    hooks.keep_our_signals()
    assert NautilusKernel._setup_loop(SimpleNamespace()) is None


def test_the_adapter_still_hands_messages_on_where_we_listen() -> None:
    stream = source(BinanceUserDataWebSocketClient)
    for name in (
        "self._handler(raw)", "self._on_resubscribe = on_resubscribe", "self._stream_client:", "self._is_recovery_failed",
        "self._recovery_lock", "async def _disconnect_stream", "def _cancel_keepalive", "pre_dispatch_hook=self._on_resubscribe",
    ):  # fmt: skip
        assert name in stream, name
    client = source(BinanceCommonExecutionClient)
    assert "handler=self._handle_user_ws_message" in client
    assert "self._ws_client = BinanceUserDataWebSocketClient(" in client
    assert "def _handle_user_ws_message" in source(BinanceFuturesExecutionClient)


class Stream:
    """The user-data client as far as we touch it."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self.compared = 0
        self._on_resubscribe = self._compare
        self._stream_client: Any = None
        self._is_recovery_failed = False

    def _handle_stream_message(self, raw: bytes) -> None:
        self._handler(raw)

    async def _compare(self) -> None:
        self.compared += 1


class Client:
    """The execution client as far as we touch it."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self._cache = SimpleNamespace(
            strategy_id_for_order=lambda name: "GRID-001" if name.value == "BTCUSDT-L000S-k-1" else None
        )
        self._ws_client = Stream(self._handle_user_ws_message)

    def _handle_user_ws_message(self, raw: bytes) -> None:
        self.handled.append(raw)


async def test_the_tap_hears_each_message_before_the_adapter_and_new_sockets_after_it() -> None:
    client: Any = Client()
    heard: list[tuple[bytes, int]] = []
    renewals: list[int] = []
    hooks.tap(
        client,
        lambda raw: heard.append((raw, len(client.handled))),
        lambda: renewals.append(client._ws_client.compared),
    )
    client._ws_client._handle_stream_message(b"a")
    client._ws_client._handle_stream_message(b"b")
    assert heard == [(b"a", 0), (b"b", 1)]
    assert client.handled == [b"a", b"b"]
    await client._ws_client._on_resubscribe()
    assert renewals == [1]


ALGO = (
    '{"e":"ALGO_UPDATE","E":1,"T":1,"o":{"caid":"%s","aid":7,"at":"CONDITIONAL","o":"STOP_MARKET","s":"BTCUSDT",'
    '"S":"SELL","ps":"LONG","f":"GTC","q":"0","X":"CANCELED","tp":"37600.0","p":"0","wt":"MARK_PRICE","pm":"NONE",'
    '"cp":true,"pP":false,"R":false,"tt":0,"gtd":0}}'
)


@pytest.mark.parametrize(
    ("raw", "reaches_the_adapter"),
    [
        ((ALGO % "BTCUSDT-L000S-k-1").encode(), True),
        ((ALGO % "BTCUSDT-L000S-older-1").encode(), False),
        ((ALGO % "").encode(), False),
        (b'{"e":"ORDER_TRADE_UPDATE","o":{"c":"ALGO_UPDATE"}}', True),
        (b'{"e":"ALGO_UPDATE",', True),
    ],
)
def test_a_stop_that_the_adapter_does_not_know_is_ours_alone(
    raw: bytes, *, reaches_the_adapter: bool
) -> None:
    client: Any = Client()
    heard: list[bytes] = []
    hooks.tap(client, heard.append, lambda: None)
    client._ws_client._handle_stream_message(raw)
    assert heard == [raw]
    assert client.handled == ([raw] if reaches_the_adapter else [])


def test_the_adapter_itself_cannot_model_a_stop_without_a_quantity() -> None:
    """Why such messages are kept from it; when this fails upstream has learned to."""
    update = msgspec.json.decode((ALGO % "BTCUSDT-L000S-older-1").encode(), type=BinanceFuturesAlgoUpdateMsg)
    said: list[object] = []
    client: Any = SimpleNamespace(
        _cache=SimpleNamespace(strategy_id_for_order=lambda _: None),
        _get_cached_instrument_id=lambda _: InstrumentId.from_str("BTCUSDT-PERP.BINANCE"),
        _log=SimpleNamespace(debug=lambda _: None),
        _clock=SimpleNamespace(timestamp_ns=lambda: 1),
        _enum_parser=BinanceFuturesEnumParser(),
        account_id=AccountId("BINANCE-001"),
        _send_order_status_report=said.append,
    )
    with pytest.raises(ValueError, match="positive"):
        update.o.handle_algo_update(client, 1)
    assert not said


def test_the_adapter_still_signs_where_we_stamp() -> None:
    signing = source(BinanceHttpClient.sign_request)
    assert "self._prepare_params(payload)" in signing
    assert "payload=payload" in signing, "what was signed is what is sent"
    for client in (BinanceCommonExecutionClient, BinanceCommonDataClient):
        assert "self._http_client = client" in source(client)


async def test_a_signed_call_carries_the_venues_time_and_its_signature_covers_it() -> None:
    http = BinanceHttpClient(LiveClock(), "k", "secret", "http://127.0.0.1:9")
    sent: list[dict[str, str]] = []

    async def send(_method: Any, _path: str, payload: dict[str, str], **_options: Any) -> bytes:
        sent.append(payload)
        return b'{"dualSidePosition":true}'

    http.send_request = send
    client: Any = SimpleNamespace(_http_client=http)
    now_ms = [1_700_000_000_123]
    hooks.stamp(client, lambda: now_ms[0])
    hooks.stamp(client, lambda: now_ms[0])
    calls = BinanceFuturesAccountHttpAPI(http, LiveClock(), BinanceAccountType.USDT_FUTURES)
    await calls.query_futures_hedge_mode()
    now_ms[0] += 5
    await calls.query_futures_hedge_mode()
    assert [payload["timestamp"] for payload in sent] == ["1700000000123", "1700000000128"]
    for payload in sent:
        signature = payload.pop("signature")
        assert signature == sign(urlencode(payload), "secret")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, b"<html>Bad Gateway</html>", "HTTP 502: <html>Bad Gateway</html>"),
        (504, b"", "HTTP 504: "),
        (500, b'{"code":-1,"msg":"no"}', "{'code': -1, 'msg': 'no', 'status': 500}"),
        (400, b'{"code":-5022,"msg":"no"}', "{'code': -5022, 'msg': 'no', 'status': 400}"),
        (200, b"<html>", "HTTP 200: Non-JSON response (HTTP 200): <html>"),
    ],
)
async def test_what_a_failed_call_says_carries_its_status(status: int, body: bytes, said: str) -> None:
    """Through the adapter's own retry manager, whose words are the order's reason."""

    class Wire:
        async def request(self, *_what: Any, **_options: Any) -> Any:
            return SimpleNamespace(status=status, body=body, headers={})

    http = BinanceHttpClient(LiveClock(), "k", "secret", "http://127.0.0.1:9")
    http._client = Wire()
    client: Any = SimpleNamespace(_http_client=http)
    hooks.tell_status(client)
    hooks.tell_status(client)
    retry = RetryManager(0, 1, 1, 2, Logger("test"), (BinanceError,))
    await retry.run("submit_order", [], http.sign_request, HttpMethod.POST, "/fapi/v1/order", {})
    assert retry.message == said
    code = get_binance_error_code(retry.last_exception)
    assert (code is not None) == (status == 400), "the adapter still reads the venue's own codes"


async def test_a_call_that_needs_no_time_gets_none() -> None:
    http = BinanceHttpClient(LiveClock(), "k", "secret", "http://127.0.0.1:9")
    hooks.stamp(SimpleNamespace(_http_client=http), lambda: 1)  # type: ignore[arg-type]
    assert http._prepare_params({"symbol": "BTCUSDT"}) == "symbol=BTCUSDT"


@pytest.mark.parametrize("client", [SimpleNamespace(), SimpleNamespace(_http_client=SimpleNamespace())])
def test_an_adapter_that_signs_elsewhere_is_noticed(client: Any) -> None:
    with pytest.raises(hooks.AdapterMoved, match=r"_http_client|_prepare_params"):
        hooks.stamp(client, lambda: 1)


@pytest.mark.parametrize("name", ["_handler", "_on_resubscribe"])
def test_a_moved_adapter_is_noticed(name: str) -> None:
    client: Any = Client()
    delattr(client._ws_client, name)
    with pytest.raises(hooks.AdapterMoved, match=name):
        hooks.tap(client, print, print)


def test_another_handler_is_noticed() -> None:
    client: Any = Client()
    client._ws_client._handler = print
    with pytest.raises(hooks.AdapterMoved, match="handler"):
        hooks.tap(client, print, print)


@pytest.mark.parametrize(
    ("socket", "failed", "up"),
    [
        (None, False, False),
        ((True, False), False, True),
        ((True, True), False, False),
        ((True, False), True, False),
        ((False, False), False, False),
    ],
)
def test_a_stream_is_up_when_its_socket_works_and_the_adapter_has_not_given_up(
    socket: tuple[bool, bool] | None, *, failed: bool, up: bool
) -> None:
    """The socket's own word: whether it is active, whether it is trying to come back (it is active then as well)."""
    client: Any = Client()
    client._ws_client._stream_client = socket and SimpleNamespace(
        is_active=lambda: socket[0], is_reconnecting=lambda: socket[1]
    )
    client._ws_client._is_recovery_failed = failed
    assert hooks.stream_up(client) is up


def test_the_socket_still_tells_whether_it_is_trying_to_come_back() -> None:
    assert {"is_active", "is_reconnecting"} <= set(dir(WebSocketClient))


async def test_the_log_pipe_turns_lines_into_events() -> None:
    pipe = LogPipe()
    try:
        pipe.start(asyncio.get_running_loop())
        with structlog.testing.capture_logs() as logs:
            path = pipe.directory / FIFO_NAME
            lines = [
                json.dumps({"level": "ERROR", "component": "Exec", "message": "lost"}),
                json.dumps({"level": "INFO", "component": "Exec", "message": "fine"}),
                "not json",
            ]
            _write(path, "\n".join(lines) + "\npart")
            pipe._read()
            _write(path, "ial\n")
            pipe._read()
        assert [(log["log_level"], log.get("text")) for log in logs] == [
            ("error", "lost"), ("debug", "fine"), ("warning", "not json"), ("warning", "partial"),
        ]  # fmt: skip
    finally:
        pipe.close()
    assert not pipe.directory.exists()


def _write(path: Path, text: str) -> None:
    with path.open("w") as out:
        out.write(text)


class MarketStream:
    """A market stream of the adapter as far as we touch it."""

    def __init__(self, handler: Callable[[bytes], None]) -> None:
        self._handler = handler


class DataClient:
    """The data client as far as we touch it."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self._ws_client = MarketStream(self._handle_ws_message)
        self._ws_public_client = MarketStream(self._handle_ws_message)

    def _handle_ws_message(self, raw: bytes) -> None:
        self.handled.append(raw)


def test_the_adapter_still_gives_its_sockets_the_handler_we_replace() -> None:
    data = source(BinanceCommonDataClient)
    assert data.count("handler=self._handle_ws_message") == 2
    assert '"@bookTicker": self._handle_book_ticker' in data
    assert "handler=self._handler" in source(BinanceWebSocketClient)


def test_quotes_of_both_market_streams_are_conflated() -> None:
    client: Any = DataClient()
    turns: list[Callable[[], None]] = []
    overtaken: list[None] = []
    hooks.conflate(client, turns.append, lambda: overtaken.append(None))
    for stream in (client._ws_client, client._ws_public_client):
        for number in range(4):
            stream._handler(b'{"stream":"btcusdt@bookTicker","data":%d}' % number)
    assert len(client.handled) == 2
    assert len(overtaken) == 4
    while turns:
        turns.pop()()
    assert [raw[-2:-1] for raw in client.handled] == [b"0", b"0", b"3", b"3"]


@pytest.mark.parametrize("name", ["_ws_client", "_ws_public_client"])
def test_a_moved_data_client_is_noticed(name: str) -> None:
    client: Any = DataClient()
    delattr(client, name)
    with pytest.raises(hooks.AdapterMoved, match=name):
        hooks.conflate(client, print, print)


def test_another_market_handler_is_noticed() -> None:
    client: Any = DataClient()
    client._ws_client._handler = print
    with pytest.raises(hooks.AdapterMoved, match="handler"):
        hooks.conflate(client, print, print)


async def test_a_client_that_fails_to_connect_says_so() -> None:
    for owner in (BinanceCommonExecutionClient, BinanceCommonDataClient):
        assert "async def _connect(self)" in source(owner)
    for base in (LiveMarketDataClient, LiveExecutionClient):
        assert "self._connect()," in source(base)

    class Client:
        fails = True

        async def _connect(self) -> None:
            if self.fails:
                raise OSError("no listen key")

    client: Any = Client()
    told: list[Exception] = []
    hooks.hear_connect(client, told.append)
    with pytest.raises(OSError, match="no listen key"):
        await client._connect()
    assert [str(error) for error in told] == ["no listen key"]
    client.fails = False
    await client._connect()
    assert len(told) == 1

"""Parameters whose effect is what the venue is asked for: each with values that are not its default."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from hedgegridd import messages as m
from hedgegridd.config import Config, Daemon, Grid, Venue
from hedgegridd.errors import ConfigError
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.venue import setup
from hedgegridd.venue.bars import Bars
from hedgegridd.venue.calls import REST_URLS
from hedgegridd.venue.feed import Feed
from hedgegridd.venue.gateway import Gateway
from hedgegridd.venue.nautilus import for_config, node_config
from hedgegridd.venue.nautilus_strategy import Subscription
from hedgegridd.venue.rest import Credentials, VenueCallError
from hedgegridd.venue.stream_doubt import StreamDoubt
from hedgegridd.venue.watch import Channels, Watch
from tests.support.fake_rest import answer, fake_rest
from tests.unit.venue.test_truth import ACCOUNT, IID, MIN_MS, NOW_MS, account, bench, kline

KEYS = Credentials("k", "s")


# ------------------------------------------------------------------------------------------- leverage, margin_type


@pytest.mark.parametrize(
    ("found", "grid", "asked"),
    [
        ((12, "ISOLATED"), Grid(leverage=12, margin_type="isolated"), []),
        ((5, "ISOLATED"), Grid(leverage=12, margin_type="isolated"), [("leverage", "12")]),
        ((12, "CROSSED"), Grid(leverage=12, margin_type="isolated"), [("marginType", "ISOLATED")]),
        ((12, "ISOLATED"), Grid(leverage=12, margin_type="cross"), [("marginType", "CROSSED")]),
        (
            (5, "CROSSED"),
            Grid(leverage=12, margin_type="isolated"),
            [("marginType", "ISOLATED"), ("leverage", "12")],
        ),
    ],
)
async def test_leverage_and_margin_type_are_set_where_they_differ(
    found: tuple[int, str], grid: Grid, asked: list[tuple[str, str]]
) -> None:
    async with bench() as b:
        account(b, leverage=found[0], margin=found[1])
        await setup.prepare(b.calls, [grid])
        posts = [request for request in b.fake.asked if request.method == "POST"]
        assert [(request.path.rpartition("/")[2],) for request in posts] == [(name,) for name, _ in asked]
        assert [request.query[name] for request, (name, _) in zip(posts, asked, strict=True)] == [
            value for _, value in asked
        ]


async def test_a_refusal_names_what_was_wanted() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("POST", "/fapi/v1/leverage", answer({}))
        with pytest.raises(
            setup.SetupRefused, match="wanted leverage 12, margin isolated; venue says leverage 5"
        ):
            await setup.prepare(b.calls, [Grid(leverage=12, margin_type="isolated")])


# --------------------------------------------------------------------------------------------- bar and warmup_bars


@pytest.mark.parametrize(("bar", "count"), [("3m", 33), ("1h", 90)])
async def test_history_is_asked_for_in_the_grids_bars_and_as_many_as_warm_it(bar: Any, count: int) -> None:
    async with bench() as b:
        queries: list[dict[str, str]] = []

        def klines(request: web.Request) -> web.StreamResponse:
            queries.append(dict(request.query))
            return answer([kline(99)])(request)

        clock = {"symbol": "BTCUSDT", "markPrice": "1", "time": 100 * MIN_MS + 1_000}
        b.fake.on("GET", "/fapi/v1/premiumIndex", answer(clock))
        b.fake.on("GET", "/fapi/v1/klines", klines)
        told: list[m.BarClosed] = []
        bars = Bars(Grid(bar=bar, warmup_bars=count), b.calls, Feed(IID, Decimal("0.1")), told.append)
        await bars.fill()
        assert len(told) == 1
        await bars.fill()  # from the last one on
        assert [(query["interval"], query["limit"]) for query in queries] == [
            (bar, str(count + 1)),
            (bar, "1500"),
        ]


# ----------------------------------------------------------------------------------------------------------- [venue]


class Connection:
    """A trading connection that notes the deadline it was given."""

    connected = False

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.gateway: Gateway | None = None

    async def connect(self, deadline_s: float) -> None:
        self.deadlines.append(deadline_s)
        if self.gateway is not None:
            await self.gateway.stop()

    async def disconnect(self) -> None:
        """Nothing runs."""


def gateway(trading: Connection, *, start_deadline_s: int = 60, **venue: Any) -> Gateway:
    config = Config(daemon=Daemon(start_deadline_s=start_deadline_s), venue=Venue(**venue), grid=(Grid(),))

    async def durable() -> None:
        """A journal that is always up to date."""

    return Gateway(
        config,
        KEYS,
        make_trading=lambda _listener: trading,  # type: ignore[arg-type,return-value]  # only connects
        durable=durable,
        wall_ns=lambda: NOW_MS * 1_000_000,
        mono_ns=lambda: 0,
    )


async def test_calls_go_to_rest_url_with_the_window_and_end_after_the_timeout() -> None:
    async with fake_rest() as fake:
        made = gateway(Connection(), rest_url=fake.url, recv_window_ms=1234, request_timeout_s=Decimal("0.5"))
        await made.start()
        fake.on("GET", "/fapi/v3/account", answer(ACCOUNT))
        await made.http.call("GET", "/fapi/v3/account", kind=dict[str, str], signed=True)
        assert fake.asked[0].query["recvWindow"] == "1234"
        fake.on("GET", "/fapi/v3/account", "hang")
        async with asyncio.timeout(3):  # the default is 5 s
            with pytest.raises(VenueCallError):
                await made.http.call("GET", "/fapi/v3/account", kind=dict[str, str], signed=True)
        await made.stop()


@pytest.mark.parametrize("environment", ["live", "testnet"])
def test_the_environment_decides_the_address_and_is_told(environment: Any) -> None:
    made = gateway(Connection(), environment=environment)
    assert made.http._base == REST_URLS[environment]
    assert made._view(1).environment == environment


async def test_the_connection_has_start_deadline_s_to_come_up() -> None:
    async with bench() as b:
        account(b)
        trading = Connection()
        trading.gateway = gateway(trading, rest_url=b.fake.url, start_deadline_s=17)
        bus = Bus(RealClock(), (m.StageReached,))
        trading.gateway.bus = bus
        bus.start(asyncio.get_running_loop())
        await trading.gateway.start()
        await trading.gateway.connect()
        bus.stop()
        assert trading.deadlines == [17.0]


def watch(
    b: Any, trading: Connection, on_account: Any, on_not_allowed: Any = lambda: None, **tables: Any
) -> Watch:
    return Watch(
        Config(grid=(Grid(),), **tables),
        b.calls,
        channels=Channels([]),
        trading=trading,  # type: ignore[arg-type]  # only connects
        orders=None,  # type: ignore[arg-type]  # not looked at here
        doubt=StreamDoubt(),
        on_silent=lambda: None,
        stats=None,  # type: ignore[arg-type]
        mono_ns=lambda: 0,
        publish=lambda _event: None,
        on_account=on_account,
        on_rules=lambda _rule: None,
        on_not_allowed=on_not_allowed,
    )


async def test_a_dead_connection_has_start_deadline_s_to_come_back() -> None:
    async with bench() as b:
        trading = Connection()
        await watch(b, trading, None, daemon=Daemon(start_deadline_s=17))._reconnect()
        assert trading.deadlines == [17.0]


async def test_the_account_is_read_every_account_poll_s() -> None:
    async with bench() as b:
        loop = asyncio.get_running_loop()
        read: list[float] = []
        twice = asyncio.Event()

        def on_account(_figures: m.VenueAccount) -> None:
            read.append(loop.time())
            if len(read) == 2:
                twice.set()

        polling = watch(b, Connection(), on_account, venue=Venue(account_poll_s=Decimal("0.2")))
        task = asyncio.create_task(polling._account_loop())
        async with asyncio.timeout(3):  # the default is 5 s
            await twice.wait()
        task.cancel()
        assert read[1] - read[0] >= 0.2


async def test_the_venues_clock_is_read_every_clock_poll_s() -> None:
    async with bench() as b:
        b.fake.on(
            "GET", "/fapi/v1/time", answer({"serverTime": NOW_MS + 70}), answer({"serverTime": NOW_MS + 90})
        )
        reading = watch(b, Connection(), None, venue=Venue(clock_poll_s=Decimal("0.5")))
        task = asyncio.create_task(reading._clock_loop())
        await b.fake.until_asked(2, within_s=4)  # the default is 30 s
        task.cancel()
        assert b.calls.http.clock_offset_ms == 70


# -------------------------------------------------------------------------------------------- the trading connection


def options(level: Any = "info", bar: Any = "1m", **venue: Any) -> Any:
    config = Config(daemon=Daemon(log_level=level), venue=Venue(**venue), grid=(Grid(bar=bar),))
    return for_config(config, KEYS)(None)._options  # type: ignore[arg-type]  # nothing is heard here


def test_the_trading_connection_gets_addresses_window_and_bars() -> None:
    made = options(
        bar="15m",
        environment="testnet",
        rest_url="http://r",
        market_ws_url="ws://m",
        user_ws_url="ws://u",
        recv_window_ms=1234,
    )
    assert made.instruments == ((IID, "15m"),)
    node = node_config(made, KEYS, [Subscription(*made.instruments[0])], "/nowhere", 7.0)
    (data,), (orders,) = node.data_clients.values(), node.exec_clients.values()
    assert (data.base_url_ws, orders.base_url_ws_stream) == ("ws://m", "ws://u")
    assert data.base_url_http == orders.base_url_http == "http://r"
    assert orders.recv_window_ms == 1234
    assert data.environment.name == orders.environment.name == "TESTNET"
    assert node.timeout_connection == 7.0


def test_live_is_the_venues_own_live_environment() -> None:
    made = options(environment="live")
    node = node_config(made, KEYS, [Subscription(*made.instruments[0])], "/nowhere", 7.0)
    assert {client.environment.name for client in node.data_clients.values()} == {"LIVE"}


def test_paper_needs_every_address() -> None:
    with pytest.raises(ConfigError, match="user_ws_url"):
        options(rest_url="http://r", market_ws_url="ws://m")


@pytest.mark.parametrize(("level", "verbose"), [("debug", True), ("warning", False)])
def test_nautilus_speaks_at_debug_only(level: Any, verbose: bool) -> None:
    assert options(level, environment="testnet").verbose is verbose


async def test_an_account_that_the_key_may_not_read_is_a_doubt_about_the_key() -> None:
    async with bench() as b:
        b.fake.on("GET", "/fapi/v3/account", answer({"code": -2015, "msg": "Invalid API-key"}, 401))
        doubted = asyncio.Event()
        polling = watch(b, Connection(), lambda _figures: None, doubted.set)
        task = asyncio.create_task(polling._account_loop())
        await asyncio.wait_for(doubted.wait(), 10)
        task.cancel()

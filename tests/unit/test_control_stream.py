"""The stream: order, resume, what was missed, slow clients, the beat; over HTTP and over the socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from hedgegridd import messages as m
from hedgegridd.config import Control, Key
from hedgegridd.control import stream as stream_module
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.http import HttpServer
from hedgegridd.control.operation import Problem, Role
from hedgegridd.control.sessions import COOKIE, LASTS_S, Sessions
from hedgegridd.control.sse import stream_response
from hedgegridd.control.stream import BATCH, Hub, Subscriber
from hedgegridd.control.stream_actor import StreamActor, streamed
from hedgegridd.control.unix import UnixServer
from hedgegridd.errors import AskTimeout
from hedgegridd.runtime.clock import RealClock
from tests.unit.control_fakes import NOW_NS, FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, KEYS, headers
from tests.unit.test_control_unix import FixedPeers

DEADLINE_S = 5


def event(seq: int, text: str = "x") -> m.Envelope:
    message = m.FeedChanged(channel="user", up=True, detail=text)
    return m.Envelope(seq=seq, time_ns=seq, mono_ns=seq, cause=seq - 1, actor="gateway", message=message)


def filled(count: int, *, ring: int = 8, first: int = 1, step: int = 1) -> Hub:
    hub = Hub(4, first_seq=first, ring=ring)
    for number in range(count):
        hub.put(event(first + number * step))
    return hub


@asynccontextmanager
async def pumped(hub: Hub) -> AsyncIterator[Hub]:
    task = asyncio.create_task(hub.pump())
    try:
        yield hub
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def taken(client: Subscriber) -> list[dict[str, Any]]:
    async with asyncio.timeout(DEADLINE_S):
        return [
            {"kind": entry.kind, "seq": entry.seq, **json.loads(entry.tail().partition(b'"data":')[2][:-2])}
            for entry in await client.next()
        ]


async def kinds(client: Subscriber) -> list[Any]:
    """Sequences of events, `(missed, exact)`, names of beats."""
    return [
        each["seq"] or ((each["missed"], each["exact"]) if each["kind"] == "missed" else each["kind"])
        for each in await taken(client)
    ]


async def test_events_come_in_order_and_from_now_on() -> None:
    hub = filled(3)
    client = hub.open(None)
    async with pumped(hub):
        hub.put(event(7))
        hub.put(event(9))
        first, second = await taken(client)
    assert [first["seq"], second["seq"]] == [7, 9]
    assert first["message"] == {"type": "FeedChanged", "channel": "user", "up": True, "detail": "x"}
    assert (first["cause"], first["actor"], first["time_ns"]) == (6, "gateway", 7)


@pytest.mark.parametrize(
    ("last", "want"),
    [
        (10, []),  # nothing new
        (8, [9, 10]),
        (2, [3, 4, 5, 6, 7, 8, 9, 10]),  # all that is kept, nothing lost
        (1, [(1, True), 3, 4, 5, 6, 7, 8, 9, 10]),
        (0, [(2, True), 3, 4, 5, 6, 7, 8, 9, 10]),
        (99, [(0, False)]),  # a number that we have not given
    ],
)
async def test_a_client_that_comes_back(last: int, want: list[Any]) -> None:
    hub = filled(10)
    client = hub.open(last)
    async with pumped(hub):
        hub.tell_beat("beat", {})
        got = await kinds(client)
        while not got or got[-1] != "beat":
            got += await kinds(client)
    assert got == [*want, "beat"]


async def test_after_a_restart_what_came_in_between_is_not_counted_as_known() -> None:
    hub = filled(2, first=1000)
    async with pumped(hub):
        assert await kinds(hub.open(999)) == [1000, 1001]
        assert await kinds(hub.open(500)) == [(0, False), 1000, 1001]


async def test_numbers_of_lost_events_are_themselves_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GONE", 4)
    hub = filled(20, ring=2, step=10)  # 1, 11, ..., 191: eighteen have gone
    async with pumped(hub):
        late = await kinds(hub.open(1))
        assert late[0] == (len(hub._gone), False)
        assert len(hub._gone) < 8
        assert await kinds(hub.open(171)) == [181, 191]
        assert await kinds(hub.open(161)) == [(1, True), 181, 191]


async def test_a_client_that_falls_behind_is_told_how_many_it_missed() -> None:
    hub = filled(0)
    slow, quick = hub.open(None), hub.open(None)
    async with pumped(hub):
        seen = []
        for seq in range(1, 21):
            hub.put(event(seq))
            if seq % 4 == 0:
                seen += await kinds(quick)
        assert seen == list(range(1, 21))
        assert await kinds(slow) == [(12, True), *range(13, 21)]
        assert hub.lost == 12


async def test_a_backlog_comes_in_batches() -> None:
    hub = filled(BATCH + 5, ring=4 * BATCH)
    async with pumped(hub):
        client = hub.open(0)
        assert await kinds(client) == list(range(1, BATCH + 1))
        assert await kinds(client) == list(range(BATCH + 1, BATCH + 6))


async def test_only_the_newest_beat_waits() -> None:
    hub = filled(0)
    client = hub.open(None)
    for number in range(5):
        hub.tell_beat("beat", {"number": number})
    async with pumped(hub):
        assert [each["number"] for each in await taken(client)] == [4]


async def test_an_event_is_encoded_once_for_all() -> None:
    told: list[m.Message] = []

    def words(message: m.Message) -> str:
        told.append(message)
        return "said"

    hub = Hub(4, words=words)
    clients = [hub.open(None) for _ in range(3)]
    hub.put(event(1))
    assert told == [], "nothing is encoded before somebody reads"
    async with pumped(hub):
        frames = [(await client.next())[0].frame() for client in clients]
        for client in clients:
            assert client._at == 1
    assert len(told) == 1
    assert len(set(map(id, frames))) == 1
    assert frames[0].startswith(b"id: 1\nevent: FeedChanged\ndata: {")
    assert frames[0].endswith(b"}\n\n")


async def test_the_number_of_clients_is_bounded_and_a_place_becomes_free() -> None:
    hub = Hub(2)
    first, _ = hub.open(None), hub.open(None)
    with pytest.raises(Problem, match="stream_clients") as refused:
        hub.open(None)
    assert refused.value.status == 503
    first.close()
    first.close()
    assert hub.clients == 1
    hub.open(None)


async def test_closing_ends_every_reader() -> None:
    hub = Hub(2)
    client = hub.open(None)
    reading = asyncio.create_task(client.next())
    await asyncio.sleep(0)
    hub.close()
    assert await reading == []
    with pytest.raises(Problem, match="stopping"):
        hub.open(None)


def test_every_event_but_raw_market_data_is_streamed() -> None:
    left_out = {event for event in m.EVENTS if event not in streamed()}
    assert left_out == {
        m.BarClosed,
        m.MarkPrice,
        m.BookDepth,
        m.ReferencePrice,
        m.DeskView,  # a view of the desk
        m.Woke,
        m.SessionBegan,
        m.StateKept,
    }


# --- the beat -------------------------------------------------------------------------------------


class ClockedBus(FakeBus):
    clock = RealClock()

    def register(self, name: str, **_kw: Any) -> None:
        self.name = name


@asynccontextmanager
async def beating(bus: ClockedBus, hub: Hub) -> AsyncIterator[StreamActor]:
    actor = StreamActor(hub, beat_s=0.01)
    actor.register(bus)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(actor._beats()), tasks.create_task(hub.pump())]
        yield actor
        for task in running:
            task.cancel()


async def test_the_beat_asks_the_trading_actors() -> None:
    bus, hub = ClockedBus(), Hub(2)
    async with beating(bus, hub):
        (beat,) = await taken(hub.open(None))
    assert beat["kind"] == "beat"
    assert beat["kill_switch"] == "ARMED"
    assert beat["instruments"][0]["mark"] == "65050.0"
    assert {type(each) for each in bus.asked} == {m.GetStatus, m.GetKillSwitch}


@pytest.mark.parametrize(("query", "name"), [(m.GetStatus, "desk"), (m.GetKillSwitch, "kill_switch")])
async def test_a_trading_actor_that_hangs_stops_the_beat(query: type[m.Message], name: str) -> None:
    bus, hub = ClockedBus(), Hub(2)
    bus.table[query] = AskTimeout("no answer within 0.9 s")
    async with beating(bus, hub):
        client = hub.open(None)
        for _ in range(3):
            (told,) = await taken(client)
            assert told["kind"] == "silent"
            assert told["silent"] == {name: "no answer within 0.9 s"}


async def test_nobody_is_asked_when_nobody_reads() -> None:
    bus, hub = ClockedBus(), Hub(2)
    async with beating(bus, hub):
        client = hub.open(None)
        await taken(client)
        client.close()
        await asyncio.sleep(0.02)  # a beat that has begun may end
        asked = len(bus.asked)
        await asyncio.sleep(0.05)
        assert len(bus.asked) == asked


# --- the fronts -----------------------------------------------------------------------------------


def with_stream(hub: Hub) -> Dispatcher:
    return dispatcher(FakeBus(), stream=hub.open)


@asynccontextmanager
async def over_http(
    hub: Hub, config: Control = CONFIG, sessions: Sessions | None = None
) -> AsyncIterator[tuple[aiohttp.ClientSession, HttpServer]]:
    server = HttpServer(with_stream(hub), config, sessions=sessions)
    await server.start()
    try:
        async with (
            pumped(hub),
            aiohttp.ClientSession(
                f"http://127.0.0.1:{server.port}", timeout=aiohttp.ClientTimeout(DEADLINE_S)
            ) as session,
        ):
            yield session, server
    finally:
        hub.close()
        await server.stop()


async def frames(response: aiohttp.ClientResponse, count: int) -> list[list[str]]:
    """So many events, each as its lines."""
    return [(await response.content.readuntil(b"\n\n")).decode().strip().splitlines() for _ in range(count)]


async def test_over_http_it_is_an_event_stream() -> None:
    hub = filled(3)
    async with over_http(hub) as (session, _):
        async with session.get("/stream", headers=headers("viewer") | {"Last-Event-ID": "2"}) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            first, told = await frames(response, 2)
            assert first == ["retry: 2000"]
            assert told[:2] == ["id: 3", "event: FeedChanged"]
            assert json.loads(told[2].removeprefix("data: "))["seq"] == 3
            hub.tell_beat("beat", {"time_ns": 1})
            assert await frames(response, 1) == [["event: beat", 'data: {"time_ns":1}']]
            hub.close()
            assert await response.content.read() == b"", "the daemon ends it cleanly"
        assert hub.clients == 0


@pytest.mark.parametrize(
    ("role", "given", "status"),
    [
        (None, "1", 401),
        ("viewer", "x", 422),
        ("viewer", "-1", 422),
        ("viewer", "9" * 30, 422),
        ("admin", "1", 200),
    ],
)
async def test_who_may_and_what_is_refused(role: str | None, given: str, status: int) -> None:
    hub = filled(3)
    async with over_http(hub) as (session, _):
        async with session.get("/stream", headers=headers(role) | {"Last-Event-ID": given}) as response:
            assert response.status == status
            if status == 422:
                assert (await response.json(content_type=None))["field"] == "last_event_id"


async def test_a_client_that_goes_frees_its_place() -> None:
    hub = filled(0)
    async with over_http(hub) as (session, _):
        response = await session.get("/stream", headers=headers("viewer"))
        await frames(response, 1)
        assert hub.clients == 1
        response.close()
        async with asyncio.timeout(DEADLINE_S):
            seq = 0
            while hub.clients:
                seq += 1
                hub.put(event(seq))
                await asyncio.sleep(0.01)


def gone(server: HttpServer, role: str) -> None:
    """A reload without the key of a role."""
    keys = tuple(key for key in CONFIG.keys if key.role != role)
    server.use(msgspec.structs.replace(CONFIG, keys=keys))


def lower(server: HttpServer, _role: str) -> None:
    """A reload that makes the first key of nobody's: it is another's now."""
    server.use(msgspec.structs.replace(CONFIG, keys=(Key(name="x", role="viewer", sha256="0" * 64),)))


@pytest.mark.parametrize("take_away", [gone, lower])
async def test_a_stream_ends_with_its_key_and_no_other_does(
    take_away: Callable[[HttpServer, str], None],
) -> None:
    hub = filled(0)
    async with over_http(hub) as (session, server):
        async with (
            session.get("/stream", headers=headers("operator")) as response,
            session.get("/stream", headers=headers("viewer")) as other,
        ):
            await frames(response, 1)
            await frames(other, 1)
            hub.put(event(1))
            assert (await frames(response, 1))[0][0] == "id: 1"
            take_away(server, "operator")
            hub.put(event(2))
            assert await response.content.read() == b"", "not an event more"
            if take_away is gone:
                assert [told[0] for told in await frames(other, 2)] == ["id: 1", "id: 2"]


async def test_a_stream_ends_with_its_session() -> None:
    hub, now = filled(0), [NOW_NS]
    async with over_http(hub, sessions=Sessions(None, lambda: now[0])) as (session, _):
        cookies = []
        for _ in range(2):
            async with session.post("/login", json={"key": KEYS["viewer"]}) as response:
                cookies.append({"Cookie": f"{COOKIE}={response.cookies[COOKIE].value}"})
            session.cookie_jar.clear()
        async with (
            session.get("/stream", headers=cookies[0]) as first,
            session.get("/stream", headers=cookies[1]) as second,
        ):
            await frames(first, 1)
            await frames(second, 1)
            async with session.post("/logout", headers=cookies[0]) as response:
                assert await response.json() == {"ended": True}
            hub.put(event(1))
            assert await first.content.read() == b"", "logged out"
            assert (await frames(second, 1))[0][0] == "id: 1"
            now[0] += LASTS_S * 10**9
            hub.put(event(2))
            assert await second.content.read() == b"", "its time is over"


async def test_a_stream_without_a_key_ends_when_keys_are_configured() -> None:
    hub = filled(0)
    bare = msgspec.structs.replace(CONFIG, keys=())
    async with over_http(hub, bare) as (session, server):
        async with session.get("/stream") as response:
            await frames(response, 1)
            hub.put(event(1))
            assert (await frames(response, 1))[0][0] == "id: 1"
            server.use(CONFIG)
            hub.put(event(2))
            assert await response.content.read() == b""


async def test_a_listed_origin_may_read_it() -> None:
    config = msgspec.structs.replace(CONFIG, cors_origins=("https://desk.example",))
    async with over_http(filled(0), config) as (session, _):
        given = headers("viewer") | {"Origin": "https://desk.example"}
        async with session.get("/stream", headers=given) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "https://desk.example"


async def test_who_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    hub = Hub(4, words=lambda _message: "x" * 60_000)

    async def impatient(request: web.BaseRequest) -> web.StreamResponse:
        return await stream_response(request, hub.open(None), write_s=0.2)

    server = HttpServer(dispatcher(FakeBus(), stream=hub.open), CONFIG, extra={"/impatient": impatient})
    await server.start()
    base = f"http://127.0.0.1:{server.port}"
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    deaf.connect(("127.0.0.1", server.port))
    deaf.sendall(b"GET /impatient HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        async with (
            pumped(hub),
            aiohttp.ClientSession(base) as session,
            session.get("/stream", headers=headers("viewer")) as response,
        ):
            await frames(response, 1)
            async with asyncio.timeout(DEADLINE_S):
                seq, heard, both = 0, 0, False
                while hub.clients == 2 or not both:
                    both = both or hub.clients == 2
                    seq += 1
                    hub.put(event(seq))
                    for told in await frames(response, 1):
                        heard += told[0] == f"id: {seq}"
            assert heard == seq, "who reads misses nothing"
            hub.close()
    finally:
        deaf.close()
        await server.stop()


async def test_without_a_stream_it_says_so() -> None:
    server = HttpServer(dispatcher(FakeBus(), stream=None), CONFIG)
    await server.start()
    try:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session,
            session.get("/stream", headers=headers("viewer")) as response,
        ):
            assert response.status == 503
    finally:
        await server.stop()


async def test_over_the_socket_it_is_lines(tmp_path: Path) -> None:
    hub = filled(3)
    path = str(tmp_path / "c.sock")
    server = UnixServer(with_stream(hub), path, FixedPeers(Role.VIEWER))
    await server.start()
    try:
        async with pumped(hub), asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"id":"a","verb":"stream","args":{"last_event_id":1}}\n')
            seen = [json.loads(await reader.readline()) for _ in range(2)]
            assert [(each["id"], each["event"], each["data"]["seq"]) for each in seen] == [
                ("a", "FeedChanged", 2),
                ("a", "FeedChanged", 3),
            ]
            writer.write(b'{"id":"b","verb":"stream","args":{"last_event_id":-1}}\n')
            assert json.loads(await reader.readline())["status"] == 422
            hub.close()
            end = json.loads(await reader.readline())
            assert (end["id"], end["ok"], end["result"]) == ("a", True, {"outcome": "ended"})
            writer.close()
    finally:
        await server.stop()

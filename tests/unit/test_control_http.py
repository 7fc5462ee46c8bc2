"""HTTP: every operation for every role, every error as problem+json, limits, hosts, and nothing done on an error."""

import asyncio
import contextlib
import functools
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from hedgegridd import messages as m
from hedgegridd.config import Control, Key
from hedgegridd.control import http
from hedgegridd.control.auth import Auth
from hedgegridd.control.bounded import BoundedServer
from hedgegridd.control.http import HttpServer
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.operation import Caller, Role
from hedgegridd.core.kill_switch import REARM_DEADLINE_S
from hedgegridd.errors import AskTimeout, JournalFailed
from hedgegridd.model import KillState, Leg
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import BTC, FLAT, FakeBus, dispatcher

KEYS = {"viewer": "hgd_v", "operator": "hgd_o", "admin": "hgd_a"}
CONFIG = Control(
    http_port=0,
    keys=tuple(Key(name=f"{role}1", role=role, sha256=fingerprint(key)) for role, key in KEYS.items()),  # type: ignore[arg-type]
    writes_per_min=1000,
    reads_per_min=1000,
)
NO_STREAMS = msgspec.structs.replace(CONFIG, stream_clients=0)
GOOD: dict[str, dict[str, Any]] = {
    "ack": {"alert_id": "A-1"},
    "backup": {"folder": "/srv/backup"},
    "flatten": {"side": "both"},
    "throttle": {"throttle": 0.5},
    "mode": {"leg": "long", "mode": "tp_only"},
    "rearm": {"reason": "checked"},
    "switch": {"name": "disable_entries", "enabled": False},
    "weights": {"weights": {"BTCUSDT": 2}},
    "test-order": {"leg": "long", "notional_usdt": 60},
    "event": {"source": "scanner", "action": "pause"},
}


@asynccontextmanager
async def served(
    bus: FakeBus, config: Control = CONFIG, **kw: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, HttpServer]]:
    now_s = kw.pop("now_s", lambda: 0.0)
    own = {name: kw.pop(name) for name in ("sessions", "events_secret") if name in kw}
    server = HttpServer(dispatcher(bus, **kw), config, now_s=now_s, **own)
    await server.start()
    base = f"http://127.0.0.1:{server.port}"
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(base, timeout=timeout) as session:
            yield session, server
    finally:
        await server.stop()


def headers(role: str | None) -> dict[str, str]:
    return {} if role is None else {"X-API-Key": KEYS[role]}


async def send(session: aiohttp.ClientSession, verb: str, role: str | None) -> tuple[int, dict[str, Any]]:
    kind = REGISTRY.verbs[verb]
    body = GOOD.get(verb, {}) if kind.method == "POST" else None
    path = kind.paths[0].replace("{name}", "disable_entries")
    async with session.request(kind.method, path, json=body, headers=headers(role)) as response:
        if response.content_type == "text/event-stream":
            return response.status, {"events": await response.text()}
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
async def test_every_operation_for_every_role(verb: str) -> None:
    kind = REGISTRY.verbs[verb]
    for name, role in [
        (None, Role.NONE),
        ("viewer", Role.VIEWER),
        ("operator", Role.OPERATOR),
        ("admin", Role.ADMIN),
    ]:
        bus = FakeBus()
        async with served(bus) as (session, _):
            status, body = await send(session, verb, name)
        want = 200 if role >= kind.role else 401 if name is None else 403
        assert (status, name) == (want, name), body
        if want != 200:
            assert bus.asked == []
            assert kind.role.label in body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status", "field"),
    [
        ("POST", "/throttle", b'{"throttle": 1.5}', "application/json", 422, "throttle"),
        ("POST", "/throttle", b'{"throttle": "NaN"}', "application/json", 422, "throttle"),
        ("POST", "/throttle", b'{"throttle": 0.1234567}', "application/json", 422, "throttle"),
        ("POST", "/throttle", b'{"throttle": true}', "application/json", 422, "throttle"),
        ("POST", "/throttle", b'{"throttle": 1, "x": 2}', "application/json", 422, "x"),
        ("POST", "/throttle", b"{}", "application/json", 422, "throttle"),
        ("POST", "/throttle", b"", "application/json", 422, "throttle"),
        (
            "POST",
            "/throttle",
            b'{"throttle": 1, "instrument": "ETHUSDT"}',
            "application/json",
            422,
            "instrument",
        ),
        ("POST", "/flatten", b'{"side": "up"}', "application/json", 422, "side"),
        ("POST", "/flatten", b'{"side": "both", "deadline_s": 1e9}', "application/json", 422, "deadline_s"),
        ("POST", "/kill", b'{"enabled": true}', "application/json", 422, "reason"),
        ("POST", "/rearm", b'{"reason": "  "}', "application/json", 422, "reason"),
        ("POST", "/throttle", b"[1]", "application/json", 400, None),
        ("POST", "/throttle", b"{", "application/json", 400, None),
        ("POST", "/throttle", b'{"throttle": "\xff"}', "application/json", 400, None),
        ("POST", "/throttle", b"[" * 20_000, "application/json", 400, None),
        ("POST", "/throttle", b'{"throttle": 1}', "text/plain", 415, None),
        ("POST", "/throttle", b" " * 70_000, "application/json", 413, None),
        ("GET", "/throttle", None, None, 405, None),
        ("POST", "/nowhere", b"{}", "application/json", 404, None),
        ("GET", "/orders?instrument=a&instrument=b", None, None, 400, None),
        ("GET", "/orders?nope=1", None, None, 422, "nope"),
        ("GET", "/orders?instrument=ETH", None, None, 422, "instrument"),
    ],
)
async def test_errors_name_the_field_and_do_nothing(  # noqa: PLR0917  # a table's columns
    method: str, path: str, body: bytes | None, kind: str | None, status: int, field: str | None
) -> None:
    bus = FakeBus()
    extra = headers("admin") | ({"Content-Type": kind} if kind else {})
    async with (
        served(bus) as (session, _),
        session.request(method, path, data=body, headers=extra) as response,
    ):
        problem = await response.json(content_type=None)
        assert (response.status, problem.get("field")) == (status, field), problem
        assert response.content_type == "application/problem+json"
        assert problem["status"] == status
    assert bus.commands == []


async def test_a_chunked_body_is_bounded_and_a_compressed_one_refused() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 8192
        await asyncio.Event().wait()  # a body without an end: the answer must not wait for it

    bus = FakeBus()
    extra = headers("admin") | {"Content-Type": "application/json"}
    async with served(bus) as (session, _):
        async with session.post("/throttle", data=chunks(), headers=extra) as response:
            assert response.status == 413
        packed = gzip.compress(b'{"throttle": 1}' + b" " * 1_000_000)
        async with session.post(
            "/throttle", data=packed, headers=extra | {"Content-Encoding": "gzip"}
        ) as response:
            assert response.status == 415
    assert bus.commands == []


async def test_refusals_timeouts_and_failures_of_the_desk() -> None:
    cases: list[tuple[m.Answer | Exception, int, str]] = [
        (m.Refused(to=0, reason="HALTED by T-17", accepted=("flatten", "rearm")), 409, "HALTED by T-17"),
        (AskTimeout("late"), 202, "the work goes on"),
        (RuntimeError("secret detail"), 500, "the log has it"),
    ]
    for answer, status, text in cases:
        bus = FakeBus()
        bus.table[m.ResumeEntries] = answer
        async with (
            served(bus) as (session, _),
            session.post("/resume", headers=headers("operator")) as response,
        ):
            body = await response.json(content_type=None)
        assert response.status == status
        assert text in body["detail"]
        assert "secret" not in str(body)
        assert "Traceback" not in str(body)
    bus.table[m.ResumeEntries] = cases[0][0]
    async with served(bus) as (session, _):
        assert (await send(session, "resume", "operator"))[1]["accepted"] == ["flatten", "rearm"]


async def test_flatten_says_verified_or_what_is_left() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        status, body = await send(session, "flatten", "operator")
        assert (status, body["verified"], len(body["proof"])) == (200, True, 2)
        late = {"verified": False, "residuals": {"SHORT": "0.008"}, "residual_orders": 1, "proof": ()}
        bus.table[m.Flatten] = m.FlattenAnswer(
            **({name: getattr(FLAT, name) for name in FLAT.__struct_fields__} | late)
        )
        status, body = await send(session, "flatten", "operator")
        assert (status, body["outcome"], body["residuals"]) == (202, "working", {"SHORT": "0.008"})
        bus.table[m.Flatten] = AskTimeout("hung")
        status, body = await send(session, "flatten", "operator")
        assert (status, body["verified"], body["residuals"]) == (202, False, None)
        async with session.post(
            "/flatten",
            json={"side": "short", "instrument": "btcusdt", "deadline_s": 3},
            headers=headers("operator"),
        ):
            pass
    last = bus.commands[-1]
    assert isinstance(last, m.Flatten)
    assert (last.legs, last.instrument, last.deadline_s) == ((Leg.SHORT,), "BTCUSDT-PERP.BINANCE", 3.0)


async def test_the_journal_is_waited_for_by_all_and_its_failure_told() -> None:
    waited: list[float] = []

    async def broken(timeout_s: float) -> None:
        waited.append(timeout_s)
        raise JournalFailed("disk full")

    async with served(FakeBus(), durable=broken) as (session, _):
        status, body = await send(session, "flatten", "operator")
        assert (status, body["journal_late"], waited) == (200, True, [0.1])
        status, body = await send(session, "resume", "operator")
        assert (status, body["title"]) == (503, "not durable")


async def test_flatten_tells_its_own_stages() -> None:
    lines: list[dict[str, object]] = [
        {"text": text}
        for text in (
            "C-8812 0.18 s cancelled 16/16",
            "C-88 0.2 s other",
            "LONG buy",
            "C-8812 0.4 s LONG sold",
        )
    ]
    async with served(FakeBus(), recent=lambda: lines) as (session, _):
        _, body = await send(session, "flatten", "operator")
    assert body["stages"] == ["0.18 s cancelled 16/16", "0.4 s LONG sold"]


async def test_throttle_tells_old_and_new() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        await send(session, "throttle", "operator")
        async with session.post(
            "/set-throttle", json={"throttle": "0"}, headers=headers("operator")
        ) as response:
            body = await response.json()
        assert (body["old"], body["new"], body["instruments"]) == (0.5, 0.0, {BTC: {"old": 0.5, "new": 0.0}})
        bus.table[m.SetThrottle] = m.Done(to=0, detail={"old": "mixed", "instruments": {BTC: "1"}})
        assert (await send(session, "throttle", "operator"))[1]["old"] is None


async def test_kill_is_done_when_it_is_verified() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        for verified, status, outcome in [(True, 200, "done"), (False, 202, "working")]:
            bus.table[m.Kill] = m.Done(to=0, detail={"verified": verified, "state": "TRIPPED"})
            got, body = await send(session, "kill", "operator")
            assert (got, body["outcome"], body["verified"]) == (status, outcome, verified)


@pytest.mark.parametrize(
    ("verb", "fields"), [("rearm", {"reason": "checked"}), ("kill", {"enabled": True, "reason": "checked"})]
)
async def test_a_rearm_is_waited_for_until_the_kill_switch_has_decided(
    verb: str, fields: dict[str, Any]
) -> None:
    """An answer before that would leave the state REARMING, in which nothing else is taken."""

    class Waiting(FakeBus):
        async def ask(self, message: m.Message, deadline_s: float, *, actor: str = "") -> m.Answer:
            if isinstance(message, m.Rearm):
                assert REARM_DEADLINE_S < deadline_s < REGISTRY.verbs[verb](**fields).limit_s()
            return await super().ask(message, deadline_s, actor=actor)

    caller = Caller(actor="me", role=Role.OPERATOR, client="me")
    outcome = await dispatcher(Waiting()).run_mapping(REGISTRY.verbs[verb], fields, caller)
    assert outcome.status == 200


async def test_kill_understands_enabled() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        for body, asked in [
            ({"enabled": False}, m.Kill),
            ({"action": "halt"}, m.Kill),
            ({"enabled": True, "reason": "checked"}, m.Rearm),
        ]:
            async with session.post("/kill", json=body, headers=headers("operator")) as response:
                assert response.status == 200
            assert isinstance(bus.commands[-1], asked)


async def test_safety_commands_are_never_limited_and_others_are() -> None:
    config = Control(http_port=0, keys=CONFIG.keys, writes_per_min=3, reads_per_min=3)
    now = [0.0]
    async with served(FakeBus(), config, now_s=lambda: now[0]) as (session, _):
        statuses = [(await send(session, "throttle", "operator"))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        for verb in ("flatten", "kill", "pause"):
            assert [(await send(session, verb, "operator"))[0] for _ in range(40)] == [200] * 40
        assert (await send(session, "throttle", "admin"))[0] == 200  # another client has its own bucket
        assert [(await send(session, "status", "viewer"))[0] for _ in range(4)] == [200, 200, 200, 429]
        now[0] = 21.0
        assert (await send(session, "throttle", "operator"))[0] == 200


async def test_a_rearm_by_kill_counts_as_a_write() -> None:
    config = msgspec.structs.replace(CONFIG, writes_per_min=2)
    bus = FakeBus()
    async with served(bus, config) as (session, _):

        async def kill(body: dict[str, Any], head: dict[str, str] | None = None) -> int:
            given = headers("operator") | (head or {})
            async with session.post("/kill", json=body, headers=given) as response:
                return response.status

        rearm = {"enabled": True, "reason": "checked"}
        assert [await kill(rearm, {"Idempotency-Key": "k"}) for _ in range(3)] == [200, 200, 200]
        assert [await kill(rearm) for _ in range(3)] == [200, 429, 429]
        assert [await kill({"enabled": False}) for _ in range(5)] == [200] * 5
    assert [type(each) for each in bus.commands].count(m.Rearm) == 2, "what is refused does nothing"


async def test_wrong_keys_are_limited_and_right_ones_are_not() -> None:
    async with served(FakeBus()) as (session, server):
        statuses = []
        for _ in range(12):
            async with session.get("/status", headers={"X-API-Key": "wrong"}) as response:
                statuses.append(response.status)
        assert statuses == [401] * 10 + [429] * 2
        assert server.auth.failures == 12
        assert (await send(session, "status", "viewer"))[0] == 200


@pytest.mark.parametrize("name", ["X-API-Key", "X-Ops-Token", "Authorization"])
async def test_the_key_may_stand_in_three_headers(name: str) -> None:
    bus = FakeBus()
    value = KEYS["operator"] if name != "Authorization" else f"Bearer {KEYS['operator']}"
    async with (
        served(bus) as (session, _),
        session.post("/resume", headers={name: value, "X-Ops-Actor": "ann"}) as response,
    ):
        assert response.status == 200
    assert bus.actors[-1] == "http:operator1/ann@127.0.0.1"


async def test_without_keys_loopback_reads_and_nobody_writes() -> None:
    bus = FakeBus()
    async with served(bus, Control(http_port=0)) as (session, _):
        assert (await send(session, "status", None))[0] == 200
        for verb, kind in REGISTRY.verbs.items():
            if kind.method == "POST":
                assert (await send(session, verb, None))[0] == 403
    assert bus.commands == []
    auth = Auth(Control(), lambda: 0.0)
    with pytest.raises(Exception, match="loopback"):
        auth.caller(REGISTRY.verbs["status"], {}, "10.0.0.9")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (Control(http_host="0.0.0.0"), "not loopback"),
        (Control(http_host="0.0.0.0", keys=CONFIG.keys), "behind_proxy"),
        (Control(behind_proxy=True), "behind_proxy"),
        (Control(keys=(*CONFIG.keys, *CONFIG.keys)), "each name"),
        (Control(keys=(Key(name="a", role="viewer", sha256="zz"),)), "64 hex"),
    ],
)
def test_an_unsafe_address_is_refused(config: Control, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Auth(config, lambda: 0.0)


async def test_host_and_origin_are_checked() -> None:
    bus = FakeBus()
    async with served(bus) as (session, server):
        for extra, status in [
            ({"Host": "evil.example"}, 403),
            ({"Host": f"localhost:{server.port}"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": f"http://127.0.0.1:{server.port}"}, 200),
        ]:
            async with session.post("/resume", headers=headers("operator") | extra) as response:
                assert (response.status, extra) == (status, extra)
    assert len(bus.commands) == 2


async def test_health_and_ready_tell_by_their_status() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        status, body = await send(session, "health", None)
        assert (status, body["health_state"], body["running"], body["last_bar_timestamp"]) == (
            200,
            0,
            True,
            1699999970.0,
        )
        bus.table[m.GetKillSwitch] = m.KillSwitchAnswer(to=0, state=KillState.HALTED, cause="operator")
        assert (await send(session, "health", None))[0] == 503
        assert (await send(session, "ready", None))[0] == 503
        bus.table[m.GetKillSwitch] = AskTimeout("hung")
        status, body = await send(session, "health", None)
        assert (status, body["health_state"]) == (503, 2)
        assert "GetKillSwitch" in body["reasons"][0]
        status, body = await send(session, "status", "viewer")
        assert (status, body["kill_switch"], body["trading_enabled"], body["state"]) == (
            200,
            None,
            None,
            "UNKNOWN",
        )


async def test_the_index_lists_every_operation() -> None:
    async with served(FakeBus()) as (session, _), session.get("/") as response:
        text = await response.text()
    assert all(path in text for kind in REGISTRY.verbs.values() for path in kind.paths)


async def test_what_is_no_http_is_answered_in_our_words() -> None:
    async with served(FakeBus()) as (session, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"garbage\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.0 400")
        assert b"application/problem+json" in answer
        assert b"Server: hedgegridd" in answer
        assert (await send(session, "ready", None))[0] == 200


async def open_to(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read() == b""
    return True


async def test_idle_connections_make_room_for_one_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = functools.partial(BoundedServer, connections_max=4)  # three from one address
    monkeypatch.setattr(http, "BoundedServer", bound)
    async with served(FakeBus(), NO_STREAMS) as (_, server):
        held = [await open_to(server) for _ in range(3)]
        held[0][1].write(b"GET /health HT")  # half a request
        reader, writer = await open_to(server)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await is_closed(held[0][0]), "who idled longest has made room"
        held[1][1].write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await held[1][0].readline()).startswith(b"HTTP/1.1 200"), "the others are still there"
        for _, each in [*held, (reader, writer)]:
            each.close()


async def test_a_connection_in_use_is_not_closed_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BoundedServer", functools.partial(BoundedServer, connections_max=2))
    async with served(FakeBus(), NO_STREAMS) as (_, server):
        busy, writer = await open_to(server)
        asked = asyncio.Event()
        release = asyncio.Event()

        async def slow(request: web.BaseRequest) -> web.StreamResponse:
            asked.set()
            await release.wait()
            return web.Response(text="late")

        server._extra["/slow"] = slow
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            await asked.wait()
        other, other_writer = await open_to(server)
        assert await is_closed(other)
        release.set()
        async with asyncio.timeout(5):
            assert (await busy.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        other_writer.close()


async def test_who_sends_no_whole_header_is_closed_and_who_did_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "BoundedServer", functools.partial(BoundedServer, header_s=0.05))
    async with served(FakeBus()) as (_, server):
        kept, kept_writer = await open_to(server)
        kept_writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            await kept.readuntil(b"}")
        reader, writer = await open_to(server)
        writer.write(b"GET /health HTTP/1.1\r\nHost: loc")
        assert await is_closed(reader)
        kept_writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await kept.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        kept_writer.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/throttle", '{"throttle": 0, "throttle": 1}', 400, "throttle"),
        ("/pause", '{"reason": "a", "reason": "b"}', 400, "reason"),
        ("/pause", '{"reason": "\\u0007"}', 422, "reason"),
        ("/pause", '{"reason": "line\\nline"}', 422, "reason"),
    ],
)
async def test_a_field_twice_and_control_characters_are_refused(
    path: str, body: str, status: int, field: str
) -> None:
    bus = FakeBus()
    async with served(bus) as (client, _):
        headers = {"X-API-Key": KEYS["operator"], "Content-Type": "application/json"}
        async with client.post(path, data=body, headers=headers) as response:
            assert (response.status, (await response.json())["field"]) == (status, field)
    assert bus.commands == []


async def test_text_flags_of_the_desk_are_booleans_and_reasons_may_be_in_any_script() -> None:
    bus = FakeBus()
    bus.table[m.PauseEntries] = m.Done(to=0, detail={"paused": "true", "entries_resting": 0})
    bus.table[m.StopTrading] = m.Done(to=0, detail={"trading": "false", "entries_resting": 0})
    async with served(bus) as (client, _):
        headers = {"X-API-Key": KEYS["operator"]}
        async with client.post(
            "/pause", json={"reason": "Nachricht für heute: 値"}, headers=headers
        ) as response:
            assert (await response.json())["paused"] is True
        async with client.post("/stop", json={}, headers=headers) as response:
            assert (await response.json())["trading"] is False

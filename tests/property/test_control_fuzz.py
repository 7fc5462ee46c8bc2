"""Ten thousand random requests to socket and HTTP: clear errors, no crash, and no command unless valid and allowed."""

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.config import Control
from hedgegridd.control.dispatch import decode_json
from hedgegridd.control.http import HttpServer
from hedgegridd.control.operation import Operation, Problem, Role
from hedgegridd.control.unix import UnixServer
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, KEYS
from tests.unit.test_control_unix import FixedPeers

SEED = int(os.environ.get("FUZZ_SEED", "20220121"))
LINES, REQUESTS, RAW = 6000, 3500, 500

COMMANDS: dict[str, tuple[type[m.Command], ...]] = {
    "flatten": (m.Flatten,),
    "throttle": (m.SetThrottle,),
    "pause": (m.PauseEntries,),
    "resume": (m.ResumeEntries,),
    "start": (m.StartTrading,),
    "stop": (m.StopTrading,),
    "mode": (m.SetMode,),
    "kill": (m.Kill, m.Rearm),
    "rearm": (m.Rearm,),
    "reconcile": (m.Reconcile,),
    "limits": (m.SetLimits,),
    "ack": (m.AckAlert,),
    "test_alert": (m.SendTestAlert,),
    "test-order": (m.TryOrder,),
}
NAMES = (
    "side",
    "throttle",
    "instrument",
    "reason",
    "deadline_s",
    "leg",
    "mode",
    "action",
    "enabled",
    "limit",
    "before",
    "history",
    "folder",
    "x",
    "",
)
VALUES: tuple[Any, ...] = (
    *(
        "long",
        "both",
        "BOTH",
        "flatten",
        "halt",
        "normal",
        "panic",
        "BTCUSDT",
        "btcusdt-perp",
        "ETH",
        "",
        " ",
        "0.5",
    ),
    *(
        0,
        1,
        -1,
        0.5,
        1.0000001,
        1e308,
        10**400,
        None,
        True,
        False,
        [],
        {},
        "NaN",
        "Infinity",
        "1e-9",
        "x" * 600,
    ),
    *("\u0000", "é" * 50, {"a": [1]}, 9.99, 300, 301),
)
VERBS = (*REGISTRY.verbs, "panic", "", "FLATTEN", "__class__")


def arguments(rng: random.Random) -> dict[str, Any]:
    return {rng.choice(NAMES): rng.choice(VALUES) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5)))}


def spoiled(rng: random.Random, raw: bytes) -> bytes:
    """Mostly as it is; else cut, doubled, or with a byte changed."""
    how = rng.random()
    if how < 0.7 or not raw:
        return raw
    at = rng.randrange(len(raw))
    if how < 0.8:
        return raw[:at]
    if how < 0.9:
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
    return raw * 2 if how < 0.95 else rng.randbytes(rng.randrange(1, 200))


def check(bus: FakeBus, before: int, *, status: int, role: Role, verb: str | None, body: Any) -> None:
    """What was sent to the bus by one request must be what it asked for, by one who may."""
    sent = [item for item in bus.asked[before:] if isinstance(item, m.Command)]
    assert status < 500, body
    if status >= 400:
        assert sent == [], (body, sent)
        assert body["title"]
        assert body["status"] == status
        assert "Traceback" not in str(body)
        return
    assert len(sent) <= 1
    for command in sent:
        assert role >= Role.OPERATOR
        assert verb is None or isinstance(command, COMMANDS[verb])
        if isinstance(command, m.SetThrottle):
            assert 0 <= command.throttle <= 1
        if isinstance(command, m.Flatten):
            assert command.legs
            assert 0.1 <= command.deadline_s <= 300


async def test_random_lines_on_the_socket(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    bus = FakeBus()
    path = str(tmp_path / "c.sock")
    peers = FixedPeers(Role.ADMIN)
    server = UnixServer(dispatcher(bus), path, peers)
    await server.start()
    try:
        for part in range(20):
            peers.role = list(Role)[part % len(Role)]
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 22)
            for _ in range(LINES // 20):
                request = {"verb": rng.choice(VERBS), "args": arguments(rng)}
                if rng.random() < 0.05:
                    request[rng.choice(("id", "args", "zz"))] = rng.choice(VALUES)
                line = spoiled(rng, json.dumps(request).encode()).replace(b"\n", b" ").strip() or b"x"
                before = len(bus.asked)
                writer.write(line + b"\n")
                async with asyncio.timeout(10):
                    reply = json.loads(await reader.readline())
                body = reply["result"] if reply["ok"] else reply["problem"]
                check(bus, before, status=reply["status"], role=peers.role, verb=_verb_of(line), body=body)
            writer.close()
            await writer.wait_closed()
    finally:
        await server.stop()
    assert bus.commands, "some of them were valid: the check has seen commands"


def _verb_of(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line).get("verb")
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return None


async def test_random_requests_over_http() -> None:
    rng = random.Random(SEED + 1)
    bus = FakeBus()
    config = Control(http_port=0, keys=CONFIG.keys, writes_per_min=100_000, reads_per_min=1_000_000)
    server = HttpServer(dispatcher(bus), config, now_s=lambda: 0.0)
    await server.start()
    keys = [("", Role.NONE), *((KEYS[role.label], role) for role in Role if role is not Role.NONE)]
    paths = [path for kind in REGISTRY.verbs.values() for path in kind.paths] + [
        "/",
        "/x",
        "/flatten/",
        "//",
        "/%ff",
    ]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            for _ in range(REQUESTS):
                key, role = rng.choice(keys)
                headers = {"X-API-Key": key} if key else {}
                if rng.random() < 0.9:
                    headers["Content-Type"] = "application/json"
                method = rng.choice(("GET", "POST", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
                raw = spoiled(rng, json.dumps(arguments(rng)).encode())
                before = len(bus.asked)
                async with session.request(
                    method, rng.choice(paths), data=None if method == "GET" else raw, headers=headers
                ) as response:
                    text = await response.read()
                    kind = response.content_type
                body = json.loads(text) if kind.endswith("json") else {}
                check(bus, before, status=response.status, role=role, verb=None, body=body)
        assert bus.commands
        count = len(bus.commands)
        for _ in range(RAW):
            await _raw(server.port, rng)
        assert len(bus.commands) == count
    finally:
        await server.stop()


async def _raw(port: int, rng: random.Random) -> None:
    """Bytes that are hardly HTTP: an error or a closed connection, and the server lives."""
    good = b'POST /flatten HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{"side":"both"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(rng.randbytes(rng.randrange(1, 400)) if rng.random() < 0.5 else spoiled(rng, good))
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read(65536)
        assert b"Traceback" not in answer
    except ConnectionError:
        pass
    finally:
        writer.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


def decoded(kind: Any, raw: bytes) -> Operation | Problem:
    try:
        return decode_json(kind, raw)
    except Problem as problem:
        return problem


@given(kind=st.sampled_from(list(REGISTRY.verbs.values())), value=json_values)
@settings(max_examples=300, deadline=None)
def test_decoding_gives_an_operation_or_a_problem(kind: Any, value: Any) -> None:
    made = decoded(kind, json.dumps(value).encode())
    if isinstance(made, Problem):
        assert made.status in (400, 422)
        assert made.detail
    else:
        assert isinstance(made, kind)
        assert decode_json(kind, msgspec.json.encode(made)) == made


@given(kind=st.sampled_from(list(REGISTRY.verbs.values())), raw=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_decoding_bytes_gives_an_operation_or_a_problem(kind: Any, raw: bytes) -> None:
    made = decoded(kind, raw)
    assert isinstance(made, kind) or (isinstance(made, Problem) and made.status in (400, 422))

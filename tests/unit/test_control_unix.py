"""The control socket: one answer a line whatever comes in, roles by credentials, bounds, and whose file it is."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hedgegridd import messages as m
from hedgegridd.control import unix
from hedgegridd.control.operation import Caller, Role
from hedgegridd.control.peers import Peers
from hedgegridd.control.unix import SocketTaken, UnixServer
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import FakeBus, dispatcher, line_call
from tests.unit.test_control_http import GOOD


class FixedPeers(Peers):
    """Peers of one role, as this machine's test user is always an admin."""

    def __init__(self, role: Role) -> None:
        super().__init__(None)
        self.role = role

    def caller(self, pid: int, uid: int, gid: int) -> Caller:
        return Caller(actor=f"unix:test:{pid}", role=self.role, client=f"unix:{uid}")


@asynccontextmanager
async def served(tmp_path: Path, bus: FakeBus, role: Role = Role.ADMIN) -> AsyncIterator[str]:
    path = str(tmp_path / "c.sock")
    server = UnixServer(dispatcher(bus), path, FixedPeers(role))
    await server.start()
    try:
        yield path
    finally:
        await server.stop()


def mode(path: str) -> int | None:
    return stat.S_IMODE(Path(path).stat().st_mode) if Path(path).exists() else None


async def ask(path: str, request: Any) -> dict[str, Any]:
    return json.loads(await line_call(path, json.dumps(request).encode() + b"\n"))


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
@pytest.mark.parametrize("role", list(Role))
async def test_every_operation_for_every_role(tmp_path: Path, verb: str, role: Role) -> None:
    bus = FakeBus()
    async with served(tmp_path, bus, role) as path:
        reply = await ask(path, {"id": "a1", "verb": verb, "args": GOOD.get(verb, {})})
    allowed = role >= REGISTRY.verbs[verb].role
    assert (reply["id"], reply["ok"], reply["status"]) == ("a1", allowed, 200 if allowed else 403)
    if not allowed:
        assert bus.asked == []


@pytest.mark.parametrize(
    ("line", "status", "field"),
    [
        (b"garbage", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, None),
        (b'{"verb": 3}', 400, None),
        (b'{"verb": "status", "extra": 1}', 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 30_000, 400, None),
        (b'{"verb": "status", "args": []}', 400, None),
        (b'{"verb": "status", "args": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}", 422, "a"),
        (b'{"verb": "panic"}', 404, "verb"),
        (b'{"verb": "status", "verb": "pause"}', 400, "verb"),
        (b'{"verb": "throttle", "args": {"throttle": 1, "throttle": 0}}', 400, "throttle"),
        (b'{"verb": "pause", "args": {"reason": "\\u001b[2J"}}', 422, "reason"),
        (b'{"verb": "kill", "args": {"reason": "a\\u202eb"}}', 422, "reason"),
        (b'{"verb": "pause", "args": {"instrument": "BTC\\nUSDT"}}', 422, "instrument"),
        (b'{"verb": "throttle", "args": {"throttle": 7}}', 422, "throttle"),
        (b'{"verb": "flatten", "args": {"side": "both", "instrument": "X"}}', 422, "instrument"),
    ],
)
async def test_bad_lines_get_a_clear_error_and_the_connection_lives(
    tmp_path: Path, line: bytes, status: int, field: str | None
) -> None:
    bus = FakeBus()
    async with served(tmp_path, bus) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line + b"\n")
        reply = json.loads(await reader.readline())
        assert (reply["ok"], reply["status"], reply["problem"].get("field")) == (False, status, field), reply
        writer.write(b'{"verb": "ready", "id": 7}\n')
        assert json.loads(await reader.readline())["id"] == 7
        writer.close()
    assert bus.commands == []


async def test_a_line_too_long_is_refused_and_closed(tmp_path: Path) -> None:
    async with served(tmp_path, FakeBus()) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * (unix.LINE_MAX + 10))
        assert json.loads(await reader.readline())["status"] == 413
        assert await reader.read() == b""
        writer.close()
        assert (await ask(path, {"verb": "ready"}))["ok"]


async def test_a_half_line_is_named(tmp_path: Path) -> None:
    async with served(tmp_path, FakeBus()) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "flatten"')
        writer.write_eof()
        assert "newline" in json.loads(await reader.readline())["problem"]["detail"]
        writer.close()


async def test_a_status_does_not_wait_behind_a_flatten(tmp_path: Path) -> None:
    bus = FakeBus()
    bus.gate = asyncio.Event()
    async with served(tmp_path, bus) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"id": 1, "verb": "flatten", "args": {"side": "both"}}\n{"id": 2, "verb": "status"}\n')
        assert json.loads(await reader.readline())["id"] == 2
        bus.gate.set()
        reply = json.loads(await reader.readline())
        assert (reply["id"], reply["result"]["verified"]) == (1, True)
        writer.close()


async def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix, "CONNECTIONS_MAX_PER_UID", 3)
    async with served(tmp_path, FakeBus()) as path:
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        for reader, writer in held:
            writer.write(b'{"verb": "ready"}\n')
            await reader.readline()
        reader, writer = await asyncio.open_unix_connection(path)
        assert json.loads(await reader.readline())["status"] == 503
        assert await reader.read() == b""
        for _, each in [*held, (reader, writer)]:
            each.close()
            await each.wait_closed()


async def test_a_client_that_leaves_harms_nobody(tmp_path: Path) -> None:
    bus = FakeBus()
    bus.gate = asyncio.Event()
    async with served(tmp_path, bus) as path:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "flatten", "args": {"side": "both"}}\n')
        await writer.drain()
        async with asyncio.timeout(5):
            await bus.commanded.wait()
        writer.transport.abort()
        bus.gate.set()
        assert (await ask(path, {"verb": "status"}))["ok"]


async def test_the_file_is_0660_and_gone_at_the_end(tmp_path: Path) -> None:
    async with served(tmp_path, FakeBus()) as path:
        assert mode(path) == 0o660
    assert mode(path) is None


async def test_a_stale_file_is_replaced_and_a_live_one_refused(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "c.sock"))
    stale.close()
    async with served(tmp_path, FakeBus()) as path:
        second = UnixServer(dispatcher(FakeBus()), path, Peers(None))
        with pytest.raises(SocketTaken, match=f"process {os.getpid()}"):
            await second.start()
        await second.stop()
        assert (await ask(path, {"verb": "ready"}))["ok"]  # the first one was left alone
    (tmp_path / "c.sock").write_text("no socket")
    with pytest.raises(SocketTaken, match="no socket"):
        await UnixServer(dispatcher(FakeBus()), path, Peers(None)).start()
    with pytest.raises(OSError, match="longer than"):
        await UnixServer(dispatcher(FakeBus()), "/tmp/" + "x" * 120, Peers(None)).start()


async def test_the_socket_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sock")
    first, second = (UnixServer(dispatcher(FakeBus()), path, Peers(None)) for _ in range(2))
    await first.start()
    unix._remove(path)
    await second.start()
    await first.stop()
    try:
        assert (await ask(path, {"verb": "ready"}))["ok"]
    finally:
        await second.stop()


def test_roles_come_from_credentials() -> None:
    peers = Peers("root", own_uid=1000, groups=lambda uid, _: {0} if uid == 5 else {9})
    assert peers.group_id == 0
    assert [peers.caller(1, uid, 9).role for uid in (0, 1000, 5, 6)] == [
        Role.ADMIN,
        Role.ADMIN,
        Role.OPERATOR,
        Role.VIEWER,
    ]
    assert Peers(None, own_uid=1000, groups=lambda *_: {0}).caller(1, 5, 0).role is Role.VIEWER
    with pytest.raises(ValueError, match="socket_group"):
        Peers("no-such-group-here")


async def test_the_actor_is_told_to_the_bus(tmp_path: Path) -> None:
    bus = FakeBus()
    path = str(tmp_path / "c.sock")
    server = UnixServer(dispatcher(bus), path, Peers(None))
    await server.start()
    try:
        await ask(path, {"verb": "resume"})
    finally:
        await server.stop()
    assert isinstance(bus.commands[-1], m.ResumeEntries)
    assert bus.actors[-1].startswith("unix:")
    assert bus.actors[-1].endswith(f"({os.getuid()}):{os.getpid()}")

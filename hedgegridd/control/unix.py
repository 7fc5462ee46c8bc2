"""The control socket: one JSON object a line in, one out; the peer's credentials say who asks.

Request: `{"id": 1, "verb": "flatten", "args": {"side": "both"}}`.
Answer: `{"id": 1, "ok": true, "status": 200, "result": {...}}` or `{"id": 1, "ok": false, "status": 409, "problem": {...}}`.
A stream answers with many lines, `{"id": 1, "event": "Fill", "data": {...}}`, and with an answer when it ends.
With `"idempotency_key"` in the request the same line again within 24 h gives the first answer.
Requests of one connection run side by side, so that a status does not wait behind a flatten.
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections import Counter
from pathlib import Path

import msgspec
import structlog

from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.operation import Caller, Feed, Problem
from hedgegridd.control.peers import Peers, credentials
from hedgegridd.control.strict_json import refuse_twice

LINE_MAX = 64 * 1024
CONNECTIONS_MAX = 64
CONNECTIONS_MAX_PER_UID = 48
IN_FLIGHT_MAX = 16  # per connection; then its next line is not read until one is answered
WRITE_S = 5.0
PATH_MAX = 107  # of sun_path

_log = structlog.get_logger("control.unix")
_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line."""

    verb: str
    id: int | str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")
    idempotency_key: str = ""


_decode = msgspec.json.Decoder(Request).decode


class SocketTaken(OSError):  # noqa: N818  # reads as the state it is
    """Another process answers on the socket, or something that is no socket stands at its path."""


class UnixServer:
    """Serves the operations on a unix socket."""

    def __init__(self, dispatcher: Dispatcher, path: str, peers: Peers) -> None:
        self._dispatcher = dispatcher
        self._path = path
        self._peers = peers
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._per_uid: Counter[int] = Counter()

    async def start(self) -> None:
        """Bind, 0660, and serve; a stale socket file is replaced.

        Raises:
            SocketTaken: another process holds it, or the path is no socket.
            OSError: the path cannot be bound.
        """
        claim(self._path)
        listener = listen(self._path, self._peers.group_id)
        self._inode = _inode(self._path)
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener, limit=LINE_MAX)
        _log.info("control_socket", path=self._path)

    async def stop(self) -> None:
        """Close the socket and all connections; at most `WRITE_S` seconds."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in self._writers:
            task.cancel()
        if self._writers:
            await asyncio.wait(self._writers, timeout=WRITE_S)
        if _inode(self._path) == self._inode:  # not the socket of a successor
            _remove(self._path)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # it always runs as a task of the server
            return
        self._writers[task] = writer
        uid = -1
        try:
            pid, uid, gid = credentials(writer.get_extra_info("socket"))
            self._per_uid[uid] += 1
            if len(self._writers) > CONNECTIONS_MAX or self._per_uid[uid] > CONNECTIONS_MAX_PER_UID:
                await _send(writer, _refusal(None, Problem(503, "busy", "too many connections; close one")))
                return
            await self._serve(reader, writer, self._peers.caller(pid, uid, gid))
        except (OSError, asyncio.CancelledError):
            pass  # the peer has gone, reads too slowly, or we stop: in each case there is nobody to tell
        finally:
            self._per_uid[uid] -= 1
            if self._per_uid[uid] <= 0:
                del self._per_uid[uid]
            del self._writers[task]
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    line = await reader.readuntil(b"\n")
                except asyncio.IncompleteReadError as end:
                    if end.partial.strip():
                        problem = Problem(400, "malformed", "the line does not end with a newline")
                        await _send(writer, _refusal(None, problem))
                    return
                except asyncio.LimitOverrunError:
                    problem = Problem(413, "too large", f"a line has at most {LINE_MAX} bytes")
                    await _send(writer, _refusal(None, problem))
                    return
                if not line.strip():
                    continue
                await slots.acquire()
                task = tasks.create_task(self._answer(line, writer, caller))
                task.add_done_callback(lambda _: slots.release())

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter, caller: Caller) -> None:
        reply = await self.reply(line, caller)
        try:
            if isinstance(reply, bytes):
                await _send(writer, reply)
            else:
                await _stream(writer, *reply)
        except OSError:  # gone, or it does not read: its other answers are lost with it
            writer.transport.abort()

    async def reply(self, line: bytes, caller: Caller) -> bytes | tuple[int | str | None, Feed]:
        """The answer to one line, whatever it holds; of a stream its id and what comes of it."""
        try:
            request = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f'a line is {{"id": …, "verb": …, "args": {{…}}}}: {error}'
            return _refusal(None, Problem(400, "malformed", detail))
        kind = self._dispatcher.registry.verbs.get(request.verb)
        try:
            refuse_twice(line)
            if kind is None:
                return _refusal(request.id, self._unknown(request.verb))
            args, key = bytes(request.args), request.idempotency_key
            outcome = await self._dispatcher.run_json(kind, args, caller, key=key)
        except Problem as problem:
            return _refusal(request.id, problem)
        if outcome.feed is not None:
            return request.id, outcome.feed
        return _line({"id": request.id, "ok": True, "status": outcome.status, "result": outcome.body})

    def _unknown(self, verb: str) -> Problem:
        verbs = sorted(self._dispatcher.registry.verbs)
        return Problem(404, "unknown verb", f"no verb {verb[:50]!r}", field="verb", accepted=verbs)


def _line(reply: dict[str, object]) -> bytes:
    return _encode(reply) + b"\n"


def _refusal(request_id: int | str | None, problem: Problem) -> bytes:
    return _line({"id": request_id, "ok": False, "status": problem.status, "problem": problem.body()})


async def _stream(writer: asyncio.StreamWriter, request_id: int | str | None, feed: Feed) -> None:
    """Lines as they come, then an answer that says that it is over; ends with the peer."""
    head = b'{"id":' + _encode(request_id) + b","
    with contextlib.closing(feed):
        while entries := await feed.next():
            if writer.is_closing():
                return
            await _send(writer, b"".join([head + entry.tail() for entry in entries]))
    await _send(writer, _line({"id": request_id, "ok": True, "status": 200, "result": {"outcome": "ended"}}))


async def _send(writer: asyncio.StreamWriter, reply: bytes) -> None:
    if writer.is_closing():
        return
    writer.write(reply)
    if writer.transport.get_write_buffer_size() == 0:
        return  # the kernel has it: nothing to wait for
    async with asyncio.timeout(WRITE_S):
        await writer.drain()


def _inode(path: str) -> int:
    """The inode at `path`, 0 when nothing is there."""
    try:
        return Path(path).lstat().st_ino
    except FileNotFoundError:
        return 0


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def claim(path: str) -> None:
    """Make sure that nobody answers on `path`, and take a stale file away.

    Raises:
        SocketTaken: another process holds it (named by its pid), or it is no socket.
        OSError: the path is too long, or its folder is not there.
    """
    if len(os.fsencode(path)) > PATH_MAX - len(".new"):
        raise OSError(f"[control] socket: {path!r} is longer than {PATH_MAX - len('.new')} bytes")
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketTaken(f"[control] socket: {path} exists and is no socket; move it away")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        pid, uid, _ = credentials(probe)
    raise SocketTaken(f"[control] socket: {path} is held by process {pid} of uid {uid}, which answers on it")


def listen(path: str, group_id: int | None) -> socket.socket:
    """A listening socket at `path` that never had wider rights than 0660, owned by `group_id` when given.

    Raises:
        OSError: it cannot be bound, or the group cannot be given; the text names the key and the path.
    """
    fresh = f"{path}.new"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(fresh).unlink(missing_ok=True)
        listener.bind(fresh)
        Path(fresh).chmod(0o660)  # before listen(): until then nobody can connect
        if group_id is not None:
            os.chown(fresh, -1, group_id)
        listener.listen(128)
        listener.setblocking(False)
        Path(fresh).rename(path)
    except OSError as error:  # the kernel's own words of a failed bind() name no path
        listener.close()
        with contextlib.suppress(OSError):
            Path(fresh).unlink(missing_ok=True)
        raise OSError(f"[control] socket: {path}: {error.strerror or error}") from error
    return listener

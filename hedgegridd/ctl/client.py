"""Line JSON over the control socket, blocking: one request, one answer, a deadline on each."""

import socket
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

ANSWER_MAX = 16 * 1024 * 1024
CONNECT_S = 2.0
_UCRED = struct.Struct("3i")  # pid, uid, gid


class NoDaemon(Exception):  # noqa: N818  # reads as the state it is
    """Nobody answers on the socket; nothing was sent."""


def absence(path: str, error: NoDaemon) -> str:
    """That nobody answers, in one sentence."""
    return f"hedgegridd is not running (no answer on {path}: {error}); positions unknown."


class NoAnswer(Exception):  # noqa: N818  # reads as the state it is
    """The request was sent, and the connection ended or the deadline passed before its answer."""

    def __init__(self, text: str, *, timed_out: bool) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class Reply(msgspec.Struct, frozen=True):
    """The daemon's answer: `result` when `ok`, else `problem`; `status` as HTTP has it."""

    ok: bool
    status: int
    result: dict[str, Any] = {}
    problem: dict[str, Any] = {}
    id: int | str | None = None


class Client:
    """One connection, opened at its first call and again after a failure."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._rest = b""
        self._next_id = 0

    def call(self, verb: str, args: dict[str, Any], timeout_s: float) -> Reply:
        """Ask for one operation.

        Raises:
            NoDaemon: nobody answers on the socket.
            NoAnswer: it was sent, but no answer came.
        """
        self._next_id += 1
        line = msgspec.json.encode({"id": self._next_id, "verb": verb, "args": args}) + b"\n"
        connection = self._connect()
        connection.settimeout(timeout_s)
        try:
            connection.sendall(line)
            reply = msgspec.json.decode(self._read_line(connection), type=Reply)
        except TimeoutError as error:
            self.close()
            raise NoAnswer(f"no answer within {timeout_s:g} s", timed_out=True) from error
        except (OSError, msgspec.DecodeError) as error:
            self.close()
            raise NoAnswer(f"the connection ended before the answer: {error}", timed_out=False) from error
        if reply.id not in (self._next_id, None):
            self.close()
            raise NoAnswer("the answer belongs to another request", timed_out=False)
        return reply

    def follow(self, verb: str, args: dict[str, Any], silence_s: float) -> Iterator[dict[str, Any] | Reply]:
        """Ask for a stream: each event as it comes, then the daemon's answer, which is the last.

        Raises:
            NoDaemon: nobody answers on the socket.
            NoAnswer: the connection ended, or nothing came for `silence_s` seconds.
        """
        self._next_id += 1
        connection = self._connect()
        connection.settimeout(silence_s)
        try:
            connection.sendall(msgspec.json.encode({"id": self._next_id, "verb": verb, "args": args}) + b"\n")
            while True:
                line = self._read_line(connection)
                event = msgspec.json.decode(line, type=dict[str, Any])
                if "event" not in event:
                    yield msgspec.convert(event, Reply)
                    return
                yield event
        except TimeoutError as error:
            self.close()
            raise NoAnswer(f"nothing came for {silence_s:g} s", timed_out=True) from error
        except (OSError, msgspec.DecodeError) as error:
            self.close()
            raise NoAnswer(f"the connection ended: {error}", timed_out=False) from error

    @property
    def peer_pid(self) -> int | None:
        """The process that listens on the socket, as the kernel says; None without a connection."""
        if self._socket is None:
            return None
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid: int = _UCRED.unpack(credentials)[0]
        return pid or None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._rest = b""

    def _connect(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_S)
        try:
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            raise NoDaemon(error.strerror or str(error)) from error
        self._socket = connection
        return connection

    def _read_line(self, connection: socket.socket) -> bytes:
        if b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            return line
        chunks = [self._rest]
        size = len(self._rest)
        while b"\n" not in chunks[-1]:
            data = connection.recv(65536)
            if not data:
                raise OSError("the daemon closed it")
            size += len(data)
            if size > ANSWER_MAX:
                raise OSError(f"an answer of more than {ANSWER_MAX} bytes")
            chunks.append(data)
        line, _, self._rest = b"".join(chunks).partition(b"\n")
        return line

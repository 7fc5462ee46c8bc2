"""Panic's transport: Python's own HTTP client in threads. It starts four times as fast as aiohttp, and cannot be missing."""

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from hedgegridd.venue.transport import BODY_MAX, Answer, Lost, NotSent

BUSY_MAX = 64  # requests at once; the next one waits


class PlainTransport:
    """Each request is bounded by `timeout_s`, connecting included, and has a thread of its own.

    A thread whose answer nobody waits for any more ends by the same bound and holds up nothing: not even the
    end of the process.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy = asyncio.Semaphore(BUSY_MAX)
        self._tls: ssl.SSLContext | None = None
        self._open = False

    async def open(self) -> None:
        """See `Transport`."""
        self._open = True

    async def close(self) -> None:
        """See `Transport`."""
        self._open = False
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """See `Transport`."""
        if not self._open:
            raise NotSent("the client is closed")
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        async with self._busy:
            idle = self._idle.setdefault(key, [])
            connection = idle.pop() if idle else self._connection(*key)
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await _in_thread(connection, method, target, headers)
            except TimeoutError as error:
                _abort(connection)
                raise Lost("no answer in time") from error
            except BaseException:
                _abort(connection)
                raise
            if connection.sock is not None and self._open:
                idle.append(connection)
            return answer

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme != "https":
            return http.client.HTTPConnection(netloc, timeout=self._timeout_s)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(netloc, timeout=self._timeout_s, context=self._tls)


async def _in_thread(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
) -> Answer:
    """Ask in a thread that the process does not wait for when it ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | Exception) -> None:
        if done.done():
            return
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)

    def work() -> None:
        try:
            answer: Answer | Exception = _ask(connection, method, target, headers)
        except (NotSent, Lost) as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=work, name="venue-call", daemon=True).start()
    return await done


def _ask(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
) -> Answer:
    if connection.sock is None:
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(f"cannot connect: {error}") from error
    try:
        connection.request(method, target, headers=dict(headers))
        response = connection.getresponse()
        body = response.read(BODY_MAX + 1)
    except TimeoutError as error:
        raise Lost("no answer in time") from error
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        # The last two: our own end was closed under the reader, since nobody waits for the answer any more.
        raise Lost(str(error) or type(error).__name__) from error
    if len(body) > BODY_MAX:
        raise Lost(f"an answer of more than {BODY_MAX} bytes")
    return Answer(response.status, response.headers, body)


def _abort(connection: http.client.HTTPConnection) -> None:
    """Wake the thread that reads it; the thread's own error is heard by nobody."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()

"""Server-sent events: the stream as an HTTP answer that ends with the client, with the daemon, or by a slow reader."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing

import structlog
from aiohttp import ClientConnectionError, web

from hedgegridd.control.answers import SAFE_HEADERS
from hedgegridd.control.cors import allowed
from hedgegridd.control.operation import Feed

RETRY_MS = 2_000  # a browser waits so long before it comes back
KERNEL_BYTES = 128 * 1024
WRITE_S = 10.0  # a client that takes nothing for so long is cut off; it may come back with its Last-Event-ID

_HEADERS = {
    **SAFE_HEADERS,
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",  # a proxy must pass on each event as it comes
}
_log = structlog.get_logger("control.stream")


async def stream_response(
    request: web.BaseRequest,
    feed: Feed,
    origin: str = "",
    write_s: float = WRITE_S,
    *,
    still: Callable[[], bool] = lambda: True,
) -> web.StreamResponse:
    """Write until either side ends it; `origin` is another one whose page may read it, "" our own.

    `still` is asked before every write: once it says no (logged out, key gone), nothing more is written and it ends. A
    beat comes each second, so that it ends by then.

    Raises:
        ConnectionError: the client has gone, or did not read for `write_s` seconds.
    """
    response = allowed(web.StreamResponse(headers=_HEADERS), origin)
    _bound(request)
    with closing(feed):
        try:
            async with asyncio.timeout(write_s):
                await response.prepare(request)
                await response.write(f"retry: {RETRY_MS}\n\n".encode())
            while (entries := await feed.next()) and still():
                async with asyncio.timeout(write_s):
                    await response.write(b"".join([entry.frame() for entry in entries]))
            async with asyncio.timeout(write_s):
                await response.write_eof()
        except TimeoutError as error:
            _log.info("stream_cut", remote=request.remote, reason=f"nothing was read for {write_s:g} s")
            raise _cut(request) from error
        except (ConnectionError, ClientConnectionError):
            raise
        except Exception as error:  # our bug: an answer has begun, so that no other can be given
            _log.exception("stream_failed", remote=request.remote)
            raise _cut(request) from error
    return response


def _bound(request: web.BaseRequest) -> None:
    """Let the kernel hold no megabytes for a client that does not read."""
    made = request.transport.get_extra_info("socket") if request.transport is not None else None
    if made is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)


def _cut(request: web.BaseRequest) -> ConnectionError:
    if request.transport is not None:
        request.transport.abort()
    return ConnectionAbortedError("the stream was cut")

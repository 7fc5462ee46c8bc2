"""aiohttp's server with bounds on connections: who sends no header is closed, who idles longest makes room.

aiohttp's own `keepalive_timeout` begins after a first answer, so that a client which never finishes its first header
would keep its place for good; `lingering_time` is about bodies.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from hedgegridd.control.answers import problem_response
from hedgegridd.control.operation import Problem

CONNECTIONS_MAX = 256
ADDRESS_SHARE = 0.75  # of them, that one address may have; behind a proxy all come from one
KEEPALIVE_S = 30.0
HEADER_S = 10.0

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("control.http")


class PlainHandler(web.RequestHandler):
    """aiohttp's connection, answering what is no HTTP in our words, and in the log with one line at most."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it repeats the client's bytes
    ) -> web.StreamResponse:
        """Answer what could not be read and close the connection.

        Raises:
            ConnectionError: an answer has begun already.
        """
        _log.debug("not_http", remote=request.remote, status=status, error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = problem_response(Problem(status, "malformed", "the request could not be read as HTTP"))
        response.force_close()
        return response


class _Client:
    """An open connection: whose, and the end of its patience for a first header."""

    __slots__ = ("address", "patience", "transport")

    def __init__(self, transport: asyncio.Transport, patience: asyncio.TimerHandle) -> None:
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.transport = transport
        self.patience = patience


class BoundedServer(web.Server):
    """aiohttp's server with a bound on open connections, in all and from one address.

    Above it the connection that has idled longest is closed for the new one; none idles: the new one is.
    `streams` more may be open, in all and from one address: so many are held for good by who follows the stream.
    `header_s` seconds are given for a first header.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        connections_max: int = CONNECTIONS_MAX,
        streams: int = 0,
        header_s: float = HEADER_S,
    ) -> None:
        super().__init__(self._heard)
        self._handler = handler
        self._max = connections_max + streams
        self._address_max = max(1, int(connections_max * ADDRESS_SHARE)) + streams
        self._header_s = header_s
        self._open: dict[web.RequestHandler, _Client] = {}
        self._idle: dict[web.RequestHandler, None] = {}  # longest first
        self._of_address: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        """The handler of a new connection. Nothing is decompressed: a small body must not become a large one."""
        loop = asyncio.get_running_loop()
        return PlainHandler(
            self,
            loop=loop,
            keepalive_timeout=KEEPALIVE_S,
            access_log=None,  # type: ignore[arg-type]  # None switches it off
            auto_decompress=False,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, and close one when there are too many."""
        super().connection_made(handler, transport)
        patience = asyncio.get_running_loop().call_later(self._header_s, self._give_up, handler)
        client = self._open[handler] = _Client(transport, patience)
        self._of_address[client.address] += 1
        if self._of_address[client.address] > self._address_max:
            self._make_room(handler, client.address)
        elif len(self._open) > self._max:
            self._make_room(handler, None)
        if handler in self._open:
            self._idle[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._forget(handler)

    async def _heard(self, request: web.BaseRequest) -> web.StreamResponse:
        """A whole header has come."""
        handler = request.protocol
        client = self._open.get(handler)
        if client is not None:
            client.patience.cancel()
            self._idle.pop(handler, None)
        try:
            return await self._handler(request)
        finally:
            if handler in self._open:
                self._idle[handler] = None

    def _give_up(self, handler: web.RequestHandler) -> None:
        client = self._forget(handler)
        if client is not None:
            _log.debug("no_header", remote=client.address, seconds=self._header_s)
            client.transport.abort()

    def _make_room(self, newcomer: web.RequestHandler, address: str | None) -> None:
        """Close the connection that idles longest (of `address`), or the newcomer."""
        found = (each for each in self._idle if address is None or self._open[each].address == address)
        client = self._forget(next(found, newcomer))
        _log.warning("too_many_connections", limit=self._max if address is None else self._address_max)
        if client is not None:
            client.transport.abort()

    def _forget(self, handler: web.RequestHandler) -> _Client | None:
        client = self._open.pop(handler, None)
        self._idle.pop(handler, None)
        if client is not None:
            client.patience.cancel()
            self._of_address[client.address] -= 1
            if not self._of_address[client.address]:
                del self._of_address[client.address]
        return client

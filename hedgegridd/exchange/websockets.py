"""The WebSocket front: `/stream?streams=...` and `/ws/...` with SUBSCRIBE and its kin, for market and user streams.

As at the venue: an unknown stream or a dead listenKey is accepted and stays silent.
"""

import asyncio
from typing import Any

import msgspec
import structlog
from aiohttp import WSMsgType, web

from hedgegridd.exchange.rest import Latency
from hedgegridd.exchange.sockets import Socket
from hedgegridd.exchange.venue import Venue

PING_EVERY_S = 180.0
MAX_SOCKETS = 300
MAX_REQUEST_BYTES = 64 * 1024
_log = structlog.get_logger("exchange.ws")


class WebSockets:
    """Accepts sockets and answers what clients say on them."""

    def __init__(self, venue: Venue, backlog_bytes: int, latency: Latency) -> None:
        self._backlog_bytes = backlog_bytes
        self._latency = latency
        self._venue = venue
        self._open: set[web.WebSocketResponse] = set()

    async def combined(self, request: web.Request) -> web.StreamResponse:
        """`/stream?streams=a/b`: messages wrapped as `{"stream":..., "data":...}`."""
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await self._serve(request, names, combined=True)

    async def raw(self, request: web.Request) -> web.StreamResponse:
        """`/ws/a/b`, `/ws/<listenKey>` or `/ws?listenKey=<listenKey>`: messages as they are."""
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        if request.query.get("listenKey"):
            names.append(request.query["listenKey"])
        return await self._serve(request, names, combined=False)

    async def close(self) -> None:
        """Close every socket with a farewell (going away)."""
        await asyncio.gather(
            *(socket.close(code=1001) for socket in list(self._open)), return_exceptions=True
        )

    async def _serve(self, request: web.Request, names: list[str], *, combined: bool) -> web.StreamResponse:
        venue = self._venue
        user = bool(names) and all("@" not in name for name in names)
        if any(venue.faults.take_refusal("user" if user else "market", name) for name in names or [""]):
            return web.Response(status=503, text="Service Unavailable")
        if len(self._open) >= MAX_SOCKETS:
            return web.Response(status=429, text="too many connections")
        ws = web.WebSocketResponse(heartbeat=PING_EVERY_S, compress=False, max_msg_size=MAX_REQUEST_BYTES)
        await ws.prepare(request)
        transport = request.transport
        if transport is None:
            return ws
        socket = Socket(
            transport,
            combined=combined,
            user=user,
            backlog_bytes=self._backlog_bytes,
            way_s=self._latency.way_s,
        )
        venue.hub.add(socket)
        self._open.add(ws)
        try:
            self._subscribe(socket, names)
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    await self._latency.travel()
                    venue.hub.reply(socket, self._obey(socket, message.data))
        except ValueError as error:
            await ws.close(code=1008, message=str(error).encode()[:120])
        finally:
            venue.hub.remove(socket)
            venue.forget_streams()
            self._open.discard(ws)
            if socket.overflowed:
                _log.warning("reader too slow: connection dropped", streams=list(socket.streams)[:5])
        return ws

    def _subscribe(self, socket: Socket, names: list[str]) -> None:
        self._venue.hub.subscribe(socket, names)
        self._venue.freeze_sockets()

    def _obey(self, socket: Socket, text: str) -> dict[str, object]:
        """Carry out one request of a client and return its answer; a bad one changes nothing."""
        request_id: object = None
        try:
            request: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
            request_id = request.get("id")
            params = request.get("params", [])
            match request.get("method"):
                case "SUBSCRIBE":
                    self._subscribe(socket, _names(params))
                case "UNSUBSCRIBE":
                    self._venue.hub.unsubscribe(socket, _names(params))
                    self._venue.forget_streams()
                case "LIST_SUBSCRIPTIONS":
                    return {"result": list(socket.streams), "id": request_id}
                case method:
                    raise ValueError(f"unknown method {method!r}")  # noqa: TRY301  # one answer for all bad requests
        except (msgspec.MsgspecError, ValueError) as error:
            return {"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": request_id}
        return {"result": None, "id": request_id}


def _names(params: object) -> list[str]:
    if not isinstance(params, list) or not params:
        raise ValueError("params must be a list of stream names")
    names = [name for name in params if isinstance(name, str) and 0 < len(name) <= 200]
    if len(names) != len(params):
        raise ValueError("params must be a list of stream names")
    return names

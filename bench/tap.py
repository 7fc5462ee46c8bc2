"""Stands between the exchange's streams and their reader: repeats quotes at a set rate, and notes when things passed.

    python -m bench.tap WS_URL

Everything is passed on as it is, in both directions. Each best bid and ask is repeated, as the same bytes, as often as
asked for, so that the reader gets more ticks a second than the exchange makes and the exchange has its core for
orders. Prints `ws://HOST:PORT`; `POST /tap/rate?per_s=N` sets the rate, `POST /tap/burst?count=N&every_ms=M` sends N
at once every M ms (N 0: none), `GET /tap/seen` empties the notes:
`[CLOCK_MONOTONIC ns, kind, id, waited ns]` of each order event (kind: its status) and of each price jump (kind
"JUMP"); waited is what the processes of `POST /tap/watch?pids=1,2` have waited for a core until then (bench.noise).
"""

import asyncio
import sys
import time
from collections import deque

import aiohttp
import msgspec
import uvloop
from aiohttp import WSMsgType, web

from bench.noise import RunDelay

BOOK = "@bookTicker"
JUMP = 0.005
TURN_S = 0.001
BURST_S = 0.02  # a tap that was kept waiting makes up for no more than this
BACKLOG_BYTES = 1 << 20  # of unread messages: a reader that cannot keep up is sent less
NOTES_MAX = 100_000


def frame(text: bytes) -> bytes:
    """A whole text message of a WebSocket server."""
    size = len(text)
    head = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + text


class Tap:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._notes: deque[tuple[int, str, str, int]] = deque(maxlen=NOTES_MAX)
        self._per_s = 0
        self._burst = (0, 1.0)  # so many at once, every so many seconds
        self._repeated = 0
        self._price = 0.0
        self._delay = RunDelay()
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/tap/rate", self.rate)
        app.router.add_post("/tap/burst", self.burst)
        app.router.add_post("/tap/watch", self.watch)
        app.router.add_get("/tap/seen", self.seen)
        app.router.add_get("/{path:.*}", self.pass_on)
        return app

    async def rate(self, request: web.Request) -> web.Response:
        self._per_s = int(request.query["per_s"])
        return web.json_response({"per_s": self._per_s})

    async def burst(self, request: web.Request) -> web.Response:
        self._burst = (int(request.query["count"]), int(request.query["every_ms"]) / 1e3)
        return web.json_response({"count": self._burst[0]})

    async def watch(self, request: web.Request) -> web.Response:
        self._delay.close()
        self._delay = RunDelay(*(int(pid) for pid in request.query["pids"].split(",")))
        return web.json_response({})

    async def seen(self, _request: web.Request) -> web.Response:
        notes, self._notes = list(self._notes), deque(maxlen=NOTES_MAX)
        return web.json_response({"notes": notes, "repeated": self._repeated})

    async def pass_on(self, request: web.Request) -> web.WebSocketResponse:
        below = web.WebSocketResponse(compress=0)
        await below.prepare(request)
        assert request.transport is not None
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.ws_connect(f"{self._upstream}{request.path_qs}") as above:
            latest: list[bytes] = []
            tasks = [
                asyncio.ensure_future(self._down(above, below, latest)),
                asyncio.ensure_future(self._up(below, above)),
                asyncio.ensure_future(self._repeat(request.transport, latest)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await below.close()
        return below

    async def _up(self, below: web.WebSocketResponse, above: aiohttp.ClientWebSocketResponse) -> None:
        async for message in below:
            if message.type is WSMsgType.TEXT:
                await above.send_str(message.data)

    async def _down(
        self, above: aiohttp.ClientWebSocketResponse, below: web.WebSocketResponse, latest: list[bytes]
    ) -> None:
        async for message in above:
            if message.type is not WSMsgType.TEXT:
                continue
            text: str = message.data
            await below.send_str(text)
            if BOOK in text[:60]:
                latest[:] = [frame(text.encode())]
                self._note_jump(text)
            elif "ORDER_TRADE_UPDATE" in text:
                self._note_order(text)

    def _note_jump(self, text: str) -> None:
        price = float(msgspec.json.decode(text)["data"]["b"])
        if self._price and abs(price / self._price - 1) > JUMP:
            self._note("JUMP", "")
        self._price = price

    def _note_order(self, text: str) -> None:
        said = msgspec.json.decode(text)
        order = said.get("data", said)["o"]
        self._note(order["X"], order["c"])

    def _note(self, kind: str, name: str) -> None:
        self._notes.append((time.monotonic_ns(), kind, name, self._delay.ns()))

    async def _repeat(self, transport: asyncio.Transport, latest: list[bytes]) -> None:
        owed, before = 0.0, time.monotonic()
        burst_at = before
        while True:
            await asyncio.sleep(TURN_S)
            now = time.monotonic()
            count, every_s = self._burst
            if count and latest and now >= burst_at:
                burst_at = now + every_s
                transport.write(latest[0] * count)
                self._repeated += count
            owed = min(owed + (now - before) * self._per_s, BURST_S * self._per_s)
            before = now
            count = int(owed)
            if latest and count:
                owed -= count
                if transport.get_write_buffer_size() < BACKLOG_BYTES:
                    transport.write(latest[0] * count)
                    self._repeated += count


async def serve(upstream: str) -> None:
    runner = web.AppRunner(Tap(upstream).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"ws://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))

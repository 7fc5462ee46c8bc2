"""A venue's REST side on loopback whose answers a test scripts; it records what it was asked."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

type Answer = Callable[[web.Request], web.StreamResponse] | web.StreamResponse


def answer(
    body: Any = None, status: int = 200, **headers: str
) -> Callable[[web.Request], web.StreamResponse]:
    """A JSON answer; underscores in header names become dashes."""

    def make(_request: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=msgspec.json.encode(body), status=status, headers=names)

    return make


def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection after the request has been read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class FakeRest:
    """Scripted answers by method and path, first in first out; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.released = asyncio.Event()  # lets hanging requests go
        self._came = asyncio.Event()
        self._script: dict[tuple[str, str], deque[Any]] = {}
        self.url = ""

    def on(self, method: str, path: str, *answers: Any) -> None:
        """Script answers; "hang" is one that never comes."""
        self._script[method, path] = deque(answers)

    async def until_asked(self, times: int, within_s: float = 2.0) -> None:
        """Return when it has been asked so many times."""
        async with asyncio.timeout(within_s):
            while len(self.asked) < times:
                self._came.clear()
                await self._came.wait()

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self._came.set()
        script = self._script.get((request.method, request.path))
        if not script:
            return answer({"code": -5000, "msg": f"not scripted: {request.path}"}, 404)(request)
        made = script[0] if len(script) == 1 else script.popleft()
        if made == "hang":
            await self.released.wait()
            return web.Response()
        result: web.StreamResponse = made(request)
        return result


@asynccontextmanager
async def fake_rest() -> AsyncIterator[FakeRest]:
    fake = FakeRest()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        fake.released.set()
        await runner.cleanup()

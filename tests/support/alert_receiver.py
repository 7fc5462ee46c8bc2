"""A service that takes alerts, on loopback: it accepts, answers 429, hangs, resets or refuses, and keeps what it got."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import web


class Got(NamedTuple):
    """One request: its path, its headers, its JSON body, when it came."""

    path: str
    headers: dict[str, str]
    body: Any
    mono_ns: int


class Receiver:
    """Runs in a thread with a loop of its own, so that it answers whatever the test's loop does.

    `mode`: accept, 429, 500, 400, 302, hang, reset; `retry_after` goes with 429; `reply` is the body of an acceptance.
    `answers` by path go before: a list of bodies, given one after another, of which the last one stays.
    """

    def __init__(self, mode: str = "accept") -> None:
        self.mode = mode
        self.retry_after = "1"
        self.reply: Any = {"ok": True}
        self.answers: dict[str, list[Any]] = {}
        self.got: list[Got] = []
        self.asked = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over: asyncio.Event | None = None
        self._came = threading.Condition()

    def until_asked(self, count: int, deadline_s: float = 20.0) -> None:
        """Return when it has been asked so often. Raises AssertionError past the deadline."""
        with self._came:
            assert self._came.wait_for(lambda: self.asked >= count, deadline_s), f"asked {self.asked} times"

    def until_told(self, words: str, deadline_s: float = 20.0) -> None:
        """Return when a body that was accepted has these words. Raises AssertionError past the deadline."""
        with self._came:
            told = self._came.wait_for(lambda: any(words in str(got.body) for got in self.got), deadline_s)
            assert told, f"{words!r} is not in {len(self.got)} bodies"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def titles(self) -> list[str]:
        return [str(got.body.get("title")) for got in list(self.got)]

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = web.Server(self._handle)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        came = time.monotonic_ns()
        with self._came:
            self.asked += 1
            self._came.notify_all()
        if request.path in self.answers:
            answers = self.answers[request.path]
            self.got.append(Got(request.path, dict(request.headers), json.loads(raw or b"{}"), came))
            return web.json_response(answers.pop(0) if len(answers) > 1 else answers[0])
        mode = self.mode
        if mode == "hang":
            assert self._over is not None
            await self._over.wait()
        if mode == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if mode == "429":
            body = {"ok": False, "error_code": 429, "parameters": {"retry_after": float(self.retry_after)}}
            return web.json_response(body, status=429, headers={"Retry-After": self.retry_after})
        if mode == "302":
            return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
        if mode in ("400", "500"):
            return web.json_response({"ok": False, "description": "no"}, status=int(mode))
        with self._came:
            self.got.append(Got(request.path, dict(request.headers), json.loads(raw or b"{}"), came))
            self._came.notify_all()
        return web.json_response(self.reply)


@contextmanager
def receiver(mode: str = "accept") -> Iterator[Receiver]:
    """One under way."""
    made = Receiver(mode)
    made.start()
    try:
        yield made
    finally:
        made.stop()

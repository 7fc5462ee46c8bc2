"""The REST front: a request through faults, limits, key and signature to its handler, and the answer's headers."""

import asyncio
import random
from typing import Any

import msgspec
import structlog
from aiohttp import web

from hedgegridd.exchange.auth import check_key, check_signed, parse_params
from hedgegridd.exchange.faults import MAX_DELAY_MS, FaultRule
from hedgegridd.exchange.params import missing
from hedgegridd.exchange.routes import TABLE, Route
from hedgegridd.exchange.types import VenueError
from hedgegridd.exchange.venue import Venue
from hedgegridd.exchange.weights import RateError

MAX_BODY_BYTES = 256 * 1024
HANG_POLL_S = 0.02
MAX_LATENCY_MS = 60_000
_log = structlog.get_logger("exchange.rest")


class Latency:
    """The way to the venue or back: a fixed time and an even jitter, in wall milliseconds, seeded."""

    def __init__(self, fixed_ms: int, jitter_ms: int, seed: int) -> None:
        if fixed_ms < 0 or jitter_ms < 0 or fixed_ms + jitter_ms > MAX_LATENCY_MS:
            raise ValueError(f"latency_ms and jitter_ms must be 0 to {MAX_LATENCY_MS} together")
        self._fixed_ms = fixed_ms
        self._jitter_ms = jitter_ms
        self._random = random.Random(seed)

    def way_s(self) -> float:
        """Seconds that one way takes this time."""
        if not self._fixed_ms and not self._jitter_ms:
            return 0.0
        return (self._fixed_ms + self._random.uniform(0, self._jitter_ms)) / 1000

    async def travel(self) -> None:
        """Take one way."""
        if way_s := self.way_s():
            await asyncio.sleep(way_s)


class Rest:
    """Answers `/fapi/...`. Counts what is in progress, so that a step knows when nothing is under way."""

    def __init__(self, venue: Venue, api_key: str, api_secret: str, latency: Latency) -> None:
        self._latency = latency
        self._venue = venue
        self._key = api_key
        self._secret = api_secret
        self.requests = 0
        self.in_progress = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request, whatever its path."""
        self.requests += 1
        self.in_progress += 1
        try:
            await self._latency.travel()
            answer = await self._with_faults(request)
            await self._latency.travel()
            return answer
        finally:
            self.in_progress -= 1

    async def _with_faults(self, request: web.Request) -> web.StreamResponse:
        faults = self._venue.faults
        rule = None
        if faults.rules():  # without rules nothing is parsed twice
            rule = faults.take_rest(request.method, request.path, await _params(request))
        if rule is None:
            return await self._answer(request)
        _log.info("fault", kind=rule.kind, rule=rule.id, method=request.method, path=request.path)
        match rule.kind:
            case "status_before":
                return _fault_answer(rule)
            case "status_after":
                await self._answer(request)
                return _fault_answer(rule)
            case "drop_before":
                return _drop(request)
            case "drop_after":
                await self._answer(request)
                return _drop(request)
            case "delay":
                await asyncio.sleep((rule.delay_ms or 0) / 1000)
                return await self._answer(request)
            case "delay_after":
                answer = await self._answer(request)
                await asyncio.sleep((rule.delay_ms or 0) / 1000)
                return answer
            case _:
                await self._hang(rule, request)
                return _drop(request)

    async def _hang(self, rule: FaultRule, request: web.Request) -> None:
        """Say nothing until the rule is cleared, its time is over or the client has gone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (rule.delay_ms or MAX_DELAY_MS) / 1000
        # A hanging request is not work under way: a step must not wait for it.
        self.in_progress -= 1
        try:
            while self._venue.faults.active(rule.id) and loop.time() < until:
                if request.transport is None or request.transport.is_closing():
                    return
                await asyncio.sleep(HANG_POLL_S)
        finally:
            self.in_progress += 1

    async def _answer(self, request: web.Request) -> web.Response:
        route = TABLE.get((request.method, request.path))
        headers: dict[str, str] = {}
        try:
            body = await self._process(request, route)
            status = 200
        except VenueError as error:
            body, status = {"code": error.code, "msg": error.msg}, error.status
            if isinstance(error, RateError):
                headers["Retry-After"] = str(error.retry_after_s)
        except Exception as error:  # noqa: BLE001  # logged with its trace below
            if isinstance(error, AssertionError):
                self._venue.breach = error
            # An answer of the venue's own kind, so that a client sees what it would see there; the trace is ours.
            _log.exception("handler failed", method=request.method, path=request.path)
            body, status = (
                {"code": -1000, "msg": "An unknown error occurred while processing the request."},
                500,
            )
        headers |= self._counts(route)
        return web.Response(
            body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json"
        )

    async def _process(self, request: web.Request, route: Route | None) -> Any:
        venue = self._venue
        wall_ms = venue.wall.now_ms()
        query = request.rel_url.raw_query_string
        body = await _body(request)
        if route is None:
            venue.limiter.charge_weight(1, wall_ms)
            raise VenueError(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)
        params = parse_params(query, body)
        venue.limiter.charge_weight(route.weight(params), wall_ms)
        if route.security != "none":
            check_key(request.headers.get("X-MBX-APIKEY"), self._key)
        if route.security == "signed":
            check_signed(query, body, params, self._secret, wall_ms)
        for name in route.needs:
            if not params.get(name):
                raise missing(name)
        venue.limiter.charge_orders(*route.orders, wall_ms)
        try:
            return route.handler(venue, params)
        finally:
            # A refused request may have changed something too (an order that expired on the way).
            venue.publish_user_events()
            venue.flush()

    def _counts(self, route: Route | None) -> dict[str, str]:
        limiter = self._venue.limiter
        headers = {"X-MBX-USED-WEIGHT-1M": str(limiter.weight.used)}
        if route is not None and route.orders != (0, 0):
            headers["X-MBX-ORDER-COUNT-10S"] = str(limiter.orders_10s.used)
            headers["X-MBX-ORDER-COUNT-1M"] = str(limiter.orders_1m.used)
        return headers


async def _body(request: web.Request) -> str:
    if not request.can_read_body:
        return ""
    raw = await request.read()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise VenueError(-1100, "Illegal characters found in a parameter.") from error


async def _params(request: web.Request) -> dict[str, str]:
    """The parameters for the fault rules; none when they cannot be read (the answer proper says why)."""
    try:
        return parse_params(request.rel_url.raw_query_string, await _body(request))
    except VenueError:
        return {}


def _fault_answer(rule: FaultRule) -> web.Response:
    headers = {"Retry-After": str(rule.retry_after_s)} if rule.retry_after_s is not None else {}
    if rule.body is not None:
        return web.Response(text=rule.body, status=rule.status, headers=headers, content_type="text/html")
    return web.Response(
        body=msgspec.json.encode({"code": rule.code, "msg": rule.msg}),
        status=rule.status,
        headers=headers,
        content_type="application/json",
    )


def _drop(request: web.Request) -> web.Response:
    """Cut the connection; the response returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)

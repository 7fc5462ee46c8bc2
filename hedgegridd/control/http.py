"""HTTP on loopback: every operation at its route, errors as `application/problem+json`, bounds on everything.

It routes by the operations' own table instead of an aiohttp `Application`: one lookup, and every error is ours to word.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog
from aiohttp import ClientConnectionError, web

from hedgegridd.config import Control
from hedgegridd.control.answers import SAFE_HEADERS, answer_response, problem_response
from hedgegridd.control.auth import SIGNATURE, Auth
from hedgegridd.control.bounded import BoundedServer, Handler
from hedgegridd.control.cors import allowed, preflight
from hedgegridd.control.dispatch import BODY_MAX, Dispatcher
from hedgegridd.control.docs import Docs
from hedgegridd.control.limits import Buckets
from hedgegridd.control.login import LOGIN, LOGOUT, log_in, log_out
from hedgegridd.control.once import HEADER as ONCE
from hedgegridd.control.once import checked
from hedgegridd.control.operation import SAFETY_VERBS, Caller, Operation, Outcome, Problem, Registry, summary
from hedgegridd.control.page import Page
from hedgegridd.control.sessions import Sessions
from hedgegridd.control.sse import stream_response
from hedgegridd.control.strict_json import refuse_twice
from hedgegridd.messages import AuthFailed

BODY_S = 5.0
SHUTDOWN_S = 3.0

_log = structlog.get_logger("control.http")


class HttpServer:
    """Serves the operations over HTTP; `extra` adds handlers of other GET paths (the page, the stream).

    Raises:
        ValueError: the address may not be served with these keys (see `Auth`).
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        config: Control,
        *,
        extra: dict[str, Handler] | None = None,
        sessions: Sessions | None = None,
        events_secret: str = "",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dispatcher = dispatcher
        docs = Docs(dispatcher.registry, dispatcher.services.instruments)
        self._extra = {**docs.handlers(), **(extra or {})}
        self._page = Page()
        self._now_s = now_s
        self.auth = Auth(
            config, now_s, sessions=sessions, events_secret=events_secret, tell=self._turned_away
        )
        self._runner: web.ServerRunner | None = None
        self.port = 0
        self._take(config)

    def use(self, config: Control) -> None:
        """Take keys, limits, hosts and origins of a config; the address stays.

        Raises:
            ValueError: as for a new one; then nothing has changed.
        """
        self.auth.use(config)
        self._take(config)

    def _take(self, config: Control) -> None:
        self._config = config
        self._writes = Buckets(config.writes_per_min, self._now_s)
        self._reads = Buckets(config.reads_per_min, self._now_s)
        self._hosts = {
            "localhost",
            "127.0.0.1",
            "::1",
            config.http_host.lower(),
            *map(str.lower, config.hosts),
        }

    def _turned_away(self, event: AuthFailed) -> None:
        publish = self._dispatcher.services.publish
        if publish is not None:
            publish(event, "control")

    async def start(self) -> None:
        """Bind and serve; `port` is the one in use.

        Raises:
            OSError: the address is taken or is none of ours.
        """
        server = BoundedServer(self.handle, streams=self._config.stream_clients)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.http_host, self._config.http_port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise OSError(f"[control] http_host, http_port: {error.strerror or error}") from error
        self.port = self._runner.addresses[0][1]
        _log.info("control_http", host=self._config.http_host, port=self.port)

    async def stop(self) -> None:
        """Close the port; running requests get `SHUTDOWN_S` seconds."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never an exception."""
        origin = ""
        try:
            origin = self._check_origin(request)
            if request.method == "OPTIONS" and origin:
                return allowed(preflight(self._dispatcher.registry, request), origin)
            response = await self._answer(request, origin)
        except Problem as problem:
            response = problem_response(problem)
        except (ConnectionError, ClientConnectionError):
            raise  # the client has gone: aiohttp cleans up
        except Exception:  # noqa: BLE001  # our bug: told in the log, not to the client
            _log.exception("http_failed", path=request.path[:200])
            response = problem_response(Problem(500, "internal error", "the log has it"))
        return allowed(response, origin)

    async def _answer(self, request: web.BaseRequest, origin: str) -> web.StreamResponse:
        path = request.path
        if path in self._extra:
            _takes(request, "GET")
            return await self._extra[path](request)
        if self._page.wanted(request):
            return await self._page.answer(request)
        if path == "/":
            _takes(request, "GET")
            return web.Response(text=index(self._dispatcher.registry), headers=SAFE_HEADERS)
        if path == LOGIN:
            _takes(request, "POST")
            return await log_in(self.auth, request, await _body(request), secure=self._config.behind_proxy)
        if path == LOGOUT:
            _takes(request, "POST")
            return await log_out(self.auth, request)
        outcome = await self._operation(request, path)
        if outcome.feed is not None:
            kind, _ = self._dispatcher.registry.route(request.method, path)
            still = self.auth.still(kind, request.headers, request.remote or "")
            return await stream_response(request, outcome.feed, origin, still=still)
        return answer_response(outcome)

    async def _operation(self, request: web.BaseRequest, path: str) -> Outcome:
        kind, in_path = self._dispatcher.registry.route(request.method, path)
        if kind.signed and SIGNATURE in request.headers:
            raw = await _body(request)
            caller = self.auth.signed(request.headers, raw, request.remote or "")
            self._limit(kind, caller)
            # Its digest and not the sender's own id: that one may be left out, and is not ours to trust.
            signed = hashlib.sha256(raw).hexdigest()
            return await self._dispatcher.run_signed(kind, raw, caller, signed)
        caller = self.auth.caller(kind, request.headers, request.remote or "")
        key = checked(request.headers[ONCE]) if ONCE in request.headers and kind.method != "GET" else ""
        if not kind.safety:
            self._limit(kind, caller, key)
        if kind.method == "GET":
            fields = {**_query(request.query_string), **_from_headers(kind, request), **in_path}
            return await self._dispatcher.run_mapping(kind, fields, caller, strict=False)
        raw = await _body(request)
        if in_path:
            return await self._dispatcher.run_mapping(
                kind, _joined(_json_object(raw), in_path), caller, key=key
            )

        def admit(operation: Operation) -> None:
            if kind.safety and not operation.safe():  # a rearm by `kill`
                self._limit(kind, caller, key)

        return await self._dispatcher.run_json(kind, raw, caller, key=key, admit=admit)

    def _limit(self, kind: type[Operation], caller: Caller, key: str = "") -> None:
        """Take a token. Safety commands are in no bucket: whatever a client has asked before, they are taken.

        A command whose idempotency key is known does nothing again, so that it counts as a read.

        Raises:
            Problem: 429 with `Retry-After`.
        """
        reading = kind.method == "GET" or (key != "" and self._dispatcher.once.knows(caller.client, key))
        wait_s = (self._reads if reading else self._writes).take(caller.client)
        if wait_s:
            per_min = self._config.reads_per_min if reading else self._config.writes_per_min
            raise Problem(
                429,
                "too many requests",
                f"{per_min} {'reads' if reading else 'writes'} a minute; try again in {wait_s} s",
                accepted=SAFETY_VERBS,
                headers={"Retry-After": str(wait_s)},
            )

    def _check_origin(self, request: web.BaseRequest) -> str:
        """`Host` must be ours (DNS rebinding), and a page of another origin must be listed; it, "" for none.

        Raises:
            Problem: 400 no host, 403 another host or origin.
        """
        host = request.headers.get("Host", "")
        if not host:
            raise Problem(400, "malformed", "no Host header", field="Host")
        if _host_name(host) not in self._hosts:
            raise Problem(
                403, "forbidden", "this Host is not served; [control] hosts lists more", field="Host"
            )
        origin = request.headers.get("Origin")
        if origin is None or _same(origin, host):
            return ""
        if origin not in self._config.cors_origins:
            raise Problem(
                403,
                "forbidden",
                "requests of other origins are refused; [control] cors_origins lists exceptions",
                field="Origin",
            )
        return origin


def index(registry: Registry) -> str:
    """What stands at `/`: the operations, one a line."""
    lines = ["hedgegridd", "", "GET /health needs no key; others take X-API-Key.", ""]
    lines += [
        f"{kind.method:4} {', '.join(kind.paths):24} {kind.role.label:9} {summary(kind)}"
        for kind in registry.verbs.values()
    ]
    return "\n".join(lines) + "\n"


def _takes(request: web.BaseRequest, method: str) -> None:
    """Refuse other methods at a path that is no operation's.

    Raises:
        Problem: 405, naming the one that is taken.
    """
    if request.method != method:
        said = f"{request.path} takes {method}"
        raise Problem(405, "method not allowed", said, accepted=(method,), headers={"Allow": method})


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=50, strict_parsing=bool(text), errors="strict"
        )
    except ValueError as error:
        raise Problem(400, "malformed", f"query string: {error}") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem(400, "malformed", "query string: a field stands twice")
    return fields


def _from_headers(kind: type[Operation], request: web.BaseRequest) -> dict[str, str]:
    """The fields of an operation that came as headers."""
    given = request.headers
    return {field: given[name] for name, field in kind.header_fields.items() if name in given}


async def _body(request: web.BaseRequest) -> bytes:
    """The request's body, all of it, within five seconds.

    Raises:
        Problem: 400 it did not come, 413 over 64 KiB, 415 not JSON.
    """
    if (request.content_length or 0) > BODY_MAX:
        raise _too_large()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(
            415, "unsupported media type", "the body must not be compressed", field="Content-Encoding"
        )
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > BODY_MAX:
                    raise _too_large()
                chunks.append(chunk)
    except TimeoutError as error:
        raise Problem(400, "malformed", f"the body did not come within {BODY_S:g} s") from error
    except web.RequestPayloadError as error:
        raise Problem(400, "malformed", f"the body is broken: {error}") from error
    if size and request.content_type != "application/json":
        raise Problem(
            415, "unsupported media type", "the body must be application/json", accepted=["application/json"]
        )
    return b"".join(chunks)


def _too_large() -> Problem:
    # The rest of the body is not read, so the connection cannot serve another request.
    return Problem(413, "too large", f"at most {BODY_MAX} bytes are read", headers={"Connection": "close"})


def _joined(fields: dict[str, Any], in_path: dict[str, str]) -> dict[str, Any]:
    """The fields of body and path.

    Raises:
        Problem: 422, they differ about one.
    """
    for name, value in in_path.items():
        if fields.setdefault(name, value) != value:
            raise Problem(422, "wrong value", f"`{name}`: the path says {value[:64]!r}", field=name)
    return fields


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed", f"the body is no JSON object: {error}") from error
    if raw:
        refuse_twice(raw)
    return fields

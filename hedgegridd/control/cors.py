"""Pages of other origins: what a browser is told so that it lets a listed one ask (with a key, never with our cookie)."""

from aiohttp import web

from hedgegridd.control.answers import SAFE_HEADERS
from hedgegridd.control.operation import Registry

HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, X-Ops-Actor, X-Ops-Token, "
    "X-Requested-With"
)
KEEP_S = "600"


def preflight(registry: Registry, request: web.BaseRequest) -> web.Response:
    """What may be asked for at a path.

    Raises:
        Problem: 404 no such path, 405 another method.
    """
    wanted = request.headers.get("Access-Control-Request-Method", "")
    registry.route(wanted, request.path)
    headers = {
        **SAFE_HEADERS,
        "Access-Control-Allow-Methods": wanted,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": KEEP_S,
    }
    return web.Response(status=204, headers=headers)


def allowed(response: web.StreamResponse, origin: str) -> web.StreamResponse:
    """The answer with what lets a page of `origin` read it; "" is our own."""
    if origin and not response.prepared:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
    return response

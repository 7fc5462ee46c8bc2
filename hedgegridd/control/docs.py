"""`/openapi.json` and `/docs`: the document of all operations, and Swagger UI out of a package, nothing from elsewhere."""

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from hedgegridd.control.answers import SAFE_HEADERS
from hedgegridd.control.bounded import Handler
from hedgegridd.control.openapi import document
from hedgegridd.control.operation import Problem, Registry

PACKAGE = "swagger_ui"  # of swagger-ui-py: it carries the files; nothing of its Python is imported
FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
SECONDS = 86_400  # a browser keeps the package's files so long
START = "/docs/start.js"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hedgegridd: operations</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs scripts; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  supportedSubmitMethods: ["get"],
});
"""

# Swagger UI sets style attributes and has its icons in its style sheet; scripts come from here alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {**SAFE_HEADERS, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}


class Docs:
    """The document and its page; files are read at their first request, beside the loop."""

    def __init__(self, registry: Registry, instruments: Sequence[str]) -> None:
        self._registry = registry
        self._instruments = instruments
        self._document = b""
        self._files: dict[str, bytes] = {}

    def handlers(self) -> dict[str, Handler]:
        """What answers at each path."""
        files: dict[str, Handler] = {f"/docs/{name}": self._file for name in FILES}
        return {"/openapi.json": self._openapi, "/docs": self._page, START: self._start, **files}

    async def _openapi(self, _request: web.BaseRequest) -> web.Response:
        if not self._document:
            made = await asyncio.to_thread(document, self._registry, self._instruments)
            self._document = msgspec.json.encode(made)
        return web.Response(body=self._document, content_type="application/json", headers=_HEADERS)

    async def _page(self, _request: web.BaseRequest) -> web.Response:
        _folder()
        return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)

    async def _start(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text=_SCRIPT, content_type="text/javascript", headers=_HEADERS)

    async def _file(self, request: web.BaseRequest) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name not in self._files:
            self._files[name] = await asyncio.to_thread((_folder() / name).read_bytes)
        headers = {**_HEADERS, "Cache-Control": f"public, max-age={SECONDS}"}
        return web.Response(body=self._files[name], content_type=FILES[name], headers=headers)


def _folder() -> Path:
    """Where the package has its files.

    Raises:
        Problem: 503, it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Problem(
            503, "unavailable", "the package swagger-ui-py is not installed; the document is at /openapi.json"
        )
    return Path(spec.submodule_search_locations[0]) / "static"

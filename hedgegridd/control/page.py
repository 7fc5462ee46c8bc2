"""The web page at `/`: its files as they are, the charting script out of its package, and headers that let nothing else in.

Everything comes from this machine and this origin: no inline script, no frame, no form to elsewhere.
"""

import asyncio
import gzip
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from hedgegridd.control.answers import SAFE_HEADERS
from hedgegridd.control.operation import Problem

FOLDER = Path(__file__).parent.parent / "web"
PREFIX = "/web/"
CHART = "chart.js"
CHART_PACKAGE = "chartkick"  # carries Chart.js with its date adapter; nothing of its Python is imported
CHART_FILE = "django/static/chartkick/Chart.bundle.js"
CHART_SECONDS = 86_400  # a browser keeps it so long without asking; ours are asked for by their tag each time

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

HEADERS = {
    **SAFE_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent, plain and compressed, with the tag by which a browser asks whether it has changed."""

    plain: bytes
    packed: bytes
    media_type: str
    tag: str
    seconds: int


class Page:
    """Serves the page; a file is read and compressed at its first request, beside the loop."""

    def __init__(self) -> None:
        self._paths = {
            f"{PREFIX}{path.name}": path
            for path in sorted(FOLDER.iterdir())
            if path.suffix in TYPES and path.name != "index.html"
        }
        self._paths["/"] = FOLDER / "index.html"
        chart = chart_file()
        if chart is not None:
            self._paths[f"{PREFIX}{CHART}"] = chart
        self._files: dict[str, File] = {}
        self._reading = asyncio.Lock()

    def wanted(self, request: web.BaseRequest) -> bool:
        """Whether this request is for the page; at `/` only a browser's, who asks for HTML."""
        if request.method not in ("GET", "HEAD"):
            return False
        if request.path == "/":
            return "text/html" in request.headers.get("Accept", "")
        return request.path.startswith(PREFIX)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The file, or 304 when the browser has it.

        Raises:
            Problem: 404, the page has no such file.
        """
        path = self._paths.get(request.path)
        if path is None:
            raise Problem(404, "not found", f"the page has no file {request.path[:100]!r}")
        async with self._reading:
            file = self._files.get(request.path)
            if file is None:
                file = self._files[request.path] = await asyncio.to_thread(_read, path)
        headers = {**HEADERS, "ETag": file.tag, "Cache-Control": "no-cache"}
        if file.seconds:
            headers["Cache-Control"] = f"max-age={file.seconds}"
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        body = file.plain
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = file.packed
        return web.Response(body=body, headers=headers, content_type=file.media_type, charset="utf-8")


def chart_file() -> Path | None:
    """The charting script of the installed package; None: it is not there, and the page says so."""
    found = importlib.util.find_spec(CHART_PACKAGE)
    for folder in [] if found is None else found.submodule_search_locations or []:
        path = Path(folder) / CHART_FILE
        if path.is_file():
            return path
    return None


def _read(path: Path) -> File:
    plain = path.read_bytes()
    tag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
    seconds = 0 if path.is_relative_to(FOLDER) else CHART_SECONDS
    return File(plain, gzip.compress(plain, mtime=0), TYPES[path.suffix], tag, seconds)

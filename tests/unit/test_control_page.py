"""The page's files over HTTP: what is served, with which headers, and what is not."""

import gzip
import re

from hedgegridd.control.page import CHART_FILE, FOLDER, HEADERS, chart_file
from tests.unit.control_fakes import FakeBus
from tests.unit.test_control_http import served

HTML = {"Accept": "text/html,application/xhtml+xml"}
ELSEWHERE = re.compile(r"""(?:https?:)?//(?!www\.w3\.org/)[a-z0-9.-]+\.[a-z]{2,}""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


async def test_a_browser_gets_the_page_and_a_script_the_list() -> None:
    async with served(FakeBus()) as (session, _):
        async with session.get("/", headers=HTML) as response:
            assert response.content_type == "text/html"
            assert response.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
            page = await response.text()
        async with session.get("/") as response:
            assert response.content_type == "text/plain"
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            async with session.get(path) as response:
                assert response.status == 200, path
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_has_not_changed_is_not_sent_again() -> None:
    async with served(FakeBus()) as (session, _):
        async with session.get("/web/page.css") as response:
            tag = response.headers["ETag"]
        async with session.get("/web/page.css", headers={"If-None-Match": tag}) as response:
            assert response.status == 304
            assert await response.read() == b""


async def test_the_charting_script_comes_packed_out_of_its_package() -> None:
    path = chart_file()
    assert path is not None
    assert str(path).endswith(CHART_FILE)
    async with served(FakeBus()) as (session, _):
        async with session.get("/web/chart.js", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert int(response.headers["Content-Length"]) < path.stat().st_size / 3
            assert await response.read() in (path.read_bytes(), gzip.compress(path.read_bytes(), mtime=0))


async def test_nothing_else_of_the_machine_is_served() -> None:
    async with served(FakeBus()) as (session, _):
        for path in ("/web/__init__.py", "/web/index.html", "/web/%2e%2e/config.py", "/web/", "/web/none.js"):
            async with session.get(path, headers=HTML) as response:
                assert response.status == 404, path


def test_no_file_of_the_page_names_another_host_or_holds_script_inline() -> None:
    files = [path for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
    assert len(files) > 8
    for path in files:
        assert not ELSEWHERE.findall(path.read_text()), path.name
        assert len(path.read_text().splitlines()) <= 400
    assert not INLINE.findall((FOLDER / "index.html").read_text())
    scripts = "".join(path.read_text() for path in files if path.suffix == ".js")
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", scripts
    )

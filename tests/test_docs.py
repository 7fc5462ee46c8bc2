"""What the docs name exists, and what exists is named: operations, metrics, links between pages."""

import re
from pathlib import Path

import pytest

from hedgegridd.operations import REGISTRY
from tests.support.observability import made

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_operation_is_in_the_manual_with_its_routes():
    page = (ROOT / "docs/manual/operations.md").read_text()
    for verb, kind in REGISTRY.verbs.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{verb}` |")]
        assert f"`{kind.method} {kind.paths[0]}`" in row
        assert all(path in row for path in kind.paths), verb
        who = "anyone" if kind.role.label == "none" else kind.role.label
        assert f"| {who} |" in row
    named = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    assert named == set(REGISTRY.verbs)


def test_every_metric_is_in_the_manual():
    page = (ROOT / "docs/manual/metrics.md").read_text()
    names = set(made())
    assert len(names) > 60
    assert set(re.findall(r"`(hedgegrid_\w+)`", page)) == names


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_curl_lines_that_send_a_body_say_that_it_is_json() -> None:
    """`-d` alone says that it is a form, which is answered 415."""
    lines = [line for page in PAGES for line in page.read_text().splitlines()]
    sending = [line for line in lines if line.startswith("curl") and "POST" in line]
    assert sending
    assert all("--json" in line or "application/json" in line for line in sending)


def test_every_make_target_that_is_named_has_its_rule():
    makefile = (ROOT / "Makefile").read_text()
    rules = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == rules
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {first or second for first, second in named} <= rules

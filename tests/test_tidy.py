"""Rules that no tool of the shelf checks: sizes, docstrings, words that must not be left in, what a repository may hold."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 600  # a smell above 400
FUNCTION_LINES_MAX = 70
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
MOCKS = re.compile(r"\b(MagicMock|mock\.patch|mocker\.|unittest\.mock)\b")
SLEEPS = re.compile(r"(?<![a-z_])sleep\((0\.[1-9]|[1-9])")
SKIPS = re.compile(r"pytest\.mark\.(skip|xfail)\b(?!if)|pytest\.skip\(\s*\)|skipif\([^\n]*\)\s*$")
ADDRESSES = re.compile(r"(index-url|/simple/|^registry *=)|(?<![\w.])/(work|farm|root)/", re.MULTILINE)


def tracked() -> list[Path]:
    """Files of the repository; of the folder where git is not there."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        names = [name for name in found.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py") if ".venv" not in p.parts]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


FILES = tracked()
PYTHON = [path for path in FILES if path.suffix == ".py"]
SOURCE = [path for path in PYTHON if path.is_relative_to(ROOT / "hedgegridd")]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check():
    assert len(SOURCE) > 50


@pytest.mark.parametrize("path", SOURCE, ids=name)
def test_source_files_and_functions_fit_a_sitting(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with one sentence of what it is for"
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


@pytest.mark.parametrize("path", [p for p in PYTHON if p != Path(__file__)], ids=name)
def test_nothing_is_left_to_do(path):
    text = path.read_text()
    assert not MARKERS.findall(text)
    assert not MOCKS.findall(text), "fakes, not mocks"
    if path.is_relative_to(ROOT / "tests"):
        assert not SLEEPS.findall(text), "time is injected, never slept"
        assert not SKIPS.findall(text), "a skipped test says why"


@pytest.mark.parametrize("path", [p for p in FILES if p != Path(__file__)], ids=name)
def test_no_address_of_a_registry_and_no_path_of_a_machine(path):
    if path.suffix in (".png", ".gz", ".ico", ".svg"):
        return
    assert not ADDRESSES.findall(path.read_text(errors="replace"))


def test_the_core_reads_no_clock():
    for path in SOURCE:
        if path.is_relative_to(ROOT / "hedgegridd" / "core"):
            assert "datetime.now" not in path.read_text(), path
            assert "utcnow" not in path.read_text(), path


def test_requirements_are_pinned_with_hashes():
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt"):
        lines = (ROOT / file).read_text().splitlines()
        pins = [line for line in lines if re.match(r"^[a-z0-9]", line)]
        assert len(pins) > 10
        assert all("==" in line for line in pins), file
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins), file

"""`hedgegridctl panic` as a command: what it imports, what it asks, and that neither disk nor terminal can stop it."""

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hedgegridd import messages as m
from hedgegridd.ctl import entry, panic
from hedgegridd.ctl.panic_settings import Settings
from hedgegridd.journal import panic_latch
from hedgegridd.venue.rest import Credentials
from tests.support.programs import free_port

HEAVY = (
    "nautilus_trader", "aiohttp", "anyio", "rich", "structlog", "uvloop", "prometheus_client", "yarl",
    "hedgegridd.operations",
)  # fmt: skip
SYMBOLS = {"BTCUSDT-PERP.BINANCE": "BTCUSDT", "ETHUSDT-PERP.BINANCE": "ETHUSDT"}


def settings(folder: Path, symbols: dict[str, str]) -> Settings:
    return Settings(
        account="acct1",
        environment="paper",
        url="http://127.0.0.1:9",
        recv_window_ms=5_000,
        timeout_s=1.0,
        state_dir=folder,
        symbols=symbols,
        credentials=Credentials("k", "s"),
        key_name="venue_api_key",
    )


def config(folder: Path) -> Path:
    """A config whose venue is not there."""
    path = folder / "h.toml"
    grids = "".join(f'[[grid]]\ninstrument = "{symbol}-PERP"\n' for symbol in SYMBOLS.values())
    path.write_text(
        f'[daemon]\nstate_dir = "{folder}"\n[venue]\nrest_url = "http://127.0.0.1:{free_port()}"\n{grids}'
    )
    return path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEDGEGRIDD_VENUE_API_KEY", "k")
    monkeypatch.setenv("HEDGEGRIDD_VENUE_API_SECRET", "s")


def test_it_needs_only_python_and_an_http_client() -> None:
    code = (
        "import sys, hedgegridd.ctl.entry, hedgegridd.ctl.panic; "
        f"print([x for x in {HEAVY!r} if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "typed", "sent"),
    [
        ([], "ALL\n", True),
        ([], "all\n", True),
        ([], "BTCUSDT\n", False),
        ([], "\n", False),
        ([], "", False),
        (["--instrument", "BTCUSDT"], "btcusdt\n", True),
        (["--instrument", "BTCUSDT"], "ALL\n", False),
    ],
)
@pytest.mark.usefixtures("keys")
def test_without_yes_the_name_has_to_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], typed: str, sent: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    argv = ["panic", "-c", str(config(tmp_path)), "--deadline-s", "0.1", *options]
    assert entry.main(argv) == panic.FAIL  # the venue is not there either way
    assert (tmp_path / panic_latch.NAME).exists() is sent


@pytest.mark.usefixtures("keys")
def test_it_is_reached_behind_general_options_as_well(tmp_path: Path) -> None:
    argv = ["--socket", "nowhere", "panic", "-c", str(config(tmp_path)), "--yes", "--deadline-s", "0.1"]
    assert entry.main(argv) == panic.FAIL
    assert (tmp_path / panic_latch.NAME).exists()


def test_the_latch_says_who_why_and_which(tmp_path: Path) -> None:
    latch = panic.Latch(settings(tmp_path, SYMBOLS), "it hangs", everything=False)
    latch.drop()
    found = panic_latch.read(tmp_path)
    assert (found.reason, found.instruments) == ("it hangs", tuple(SYMBOLS))
    assert "@" in found.by
    assert latch.told() == f"latch {tmp_path / 'panic.latch'}"
    assert not latch.is_news()
    panic.Latch(settings(tmp_path, SYMBOLS), "again", everything=True).drop()
    assert panic_latch.read(tmp_path).instruments == ()


def test_a_disk_that_hangs_is_not_waited_for_and_told_again_when_it_is_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    written = threading.Event()

    def hangs(_folder: Path, _latch: panic_latch.PanicLatch) -> str:
        assert goes_on.wait(10)
        written.set()
        return ""

    monkeypatch.setattr(panic_latch, "write", hangs)
    latch = panic.Latch(settings(tmp_path, SYMBOLS), "", everything=True)
    began = time.monotonic()
    latch.drop()
    assert time.monotonic() - began < 2
    assert "has not taken the latch" in latch.told()
    goes_on.set()
    assert latch._done.wait(10)
    assert latch.is_news()
    assert latch.told().startswith("latch ")


def test_an_output_that_breaks_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    lines = panic.Lines(time.monotonic_ns(), quiet=False)
    lines.stage("closing")
    assert len(lines.stages) == 1
    assert lines.stages[0].endswith("closing")


@pytest.mark.parametrize(("verified", "code", "said"), [(True, 0, "PASS"), (False, 1, "FAIL")])
def test_the_verdict_is_the_exit_code_and_names_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verified: bool, code: int, said: str
) -> None:
    answer = m.FlattenAnswer(
        to=1,
        flatten_id="F-1",
        verified=verified,
        after_s=1,
        cancelled_orders=3,
        closed={},
        residuals={} if verified else {"BTCUSDT-PERP.BINANCE-LONG": "0.5"},
        residual_orders=0 if verified else 2,
        proof=("12:00 query LONG 0",) if verified else (),
    )
    latch = panic.Latch(settings(tmp_path, SYMBOLS), "", everything=True)
    lines = panic.Lines(time.monotonic_ns(), quiet=False)
    made = settings(tmp_path, SYMBOLS)
    assert panic._verdict(made, answer, latch, lines, as_json=False) == code
    shown = capsys.readouterr().out
    assert said in shown
    assert ("BTCUSDT-PERP.BINANCE-LONG 0.5; 2 orders" in shown) is not verified
    assert ("12:00 query LONG 0" in shown) is verified
    assert ("do    run it again, or" in shown) is not verified


def test_a_key_that_is_refused_is_not_tried_again() -> None:
    assert panic._again(["0.1 BTCUSDT venue not read: 2015 is no code"]) == "run it again"
    assert "--credentials DIR" in panic._again(["0.1 BTCUSDT cancel failed: -2015 Invalid API-key"])

"""hedgegridctl: what it imports, how fast it starts, what it prints, what it asks, and its exit codes."""

import asyncio
import contextlib
import io
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console

from hedgegridd import messages as m
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.operation import Role
from hedgegridd.control.unix import UnixServer
from hedgegridd.ctl import main as ctl
from hedgegridd.ctl import stream, tables
from hedgegridd.ctl.client import NoAnswer
from hedgegridd.ctl.live import LiveView
from hedgegridd.ctl.tables import render
from hedgegridd.ctl.text import MINUS, Paint, age, average, columns, liquidation, money
from hedgegridd.errors import AskTimeout
from hedgegridd.operations import REGISTRY
from hedgegridd.operations.status import Status
from tests.unit.control_fakes import BTC, FLAT, FakeBus, dispatcher
from tests.unit.test_control_http import GOOD
from tests.unit.test_control_unix import FixedPeers

ROOT = Path(__file__).resolve().parents[2]
START_RATIO = 4.0  # CPU time beside the bare imports of what no command can do without
BARE = "import argparse, decimal, json, msgspec, socket"
HEAVY = ("nautilus_trader", "aiohttp", "anyio", "asyncio", "rich", "structlog", "uvloop", "prometheus_client")


class Daemon:
    """The control socket with a fake bus, in a thread of its own, as hedgegridctl blocks."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.bus = FakeBus()
        self.server: UnixServer | None = None
        self.loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(5)

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self.server = UnixServer(dispatcher(self.bus), self.path, FixedPeers(Role.ADMIN))
        await self.server.start()
        self._up.set()
        await self._stop.wait()
        await self.server.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has ended between the two lines
                self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    # The daemon of these tests shares our standard output: its log must not stand among our lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    made = Daemon(str(tmp_path / "c.sock"))
    yield made
    made.stop()
    structlog.reset_defaults()


def run(daemon: Daemon, *argv: str) -> int:
    return ctl.main(["--socket", daemon.path, *argv])


def test_it_imports_nothing_heavy() -> None:
    code = f"import sys, hedgegridd.ctl.main; print([x for x in {HEAVY!r} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def cpu_s(*argv: str, code: int) -> float:
    """The least CPU time that a Python with these arguments takes, in seconds."""
    used = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, *argv], capture_output=True, check=False)
        assert done.returncode == code
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(used)


def test_it_starts_in_time(tmp_path: Path) -> None:
    status = ("-m", "hedgegridd.ctl.main", "--socket", str(tmp_path / "none"), "status")
    assert cpu_s(*status, code=ctl.NO_DAEMON) < START_RATIO * cpu_s("-c", BARE, code=0)


def typed(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={number}" for name, number in value.items())
    return str(value)


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
def test_every_operation_has_its_command(
    daemon: Daemon, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = REGISTRY.verbs[verb]
    good = GOOD.get(verb, {})
    argv = [typed(good[name]) for name in kind.positional if name in good]
    for name, value in good.items():
        if name not in kind.positional:
            argv += [f"--{name}", typed(value)]
    assert run(daemon, verb, *argv, "--yes") == ctl.DONE
    assert capsys.readouterr().out.strip()
    assert run(daemon, verb, *argv, "--yes", "--json") == ctl.DONE
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_a_journal_that_may_not_be_read_is_asked_for(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = ("--state", str(tmp_path / "nothing"))
    assert run(daemon, "journal", "tail", "-n", "5", *nothing) == ctl.DONE
    assert capsys.readouterr().out.rstrip().endswith("a > desk                 rearm: why")
    assert run(daemon, "journal", "tail", "--json", *nothing) == ctl.DONE
    assert json.loads(capsys.readouterr().out)["words"] == "rearm: why"
    assert run(daemon, "journal", "tail", "--follow", *nothing) == ctl.NO_DAEMON, (
        "a file is what can be followed"
    )


def test_status_gives_four_answers(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "status") == ctl.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("● TRADING  acct1 · Binance PAPER · BTCUSDT")
    assert [line.split()[0] for line in lines[1:5]] == ["safe", "doing", "wrong", "do"]
    assert "LONG ▲ BTCUSDT 0.034  2,211.70 USDT @64,980  +2.38  stop 62,700.0" in lines[5]


def test_flatten_shows_the_proof_and_its_exit_codes(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(daemon, "flatten", "both", "--yes") == ctl.DONE
    out = capsys.readouterr().out
    assert "FLAT, VERIFIED  1.03 s  C-8812" in out
    assert FLAT.proof[0] in out
    assert "LONG BTCUSDT closed 0.034" in out
    late = {
        "verified": False,
        "residuals": {"BTCUSDT-PERP.BINANCE-SHORT": "0.008"},
        "residual_orders": 1,
        "proof": (),
    }
    facts = {name: getattr(FLAT, name) for name in FLAT.__struct_fields__}
    daemon.bus.table[m.Flatten] = m.FlattenAnswer(**(facts | late))
    assert run(daemon, "flatten", "both", "--yes") == ctl.LATE
    assert (
        "NOT VERIFIED after 1.03 s: SHORT BTCUSDT 0.008, 1 order. Still working." in capsys.readouterr().out
    )
    daemon.bus.table[m.Flatten] = AskTimeout("hung")
    assert run(daemon, "flatten", "both", "--yes") == ctl.LATE


@pytest.mark.parametrize(
    ("argv", "typed", "sent"),
    [
        (("flatten", "both"), "btcusdt\n", True),
        (("flatten", "long", "BTCUSDT-PERP"), "BTCUSDT\n", True),
        (("kill",), "BTCUSDT\n", True),
        (("flatten", "both"), "\n", False),
        (("flatten", "both"), "yes\n", False),
        (("flatten", "both"), "", False),
        (("pause",), "", True),
    ],
)
def test_the_severe_is_typed(
    daemon: Daemon, argv: tuple[str, ...], typed: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert run(daemon, *argv) == (ctl.DONE if sent else ctl.REFUSED)
    assert bool(daemon.bus.commands) is sent


def test_a_hung_desk_can_still_be_flattened(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for query in (m.GetStatus, m.GetVenue):
        daemon.bus.table[query] = AskTimeout("hung")
    monkeypatch.setattr(sys, "stdin", io.StringIO("ALL\n"))
    assert run(daemon, "flatten", "both") == ctl.DONE


def test_refusals_tell_what_is_accepted(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.bus.table[m.ResumeEntries] = m.Refused(
        to=0, reason="HALTED by T-17", accepted=("flatten", "rearm")
    )
    assert run(daemon, "resume") == ctl.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "refused: HALTED by T-17; nothing changed",
        "accepted now: flatten, rearm",
    ]


@pytest.mark.parametrize(
    "argv", [("throttle", "2"), ("throttle", "x"), ("flatten", "up"), ("mode", "long"), ("nope",)]
)
def test_usage(daemon: Daemon, argv: tuple[str, ...]) -> None:
    try:
        code: Any = run(daemon, *argv)
    except SystemExit as ended:
        code = ended.code
    assert code == ctl.USAGE
    assert daemon.bus.asked == []


def test_no_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["--socket", str(tmp_path / "none"), "status"]) == ctl.NO_DAEMON
    err = capsys.readouterr().err
    assert "hedgegridd is not running" in err
    assert "hedgegridd run -c FILE (README: Install on a host)" in err
    assert "systemctl" not in err, "there are no units yet"
    assert "## Install on a host" in (ROOT / "README.md").read_text()


def test_a_question_without_an_answer_says_what_needs_no_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    late = NoAnswer("no answer within 4 s", timed_out=True)
    assert ctl._no_answer(Status, late, as_json=False) == ctl.REFUSED
    assert "`hedgegridctl panic` needs neither" in capsys.readouterr().err


def test_a_daemon_that_dies_in_a_flatten_leaves_it_unverified(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.bus.gate = asyncio.Event()

    def die() -> None:
        async def after_command() -> None:
            await daemon.bus.commanded.wait()
            daemon._stop.set()

        daemon.task = asyncio.ensure_future(after_command())  # type: ignore[attr-defined]  # kept alive

    daemon.loop.call_soon_threadsafe(die)
    assert run(daemon, "flatten", "both", "--yes") == ctl.UNVERIFIED
    assert "ENDED WITHOUT VERIFICATION" in capsys.readouterr().err


def test_key_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["key", "new", "ann", "--role", "operator", "--json"]) == ctl.DONE
    made = json.loads(capsys.readouterr().out)
    assert made["sha256"] == fingerprint(made["key"])
    assert ctl.main(["key", "new", "ann"]) == ctl.DONE
    assert '[[control.keys]]\nname = "ann"\nrole = "viewer"' in capsys.readouterr().out


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Paint(Terminal())("x", "31") == "\x1b[31mx\x1b[0m"
    assert Paint(io.StringIO())("x", "31") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(Terminal())("x", "31") == "x"


def test_figures() -> None:
    assert (money("-12345.678", sign=True), money(None), money("0", sign=True)) == (
        f"{MINUS}12,345.68",
        "—",
        "+0.00",
    )
    assert [age(x) for x in (None, 0.41, 61.0, 250.0, 8000.0)] == [
        "—",
        "0.4 s",
        "61 s",
        "4 min 10 s",
        "2 h 13 min",
    ]
    assert columns(("a", "n"), [["x", "1,000"], ["yy", "2"]]) == ["a       n", "x   1,000", "yy      2"]


def test_an_average_has_eight_digits() -> None:
    assert [
        average(x) for x in ("66984.11935483870967741935484", "0.000012345678912", "65000.0", "0", None)
    ] == [
        "66,984.119",
        "0.000012345679",
        "65,000",
        "0",
        "—",
    ]


def test_resume_says_what_may_enter_again() -> None:
    body = {"outcome": "done", "old": True, "new": False, "unlatched": ["BTCUSDT-PERP.BINANCE LONG"]}
    assert render("resume", body, Paint(on=False)) == [
        "the pause is over",
        "may enter again: BTCUSDT LONG",
        "done",
    ]
    assert render("resume", {"outcome": "done"}, Paint(on=False)) == ["nothing was paused or latched", "done"]


def test_status_ends_with_the_guards(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "status") == ctl.DONE
    lines = capsys.readouterr().out.splitlines()
    told = "guards 1 OK, 1 off, spread_depth BLOCK, leverage WARN; nearest spread_depth 132/100 bps"
    assert told in lines


def test_guards_are_shown_the_worst_first(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "guards") == ctl.DONE
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[1:4]] == ["spread_depth", "leverage", "margin_ratio"]
    assert lines[1][1:7] == ["BTCUSDT", "132", "100", "bps", "BLOCK", "4.0"]
    assert lines[2][1:4] == ["account", "—", "5"]
    assert lines[3][1:5] == ["account", "0.21", "0.8", "OK"]
    assert lines[4][:2] == ["holds", f"guard:spread_depth:{BTC}:"]
    assert " ".join(lines[-1]) == "1 of 3 OK; off: daily_loss"
    assert run(daemon, "guards", "btcusdt", "--json") == ctl.DONE
    shown = json.loads(capsys.readouterr().out)
    assert {item["guard"] for item in shown["guards"]} == {"spread_depth", "leverage", "margin_ratio"}


def test_a_missing_stop_is_told_in_words() -> None:
    leg = {
        "leg": "LONG",
        "quantity": "1",
        "inventory_usdt": "5",
        "average_entry": "5",
        "unrealized_usdt": None,
    }
    leg |= {
        "stop_resting": False,
        "stop_price": None,
        "liquidation_price": None,
        "mode": "tp_only",
        "latched": True,
    }
    body: dict[str, Any] = dict.fromkeys(("pnl", "balances", "feeds", "kill_switch", "time"))
    body |= {
        "state": "TRADING",
        "environment": "paper",
        "account": "a",
        "safe": "no",
        "safe_reason": "",
        "doing": "",
    }
    body |= {
        "wrong": [],
        "do": [],
        "reconciled": True,
        "instruments": [
            {"instrument": "X", "mark_price": "65000", "tick": None, "step": None, "legs": {"LONG": leg}}
        ],
    }
    line = render("status", body, Paint(on=False))[5]
    assert "NO STOP AT THE VENUE" in line
    assert "[tp_only, latched: no entries until resume]" in line
    line = render("status", body | {"reconciled": False}, Paint(on=False))[5]
    assert "not compared with the venue yet" in line


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("48900.0333", "48,900.0"),
        ("650500.1", "—"),
        ("1012345678.9", "—"),
        ("6000", "—"),
        ("0", "—"),
        (None, "—"),
    ],
)
def test_a_liquidation_price_that_says_nothing_is_a_dash(price: str | None, shown: str) -> None:
    assert liquidation(price, "65050.00", "0.1") == shown


@pytest.mark.parametrize(
    ("over", "shown"),
    [
        ({}, "flat, 6 entries at the venue"),
        ({"resting": 1}, "flat, 1 entry at the venue"),
        ({"resting": 0, "entries_under_way": 6}, "flat, 0 entries at the venue, 6 under way"),
        (
            {"resting": 0, "no_rungs": ["below the venue's minimum"]},
            "flat, 0 entries at the venue: below the venue's minimum",
        ),
    ],
)
def test_a_flat_leg_says_how_many_of_its_entries_rest_and_why_none(over: dict[str, Any], shown: str) -> None:
    leg = {"leg": "SHORT", "quantity": "0.000", "mode": "normal", "latched": False}
    leg |= {"entries_under_way": 0, "no_rungs": []} | over
    item = {"instrument": BTC, "rungs_resting": {"SHORT": over.get("resting", 6)}}
    assert tables.leg_line(item, leg, Paint(on=False), compared=True).endswith(shown)


def test_bounds_are_told_in_words(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "flatten", "both", "--deadline-s", "0", "--yes") == ctl.USAGE
    assert capsys.readouterr().err == "hedgegridctl flatten: `deadline_s` must be a number ≥ 0.1\n"


def test_start_and_stop_say_their_flag_in_the_same_words(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.bus.table[m.StartTrading] = m.Done(to=0, detail={"trading": True})
    daemon.bus.table[m.StopTrading] = m.Done(to=0, detail={"trading": "false"})
    run(daemon, "start")
    assert "trading  yes" in capsys.readouterr().out
    run(daemon, "stop")
    assert "trading  no" in capsys.readouterr().out


async def _bodies(bus: FakeBus) -> dict[str, dict[str, Any]]:
    made = dispatcher(bus)
    caller = FixedPeers(Role.VIEWER).caller(1, 1, 1)
    return {
        verb: (await made.run_mapping(REGISTRY.verbs[verb], {}, caller)).body
        for verb in ("status", "ladders")
    }


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(160, 50, True), (61, 25, True), (60, 50, False), (160, 24, False)]
)
async def test_the_header_gives_way_on_a_small_screen(width: int, height: int, *, shown: bool) -> None:
    bodies = await _bodies(FakeBus())

    async def poll(verb: str) -> dict[str, Any]:
        return bodies[verb]

    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, record=True)
    view = LiveView(poll, header=("http://127.0.0.1:8080",), console=console)
    await view.refresh()
    console.print(view.render())
    assert ("http://127.0.0.1:8080" in console.export_text()) is shown


async def test_the_live_view_shows_ladder_legs_and_events_and_lost_contact() -> None:
    bodies = await _bodies(FakeBus())
    bodies["status"]["recent"] = [{"time_ns": 1_700_000_000_000_000_000, "seq": 1, "text": "LONG buy 0.01"}]
    broken = False

    async def poll(verb: str) -> dict[str, Any]:
        if broken:
            raise ConnectionError("the socket is gone")
        return bodies[verb]

    console = Console(
        width=160, height=50, file=io.StringIO(), force_terminal=True, color_system=None, record=True
    )
    now = [10.0]
    view = LiveView(poll, header=("http://127.0.0.1:8080",), console=console, now_s=lambda: now[0])
    await view.refresh()
    console.print(view.render())
    shown = console.export_text()
    for text in (
        "http://127.0.0.1:8080",
        "● TRADING",
        "safe",
        "S2 ▼",
        "L1 ▲",
        "65,050.0 (0.4 s)",
        "62,700.0 rests",
    ):
        assert text in shown
    assert "22:13:20  LONG buy 0.01" in shown
    broken, now[0] = True, 27.0
    await view.refresh()
    console.print(view.render())
    shown = console.export_text()
    assert "NO CONTACT for 17 s (the socket is gone). It may still be trading." in shown
    assert "● TRADING" in shown


@pytest.mark.parametrize("terminal", [True, False])
async def test_the_live_view_ends_when_stopped_and_leaves_the_terminal(terminal: bool) -> None:
    bodies = await _bodies(FakeBus())
    stop = asyncio.Event()

    async def poll(verb: str) -> dict[str, Any]:
        if verb == "ladders":
            stop.set()
        return bodies[verb]

    out = io.StringIO()
    console = Console(width=100, file=out, force_terminal=terminal, color_system=None)
    async with asyncio.timeout(5):
        await LiveView(poll, console=console).run(stop)
    text = out.getvalue()
    if terminal:
        assert (
            text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
        )  # the other screen: entered and left
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back
    else:
        assert text.count("\n") == 1
        assert "TRADING · safe yes" in text
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "beat", "data": {"time_ns": 1}}, ""),
        ({"event": "RiskFigures", "data": {"seq": 7, "time_ns": 1, "words": ""}}, ""),
        (
            {"event": "Fill", "data": {"seq": 7, "time_ns": 3_661_002_000_000, "words": "LONG buy 1 @2"}},
            "01:01:01.002 #7 Fill: LONG buy 1 @2",
        ),
        ({"event": "missed", "data": {"missed": 3, "exact": True}}, "-- missed 3 events;"),
        ({"event": "missed", "data": {"missed": 0, "exact": False}}, "-- missed at least 0 events;"),
        ({"event": "silent", "data": {"time_ns": 0, "silent": {"desk": "late"}}}, "NO BEAT: desk: late"),
    ],
)
def test_a_line_of_the_stream(event: dict[str, Any], text: str) -> None:
    assert stream.line(event).find(text) >= 0
    assert bool(stream.line(event)) == bool(text)

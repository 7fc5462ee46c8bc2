"""Real processes for the benchmarks: exchange, tap, daemon, bare strategy and idle loop, and how to read them."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.noise import RunDelay
from hedgegridd.ctl.client import Client
from tests.support.programs import (
    ROOT,
    Daemon,
    Exchange,
    Metrics,
    ProgramError,
    exchange,
    parse_metrics,
    running,
    until,
    write_config,
)

SYMBOL = "BTCUSDT"
START_S = 60.0
TICKS_PER_S = 15_000
# What a benchmark does on purpose and a trader does not: a hundred orders, again and again, on a machine that others use.
OFF = tuple(
    {"type": name, "enabled": False} for name in ("call_quota", "rate_budget", "loop_lag", "slippage")
)
EXCHANGE = ["--regime", "quiet", "--seed", "4", "--tick-rate", "50", "--no-rate-limits"]


def grid(levels: int, step_bps: int) -> dict[str, Any]:
    """A grid of so many rungs a leg, none of which limits or funding take away."""
    return {
        "instrument": f"{SYMBOL}-PERP",
        "step_bps": step_bps,
        "levels_long": levels,
        "levels_short": levels,
        "base_qty": Decimal("0.002"),
        "qty_scale": 1,
        "tp_steps": 100,  # what is filled stays until it is flattened
        "sl_steps": 60,
        "recenter_trigger_bps": 150,
        "policy": {"kind": "symmetric"},
        "funding": {"window_min": 0},
    }


class Child:
    """`python -m bench.NAME ARGUMENTS`; `said` is the last word of its first line. Its errors go to `log`."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(  # arguments are our own
                [sys.executable, "-m", f"bench.{name}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        assert self.process.stdout is not None
        # Each of them ends by itself when it cannot start, so this does not wait for ever.
        words = self.process.stdout.readline().decode().split()
        if not words:
            raise ProgramError(f"bench.{name} said nothing:\n{log.read_text()[-4000:]}")
        self.said = words[-1]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def child(name: str, arguments: Sequence[str], folder: Path) -> Iterator[Child]:
    """Start it, and stop it at the end."""
    made = Child(name, arguments, folder / f"{name}.log")
    try:
        yield made
    finally:
        made.stop()


def fetch(url: str, method: str = "GET") -> bytes:
    """The body of an answer of a loopback server."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        body: bytes = answer.read()
    return body


def metrics(url: str) -> Metrics:
    return parse_metrics(fetch(url).decode())


def value(found: Metrics, name: str) -> float:
    return sum(found.get(name, {}).values())


class Lags:
    """How late a loop answers: asked over its unix socket every few milliseconds.

    The times include what asking costs; `net` is without the waits of asker and loop for a core.
    """

    EVERY_S = 0.004

    def __init__(self, ask: Callable[[], None], pid: int) -> None:
        self._ask = ask
        self._theirs = RunDelay(pid)
        self._mine = RunDelay(os.getpid())
        self.raw_ms: list[float] = []
        self.net_ms: list[float] = []

    def once(self) -> None:
        waited = self._mine.ns() + self._theirs.ns()
        began = time.perf_counter_ns()
        self._ask()
        took = time.perf_counter_ns() - began
        waited = self._mine.ns() + self._theirs.ns() - waited
        self.raw_ms.append(took / 1e6)
        self.net_ms.append(max(0, took - waited) / 1e6)

    def close(self) -> None:
        self._mine.close()
        self._theirs.close()


def asks_echo(path: str) -> Callable[[], None]:
    """Asks a loop that echoes."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(path)

    def ask() -> None:
        made.sendall(b"?")
        assert made.recv(1) == b"?"

    return ask


def asks_daemon(path: Path) -> Callable[[], None]:
    """Asks the daemon whether it is ready, a cheap operation."""
    client = Client(str(path))

    def ask() -> None:
        assert client.call("ready", {}, 30).status == 200

    return ask


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory_mib(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class Note(NamedTuple):
    """Something passed the tap: CLOCK_MONOTONIC ns, kind, client order id, ns waited for a core until then."""

    ns: int
    kind: str
    name: str
    waited_ns: int


class Market:
    """An exchange with a tap before its streams."""

    def __init__(self, venue: Exchange, tap: Child, folder: Path) -> None:
        self.venue = venue
        self.folder = folder
        self._tap = tap.said.replace("ws:", "http:")
        self.websocket = tap.said
        self._pids = [venue.program.process.pid, tap.pid]
        self._delay = RunDelay()

    def watch(self, pid: int) -> None:
        """From here on notes tell what this process, the exchange and the tap have waited for a core."""
        pids = [*self._pids, pid]
        self._delay.close()
        self._delay = RunDelay(*pids)
        fetch(f"{self._tap}/tap/watch?pids={','.join(map(str, pids))}", "POST")

    def now(self) -> Note:
        """A note of this moment."""
        return Note(time.monotonic_ns(), "NOW", "", self._delay.ns())

    def rate(self, per_s: int) -> None:
        """Ticks a second that are added to the exchange's own."""
        fetch(f"{self._tap}/tap/rate?per_s={per_s}", "POST")

    def burst(self, count: int, every_ms: int = 1_000) -> None:
        """So many ticks at once, every so often; 0: none."""
        fetch(f"{self._tap}/tap/burst?count={count}&every_ms={every_ms}", "POST")

    def seen(self) -> list[Note]:
        """What has passed since the last call."""
        return [Note(*each) for each in json.loads(fetch(f"{self._tap}/tap/seen"))["notes"]]


@contextmanager
def market() -> Iterator[Market]:
    """A quiet exchange of its own, tapped, in a folder that is removed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        venue = stack.enter_context(exchange(EXCHANGE, folder / "exchange.log"))
        tap = stack.enter_context(child("tap", [venue.websocket], folder))
        yield Market(venue, tap, folder)


def is_ready(daemon: Daemon) -> bool:
    """Whether trading can happen; while it cannot, `ready` is answered as a problem."""
    try:
        return bool(daemon.control.ask("ready")["ready"])
    except ProgramError:
        return False


class Bot:
    """A daemon on a market, ready and with its entries resting."""

    def __init__(self, where: Market, daemon: Daemon) -> None:
        self.market = where
        self.daemon = daemon
        self.url = f"http://127.0.0.1:{daemon.config.metrics_port}/metrics"
        self.socket = daemon.config.folder / "control.sock"

    @property
    def pid(self) -> int:
        return self.daemon.program.process.pid

    def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        return self.daemon.control.ask(verb, **fields)

    def wait[T](self, look: Callable[[], T], what: str, deadline_s: float = 30) -> T:
        return until(look, what, deadline_s, self.daemon.program)

    def resting(self) -> int:
        """Plain orders at the exchange."""
        return len(self.market.venue.truth()["open_orders"])


@contextmanager
def bot(
    where: Market,
    levels: int,
    step_bps: int,
    *,
    guards: Sequence[Mapping[str, object]] = (),
    control: Mapping[str, object] | None = None,
    keys: Mapping[str, object] | None = None,
    tables: Mapping[str, Mapping[str, object]] | None = None,
    **other: object,
) -> Iterator[Bot]:
    """The daemon, READY, `2 * levels` entries resting.

    `other` are fields of its grid, `guards` further ones of its config, `control` and `keys` of its `[control]`,
    `tables` further tables.
    """
    tapped = _tapped(where)
    folder = where.folder / f"daemon-{time.monotonic_ns()}"
    folder.mkdir()
    config = write_config(
        folder,
        tapped,
        [{**grid(levels, step_bps), **other}],
        tables={
            "[journal]": {"snapshot_every": 20_000},
            **({"[[control.keys]]": keys} if keys else {}),
            **(tables or {}),
        },
        guards=[*OFF, *guards],
        control=control,
    )
    with running(config) as daemon:
        made = Bot(where, daemon)
        made.wait(lambda: made.ask("ready")["ready"], "ready", START_S)
        made.wait(lambda: made.resting() >= 2 * levels - 2, "the entries rest", START_S)
        yield made


def _tapped(where: Market) -> Exchange:
    """The exchange as the daemon is told of it: its streams behind the tap."""
    venue = where.venue
    venue.websocket = where.websocket
    return venue

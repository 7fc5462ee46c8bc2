"""Start, memory, scrape and status of a real daemon on the paper exchange: `python -m bench.life`.

Times are net of waits for a core (bench.noise), with the wall time beside them. The peer of start and memory is a bare
NautilusTrader strategy in a process of the same layout; that of `hedgegridctl status` is an interpreter that does nothing.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import rig
from bench.noise import RunDelay
from bench.table import Row, p, text, verdict
from tests.support.programs import ROOT, ProgramError, RunConfig, running, until, write_config

LEVELS, STEP_BPS = 20, 24
SCRAPES = 40
STATUSES = 4
STEADY_S = 4.0
CTL = "import sys; from hedgegridd.ctl.main import main; sys.exit(main())"


def start_s(config: RunConfig, number: int) -> tuple[float, float]:
    """Seconds from the start of the process to READY: wall, and net of its main thread's waits for a core."""
    began = time.monotonic()
    with running(config, log=f"start-{number}.log") as daemon:
        program = daemon.program
        until(lambda: rig.is_ready(daemon), "ready", rig.START_S, program)
        took = time.monotonic() - began
        delay = RunDelay(program.process.pid)
        waited = delay.ns() / 1e9
        delay.close()
    return took, took - waited


def ctl_ms(arguments: Sequence[str]) -> tuple[float, float]:
    """Milliseconds of a whole Python process: wall, and net of its wait for a core."""
    began = time.perf_counter()
    process = subprocess.Popen(  # arguments are our own
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it can still be read until it is reaped
    took = time.perf_counter() - began
    delay = RunDelay(process.pid)
    waited = delay.ns() / 1e9
    delay.close()
    if process.wait() != 0:
        raise ProgramError(f"{arguments} ended with {process.returncode}")
    return 1e3 * took, 1e3 * (took - waited)


class Scraper:
    """A kept connection to `/metrics`, sent to and read from in two steps."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), 10)
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def send(self) -> None:
        self._socket.sendall(self._request)

    def read(self) -> int:
        """Bytes of the body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        while len(body) < size:
            body += self._socket.recv(1 << 16)
        return size

    def scrape(self) -> None:
        self.send()
        self.read()

    def close(self) -> None:
        self._socket.close()


def scrapes(bot: rig.Bot, runs: int) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Of each run in ms: whole scrapes, asks of the loop right behind the sending of one, asks without one."""
    scraper, ask = Scraper(bot.url), rig.asks_daemon(bot.socket)
    whole, behind, without = [], [], []
    for _ in range(runs):
        a, b, c = (rig.Lags(what, bot.pid) for what in (scraper.scrape, ask, ask))
        for _ in range(SCRAPES):
            time.sleep(0.01)
            a.once()
            time.sleep(0.01)
            c.once()
            scraper.send()
            b.once()
            scraper.read()
        whole.append(a.net_ms)
        behind.append(b.net_ms)
        without.append(c.net_ms)
        for lags in (a, b, c):
            lags.close()
    scraper.close()
    return whole, behind, without


def starts(where: rig.Market, runs: int) -> tuple[list[tuple[float, float]], list[float]]:
    """Starts of the daemon to READY (wall, net), and of the bare strategy to its first quote (wall)."""
    ours, bare = [], []
    folder = where.folder / "starts"
    folder.mkdir()
    venue = where.venue
    venue.websocket = where.websocket
    config = write_config(folder, venue, [rig.grid(LEVELS, STEP_BPS)])
    for number in range(runs):
        ours.append(start_s(config, number))
        began = time.monotonic()
        path = str(folder / f"bare-{number}.sock")
        arguments = [venue.rest, where.websocket, venue.key, venue.secret, "0", path]
        with rig.child("bare", arguments, folder):
            bare.append(time.monotonic() - began)
    return ours, bare


def memory(where: rig.Market, bot: rig.Bot) -> tuple[float, float]:
    """MiB resident under ticks: the daemon and a bare strategy with as many orders, on the same exchange."""
    venue = where.venue
    path = str(Path(where.folder) / "memory.sock")
    arguments = [venue.rest, where.websocket, venue.key, venue.secret, str(2 * LEVELS), path]
    with rig.child("bare", arguments, where.folder) as bare:
        where.rate(5_000)
        time.sleep(STEADY_S)
        where.rate(0)
        return rig.memory_mib(bot.pid), rig.memory_mib(bare.pid)


def measure(runs: int) -> list[Row]:
    """All rows."""
    with ExitStack() as stack:
        where = stack.enter_context(rig.market())
        ours, bare = starts(where, runs)
    with rig.market() as where, rig.bot(where, LEVELS, STEP_BPS) as bot:
        whole, behind, without = scrapes(bot, runs)
        ctl = ["-c", CTL, "--socket", str(bot.socket), "status"]
        status = [ctl_ms(ctl) for _ in range(runs * STATUSES)]
        nothing = [ctl_ms(["-c", "pass"]) for _ in range(runs * STATUSES)]
        mine, theirs = memory(where, bot)
    ready, ready_wall = median(net for _, net in ours), median(wall for wall, _ in ours)
    scrape = median(p(run, 0.99) for run in whole)
    stall = max(0.0, median(p(run, 0.99) for run in behind) - median(p(run, 0.5) for run in without))
    wall, net = (median(each[at] for each in status) for at in (0, 1))
    bare_wall, bare_net = (median(each[at] for each in nothing) for at in (0, 1))
    return [
        Row(
            bench="start",
            what=f"start to READY on paper ({runs} starts)",
            measured=f"{ready:.2f} s net, {ready_wall:.2f} s wall",
            peer=f"bare Nautilus to its first quote {median(bare):.2f} s wall",
            ratio=median(bare) / ready_wall,
            target="4 s",
            verdict=verdict(ready <= 4),
        ),
        Row(
            bench="memory",
            what="resident, 40 orders, under ticks",
            measured=f"{mine:.0f} MiB",
            peer=f"bare Nautilus {theirs:.0f} MiB",
            ratio=theirs / mine,
            target="+60 MB",
            verdict=verdict(mine - theirs <= 60),
        ),
        Row(
            bench="scrape",
            what="GET /metrics, p99",
            measured=f"{scrape:.1f} ms net",
            target="5 ms",
            verdict=verdict(scrape <= 5),
        ),
        Row(
            bench="scrape",
            what="an ask behind a scrape, p99, over one without, p50",
            measured=f"+{stall:.1f} ms net",
            target="stall 2 ms",
            verdict=verdict(stall <= 2),
        ),
        Row(
            bench="status",
            what="hedgegridctl status, whole process",
            measured=f"{net:.0f} ms net, {wall:.0f} ms wall",
            peer=f"python -c pass {bare_net:.0f} ms net, {bare_wall:.0f} wall",
            ratio=bare_net / net,
            target="150 ms",
            verdict=verdict(net <= 150),
        ),
    ]


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

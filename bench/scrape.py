"""Measures a scrape with fifty instruments, and what it does to the loop: `python -m bench.scrape`.

The server is a process of its own: the real bus, the real metrics actor, a desk whose books are those of a seeded walk, asked
fifty times over, so that each instrument costs what it costs. The client asks `/metrics` on one kept connection. In the
server a callback arms itself again and again: the CPU time between two of its runs is how long the loop stood. Peer in the
same run: the same samples by `prometheus_client`'s own exposition, in one piece. Scrapes are net of waits for a core.
"""

import argparse
import asyncio
import gc
import http.client
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection

import msgspec
import uvloop
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from bench.rig import Lags
from bench.table import Row, p, text, verdict
from hedgegridd import messages as m
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.config import Metrics
from hedgegridd.core.scrape import figures
from hedgegridd.model import KillState
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.venue.stats import Stats
from tests.support.desk_rig import rig, walk

INSTRUMENTS = 50
SCRAPES = 400
WARM = 20
APART_S = 0.01
TARGET_MS, STALL_MS = 5.0, 2.0
GUARDS = 28


class Parts(Actor):
    """Answers what a scrape asks for."""

    name = "parts"
    queries = (
        m.GetFigures,
        m.GetVenue,
        m.GetKillSwitch,
        m.GetGuards,
        m.GetDeadMan,
        m.GetHealth,
        m.GetSwitches,
        m.GetKpi,
    )

    def __init__(self) -> None:
        venue = rig(seed=3)
        walk(venue, 120)
        self._desk = venue.desk
        self._names = [f"C{number:02}USDT-PERP.BINANCE" for number in range(INSTRUMENTS)]

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        to = envelope.seq
        match envelope.message:
            case m.GetFigures():
                return [self.view(to)]
            case m.GetKillSwitch():
                return [m.KillSwitchAnswer(to=to, state=KillState.ARMED)]
            case m.GetGuards():
                scopes = [m.Scope(instrument=name) for name in self._names]
                verdicts = [
                    m.GuardVerdict(guard=f"guard_{number}", scope=scope, level="OK", value=1, limit=2)  # type: ignore[arg-type]
                    for number in range(GUARDS)
                    for scope in (scopes if number % 4 == 0 else scopes[:1])
                ]
                return [m.GuardsAnswer(to=to, verdicts=tuple(verdicts), holds=(), off=("depeg",))]
            case m.GetHealth():
                return [m.HealthAnswer(to=to, state=0, reasons=(), since_ns=0, transitions={"ok": 1})]
            case _:
                return [m.Refused(to=to, reason="not of this bench")]

    def view(self, to: int) -> m.FiguresAnswer:
        """One instrument's books as often as there are instruments."""
        desk = self._desk
        (grid,) = desk._grids.values()  # noqa: SLF001  # the desk has no other way to be fifty
        found = figures(to, desk._ctx, dict.fromkeys(self._names, grid))  # noqa: SLF001
        named = zip(found.instruments, self._names, strict=True)
        renamed = tuple(msgspec.structs.replace(item, instrument=name) for item, name in named)
        return msgspec.structs.replace(found, instruments=renamed)


class Stalls:
    """CPU time that the loop's thread spends between two runs of a callback that arms itself: what others waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.all_ms: list[float] = []
        self._last_ns = time.thread_time_ns()
        loop.call_soon(self._tick)

    def _tick(self) -> None:
        now_ns = time.thread_time_ns()
        if now_ns - self._last_ns > 200_000:
            self.all_ms.append((now_ns - self._last_ns) / 1e6)
        self._last_ns = now_ns
        self._loop.call_soon(self._tick)


async def serve(told: Connection) -> None:
    """Until the other end says that it is enough; then the stalls."""
    loop = asyncio.get_running_loop()
    actor = MetricsActor(Metrics(port=0), Meters(Stats(), Counter()), started_ns=0)
    parts = Parts()
    bus = Bus(RealClock(), (*MetricsActor.events, *Parts.queries, *m.ANSWERS))
    for each in (actor, parts):
        each.register(bus)
    bus.start(loop)
    await actor.start()
    told.send(actor.address)
    await asyncio.to_thread(told.recv)  # warm: from here on stalls count
    gc.collect()
    gc.freeze()  # as the daemon does once it is ready
    stalls = Stalls(loop)
    told.send("")
    await asyncio.to_thread(told.recv)
    took = []
    for _ in range(5):
        began = time.perf_counter_ns()
        parts.view(0)
        took.append((time.perf_counter_ns() - began) / 1e6)
    told.send((stalls.all_ms, min(took)))
    await actor.stop()
    bus.stop()


def _serve(told: Connection) -> None:
    uvloop.run(serve(told))


def peer_ms(samples: int) -> float:
    """What prometheus_client takes for as many samples in one piece."""
    registry = CollectorRegistry()
    for number in range(max(1, samples // INSTRUMENTS)):
        made = Gauge(f"peer_{number}", "Peer.", ["instrument"], registry=registry)
        for each in range(INSTRUMENTS):
            made.labels(f"C{each:02}USDT-PERP.BINANCE").set(each / 7)
    took = []
    for _ in range(20):
        began = time.process_time_ns()
        generate_latest(registry)
        took.append((time.process_time_ns() - began) / 1e6)
    return p(took, 0.5)


def once() -> dict[str, float]:
    """One run."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    host, _, port = ours.recv().rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    size = lines = 0

    def ask() -> None:
        nonlocal size, lines
        connection.request("GET", "/metrics")
        body = connection.getresponse().read()
        size, lines = len(body), body.count(b"\n") - 2 * body.count(b"# TYPE")

    for _ in range(WARM):
        ask()
    ours.send("")
    ours.recv()
    assert server.pid is not None
    lags = Lags(ask, server.pid)
    for _ in range(SCRAPES):
        lags.once()
        time.sleep(APART_S)
    lags.close()
    ours.send("")
    stalls, view_ms = ours.recv()
    server.join(10)
    connection.close()
    return {
        "p50": p(lags.net_ms, 0.5),
        "p99": p(lags.net_ms, 0.99),
        "stall": max(stalls, default=0.0),
        "stall_p99": p(stalls, 0.99) if stalls else 0.0,
        "view": view_ms,
        "bytes": size,
        "samples": lines,
        "peer": peer_ms(lines),
    }


def measure(runs: int) -> list[Row]:
    """The rows of the table: medians of the runs."""
    found = [once() for _ in range(runs)]
    mid = {name: sorted(run[name] for run in found)[len(found) // 2] for name in found[0]}
    what = f"{mid['samples']:.0f} samples, {mid['bytes'] / 1024:.0f} KiB"
    return [
        Row(
            bench="scrape",
            what=f"{INSTRUMENTS} instruments, p50/p99 ms ({what})",
            measured=f"{mid['p50']:.2f}/{mid['p99']:.2f}",
            peer=f"{mid['peer']:.2f} rendering alone",
            target=f"p99 < {TARGET_MS:g}",
            verdict=verdict(mid["p99"] < TARGET_MS),
        ),
        Row(
            bench="scrape",
            what=f"longest stand of the loop over {SCRAPES} scrapes, ms (p99 of those above 0.2)",
            measured=f"{mid['stall']:.2f} ({mid['stall_p99']:.2f})",
            peer=f"{mid['peer']:.2f} in one piece",
            target=f"< {STALL_MS:g}",
            verdict=verdict(mid["stall"] < STALL_MS),
        ),
        Row(bench="scrape", what="of it: the desk's figures, ms", measured=f"{mid['view']:.2f}"),
    ]


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=3)
    print(text(measure(line.parse_args().runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

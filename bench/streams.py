"""Two hundred clients on /stream and 50 requests a second beside 15,000 ticks a second: `python -m bench.streams`.

Three windows on one daemon, in turns: nobody follows; 200 read; 150 read and 50 never do. In each: how long a request
takes over HTTP with a key, how late the loop is (asked over the socket), ticks that arrived, CPU and memory. Half of the
requests are GET /guards, an answer of a trading actor, which is judged; half are POST /throttle, which waits for the disk
beside (bench.journal) and is told.
Latencies are net of waits for a core (bench.noise); an idle loop is asked beside them.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

import msgspec

from bench import rig
from bench.control import http_call
from bench.noise import RunDelay
from bench.stream_readers import Got
from bench.table import Row, p, text, verdict
from hedgegridd.control.keys import fingerprint

KEY = "hgd_bench"  # the one that bench.control's call sends
CLIENTS, SLOW = 200, 50
REQUESTS_PER_S = 50
LEVELS, STEP_BPS = 20, 24
SECONDS = 4.0
CONTROL_MS, LAG_MS = 0.8, 5.0
SLOW_MIB = 32.0  # what fifty clients that never read may take: their buffers, 64 KiB and a batch each
ENOUGH = 0.9


class Window(msgspec.Struct):
    """One window: p99 of a GET and of a POST, lag p99 and the idle loop's, all net in ms; ticks a second, CPU share, memory."""

    control_ms: float
    post_ms: float
    lag_ms: float
    idle_ms: float
    ticks_per_s: float
    cpu: float
    mib: float
    beats_ok: bool = True


def window(bot: rig.Bot, idle: tuple[Callable[[], None], int], seconds: float) -> Window:
    """Fifty requests a second, and looks at the loop between them."""
    calls = [http_call(bot.daemon.config.http_port, get) for get in ("/guards", "")]
    lags = rig.Lags(rig.asks_daemon(bot.socket), bot.pid)
    idles = rig.Lags(*idle)
    mine, theirs = RunDelay(os.getpid()), RunDelay(bot.pid)
    took_ms: list[list[float]] = [[], []]
    bot.market.rate(rig.TICKS_PER_S)
    time.sleep(0.5)
    ticks = rig.value(rig.metrics(bot.url), "hedgegrid_ticks_total")
    cpu, began = rig.cpu_s(bot.pid), time.monotonic()
    due = began
    while time.monotonic() - began < seconds:
        due += 1 / REQUESTS_PER_S
        waited = mine.ns() + theirs.ns()
        at = time.perf_counter_ns()
        kind = len(took_ms[0]) > len(took_ms[1])
        calls[kind]()
        took = time.perf_counter_ns() - at
        took_ms[kind].append(max(0, took - (mine.ns() + theirs.ns() - waited)) / 1e6)
        while time.monotonic() < due:
            time.sleep(rig.Lags.EVERY_S)
            lags.once()
            idles.once()
    passed = time.monotonic() - began
    arrived = rig.value(rig.metrics(bot.url), "hedgegrid_ticks_total") - ticks
    used = rig.cpu_s(bot.pid) - cpu
    bot.market.rate(0)
    for each in (lags, idles, mine, theirs):
        each.close()
    return Window(
        control_ms=p(took_ms[0], 0.99),
        post_ms=p(took_ms[1], 0.99),
        lag_ms=p(lags.net_ms, 0.99),
        idle_ms=p(idles.net_ms, 0.99),
        ticks_per_s=arrived / passed,
        cpu=used / passed,
        mib=rig.memory_mib(bot.pid),
    )


def followed(
    bot: rig.Bot, idle: tuple[Callable[[], None], int], readers: int, slow: int, seconds: float
) -> Window:
    """The same with clients; each that reads must have got its beats."""
    file = bot.market.folder / f"got-{readers}-{slow}-{time.monotonic_ns()}"
    port = str(bot.daemon.config.http_port)
    with rig.child(
        "stream_readers", [port, KEY, str(readers), str(slow), str(file)], bot.market.folder
    ) as child:
        found = window(bot, idle, seconds)
        child.stop()
    got = msgspec.json.decode(file.read_bytes(), type=list[Got])
    found.beats_ok = all(each.beats >= int(seconds) - 1 and not each.missed for each in got)
    return found


def measure(runs: int, seconds: float = SECONDS) -> list[Row]:
    """The three windows in turns, and their medians as rows."""
    control = {
        "stream_clients": CLIENTS,
        "reads_per_min": 1_000_000,
        "writes_per_min": 100_000,
    }
    keys = {"name": "bench", "role": "operator", "sha256": fingerprint(KEY)}
    alone: list[Window] = []
    read: list[Window] = []
    slow: list[Window] = []
    with ExitStack() as stack:
        where = stack.enter_context(rig.market())
        bot = stack.enter_context(rig.bot(where, LEVELS, STEP_BPS, control=control, keys=keys))
        child = stack.enter_context(rig.child("idle", [str(where.folder / "idle.sock")], where.folder))
        idle = rig.asks_echo(str(where.folder / "idle.sock")), child.pid
        for _ in range(runs):
            alone.append(window(bot, idle, seconds))
            read.append(followed(bot, idle, CLIENTS, 0, seconds))
            slow.append(followed(bot, idle, CLIENTS - SLOW, SLOW, seconds))
    return [
        _row(f"{CLIENTS} read", read, alone),
        _row(f"{CLIENTS - SLOW} read, {SLOW} never do", slow, alone),
        _slow_row(slow, read),
    ]


def _mid(windows: list[Window], name: str) -> float:
    return median(float(getattr(each, name)) for each in windows)


def _row(what: str, found: list[Window], alone: list[Window]) -> Row:
    control, lag, idle = (_mid(found, name) for name in ("control_ms", "lag_ms", "idle_ms"))
    ok = (
        control - idle <= CONTROL_MS
        and lag <= LAG_MS
        and all(each.beats_ok for each in found)
        and _mid(found, "ticks_per_s") >= ENOUGH * rig.TICKS_PER_S
    )
    return Row(
        bench="streams",
        what=f"{what}; {REQUESTS_PER_S} requests/s, {_mid(found, 'ticks_per_s'):.0f} ticks/s",
        measured=f"GET p99 {control:.2f} ms (POST {_mid(found, 'post_ms'):.2f}), lag p99 {lag:.2f} ms, CPU {_mid(found, 'cpu'):.0%}",
        peer=f"no stream: {_mid(alone, 'control_ms'):.2f} ms ({_mid(alone, 'post_ms'):.2f}), "
        f"{_mid(alone, 'lag_ms'):.2f} ms, {_mid(alone, 'cpu'):.0%}",
        target=f"GET p99 {CONTROL_MS} ms net of the idle loop ({idle:.2f}), lag p99 {LAG_MS:g} ms, every beat read",
        verdict=verdict(ok),
    )


def _slow_row(slow: list[Window], read: list[Window]) -> Row:
    more_cpu = _mid(slow, "cpu") - _mid(read, "cpu")
    more_mib = _mid(slow, "mib") - _mid(read, "mib")
    return Row(
        bench="streams",
        what=f"what {SLOW} slow readers cost",
        measured=f"CPU {more_cpu:+.1%}, memory {more_mib:+.1f} MiB",
        peer=f"{CLIENTS} that read: CPU {_mid(read, 'cpu'):.0%}, {_mid(read, 'mib'):.0f} MiB",
        target=f"no more CPU than readers (within 3 %), at most {SLOW_MIB:g} MiB",
        verdict=verdict(more_cpu <= 0.03 and more_mib <= SLOW_MIB),
    )


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=3)
    line.add_argument("--seconds", type=float, default=SECONDS, help="of each window (default %(default)s)")
    asked = line.parse_args()
    print(text(measure(asked.runs, asked.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

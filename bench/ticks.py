"""Ticks through the whole daemon beside a bare NautilusTrader strategy: `python -m bench.ticks`.

Each is a process of its own with the same node, adapter, loop and 40 resting orders, on an exchange of its own; they
take turns. Figures: the highest rate of ticks at which the loop's lag p99 stays under 5 ms, net of waits for a core
(bench.noise), and the CPU at 15,000 ticks a second. An idle loop is asked beside them.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

import msgspec

from bench import rig
from bench.table import Row, p, text, verdict

LEVELS, STEP_BPS = 20, 24
RATES = (15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 50_000)
FIRST = RATES[0]
TRIES = 2  # windows a rate gets: what other programs do to one of them is not the daemon
LAG_MS = 5.0
ENOUGH = 0.9  # of the rate offered must arrive, or it was not held
TARGET = 0.6


class Window(msgspec.Struct):
    """What one window of time showed: lag p99 as measured and net, the idle loop's beside it, in milliseconds."""

    ticks_per_s: float
    cpu_share: float
    raw_ms: float
    net_ms: float
    idle_ms: float


class Side(msgspec.Struct):
    """One of the two: where it is read and asked, its process, its market; `held` and `first` are of each run."""

    url: str
    ask: Callable[[], None]
    pid: int
    market: rig.Market
    held: list[float] = []
    first: list[Window] = []


class Idle(msgspec.Struct):
    """The loop with nothing to do."""

    ask: Callable[[], None]
    pid: int


def window(side: Side, idle: Idle, rate: int, seconds: float) -> Window:
    """Offer the rate and ask both loops all the while, after half a second to get there."""
    side.market.rate(rate)
    time.sleep(0.5)
    lags, idles = rig.Lags(side.ask, side.pid), rig.Lags(idle.ask, idle.pid)
    before = rig.value(rig.metrics(side.url), "hedgegrid_ticks_total")
    cpu, began = rig.cpu_s(side.pid), time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(rig.Lags.EVERY_S)
        lags.once()
        idles.once()
    after = rig.value(rig.metrics(side.url), "hedgegrid_ticks_total")
    took, used = time.monotonic() - began, rig.cpu_s(side.pid) - cpu
    side.market.rate(0)
    lags.close()
    idles.close()
    return Window(
        ticks_per_s=(after - before) / took,
        cpu_share=used / took,
        raw_ms=p(lags.raw_ms, 0.99),
        net_ms=p(lags.net_ms, 0.99),
        idle_ms=p(idles.raw_ms, 0.99),
    )


def drain(side: Side) -> None:
    """Wait until what was offered too much is through."""
    seen, end = -1.0, time.monotonic() + 10
    while time.monotonic() < end:
        now = rig.value(rig.metrics(side.url), "hedgegrid_ticks_total")
        if now - seen < 500 and seen >= 0:
            return
        seen = now
        time.sleep(0.3)


def climb(side: Side, idle: Idle, seconds: float) -> None:
    """Offer more and more until none of a few windows holds it."""
    best = 0.0
    for rate in RATES:
        for _ in range(TRIES):
            seen = window(side, idle, rate, seconds)
            drain(side)
            if rate == FIRST:
                side.first.append(seen)
            holds = seen.net_ms <= LAG_MS and seen.ticks_per_s >= ENOUGH * rate
            if holds:
                best = seen.ticks_per_s
                break
        if not holds:
            break
    side.held.append(best)


def collect(runs: int, seconds: float) -> list[Side]:
    """Both sides measured in turns."""
    with ExitStack() as stack:
        first = stack.enter_context(rig.market())
        second = stack.enter_context(rig.market())
        idle = stack.enter_context(rig.child("idle", [f"{first.folder}/idle.sock"], first.folder))
        daemon = stack.enter_context(rig.bot(first, LEVELS, STEP_BPS))
        venue = second.venue
        path = f"{second.folder}/bare.sock"
        arguments = [venue.rest, second.websocket, venue.key, venue.secret, str(2 * LEVELS), path]
        bare = stack.enter_context(rig.child("bare", arguments, second.folder))
        daemon.wait(
            lambda: rig.value(rig.metrics(bare.said), "hedgegrid_open_orders") >= 2 * LEVELS,
            "the bare strategy's orders rest",
        )
        sides = [
            Side(daemon.url, rig.asks_daemon(daemon.socket), daemon.pid, first),
            Side(bare.said, rig.asks_echo(path), bare.pid, second),
        ]
        nothing = Idle(rig.asks_echo(idle.said), idle.pid)
        for _ in range(runs):
            for side in sides:
                climb(side, nothing, seconds)
        return sides


def measure(runs: int, seconds: float = 1.2) -> list[Row]:
    """Rows of the daemon beside the bare strategy."""
    sides = collect(runs, seconds)
    noise = median(w.idle_ms for side in sides for w in side.first)
    ours, theirs = (median(side.held) for side in sides)
    cpu, theirs_cpu = (median(w.cpu_share for w in side.first) for side in sides)
    each, theirs_each = (
        median(1e6 * w.cpu_share / max(1.0, w.ticks_per_s) for w in side.first) for side in sides
    )
    lag, theirs_lag = (median(w.net_ms for w in side.first) for side in sides)
    raw, theirs_raw = (median(w.raw_ms for w in side.first) for side in sides)
    return [
        Row(
            bench="ticks",
            what=f"ticks/s held, 40 orders, lag p99 < {LAG_MS:.0f} ms net",
            measured=f"{ours:,.0f} /s",
            peer=f"bare Nautilus {theirs:,.0f} /s",
            ratio=ours / theirs if theirs else None,
            target=f">= {TARGET} x",
            verdict=verdict(theirs > 0 and ours / theirs >= TARGET),
        ),
        Row(
            bench="ticks",
            what=f"CPU of a tick, at {FIRST:,} /s",
            measured=f"{each:.1f} us, {cpu:.0%} of a core",
            peer=f"bare Nautilus {theirs_each:.1f} us, {theirs_cpu:.0%}",
            ratio=theirs_each / each,
            target=f">= {TARGET} x",
            verdict=verdict(theirs_each / each >= TARGET),
        ),
        Row(
            bench="ticks",
            what=f"loop lag p99 at {FIRST:,} ticks/s (idle loop raw {noise:.1f} ms)",
            measured=f"{lag:.1f} ms net (raw {raw:.1f})",
            peer=f"bare Nautilus {theirs_lag:.1f} ms (raw {theirs_raw:.1f})",
            ratio=theirs_lag / lag if lag else None,
            target=f"{LAG_MS:.0f} ms net",
            verdict=verdict(lag <= LAG_MS),
        ),
    ]


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--seconds", type=float, default=1.2, help="of each window")
    asked = line.parse_args()
    print(text(measure(asked.runs, asked.seconds)))


if __name__ == "__main__":
    main()

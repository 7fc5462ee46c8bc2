"""Ticks through the whole daemon beside a bare NautilusTrader strategy: `python -m bench.ticks`.

Each is a process of its own with the same node, adapter, loop and 40 resting orders, on an exchange of its own; they
take turns. Figures: the highest rate of ticks at which the loop's lag p99 stays under 5 ms net of an idle loop that
runs beside it, and the CPU at 15,000 ticks a second.
"""

import argparse
import time
from contextlib import ExitStack
from statistics import median

import msgspec

from bench import rig
from bench.table import Row, text, verdict

LEVELS, STEP_BPS = 20, 24
RATES = (15_000, 25_000, 35_000, 45_000, 60_000)
FIRST = RATES[0]
TRIES = 3  # windows a rate gets: what other programs do to one of them is not the daemon
LAG_MS = 5.0
ENOUGH = 0.9  # of the rate offered must arrive, or it was not held
TARGET = 0.6


class Side(msgspec.Struct):
    """One of the two: where it is read, its process, its market. `held` and `first` are what each run found."""

    name: str
    url: str
    pid: int
    market: rig.Market
    held: list[float] = []
    first: list["Window"] = []


class Window(msgspec.Struct):
    """What one window of time showed."""

    ticks_per_s: float
    lag_ms: float
    idle_ms: float
    cpu_share: float

    @property
    def net_ms(self) -> float:
        return max(0.0, self.lag_ms - self.idle_ms)


def window(side: Side, idle_url: str, rate: int, seconds: float) -> Window:
    """Offer the rate and watch, after half a second to get there."""
    side.market.rate(rate)
    time.sleep(0.5)
    lag, idle = rig.Lag(side.url), rig.Lag(idle_url)
    cpu, began = rig.cpu_s(side.pid), time.monotonic()
    time.sleep(seconds)
    after, idle_after = rig.metrics(side.url), rig.metrics(idle_url)
    took = time.monotonic() - began
    used = rig.cpu_s(side.pid) - cpu
    side.market.rate(0)
    ticks = rig.value(after, "hedgegrid_ticks_total") - rig.value(lag.before, "hedgegrid_ticks_total")
    return Window(ticks / took, lag.p99_ms(after), idle.p99_ms(idle_after), used / took)


def drain(side: Side) -> None:
    """Wait until what was offered too much is through."""
    seen, end = -1.0, time.monotonic() + 20
    while time.monotonic() < end:
        now = rig.value(rig.metrics(side.url), "hedgegrid_ticks_total")
        if now - seen < 500 and seen >= 0:
            return
        seen = now
        time.sleep(0.3)


def climb(side: Side, idle_url: str, seconds: float) -> list[float]:
    """Offer more and more until none of a few windows holds it; the idle loop's p99 in each window."""
    best, idle = 0.0, []
    for rate in RATES:
        for _ in range(TRIES):
            seen = window(side, idle_url, rate, seconds)
            drain(side)
            idle.append(seen.idle_ms)
            if rate == FIRST:
                side.first.append(seen)
            holds = seen.net_ms <= LAG_MS and seen.ticks_per_s >= ENOUGH * rate
            if holds:
                best = seen.ticks_per_s
                break
        if not holds:
            break
    side.held.append(best)
    return idle


def collect(runs: int, seconds: float) -> tuple[list[Side], float]:
    """Both sides measured in turns, and the idle loop's median p99."""
    with ExitStack() as stack:
        first = stack.enter_context(rig.market())
        second = stack.enter_context(rig.market())
        idle = stack.enter_context(rig.child("idle", [], first.folder))
        daemon = stack.enter_context(rig.bot(first, LEVELS, STEP_BPS))
        venue = second.venue
        arguments = [venue.rest, second.websocket, venue.key, venue.secret, str(2 * LEVELS)]
        bare = stack.enter_context(rig.child("bare", arguments, second.folder))
        daemon.wait(
            lambda: rig.value(rig.metrics(bare.said), "hedgegrid_open_orders") >= 2 * LEVELS,
            "the bare strategy's orders rest",
        )
        sides = [
            Side("daemon", daemon.url, daemon.pid, first),
            Side("bare Nautilus", bare.said, bare.pid, second),
        ]
        idle_ms = [ms for _ in range(runs) for side in sides for ms in climb(side, idle.said, seconds)]
        return sides, median(idle_ms)


def measure(runs: int, seconds: float = 2.0) -> list[Row]:
    """Rows of the daemon beside the bare strategy."""
    sides, noise = collect(runs, seconds)
    ours, theirs = (median(side.held) for side in sides)
    cpu, theirs_cpu = (median(w.cpu_share for w in side.first) for side in sides)
    each, theirs_each = (
        median(1e6 * w.cpu_share / max(1.0, w.ticks_per_s) for w in side.first) for side in sides
    )
    lag, theirs_lag = (median(w.lag_ms for w in side.first) for side in sides)
    return [
        Row(
            bench="ticks",
            what=f"ticks/s held, lag p99 < {LAG_MS:.0f} ms net of {noise:.1f} ms",
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
            what=f"loop lag p99 at {FIRST:,} ticks/s, beside an idle loop's {noise:.1f} ms",
            measured=f"{lag:.1f} ms",
            peer=f"bare Nautilus {theirs_lag:.1f} ms",
            ratio=theirs_lag / lag if lag else None,
            target=f"{LAG_MS:.0f} ms net",
            verdict=verdict(median(w.net_ms for w in sides[0].first) <= LAG_MS),
        ),
    ]


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--seconds", type=float, default=2.0, help="of each window")
    asked = line.parse_args()
    print(text(measure(asked.runs, asked.seconds)))


if __name__ == "__main__":
    main()

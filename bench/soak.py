"""Runs exchange and daemon for a long time and looks whether anything grows or slows down.

    python -m bench.soak --minutes 24 --speed 60                    a day of market
    python -m bench.soak --minutes 20 --speed 1 --tick-rate 15000   ticks as fast as the exchange makes them

Every ten seconds: resident memory, open files, tasks, fills, ticks, p99 of the loop's lag since the last look: as the
daemon's own probe has it, and asked from outside net of waits for a core (bench.noise). Growth is the difference of the
medians of the last and the second quarter of the run (the first is warming up). At the end the market stands and the books
are compared with the exchange's. It fails when something grew, the books differ, the median of the net p99s is 5 ms or
more, or when less than 90 % of the ticks asked for arrived.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from bench import rig
from bench.replay import grid_of
from bench.table import p
from tests.support.programs import Daemon, Exchange, Metrics, ProgramError, daemon, exchange, until
from tests.support.truth import daemon_books, differences, exchange_books, table, uncovered

LOOK_S = 10.0
ASK_S = 0.02
LAG_MS_MAX = 5.0
ENOUGH = 0.9  # of the ticks asked for
LAG = "hedgegrid_loop_lag_seconds_bucket"
GROWTH_MAX = {"rss_mib": 10.0, "files": 5.0, "tasks": 5.0}  # over half the run


class Look(msgspec.Struct):
    """One look at the daemon; memory in MiB, the probe's lag in seconds, the lag asked for from outside in ms."""

    rss_mib: float
    files: float
    tasks: float
    fills: float
    ticks: float
    lag_p99_s: float
    net_ms: float
    exchange_mib: float


def value(metrics: Metrics, name: str) -> float:
    """Sum of a metric over its labels; 0 when it is absent."""
    return sum(metrics.get(name, {}).values())


def lag_buckets(metrics: Metrics) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    return {float(dict(labels)["le"]): count for labels, count in metrics.get(LAG, {}).items()}


def p99(before: dict[float, float], after: dict[float, float]) -> float:
    """The bound under which 99 % of what was observed in between lies."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    whole = counts[max(counts)]
    return next((bound for bound, count in counts.items() if count >= 0.99 * whole), float("inf"))


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def asked(bot: Daemon, seconds: float) -> float:
    """p99 in ms of what the loop takes to answer, net of waits for a core, asked every 20 ms for so long."""

    def ask() -> None:
        # Not ready is said as a problem, and is an answer like another.
        with suppress(ProgramError):
            bot.control.ask("ready")

    lags = rig.Lags(ask, bot.program.process.pid)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lags.once()
        time.sleep(ASK_S)
    lags.close()
    return float(p(lags.net_ms, 0.99))


def watch(venue: Exchange, bot: Daemon, minutes: float) -> list[Look]:
    """Look every ten seconds."""
    looks: list[Look] = []
    before = lag_buckets(bot.metrics())
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        net_ms = asked(bot, LOOK_S)
        venue.program.check()
        bot.program.check()
        metrics = bot.metrics()
        after = lag_buckets(metrics)
        looks.append(
            Look(
                rss_mib=resident_mib(bot.program.process.pid),
                files=value(metrics, "process_open_fds"),
                tasks=value(metrics, "hedgegrid_tasks"),
                fills=value(metrics, "hedgegrid_fills_total"),
                ticks=value(metrics, "hedgegrid_ticks_total"),
                lag_p99_s=p99(before, after),
                net_ms=net_ms,
                exchange_mib=resident_mib(venue.program.process.pid),
            )
        )
        before = after
        if len(looks) % 6 == 0:
            sys.stderr.write(f"{len(looks) * LOOK_S / 60:.0f} min {looks[-1]}\n")
    return looks


def growth(looks: Sequence[Look], name: str) -> float:
    """Median of the last quarter minus median of the second."""
    values = [getattr(look, name) for look in looks]
    quarter = max(1, len(values) // 4)
    return float(statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter]))


def ended_equal(venue: Exchange, bot: Daemon, symbol: str) -> list[str]:
    """With the market standing: what differs between the books, and what is not covered."""
    venue.admin("POST", "/pause")

    def look() -> list[str]:
        truth = venue.truth()
        belief = daemon_books(bot.control.ask("status"), bot.control.ask("orders"), symbol)
        return differences(exchange_books(truth, symbol), belief) + uncovered(truth, symbol)

    try:
        until(lambda: not look(), "books are equal", 40.0, bot.program)
    except ProgramError:
        return look()
    return []


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when nothing grew and the books are equal."""
    arguments = [
        "--market",
        "synthetic",
        "--speed",
        str(options.speed),
        "--tick-rate",
        str(options.tick_rate),
    ]
    arguments += ["--no-rate-limits", "--seed", str(options.seed)]
    grids = [grid_of("BTCUSDT", options.grid)]
    with exchange(arguments, folder / "exchange.log") as venue, daemon(folder, venue, grids) as bot:
        until(lambda: bot.control.ask("ready")["ready"], "ready", 60, bot.program)
        began = time.monotonic()
        looks = watch(venue, bot, options.minutes)
        elapsed_s = time.monotonic() - began
        found = ended_equal(venue, bot, "BTCUSDT")
    lags = [look.lag_p99_s for look in looks]
    net_ms = statistics.median(look.net_ms for look in looks)
    ticks_per_s, wanted = looks[-1].ticks / elapsed_s, options.speed * options.tick_rate
    grown = {name: growth(looks, name) for name in (*GROWTH_MAX, "exchange_mib")}
    rows: list[tuple[str, object]] = [
        ("wall minutes", round(elapsed_s / 60, 1)),
        ("market hours", round(elapsed_s * options.speed / 3600, 1)),
        ("ticks/s, of those asked for", f"{ticks_per_s:.0f} of {wanted:.0f}"),
        ("fills", looks[-1].fills),
        ("rss MiB, last", round(looks[-1].rss_mib, 1)),
        *((f"growth of {name}", round(amount, 1)) for name, amount in grown.items()),
        ("loop lag p99 s, median of looks", statistics.median(lags)),
        ("loop lag p99 s, worst look", max(lags)),
        ("loop asked from outside, p99 ms net, median of looks", round(net_ms, 2)),
        ("differences at the end", found or "none"),
    ]
    print(table(rows))
    bad = [
        *found,
        *(f"{name} grew by {grown[name]:.1f}" for name, most in GROWTH_MAX.items() if grown[name] > most),
        *([f"lag p99 {net_ms:.1f} ms net"] if net_ms >= LAG_MS_MAX else []),
        *([f"{ticks_per_s:.0f} ticks/s of {wanted:.0f}"] if ticks_per_s < ENOUGH * wanted else []),
    ]
    print("FAIL: " + "; ".join(bad) if bad else "PASS: nothing grew, no lag, books equal")
    return 1 if bad else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument("--minutes", type=float, default=24, help="of wall time (default %(default)s)")
    line.add_argument(
        "--speed", type=int, default=60, help="market clock over wall clock (default %(default)s)"
    )
    line.add_argument("--tick-rate", type=float, default=0.5, help="ticks a second of market time")
    line.add_argument("--seed", type=int, default=1)
    line.add_argument(
        "--grid", action="append", default=[], metavar="NAME=VALUE", help="override of a [[grid]] field"
    )
    options = line.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="hedgegridd-soak-") as name:
            return drive(options, Path(name))
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"soak: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

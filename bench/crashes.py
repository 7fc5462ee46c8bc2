"""Kills the daemon at random moments of a replay and starts it again each time; nothing may be lost or doubled.

    python -m bench.crashes --data BARS.csv.gz --minutes 1440 --kills 20

Between the kills it is `bench.replay`. A kill (`kill -9`) comes at a random place of a minute, within the first tenth of a
second after its ticks went out; then the market goes on for some seconds without the daemon. Looked at each time: did every
leg with inventory keep its stop at the exchange, at the kill and after the seconds without anybody; is all inventory covered
within 2 s of READY; are no two orders of one rung at the exchange, at the kill and after the restart. Books are compared at
points after every restart and at the end. A run in which no kill met inventory has proven nothing, and fails.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.replay import Deadlines, Replay, grid_of
from bench.replay import parser as replay_parser
from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import (
    Daemon,
    Exchange,
    ProgramError,
    RunConfig,
    exchange,
    running,
    until,
    write_config,
)
from tests.support.truth import table, uncovered

AWAY_MS = 5_000  # of market time, while nobody trades
COVER_S = 2.0
# A start reads much of the venue; after several in a minute the daemon waits for the next minute's request weight.
DEADLINES = Deadlines(point_s=75.0)
HISTORY = 240  # minutes of the bars that lie before the run
MOMENT_S = 0.1  # a kill comes within so long after the ticks that it interrupts


class Crash(msgspec.Struct):
    """One kill: what was held and rested then, and what was not right; times in seconds."""

    minute: int
    held: dict[str, str]
    orders: int
    naked_while_away: list[str]
    ready_s: float
    cover_s: float
    doubled: list[str]


def doubled(truth: dict[str, Any]) -> list[str]:
    """Rungs that have more than one entry at the exchange, and legs with more than one closePosition stop."""
    tags = [parse_client_order_id(str(order["clientOrderId"])) for order in truth["open_orders"]]
    rungs = Counter((tag.leg, tag.level) for tag in tags if tag is not None and tag.purpose is Purpose.ENTRY)
    stops = Counter(order["positionSide"] for order in truth["algo_orders"])
    found = [f"{leg} rung {level}: {count} entries" for (leg, level), count in rungs.items() if count > 1]
    return found + [f"{leg}: {count} stops" for leg, count in stops.items() if count > 1]


def naked(truth: dict[str, Any], symbol: str) -> list[str]:
    """Legs with inventory and no stop at the exchange."""
    return [line for line in uncovered(truth, symbol) if "stop" in line]


def kill_amid(venue: Exchange, bot: Daemon, rng: random.Random) -> None:
    """`kill -9` at a random moment after the ticks of a random part of a minute."""
    killer = threading.Timer(rng.uniform(0, MOMENT_S), bot.program.kill)
    killer.start()
    venue.step(rng.randint(1_000, 59_000), 0, int(MOMENT_S * 1000))
    killer.join()


def life(
    venue: Exchange, config: RunConfig, spent: argparse.Namespace, log: str, rng: random.Random
) -> tuple[Replay, float, float, list[str]]:
    """One life of the daemon: ready, covered, not doubled, its minutes, books equal, then killed at work."""
    began = time.monotonic()
    with running(config, log=log) as bot:
        replay = Replay(venue, bot, spent, DEADLINES)
        market_ms = replay.until_ready()
        ready_s = time.monotonic() - began
        began = time.monotonic()
        until(lambda: not uncovered(venue.truth(), spent.symbol), "covered", COVER_S, bot.program)
        cover_s = time.monotonic() - began
        replay.to_full_minute(market_ms)
        twice = doubled(venue.truth())
        replay.run()
        kill_amid(venue, bot, rng)
    return replay, ready_s, cover_s, twice


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when nothing was lost, doubled or left unprotected."""
    rng = random.Random(options.seed)
    share = options.minutes // (options.kills + 1)
    arguments = ["--market", "replay", "--data", str(options.data.resolve()), "--start-paused"]
    arguments += ["--no-rate-limits", "--seed", str(options.seed), "--symbols", options.symbol]
    arguments += [
        "--history-bars",
        str(HISTORY),
    ]  # warm from the start: a grid that waits for bars has no orders
    crashes: list[Crash] = []
    findings: list[str] = []
    minute = 0
    with exchange(arguments, folder / "exchange.log") as venue:
        config = write_config(folder, venue, [grid_of(options.symbol, options.grid)])
        for number in range(options.kills + 1):
            minutes = rng.randint(max(2, share // 2), max(3, share + share // 2))
            spent = argparse.Namespace(**{**vars(options), "minutes": minutes, "points": 1})
            replay, ready_s, cover_s, twice = life(venue, config, spent, f"daemon-{number}.log", rng)
            minute += replay.outcome.minutes
            findings += replay.outcome.findings
            truth = venue.truth()
            held = {leg: str(row["qty"]) for leg, row in truth["legs"].items() if float(row["qty"])}
            gone = naked(truth, options.symbol)
            venue.step(AWAY_MS, 10, 5_000)
            gone += naked(venue.truth(), options.symbol)
            resting = len(truth["open_orders"])
            twice += doubled(truth)
            crashes.append(Crash(minute, held, resting, gone, round(ready_s, 2), round(cover_s, 3), twice))
            sys.stderr.write(f"{number + 1}/{options.kills + 1} {crashes[-1]}\n")
        truth = venue.truth()
    summary = {
        "minutes": minute,
        "kills": len(crashes),
        "kills_with_inventory": sum(bool(crash.held) for crash in crashes),
        "findings": len(findings),
        "naked_while_away": sum(bool(crash.naked_while_away) for crash in crashes),
        "doubled": sum(bool(crash.doubled) for crash in crashes),
        "slowest_ready_s": max(crash.ready_s for crash in crashes),
        "slowest_cover_s": max(crash.cover_s for crash in crashes),
        "invariant": truth["invariant"],
    }
    print(json.dumps([msgspec.to_builtins(crash) for crash in crashes]))
    print("\n".join(findings))
    print(table(list(summary.items())))
    failed = findings or summary["naked_while_away"] or summary["doubled"] or truth["invariant"] != "ok"
    if not summary["kills_with_inventory"]:
        print("FAIL: no kill met inventory, so nothing was proven of it (more --minutes, a narrower --grid)")
        return 1
    print("FAIL" if failed else "PASS: nothing lost, doubled or unprotected")
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = replay_parser()
    line.prog, line.description = "python -m bench.crashes", (__doc__ or "").partition("\n")[0]
    line.add_argument("--kills", type=int, default=20, help="how often it is killed (default %(default)s)")
    options = line.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="hedgegridd-crashes-") as name:
            return drive(options, options.keep or Path(name))
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"crashes: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

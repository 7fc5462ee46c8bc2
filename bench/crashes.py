"""Kills the daemon at random moments of a replay and starts it again each time; nothing may be lost or doubled.

    python -m bench.crashes --data BARS.csv.gz --minutes 1440 --kills 20

Between the kills it is `bench.replay`. A kill comes in the middle of a minute, while messages are under way: `kill -9`,
then the market goes on for some seconds without the daemon. Looked at each time: did every leg with inventory keep its
stop at the exchange while nobody was there; is all inventory covered within 2 s of READY; are no two orders of one rung
at the exchange. Books are compared at points after every restart and at the end.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.replay import Replay, grid_of
from bench.replay import parser as replay_parser
from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import Exchange, ProgramError, RunConfig, exchange, running, until, write_config
from tests.support.truth import table, uncovered

AWAY_MS = 5_000  # of market time, while nobody trades
COVER_S = 2.0


class Crash(msgspec.Struct):
    """One kill; times in seconds."""

    minute: int
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


def life(
    venue: Exchange, config: RunConfig, options: argparse.Namespace, minutes: int, log: str
) -> tuple[Replay, float, float]:
    """One life of the daemon: ready, covered, `minutes` minutes, books equal, then `kill -9` while it works."""
    began = time.monotonic()
    with running(config, log=log) as bot:
        spent = argparse.Namespace(**{**vars(options), "minutes": minutes, "points": 1})
        replay = Replay(venue, bot, spent)
        replay.prepare()
        ready_s = time.monotonic() - began
        began = time.monotonic()
        until(lambda: not uncovered(venue.truth(), options.symbol), "covered", COVER_S, bot.program)
        cover_s = time.monotonic() - began
        replay.run()
        venue.admin("POST", "/step", {"ms": 20_000, "quiet_ms": 0, "timeout_ms": 100})
        bot.program.kill()
    return replay, ready_s, cover_s


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when nothing was lost, doubled or left unprotected."""
    rng = random.Random(options.seed)
    share = options.minutes // (options.kills + 1)
    arguments = ["--market", "replay", "--data", str(options.data.resolve()), "--start-paused"]
    arguments += ["--no-rate-limits", "--seed", str(options.seed), "--symbols", options.symbol]
    crashes: list[Crash] = []
    findings: list[str] = []
    minute = 0
    with exchange(arguments, folder / "exchange.log") as venue:
        config = write_config(folder, venue, [grid_of(options.symbol, options.grid)])
        for number in range(options.kills + 1):
            minutes = rng.randint(max(2, share // 2), max(3, share + share // 2))
            replay, ready_s, cover_s = life(venue, config, options, minutes, f"daemon-{number}.log")
            minute += replay.outcome.minutes
            findings += replay.outcome.findings
            truth = venue.truth()
            gone = naked(truth, options.symbol)
            venue.step(AWAY_MS, 10, 5_000)
            crashes.append(Crash(minute, gone, round(ready_s, 2), round(cover_s, 3), doubled(truth)))
            sys.stderr.write(f"{number + 1}/{options.kills + 1} {crashes[-1]}\n")
        truth = venue.truth()
    summary = {
        "minutes": minute,
        "kills": len(crashes),
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

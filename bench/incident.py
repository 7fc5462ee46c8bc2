"""The recorded crash, told afterwards: `session_drawdown` must trip, the account be flat, and the journal tell the story.

    python -m bench.incident --data BARS.csv.gz

Replays the last day of the data, in which the price falls by an eighth, with a limit that the fall must pass. Judged by the
exchange: flat and without orders from the trip's HALTED on, through further minutes of the market and a restart after
`kill -9`. Then `hedgegridctl journal verify` and `journal explain` of the trip are run on the state folder and printed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.replay import Replay, grid_of
from bench.replay import parser as replay_parser
from tests.support.programs import (
    ROOT,
    Daemon,
    Exchange,
    ProgramError,
    RunConfig,
    exchange,
    running,
    write_config,
)
from tests.support.truth import MINUTE_MS, entries_at, exchange_books, table

BARS = 30_299
DAYS_MIN = 1_500  # the last day: from 41,000 down to 36,000
AFTER_MIN = 60  # of market, in which nothing may be traded any more
LIMIT_PCT = Decimal(2)
HALTED_STEPS = 60


class Incident:
    """One run: minutes until the trip, the trip, the time after it."""

    def __init__(self, venue: Exchange, options: argparse.Namespace) -> None:
        self._venue = venue
        self._options = options
        self.minutes = 0
        self.findings: list[str] = []
        self.trip: dict[str, Any] = {}
        self.held: dict[str, str] = {}
        self.wallet_before = ""

    def until_tripped(self, bot: Daemon) -> None:
        """Minute by minute until the kill switch leaves ARMED. Raises ProgramError when it never does."""
        replay = Replay(self._venue, bot, self._options)
        replay.prepare()
        while self.minutes < self._options.minutes:
            truth = self._venue.truth()
            self.held = {leg: str(row["qty"]) for leg, row in truth["legs"].items()}
            self.wallet_before = str(truth["wallet"])
            step = self._venue.step(MINUTE_MS, self._options.quiet_ms, 10_000)
            self.minutes += 1
            self.trip = dict(bot.control.ask("status")["kill_switch"])
            if self.trip["state"] != "ARMED":
                return
            if step["ended"]:
                break
        raise ProgramError(f"{self.minutes} minutes of the fall, and nothing has tripped")

    def until_halted(self, bot: Daemon) -> None:
        """Until the daemon says that the venue has nothing left; the exchange must say so too."""
        for _ in range(HALTED_STEPS):
            self.trip = dict(bot.control.ask("status")["kill_switch"])
            if self.trip["state"] == "HALTED":
                break
            self._venue.step(1_000, self._options.quiet_ms, 10_000)
            time.sleep(0.05)
        else:
            self.findings.append(f"not HALTED: {self.trip}")
        self.flat("at HALTED")

    def flat(self, when: str) -> None:
        """Nothing of ours is at the exchange."""
        truth = self._venue.truth()
        books = exchange_books(truth, self._options.symbol)
        left = [f"{name} {leg.qty}" for name, leg in books.legs.items() if leg.qty] + sorted(books.orders)
        if left:
            self.findings.append(f"{when} the exchange has {left[:5]}")
        if truth["invariant"] != "ok":
            self.findings.append(f"exchange: {truth['invariant']}")

    def onwards(self, bot: Daemon, minutes: int) -> None:
        """The market goes on; a latched daemon does not."""
        for _ in range(minutes):
            self._venue.step(MINUTE_MS, self._options.quiet_ms, 10_000)
            if any(entries_at(self._venue.truth(), self._options.symbol).values()):
                self.findings.append("it trades although it is latched")
                return
        state = bot.control.ask("status")["kill_switch"]["state"]
        if state != "HALTED":
            self.findings.append(f"it is {state}, and nobody has rearmed it")


def ctl(config: RunConfig, *words: str) -> tuple[int, str]:
    """`hedgegridctl` with these words: exit code, and what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", "hedgegridd.ctl.main", *words, "-c", str(config.path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **config.environment, "PYTHONPATH": str(ROOT), "COLUMNS": "140"},
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when the trip, the account and the story are as they must be."""
    arguments = ["--market", "replay", "--data", str(options.data.resolve()), "--start-paused"]
    arguments += ["--no-rate-limits", "--symbols", options.symbol, "--deposit", str(options.deposit)]
    arguments += ["--seed", str(options.seed), "--history-bars", str(BARS - options.minutes)]
    guard = {"type": "session_drawdown", "trip_pct": options.limit}
    quota = {"type": "call_quota", "per_10s": 5_000, "per_minute": 20_000, "per_hour": 500_000}
    with exchange(arguments, folder / "exchange.log", deadline_s=60) as venue:
        config = write_config(folder, venue, [grid_of(options.symbol, options.grid)], guards=[guard, quota])
        incident = Incident(venue, options)
        with running(config) as bot:
            incident.until_tripped(bot)
            incident.until_halted(bot)
            incident.onwards(bot, AFTER_MIN // 2)
            bot.program.kill()
        with running(config, log="second.log") as bot:
            incident.onwards(bot, AFTER_MIN // 2)
            incident.flat("after a restart")
        wallet = str(venue.truth()["wallet"])
    trip = incident.trip
    if "session_drawdown" not in str(trip["cause"]):
        incident.findings.append(f"tripped by {trip['cause']}")
    stories = {name: ctl(config, "journal", *words) for name, words in _stories(trip).items()}
    for name, (code, text) in stories.items():
        print(f"$ hedgegridctl journal {name}\n{text}")
        if code:
            incident.findings.append(f"journal {name}: exit {code}")
    told = stories["explain"][1]
    for word in ("session_drawdown", str(trip["trip_id"]), "LONG", "flat"):
        if word not in told:
            incident.findings.append(f"the story does not tell of {word}")
    print(
        table(
            [
                ("minutes until the trip", incident.minutes),
                ("held before it", json.dumps(incident.held)),
                ("wallet before, after", f"{incident.wallet_before}, {wallet}"),
                ("trip", f"{trip['trip_id']} {trip['action']}: {trip['cause']}"),
            ]
        )
    )
    print("\n".join(incident.findings) or "PASS: tripped, verified flat, latched over a restart, and told")
    return 1 if incident.findings else 0


def _stories(trip: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {"verify": ("verify",), "explain": ("explain", str(trip["trip_id"]))}


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = replay_parser()
    line.prog, line.description = "python -m bench.incident", (__doc__ or "").partition("\n")[0]
    line.set_defaults(minutes=DAYS_MIN, deposit=2_000, quiet_ms=12)
    line.add_argument("--limit", type=Decimal, default=LIMIT_PCT, help="% of drawdown (default %(default)s)")
    options = line.parse_args(argv)
    try:
        if options.keep:
            options.keep.mkdir(parents=True)
            return drive(options, options.keep)
        with tempfile.TemporaryDirectory(prefix="hedgegridd-incident-") as name:
            return drive(options, Path(name))
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"incident: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Kills the daemon at random moments and starts it again each time; nothing may be lost, doubled or left unprotected.

    python -m bench.crashes --data BARS.csv.gz --kills 200 --out crashes.jsonl

It trades recorded minutes of the paper exchange (`bench.replay`) and is killed (`kill -9`) at a random moment of

    work     the tenth of a second after the ticks of a random part of a minute went out
    start    its start, from the first instruction to READY
    flatten  `flatten both`, trip: `kill` with either action, stop: SIGTERM; each under way

Then the market goes on for some seconds without it. Looked at each time: did every leg with inventory keep its stop at the
exchange, at the kill and after the seconds without anybody; are no two entries of one rung and no two stops of a leg there,
at the kill and after the restart. The next life must know what the last one had begun: a removal that the exchange has seen
is finished, verified flat, and latched until it is released; books are equal, all inventory covered 2 s after READY.

Pieces of `--piece` kills have an exchange and a state of their own, at their own place in the data; a piece that stands
in `--out` is not run again. A run in which no kill met inventory, or a kind never came, has proven nothing, and fails.
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
from hedgegridd.core.flatten_worker import FLATTEN_LEVEL
from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import (
    Daemon,
    Exchange,
    ProgramError,
    RunConfig,
    end_with_programs,
    exchange,
    running,
    until,
    write_config,
)
from tests.support.truth import LEGS, entries_at, exchange_books, instrument_of, table, uncovered

KINDS = ("work", "work", "work", "start", "start", "flatten", "trip", "stop")  # as often as they stand here
AWAY_MS = 5_000  # of market time, while nobody trades
COVER_S = 2.0
REMOVED_S = 60.0  # what the last life had begun to remove, from the start of the next
MOMENT_S = {"work": 0.1, "start": 2.0, "flatten": 0.25, "trip": 0.25, "stop": 0.5}  # a kill comes within
DEADLINES = Deadlines(point_s=75.0)
HISTORY = 240  # minutes of the bars that lie before a piece: a grid that waits for bars has no orders
PIECE_MINUTES = 1_200  # of the data, from one piece to the next
WEIGHT_MAX = (
    1_500  # used of the venue's minute: above it the next start waits, or the daemon's own reserve would
)


class Crash(msgspec.Struct):
    """One kill: what was held and rested then, and what was not right; times in seconds."""

    piece: int
    kind: str
    after_s: float
    held: dict[str, str]
    orders: int
    removing: bool
    taken_up: str = ""  # what this life found of the last one's removal, and finished
    ready_s: float | None = None
    cover_s: float | None = None
    findings: list[str] = []


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


class Piece:
    """Some kills on one exchange and one state folder."""

    def __init__(self, number: int, venue: Exchange, config: RunConfig, options: argparse.Namespace) -> None:
        self._number = number
        self._venue = venue
        self._config = config
        self._options = options
        self._rng = random.Random(f"{options.seed}/{number}")
        self._symbol: str = options.symbol
        self._last_order = 1
        self._removing = False  # the exchange has seen the last life begin a removal
        self._entries = 0  # at the exchange, before the deed
        self.minutes = 0

    def run(self, kills: int) -> list[Crash]:
        """So many lives and their ends."""
        return [self._life(number) for number in range(kills)]

    def _life(self, number: int) -> Crash:
        self._pace()
        kind = self._rng.choice(KINDS)
        crash = Crash(self._number, kind, 0.0, {}, 0, removing=False)
        began_s = time.monotonic()
        with running(self._config, log=f"daemon-{number}.log") as bot:
            if kind == "start":
                self._starting(bot, crash)
            else:
                self._up(bot, crash, began_s)
                self._minutes(bot, crash)
                self._deed(bot, crash)
        self._after(crash)
        sys.stderr.write(f"piece {self._number} kill {number + 1} {crash}\n")
        return crash

    def _pace(self) -> None:
        """Many starts a minute would use up the daemon's own request weight: then it waits, and so would we."""
        while self._venue.admin("GET", "/health")["used_weight_1m"] > WEIGHT_MAX:
            self._venue.premium_index(self._symbol)  # the count is of the minute of the last request
            time.sleep(1)

    # --- one life -------------------------------------------------------------------------------------------

    def _step(self, ms: int) -> dict[str, Any]:
        return self._venue.step(ms, self._options.quiet_ms, 10_000)

    def _kill_within(self, bot: Daemon, crash: Crash) -> threading.Timer:
        after_s = self._rng.uniform(0, MOMENT_S[crash.kind])
        crash.after_s = round(after_s, 3)
        killer = threading.Timer(after_s, bot.program.kill)
        killer.start()
        return killer

    def _starting(self, bot: Daemon, crash: Crash) -> None:
        """Killed on the way to READY; the market moves, for it waits for prices."""
        killer = self._kill_within(bot, crash)
        while killer.is_alive():
            self._venue.step(500, 5, 1_000)
        killer.join()

    def _up(self, bot: Daemon, crash: Crash, began_s: float) -> None:
        """Reconciled; a removal of the last life finished and released; READY, covered, nothing doubled."""
        status = self._until(bot, lambda s: s["reconciled"] and s["instruments"], "reconciled", 90)
        legs = instrument_of(status, self._symbol)["legs"]
        state = str(status["kill_switch"]["state"])
        latched = [name for name in LEGS if legs[name]["latched"]]
        if state in ("TRIPPED", "HALTED"):
            self._finish_trip(bot, crash)
        elif latched or any(item["state"] != "flat" for item in status["flattens"]):
            self._finish_flatten(bot, crash)
        elif self._removing:
            crash.findings.append("the exchange had seen a removal begin, and this life knows of none")
        self._removing = False
        self._until(bot, lambda _: bool(bot.control.ask("ready")["ready"]), "ready", 90)
        crash.ready_s = round(time.monotonic() - began_s, 2)
        covered_s = time.monotonic()
        try:
            until(lambda: not uncovered(self._venue.truth(), self._symbol), "covered", COVER_S, bot.program)
        except ProgramError:
            crash.findings += uncovered(self._venue.truth(), self._symbol)
        crash.cover_s = round(time.monotonic() - covered_s, 3)
        crash.findings += doubled(self._venue.truth())

    def _until(self, bot: Daemon, look: Any, what: str, deadline_s: float) -> dict[str, Any]:
        """Step second by second until `status` satisfies `look`. Raises ProgramError."""
        end_s = time.monotonic() + deadline_s
        while True:
            bot.program.check()
            self._step(1_000)
            status = bot.control.ask("status")
            if look(status):
                return status
            if time.monotonic() > end_s:
                raise ProgramError(
                    f"not within {deadline_s} s: {what}; {status['wrong']}\n{bot.program.tail()}"
                )

    def _finish_trip(self, bot: Daemon, crash: Crash) -> None:
        status = self._until(bot, lambda s: s["kill_switch"]["state"] == "HALTED", "HALTED", REMOVED_S)
        crash.taken_up = f"trip ({status['kill_switch']['action']})"
        self._must_be_gone(crash, flat=status["kill_switch"]["action"] == "flatten")

        def rearmed(_: object) -> bool:
            try:
                bot.control.ask("rearm", reason="the drill goes on")
            except ProgramError:
                return False  # refused while a feed is down
            return True

        self._until(bot, rearmed, "rearmed", 30)

    def _finish_flatten(self, bot: Daemon, crash: Crash) -> None:
        crash.taken_up = "flatten"
        self._until(
            bot, lambda s: not any(f["state"] != "flat" for f in s["flattens"]), "verified flat", REMOVED_S
        )
        self._must_be_gone(crash, flat=True)
        bot.control.ask("resume")

    def _must_be_gone(self, crash: Crash, *, flat: bool) -> None:
        truth = self._venue.truth()
        left = [f"{leg}: {len(ids)} entries" for leg, ids in entries_at(truth, self._symbol).items() if ids]
        if flat:
            books = exchange_books(truth, self._symbol)
            left += [f"{name} {leg.qty}" for name, leg in books.legs.items() if leg.qty]
            left += [f"order {name}" for name in books.orders]
        crash.findings += [f"said to be removed, but the exchange has {line}" for line in left]

    def _minutes(self, bot: Daemon, crash: Crash) -> None:
        """Some minutes as `bench.replay` has them, books compared at the end."""
        minutes = self._rng.randint(2, 5)
        spent = argparse.Namespace(**{**vars(self._options), "minutes": minutes, "points": 0})
        replay = Replay(self._venue, bot, spent, DEADLINES)
        replay.to_full_minute(int(self._step(0)["market_ms"]))
        replay.run()
        self.minutes += replay.outcome.minutes
        crash.findings += replay.outcome.findings
        rows = self._venue.orders_from(self._symbol, self._last_order)
        self._last_order = max((int(row["orderId"]) for row in rows), default=self._last_order - 1) + 1
        self._entries = sum(map(len, entries_at(self._venue.truth(), self._symbol).values()))

    def _deed(self, bot: Daemon, crash: Crash) -> None:
        """The kill, amid what its kind says."""
        if crash.kind == "work":
            killer = self._kill_within(bot, crash)
            self._venue.step(self._rng.randint(1_000, 59_000), 0, 100)
            killer.join()
            return
        asker = threading.Thread(target=self._ask, args=(bot, crash.kind), daemon=True)
        asker.start()
        self._kill_within(bot, crash).join()
        asker.join(15)

    def _ask(self, bot: Daemon, kind: str) -> None:
        try:
            if kind == "flatten":
                bot.control.ask("flatten", side="both", reason="drill", deadline_s=5)
            elif kind == "trip":
                action = self._rng.choice(("flatten", "halt"))
                bot.control.ask("kill", reason="drill", action=action, deadline_s=5)
            else:
                bot.program.process.terminate()
        except (ProgramError, OSError):
            return  # killed before it could answer: that is the drill

    def _after(self, crash: Crash) -> None:
        """The exchange at the kill, and some seconds of market later."""
        truth = self._venue.truth()
        crash.held = {leg: str(row["qty"]) for leg, row in truth["legs"].items() if float(row["qty"])}
        crash.orders = len(truth["open_orders"])
        crash.findings += [f"at the kill: {line}" for line in (*naked(truth, self._symbol), *doubled(truth))]
        rows = self._venue.orders_from(self._symbol, self._last_order)
        tags = [parse_client_order_id(str(row["clientOrderId"])) for row in rows]
        crash.removing = any(tag is not None and tag.level == FLATTEN_LEVEL for tag in tags)
        if (
            crash.kind in ("flatten", "trip") and self._entries
        ):  # the market stands: nothing else takes an entry away
            left = sum(map(len, entries_at(truth, self._symbol).values()))
            crash.removing = crash.removing or left < self._entries
        self._removing = self._removing or crash.removing
        self._venue.step(AWAY_MS, 10, 5_000)
        later = self._venue.truth()
        crash.findings += [f"while away: {line}" for line in (*naked(later, self._symbol), *doubled(later))]
        if later["invariant"] != "ok":
            crash.findings.append(f"exchange: {later['invariant']}")


def run_piece(number: int, kills: int, options: argparse.Namespace, folder: Path) -> list[Crash]:
    """One piece with its programs in `folder`."""
    arguments = ["--market", "replay", "--data", str(options.data.resolve()), "--start-paused"]
    arguments += ["--no-rate-limits", "--seed", str(options.seed), "--symbols", options.symbol]
    arguments += ["--history-bars", str(HISTORY + number * PIECE_MINUTES)]
    with exchange(arguments, folder / "exchange.log", deadline_s=60) as venue:
        config = write_config(folder, venue, [grid_of(options.symbol, options.grid)])
        return Piece(number, venue, config, options).run(kills)


def summary(crashes: Sequence[Crash]) -> dict[str, object]:
    """The figures of all kills."""
    kinds = Counter(crash.kind for crash in crashes)
    ready = sorted(crash.ready_s for crash in crashes if crash.ready_s is not None)
    return {
        "kills": len(crashes),
        **{f"amid {kind}": kinds[kind] for kind in dict.fromkeys(KINDS)},
        "with inventory": sum(bool(crash.held) for crash in crashes),
        "removal under way at the kill": sum(crash.removing for crash in crashes),
        "removals taken up and finished": sum(bool(crash.taken_up) for crash in crashes),
        "findings": sum(len(crash.findings) for crash in crashes),
        "READY after s (median, slowest)": f"{ready[len(ready) // 2]}, {ready[-1]}" if ready else "-",
        "covered after READY, slowest s": max((crash.cover_s or 0.0 for crash in crashes), default=0.0),
    }


def drive(options: argparse.Namespace) -> int:
    """All pieces; 0 when nothing was lost, doubled or left unprotected, and enough was tried to say so."""
    done: dict[int, list[Crash]] = {}
    if options.out and options.out.exists():
        for line in options.out.read_bytes().splitlines():
            piece = msgspec.json.decode(line, type=list[Crash])
            done[piece[0].piece] = piece
    for number, first in enumerate(range(0, options.kills, options.piece)):
        if number in done:
            continue
        with tempfile.TemporaryDirectory(prefix="hedgegridd-crashes-") as name:
            folder = Path(name) if options.keep is None else options.keep / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            done[number] = run_piece(number, min(options.piece, options.kills - first), options, folder)
        if options.out:
            with options.out.open("ab") as out:
                out.write(msgspec.json.encode(done[number]) + b"\n")
    crashes = [crash for number in sorted(done) for crash in done[number]]
    if options.json:
        options.json.write_text(json.dumps(msgspec.to_builtins(crashes)))
    for crash in crashes:
        for finding in crash.findings:
            print(f"piece {crash.piece}, {crash.kind}: {finding}")
    figures = summary(crashes)
    print(table(list(figures.items())))
    untried = [kind for kind in dict.fromkeys(KINDS) if not figures[f"amid {kind}"]]
    if not figures["with inventory"] or (untried and options.kills >= options.piece):
        print(f"FAIL: nothing was proven of inventory, or of kills amid {', '.join(untried) or 'it'}")
        return 1
    print("FAIL" if figures["findings"] else "PASS: nothing lost, doubled or unprotected")
    return 1 if figures["findings"] else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = replay_parser()
    line.prog, line.description = "python -m bench.crashes", (__doc__ or "").partition("\n")[0]
    line.set_defaults(quiet_ms=12)
    line.add_argument("--kills", type=int, default=200, help="how often it is killed (default %(default)s)")
    line.add_argument("--piece", type=int, default=20, help="kills of a piece (default %(default)s)")
    line.add_argument("--out", type=Path, help="JSON lines, one a piece; those there are not run again")
    options = line.parse_args(argv)
    if options.kills < 1 or options.piece < 1:
        raise SystemExit("--kills and --piece must be at least 1")
    end_with_programs()
    try:
        return drive(options)
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"crashes: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

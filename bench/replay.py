"""Drives the daemon through recorded minutes on the paper exchange and compares its books with the truth.

    python -m bench.replay --data BARS.csv.gz --minutes 1440

Starts `hedgegridd exchange` (replay, paused, rate limits counted but not enforced) and `hedgegridd run`, then steps the
market minute by minute, waiting each time until no message is under way. After each step every leg with inventory must
have its closePosition stop and take-profits for exactly its quantity at the exchange. At seeded random points and
at the end wallet, legs, orders, algo orders and the fifteen named metrics are compared, to the cent. Prints a JSON
summary and a table; exits 1 on any difference, 2 when a program did not start or ended.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tests.support.programs import Daemon, Exchange, ProgramError, exchange, running, write_config
from tests.support.truth import (
    MINUTE_MS,
    Trades,
    daemon_books,
    differences,
    exchange_books,
    expected_metrics,
    instrument_of,
    metric_differences,
    table,
    uncovered,
)

READY_STEP_MS = 1_000
POLL_S = 0.05
PROGRESS_EVERY = 1_000
KEPT_FINDINGS = 100


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds of wall time to wait: for the daemon to be ready, for exits after a step, for equality at a point."""

    ready_s: float = 90.0
    cover_s: float = 2.0
    point_s: float = 15.0


DEADLINES = Deadlines()

# Their windows are on the wall clock, in which a replay has hours of a market's orders.
UNGUARDED = [
    {"type": name, "enabled": False}
    for name in ("call_quota", "order_errors", "repeated_execution", "slippage")
]


class Outcome(msgspec.Struct):
    """What a run found; `findings` are differences with the minute they were seen at."""

    minutes: int = 0
    points: int = 0
    unsettled_steps: int = 0
    late_covers: int = 0
    findings_total: int = 0
    findings: list[str] = []
    slowest_cover_s: float = 0.0

    def add(self, minute: int, what: str, lines: Sequence[str]) -> None:
        """Keep differences, the first hundred in words."""
        self.findings_total += len(lines)
        for line in lines[: KEPT_FINDINGS - len(self.findings)]:
            self.findings.append(f"minute {minute}, {what}: {line}")


class Replay:
    """One run over one symbol."""

    def __init__(
        self, venue: Exchange, bot: Daemon, options: argparse.Namespace, deadlines: Deadlines = DEADLINES
    ) -> None:
        self._venue = venue
        self._bot = bot
        self._deadlines = deadlines
        self._options = options
        self._symbol: str = options.symbol
        self._trades = Trades()
        self._started = time.monotonic()
        self.outcome = Outcome()

    def prepare(self) -> None:
        """Step until the daemon is ready, then to the next full minute."""
        self.to_full_minute(self.until_ready())

    def until_ready(self) -> int:
        """Step second by second until the daemon is ready (it waits for prices); the market's time then, ms."""
        end = time.monotonic() + self._deadlines.ready_s
        while True:
            self._check()
            market_ms = int(self._step(READY_STEP_MS)["market_ms"])
            ready = self._bot.control.ask("ready")
            if ready["ready"] is True and not self._bot.control.ask("status")["holds"]:
                return market_ms
            if time.monotonic() > end:
                raise ProgramError(
                    f"not ready after {self._deadlines.ready_s} s: {ready}\n{self._bot.program.tail()}"
                )
            time.sleep(POLL_S)

    def to_full_minute(self, market_ms: int) -> None:
        """Step on from `market_ms` to where the next minute begins."""
        if market_ms % MINUTE_MS:
            self._step(MINUTE_MS - market_ms % MINUTE_MS)

    def run(self) -> None:
        """Step through all minutes; compare at the points and at the end."""
        minutes: int = self._options.minutes
        rng = random.Random(self._options.seed)
        points = set(rng.sample(range(1, minutes), min(self._options.points, minutes - 1)))
        ended = False
        while not ended and self.outcome.minutes < minutes:
            step = self._step(MINUTE_MS)
            ended = bool(step["ended"])
            self.outcome.minutes += 1
            self._cover()
            if self.outcome.minutes in points:
                self._compare()
            if self.outcome.minutes % PROGRESS_EVERY == 0:
                self._check()
                sys.stderr.write(
                    f"{self.outcome.minutes}/{minutes} {self.outcome.findings_total} differences\n"
                )
        self._compare()

    def _check(self) -> None:
        self._bot.program.check()
        self._venue.program.check()

    def _step(self, ms: int) -> dict[str, Any]:
        step = self._venue.step(ms, self._options.quiet_ms, 10_000)
        self.outcome.unsettled_steps += not step["settled"]
        return step

    def _cover(self) -> None:
        """Right after a step all inventory must be covered; a step that ended too early may show it a little late."""
        began = time.monotonic()
        missing = uncovered(self._venue.truth(), self._symbol)
        if not missing:
            return
        self.outcome.late_covers += 1
        while missing and time.monotonic() - began < self._deadlines.cover_s:
            self._check()
            time.sleep(POLL_S)
            missing = uncovered(self._venue.truth(), self._symbol)
        self.outcome.slowest_cover_s = max(self.outcome.slowest_cover_s, time.monotonic() - began)
        self.outcome.add(self.outcome.minutes, "cover", missing)

    def _compare(self) -> None:
        """The market stands, so both sides come to rest; what still differs at the deadline is a difference."""
        self.outcome.points += 1
        for what, look in (("books", self._books), ("metrics", self._metrics)):
            self.outcome.add(self.outcome.minutes, what, self._until_equal(look))

    def _until_equal(self, look: Callable[[], list[str]]) -> list[str]:
        end = time.monotonic() + self._deadlines.point_s
        while (found := look()) and time.monotonic() < end:
            self._check()
            time.sleep(POLL_S)
        return found

    def _books(self) -> list[str]:
        truth = self._venue.truth()
        status, orders = self._bot.control.ask("status"), self._bot.control.ask("orders")
        try:
            belief = daemon_books(status, orders, self._symbol)
        except (KeyError, TypeError) as error:
            return [
                f"the daemon's answer lacks a figure: {error!r} in {json.dumps(status, default=str)[:500]}"
            ]
        found = differences(exchange_books(truth, self._symbol), belief)
        if status["settled"] is not True:
            found.append(f"the daemon is not settled: {status.get('unsettled')}, feeds {status['feeds']}")
        if truth["invariant"] != "ok":
            found.append(f"exchange: {truth['invariant']}")
        return found

    def _metrics(self) -> list[str]:
        truth = self._venue.truth()
        self._count_trades()
        rate = Decimal(self._venue.premium_index(self._symbol)["lastFundingRate"])
        expected = expected_metrics(truth, self._symbol, rate, self._trades)
        return metric_differences(
            self._bot.metrics(), expected, self._symbol, time.monotonic() - self._started + 60
        )

    def _count_trades(self) -> None:
        while rows := self._venue.user_trades(self._symbol, self._trades.last_id + 1):
            self._trades.add(rows)

    def summary(self, elapsed_s: float) -> dict[str, object]:
        """The figures of the run; money in USDT."""
        truth = self._venue.truth()
        self._count_trades()
        view = instrument_of(self._bot.control.ask("status"), self._symbol)
        return {
            **msgspec.structs.asdict(self.outcome),
            "elapsed_s": round(elapsed_s, 1),
            "steps_per_s": round(self.outcome.minutes / elapsed_s, 1),
            "speed_x": round(self.outcome.minutes * 60 / elapsed_s),
            "fills": self._trades.fills,
            "maker_fills": self._trades.maker,
            "orders": truth["orders"],
            "deposits_usdt": truth["deposits"],
            "wallet_usdt": truth["wallet"],
            "gross_realized_usdt": truth["realised"],
            "fees_usdt": truth["fees"],
            "funding_usdt": truth["funding"],
            "unrealized_usdt": truth["unrealised"],
            "legs": truth["legs"],
            "recentres": view["recentres"],
            "peak_lots": {name: leg["peak_lots"] for name, leg in view["legs"].items()},
            "entries_dropped": view["entries_dropped"],
            "invariant": truth["invariant"],
        }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.replay", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument("--data", type=Path, required=True, help="bars to replay (CSV or CSV.gz)")
    line.add_argument("--minutes", type=int, default=1440, help="minutes to run (default %(default)s)")
    line.add_argument(
        "--points", type=int, default=20, help="random points of comparison (default %(default)s)"
    )
    line.add_argument("--seed", type=int, default=1, help="of the points and of the path inside bars")
    line.add_argument("--symbol", default="BTCUSDT")
    line.add_argument("--deposit", type=int, default=100_000, help="USDT (default %(default)s)")
    line.add_argument(
        "--history-bars", type=int, default=0, help="bars that warm up instead of being replayed"
    )
    line.add_argument(
        "--quiet-ms", type=int, default=40, help="silence that ends a step (default %(default)s)"
    )
    line.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="override of a [[grid]] field, as TOML",
    )
    line.add_argument(
        "--keep", type=Path, help="folder for config, state and logs (default: a temporary one)"
    )
    line.add_argument("--json", type=Path, help="write the summary there as well")
    return line


def grid_of(symbol: str, overrides: Sequence[str]) -> dict[str, object]:
    """The `[[grid]]` table: defaults and `NAME=VALUE` overrides (`regime.adx_len=20` for a table below it)."""
    grid: dict[str, object] = {"instrument": f"{symbol}-PERP"}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise SystemExit(f"--grid {text}: must be NAME=VALUE")
        parsed = value == "true" if value in ("true", "false") else _number_or_text(value)
        head, dot, tail = name.partition(".")
        if dot:
            below = grid.setdefault(head, {})
            if not isinstance(below, dict):
                raise SystemExit(f"--grid {text}: {head} is not a table")
            below[tail] = parsed
        else:
            grid[name] = parsed
    return grid


def _number_or_text(value: str) -> object:
    try:
        return Decimal(value)
    except ArithmeticError:
        return value


def market_of(options: argparse.Namespace) -> list[str]:
    """The exchange's arguments: recorded bars that stand still until they are stepped."""
    arguments = ["--market", "replay", "--data", str(options.data.resolve()), "--start-paused"]
    arguments += ["--no-rate-limits", "--seed", str(options.seed), "--symbols", options.symbol]
    return [*arguments, "--history-bars", str(options.history_bars)]


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run with its programs in `folder`; 0 when nothing differed."""
    arguments = [*market_of(options), "--deposit", str(options.deposit)]
    grids = [grid_of(options.symbol, options.grid)]
    with (
        exchange(arguments, folder / "exchange.log") as venue,
        running(write_config(folder, venue, grids, guards=UNGUARDED)) as bot,
    ):
        replay = Replay(venue, bot, options)
        replay.prepare()
        began = time.monotonic()
        replay.run()
        summary = replay.summary(time.monotonic() - began)
    text = json.dumps(summary, indent=1, default=str)
    if options.json:
        options.json.write_text(text)
    print(text)
    print(table([(name, value) for name, value in summary.items() if name not in ("findings", "legs")]))
    failed = replay.outcome.findings_total or summary["invariant"] != "ok"
    print(
        "FAIL"
        if failed
        else f"PASS: {replay.outcome.points} points equal, no inventory uncovered after a step"
    )
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    options = parser().parse_args(argv)
    if options.minutes < 2 or options.points < 0:
        raise SystemExit("--minutes must be at least 2, --points at least 0")
    try:
        if options.keep:
            options.keep.mkdir(parents=True)
            return drive(options, options.keep)
        with tempfile.TemporaryDirectory(prefix="hedgegridd-replay-") as name:
            return drive(options, Path(name))
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"replay: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

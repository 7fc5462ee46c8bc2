"""Takes the exchange away from the daemon in every way; it must say so, hold, and come back by itself with equal books.

    python -m bench.outages --restarts 10 --outage-s 600

`kill -9` of the exchange and a start on the same `--state` and ports, ten times; then away for ten minutes; the market
stream frozen; the user stream cut while every new listenKey fails. While something is away `status` must say what is wrong
and, where the venue cannot be read, must not call it safe. Afterwards: settled, books equal, all inventory covered.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.replay import grid_of
from tests.support.programs import (
    Daemon,
    Exchange,
    Program,
    ProgramError,
    daemon,
    free_port,
    printed_addresses,
    until,
)
from tests.support.truth import daemon_books, differences, entries_at, exchange_books, table, uncovered

SYMBOL = "BTCUSDT"
BACK_S = 90.0  # for everything to be right again; the connection's own retries are up to 30 s apart
SAID_S = 15.0
LIMITS = "(rate limits)"
NOTICED_S = 3.0  # an exchange that is away for longer must be missed while it is away


class Venue:
    """An exchange on fixed ports whose state is kept, so that it can be killed and started again."""

    def __init__(self, folder: Path, seed: int, speed: int, more: Sequence[str] = ()) -> None:
        """`more` arguments of `hedgegridd exchange` beside those; `LIMITS` among them: rate limits are enforced."""
        self._folder = folder
        self._count = 0
        self._arguments = ["--state", str(folder / "exchange.db"), "--seed", str(seed), "--speed", str(speed)]
        self._arguments += ["--tick-rate", "0.5", *([] if LIMITS in more else ["--no-rate-limits"])]
        more = [argument for argument in more if argument != LIMITS]
        self._arguments += ["--port", str(free_port()), "--admin-port", str(free_port()), *more]
        self.now: Exchange = self._start()

    def _start(self) -> Exchange:
        self._count += 1
        log = self._folder / f"exchange-{self._count}.log"
        program = Program(["exchange", *self._arguments], log)
        printed = until(lambda: printed_addresses(log), "the exchange is READY", 30, program)
        return Exchange(program, printed)

    def kill(self) -> None:
        """As a power cut would."""
        self.now.close()
        self.now.program.kill()

    def start(self) -> None:
        """Again, with what it had."""
        self.now = self._start()

    def stop(self) -> None:
        """For good."""
        self.now.close()
        self.now.program.stop(10)


@contextmanager
def kept_venue(folder: Path, seed: int, speed: int, more: Sequence[str] = ()) -> Iterator[Venue]:
    """The venue, stopped at the end."""
    venue = Venue(folder, seed, speed, more)
    try:
        yield venue
    finally:
        venue.stop()


def wrong(bot: Daemon) -> dict[str, Any]:
    """`status` when it says that something is wrong, else nothing."""
    status = bot.control.ask("status")
    return status if status["wrong"] else {}


def differs(venue: Venue, bot: Daemon) -> list[str]:
    """What is not as it must be, with the market standing."""
    truth = venue.now.truth()
    status = bot.control.ask("status")
    found = differences(
        exchange_books(truth, SYMBOL), daemon_books(status, bot.control.ask("orders"), SYMBOL)
    )
    found += uncovered(truth, SYMBOL)
    if status["settled"] is not True or status["safe"] != "yes":
        found.append(f"settled {status['settled']}, safe {status['safe']}: {status['wrong']}")
    return found


def heard(venue: Venue) -> bool:
    """Whether the daemon's streams are open at the exchange; without, equal books only mean that nothing has happened."""
    health = venue.now.admin("GET", "/health")
    return bool(health["market_sockets"] and health["user_sockets"])


def recovered(venue: Venue, bot: Daemon, what: str) -> tuple[float, list[str]]:
    """Seconds until everything is right again (the market stands meanwhile), and what was not by then."""
    began = time.monotonic()
    until(
        lambda: heard(venue) and any(entries_at(venue.now.truth(), SYMBOL).values()),
        f"streams and entries after {what}",
        BACK_S,
        bot.program,
    )
    venue.now.admin("POST", "/pause")
    try:
        until(lambda: not differs(venue, bot), f"equal after {what}", BACK_S, bot.program)
        found: list[str] = []
    except ProgramError:
        found = [f"{what}: {line}" for line in differs(venue, bot)]
    venue.now.admin("POST", "/resume")
    return time.monotonic() - began, found


class Drill:
    """One run: what was said, how long it took, what was not right."""

    def __init__(self, venue: Venue, bot: Daemon) -> None:
        self.venue = venue
        self.bot = bot
        self.rows: list[tuple[str, object]] = []
        self.findings: list[str] = []

    def said(self, what: str, *, unsafe: bool) -> None:
        """The daemon must say that something is wrong, and not call it safe where it cannot know."""
        try:
            status = until(lambda: wrong(self.bot), f"said: {what}", SAID_S, self.bot.program)
            if unsafe:
                until(
                    lambda: self.bot.control.ask("status")["safe"] != "yes",
                    "not safe",
                    SAID_S,
                    self.bot.program,
                )
        except ProgramError as error:
            self.findings.append(f"{what}: {str(error)[:200]}")
        else:
            sys.stderr.write(f"{what}: {status['wrong']}\n")

    def back(self, what: str) -> None:
        """Wait for recovery and note it."""
        seconds, found = recovered(self.venue, self.bot, what)
        self.findings += found
        self.rows.append((f"{what}: right again after s", round(seconds, 1)))

    def away(self, what: str, seconds: float) -> None:
        """The exchange is killed and comes back `seconds` later."""
        self.venue.kill()
        began = time.monotonic()
        if seconds > SAID_S:
            self.said(what, unsafe=True)
        elif seconds > NOTICED_S:
            self.missed(what, began + seconds)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        self.venue.start()
        self.back(what)

    def missed(self, what: str, until_s: float) -> None:
        """In a short outage as well: wrong is said, and `safe` is not yes, before it is over."""
        said = unsafe = False
        while time.monotonic() < until_s and not (said and unsafe):
            status = self.bot.control.ask("status")
            said, unsafe = said or bool(status["wrong"]), unsafe or status["safe"] != "yes"
            time.sleep(0.05)
        if not said:
            self.findings.append(f"{what}: nothing was said to be wrong while the exchange was away")
        if not unsafe:
            self.findings.append(f"{what}: it was called safe all the while the exchange was away")

    def fault(self, what: str, seconds: float, *rules: dict[str, object]) -> None:
        """Rules in force for a while; `cut` acts are done once."""
        for rule in rules:
            self.venue.now.admin("POST", "/faults", rule)
        began = time.monotonic()
        self.said(what, unsafe=False)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        self.venue.now.admin("DELETE", "/faults")
        self.back(what)


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when the daemon said so, held and came back each time."""
    rng = random.Random(options.seed)
    listen_key = {"target": "rest", "kind": "status_before", "path": "/fapi/v1/listenKey", "status": 503}
    with kept_venue(folder, options.seed, options.speed) as venue:
        with daemon(folder, venue.now, [grid_of(SYMBOL, options.grid)]) as bot:
            drill = Drill(venue, bot)
            drill.back("start")
            for number in range(options.restarts):
                drill.away(f"restart {number + 1}", rng.uniform(0.2, 5.0))
            drill.away(f"away {options.outage_s:g} s", options.outage_s)
            drill.fault("market frozen 60 s", 60, {"target": "market", "kind": "freeze"})
            drill.fault("user stream dead 40 s", 40, listen_key, {"target": "user", "kind": "cut"})
            drill.fault("user stream silent 90 s", 90, {"target": "user", "kind": "freeze"})
        venue.now.truth()
    print(table(drill.rows))
    print("\n".join(drill.findings))
    print("FAIL" if drill.findings else "PASS: said so, held, came back by itself, books equal")
    return 1 if drill.findings else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.outages", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument("--restarts", type=int, default=10, help="kills of the exchange (default %(default)s)")
    line.add_argument("--outage-s", type=float, default=600, help="seconds away (default %(default)s)")
    line.add_argument("--speed", type=int, default=60)
    line.add_argument("--seed", type=int, default=1)
    line.add_argument(
        "--grid", action="append", default=[], metavar="NAME=VALUE", help="override of a [[grid]] field"
    )
    options = line.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="hedgegridd-outages-") as name:
            return drive(options, Path(name))
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"outages: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""`hedgegridctl panic` past a daemon that is stopped, dead or flooded: `python -m bench.panic --runs 20`.

A real daemon on a real exchange; both legs hold inventory with exits and stops, 100 rungs rest. From the start of
panic's process to the first cancel as the exchange books it (its own clock, ms), and to the end of the process, which
has verified that nothing is left; the exchange is asked as well. After each run the daemon comes back, latched, and is
rearmed; where that does not happen the benchmark fails. Wall times: what else the machine does is in them.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from statistics import median
from typing import NamedTuple

from bench import noise, rig
from bench.flatten import LEVELS, STEP_BPS, prepare
from bench.table import Row, p, text, verdict
from tests.support.panic import Panicked, panic
from tests.support.programs import running
from tests.support.truth import LEGS

FIRST_MS, VERIFIED_MS = 500.0, 2_000.0
BACK_S = 60.0
DEADLINE_S = "30"


class Took(NamedTuple):
    """Milliseconds of wall time since the process was started."""

    first: float
    verified: float


def measured(bot: rig.Bot, since_ms: int) -> Took:
    """One panic; the exchange must agree that nothing is left."""
    done = panic(bot.daemon.config, "--deadline-s", DEADLINE_S)
    assert done.passed, done
    venue = bot.market.venue
    truth = venue.truth()
    assert all(Decimal(truth["legs"][f"{rig.SYMBOL}:{leg}"]["qty"]) == 0 for leg in LEGS), done
    assert not truth["open_orders"], done
    assert not truth["algo_orders"], done
    return Took(
        1e3 * (first_cancel_s(bot, done, since_ms) - done.began_s), 1e3 * (done.ended_s - done.began_s)
    )


def first_cancel_s(bot: rig.Bot, done: Panicked, since_ms: int) -> float:
    """When the exchange booked the first cancel after panic's start (whole ms: up to 1 ms early)."""
    rows = bot.market.venue.orders_since(rig.SYMBOL, since_ms)
    times = [row["updateTime"] / 1e3 for row in rows if row["status"] == "CANCELED"]
    return min(at for at in times if at >= done.began_s - 0.001)


def back(bot: rig.Bot) -> None:
    """The daemon is back: latched by panic, its books the venue's; rearmed."""

    def halted() -> bool:
        switch = bot.ask("status")["kill_switch"]
        return bool(switch and switch["state"] == "HALTED" and "panic by" in switch["cause"])

    bot.wait(halted, "HALTED by panic", BACK_S)
    bot.wait(lambda: bot.ask("status")["reconciled"], "reconciled", BACK_S)
    differences = bot.ask("reconcile")["differences"]
    assert not differences, differences
    bot.wait(lambda: rearmed(bot), "rearmed", BACK_S)


def rearmed(bot: rig.Bot) -> bool:
    try:
        bot.ask("rearm", reason="bench")
    except rig.ProgramError:
        return False  # the guards have not spoken yet, or a feed is down
    return bool(bot.ask("status")["kill_switch"]["state"] == "ARMED")


@contextmanager
def stopped(bot: rig.Bot) -> Iterator[None]:
    os.kill(bot.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bot.pid, signal.SIGCONT)


@contextmanager
def flooded(bot: rig.Bot) -> Iterator[None]:
    bot.market.rate(rig.TICKS_PER_S)
    time.sleep(0.5)  # until it is in it
    try:
        yield
    finally:
        bot.market.rate(0)


def alive(runs: int, how: Callable[[rig.Bot], AbstractContextManager[None]]) -> list[Took]:
    """Runs past a daemon that lives."""
    found = []
    with rig.market() as market, rig.bot(market, LEVELS, STEP_BPS) as bot:
        for turn in range(runs):
            since_ms = time.time_ns() // 1_000_000
            prepare(bot, turn)
            with how(bot):
                found.append(measured(bot, since_ms))
            back(bot)
    return found


def dead(runs: int) -> list[Took]:
    """Runs past a daemon that was killed; each start is on the state of the last."""
    found = []
    with rig.market() as market:
        with rig.bot(market, LEVELS, STEP_BPS) as first:
            config = first.daemon.config
            found.append(_killed(first, 0))
        for turn in range(1, runs + 1):
            with running(config, log=f"daemon-{turn}.log") as daemon:
                bot = rig.Bot(market, daemon)
                back(bot)
                if turn < runs:  # the last start is there to see that it is latched
                    found.append(_killed(bot, turn))
    return found


def _killed(bot: rig.Bot, turn: int) -> Took:
    since_ms = time.time_ns() // 1_000_000
    prepare(bot, turn)
    bot.daemon.program.kill()
    return measured(bot, since_ms)


SITUATIONS: dict[str, Callable[[int], list[Took]]] = {
    "daemon SIGSTOPped": lambda runs: alive(runs, stopped),
    "daemon dead (kill -9)": dead,
    f"daemon flooded, {rig.TICKS_PER_S:,} ticks/s": lambda runs: alive(runs, flooded),
}


def figures(times: Sequence[float]) -> str:
    return f"median {median(times):.0f} ms, p95 {p(times, 0.95):.0f}, max {max(times):.0f}"


def measure(runs: int) -> list[Row]:
    """Two rows for each situation."""
    rows = []
    for name, situation in SITUATIONS.items():
        late, _ = noise.idle_us()
        found = situation(runs)
        beside = f"idle thread p99 {p(late, 0.99) / 1e3:.2f} ms, load {os.getloadavg()[0]:.1f}"
        for what, target, times in (
            ("first cancel at the exchange", FIRST_MS, [each.first for each in found]),
            ("verified flat, process ended", VERIFIED_MS, [each.verified for each in found]),
        ):
            rows.append(
                Row(
                    bench="panic",
                    what=f"panic -> {what}, {name} ({len(times)} runs)",
                    measured=figures(times),
                    peer=beside,
                    target=f"median {target:.0f} ms",
                    verdict=verdict(median(times) <= target),
                )
            )
    return rows


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

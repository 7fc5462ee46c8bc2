"""`hedgegridctl panic` past a daemon that is stopped, dead or flooded: `python -m bench.panic --runs 20`.

A real daemon on a real exchange; both legs hold inventory with exits and stops, 100 rungs rest. From the start of
panic's process to the first cancel as the exchange books it (its own clock, ms), and to the end of the process, which
has verified that nothing is left; the exchange is asked as well. After each run the daemon comes back, latched, and is
rearmed; where that does not happen the benchmark fails. Net of what panic's main thread waited for a core
(bench.noise), with the wall times beside; the exchange's waits are in both.
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
from bench.noise import RunDelay
from bench.table import Row, p, text, verdict
from tests.support.panic import Panicked, Panicking
from tests.support.programs import running
from tests.support.truth import LEGS

FIRST_MS, VERIFIED_MS = 500.0, 2_000.0
BACK_S = 60.0
DEADLINE_S = "30"
LOOK_S = 0.005


class Took(NamedTuple):
    """Milliseconds since the process was started, to the first cancel and to the end: of wall time, and net."""

    first: float
    first_net: float
    verified: float
    verified_net: float


def measured(bot: rig.Bot, since_ms: int) -> Took:
    """One panic; the exchange must agree that nothing is left."""
    running = Panicking(bot.daemon.config, "--deadline-s", DEADLINE_S)
    waits = waited(running)
    done = running.ended()
    assert done.passed, done
    venue = bot.market.venue
    truth = venue.truth()
    assert all(Decimal(truth["legs"][f"{rig.SYMBOL}:{leg}"]["qty"]) == 0 for leg in LEGS), done
    assert not truth["open_orders"], done
    assert not truth["algo_orders"], done
    cancelled_s = first_cancel_s(bot, done, since_ms)
    first, whole = cancelled_s - done.began_s, done.ended_s - done.began_s
    until_first = max((waits_s for at_s, waits_s in waits if at_s <= cancelled_s), default=0.0)
    return Took(1e3 * first, 1e3 * (first - until_first), 1e3 * whole, 1e3 * (whole - waits[-1][1]))


def waited(running: Panicking) -> list[tuple[float, float]]:
    """Until it has ended: at which wall time it had waited for a core for how long, in seconds."""
    delay, found = RunDelay(running.process.pid), [(running.began_s, 0.0)]
    while not os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        found.append((time.time(), delay.ns() / 1e9))
        time.sleep(LOOK_S)
    delay.close()
    return found


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
    """Runs past a daemon that was killed, each on a state of its own: the next start on it must be latched."""
    found = []
    with rig.market() as market:
        for turn in range(runs):
            with rig.bot(market, LEVELS, STEP_BPS) as bot:
                config, since_ms = bot.daemon.config, time.time_ns() // 1_000_000
                prepare(bot, turn)
                bot.daemon.program.kill()
                found.append(measured(bot, since_ms))
            with running(config, log="next.log") as daemon:
                back(rig.Bot(market, daemon))
    return found


SITUATIONS: dict[str, Callable[[int], list[Took]]] = {
    "daemon SIGSTOPped": lambda runs: alive(runs, stopped),
    "daemon dead (kill -9)": dead,
    f"daemon flooded, {rig.TICKS_PER_S:,} ticks/s": lambda runs: alive(runs, flooded),
}


def figures(net: Sequence[float], wall: Sequence[float]) -> str:
    return (
        f"median {median(net):.0f} ms, p95 {p(net, 0.95):.0f}, max {max(net):.0f} "
        f"(wall {median(wall):.0f}, {p(wall, 0.95):.0f}, {max(wall):.0f})"
    )


def measure(runs: int) -> list[Row]:
    """Two rows for each situation."""
    rows = []
    for name, situation in SITUATIONS.items():
        late, _ = noise.idle_us()
        found = situation(runs)
        beside = f"idle thread p99 {p(late, 0.99) / 1e3:.2f} ms, load {os.getloadavg()[0]:.1f}"
        first = [each.first_net for each in found], [each.first for each in found]
        whole = [each.verified_net for each in found], [each.verified for each in found]
        for what, target, (net, wall) in (
            ("first cancel at the exchange", FIRST_MS, first),
            ("verified flat, process ended", VERIFIED_MS, whole),
        ):
            rows.append(
                Row(
                    bench="panic",
                    what=f"panic -> {what}, {name} ({len(net)} runs)",
                    measured=figures(net, wall),
                    peer=beside,
                    target=f"median {target:.0f} ms",
                    verdict=verdict(median(net) <= target),
                )
            )
    return rows


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

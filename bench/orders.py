"""From a tick, and from a command, to the venue's word of the order it caused: `python -m bench.orders`.

A real daemon on a real exchange, its streams tapped (bench.tap). A price jump makes the grid move: the time runs from
the passing of the first quote of the new price to the passing of the first order's NEW. A grid that moves takes its old
rungs away first, so this is two intents, two requests and their answers, the exchange's own work included. A command's
time runs from the asking. Idle and under 15,000 ticks/s.
All times are net of what the three processes waited for a core (bench.noise), with the measured ones beside them.
"""

import argparse
import time
from typing import NamedTuple

from bench import rig
from bench.table import Row, p, text, verdict

LEVELS, STEP_BPS = (
    2,
    200,
)  # wide: what moves the grid reaches no rung, so that orders come from the tick alone
PER_RUN = 6
SETTLE_S = 10.0
JUMPS = ("1.016", "0.984")  # past the recentre trigger of 150 bps
TARGET_MS = 10.0


class Took(NamedTuple):
    """Milliseconds as measured, and net of waits for a core of all processes on the way."""

    raw: float
    net: float


def first(notes: list[rig.Note], since: rig.Note, kind: str) -> Took | None:
    """From then to the first passing of that kind."""
    note = next((each for each in notes if each.kind == kind and each.ns >= since.ns), None)
    if note is None:
        return None
    raw_ns = note.ns - since.ns
    return Took(raw_ns / 1e6, max(0, raw_ns - (note.waited_ns - since.waited_ns)) / 1e6)


def settled(bot: rig.Bot) -> None:
    """Wait until the orders at the exchange have been the same for a while."""
    seen, since, end = -1, time.monotonic(), time.monotonic() + SETTLE_S
    while time.monotonic() < end:
        now = bot.resting()
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > 0.25:
            return
        time.sleep(0.02)


def jumps(bot: rig.Bot, count: int) -> tuple[list[Took], list[Took]]:
    """From the quote that moved the grid to the first cancel, and to the first new order that waited for a cancel."""
    cancels, news = [], []
    for n in range(count):
        bot.market.seen()
        bot.market.venue.admin("POST", "/jump", {"symbol": rig.SYMBOL, "factor": JUMPS[n % 2]})
        settled(bot)
        notes = bot.market.seen()
        quote = next((note for note in notes if note.kind == "JUMP"), None)
        for kind, times in (("CANCELED", cancels), ("NEW", news)):
            took = None if quote is None else first(notes, quote, kind)
            if took is not None:
                times.append(took)
    return cancels, news


def commands(bot: rig.Bot, count: int) -> tuple[list[Took], list[Took]]:
    """From asking to the first cancel (throttle 0) and to the first order (throttle 1)."""
    cancels, news = [], []
    for _ in range(count):
        for throttle, kind, times in ((0, "CANCELED", cancels), (1, "NEW", news)):
            bot.market.seen()
            began = bot.market.now()
            bot.ask("throttle", throttle=throttle)
            settled(bot)
            took = first(bot.market.seen(), began, kind)
            if took is not None:
                times.append(took)
    return cancels, news


def figures(times: list[Took]) -> str:
    net, raw = [each.net for each in times], [each.raw for each in times]
    return f"p50 {p(net, 0.5):.1f}, p95 {p(net, 0.95):.1f} ms (raw {p(raw, 0.5):.1f}, {p(raw, 0.95):.1f})"


def measure(runs: int) -> list[Row]:
    """Rows, idle and under ticks; percentiles over all jumps, as each run has few."""
    rows: list[Row] = []
    with rig.market() as market, rig.bot(market, LEVELS, STEP_BPS, tp_steps=3, sl_steps=5) as bot:
        market.watch(bot.pid)
        for name, rate in (("idle", 0), (f"{rig.TICKS_PER_S:,} ticks/s", rig.TICKS_PER_S)):
            market.rate(rate)
            moved, found = jumps(bot, runs * PER_RUN)
            cancels, news = commands(bot, runs * 2)
            rows.append(
                Row(
                    bench="orders",
                    what=f"tick -> cancel -> order at the exchange, intent durable, {name} ({len(found)} moves)",
                    measured=figures(found),
                    target=f"p95 {TARGET_MS:.0f} ms",
                    verdict=verdict(p([each.net for each in found], 0.95) <= TARGET_MS),
                )
            )
            for what, times in (
                ("tick -> first cancel", moved),
                ("command -> first cancel", cancels),
                ("command -> first order", news),
            ):
                rows.append(
                    Row(
                        bench="orders",
                        what=f"{what} at the exchange, {name}",
                        measured=figures(times),
                    )
                )
    return rows


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

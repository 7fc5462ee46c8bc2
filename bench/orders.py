"""From a tick, and from a command, to the venue's word of the order it caused: `python -m bench.orders`.

A real daemon on a real exchange, its streams tapped (bench.tap). A price jump makes the grid move: the time runs from
the passing of the first quote of the new price to the passing of the first order's NEW; intent durable, request, the
exchange's own work and the way back included. A command's time runs from the asking. Idle and under 15,000 ticks/s.
The daemon's own histogram tells its share: from the arrival of the market's word to the order's leaving.
"""

import argparse
import time

from bench import rig
from bench.table import Row, p, text, verdict

LEVELS, STEP_BPS = 5, 20
PER_RUN = 6
SETTLE_S = 10.0
JUMPS = ("1.02", "0.98")  # past the recentre trigger of 150 bps
TARGET_MS = 10.0


def first_ms(notes: list[tuple[int, str, str]], after_ns: int, kind: str) -> float | None:
    """Milliseconds from then to the first passing of that kind."""
    return next((1e-6 * (ns - after_ns) for ns, what, _ in notes if what == kind and ns >= after_ns), None)


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


def jumps(bot: rig.Bot, count: int) -> list[float]:
    """Milliseconds from the quote that moved to the first new order, of each jump that caused one."""
    times = []
    for n in range(count):
        bot.market.seen()
        bot.market.venue.admin("POST", "/jump", {"symbol": rig.SYMBOL, "factor": JUMPS[n % 2]})
        settled(bot)
        notes = bot.market.seen()
        quote_ns = next((ns for ns, kind, _ in notes if kind == "JUMP"), None)
        took = None if quote_ns is None else first_ms(notes, quote_ns, "NEW")
        if took is not None:
            times.append(took)
    return times


def commands(bot: rig.Bot, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from asking to the first cancel (throttle 0) and to the first order (throttle 1)."""
    cancels, news = [], []
    for _ in range(count):
        for throttle, kind, times in ((0, "CANCELED", cancels), (1, "NEW", news)):
            bot.market.seen()
            began_ns = time.monotonic_ns()
            bot.ask("throttle", throttle=throttle)
            settled(bot)
            took = first_ms(bot.market.seen(), began_ns, kind)
            if took is not None:
                times.append(took)
    return cancels, news


def own_p95_ms(bot: rig.Bot, before: rig.Metrics) -> tuple[float, int]:
    """The daemon's own tick-to-order p95 (upper edge of its bucket) since then, and the number of orders."""
    name = "hedgegrid_tick_to_order_seconds_bucket"
    earlier = before.get(name, {})
    counts = sorted(
        (float(dict(labels)["le"]), value - earlier.get(labels, 0.0))
        for labels, value in rig.metrics(bot.url).get(name, {}).items()
    )
    total = counts[-1][1]
    return 1e3 * next(le for le, count in counts if count >= 0.95 * total), int(total)


def measure(runs: int) -> list[Row]:
    """Rows, idle and under ticks; percentiles over all jumps, as each run has few."""
    rows: list[Row] = []
    with rig.market() as market, rig.bot(market, LEVELS, STEP_BPS) as bot:
        for name, rate in (("idle", 0), (f"{rig.TICKS_PER_S:,} ticks/s", rig.TICKS_PER_S)):
            market.rate(rate)
            before = rig.metrics(bot.url)
            found = jumps(bot, runs * PER_RUN)
            own, orders = own_p95_ms(bot, before)
            cancels, news = commands(bot, runs * 2)
            rows.append(
                Row(
                    bench="orders",
                    what=f"tick -> order at the exchange, intent durable, {name} ({len(found)} jumps)",
                    measured=f"p50 {p(found, 0.5):.1f} ms, p95 {p(found, 0.95):.1f} ms",
                    peer=f"daemon's share p95 <= {own:.0f} ms ({orders} orders)",
                    target=f"p95 {TARGET_MS:.0f} ms",
                    verdict=verdict(p(found, 0.95) <= TARGET_MS),
                )
            )
            for what, times in (("first cancel", cancels), ("first order", news)):
                rows.append(
                    Row(
                        bench="orders",
                        what=f"command -> {what} confirmed by the venue, {name}",
                        measured=f"p50 {p(times, 0.5):.1f} ms, p95 {p(times, 0.95):.1f} ms",
                    )
                )
    return rows


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

"""From asking for a flatten to the venue's proof of flat: `python -m bench.flatten`.

Both legs hold inventory with exits and stops, 100 rungs rest; a real daemon on a real exchange, asked over its socket.
After each flatten the grid is resumed and refilled. Idle and under 15,000 ticks a second; percentiles over all of them.
"""

import argparse
import time
from decimal import Decimal

from bench import rig
from bench.table import Row, p, text, verdict
from tests.support.truth import ENTRY_SIDE, LEGS, exchange_books, uncovered

LEVELS, STEP_BPS = 50, 9
RESTING = 90  # of 100: rungs that price has passed rest again when it is back
PER_RUN = 4
REFILL_S = 30.0
DEADLINE_S = 10.0
TARGET_MS = 250.0


def quantity(bot: rig.Bot, leg: str) -> Decimal:
    """Inventory of a leg at the exchange."""
    return Decimal(bot.market.venue.truth()["legs"][f"{rig.SYMBOL}:{leg}"]["qty"])


def fill(bot: rig.Bot, leg: str) -> None:
    """Move price just through the nearest entry of the leg, by as many jumps as it takes."""
    venue = bot.market.venue

    def moved() -> bool:
        if quantity(bot, leg):
            return True
        orders = exchange_books(venue.truth(), rig.SYMBOL).orders.values()
        prices = [order.price for order in orders if order.leg == leg and order.side == ENTRY_SIDE[leg]]
        if prices:
            near, past = (max(prices), "0.9998") if leg == "LONG" else (min(prices), "1.0002")
            last = Decimal(venue.premium_index(rig.SYMBOL)["indexPrice"])
            factor = near / last * Decimal(past)
            venue.admin("POST", "/jump", {"symbol": rig.SYMBOL, "factor": f"{factor:.6f}"})
            time.sleep(0.05)
        return False

    bot.wait(moved, f"inventory on {leg}", REFILL_S)


def prepare(bot: rig.Bot, turn: int) -> None:
    """100 rungs, inventory on both legs, covered; the legs take turns, so that price stays where the grid is."""
    bot.ask("resume")
    bot.wait(lambda: bot.resting() >= RESTING, "the rungs rest", REFILL_S)
    for leg in LEGS if turn % 2 else reversed(LEGS):
        fill(bot, leg)
    bot.wait(
        lambda: not uncovered(bot.market.venue.truth(), rig.SYMBOL), "all inventory is covered", REFILL_S
    )


def flatten_ms(bot: rig.Bot) -> float:
    """One flatten, asked to verified; the exchange must agree."""
    began = time.perf_counter()
    answer = bot.ask("flatten", side="both", reason="bench", deadline_s=DEADLINE_S)
    took_ms = 1e3 * (time.perf_counter() - began)
    truth = bot.market.venue.truth()
    assert answer["verified"] is True, answer
    assert all(Decimal(truth["legs"][f"{rig.SYMBOL}:{leg}"]["qty"]) == 0 for leg in LEGS), answer
    assert not truth["open_orders"], answer
    return took_ms


def measure(runs: int) -> list[Row]:
    """Rows, idle and under ticks."""
    rows = []
    with rig.market() as market, rig.bot(market, LEVELS, STEP_BPS) as bot:
        for name, rate in (("idle", 0), (f"{rig.TICKS_PER_S:,} ticks/s", rig.TICKS_PER_S)):
            times = []
            market.rate(rate)
            for turn in range(runs * PER_RUN):
                prepare(bot, turn)
                times.append(flatten_ms(bot))
            p99 = p(times, 0.99)
            rows.append(
                Row(
                    bench="flatten",
                    what=f"asked -> verified flat, 2 legs, 100 orders, {name} ({len(times)} flattens)",
                    measured=f"p50 {p(times, 0.5):.0f} ms, p99 {p99:.0f} ms",
                    target=f"p99 {TARGET_MS:.0f} ms",
                    verdict=verdict(p99 <= TARGET_MS),
                )
            )
    return rows


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    print(text(measure(line.parse_args().runs)))


if __name__ == "__main__":
    main()

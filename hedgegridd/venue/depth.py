"""What a book is worth: its spread, and the thinner side's depth within 1 % of mid; pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from hedgegridd.model import ZERO

WITHIN = Decimal("0.01")
BPS = Decimal(10_000)
LEVELS = (50, 100, 500, 1000)  # weights 2, 5, 10, 20: the first that shows enough is enough
ENOUGH_USDT = Decimal(250_000)  # no need to see what lies deeper

type Side = Sequence[tuple[Decimal, Decimal]]


class Depth(NamedTuple):
    """Spread in bps of mid, depth of the thinner side in USDT; `whole`: all of it was shown."""

    spread_bps: Decimal
    depth_usdt: Decimal
    whole: bool


def spread_bps(bid: Decimal, ask: Decimal) -> Decimal:
    """The distance of the best prices in bps of their middle."""
    return ((ask - bid) * 2 * BPS / (ask + bid)).quantize(Decimal("0.01"))


def depth_of(bids: Side, asks: Side, levels: int) -> Depth | None:
    """Measure a book of which at most `levels` of each side were asked for; None when a side is empty."""
    if not bids or not asks:
        return None
    bid, ask = bids[0][0], asks[0][0]
    mid = (bid + ask) / 2
    low, high = mid * (1 - WITHIN), mid * (1 + WITHIN)
    sides = [
        [price * qty for price, qty in bids if price >= low],
        [price * qty for price, qty in asks if price <= high],
    ]
    # A side is cut off when every level that was asked for came and all of them lie within the distance.
    whole = all(len(side) < levels for side in sides)
    thinner = min(sum(side, ZERO) for side in sides)
    return Depth(spread_bps(bid, ask), thinner.quantize(Decimal("0.01")), whole)

"""The ladders of a grid: where its rungs stand around a centre, and when the centre must move."""

from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd.model import BPS, ZERO, Leg


class RungTarget(msgspec.Struct, frozen=True):
    """An entry we want to rest: price in quote currency, quantity in base currency.

    `part` numbers the orders of one rung when its quantity is above the venue's maximum (0: the first or only one).
    """

    leg: Leg
    level: int
    price: Decimal
    qty: Decimal
    part: int = 0

    @property
    def notional_usdt(self) -> Decimal:
        """Price times quantity."""
        return self.price * self.qty


type Dropped = tuple[tuple[RungTarget, str], ...]
"""Rungs that will not be placed, each with the reason in words."""


def step_of(centre: Decimal, step_bps: Decimal) -> Decimal:
    """Distance between two rungs in quote currency."""
    return centre * step_bps / BPS


def build_ladder(leg: Leg, centre: Decimal, grid: config.Grid) -> tuple[RungTarget, ...]:
    """The rungs of one leg, nearest first: LONG rung k at centre - k step, SHORT at centre + k step.

    Quantities are base_qty * qty_scale^(k-1), not yet rounded to the lot step. A LONG ladder ends above price zero.
    """
    step = step_of(centre, grid.step_bps)
    levels = grid.levels_long if leg is Leg.LONG else grid.levels_short
    rungs = []
    qty = grid.base_qty
    for level in range(1, levels + 1):
        price = centre - leg.sign * level * step
        if price <= ZERO:
            break
        rungs.append(RungTarget(leg, level, price, qty))
        qty *= grid.qty_scale
    return tuple(rungs)


def should_recentre(mid: Decimal, centre: Decimal | None, trigger_bps: Decimal) -> bool:
    """True when there is no centre yet, or mid is further from it than the trigger."""
    return centre is None or abs(mid - centre) * BPS > trigger_bps * centre

"""Which rungs may rest beside the inventory a leg already holds (spec/2-strategy.md, Occupancy)."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from hedgegridd.core.ladder import Dropped, RungTarget
from hedgegridd.model import ZERO, Leg

_TWO = Decimal(2)


class OpenLot(msgspec.Struct, frozen=True, kw_only=True):
    """What one entry filled and has not been closed in full yet.

    `generation` is the number of the centre (it grows by one at every recentre) under which the entry rested.
    `filled_qty` is all that the entry filled, parts closed since included. `whole` is True when nothing of that rung
    is left to fill: only then the rung is taken in full; while it is False the rest of the rung may still rest.
    """

    leg: Leg
    level: int
    price: Decimal
    filled_qty: Decimal
    generation: int
    whole: bool = True


def drop_occupied(
    rungs: Iterable[RungTarget], lots: Iterable[OpenLot], *, generation: int, step: Decimal
) -> tuple[tuple[RungTarget, ...], Dropped]:
    """Rungs that are free, and those that open lots of their leg occupy.

    A lot of this `generation` occupies its own rung; when its entry is filled in part, the rung's quantity is what
    is left of it. A lot of an earlier generation occupies every rung nearer than half a `step` (the present one,
    quote currency) to its price.
    """
    lots = tuple(lots)
    kept: list[RungTarget] = []
    dropped: list[tuple[RungTarget, str]] = []
    for rung in rungs:
        reason = ""
        left = rung.qty
        for lot in lots:
            if lot.leg is not rung.leg:
                continue
            if lot.generation != generation:
                if abs(rung.price - lot.price) * _TWO < step:
                    reason = f"occupied: within half a step of an open lot at {lot.price}"
            elif lot.level == rung.level:
                left = ZERO if lot.whole else left - lot.filled_qty
                if left <= ZERO:
                    reason = "occupied: its fill is still open"
            if reason:
                break
        if reason:
            dropped.append((rung, reason))
        else:
            kept.append(msgspec.structs.replace(rung, qty=left))
    return tuple(kept), tuple(dropped)


def cap(
    rungs: Iterable[RungTarget],
    *,
    leg_qty: Decimal,
    mid: Decimal,
    max_inventory_usdt: Decimal,
    max_qty: Decimal,
) -> tuple[tuple[RungTarget, ...], Dropped]:
    """The rungs of one leg that fit beside its inventory, and those that do not.

    Inventory counts at `mid`, an entry at its own price. Rungs are taken from the nearest outwards; from the first one
    that does not fit on all are dropped, none is shrunk: the outermost go first, and no far rung takes a near one's
    place.
    """
    kept: list[RungTarget] = []
    dropped: list[tuple[RungTarget, str]] = []
    qty = leg_qty
    notional = leg_qty * mid
    reason = ""
    for rung in sorted(rungs, key=lambda rung: (rung.level, rung.part)):
        if not reason:
            if notional + rung.notional_usdt > max_inventory_usdt:
                reason = f"inventory and entries would exceed max_inventory_usdt {max_inventory_usdt}"
            elif qty + rung.qty > max_qty:
                reason = f"inventory and entries would exceed max_qty {max_qty}"
        if reason:
            dropped.append((rung, reason))
        else:
            kept.append(rung)
            qty += rung.qty
            notional += rung.notional_usdt
    return tuple(kept), tuple(dropped)

"""Compares the entries that live at the venue with those we want (spec/2-strategy.md, Diff)."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from hedgegridd.core.ladder import RungTarget
from hedgegridd.model import BPS, Leg, OrderStatus

_HUNDRED = Decimal(100)

type Key = tuple[Leg, int, int]


class LiveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of ours that the venue has or may have; `qty` is what is left to fill, in base currency."""

    client_order_id: str
    leg: Leg
    level: int
    part: int = 0
    price: Decimal
    qty: Decimal
    status: OrderStatus

    @property
    def key(self) -> Key:
        """What it is matched by."""
        return (self.leg, self.level, self.part)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. `wait`: orders whose fate is open (pending, unknown, being cancelled); they block their key."""

    cancel: tuple[LiveEntry, ...] = ()
    place: tuple[RungTarget, ...] = ()
    keep: tuple[LiveEntry, ...] = ()
    wait: tuple[LiveEntry, ...] = ()


def diff(
    live: Iterable[LiveEntry],
    target: Iterable[RungTarget],
    *,
    price_tolerance_bps: Decimal,
    qty_tolerance_pct: Decimal,
) -> Diff:
    """Cancels and adds that lead from `live` to `target`, as far as may be sent now.

    Matched by (leg, level, part). A working order equal within the tolerances (of the target's price and quantity)
    stays; any other working order is cancelled, and its replacement is placed by a later diff, once the cancel is
    confirmed and what filled meanwhile is netted. A key with any live order is never placed, so the diff of a diff is
    empty. CLOSED orders do not live.

    Raises:
        ValueError: two targets have the same (leg, level, part).
    """
    wanted: dict[Key, RungTarget] = {}
    for rung in target:
        key = (rung.leg, rung.level, rung.part)
        if key in wanted:
            raise ValueError(f"two targets for {rung.leg} rung {rung.level} part {rung.part}")
        wanted[key] = rung
    cancel: list[LiveEntry] = []
    keep: dict[Key, LiveEntry] = {}
    wait: list[LiveEntry] = []
    taken: set[Key] = set()
    for entry in live:
        if entry.status is OrderStatus.CLOSED:
            continue
        key = entry.key
        taken.add(key)
        if entry.status is not OrderStatus.WORKING:
            wait.append(entry)
        elif (
            key in wanted
            and key not in keep  # a second order of the same rung is one too many
            and _equal(entry, wanted[key], price_tolerance_bps, qty_tolerance_pct)
        ):
            keep[key] = entry
        else:
            cancel.append(entry)
    place = tuple(rung for key, rung in wanted.items() if key not in taken)
    return Diff(cancel=tuple(cancel), place=place, keep=tuple(keep.values()), wait=tuple(wait))


def _equal(
    entry: LiveEntry, rung: RungTarget, price_tolerance_bps: Decimal, qty_tolerance_pct: Decimal
) -> bool:
    return (
        abs(entry.price - rung.price) * BPS <= price_tolerance_bps * rung.price
        and abs(entry.qty - rung.qty) * _HUNDRED <= qty_tolerance_pct * rung.qty
    )

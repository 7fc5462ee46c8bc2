"""Lots of one leg: what each entry order filled and has not been closed yet.

A lot is known by its entry's client order id; partial fills add to it at their weighted price. Exits of a lot take from
it; closes of the whole leg (its stop, a flatten, a hand) take from the outermost lots first.
"""

from collections.abc import Mapping
from decimal import Decimal

from hedgegridd.core.state import Lot, Order
from hedgegridd.model import ZERO, Leg

type Lots = dict[str, Lot]


def total(lots: Mapping[str, Lot]) -> Decimal:
    """Quantity of all lots."""
    return sum((lot.qty for lot in lots.values()), ZERO)


def add_fill(lots: Lots, entry: Order, qty: Decimal, price: Decimal, ts_ns: int) -> Lot:
    """Book a fill of an entry: a new lot, or more of the one it began."""
    lot = lots.get(entry.client_order_id)
    if lot is None:
        lot = Lot(
            lot_id=entry.client_order_id,
            level=entry.level,
            qty=ZERO,
            price=price,
            step=entry.step,
            opened_ns=ts_ns,
            generation=entry.generation,
        )
        lots[lot.lot_id] = lot
    lot.qty += qty
    lot.bought += qty
    lot.cost += qty * price
    lot.price = lot.cost / lot.bought
    return lot


def outermost_first(lots: Mapping[str, Lot], leg: Leg) -> list[Lot]:
    """Lots by their price, the one furthest from the market's other side first."""
    return sorted(lots.values(), key=lambda lot: (leg.sign * lot.price, lot.lot_id))


def mark_for_trim(lots: Mapping[str, Lot], leg: Leg, qty: Decimal, mono: int) -> None:
    """Have `qty` closed at market, outermost lots first; what is being closed already counts, nothing is marked twice."""
    for lot in outermost_first(lots, leg):
        if lot.stopping_since is not None and lot.trim is None:
            qty -= lot.qty
            continue
        want = min(max(qty, ZERO), lot.qty)
        if want > (lot.trim or ZERO):
            lot.trim = want
            lot.stopping_since = mono if lot.stopping_since is None else lot.stopping_since
        qty -= lot.trim or ZERO


def trimming(lots: Mapping[str, Lot]) -> Decimal:
    """What trims still want closed."""
    return sum((lot.trim for lot in lots.values() if lot.trim is not None), ZERO)


def spare_all(lots: Mapping[str, Lot]) -> None:
    """All trims are over."""
    for lot in lots.values():
        if lot.trim is not None:
            spare(lot)


def spare(lot: Lot) -> None:
    """The trim of a lot is over: what is left of it is kept, with exits of its own."""
    lot.trim = lot.stopping_since = None


def take(lots: Lots, leg: Leg, qty: Decimal, first: str = "") -> Decimal:
    """Close `qty`, of the lot `first` before all others, then outermost first; returns what no lot had."""
    order = sorted(outermost_first(lots, leg), key=lambda lot: lot.lot_id != first)
    for lot in order:
        part = min(qty, lot.qty)
        lot.qty -= part
        qty -= part
        if lot.trim is not None:
            lot.trim -= part
            if lot.trim <= ZERO:
                spare(lot)
        if lot.qty == ZERO:
            del lots[lot.lot_id]
        if qty == ZERO:
            break
    return qty


def merge(lots: Lots, small: Lot, into: Lot) -> None:
    """Make one lot of two, at their weighted price; the small one's exits were refused for their size."""
    into.cost = into.price * into.qty + small.price * small.qty
    into.qty += small.qty
    into.bought = into.qty
    into.price = into.cost / into.qty
    del lots[small.lot_id]


def nearest(lots: Mapping[str, Lot], lot: Lot) -> Lot | None:
    """The lot whose price is nearest, among those that are not being closed."""
    others = [x for x in lots.values() if x.lot_id != lot.lot_id and x.stopping_since is None]
    return min(others, key=lambda x: (abs(x.price - lot.price), x.lot_id), default=None)


def take_profit_price(lot: Lot, leg: Leg, tp_steps: Decimal) -> Decimal:
    """Where the lot is closed with profit, before rounding to the tick."""
    return lot.price + leg.sign * tp_steps * lot.step


def stop_price(lot: Lot, leg: Leg, sl_steps: Decimal) -> Decimal:
    """Where the lot is closed with loss, before rounding to the tick."""
    return lot.price - leg.sign * sl_steps * lot.step

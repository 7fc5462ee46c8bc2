"""The price levels at which a grid wants to be woken: its recentre trigger and the stops that the daemon executes."""

from decimal import Decimal

from hedgegridd import config
from hedgegridd.core.lots import stop_price
from hedgegridd.core.state import GridState
from hedgegridd.model import BPS, LEGS, Instrument, Leg

type Levels = tuple[tuple[Decimal, ...], tuple[Decimal, ...]]


def lot_stops(state: GridState, grid: config.Grid, leg: Leg) -> list[Decimal]:
    """Stops of the leg's lots that are not being closed yet."""
    each = state.legs[leg]
    if each.owned:
        return []
    return [
        stop_price(lot, leg, grid.sl_steps)
        for lot in each.lots.values()
        if lot.stopping_since is None or lot.trim is not None
    ]


def crossing_lot(state: GridState, grid: config.Grid) -> bool:
    """True when mark is at or beyond the stop of an open lot."""
    mark = state.mark
    if mark is None:
        return False
    return any((mark - stop) * leg.sign <= 0 for leg in LEGS for stop in lot_stops(state, grid, leg))


def watched_levels(state: GridState, grid: config.Grid, instrument: Instrument) -> Levels:
    """Levels above and below, nearest stop of each leg only; levels that woke us just now rest until the next mark."""
    above: list[Decimal] = []
    below: list[Decimal] = []
    if state.centre is not None:
        width = state.centre * grid.recenter_trigger_bps / BPS
        # The trigger must be passed, not reached: the first price beyond it on the tick.
        above.append(instrument.floor_price(state.centre + width) + instrument.tick)
        below.append(instrument.ceil_price(state.centre - width) - instrument.tick)
    longs = lot_stops(state, grid, Leg.LONG)
    shorts = lot_stops(state, grid, Leg.SHORT)
    if longs:
        below.append(instrument.floor_price(max(longs)))
    if shorts:
        above.append(instrument.ceil_price(min(shorts)))
    return (
        tuple(level for level in above if level not in state.spent),
        tuple(level for level in below if level > 0 and level not in state.spent),
    )

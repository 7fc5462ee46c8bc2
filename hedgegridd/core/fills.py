"""Books a fill: ledger, order, lot. The order of these is the order in which figures become true."""

from hedgegridd import messages as m
from hedgegridd.core import lots as lot_book
from hedgegridd.core.context import Context
from hedgegridd.core.exits import backoff_key
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.ladder import step_of
from hedgegridd.core.state import Order
from hedgegridd.model import ZERO, OrderKind, Purpose, parse_client_order_id


def book_fill(fill: m.Fill, grid: GridMachine, ctx: Context) -> bool:
    """Book one trade, once per trade id; False when it was booked before."""
    if not grid.book.is_new_trade(fill.trade_id):
        return False
    state = grid.state.legs[fill.leg]
    grid.state.fills += 1
    grid.state.maker_fills += fill.maker
    ctx.state.truth.fills += 1
    was_flat = ctx.ledger.leg(grid.id, fill.leg).qty == ZERO
    over = ctx.ledger.fill(fill, ctx.mono)  # closed before its entry was told, or never ours
    order = grid.book.filled(fill.client_order_id, fill.qty, ctx.mono)
    if fill.side is fill.leg.entry_side:
        if was_flat:  # what a venue had against a stop of a flat leg must not delay the stop of inventory
            state.backoffs.pop(backoff_key(Purpose.STOP, ""), None)
        entry = order if order is not None else _lost_entry(fill, grid, ctx)
        if entry is not None:
            lot_book.add_fill(state.lots, entry, fill.qty, fill.price, fill.ts_ns)
            lot_book.take(
                state.lots, fill.leg, over, first=entry.client_order_id
            )  # closed before we heard of it
        else:
            # A hand bought on our leg. What that means is `manual_position`; the comparison applies it.
            ctx.want_truth(f"{fill.leg} grew by a trade that is not ours", urgent=True)
    else:
        taken = fill.qty
        if order is None and parse_client_order_id(fill.client_order_id) is None:
            # A hand sells what a hand has bought, before it sells ours.
            held = ctx.ledger.leg(grid.id, fill.leg).qty + fill.qty
            taken -= min(taken, max(ZERO, held - lot_book.total(state.lots)))
        if taken > ZERO:
            lot_book.take(state.lots, fill.leg, taken, first="" if order is None else order.lot)
        if over:
            ctx.want_truth(f"{fill.leg} was closed by {over} more than our books held", urgent=True)
        if ctx.ledger.leg(grid.id, fill.leg).qty == ZERO:
            state.closing = False
            grid.release_if_flat(fill.leg)
    state.peak_lots = max(state.peak_lots, len(state.lots))
    return True


def _lost_entry(fill: m.Fill, grid: GridMachine, ctx: Context) -> Order | None:
    """An entry of ours that our books have lost (a state folder restored from a copy): known by its id."""
    tag = parse_client_order_id(fill.client_order_id)
    if tag is None or tag.purpose is not Purpose.ENTRY or tag.symbol != grid.grid.symbol:
        return None
    return Order(
        client_order_id=fill.client_order_id,
        leg=fill.leg,
        purpose=Purpose.ENTRY,
        level=tag.level,
        side=fill.side,
        kind=OrderKind.LIMIT,
        qty=fill.qty,
        price=fill.price,
        created_ns=ctx.now_ns,
        touched_mono=ctx.mono,
        rung_price=fill.price,
        step=step_of(grid.state.centre or fill.price, grid.grid.step_bps),
        generation=grid.state.recentres,
    )

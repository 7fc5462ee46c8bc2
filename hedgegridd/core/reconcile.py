"""Compares our books with the venue's report, per leg and per order, and repairs ours (spec/3-safety.md, Venue truth).

A difference counts only if no event touched that order or leg after the question left: the report is older than the
event then. At the first comparison repairs are adoption; later each one is a difference that people hear of.
"""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.core import lots as lot_book
from hedgegridd.core.context import Context
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.ladder import step_of
from hedgegridd.core.ledger import GAP_NS
from hedgegridd.core.state import Lot, Order
from hedgegridd.model import (
    LEGS,
    ZERO,
    Leg,
    OrderKind,
    OrderStatus,
    OrderTag,
    Purpose,
    TimeInForce,
    parse_client_order_id,
)

MONEY_USDT = Decimal("0.0001")  # what an average entry may be off in money before it is taken from the venue

UNDER_WAY_NS = 5_000_000_000

UNKNOWN_ORDER = "rests at the venue and was not in our books"
LOST_ORDER = "is not at the venue any more"
FILLED = "our books say"
IN_OUR_BOOKS = "in our books"
KINDS = ("order_unknown", "order_lost", "order_filled", "leg_quantity")
_TEXTS = {"order_unknown": UNKNOWN_ORDER, "order_lost": LOST_ORDER, "order_filled": FILLED}


def kind_of(difference: str) -> str | None:
    """Which of `KINDS` a difference in words is; None: a note, no difference."""
    for kind, text in _TEXTS.items():
        if text in difference:
            return kind
    is_leg = difference.endswith(IN_OUR_BOOKS) and " entry is " not in difference
    return "leg_quantity" if is_leg else None


class Outcome(msgspec.Struct, kw_only=True):
    """What one comparison found.

    `again`: an event overtook the report, ask once more before trusting a leg. `recheck`: trades booked since leave an
    average entry other than the venue's, or inventory that no lot explains; a report without news behind it may correct
    ours.
    """

    adopted: int = 0
    differences: list[str] = []
    notes: list[str] = []  # worth telling, but no difference between the books
    again: bool = False
    recheck: bool = False


def compare(truth: m.VenueTruth, grids: dict[str, GridMachine], ctx: Context) -> Outcome:
    """Repair orders, legs and wallet of all instruments of the report."""
    outcome = Outcome()
    for name in truth.instruments:
        grid = grids.get(name)
        if grid is None:
            continue
        foreign = _orders(truth, grid, ctx, outcome)
        for leg in LEGS:
            unknown = _leg(truth, grid, leg, ctx, outcome)
            if unknown:
                foreign.append(unknown)
        grid.state.refused = None
        if foreign and grid.grid.manual_position == "refuse":
            grid.state.refused = "not ours, so not traded: " + ", ".join(foreign)
            outcome.notes.append(f"{name}: {grid.state.refused}")
    _wallet(truth, ctx, outcome)
    ctx.state.truth.account, ctx.state.truth.account_ns = truth.account, truth.asked_ns
    ctx.state.truth.trade_cursor.update(truth.trade_cursor)
    if truth.income_cursor_ms is not None:
        ctx.state.truth.income_cursor_ms = truth.income_cursor_ms
    if truth.funding_cursor_ms is not None:
        ctx.state.truth.funding_cursor_ms = truth.funding_cursor_ms
    return outcome


def _orders(truth: m.VenueTruth, grid: GridMachine, ctx: Context, outcome: Outcome) -> list[str]:
    """Orphans both ways; returns orders that are not of our making, in words."""
    foreign = []
    told = {order.client_order_id: order for order in truth.orders if order.instrument == grid.id}
    for name, theirs in told.items():
        ours = grid.book.get(name)
        if ours is not None:
            _same(ours, theirs, truth, outcome)
            continue
        gone = grid.book.closed(name)
        if gone is not None and gone.touched_mono >= truth.asked_mono_ns:
            continue
        tag = parse_client_order_id(name)
        if tag is None or tag.symbol != grid.grid.symbol:
            foreign.append(f"order {name or theirs.venue_order_id}")
            continue
        _adopt(theirs, tag, grid, ctx)
        outcome.adopted += 1
        outcome.differences.append(f"{grid.id} order {name} {UNKNOWN_ORDER}")
    for ours in list(grid.book.live()):
        name = ours.client_order_id
        if name in told or name in truth.in_flight or ours.touched_mono >= truth.asked_mono_ns:
            continue
        if ours.status is OrderStatus.PENDING and _under_way(ours, truth):
            continue
        if ours.status is OrderStatus.WORKING and not ours.triggered:
            outcome.differences.append(f"{grid.id} order {name} {LOST_ORDER}")
        grid.on_closed(m.OrderClosed(instrument=grid.id, client_order_id=name, how="NOT_FOUND"))
        grid.book.close(
            name, ctx.mono
        )  # fills that never came are in the leg's quantity, which is compared next
    return foreign


def _under_way(ours: Order, truth: m.VenueTruth) -> bool:
    """The question may have overtaken what we sent shortly before it."""
    return truth.asked_mono_ns - ours.touched_mono < UNDER_WAY_NS


def _same(ours: Order, theirs: m.VenueOrder, truth: m.VenueTruth, outcome: Outcome) -> None:
    """An order that both have: its state is the venue's unless an event is newer."""
    if ours.touched_mono >= truth.asked_mono_ns:
        return
    ours.algo = theirs.algo
    if ours.final is None and not (ours.status is OrderStatus.CANCELING and _under_way(ours, truth)):
        ours.status = OrderStatus.WORKING  # a cancel that left no trace is asked for again
    if theirs.filled_qty > ours.filled:
        outcome.differences.append(
            f"{theirs.instrument} order {ours.client_order_id} filled {theirs.filled_qty}, {FILLED} {ours.filled}"
        )
        ours.filled = theirs.filled_qty


def _adopt(theirs: m.VenueOrder, tag: OrderTag, grid: GridMachine, ctx: Context) -> None:
    """Take an order of ours that the books do not know; an exit without its lot is cancelled by the next pass."""
    price = theirs.price
    centre = grid.state.centre or price or ZERO
    lot = ""
    if tag.purpose in (Purpose.TAKE_PROFIT, Purpose.STOP) and not theirs.close_position:
        lot = "?"
    grid.book.close(theirs.client_order_id, ctx.mono)
    grid.state.book.closed.pop(theirs.client_order_id, None)
    grid.book.add(
        Order(
            client_order_id=theirs.client_order_id,
            leg=theirs.leg,
            purpose=tag.purpose,
            level=tag.level,
            side=theirs.side,
            kind=OrderKind(theirs.kind) if theirs.kind in set(OrderKind) else OrderKind.LIMIT,
            time_in_force=TimeInForce.GTX if tag.purpose is Purpose.ENTRY else TimeInForce.GTC,
            qty=None if theirs.close_position else theirs.qty,
            price=price,
            stop_price=theirs.stop_price,
            close_position=theirs.close_position,
            algo=theirs.algo,
            status=OrderStatus.WORKING,
            filled=theirs.filled_qty,
            created_ns=theirs.ts_ns or ctx.now_ns,
            touched_mono=ctx.mono,
            rung_price=price or ZERO,
            step=step_of(centre, grid.grid.step_bps),
            generation=grid.state.recentres,
            lot=lot,
        )
    )


def _leg(truth: m.VenueTruth, grid: GridMachine, leg: Leg, ctx: Context, outcome: Outcome) -> str | None:
    """Quantity and average entry of a leg; returns inventory that no lot of ours explains, in words."""
    state = grid.state.legs[leg]
    account = ctx.ledger.leg(grid.id, leg)
    theirs = next((x for x in truth.legs if x.instrument == grid.id and x.leg is leg), None)
    qty = ZERO if theirs is None else theirs.qty
    entry = ZERO if theirs is None else theirs.entry_price
    if ctx.ledger.money_mono >= truth.asked_mono_ns:
        if qty != account.qty:
            outcome.again = True
        elif _entry_differs(entry, account.average, qty) or qty > lot_book.total(state.lots):
            outcome.recheck = True  # what no lot explains is judged by a report that no trade has overtaken
        return None
    ctx.ledger.all_told(grid.id, leg)
    state.liquidation_price = None if theirs is None else theirs.liquidation_price
    if theirs is not None and grid.state.mark is None:
        ctx.ledger.mark(grid.id, theirs.mark)
    if qty != account.qty:
        outcome.differences.append(f"{grid.id} {leg} is {qty} at the venue, {account.qty} {IN_OUR_BOOKS}")
        ctx.ledger.set_leg(grid.id, leg, qty, entry)
    elif _entry_differs(entry, account.average, qty):
        outcome.notes.append(
            f"{grid.id} {leg} entry is {entry} at the venue, {account.average} {IN_OUR_BOOKS}"
        )
        ctx.ledger.set_average(grid.id, leg, entry)
    unknown = qty - lot_book.total(state.lots)
    if unknown < ZERO:
        lot_book.take(state.lots, leg, -unknown)
    grid.release_if_flat(leg)
    if unknown <= ZERO or state.owned:
        return None
    if grid.grid.manual_position == "adopt":
        _adopt_lot(grid, leg, unknown, entry, ctx)
        outcome.adopted += 1
        return None
    return f"{leg} inventory of {unknown}"


def _entry_differs(theirs: Decimal, ours: Decimal, qty: Decimal) -> bool:
    return abs(theirs - ours) * qty >= MONEY_USDT


def _adopt_lot(grid: GridMachine, leg: Leg, qty: Decimal, price: Decimal, ctx: Context) -> None:
    """Inventory of unknown origin becomes a lot at the venue's average entry."""
    lot_id = ctx.new_id(grid.grid.symbol, leg, 0, Purpose.ENTRY)
    step = step_of(grid.state.centre or price, grid.grid.step_bps)
    grid.state.legs[leg].lots[lot_id] = Lot(
        lot_id=lot_id,
        level=0,
        qty=qty,
        price=price,
        step=step,
        opened_ns=ctx.now_ns,
        bought=qty,
        cost=qty * price,
        generation=grid.state.recentres,
    )


def _wallet(truth: m.VenueTruth, ctx: Context, outcome: Outcome) -> None:
    """The opening wallet once, the residual ever after; a report that money has overtaken is not compared."""
    for asset, amount in sorted(ctx.ledger.other_assets.items()):
        outcome.notes.append(f"{amount} {asset} booked outside the USDT figures")
    if ctx.ledger.money_mono >= truth.asked_mono_ns:
        outcome.again = outcome.again or not ctx.ledger.opened
        return
    if ctx.ledger.opened:
        ctx.ledger.compare(truth.account.wallet_usdt)
    else:
        ctx.ledger.open_wallet(truth.account.wallet_usdt)
    if ctx.ledger.look_outside(truth.elsewhere_usdt, ctx.mono):
        ctx.want_truth("money is missing", after_ns=GAP_NS)

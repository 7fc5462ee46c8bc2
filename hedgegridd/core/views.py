"""Pictures of the desk for people and metrics; they read the state and change nothing."""

import msgspec

from hedgegridd import messages as m
from hedgegridd.core import limits
from hedgegridd.core import lots as lot_book
from hedgegridd.core.context import Context
from hedgegridd.core.entries import why_leg_has_none
from hedgegridd.core.exits import too_small
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.holds import in_force
from hedgegridd.core.ladder import RungTarget, build_ladder
from hedgegridd.core.state import Order
from hedgegridd.model import LEGS, ZERO, Leg, LegMode, OrderStatus, Purpose

UNSETTLED_MAX = 20
_RESTS = (OrderStatus.WORKING, OrderStatus.CANCELING)


def unsettled(ctx: Context, grids: dict[str, GridMachine]) -> tuple[str, ...]:
    """What is still under way, in words; nothing when all rests.

    Settled: nothing in flight, nothing waited for, every lot covered exactly, a stop under every inventory.
    """
    state = ctx.state
    found = [f"a {waiter.kind} is waited for" for waiter in state.waiters]
    if state.truth.asked is not None:
        found.append(f"the venue is being read ({state.truth.cause})")
    if state.truth.wanted is not None:
        found.append(f"the venue is to be read ({state.truth.wanted})")
    for grid in grids.values():
        found += [f"{order.client_order_id} is {order.status}" for order in _moving(grid)]
        found += [f"{grid.id} {leg}: {why}" for leg in LEGS if (why := _leg_unsettled(grid, leg, ctx))]
    return tuple(found[:UNSETTLED_MAX])


def _moving(grid: GridMachine) -> list[Order]:
    return [order for order in grid.book.live() if order.status is not OrderStatus.WORKING]


def _leg_unsettled(grid: GridMachine, leg: Leg, ctx: Context) -> str:
    state = grid.state.legs[leg]
    if state.owned:
        return "a flatten has it"
    if state.mode is LegMode.MANUAL:
        return ""
    if state.closing:
        return "it is being closed"
    if any(wait.until_mono > ctx.mono for wait in state.backoffs.values()):
        return "a refused exit is tried again"
    if any(wait.wake and (wait.at_mono or 0) > ctx.mono for wait in state.waits.values()):
        return "a refused entry is tried again"
    if state.lots and not _leg_stops(grid, leg):
        return "its stop does not rest"
    return "" if not state.lots or _covered(grid, leg) else "its take-profits are not its lots"


def _covered(grid: GridMachine, leg: Leg) -> bool:
    """Every lot is covered exactly, but for what the venue takes no take-profit for."""
    state, instrument = grid.state.legs[leg], grid.state.instrument
    if instrument is None or any(lot.stopping_since is not None for lot in state.lots.values()):
        return False
    view = grid.exit_view(leg, instrument, (), ZERO)
    missing = {lot.lot_id: lot.qty for lot in state.lots.values()}
    for order in grid.book.live(leg, Purpose.TAKE_PROFIT):
        missing[order.lot] = missing.get(order.lot, ZERO) - order.remaining
    return all(
        not qty or (lot_id in state.lots and too_small(state, state.lots[lot_id], qty, view))
        for lot_id, qty in missing.items()
    )


def _leg_stops(grid: GridMachine, leg: Leg) -> list[Order]:
    return [o for o in grid.book.live(leg, Purpose.STOP) if o.close_position and o.status in _RESTS]


def leg_view(grid: GridMachine, leg: Leg, ctx: Context) -> m.LegView:
    """One leg."""
    state = grid.state.legs[leg]
    account = ctx.ledger.leg(grid.id, leg)
    price = grid.state.mark or grid.state.mid or account.average
    stops = _leg_stops(grid, leg)
    lots = sorted(state.lots.values(), key=lambda lot: (-leg.sign * lot.price, lot.lot_id))
    return m.LegView(
        leg=leg,
        mode=state.mode,
        latched=state.latched,
        qty=account.qty,
        average_entry=account.average if account.qty else None,
        inventory_usdt=account.qty * price,
        realized_usdt=account.gross - account.fees + account.funding,
        unrealized_usdt=ctx.ledger.unrealized_of(grid.id, leg),
        fees_usdt=-account.fees,
        funding_usdt=account.funding,
        take_profit_qty=sum((o.remaining for o in grid.book.live(leg, Purpose.TAKE_PROFIT)), ZERO),
        stop_price=stops[0].stop_price if stops else None,
        stop_resting=bool(stops),
        liquidation_price=state.liquidation_price,
        lots=tuple(
            m.LotView(
                lot_id=lot.lot_id,
                level=lot.level,
                qty=lot.qty,
                price=lot.price,
                take_profit=lot_book.take_profit_price(lot, leg, grid.grid.tp_steps),
                stop=lot_book.stop_price(lot, leg, grid.grid.sl_steps),
                opened_ns=lot.opened_ns,
            )
            for lot in lots
        ),
        peak_lots=state.peak_lots,
        trip_id=state.trip_id,
        entries_under_way=len(grid.book.live(leg, Purpose.ENTRY)) - entries_resting(grid, leg),
        no_rungs=_no_rungs(grid, leg),
    )


def _no_rungs(grid: GridMachine, leg: Leg) -> tuple[str, ...]:
    """Why no rung of a leg rests, each reason once; empty when one rests or is under way."""
    if grid.book.live(leg, Purpose.ENTRY):
        return ()
    state = grid.state.legs[leg]
    reasons = [reason for _, reason in sorted(state.dropped.items())]
    reasons += [wait.reason for _, wait in sorted(state.waits.items())]
    return tuple(dict.fromkeys(reason for reason in reasons if reason))[:3]


def why(grid: GridMachine, ctx: Context) -> tuple[str, ...]:
    """Every reason for no entries, of the instrument and of each leg."""
    reasons = grid.why()
    for leg in LEGS:
        reason = why_leg_has_none(grid.grid, grid.state, leg, ctx)
        if reason is not None:
            reasons.append(reason)
    return tuple(reasons)


def entries_resting(grid: GridMachine, leg: Leg | None = None) -> int:
    """Entries that the venue has confirmed and that still rest."""
    return sum(1 for order in grid.book.live(leg, Purpose.ENTRY) if order.status in _RESTS)


def instrument_view(grid: GridMachine, ctx: Context) -> m.InstrumentView:
    """One instrument."""
    state = grid.state
    reading = grid.filter.reading
    return m.InstrumentView(
        instrument=grid.id,
        trading=state.trading and grid.grid.enabled,
        paused=state.paused is not None,
        throttle=state.throttle,
        why_no_entries=why(grid, ctx),
        regime=reading.regime,
        warm=reading.warm,
        centre=state.centre,
        mid=state.mid,
        mark=state.mark,
        legs=tuple(leg_view(grid, leg, ctx) for leg in LEGS),
        open_orders=len(grid.book),
        rungs_resting_long=entries_resting(grid, Leg.LONG),
        rungs_resting_short=entries_resting(grid, Leg.SHORT),
        exits_resting=sum(1 for o in grid.book.live() if o.purpose.reduces and o.status in _RESTS),
        funding_rate=state.funding_rate,
        next_funding_ns=state.next_funding_ns,
        last_bar_ns=state.bar_ns,
        mark_ns=state.mark_ns,
        recentres=max(0, state.recentres - 1),  # the first centre is no move
        fills=state.fills,
        maker_fills=state.maker_fills,
        entries_dropped=state.entries_dropped,
        tick=None if state.instrument is None else state.instrument.tick,
        step=None if state.instrument is None else state.instrument.step,
    )


def desk_view(ctx: Context, grids: dict[str, GridMachine]) -> m.DeskView:
    """Everything."""
    return m.DeskView(
        instruments=tuple(instrument_view(grid, ctx) for grid in grids.values()),
        ledger=ctx.ledger.view(),
        reconciled=ctx.state.reconciled,
        reconciled_ns=ctx.state.truth.ok_ns,
        feeds_down=tuple(sorted(ctx.state.feeds_down)),
        unsettled=unsettled(ctx, grids),
        stopping=ctx.state.stopping is not None,
        holds=in_force(ctx.state.held),
        limits=limits.views(ctx.config.pretrade, ctx.state.limits),
        silent_sources=tuple(ctx.state.held.silent),
    )


def orders_answer(to: int, grids: dict[str, GridMachine]) -> m.OrdersAnswer:
    """All live orders."""
    return m.OrdersAnswer(
        to=to,
        orders=tuple(
            m.OrderView(
                instrument=grid.id,
                client_order_id=order.client_order_id,
                leg=order.leg,
                purpose=order.purpose,
                level=order.level,
                side=order.side,
                kind=order.kind,
                price=order.price,
                stop_price=order.stop_price,
                qty=order.qty,
                filled_qty=order.filled,
                status=order.status,
                algo=order.algo,
                created_ns=order.created_ns,
            )
            for grid in grids.values()
            for order in grid.book.live()
        ),
    )


def _rungs(grid: GridMachine, leg: Leg, held: str) -> tuple[m.Rung, ...]:
    """The nominal ladder with what became of each rung, and resting entries of levels that it has no more."""
    state = grid.state.legs[leg]
    live = {order.level: order for order in grid.book.live(leg, Purpose.ENTRY)}
    filled = {lot.level for lot in state.lots.values() if lot.generation == grid.state.recentres}
    rungs = []
    nominal = () if grid.state.centre is None else build_ladder(leg, grid.state.centre, grid.grid)
    for rung in nominal:
        order = live.pop(rung.level, None)
        rules = grid.state.instrument  # as the venue would take it; before it is known, as computed
        price = rung.price if rules is None else rules.away_price(leg, rung.price)
        qty = rung.qty if rules is None else rules.floor_qty(rung.qty)
        reason = ""
        if order is not None:
            price, qty = order.price or price, order.remaining
            rung_state = "resting" if order.status in _RESTS else "pending"
        elif rung.level in filled:
            rung_state = "filled"
        elif rung.level in state.dropped:
            rung_state, reason = "dropped", state.dropped[rung.level]
        else:
            rung_state, reason = "off", held
        rungs.append(_rung(msgspec.structs.replace(rung, price=price, qty=qty), rung_state, reason, order))
    rungs += [
        _rung(
            RungTarget(leg, order.level, order.price or ZERO, order.remaining),
            "resting",
            "not of this ladder",
            order,
        )
        for order in live.values()
    ]
    return tuple(rungs)


def _rung(rung: RungTarget, state: str, reason: str, order: Order | None) -> m.Rung:
    return m.Rung(
        leg=rung.leg,
        level=rung.level,
        side=rung.leg.entry_side,
        price=rung.price,
        qty=rung.qty,
        state=state,
        reason=reason,
        client_order_id="" if order is None else order.client_order_id,
    )


def ladders_answer(to: int, ctx: Context, grids: dict[str, GridMachine]) -> m.LaddersAnswer:
    """Both ladders of each instrument."""
    ladders = []
    for grid in grids.values():
        held = "; ".join(why(grid, ctx))
        ladders.append(
            m.LadderView(
                instrument=grid.id,
                mid_price=grid.state.mid,
                centre=grid.state.centre,
                long_ladder=_rungs(grid, Leg.LONG, held),
                short_ladder=_rungs(grid, Leg.SHORT, held),
                tick=None if grid.state.instrument is None else grid.state.instrument.tick,
                step=None if grid.state.instrument is None else grid.state.instrument.step,
            )
        )
    return m.LaddersAnswer(to=to, ladders=tuple(ladders))

"""Which entries an instrument wants to rest now: the pipeline of spec/2-strategy.md from regime to crossing rungs."""

import re
from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd import messages as m
from hedgegridd.core import funding
from hedgegridd.core.context import Context
from hedgegridd.core.holds import factor, why_held, why_leg_held
from hedgegridd.core.ladder import Dropped, RungTarget, build_ladder, step_of
from hedgegridd.core.occupancy import OpenLot, cap, drop_occupied
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.policy import apply_policy
from hedgegridd.core.precision import drop_crossing, fit
from hedgegridd.core.regime import Reading
from hedgegridd.core.scopes import DISABLED, PAUSE_KEY
from hedgegridd.core.state import GridState, Order
from hedgegridd.model import LEGS, ZERO, Instrument, KillState, Leg, LegMode, Purpose

_MINUTE_NS = Decimal(60_000_000_000)
_SECOND_NS = 1_000_000_000
_NUMBER = re.compile(r"\d")


def kind_of(reason: str) -> str:
    """A reason without its figures, so that a moving price is no new reason."""
    return _NUMBER.split(reason, maxsplit=1)[0]


def why_no_entries(grid: config.Grid, state: GridState, reading: Reading, ctx: Context) -> list[str]:
    """Why this instrument may have no entries now, in words; empty when it may."""
    why = why_not_permitted(grid, state, ctx)
    if not reading.warm:
        why.append(f"regime filter is warming up: {state.regime.bars} of {grid.bars_to_warm} bars")
    if state.mark is None or state.mid is None:
        why.append("no mark price yet")
    if state.throttle == ZERO:
        why.append("throttle is 0")
    return why


def why_not_permitted(grid: config.Grid, state: GridState, ctx: Context) -> list[str]:
    """Why somebody or something keeps entries of this instrument away, whatever the strategy wants.

    The pre-trade gate asks as well, for every entry: what the pipeline should not have wanted is refused there.
    """
    why = []
    desk = ctx.state
    if state.instrument is None:
        why.append("the venue's rules of the instrument are not known yet")
    elif state.instrument.status != "TRADING":
        why.append(f"the venue says the instrument is {state.instrument.status}")
    if not desk.reconciled:
        why.append("not reconciled with the venue yet")
    if desk.kill is not KillState.ARMED:
        why.append(f"kill switch is {desk.kill}")
    if desk.halt is not None:
        why.append(f"halted by {desk.halt}")
    if desk.stopping is not None:
        why.append(f"stopping: {desk.stopping}")
    if not grid.enabled:
        why.append(DISABLED)
    if not state.trading:
        why.append("trading is stopped")
    if state.paused is not None:
        why.append(f"paused: {state.paused}")
    if state.halted is not None:
        why.append(f"halted: {state.halted}")
    if state.refused is not None:
        why.append(state.refused)
    why += [f"{channel} feed is down" for channel in sorted(desk.feeds_down)]
    why += why_held(desk.held, grid.instrument_id)
    if state.bar_mono is None:
        why.append("no bar yet")
    elif _bar_is_old(grid, state, ctx.mono):
        why.append(f"no bar for {grid.max_bar_age_s} s")
    return why


def _bar_is_old(grid: config.Grid, state: GridState, mono: int) -> bool:
    limit = grid.max_bar_age_s * _SECOND_NS
    on_arrival = state.bar_mono is not None and mono - state.bar_mono > limit
    # A bar that came just now but closed long ago (a replayed history) is as old as the market says.
    in_market = state.bar_ns is not None and state.market_ns - state.bar_ns > limit
    return on_arrival or in_market


def why_leg_has_none(grid: config.Grid, state: GridState, leg: Leg, ctx: Context) -> str | None:
    """Why this leg may have no entries now although the instrument may; None when it may."""
    each = state.legs[leg]
    held = why_leg_held(ctx.state.held, grid.instrument_id, leg)
    if held:
        return "; ".join(held)
    if each.owned:
        return f"{leg} is being flattened by {each.flatten_id}"
    if each.latched:
        until = "rearm to trade it again" if each.trip_id else "resume to trade it again"
        if each.trip_id.startswith(PAUSE_KEY):
            until = f"until {each.trip_id} is over"
        return f"{leg} was flattened by {each.flatten_id}: {until}"
    if each.closing:
        return f"{leg} stop was passed: being closed at market"
    if each.mode is LegMode.GRACEFUL_STOP:
        flat = ctx.ledger.leg(grid.instrument_id, leg).qty == ZERO
        return f"{leg} mode is graceful_stop and the leg is flat" if flat else None
    return None if each.mode is LegMode.NORMAL else f"{leg} mode is {each.mode}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Targets per leg, rungs that are dropped with their reason, and the step they stand on."""

    targets: dict[Leg, tuple[RungTarget, ...]]
    dropped: dict[Leg, Dropped]
    step: Decimal


def wanted_entries(
    grid: config.Grid,
    state: GridState,
    instrument: Instrument,
    *,
    book: OrderBook,
    reading: Reading,
    ctx: Context,
) -> Wanted:
    """The pipeline; call it only when `why_no_entries` is empty."""
    centre, mid = state.centre, state.mid
    if centre is None or mid is None:
        return Wanted(targets=dict.fromkeys(LEGS, ()), dropped={}, step=ZERO)
    step = step_of(centre, grid.step_bps)
    qtys = {leg: ctx.ledger.leg(grid.instrument_id, leg).qty for leg in LEGS}
    ladders = apply_policy(
        reading.regime, {leg: build_ladder(leg, centre, grid) for leg in LEGS}, grid.policy
    )
    targets: dict[Leg, tuple[RungTarget, ...]] = {}
    dropped: dict[Leg, Dropped] = {}
    for leg in LEGS:
        if why_leg_has_none(grid, state, leg, ctx) is not None:
            targets[leg], dropped[leg] = (), ()
            continue
        scale = state.throttle * factor(ctx.state.held, grid.instrument_id, leg)
        scale *= funding.entry_scale(
            leg,
            rate=state.funding_rate,
            minutes_to_funding=_minutes_to_funding(state),
            long_notional=qtys[Leg.LONG] * mid,
            short_notional=qtys[Leg.SHORT] * mid,
            cfg=grid.funding,
        )
        rungs = ladders[leg]
        if scale == ZERO:
            targets[leg], dropped[leg] = (), tuple((rung, "funding leaves nothing of it") for rung in rungs)
            continue
        if scale != 1:
            rungs = tuple(msgspec.structs.replace(rung, qty=rung.qty * scale) for rung in rungs)
        targets[leg], dropped[leg] = _placeable(
            leg, rungs, qty=qtys[leg], step=step, grid=grid, state=state, instrument=instrument, book=book
        )
    return Wanted(targets=targets, dropped=dropped, step=step)


def _placeable(
    leg: Leg,
    rungs: tuple[RungTarget, ...],
    *,
    qty: Decimal,
    step: Decimal,
    grid: config.Grid,
    state: GridState,
    instrument: Instrument,
    book: OrderBook,
) -> tuple[tuple[RungTarget, ...], Dropped]:
    """Occupancy, cap, precision and crossing for the rungs of one leg."""
    live: dict[int, Order] = {order.level: order for order in book.live(leg, Purpose.ENTRY)}
    lots = [
        OpenLot(
            leg=leg,
            level=lot.level,
            price=lot.price,
            filled_qty=lot.bought,
            generation=lot.generation,
            whole=book.get(lot.lot_id) is None,
        )
        for lot in state.legs[leg].lots.values()
    ]
    kept, occupied = drop_occupied(rungs, lots, generation=state.recentres, step=step)
    kept, capped = cap(
        kept,
        leg_qty=qty,
        mid=state.mid or ZERO,
        max_inventory_usdt=grid.max_inventory_usdt,
        max_qty=grid.position.max_qty,
    )
    kept, unfit = fit(kept, instrument)
    # The rest of a partly filled entry stays, though it may be below the minimum for a new order.
    rests: list[RungTarget] = []
    refused = []
    for rung, reason in unfit:
        order = live.get(rung.level)
        if order is not None and order.filled > ZERO and order.generation == state.recentres:
            rests.append(RungTarget(leg, rung.level, order.rung_price, order.remaining, order.part))
        else:
            refused.append((rung, reason))
    # A rung that rests already is not judged again by a book that has come to it: it is about to fill.
    resting = tuple(rung for rung in kept if rung.level in live)
    fresh, crossing = drop_crossing([rung for rung in kept if rung.level not in live], state.bid, state.ask)
    return (*rests, *resting, *fresh), (*occupied, *capped, *refused, *crossing)


def _minutes_to_funding(state: GridState) -> Decimal | None:
    if state.next_funding_ns is None:
        return None
    return Decimal(state.next_funding_ns - state.market_ns) / _MINUTE_NS


def note_dropped(state: GridState, instrument: str, leg: Leg, dropped: Dropped, ctx: Context) -> None:
    """Remember why rungs are dropped; tell and count a rung's reason only when it is a new one."""
    known = state.legs[leg].dropped
    now = {rung.level: reason for rung, reason in dropped}
    for level, reason in now.items():
        if kind_of(known.get(level, "")) != kind_of(reason):
            state.entries_dropped += 1
            ctx.say(m.RungDropped(instrument=instrument, leg=leg, level=level, reason=reason))
    known.clear()
    known.update(now)

"""Gives the pre-trade gate its view of one instrument, so that every order of a pass is judged with those before it."""

from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd import messages as m
from hedgegridd.core import pretrade
from hedgegridd.core.context import Context
from hedgegridd.core.entries import why_not_permitted
from hedgegridd.core.holds import why_leg_held
from hedgegridd.core.margin import AccountFigures, Working
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.pretrade import Approved, LegView, PretradeView, Recent, Refused, Resting
from hedgegridd.core.state import GridState
from hedgegridd.model import LEGS, ZERO, Leg, Purpose


def shared_position(position: config.Position, share: Decimal) -> config.Position:
    """`[grid.position]` with the account-wide limits cut to this grid's share of the weights."""
    return msgspec.structs.replace(
        position,
        max_balance_pct=position.max_balance_pct * share,
        max_leverage=position.max_leverage * share,
    )


def judge(
    order: m.PlaceOrder,
    *,
    grid: config.Grid,
    position: config.Position,
    state: GridState,
    book: OrderBook,
    ctx: Context,
    part: int = 0,
) -> Approved | Refused:
    """Judge one order now; an approved one counts for those after it."""
    entry = not order.purpose.reduces
    legs = _legs(grid, state, book, ctx)
    view = PretradeView(
        now_ns=ctx.mono,
        instrument=state.instrument,
        kill=ctx.state.kill,
        legs=legs,
        mid=state.mid,
        account=_account(grid, state, book, ctx) if entry else None,
        open_orders=sum(1 for each in book.live() if not each.algo) if entry else None,
        position=position,
        holds=_holds(order.leg, grid, state, ctx) if entry else (),
        resting=tuple(Resting(leg=each.leg, side=each.side, price=each.price) for each in book.live())
        if entry
        else (),
        recent=tuple(ctx.state.recent) if entry else (),
    )
    verdict = pretrade.check(order, view, ctx.limits, part=part)
    if isinstance(verdict, Approved):
        ctx.state.recent.append(
            Recent(
                at_ns=ctx.mono,
                instrument=order.instrument,
                leg=order.leg,
                level=order.level,
                part=part,
                side=order.side,
                price=order.price,
                qty=order.qty,
            )
        )
    return verdict


def _holds(leg: Leg, grid: config.Grid, state: GridState, ctx: Context) -> tuple[str, ...]:
    """Why nobody may enter this leg now."""
    return (*why_not_permitted(grid, state, ctx), *why_leg_held(ctx.state.held, grid.instrument_id, leg))


def _legs(grid: config.Grid, state: GridState, book: OrderBook, ctx: Context) -> dict[Leg, LegView]:
    worth = dict.fromkeys(LEGS, ZERO)
    for each in book.live(purpose=Purpose.ENTRY):
        worth[each.leg] += each.remaining * (each.price or ZERO)
    return {
        leg: LegView(
            qty=ctx.ledger.leg(grid.instrument_id, leg).qty,
            entries_usdt=worth[leg],
            mode=state.legs[leg].mode,
            latched=state.legs[leg].latched,
        )
        for leg in LEGS
    }


def _account(grid: config.Grid, state: GridState, book: OrderBook, ctx: Context) -> AccountFigures | None:
    venue, equity = ctx.state.truth.account, ctx.ledger.equity
    if venue is None or equity is None or state.mark is None or state.instrument is None:
        return None
    other = ZERO
    for name, each in ctx.state.grids.items():
        price = each.mark or each.mid
        if name == grid.instrument_id or price is None:
            continue
        other += ctx.ledger.notional(name, price)
        other += sum(
            (o.remaining * (o.price or ZERO) for o in each.book.live.values() if o.purpose is Purpose.ENTRY),
            ZERO,
        )
    return AccountFigures(
        equity_usdt=equity,
        initial_margin_usdt=venue.initial_margin_usdt,
        maint_margin_usdt=venue.maint_margin_usdt,
        leverage=grid.leverage,
        mark=state.mark,
        long_qty=ctx.ledger.leg(grid.instrument_id, Leg.LONG).qty,
        short_qty=ctx.ledger.leg(grid.instrument_id, Leg.SHORT).qty,
        working=tuple(
            Working(each.leg, each.price or ZERO, each.remaining) for each in book.live(purpose=Purpose.ENTRY)
        ),
        other_gross_usdt=other,
        maint_margin_rate=state.instrument.maint_margin_rate,
    )

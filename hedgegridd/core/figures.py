"""The desk's figures for the guards: what moved, after it was booked. It reads the books and changes nothing.

They are told on every mark, fill, income, comparison and account report, and when a leg stop comes or goes; each time
only the instruments that moved, so that the cost does not grow with their number.
"""

from collections.abc import Iterable
from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.core.context import Context
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.margin import liquidation_price
from hedgegridd.core.state import Order
from hedgegridd.model import LEGS, ZERO, KillState, Leg, LegMode, OrderStatus, Purpose, parse_client_order_id

_RESTS = (OrderStatus.WORKING, OrderStatus.CANCELING)
_STOP_EVENTS = (m.OrderAccepted, m.OrderClosed, m.OrderRejected, m.OrderRefused, m.OrderUnknown)


def moved(message: m.Message, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The instruments whose figures a message has moved; none but the account's: (); nothing at all: None."""
    match message:
        case m.MarkPrice() | m.PriceCrossed() | m.Fill():
            return (message.instrument,) if message.instrument in names else None
        case m.VenueTruth() | m.SetMode():
            return names
        case m.IncomeBooked() | m.AccountRead():
            return ()
        case m.KillStateChanged(state=KillState.REARMING):
            return ()  # a session's measures begin anew
        case _ if isinstance(message, _STOP_EVENTS) and message.instrument in names:
            tag = parse_client_order_id(message.client_order_id)
            return (message.instrument,) if tag is not None and tag.purpose is Purpose.STOP else None
        case _:
            return None


def risk_figures(ctx: Context, grids: dict[str, GridMachine], names: Iterable[str]) -> m.RiskFigures:
    """The account, and the instruments `names`."""
    ledger, truth = ctx.ledger, ctx.state.truth
    periods = ledger.periods()
    account = truth.account
    return m.RiskFigures(
        equity_usdt=periods.equity,
        session_peak_usdt=periods.session_peak,
        peak_usdt=periods.peak,
        session_usdt=periods.session,
        day_usdt=periods.day,
        maint_margin_usdt=None if account is None else account.maint_margin_usdt,
        margin_balance_usdt=None if account is None else account.margin_balance_usdt,
        margin_ns=truth.account_ns,
        instruments=tuple(instrument_figures(grids[name], ctx) for name in names),
        differences=truth.differences,
        reconciled=ctx.state.reconciled,
    )


def instrument_figures(grid: GridMachine, ctx: Context) -> m.InstrumentFigures:
    """One instrument in our books."""
    state = grid.state
    stops: dict[Leg, Order] = {}
    entries = dict.fromkeys(LEGS, ZERO)
    for order in state.book.live.values():
        if order.purpose is Purpose.ENTRY:
            entries[order.leg] += order.remaining * (order.price or ZERO)
        elif order.purpose is Purpose.STOP and order.close_position and order.status in _RESTS:
            stops.setdefault(order.leg, order)
    estimate = _estimate(grid, ctx)
    legs = []
    for leg in LEGS:
        each = state.legs[leg]
        qty = ctx.ledger.leg(grid.id, leg).qty
        stop = stops.get(leg)
        legs.append(
            m.LegFigures(
                leg=leg,
                qty=qty,
                notional_usdt=None if state.mark is None else qty * state.mark,
                entries_usdt=entries[leg],
                stop_resting=stop is not None,
                stop_price=None if stop is None else stop.stop_price,
                liquidation_price=_nearer(state.mark, each.liquidation_price, estimate) if qty else None,
                hands_off=each.mode is LegMode.MANUAL or (qty > ZERO and not each.lots),
            )
        )
    return m.InstrumentFigures(
        instrument=grid.id,
        mark=state.mark,
        legs=tuple(legs),
        funding_rate=state.funding_rate,
        next_funding_ns=state.next_funding_ns,
        market_ns=state.mark_ns or 0,
    )


def _estimate(grid: GridMachine, ctx: Context) -> Decimal | None:
    """Our own liquidation price: the venue's is of the last comparison, and the legs may have grown since.

    The mark itself when it has jumped past that price: from there on a distance would grow the worse it gets.
    """
    rules, mark, equity = grid.state.instrument, grid.state.mark, ctx.ledger.equity
    if rules is None or mark is None or equity is None:
        return None
    long_qty, short_qty = (ctx.ledger.leg(grid.id, leg).qty for leg in LEGS)
    held = (long_qty + short_qty) * mark * rules.maint_margin_rate
    account = ctx.state.truth.account
    other = ZERO if account is None else max(ZERO, account.maint_margin_usdt - held)
    if equity <= held + other:
        return mark
    return liquidation_price(
        equity_usdt=equity,
        mark=mark,
        long_qty=long_qty,
        short_qty=short_qty,
        maint_margin_rate=rules.maint_margin_rate,
        other_maint_usdt=other,
    )


def _nearer(mark: Decimal | None, venues: Decimal | None, ours: Decimal | None) -> Decimal | None:
    """Of the venue's liquidation price and our own the one that is nearer to the mark."""
    known = [price for price in (venues, ours) if price is not None]
    return min(known, key=lambda price: abs(price - (mark or ZERO)), default=None)

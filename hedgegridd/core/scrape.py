"""What metrics show of the desk: one pass over orders and legs; it reads the state and changes nothing."""

from hedgegridd import messages as m
from hedgegridd.core.context import Context
from hedgegridd.core.grid import GridMachine
from hedgegridd.model import ZERO, Leg, OrderStatus, Purpose

_RESTS = (OrderStatus.WORKING, OrderStatus.CANCELING)


def figures(to: int, ctx: Context, grids: dict[str, GridMachine]) -> m.FiguresAnswer:
    """Everything."""
    instruments = tuple(_instrument(grid, ctx) for grid in grids.values())
    legs = [leg for item in instruments for leg in (item.long, item.short)]
    known = [leg.unrealized_usdt for leg in legs if leg.unrealized_usdt is not None]
    books = ctx.state.ledger
    return m.FiguresAnswer(
        to=to,
        instruments=instruments,
        wallet_usdt=ctx.ledger.wallet,
        unrealized_usdt=sum(known, ZERO) if len(known) == len(legs) else None,
        peak_equity_usdt=books.peak,
        residual_usdt=books.residual,
        reconciled=ctx.state.reconciled,
        reconciled_ns=ctx.state.truth.ok_ns,
    )


def _instrument(grid: GridMachine, ctx: Context) -> m.InstrumentMetrics:
    state = grid.state
    resting = dict.fromkeys(Leg, 0)
    for order in grid.book.live():
        if order.purpose is Purpose.ENTRY and order.status in _RESTS:
            resting[order.leg] += 1
    return m.InstrumentMetrics(
        instrument=grid.id,
        long=_leg(grid, Leg.LONG, ctx, resting[Leg.LONG]),
        short=_leg(grid, Leg.SHORT, ctx, resting[Leg.SHORT]),
        mark=state.mark,
        funding_rate=state.funding_rate,
        last_bar_ns=state.bar_ns,
        open_orders=len(grid.book),
        fills=state.fills,
        maker_fills=state.maker_fills,
    )


def _leg(grid: GridMachine, leg: Leg, ctx: Context, resting: int) -> m.LegMetrics:
    account = ctx.ledger.leg(grid.id, leg)
    price = grid.state.mark or grid.state.mid or account.average
    return m.LegMetrics(
        leg=leg,
        qty=account.qty,
        inventory_usdt=account.qty * price,
        realized_usdt=account.gross - account.fees + account.funding,
        unrealized_usdt=ctx.ledger.unrealized_of(grid.id, leg),
        rungs_resting=resting,
        liquidation_price=grid.state.legs[leg].liquidation_price,
    )

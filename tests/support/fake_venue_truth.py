"""What the fake venue answers to who asks for the truth."""

from hedgegridd import messages as m
from hedgegridd.model import ZERO, OrderKind

BTC = "BTCUSDT-PERP.BINANCE"
WALL = 1_700_000_000_000_000_000


def truth_of(venue, token):
    """The account, its legs and its resting orders as the venue has them now."""
    figures = m.VenueAccount(
        wallet_usdt=venue.wallet,
        margin_balance_usdt=venue.wallet,
        maint_margin_usdt=ZERO,
        initial_margin_usdt=ZERO,
        available_usdt=venue.wallet,
        unrealized_usdt=ZERO,
    )
    return m.VenueTruth(
        token=token,
        instruments=(BTC,),
        account=figures,
        legs=tuple(
            m.VenueLeg(
                instrument=BTC,
                leg=leg,
                qty=each.qty,
                entry_price=each.average,
                mark=venue.price,
                unrealized_usdt=ZERO,
            )
            for leg, each in venue.legs.items()
        ),
        orders=tuple(order_of(rest) for rest in venue.resting.values()),
        trade_cursor={BTC: len(venue.trades)},
        income_cursor_ms=len(venue.incomes),
        asked_ns=WALL + venue.mono,
        asked_mono_ns=venue.mono,
        answered_ns=WALL + venue.mono,
    )


def order_of(rest):
    """An order as the venue shows it."""
    order = rest.order
    return m.VenueOrder(
        instrument=BTC,
        client_order_id=order.client_order_id,
        venue_order_id=rest.venue_id,
        leg=order.leg,
        side=order.side,
        kind=order.kind.value,
        qty=order.qty or ZERO,
        filled_qty=rest.filled,
        price=order.price,
        stop_price=order.stop_price,
        close_position=order.close_position,
        algo=order.kind is OrderKind.STOP_MARKET,
    )

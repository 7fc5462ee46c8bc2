"""Whether the account can carry one more entry: margin used, leverage, distance of the liquidation price.

The estimate of the liquidation price, cross margin in hedge mode (both legs share one balance):

    equity(p)      = E + N (p - m)              E: equity at mark m, N: LONG minus SHORT quantity
    maintenance(p) = r (LONG + SHORT) p + O     r: maintenance rate, O: maintenance of everything else
    liquidated at the p where both are equal:   p = (N m + O - E) / (N - r (LONG + SHORT))

A result that is not above zero means that no price liquidates. Fees of the liquidation and higher brackets of the rate
are not in it; `liquidation_buffer_pct` is the room left for them.
"""

from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd.model import ZERO, Leg

_HUNDRED = Decimal(100)


class Working(msgspec.Struct, frozen=True):
    """An entry that rests or may rest: price in quote currency, what is left of it in base currency."""

    leg: Leg
    price: Decimal
    qty: Decimal


class AccountFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the account and of one instrument when an entry is judged. Money in USDT.

    `initial_margin_usdt` and `maint_margin_usdt` are the venue's for the whole account. `other_gross_usdt` is the
    notional of positions and entries on other instruments; `leverage` is the one set at the venue.
    """

    equity_usdt: Decimal
    initial_margin_usdt: Decimal
    maint_margin_usdt: Decimal
    leverage: int
    mark: Decimal
    long_qty: Decimal
    short_qty: Decimal
    working: tuple[Working, ...] = ()
    other_gross_usdt: Decimal = ZERO
    maint_margin_rate: Decimal

    @property
    def gross_usdt(self) -> Decimal:
        """Both legs at mark, working entries at their price, other instruments."""
        return (
            (self.long_qty + self.short_qty) * self.mark
            + sum((entry.price * entry.qty for entry in self.working), ZERO)
            + self.other_gross_usdt
        )

    @property
    def initial_margin_used_usdt(self) -> Decimal:
        """The venue's figure, or our own of this instrument when that is larger (the venue's may be seconds old)."""
        own = (self.gross_usdt - self.other_gross_usdt) / self.leverage
        return max(self.initial_margin_usdt, own)


def liquidation_price(
    *,
    equity_usdt: Decimal,
    mark: Decimal,
    long_qty: Decimal,
    short_qty: Decimal,
    maint_margin_rate: Decimal,
    other_maint_usdt: Decimal = ZERO,
) -> Decimal | None:
    """Price at which the account would be liquidated, or None when no price does it; see the module for the formula.

    `equity_usdt` is the margin balance at `mark`.
    """
    net = long_qty - short_qty
    slope = net - maint_margin_rate * (long_qty + short_qty)
    if slope == ZERO:
        return None
    price = (net * mark + other_maint_usdt - equity_usdt) / slope
    return price if price > ZERO else None


def liquidation_distance_pct(
    figures: AccountFigures, leg: Leg, price: Decimal, qty: Decimal
) -> Decimal | None:
    """Distance in % of the liquidation price once the entry and the leg's other working entries have filled.

    The smaller of the distances seen from today's mark and from the entry's price (where mark will be when it fills);
    0 when the account would be liquidated there already, None when no price liquidates it.
    """
    entries = [(price, qty), *((each.price, each.qty) for each in figures.working if each.leg is leg)]
    added = sum((each for _, each in entries), ZERO)
    # What the fills are worth at today's mark: bought below it is a gain that the way down to them has used up.
    gain = sum((leg.sign * each * (figures.mark - at) for at, each in entries), ZERO)
    long_qty = figures.long_qty + (added if leg is Leg.LONG else ZERO)
    short_qty = figures.short_qty + (added if leg is Leg.SHORT else ZERO)
    held = (figures.long_qty + figures.short_qty) * figures.mark * figures.maint_margin_rate
    other = max(ZERO, figures.maint_margin_usdt - held)
    equity = figures.equity_usdt + gain
    net, gross = long_qty - short_qty, long_qty + short_qty
    at = liquidation_price(
        equity_usdt=equity,
        mark=figures.mark,
        long_qty=long_qty,
        short_qty=short_qty,
        maint_margin_rate=figures.maint_margin_rate,
        other_maint_usdt=other,
    )
    distances = []
    for seen_from in (figures.mark, price):
        maintenance = figures.maint_margin_rate * gross * seen_from + other
        if equity + net * (seen_from - figures.mark) <= maintenance:
            return ZERO
        if at is not None:
            distances.append(abs(seen_from - at) / seen_from * _HUNDRED)
    return min(distances, default=None)


def why_position_refuses(
    figures: AccountFigures, leg: Leg, price: Decimal, qty: Decimal, limits: config.Position
) -> str | None:
    """Why `[grid.position]` refuses an entry of `qty` at `price`, or None when it may go.

    `max_qty`: the leg's quantity with all its working entries. `max_balance_pct`: initial margin of legs and working
    entries over equity. `max_leverage`: gross notional over equity. `liquidation_buffer_pct`: see the module.
    """
    if figures.equity_usdt <= ZERO:
        return f"equity {figures.equity_usdt} USDT is not above zero"
    leg_qty = figures.long_qty if leg is Leg.LONG else figures.short_qty
    leg_qty += sum((each.qty for each in figures.working if each.leg is leg), ZERO)
    if leg_qty + qty > limits.max_qty:
        return f"{leg} quantity with entries would be {leg_qty + qty}, max_qty {limits.max_qty}"
    notional = price * qty
    margin_pct = (
        (figures.initial_margin_used_usdt + notional / figures.leverage) / figures.equity_usdt * _HUNDRED
    )
    if margin_pct > limits.max_balance_pct:
        return (
            f"initial margin would be {margin_pct:.2f} % of equity, max_balance_pct {limits.max_balance_pct}"
        )
    leverage = (figures.gross_usdt + notional) / figures.equity_usdt
    if leverage > limits.max_leverage:
        return f"gross notional would be {leverage:.2f} x equity, position max_leverage {limits.max_leverage}"
    distance = liquidation_distance_pct(figures, leg, price, qty)
    if distance is not None and distance < limits.liquidation_buffer_pct:
        return f"liquidation would be {distance:.2f} % away, liquidation_buffer_pct {limits.liquidation_buffer_pct}"
    return None

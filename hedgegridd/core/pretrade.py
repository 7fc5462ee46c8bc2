"""The gate every order of ours passes before the journal and the venue: `Approved` or `Refused` (spec/3-safety.md).

Orders that reduce a leg pass everything but the sanity of their own numbers. An entry needs every limit, every figure
and every permission: what is missing refuses it.
"""

from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd.core.margin import AccountFigures, why_position_refuses
from hedgegridd.messages import PlaceOrder
from hedgegridd.model import BPS, LEGS, ZERO, Instrument, KillState, Leg, LegMode, Nanos, OrderKind, Side

_HUNDRED = Decimal(100)
_MS = 1_000_000
_TEN_SECONDS = 10_000_000_000


class Approved(msgspec.Struct, frozen=True):
    """The order may go."""

    order: PlaceOrder


class Refused(msgspec.Struct, frozen=True):
    """The order must not go; `limit` names the rule (a config key where there is one), `reason` is for people."""

    order: PlaceOrder
    limit: str
    reason: str


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """An order of ours that rests or may rest at the venue, of either leg, exits included."""

    leg: Leg
    side: Side
    price: Decimal | None


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was approved a short while ago, by the monotonic clock."""

    at_ns: Nanos
    instrument: str
    leg: Leg
    level: int
    part: int
    side: Side
    price: Decimal | None
    qty: Decimal | None


class LegView(msgspec.Struct, frozen=True, kw_only=True):
    """One leg: quantity, and what its working entries (pending, unknown and canceling too) are worth in USDT."""

    qty: Decimal
    entries_usdt: Decimal = ZERO
    mode: LegMode = LegMode.NORMAL
    latched: bool = False


class PretradeView(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gate looks at, as of `now_ns` (monotonic). None is unknown, and refuses entries.

    `holds` are the causes for which entries of the instrument are held (pause, throttle 0, stale data, ...).
    `open_orders` counts the instrument's ordinary orders; `recent` are the account's orders of the last 10 s or the
    duplicate window, whichever is longer. `account` includes every working entry of the instrument. `position` are the
    instrument's own bounds from its `[grid.position]`.
    """

    now_ns: Nanos
    instrument: Instrument | None
    kill: KillState
    legs: dict[Leg, LegView] | None
    mid: Decimal | None
    account: AccountFigures | None
    position: config.Position
    holds: tuple[str, ...] = ()
    open_orders: int | None = None
    resting: tuple[Resting, ...] = ()
    recent: tuple[Recent, ...] = ()


class _No(msgspec.Struct, frozen=True):
    limit: str
    reason: str


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is permitted at all, with every figure known; a market order is priced at mid."""

    order: PlaceOrder
    price: Decimal
    qty: Decimal
    mid: Decimal
    instrument: Instrument
    account: AccountFigures
    legs: dict[Leg, LegView]
    open_orders: int

    @property
    def notional(self) -> Decimal:
        return self.price * self.qty


def check(
    order: PlaceOrder, view: PretradeView, limits: config.Pretrade, *, part: int = 0
) -> Approved | Refused:
    """Judge one order. `part`: its number among the orders of a split rung, so that equal parts are no duplicates."""
    no = _insane(order, view)
    if no is None and not order.purpose.reduces:
        no = _refuse_entry(order, view, limits, part)
    return Approved(order) if no is None else Refused(order, no.limit, no.reason)


def _refuse_entry(order: PlaceOrder, view: PretradeView, limits: config.Pretrade, part: int) -> _No | None:
    entry = _permitted(order, view)
    if isinstance(entry, _No):
        return entry
    return (
        _off_venue_minimum(entry)
        or _above_notional(entry, limits)
        or _too_many(entry, view, limits)
        or _crosses_own(order, view)
        or _duplicate(order, view, limits, part)
        or _unaffordable(entry, view.position, limits)
    )


def _insane(order: PlaceOrder, view: PretradeView) -> _No | None:
    """The sanity of an order's own numbers; holds for reducing orders too."""
    leg = order.leg
    side = leg.exit_side if order.purpose.reduces else leg.entry_side
    if order.side is not side:
        return _No("side", f"{order.purpose.name} of {leg} must {side}, not {order.side}")
    if order.close_position:
        if not order.purpose.reduces or order.kind is not OrderKind.STOP_MARKET or order.qty is not None:
            return _No("close_position", "closes a whole leg: a reducing STOP_MARKET without a quantity only")
    elif order.qty is None or order.qty <= ZERO:
        return _No("qty", f"quantity must be above zero, not {order.qty}")
    if order.kind is OrderKind.LIMIT and (order.price is None or order.price <= ZERO):
        return _No("price", f"price must be above zero, not {order.price}")
    if order.kind is OrderKind.STOP_MARKET and (order.stop_price is None or order.stop_price <= ZERO):
        return _No("stop_price", f"stop price must be above zero, not {order.stop_price}")
    if order.purpose.reduces and order.qty is not None and view.legs is not None:
        held = view.legs[leg].qty
        if order.qty > held:
            return _No("qty", f"would close {order.qty} of a {leg} leg of {held}")
    return _off_filters(order, view.instrument)


def _off_filters(order: PlaceOrder, instrument: Instrument | None) -> _No | None:
    if instrument is None:
        return None  # entries are refused for it in `_permitted`; a close must not wait for filters
    for name, price in (("price", order.price), ("stop_price", order.stop_price)):
        if price is not None and price % instrument.tick != ZERO:
            return _No(name, f"{price} is not on the tick {instrument.tick}")
    if order.qty is None:
        return None
    if order.qty % instrument.step != ZERO:
        return _No("qty", f"{order.qty} is not on the lot step {instrument.step}")
    most = instrument.max_qty if order.kind is OrderKind.LIMIT else instrument.market_max_qty
    if order.qty > most:
        return _No("qty", f"{order.qty} is above the venue's maximum {most}")
    return None


def _permitted(order: PlaceOrder, view: PretradeView) -> _Entry | _No:
    if view.kill is not KillState.ARMED:
        return _No("kill_switch", f"kill switch is {view.kill}")
    if view.legs is None or set(view.legs) != set(LEGS):
        return _No("legs", "legs are not known")
    leg = view.legs[order.leg]
    if leg.latched:
        return _No("latch", f"{order.leg} is latched by a flatten")
    until_flat = leg.mode is LegMode.GRACEFUL_STOP and leg.qty > ZERO
    if leg.mode is not LegMode.NORMAL and not until_flat:
        return _No("mode", f"{order.leg} is in mode {leg.mode}")
    if view.holds:
        return _No("hold", "entries are held: " + ", ".join(view.holds))
    if view.instrument is None:
        return _No("instrument", "the venue's filters are not known")
    if view.instrument.status != "TRADING":
        return _No("status", f"the venue says {view.instrument.status}")
    if view.mid is None or view.mid <= ZERO:
        return _No("mid", "no mid price")
    if view.account is None:
        return _No("account", "the account's figures are not known")
    if view.open_orders is None:
        return _No("open_orders", "open orders are not known")
    if order.qty is None:
        return _No("qty", "an entry needs a quantity")
    return _Entry(
        order=order,
        price=view.mid if order.price is None else order.price,
        qty=order.qty,
        mid=view.mid,
        instrument=view.instrument,
        account=view.account,
        legs=view.legs,
        open_orders=view.open_orders,
    )


def _off_venue_minimum(entry: _Entry) -> _No | None:
    filters, mark = entry.instrument, entry.account.mark
    if entry.qty < filters.min_qty:
        return _No("qty", f"{entry.qty} is below the venue's minimum {filters.min_qty}")
    if entry.notional < filters.min_notional:
        return _No("notional", f"{entry.notional} USDT is below the venue's minimum {filters.min_notional}")
    # The venue bounds a buy from above and a sell from below, around mark.
    if entry.order.side is Side.BUY and entry.price > mark * filters.percent_up:
        return _No("price", f"{entry.price} is above the venue's band around mark {mark}")
    if entry.order.side is Side.SELL and entry.price < mark * filters.percent_down:
        return _No("price", f"{entry.price} is below the venue's band around mark {mark}")
    return None


def _above_notional(entry: _Entry, limits: config.Pretrade) -> _No | None:
    mid = entry.mid
    if abs(entry.price - mid) * BPS > limits.price_collar_bps * mid:
        return _No(
            "price_collar_bps", f"{entry.price} is more than {limits.price_collar_bps} bps from mid {mid}"
        )
    in_leg = {leg: each.qty * mid + each.entries_usdt for leg, each in entry.legs.items()}
    gross = sum(in_leg.values(), entry.account.other_gross_usdt)
    for name, limit, value in (
        ("max_order_notional_usdt", limits.max_order_notional_usdt, entry.notional),
        ("max_leg_notional_usdt", limits.max_leg_notional_usdt, in_leg[entry.order.leg] + entry.notional),
        ("max_gross_notional_usdt", limits.max_gross_notional_usdt, gross + entry.notional),
    ):
        if limit is None:
            return _No(name, f"{name} is not configured: no entry without it")
        if value > limit:
            return _No(name, f"would be {value:.2f} USDT, {name} is {limit}")
    return None


def _too_many(entry: _Entry, view: PretradeView, limits: config.Pretrade) -> _No | None:
    most = min(limits.max_open_orders, entry.instrument.max_orders)
    if entry.open_orders >= most:
        return _No("max_open_orders", f"{entry.open_orders} orders are open, at most {most}")
    sent = sum(1 for each in view.recent if view.now_ns - each.at_ns < _TEN_SECONDS)
    if sent >= limits.max_orders_per_10s:
        return _No("max_orders_per_10s", f"{sent} orders in 10 s, at most {limits.max_orders_per_10s}")
    return None


def _crosses_own(order: PlaceOrder, view: PretradeView) -> _No | None:
    """An entry that would trade against an order of ours, of the other leg or its own."""
    for own in view.resting:
        if own.price is None or own.side is order.side:
            continue
        if order.price is None or (order.price - own.price) * (1 if order.side is Side.BUY else -1) >= ZERO:
            return _No("self_match", f"would trade against our own {own.side} of {own.leg} at {own.price}")
    return None


def _duplicate(order: PlaceOrder, view: PretradeView, limits: config.Pretrade, part: int) -> _No | None:
    key = (order.instrument, order.leg, order.level, part, order.side, order.price, order.qty)
    for each in view.recent:
        if view.now_ns - each.at_ns >= limits.duplicate_window_ms * _MS:
            continue
        if (each.instrument, each.leg, each.level, each.part, each.side, each.price, each.qty) == key:
            return _No(
                "duplicate_window_ms", f"the same order was sent within {limits.duplicate_window_ms} ms"
            )
    return None


def _unaffordable(entry: _Entry, position: config.Position, limits: config.Pretrade) -> _No | None:
    account = entry.account
    why = why_position_refuses(account, entry.order.leg, entry.price, entry.qty, position)
    if why is not None:
        return _No("position", why)
    leverage = (account.gross_usdt + entry.notional) / account.equity_usdt
    if leverage > limits.max_leverage:
        return _No(
            "max_leverage", f"gross notional would be {leverage:.2f} x equity, at most {limits.max_leverage}"
        )
    used = account.initial_margin_used_usdt + entry.notional / account.leverage
    free_pct = (account.equity_usdt - used) / account.equity_usdt * _HUNDRED
    if free_pct < limits.min_margin_after_pct:
        least = limits.min_margin_after_pct
        return _No(
            "min_margin_after_pct", f"{free_pct:.2f} % of the margin would be left free, at least {least}"
        )
    return None

"""The desk's and the venue's views as JSON-ready facts: exact figures as strings, each with its age, unknown as null."""

from datetime import UTC, datetime
from decimal import Decimal

from hedgegridd.core.utilization import utilization
from hedgegridd.messages import (
    DeskView,
    FlattenView,
    GuardsAnswer,
    GuardVerdict,
    InstrumentView,
    KillSwitchAnswer,
    LedgerView,
    LegView,
    LimitView,
    LotView,
    OrderView,
    VenueAnswer,
)

MARKET_CLOCK_OURS_S = 3600.0


def exact(value: Decimal | None) -> str | None:
    """A decimal in plain digits (no exponent), or None."""
    return None if value is None else f"{value:f}"


def number(value: Decimal | None, digits: int = 6) -> float | None:
    """A ratio or a throttle as a JSON number."""
    return None if value is None else round(float(value), digits)


def age_s(then_ns: int | None, now_ns: int) -> float | None:
    """Seconds since a wall-clock time; None when it never was (None or 0)."""
    return None if not then_ns else round((now_ns - then_ns) / 1e9, 3)


def utc(then_ns: int | None) -> str | None:
    """A wall-clock time as `2022-01-01T03:12:41.902Z`; None when it never was (None or 0)."""
    if not then_ns:
        return None
    moment = datetime.fromtimestamp(then_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{then_ns % 1_000_000_000 // 1_000_000:03d}Z"


def lot(view: LotView, now_ns: int) -> dict[str, object]:
    """One open lot."""
    return {
        "lot_id": view.lot_id,
        "level": view.level,
        "quantity": exact(view.qty),
        "price": exact(view.price),
        "take_profit": exact(view.take_profit),
        "stop": exact(view.stop),
        "age_s": age_s(view.opened_ns, now_ns),
    }


def leg(view: LegView) -> dict[str, object]:
    """One leg: money in USDT; fees and funding signed as the wallet sees them."""
    return {
        "leg": view.leg.value,
        "mode": view.mode.value,
        "latched": view.latched,
        "trip_id": view.trip_id or None,
        "quantity": exact(view.qty),
        "average_entry": exact(view.average_entry),
        "inventory_usdt": exact(view.inventory_usdt),
        "liquidation_price": exact(view.liquidation_price),
        "realized_usdt": exact(view.realized_usdt),
        "unrealized_usdt": exact(view.unrealized_usdt),
        "fees_usdt": exact(view.fees_usdt),
        "funding_usdt": exact(view.funding_usdt),
        "take_profit_quantity": exact(view.take_profit_qty),
        "stop_price": exact(view.stop_price),
        "stop_resting": view.stop_resting,
        "lots": len(view.lots),
        "peak_lots": view.peak_lots,
        "entries_under_way": view.entries_under_way,
        "no_rungs": list(view.no_rungs),
    }


def _market_age_s(market_ns: int | None, now_ns: int) -> float | None:
    """Age of something on the market's clock; unknown where that is not ours (a replay, a market faster than life)."""
    found = age_s(market_ns, now_ns)
    return found if found is not None and -1.0 <= found < MARKET_CLOCK_OURS_S else None


def instrument(view: InstrumentView, venue: VenueAnswer | None, now_ns: int) -> dict[str, object]:
    """One instrument; ages of its bar and mark are on the wall clock, of its feed on arrival."""
    return {
        "instrument": view.instrument,
        "trading": view.trading,
        "paused": view.paused,
        "throttle": number(view.throttle),
        "why_no_entries": list(view.why_no_entries),
        "regime": view.regime.value,
        "warm": view.warm,
        "centre": exact(view.centre),
        "mid_price": exact(view.mid),
        "mark_price": exact(view.mark),
        "mark_age_s": _market_age_s(view.mark_ns, now_ns),
        "feed_age_s": None if venue is None else venue.market_age_s.get(view.instrument),
        "last_bar_timestamp": None if view.last_bar_ns is None else view.last_bar_ns / 1e9,
        "legs": {item.leg.value: leg(item) for item in view.legs},
        "open_orders": view.open_orders,
        "rungs_resting": {"LONG": view.rungs_resting_long, "SHORT": view.rungs_resting_short},
        "funding_rate": exact(view.funding_rate),
        "next_funding": utc(view.next_funding_ns),
        "recentres": view.recentres,
        "fills": view.fills,
        "maker_ratio": None if view.fills == 0 else round(view.maker_fills / view.fills, 6),
        "entries_dropped": view.entries_dropped,
        "tick": exact(view.tick),
        "step": exact(view.step),
    }


def pnl(view: LedgerView) -> dict[str, object]:
    """Profit and loss in USDT; `realized` is net of fees and funding."""
    return {
        "realized_usdt": exact(view.realized_usdt),
        "unrealized_usdt": exact(view.unrealized_usdt),
        "total_usdt": exact(view.total_usdt),
        "day_usdt": exact(view.day_usdt),
        "session_usdt": exact(view.session_usdt),
        "inception_usdt": exact(view.inception_usdt),
        "gross_realized_usdt": exact(view.gross_realized_usdt),
        "fees_usdt": exact(view.fees_usdt),
        "funding_usdt": exact(view.funding_usdt),
        "transfers_usdt": exact(view.transfers_usdt),
        "equity_usdt": exact(view.equity_usdt),
        "peak_equity_usdt": exact(view.peak_equity_usdt),
        "ledger_wallet_usdt": exact(view.wallet_usdt),
        "residual_usdt": exact(view.residual_usdt),
    }


def balances(venue: VenueAnswer | None) -> dict[str, object] | None:
    """The account's own figures as the venue last told them, with their age; None: never read."""
    if venue is None or venue.account is None:
        return None
    account = venue.account
    return {
        "asset": "USDT",
        "wallet_usdt": exact(account.wallet_usdt),
        "margin_balance_usdt": exact(account.margin_balance_usdt),
        "available_usdt": exact(account.available_usdt),
        "maint_margin_usdt": exact(account.maint_margin_usdt),
        "initial_margin_usdt": exact(account.initial_margin_usdt),
        "unrealized_usdt": exact(account.unrealized_usdt),
        "age_s": venue.account_age_s,
    }


def margin_ratio(venue: VenueAnswer | None) -> float | None:
    """Maintenance margin over margin balance, the venue's figures; None: not read, or no balance."""
    if venue is None or venue.account is None or venue.account.margin_balance_usdt <= 0:
        return None
    return number(venue.account.maint_margin_usdt / venue.account.margin_balance_usdt)


def feeds(venue: VenueAnswer | None, desk: DeskView | None) -> dict[str, object] | None:
    """The connection to the venue: channels that are lost, ages in seconds on arrival, calls and used weight."""
    if venue is None:
        return None
    return {
        "connected": venue.connected,
        "down": None if desk is None else list(desk.feeds_down),
        "user_stream_age_s": venue.user_stream_age_s,
        "market_age_s": dict(venue.market_age_s),
        "account_age_s": venue.account_age_s,
        "in_flight": venue.in_flight,
        "calls": venue.calls,
        "calls_failed": venue.calls_failed,
        "failed_in_a_row": venue.failed_in_a_row,
        "limited_s": venue.limited_s,
        "used_weight_1m": venue.used_weight_1m,
        "clock_offset_ms": venue.clock_offset_ms,
    }


def kill_switch(view: KillSwitchAnswer | None, now_ns: int) -> dict[str, object] | None:
    """State, cause and since of the kill switch; None: it does not answer."""
    if view is None:
        return None
    return {
        "state": view.state.value,
        "trip_id": view.trip_id or None,
        "cause": view.cause or None,
        "action": view.action or None,
        "guard": view.guard or None,
        "rearm_from": utc(view.rearm_from_ns),
        "guards_not_ok": list(view.guards),
        "since": utc(view.since_ns),
        "age_s": age_s(view.since_ns, now_ns),
        "accepted": list(view.accepted),
    }


def limit(view: LimitView, now_ns: int) -> dict[str, object]:
    """A limit of the pre-trade gate that is not the config's."""
    return {
        "name": view.name,
        "value": exact(view.value),
        "configured": exact(view.configured),
        "reason": view.reason or None,
        "since": utc(view.since_ns),
        "age_s": age_s(view.since_ns, now_ns),
    }


def flatten(view: FlattenView, now_ns: int) -> dict[str, object]:
    """A running or finished flatten of one leg."""
    return {
        "flatten_id": view.flatten_id,
        "instrument": view.instrument,
        "leg": view.leg.value,
        "state": view.state,
        "attempts": view.attempts,
        "residual_quantity": exact(view.residual_qty),
        "residual_orders": view.residual_orders,
        "age_s": age_s(view.since_ns, now_ns),
    }


def order(view: OrderView, now_ns: int) -> dict[str, object]:
    """One open order as we believe it to be."""
    return {
        "instrument": view.instrument,
        "client_order_id": view.client_order_id,
        "leg": view.leg.value,
        "purpose": view.purpose.name.lower(),
        "level": view.level,
        "side": view.side.value,
        "kind": view.kind.value,
        "price": exact(view.price),
        "stop_price": exact(view.stop_price),
        "quantity": exact(view.qty),
        "filled": exact(view.filled_qty),
        "status": view.status.value,
        "algo": view.algo,
        "age_s": age_s(view.created_ns, now_ns),
    }


def guards(view: GuardsAnswer | None) -> dict[str, object] | None:
    """How many guards are OK and off, those that are not OK, and the one nearest its limit; None: no answer."""
    if view is None:
        return None
    bad = {each.guard: each.level for each in view.verdicts if each.level != "OK"}
    names = {each.guard for each in view.verdicts}
    known = [(share, each) for each in view.verdicts if (share := utilization(each)) is not None]
    nearest = max(known, key=lambda item: item[0], default=None)
    return {
        "ok": len(names - bad.keys()),
        "off": len(view.off),
        "not_ok": bad,
        "nearest": None
        if nearest is None
        else {
            "guard": nearest[1].guard,
            "value": exact(nearest[1].value),
            "limit": exact(nearest[1].limit),
            "unit": nearest[1].unit,
            "used": number(nearest[0]),
        },
    }


def guard(view: GuardVerdict, now_ns: int) -> dict[str, object]:
    """What one guard says of one scope; `value` null: its data is missing."""
    return {
        "guard": view.guard,
        "instrument": view.scope.instrument,
        "leg": None if view.scope.leg is None else view.scope.leg.value,
        "level": view.level,
        "value": exact(view.value),
        "warn": exact(view.warn),
        "limit": exact(view.limit),
        "unit": view.unit,
        "used": number(utilization(view)),
        "message": view.message,
        "since": utc(view.since_ns),
        "age_s": age_s(view.since_ns, now_ns),
    }

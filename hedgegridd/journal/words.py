"""Every kind of record as a short sentence for people, made from the JSON as it stands (of any version)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

type Fields = dict[str, Any]

_NS_PER_S = 1_000_000_000


def clock(time_ns: int) -> str:
    """Time of day, UTC, to the millisecond."""
    at = datetime.fromtimestamp(time_ns // _NS_PER_S, UTC)
    return f"{at:%H:%M:%S}.{time_ns % _NS_PER_S // 1_000_000:03d}"


def day(time_ns: int) -> str:
    """Date, UTC."""
    return f"{datetime.fromtimestamp(time_ns // _NS_PER_S, UTC):%Y-%m-%d}"


def words(kind: str, fields: Fields) -> str:
    """The message as a sentence; a kind without one of its own is told field by field."""
    made = _WORDS.get(kind)
    if made is not None:
        try:
            return made(fields)
        except (KeyError, TypeError, ValueError):
            pass  # a field is missing or of another type than today: told field by field
    shown = [
        f"{name} {_plain(value)}"
        for name, value in fields.items()
        if name != "type" and value not in (None, "", [], {})
    ]
    return ", ".join([kind, *shown])


def short(instrument: object) -> str:
    """`BTCUSDT` for `BTCUSDT-PERP.BINANCE`; "" for none."""
    return str(instrument or "").partition(".")[0].removesuffix("-PERP")


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_plain(item)}" for key, item in value.items() if key != "type")
    return str(value)


def _legs(f: Fields) -> str:
    return " and ".join(f["legs"])


def _of(f: Fields) -> str:
    """` of BTCUSDT`, nothing when it is about all."""
    return f" of {short(f['instrument'])}" if f.get("instrument") else ""


def _why(f: Fields, name: str = "reason") -> str:
    return f": {f[name]}" if f.get(name) else ""


def _scope(scope: Fields | None) -> str:
    parts = [short((scope or {}).get("instrument")), str((scope or {}).get("leg") or "")]
    return " ".join(part for part in parts if part) or "the account"


def _order(f: Fields) -> str:
    at = (
        f" @{f['price']}"
        if f.get("price")
        else (f" @ stop {f['stop_price']}" if f.get("stop_price") else " at market")
    )
    what = "the whole leg" if f.get("close_position") else f"{f.get('qty')}"
    purpose = {"E": "entry", "T": "take-profit", "S": "stop", "C": "close"}.get(
        str(f["purpose"]), str(f["purpose"])
    )
    return f"{f['leg']} {purpose.lower()}: {str(f['side']).lower()} {what}{at}"


def _fill(f: Fields) -> str:
    verb = "sold" if f["side"] == "SELL" else "bought"
    kind = "maker" if f["maker"] else "taker"
    return (
        f"{f['leg']} {verb} {f['qty']} @{f['price']} ({kind}, fee {f['commission']} {f['commission_asset']}) "
        f"{f['client_order_id']}"
    )


def _truth(f: Fields) -> str:
    held = [f"{short(leg['instrument'])} {leg['leg']} {leg['qty']}" for leg in f["legs"]]
    orders = len(f["orders"])
    return (
        f"the venue reports {', '.join(held) or 'no legs'}; {orders} order{'' if orders == 1 else 's'}; "
        f"wallet {f['account']['wallet_usdt']} USDT"
    )


def _cancel_raw(f: Fields) -> str:
    count = len(f.get("client_order_ids") or ())
    what = (
        "all ordinary orders"
        if f.get("all_orders")
        else f"{count} {'stop' if f.get('algo') else 'order'}{'' if count == 1 else 's'}"
    )
    return f"cancel {what}{_of(f)}"


def _kill_state(f: Fields) -> str:
    trip = f" by {f['trip_id']}{_why(f, 'cause')}" if f.get("trip_id") else ""
    return f"kill switch {f['previous']} -> {f['state']}{trip}"


def _guard(f: Fields) -> str:
    v = f["verdict"]
    unit = f" {v['unit']}" if v.get("unit") else ""
    value = "no data" if v.get("value") is None else f"{v['value']}{unit}"
    limit = f", limit {v['limit']}{unit}" if v.get("limit") is not None else ""
    said = f": {v['message']}" if v.get("message") else ""
    did = f"; {f['did']}" if f.get("did") else ""
    return (
        f"{v['guard']} of {_scope(v.get('scope'))} {f['previous']} -> {v['level']}, {value}{limit}{said}{did}"
    )


def _holds(f: Fields) -> str:
    if not f["holds"]:
        return f"no holds by {f['source']} any more"
    each = [
        f"{hold['key']} {hold['action']}{' x ' + str(hold['factor']) if hold['action'] == 'throttle' else ''} "
        f"on {_scope(hold.get('scope'))}: {hold['cause']}"
        for hold in f["holds"]
    ]
    return f"holds by {f['source']}: " + "; ".join(each)


def _reconciled(f: Fields) -> str:
    took = f"{f.get('orders_adopted', 0)} orders adopted, {f.get('fills_applied', 0)} fills applied"
    left = "; ".join(f.get("differences") or ())
    verdict = "books agree with the venue" if f["ok"] else "books differ from the venue"
    return f"{verdict} ({f['cause']}): {took}" + (f"; {left}" if left else "")


def _flatten_answer(f: Fields) -> str:
    closed = ", ".join(f"{name} {qty}" for name, qty in f["closed"].items())
    left = ", ".join(f"{name} {qty}" for name, qty in f["residuals"].items())
    if f["verified"]:
        return f"answered: FLAT, VERIFIED after {f['after_s']} s; {f['cancelled_orders']} orders cancelled, closed {closed}"
    return f"answered: NOT VERIFIED after {f['after_s']} s; left: {left}, {f['residual_orders']} orders"


def _figures(f: Fields) -> str:
    def told(name: str) -> str:
        return "not known" if f.get(name) is None else f"{f[name]}"

    held = [
        f"{short(item['instrument'])} {leg['leg']} {leg['qty']}"
        for item in f["instruments"]
        for leg in item["legs"]
    ]
    return (
        f"equity {told('equity_usdt')}, peak of the session {told('session_peak_usdt')}, "
        f"session {told('session_usdt')}, day {told('day_usdt')} USDT; {', '.join(held)}"
    )


def _session(f: Fields) -> str:
    return f"a process began: version {f['version']}, pid {f['pid']}, epoch {f['epoch']}"


_WORDS: dict[str, Callable[[Fields], str]] = {
    # commands
    "Flatten": lambda f: (
        f"flatten {_legs(f)}{_of(f)}{_why(f)}" + (f" (for {f['origin']})" if f.get("origin") else "")
    ),
    "Kill": lambda f: f"kill{' (' + str(f['action']) + ')' if f.get('action') else ''}{_why(f)}",
    "Rearm": lambda f: f"rearm{_why(f)}",
    "SetThrottle": lambda f: f"throttle {f['throttle']}{_of(f)}",
    "PauseEntries": lambda f: f"pause entries{_of(f)}{_why(f)}",
    "ResumeEntries": lambda f: f"resume{_of(f)}{_why(f)}",
    "StartTrading": lambda f: f"start trading{_of(f)}",
    "StopTrading": lambda f: f"stop trading{_of(f)}",
    "SetMode": lambda f: f"mode {f['mode']} for {f['leg'] or 'both legs'}{_of(f)}",
    "SetSwitch": lambda f: f"switch {f['name']} {'on' if f['enabled'] else 'off'}{_why(f)}",
    "SetWeights": lambda f: (
        "weights " + ", ".join(f"{short(name)} {weight}" for name, weight in f["weights"].items()) + _why(f)
    ),
    "TryOrder": lambda f: (
        f"test order{_of(f)} {f['leg']} {f['notional_usdt']} USDT{', to be kept' if f.get('keep') else ''}{_why(f)}"
    ),
    "SetLimits": lambda f: (
        "limits " + ", ".join(f"{name} {value}" for name, value in f["values"].items()) + _why(f)
    ),
    "ConfigReloaded": lambda _f: "the config file was read again",
    "AuthFailed": lambda f: (
        f"turned away: {f['address']} with a wrong {f['what']}, {f['count']} in all"
        + ("; its next ones are refused unread" if f.get("limited") else "")
    ),
    "ExternalSignal": lambda f: f"{f['source']} asks for {f['action']} ({f['event_id']}){_why(f)}",
    "Reconcile": lambda f: f"compare the books with the venue ({f['cause']})",
    "PlaceOrder": lambda f: f"place {_order(f)}  {f['client_order_id']}",
    "CancelOrder": lambda f: f"cancel {f['client_order_id']}",
    "CancelRaw": _cancel_raw,
    "CloseRaw": lambda f: f"close {f['leg']} {f['qty']} at market  {f['client_order_id']}",
    "AskOrder": lambda f: f"ask the venue what became of {f['client_order_id']}",
    "ReadTruth": lambda _f: "ask the venue for account, legs and orders",
    "WatchPrices": lambda f: (
        f"watch prices: above {_plain(f['above'][:1]) or '-'}, below {_plain(f['below'][:1]) or '-'}"
    ),
    # the market
    "BarClosed": lambda f: f"bar{_of(f)} closed at {f['close']}" + (" (warm-up)" if f.get("warmup") else ""),
    "MarkPrice": lambda f: f"mark{_of(f)} {f['mark']}",
    "PriceCrossed": lambda f: f"price{_of(f)} {f['mark']} has reached {f['level']}",
    # orders
    "OrderAccepted": lambda f: f"rests at the venue: {f['client_order_id']}",
    "OrderRejected": lambda f: f"the venue refuses {f['client_order_id']}: {f['code']} {f['reason']}",
    "OrderRefused": lambda f: f"refused, never sent: {f['client_order_id']}: {f['reason']}",
    "OrderUnknown": lambda f: f"fate unknown: {f['client_order_id']}: {f['reason']}",
    "OrderClosed": lambda f: f"{f['how'].lower()}: {f['client_order_id']}{_why(f)}",
    "CancelRejected": lambda f: f"cancel refused: {f['client_order_id']}: {f['code']} {f['reason']}",
    "OrderTriggered": lambda f: f"triggered: {f['client_order_id']}",
    "Fill": _fill,
    "IncomeBooked": lambda f: f"{f['kind'].lower().replace('_', ' ')} {f['amount']} {f['asset']}{_of(f)}",
    "VenueAction": lambda f: (
        f"the venue acted: {f['kind']} {short(f['instrument'])} {f.get('leg') or ''} {f.get('detail') or ''}".rstrip()
    ),
    # the venue
    "VenueTruth": _truth,
    "VenueDone": lambda f: (
        "the venue did it"
        + (f": {f['status']}" if f.get("status") else "")
        + (f", {f['filled_qty']} filled" if f.get("filled_qty") else "")
        + (f" @{f['average_price']}" if f.get("average_price") else "")
    ),
    "VenueFailed": lambda f: (
        f"venue call failed{' (fate unknown)' if f['ambiguous'] else ''}: {f['code']} {f['reason']}"
    ),
    "FeedChanged": lambda f: f"{f['channel']} is {'back' if f['up'] else 'lost'}{_why(f, 'detail')}",
    "Reconciled": _reconciled,
    # safety
    "KillStateChanged": _kill_state,
    "HaltEntries": lambda f: f"{f['trip_id']}: entries off, exits stay{_why(f, 'cause')}",
    "LegsLatched": lambda f: f"entries of {_legs(f)}{_of(f)} refused from here on ({f['flatten_id']})",
    "LegsUnlatched": lambda f: f"entries of {_legs(f)}{_of(f)} allowed again",
    "FlattenProgress": lambda f: f["what"],
    "RiskFigures": _figures,
    "LegFlat": lambda f: f"{f['leg']}{_of(f)} flat, verified: {'; '.join(f['proof'])}",
    "FlattenFinished": lambda f: (
        f"{f['flatten_id']} finished after {f['after_s']} s: all its legs verified flat"
    ),
    "EntriesGone": lambda f: f"no entry rests at the venue any more ({f['cause']})",
    "JournalLate": lambda f: f"{f['action_id']} acted before its record was on disk{_why(f, 'detail')}",
    "GuardChanged": _guard,
    "HoldsChanged": _holds,
    # the strategy
    "Recentred": lambda f: (
        f"{short(f['instrument'])} recentred at {f['centre']}"
        + (f" (was {f['previous']})" if f.get("previous") else "")
    ),
    "RegimeChanged": lambda f: f"{short(f['instrument'])} regime {f['previous']} -> {f['regime']}",
    "RungDropped": lambda f: f"rung {f['level']} of {f['leg']}{_of(f)} left out: {f['reason']}",
    # ourselves
    "StageChanged": lambda f: (
        f"stage {f['number']} of {f['of']}: {f['stage']}"
        + (f", waits for {f['waits_for']}" if f.get("waits_for") else "")
    ),
    "StageReached": lambda f: (
        f"at stage {f['stage']}" + (f", waits for {f['waits_for']}" if f.get("waits_for") else "")
    ),
    "Stopping": lambda f: f"the daemon goes down{_why(f)}",
    "Stopped": lambda f: (
        "the stop is through; not confirmed: "
        + (", ".join(name for name, done in f["confirmed"].items() if not done) or "nothing")
    ),
    "PartBroke": lambda f: f"{f['part']} broke ({f['action']}): {f['error']}",
    "AlertTold": lambda f: (
        f"alert {f['alert']['alert_id']} {f['alert']['severity']} {f['alert']['title']} told to "
        + (", ".join(f["channels"]) or "nobody")
    ),
    "AlertDelivered": lambda f: (
        f"alert {f['alert_id']} {f['outcome']} by {f['channel']} after {f['after_ms']} ms"
    ),
    "AlertAcknowledged": lambda f: f"alerts acknowledged by {f['by']}: {', '.join(f['alert_ids'])}",
    "AckAlert": lambda f: f"acknowledge alert {f['alert_id']}, by {f['by']}",
    "SendTestAlert": lambda f: f"send a test alert to {f.get('channel') or 'every channel'}",
    "ChannelChanged": lambda f: (
        f"alert channel {f['channel']} {'works again' if f['up'] else 'fails: ' + f['detail']}"
    ),
    "SessionBegan": _session,
    "StateKept": lambda f: (
        "the state was written down" + (f": {f['lost']} records before it were lost" if f.get("lost") else "")
    ),
    "Woke": lambda f: f"timer {f['token']}",
    # answers
    "Done": lambda f: f"answered: done{_why({'d': _plain(f.get('detail') or {})}, 'd')}",
    "Refused": lambda f: f"refused: {f['reason']}",
    "FlattenAnswer": _flatten_answer,
}

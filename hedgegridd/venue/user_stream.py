"""From a raw message of the venue's user stream to our events; pure, one message at a time.

ORDER_TRADE_UPDATE  NEW -> OrderAccepted · TRADE -> Fill (FILLED: + OrderClosed) · CANCELED, EXPIRED -> OrderClosed
                    REJECTED -> OrderRejected · CALCULATED -> Fill; the venue's own orders -> VenueAction as well
ALGO_UPDATE         NEW -> OrderAccepted · TRIGGERED -> OrderTriggered · CANCELED, EXPIRED -> OrderClosed
                    REJECTED (at its trigger: `rm`) -> OrderRejected · TRIGGERING, FINISHED: the order says it
ACCOUNT_UPDATE      nothing itself; asks for the income history when a reason other than ORDER moved the wallet
MARGIN_CALL         VenueAction per position
ACCOUNT_CONFIG_UPDATE   nothing itself; asks for the account's settings
CONDITIONAL_ORDER_TRIGGER_REJECT   names no order of ours: the venue's truth is read
"""

from decimal import Decimal
from typing import Literal

import msgspec

from hedgegridd.messages import (
    Event,
    Fill,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderTriggered,
    VenueAction,
)
from hedgegridd.model import Leg, Side

_NS_PER_MS = 1_000_000
_CONDITIONAL = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
_OWN_ORDERS = (
    ("adl_autoclose", "ADL"),
    ("autoclose-", "LIQUIDATION"),
    ("settlement_autoclose-", "SETTLEMENT"),
)
_TRADES = frozenset({"TRADE", "CALCULATED"})
_NO_INCOME = frozenset({"ORDER", "MARGIN_TYPE_CHANGE"})


class _Order(msgspec.Struct):
    s: str
    c: str
    S: Side
    o: str
    x: str
    X: str
    i: int
    l: Decimal  # noqa: E741  # the venue's name
    z: Decimal
    L: Decimal
    T: int
    ps: str
    t: int = 0
    m: bool = False
    ot: str = ""
    N: str | None = None
    n: Decimal | None = None


class _OrderMessage(msgspec.Struct):
    o: _Order


class _Algo(msgspec.Struct):
    caid: str
    aid: int
    s: str
    X: str
    rm: str | None = ""


class _AlgoMessage(msgspec.Struct):
    o: _Algo
    T: int = 0


class _AccountData(msgspec.Struct):
    m: str


class _AccountMessage(msgspec.Struct):
    a: _AccountData


class _CalledPosition(msgspec.Struct):
    s: str
    ps: str
    pa: str = ""
    mm: str = ""


class _MarginCall(msgspec.Struct):
    p: list[_CalledPosition]


class _Head(msgspec.Struct):
    e: str


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What a message means: events in order, and what the gateway should look up."""

    kind: str
    events: tuple[Event, ...] = ()
    wallet_moved: bool = False  # by something else than a trade: look into the income history
    key_expired: bool = False
    settings_moved: bool = False  # leverage, margin or position mode: somebody has changed the account
    doubt: str = ""  # what was said without saying of which order: the venue's truth must be read
    problem: str = ""  # why the message could not be understood; its truth must be read from the venue


type _What = Literal["CANCELED", "EXPIRED", "FILLED"]


class UserDecoder:
    """Decodes messages of the account; `ids` maps the symbols we trade to our instrument ids."""

    def __init__(self, ids: dict[str, str]) -> None:
        self._ids = ids
        self._head = msgspec.json.Decoder(_Head)
        self._order = msgspec.json.Decoder(_OrderMessage)
        self._algo = msgspec.json.Decoder(_AlgoMessage)
        self._account = msgspec.json.Decoder(_AccountMessage)
        self._call = msgspec.json.Decoder(_MarginCall)

    def decode(self, raw: bytes) -> Decoded:
        """Never raises: what cannot be read comes back as a `problem`."""
        kind = "?"
        try:
            kind = self._head.decode(raw).e
            return self._decode(kind, raw)
        except (msgspec.MsgspecError, ValueError) as error:
            return Decoded(kind=kind, problem=f"{error}: {_text(raw)}")

    def _decode(self, kind: str, raw: bytes) -> Decoded:
        match kind:
            case "ORDER_TRADE_UPDATE":
                order = self._order.decode(raw).o
                # Booked without its id, a trade would be booked again with it, from the history.
                nameless = order.s in self._ids and order.x in _TRADES and order.l > 0 and order.t <= 0
                problem = f"order {order.c} has a trade without its id" if nameless else ""
                return Decoded(kind=kind, events=self._of_order(order), problem=problem)
            case "ALGO_UPDATE":
                message = self._algo.decode(raw)
                return Decoded(kind=kind, events=self._of_algo(message.o, message.T * _NS_PER_MS))
            case "ACCOUNT_UPDATE":
                moved = self._account.decode(raw).a.m not in _NO_INCOME
                return Decoded(kind=kind, wallet_moved=moved)
            case "MARGIN_CALL":
                return Decoded(kind=kind, events=self._of_call(self._call.decode(raw)))
            case "listenKeyExpired":
                return Decoded(kind=kind, key_expired=True)
            case "ACCOUNT_CONFIG_UPDATE":
                return Decoded(kind=kind, settings_moved=True)
            case "CONDITIONAL_ORDER_TRIGGER_REJECT":
                # Of conditional orders of the old kind, without our id: whether a stop of ours is gone must be read.
                return Decoded(
                    kind=kind, doubt=f"a conditional order was refused at its trigger: {_text(raw)}"
                )
            case _:
                return Decoded(kind=kind)  # TRADE_LITE and what the venue may add

    def _of_order(self, order: _Order) -> tuple[Event, ...]:
        instrument = self._ids.get(order.s)
        if instrument is None:
            return ()
        events: list[Event] = list(_own_action(order, instrument))
        ts_ns = order.T * _NS_PER_MS
        match order.x:
            case "NEW":
                # A triggered conditional order becomes an ordinary one: OrderTriggered has told that.
                if order.ot not in _CONDITIONAL or order.o in _CONDITIONAL:
                    events.append(
                        OrderAccepted(
                            instrument=instrument,
                            client_order_id=order.c,
                            venue_order_id=str(order.i),
                            ts_ns=ts_ns,
                        )
                    )
            case "TRADE" | "CALCULATED":
                if order.l > 0 and order.t > 0:
                    events.append(_fill(order, instrument, ts_ns))
                if order.X == "FILLED":
                    events.append(_closed(order, instrument, "FILLED", ts_ns))
            case "CANCELED":
                events.append(_closed(order, instrument, "CANCELED", ts_ns))
            case "EXPIRED":
                events.append(_closed(order, instrument, "EXPIRED", ts_ns, "expired by the venue"))
            case "TRADE_PREVENTION":
                if order.X == "EXPIRED_IN_MATCH":
                    events.append(_closed(order, instrument, "EXPIRED", ts_ns, "self-trade prevention"))
            case "REJECTED":
                events.append(
                    OrderRejected(
                        instrument=instrument,
                        client_order_id=order.c,
                        code=0,
                        reason="rejected by the matching engine",
                    )
                )
            case _:  # AMENDMENT: nothing of ours amends
                pass
        return tuple(events)

    def _of_algo(self, algo: _Algo, ts_ns: int) -> tuple[Event, ...]:
        instrument = self._ids.get(algo.s)
        if instrument is None:
            return ()
        coid, reason = algo.caid, algo.rm or ""
        match algo.X:
            case "NEW":
                accepted = OrderAccepted(
                    instrument=instrument,
                    client_order_id=coid,
                    venue_order_id=str(algo.aid),
                    algo=True,
                    ts_ns=ts_ns,
                )
                return (accepted,)
            case "TRIGGERED":
                return (OrderTriggered(instrument=instrument, client_order_id=coid, ts_ns=ts_ns),)
            case "CANCELED" | "EXPIRED":
                closed = OrderClosed(
                    instrument=instrument,
                    client_order_id=coid,
                    how=algo.X,
                    filled_qty=Decimal(0),
                    reason=reason,
                    ts_ns=ts_ns,
                )
                return (closed,)
            case "REJECTED":
                text = f"refused at its trigger: {reason}"
                return (OrderRejected(instrument=instrument, client_order_id=coid, code=0, reason=text),)
            case _:
                return ()

    def _of_call(self, call: _MarginCall) -> tuple[Event, ...]:
        return tuple(
            VenueAction(
                kind="MARGIN_CALL",
                instrument=self._ids.get(position.s, position.s),
                leg=Leg(position.ps) if position.ps in Leg else None,
                detail=f"position {position.pa}, maintenance margin {position.mm}",
            )
            for position in call.p
        )


def _text(raw: bytes) -> str:
    return raw[:300].decode(errors="replace")


def _own_action(order: _Order, instrument: str) -> tuple[Event, ...]:
    """The venue's orders on our position are known by their client order id."""
    if order.x not in {"NEW", "TRADE", "CALCULATED"}:
        return ()
    kind = own_kind(order.c)
    if not kind:
        return ()
    detail = f"{order.x} {order.S.value} {order.l} @ {order.L}, order {order.i}"
    return (VenueAction(kind=kind, instrument=instrument, leg=Leg(order.ps), detail=detail),)


def own_kind(client_order_id: str) -> str:
    """What an order of the venue's own making does to our position; empty for all other orders."""
    return next((kind for prefix, kind in _OWN_ORDERS if client_order_id.startswith(prefix)), "")


def _fill(order: _Order, instrument: str, ts_ns: int) -> Fill:
    return Fill(
        instrument=instrument,
        leg=Leg(order.ps),
        client_order_id=order.c,
        venue_order_id=str(order.i),
        trade_id=str(order.t),
        side=order.S,
        price=order.L,
        qty=order.l,
        commission=order.n if order.n is not None else Decimal(0),
        commission_asset=order.N or "USDT",
        maker=order.m and order.x != "CALCULATED",
        ts_ns=ts_ns,
        order_filled_qty=order.z,
    )


def _closed(order: _Order, instrument: str, how: _What, ts_ns: int, reason: str = "") -> OrderClosed:
    return OrderClosed(
        instrument=instrument,
        client_order_id=order.c,
        how=how,
        filled_qty=order.z,
        reason=reason,
        ts_ns=ts_ns,
    )

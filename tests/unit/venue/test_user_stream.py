"""Every message of the user stream as events, by a table."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.model import Leg, Side
from hedgegridd.venue.user_stream import UserDecoder

IID = "BTCUSDT-PERP.BINANCE"
COID = "BTCUSDT-L001E-k3f9a-1"
T_MS = 1_700_000_000_000
T_NS = T_MS * 1_000_000


def order(**fields: Any) -> bytes:
    """An ORDER_TRADE_UPDATE as the venue's documentation shows it, with other values where given."""
    body = {
        "s": "BTCUSDT", "c": COID, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.010", "p": "65000", "ap": "0",
        "sp": "0", "x": "NEW", "X": "NEW", "i": 8886774, "l": "0", "z": "0", "L": "0", "T": T_MS, "t": 0,
        "b": "0", "a": "0", "m": False, "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "LONG",
        "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "NONE", "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    return msgspec.json.encode({"e": "ORDER_TRADE_UPDATE", "E": T_MS, "T": T_MS, "o": body | fields})


def algo(status: str, **fields: Any) -> bytes:
    body = {
        "caid": COID, "aid": 2148719, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL",
        "ps": "LONG", "f": "GTC", "q": "0.01", "X": status, "ai": "", "ap": "0", "aq": "0", "act": "0",
        "tp": "60000", "p": "0", "V": "NONE", "wt": "MARK_PRICE", "pm": "NONE", "cp": True, "pP": False,
        "R": False, "tt": 0, "gtd": 0, "rm": "",
    }  # fmt: skip
    return msgspec.json.encode({"e": "ALGO_UPDATE", "E": T_MS, "T": T_MS, "o": body | fields})


def fill(**fields: Any) -> m.Fill:
    values: dict[str, Any] = {
        "instrument": IID, "leg": Leg.LONG, "client_order_id": COID, "venue_order_id": "8886774",
        "trade_id": "77", "side": Side.BUY, "price": Decimal("65000.1"), "qty": Decimal("0.004"),
        "commission": Decimal("0.0520"), "commission_asset": "USDT", "maker": True, "ts_ns": T_NS,
        "order_filled_qty": Decimal("0.006"),
    }  # fmt: skip
    return m.Fill(**(values | fields))


def closed(how: str, filled: str = "0", reason: str = "") -> m.OrderClosed:
    return m.OrderClosed(
        instrument=IID, client_order_id=COID, how=how, filled_qty=Decimal(filled), reason=reason, ts_ns=T_NS
    )


TRADE = {"x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.004", "z": "0.006", "L": "65000.1", "t": 77, "m": True,
         "N": "USDT", "n": "0.0520"}  # fmt: skip
ACCEPTED = m.OrderAccepted(instrument=IID, client_order_id=COID, venue_order_id="8886774", ts_ns=T_NS)
TABLE: list[tuple[str, bytes, list[m.Event]]] = [
    ("accepted", order(), [ACCEPTED]),
    ("partial fill", order(**TRADE), [fill()]),
    ("last fill", order(**TRADE | {"X": "FILLED"}), [fill(), closed("FILLED", "0.006")]),
    ("short leg", order(**TRADE | {"ps": "SHORT", "S": "SELL"}), [fill(leg=Leg.SHORT, side=Side.SELL)]),
    ("fee in BNB", order(**TRADE | {"N": "BNB", "n": "0.001"}),
     [fill(commission=Decimal("0.001"), commission_asset="BNB")]),
    ("fee not told", order(**TRADE | {"N": None, "n": None}), [fill(commission=Decimal(0))]),
    ("trade without quantity", order(**TRADE | {"l": "0"}), []),
    ("cancelled half filled", order(x="CANCELED", X="CANCELED", z="0.005"), [closed("CANCELED", "0.005")]),
    ("expired", order(x="EXPIRED", X="EXPIRED"), [closed("EXPIRED", reason="expired by the venue")]),
    ("self-trade prevention", order(x="TRADE_PREVENTION", X="EXPIRED_IN_MATCH", l="0.01"),
     [closed("EXPIRED", reason="self-trade prevention")]),
    ("refused by the engine", order(x="REJECTED", X="REJECTED"),
     [m.OrderRejected(instrument=IID, client_order_id=COID, code=0, reason="rejected by the matching engine")]),
    ("amended", order(x="AMENDMENT"), []),
    ("order behind a triggered stop", order(o="MARKET", ot="STOP_MARKET"), []),
    ("symbol of somebody else", order(s="ETHUSDT"), []),
    ("stop rests", algo("NEW"), [
        m.OrderAccepted(instrument=IID, client_order_id=COID, venue_order_id="2148719", algo=True, ts_ns=T_NS)]),
    ("stop fires", algo("TRIGGERING"), []),
    ("stop has fired", algo("TRIGGERED", ai="99"),
     [m.OrderTriggered(instrument=IID, client_order_id=COID, ts_ns=T_NS)]),
    ("stop is done", algo("FINISHED", ai="99", aq="0.01"), []),
    ("stop cancelled", algo("CANCELED"), [closed("CANCELED")]),
    ("stop expired", algo("EXPIRED", rm="flat"), [closed("EXPIRED", reason="flat")]),
    ("stop refused at its trigger", algo("REJECTED", rm="ReduceOnly Order is rejected."), [
        m.OrderRejected(instrument=IID, client_order_id=COID, code=0,
                        reason="refused at its trigger: ReduceOnly Order is rejected.")]),
    ("stop of somebody else", algo("NEW", s="ETHUSDT"), []),
    ("margin call",
     b'{"e":"MARGIN_CALL","E":1,"cw":"3","p":[{"s":"BTCUSDT","ps":"LONG","pa":"1.3","mt":"CROSSED","mm":"1.6"}]}',
     [m.VenueAction(kind="MARGIN_CALL", instrument=IID, leg=Leg.LONG,
                    detail="position 1.3, maintenance margin 1.6")]),
    ("lite", b'{"e":"TRADE_LITE","E":1}', []),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "events"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_messages(raw: bytes, events: list[m.Event]) -> None:
    said = UserDecoder({"BTCUSDT": IID}).decode(raw)
    assert said.problem == ""
    assert list(said.events) == events
    assert not said.wallet_moved


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [("autoclose-123", "LIQUIDATION"), ("adl_autoclose", "ADL"), ("settlement_autoclose-1", "SETTLEMENT")],
)
def test_the_venues_own_orders_are_told_as_actions_and_as_fills(client_id: str, kind: str) -> None:
    raw = order(c=client_id, **TRADE | {"x": "CALCULATED", "S": "SELL", "X": "FILLED"})
    action, trade, end = UserDecoder({"BTCUSDT": IID}).decode(raw).events
    assert isinstance(action, m.VenueAction)
    assert (action.kind, action.leg) == (kind, Leg.LONG)
    assert trade == fill(client_order_id=client_id, side=Side.SELL, maker=False)
    assert isinstance(end, m.OrderClosed)


def test_a_trade_without_its_id_is_left_to_the_history_but_what_it_means_is_told() -> None:
    raw = order(c="adl_autoclose", **TRADE | {"x": "CALCULATED", "S": "SELL", "X": "FILLED", "t": 0})
    said = UserDecoder({"BTCUSDT": IID}).decode(raw)
    assert "without its id" in said.problem
    action, end = said.events
    assert isinstance(action, m.VenueAction)
    assert isinstance(end, m.OrderClosed)
    assert UserDecoder({"ETHUSDT": IID}).decode(raw).problem == ""


@pytest.mark.parametrize(
    ("reason", "moved"),
    [("FUNDING_FEE", True), ("DEPOSIT", True), ("ORDER", False), ("MARGIN_TYPE_CHANGE", False)],
)
def test_the_wallet_moved(reason: str, *, moved: bool) -> None:
    raw = msgspec.json.encode({"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {"m": reason, "B": [], "P": []}})
    assert UserDecoder({}).decode(raw).wallet_moved is moved


def test_an_expired_key_is_told() -> None:
    assert UserDecoder({}).decode(b'{"e":"listenKeyExpired","E":1,"listenKey":"k"}').key_expired


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"e":1}',
        b'{"e":"ORDER_TRADE_UPDATE","o":{}}',
        order(l="x"),
        order(ps="BOTH", **TRADE),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_never_an_exception(raw: bytes) -> None:
    said = UserDecoder({"BTCUSDT": IID}).decode(raw)
    assert said.problem
    assert said.events == ()

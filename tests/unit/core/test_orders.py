"""The book of live orders: every event, known and unknown ids, fills before and after closing."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core import orders
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.state import BookState, Order
from hedgegridd.model import Leg, OrderKind, OrderStatus, Purpose, Side

D = Decimal
BTC = "BTCUSDT-PERP.BINANCE"


def order(name="a", qty="1", **fields) -> Order:
    return Order(
        **{
            "client_order_id": name,
            "leg": Leg.LONG,
            "purpose": Purpose.ENTRY,
            "level": 1,
            "side": Side.BUY,
            "kind": OrderKind.LIMIT,
            "qty": None if qty is None else D(qty),
            "price": D(100),
            "created_ns": 1,
            "touched_mono": 1,
            **fields,
        }
    )


def book(*held: Order) -> OrderBook:
    made = OrderBook(BookState())
    for each in held:
        made.add(each)
    return made


def accepted(name="a"):
    return m.OrderAccepted(instrument=BTC, client_order_id=name, venue_order_id="1", ts_ns=1)


def closed(name="a", how="CANCELED", filled=None):
    return m.OrderClosed(
        instrument=BTC, client_order_id=name, how=how, filled_qty=None if filled is None else D(filled)
    )


def test_ids_are_used_once():
    held = book(order())
    with pytest.raises(ValueError, match="used twice"):
        held.add(order())
    held.close("a", 2)
    with pytest.raises(ValueError, match="used twice"):
        held.add(order())


def test_events_of_unknown_orders_change_nothing():
    held = book(order())
    assert held.accepted(accepted("z"), 2) is None
    assert held.unknown("z", 2) is None
    assert held.triggered("z", 2) is None
    assert held.close("z", 2) is None
    assert held.closing_report(closed("z"), 2) is None
    assert held.cancel_rejected("z", 2, gone=True, not_before=0) is None
    assert held.filled("z", D(1), 2) is None
    assert len(held) == 1
    assert held.get("a") == order()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OrderStatus.PENDING, OrderStatus.WORKING),
        (OrderStatus.UNKNOWN, OrderStatus.WORKING),
        (OrderStatus.WORKING, OrderStatus.WORKING),
        (OrderStatus.CANCELING, OrderStatus.CANCELING),
    ],
)
def test_accepted(before, after):
    held = book(order(status=before))
    assert held.accepted(accepted(), 5).status is after
    assert held.get("a").touched_mono == 5


def test_unknown_canceling_and_cancel_rejected():
    held = book(order())
    assert held.unknown("a", 2).status is OrderStatus.UNKNOWN
    held.canceling(held.get("a"), 3)
    assert held.get("a").status is OrderStatus.CANCELING
    assert held.cancel_rejected("a", 4, gone=False, not_before=9).status is OrderStatus.WORKING
    assert held.get("a").no_cancel_before == 9
    assert held.cancel_rejected("a", 4, gone=True, not_before=9).status is OrderStatus.UNKNOWN


def test_fills_complete_an_order_without_its_closing_report():
    held = book(order(qty="2"))
    assert held.filled("a", D("0.5"), 2).status is OrderStatus.WORKING
    assert held.get("a").remaining == D("1.5")
    held.filled("a", D("1.5"), 3)
    assert held.get("a") is None
    assert held.closed("a").status is OrderStatus.CLOSED
    assert held.filled("a", D(1), 4).filled == D(3), "a late fill is still told whose it is"


def test_a_closing_report_waits_for_the_fills_it_tells_of():
    held = book(order(qty="2"))
    assert held.closing_report(closed(filled="0.7"), 2).final == D("0.7")
    assert held.get("a").status is OrderStatus.CANCELING
    assert held.cancel_rejected("a", 3, gone=True, not_before=0) is None, "it is closed for sure"
    held.filled("a", D("0.7"), 3)
    assert held.get("a") is None


def test_filled_without_a_figure_means_the_whole_quantity():
    held = book(order(qty="2"))
    assert held.closing_report(closed(how="FILLED"), 2).final == D(2)


def test_a_leg_stop_has_no_quantity_and_ends_by_its_report():
    held = book(order(qty=None, purpose=Purpose.STOP, close_position=True))
    assert held.get("a").remaining == 0
    assert held.triggered("a", 2).triggered
    held.filled("a", D(5), 3)
    assert held.get("a") is not None
    assert held.closing_report(closed(how="FILLED", filled="5"), 4).status is OrderStatus.CLOSED


def test_trades_are_booked_once_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(orders, "TRADES_KEPT", 3)
    monkeypatch.setattr(orders, "CLOSED_KEPT", 2)
    held = book()
    assert [held.is_new_trade(x) for x in "1123"] == [True, False, True, True]
    held.is_new_trade("4")
    assert held.is_new_trade("1"), "forgotten"
    for name in "abc":
        held.add(order(name))
        held.close(name, 1)
    assert held.closed("a") is None
    assert held.closed("c") is not None


def test_live_can_be_asked_by_leg_and_purpose():
    held = book(order("a"), order("b", leg=Leg.SHORT), order("c", purpose=Purpose.STOP))
    assert [x.client_order_id for x in held.live()] == ["a", "b", "c"]
    assert [x.client_order_id for x in held.live(Leg.LONG)] == ["a", "c"]
    assert [x.client_order_id for x in held.live(Leg.LONG, Purpose.STOP)] == ["c"]

"""Lots: weighted prices, what a close takes first, merging, prices of exits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.core import lots as lot_book
from hedgegridd.core.state import Lot
from hedgegridd.model import Leg
from tests.unit.core.test_orders import order

D = Decimal


def lot(name, price, qty="1", step="10", **fields) -> Lot:
    return Lot(
        lot_id=name,
        level=1,
        qty=D(qty),
        price=D(price),
        step=D(step),
        opened_ns=0,
        bought=D(qty),
        cost=D(qty) * D(price),
        **fields,
    )


def book(*lots: Lot) -> dict[str, Lot]:
    return {each.lot_id: each for each in lots}


def test_fills_of_one_entry_are_one_lot_at_their_weighted_price():
    lots = {}
    entry = order("a", qty="3", step=D(10), generation=4)
    lot_book.add_fill(lots, entry, D(1), D(100), 7)
    made = lot_book.add_fill(lots, entry, D(2), D(103), 8)
    assert (made.qty, made.price, made.step, made.generation, made.opened_ns) == (D(3), D(102), D(10), 4, 7)
    assert lot_book.total(lots) == D(3)


def test_a_part_that_was_closed_does_not_move_the_price_of_later_fills():
    lots = {}
    entry = order("a", qty="4")
    lot_book.add_fill(lots, entry, D(2), D(100), 1)
    lot_book.take(lots, Leg.LONG, D(1), first="a")
    assert lot_book.add_fill(lots, entry, D(2), D(104), 2).price == D(102)
    assert lots["a"].qty == D(3)


@pytest.mark.parametrize(
    ("leg", "order_of"), [(Leg.LONG, ["low", "mid", "high"]), (Leg.SHORT, ["high", "mid", "low"])]
)
def test_closes_of_the_leg_take_the_outermost_lots_first(leg, order_of):
    for number, name in enumerate(order_of):
        lots = book(lot("mid", 100), lot("low", 90), lot("high", 110))
        assert lot_book.take(lots, leg, D(number + 1)) == 0
        assert name not in lots


def test_an_exit_takes_from_its_own_lot_before_all_others():
    lots = book(lot("low", 90), lot("high", 110))
    assert lot_book.take(lots, Leg.LONG, D("1.5"), first="high") == 0
    assert {name: each.qty for name, each in lots.items()} == {"low": D("0.5")}
    assert lot_book.take(lots, Leg.LONG, D(2)) == D("1.5"), "what no lot had is returned"
    assert lots == {}


def test_merge_and_nearest():
    small, near, far = lot("s", 100), lot("n", 101, qty="3"), lot("f", 90)
    stopping = lot("x", 100, stopping_since=5)
    lots = book(small, near, far, stopping)
    assert lot_book.nearest(lots, small) is near
    lot_book.merge(lots, small, near)
    assert "s" not in lots
    assert (near.qty, near.price) == (D(4), D("100.75"))
    assert lot_book.nearest(book(small, stopping), small) is None


def test_prices_of_exits():
    each = lot("a", 100)
    assert lot_book.take_profit_price(each, Leg.LONG, D(3)) == D(130)
    assert lot_book.take_profit_price(each, Leg.SHORT, D(3)) == D(70)
    assert lot_book.stop_price(each, Leg.LONG, D(5)) == D(50)
    assert lot_book.stop_price(each, Leg.SHORT, D(5)) == D(150)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(50, 150)), min_size=1, max_size=8),
    st.lists(st.integers(1, 80), max_size=8),
)
def test_quantities_are_conserved(fills, closes):
    lots = {}
    for number, (qty, price) in enumerate(fills):
        lot_book.add_fill(lots, order(str(number), qty=str(qty)), D(qty), D(price), 0)
    held = lot_book.total(lots)
    for qty in closes:
        left = lot_book.take(lots, Leg.LONG, D(qty))
        assert held - lot_book.total(lots) == D(qty) - left
        held = lot_book.total(lots)
        assert all(each.qty > 0 for each in lots.values())

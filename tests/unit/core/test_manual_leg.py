"""Mode `manual`: hands off inventory and exits, but no entry of ours stays to fill uncovered."""

from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.model import Leg, LegMode, Purpose
from tests.support.desk_rig import rig


def resting(venue, leg: Leg, purpose: Purpose) -> list[str]:
    found = venue.ask(m.GetOrders()).orders
    return [order.client_order_id for order in found if order.leg is leg and order.purpose is purpose]


def test_manual_takes_the_legs_entries_away_and_leaves_its_exits():
    venue = rig()
    venue.minute([venue.price - 800] * 4)
    venue.settle()
    exits = [resting(venue, Leg.LONG, purpose) for purpose in (Purpose.TAKE_PROFIT, Purpose.STOP)]
    assert all(exits)
    shorts = resting(venue, Leg.SHORT, Purpose.ENTRY)

    answer = venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))

    assert answer.detail["entries_resting"] == 0
    assert resting(venue, Leg.LONG, Purpose.ENTRY) == []
    assert [resting(venue, Leg.LONG, p) for p in (Purpose.TAKE_PROFIT, Purpose.STOP)] == exits
    assert resting(venue, Leg.SHORT, Purpose.ENTRY) == shorts


def test_pause_is_confirmed_though_a_leg_is_manual():
    venue = rig()
    venue.feed(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))
    answer = venue.ask(m.PauseEntries(reason="news"))
    assert answer.detail["entries_resting"] == 0


def test_a_hand_sells_what_a_hand_has_bought_before_it_sells_ours():
    """Else our lot would shrink with its take-profit, and what is not ours would keep the instrument from trading for good."""
    venue = rig()
    venue.move(Decimal(39800))
    venue.settle()
    (lot,) = venue.view().instruments[0].legs[0].lots
    venue.legs[Leg.LONG].qty += Decimal("0.002")
    venue.ask(m.Reconcile(cause="test"))
    venue.settle()
    assert any("not ours" in why for why in venue.view().instruments[0].why_no_entries)
    venue.hand(Leg.LONG, Decimal("0.002"))
    venue.ask(m.Reconcile(cause="test"))
    venue.settle()
    view = venue.view().instruments[0]
    assert (view.legs[0].qty, [each.qty for each in view.legs[0].lots]) == (lot.qty, [lot.qty])
    assert not any("not ours" in why for why in view.why_no_entries)

"""Mode `manual`: hands off inventory and exits, but no entry of ours stays to fill uncovered."""

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

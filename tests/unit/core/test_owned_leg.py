"""A leg that a flatten owns: the desk leaves it alone, but for a leg stop that is missing."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.model import Leg, Purpose
from tests.support.desk_rig import EPOCH, config, rig
from tests.support.fake_venue import BTC, SECOND


def go(venue, seconds=1):
    venue.run(venue.mono + seconds * SECOND)


def latched(leg):
    return m.LegsLatched(instrument=BTC, legs=(leg,), flatten_id="F-1", origin="")


@pytest.mark.parametrize(("leg", "touch"), [(Leg.LONG, "39800"), (Leg.SHORT, "40200")])
def test_a_stop_that_was_being_moved_is_placed_again(leg, touch):
    venue = rig()
    venue.move(Decimal(touch))
    go(venue)
    (stop,) = venue.of(leg, Purpose.STOP)
    venue.feed(latched(leg))
    del venue.resting[stop.order.client_order_id]
    venue._report(stop, "CANCELED")
    go(venue)
    (again,) = venue.of(leg, Purpose.STOP)
    assert again is not stop
    asked = [x for x in venue.places if x.purpose is Purpose.STOP and x.leg is leg][-1]
    assert asked.close_position


def test_a_flat_leg_gets_none():
    venue = rig()
    go(venue)
    (stop,) = venue.of(Leg.LONG, Purpose.STOP)
    before = len(venue.places)
    venue.feed(latched(Leg.LONG))
    del venue.resting[stop.order.client_order_id]
    venue._report(stop, "CANCELED")
    go(venue)
    assert venue.of(Leg.LONG, Purpose.STOP) == []
    assert not [x for x in venue.places[before:] if x.leg is Leg.LONG]


def test_a_leg_whose_fills_have_not_come_gets_none_when_the_venue_says_that_it_is_flat():
    """The flatten has closed it and taken its stop off; a stop placed now would be left behind."""
    venue = rig()
    venue.move(Decimal(39800))
    go(venue)
    (stop,) = venue.of(Leg.LONG, Purpose.STOP)
    venue.feed(latched(Leg.LONG))
    before = len(venue.places)
    venue.legs[Leg.LONG].qty = Decimal(0)
    del venue.resting[stop.order.client_order_id]
    venue._report(stop, "CANCELED")
    go(venue, 3)
    assert not [x for x in venue.places[before:] if x.purpose is Purpose.STOP and x.leg is Leg.LONG]


@pytest.mark.parametrize("trip", ["", "T-7"])
def test_a_leg_whose_flatten_ended_unheard_is_taken_up_after_a_restart(trip: str):
    """The process died after the flatten had its proof, and before the desk was told of it."""
    venue = rig()
    go(venue)
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1", origin=trip))
    go(venue)
    before = len(venue.said)
    venue.restart(Desk(config(), EPOCH))
    venue.start()
    (again,) = [x for x in venue.said[before:] if isinstance(x, m.Flatten)]
    assert (again.legs, again.instrument, again.origin) == ((Leg.LONG,), BTC, trip)
    venue.feed(m.LegFlat(flatten_id="F-2", instrument=BTC, leg=Leg.LONG, proof=()))
    assert not venue.desk._state.grids[BTC].legs[Leg.LONG].owned


def test_a_leg_that_no_flatten_owns_is_not_flattened_after_a_restart():
    venue = rig()
    venue.move(Decimal(39800))
    go(venue)
    venue.feed(latched(Leg.SHORT))
    venue.feed(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.SHORT, proof=()))
    before = len(venue.said)
    venue.restart(Desk(config(), EPOCH))
    venue.start()
    assert not [x for x in venue.said[before:] if isinstance(x, m.Flatten)]

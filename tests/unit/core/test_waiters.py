"""Who waits for `EntriesGone` without having asked (trips, the stop): each once, and never more than the bound."""

import pytest

from hedgegridd import messages as m
from hedgegridd.core import operator
from tests.support.desk_rig import rig
from tests.support.fake_venue import SECOND


def halted(*trips: str):
    """A venue whose cancels never arrive, so that entries stay, and these trips wait for them."""
    venue = rig()
    venue.deaf = (m.CancelOrder,)
    for trip in trips:
        venue.feed(m.HaltEntries(trip_id=trip, cause="loss"))
    return venue


def causes(venue):
    return [waiter.cause for waiter in venue.desk.snapshot().waiters if not waiter.to]


def test_a_trip_that_is_taken_up_again_waits_once():
    venue = halted("T-1", "T-1", "T-2", "T-1")
    venue.feed(m.Stopping(reason="SIGTERM"))
    venue.feed(m.Stopping(reason="SIGTERM"))
    assert sorted(causes(venue)) == ["T-1", "T-2", "stopping"]


def test_they_are_bounded_and_the_newest_is_among_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operator, "LISTENERS_MAX", 3)
    venue = halted(*(f"T-{number}" for number in range(7)))
    assert causes(venue) == ["T-4", "T-5", "T-6"]


def test_they_take_no_askers_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operator, "WAITERS_MAX", 2)
    venue = halted("T-1", "T-2", "T-3")
    first, second, third = (venue.feed(m.PauseEntries(reason="night")) for _ in range(3))
    assert third in venue.answers, "the third asker is told at once what is true"
    venue.deaf = ()
    venue.run(venue.mono + 11 * SECOND)
    assert {first, second} <= set(venue.answers)

"""Holds and scoped trips on the desk: entries of the scope go and stay away, exits and stops stay, all is told."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.core.holds import factor
from hedgegridd.core.ladder import RungTarget
from hedgegridd.core.scopes import covers
from hedgegridd.core.state import HoldState
from hedgegridd.model import LEGS, KillState, Leg, Purpose
from tests.support.desk_rig import EPOCH, config, rig
from tests.support.fake_venue import BTC, RULES, SECOND, FakeVenue
from tests.unit.core.test_grid import entries, go, why

D = Decimal
ETH = "ETHUSDT-PERP.BINANCE"
ACCOUNT = m.Scope()


def hold(action="pause", scope=ACCOUNT, factor=1, key="G-1"):
    return m.Hold(key=key, action=action, scope=scope, factor=D(factor), cause="spread 132 bps", since_ns=1)


def holds(*each, source="guards"):
    return m.HoldsChanged(source=source, holds=each)


def trip(action="halt", scope=ACCOUNT, state=KillState.TRIPPED):
    return m.Trip(trip_id="T-7", scope=scope, action=action, cause="ten losses", state=state)


def tell(venue, message):
    venue.feed(message)
    venue.run(venue.mono + SECOND)


SCOPES = [
    (m.Scope(), set(LEGS)),
    (m.Scope(instrument=BTC), set(LEGS)),
    (m.Scope(instrument=BTC, leg=Leg.LONG), {Leg.LONG}),
    (m.Scope(leg=Leg.SHORT), {Leg.SHORT}),
    (m.Scope(instrument=ETH), set()),
    (m.Scope(instrument=ETH, leg=Leg.LONG), set()),
]


@pytest.mark.parametrize(("scope", "legs"), SCOPES)
def test_a_pause_takes_the_entries_of_its_scope_and_nothing_else(scope, legs):
    venue = rig()
    go(venue, 39800)
    go(venue, 40200)
    exits = {leg: venue.of(leg, Purpose.TAKE_PROFIT) + venue.of(leg, Purpose.STOP) for leg in LEGS}
    assert all(exits.values())
    tell(venue, holds(hold(scope=scope)))
    for leg in LEGS:
        assert bool(venue.of(leg, Purpose.ENTRY)) == (leg not in legs)
        assert len(venue.of(leg, Purpose.TAKE_PROFIT)) == 1
        assert len(venue.of(leg, Purpose.STOP)) == 1
    assert any("spread 132 bps" in reason for reason in why(venue)) == bool(legs)
    assert venue.view().holds[0].key == "G-1"
    tell(venue, holds())
    assert not why(venue)
    assert venue.view().holds == ()
    assert all(venue.of(leg, Purpose.ENTRY) for leg in LEGS)
    venue.check()


@pytest.mark.parametrize(("scope", "legs"), SCOPES)
def test_the_gate_refuses_what_the_pipeline_should_not_have_wanted(scope, legs):
    venue = rig()
    tell(venue, holds(hold(scope=scope)))
    grid = venue.desk._grids[BTC]
    for leg in LEGS:
        rung = RungTarget(leg, 9, D(39000) if leg is Leg.LONG else D(41000), D("0.010"))
        refusal = grid.placer.place_entry(rung, D(200), RULES, [])
        assert (refusal is not None) == (leg in legs)
        assert refusal is None or "pre-trade gate, hold: entries are held: " in refusal


def test_exits_are_placed_while_everything_is_held():
    venue = rig()
    venue.faults.delay_ns = 50_000_000
    venue.feed(holds(hold()))
    venue.move(D(39800))  # fills while its cancel is on its way
    venue.run(venue.mono + 2 * SECOND)
    assert not venue.of(Leg.LONG, Purpose.ENTRY)
    assert [r.order.qty for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT)] == [D("0.010")]
    assert venue.of(Leg.LONG, Purpose.STOP)
    venue.settle()
    venue.check()


def test_throttles_multiply_with_each_other_and_with_the_operators():
    venue = rig(base_qty=D("0.04"), qty_scale=D(1), levels_long=2, levels_short=2)
    venue.ask(m.SetThrottle(throttle=D("0.5")))
    tell(venue, holds(hold("throttle", factor="0.5")))
    tell(venue, holds(hold("throttle", m.Scope(instrument=BTC, leg=Leg.SHORT), "0.5"), source="other"))
    assert {qty for _, _, qty in entries(venue)} == {D("0.010")}
    assert {qty for _, _, qty in entries(venue, Leg.SHORT)} == {D("0.005")}
    tell(venue, holds())
    tell(venue, holds(source="other"))
    assert {qty for _, _, qty in entries(venue, Leg.SHORT)} == {D("0.020")}


def test_a_throttle_of_nothing_is_told_as_a_reason():
    venue = rig()
    tell(venue, holds(hold("throttle", factor=0)))
    assert not entries(venue)
    assert why(venue) == ("held by G-1: spread 132 bps",)


def test_factors_stay_between_none_and_all():
    held = HoldState(holds={"a": (hold("throttle", factor=3), hold("throttle", factor=-1, key="G-2"))})
    assert factor(held, BTC, Leg.LONG) == 0
    held.holds["a"] = held.holds["a"][:1]
    assert factor(held, BTC, Leg.LONG) == 1


def test_notify_is_visible_and_changes_nothing():
    venue = rig()
    before = entries(venue)
    sent = len(venue.places)
    tell(venue, holds(hold("notify")))
    assert entries(venue) == before
    assert len(venue.places) == sent
    assert [each.action for each in venue.view().holds] == ["notify"]


def test_a_set_replaces_that_of_its_source_alone():
    venue = rig()
    tell(venue, holds(hold(key="G-1")))
    tell(venue, holds(hold(key="P-1"), source="pauses"))
    tell(venue, holds())
    assert why(venue) == ("held by P-1: spread 132 bps",)


def test_ladders_say_why_a_rung_is_off():
    venue = rig()
    tell(venue, holds(hold(scope=m.Scope(instrument=BTC, leg=Leg.LONG))))
    answer = venue.ask(m.GetLadders())
    (ladder,) = answer.ladders
    assert {(rung.state, rung.reason) for rung in ladder.long_ladder} == {
        ("off", "LONG held by G-1: spread 132 bps")
    }
    assert {rung.state for rung in ladder.short_ladder} == {"resting"}


# ------------------------------------------------------------------------------------------------------ fail closed


def test_nothing_is_traded_before_every_source_has_spoken():
    venue = FakeVenue(Desk(config(), EPOCH, hold_sources=("guards", "pauses")))
    venue.start()
    assert not venue.places
    assert venue.view().silent_sources == ("guards", "pauses")
    tell(venue, holds(source="pauses"))
    assert not venue.places
    assert why(venue) == ("guards have not said yet what they hold: nothing is traded before",)
    tell(venue, holds())
    assert entries(venue)


def test_a_new_process_waits_for_its_own_guards_and_keeps_the_trips():
    desk = Desk(config(), EPOCH, hold_sources=("guards",))
    venue = FakeVenue(desk)
    venue.feed(holds())
    venue.start()
    assert entries(venue)
    tell(venue, holds(hold()))
    tell(venue, m.TripsChanged(trips=(trip(scope=m.Scope(instrument=BTC, leg=Leg.LONG)),)))
    venue.restart(Desk(config(), EPOCH, hold_sources=("guards",)))
    assert venue.view().holds == ()
    assert venue.view().silent_sources == ("guards",)
    venue.bar()
    venue.run(venue.mono + SECOND)
    assert not venue.of(Leg.SHORT, Purpose.ENTRY)
    tell(venue, holds())
    assert venue.of(Leg.SHORT, Purpose.ENTRY)
    assert not venue.of(Leg.LONG, Purpose.ENTRY)


# ------------------------------------------------------------------------------------------------------------- trips


@pytest.mark.parametrize(("scope", "legs"), SCOPES[1:])
def test_a_scoped_halt_takes_entries_and_is_confirmed(scope, legs):
    venue = rig()
    go(venue, 39800)
    scoped = () if scope.leg is None else (scope.leg,)
    venue.feed(m.TripsChanged(trips=(trip(scope=scope),)))
    tell(venue, m.HaltEntries(trip_id="T-7", cause="ten losses", instrument=scope.instrument, legs=scoped))
    for leg in LEGS:
        assert bool(venue.of(leg, Purpose.ENTRY)) == (leg not in legs)
    assert venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    assert [x.cause for x in venue.said if isinstance(x, m.EntriesGone)] == ["T-7"]
    tell(venue, m.TripsChanged(trips=()))
    assert all(venue.of(leg, Purpose.ENTRY) for leg in LEGS)


def test_resume_does_not_leave_a_trip():
    venue = rig()
    scope = m.Scope(instrument=BTC, leg=Leg.LONG)
    tell(venue, m.TripsChanged(trips=(trip(scope=scope, state=KillState.HALTED),)))
    refused = venue.ask(m.ResumeEntries())
    assert isinstance(refused, m.Refused)
    assert "latched by T-7: ten losses" in refused.reason
    assert "rearm" in refused.accepted
    venue.ask(m.PauseEntries(reason="news"))
    done = venue.ask(m.ResumeEntries())
    assert done.detail["needs_rearm"] == ["T-7: ten losses"]
    assert not venue.of(Leg.LONG, Purpose.ENTRY)
    assert venue.of(Leg.SHORT, Purpose.ENTRY)


def flattened(venue, leg, origin):
    venue.feed(m.LegsLatched(instrument=BTC, legs=(leg,), flatten_id="F-1", origin=origin))
    venue.flatten(leg)
    venue.tell(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=leg, proof=()))
    venue.run(venue.mono + SECOND)


def test_rearm_frees_the_legs_of_its_trip_and_resume_those_of_the_operator():
    venue = rig()
    go(venue, 39800)
    scope = m.Scope(instrument=BTC, leg=Leg.LONG)
    tell(venue, m.TripsChanged(trips=(trip("flatten", scope),)))
    flattened(venue, Leg.LONG, "T-7")
    flattened(venue, Leg.SHORT, "")
    assert venue.view().instruments[0].legs[0].trip_id == "T-7"
    assert venue.ask(m.ResumeEntries()).detail["unlatched"] == [f"{BTC} SHORT"]
    assert not venue.of(Leg.LONG, Purpose.ENTRY)
    tell(venue, m.TripsChanged(trips=()))
    assert venue.of(Leg.LONG, Purpose.ENTRY)
    assert [x.legs for x in venue.said if isinstance(x, m.LegsUnlatched)] == [(Leg.SHORT,), (Leg.LONG,)]


def test_rearm_frees_a_leg_whose_last_fills_come_later():
    venue = rig()
    go(venue, 39800)
    tell(venue, m.TripsChanged(trips=(trip("flatten", m.Scope(instrument=BTC, leg=Leg.LONG)),)))
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1", origin="T-7"))
    tell(venue, m.TripsChanged(trips=()))
    assert venue.view().instruments[0].legs[0].latched, "it is still being removed"
    venue.flatten(Leg.LONG)
    venue.tell(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    venue.run(venue.mono + SECOND)
    assert venue.of(Leg.LONG, Purpose.ENTRY)


def test_a_rearm_ends_what_the_venues_own_act_has_halted():
    venue = rig()
    tell(venue, m.VenueAction(kind="ADL", instrument=BTC, leg=Leg.LONG))
    tell(venue, m.TripsChanged(trips=(trip(scope=m.Scope(instrument=BTC)),)))
    assert not entries(venue)
    tell(venue, m.TripsChanged(trips=()))
    assert entries(venue)


# ----------------------------------------------------------------------------------------------------- planned pauses


def test_a_planned_pause_frees_the_legs_that_it_flattened_but_no_others():
    venue = rig()
    go(venue, 39800)
    flattened(venue, Leg.SHORT, "")
    pause = hold(key="pause:news")
    tell(venue, holds(pause, source="pauses"))
    flattened(venue, Leg.LONG, "pause:news")
    flattened(venue, Leg.SHORT, "pause:news")
    assert "LONG was flattened by F-1: until pause:news is over" in why(venue)
    tell(venue, holds(source="pauses"))
    assert venue.of(Leg.LONG, Purpose.ENTRY)
    assert not venue.of(Leg.SHORT, Purpose.ENTRY), "an operator flattened it: resume is his to say"


def test_scopes_cover_what_lies_in_them():
    leg = m.Scope(instrument=BTC, leg=Leg.LONG)
    assert covers(leg, BTC, Leg.LONG)
    assert not covers(leg, BTC)
    assert not covers(leg, BTC, Leg.SHORT)
    assert covers(m.Scope(instrument=BTC), BTC)
    assert not covers(m.Scope(instrument=ETH), BTC, Leg.LONG)
    assert covers(m.Scope(), BTC, Leg.SHORT)

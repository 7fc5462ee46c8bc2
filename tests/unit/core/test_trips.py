"""Trips of instruments and legs: every state x every message, latch, upgrade, restart, and what rearm asks for."""

import pytest

from hedgegridd import messages as m
from hedgegridd.config import KillSwitch as KillConfig
from hedgegridd.core.kill_switch import COOLDOWN_MAX_S, REARM_DEADLINE_S, KillSwitch
from hedgegridd.model import KillState, Leg
from tests.support.envelopes import Feeder, of

S = KillState
BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
LONG = m.Scope(instrument=BTC, leg=Leg.LONG)
OK = m.Reconciled(ok=True, cause="rearm")


def kill(action="halt", legs=(Leg.LONG,), instrument=BTC, **more) -> m.Kill:
    return m.Kill(reason="ten losses", action=action, instrument=instrument, legs=legs, **more)


def guard(level="BLOCK", scope=LONG, name="margin_ratio", previous="OK", action="") -> m.GuardChanged:
    verdict = m.GuardVerdict(
        guard=name, scope=scope, level=level, value=None, message="0.91 / 0.80", action=action
    )
    return m.GuardChanged(verdict=verdict, previous=previous)


def only(feed: Feeder) -> m.Trip:
    (trip,) = feed.machine.snapshot().trips.values()
    return trip


def removed(feed: Feeder) -> m.Message:
    trip = only(feed)
    if trip.action == "halt":
        return m.EntriesGone(cause=trip.trip_id)
    return m.FlattenFinished(flatten_id="F-1", origin=trip.trip_id, after_s=0)


def switch(
    trip: S | None = None, account: S = S.ARMED, *, action="halt", sources=(), cooldown_s=0, **more
) -> Feeder:
    """An armed switch with a trip of the LONG leg in a state; then the account in one of its own."""
    feed = Feeder(KillSwitch(KillConfig(cooldown_s=cooldown_s), sources))
    feed(m.StartChecked())
    if trip is not None:
        feed(kill(action, **more))
    if trip is S.HALTED:
        feed(removed(feed))
    if account is not S.ARMED:
        feed(m.Kill(reason="all of it", action="flatten"))
    if account is S.HALTED:
        own = feed.machine.snapshot().trip_id
        feed(m.FlattenFinished(flatten_id="F-2", origin=own, after_s=0))
    assert feed.machine.snapshot().state is account
    assert trip is None or only(feed).state is trip
    return feed


# (state of the trip, message) -> state after it; whatever is not listed leaves it alone
TABLE = {
    (None, "kill"): S.TRIPPED,
    (S.TRIPPED, "removed"): S.HALTED,
    (S.HALTED, "kill"): S.TRIPPED,
    (S.HALTED, "stronger"): S.TRIPPED,
}
MESSAGES = {
    "kill": kill(),
    "stronger": kill("flatten"),
    "rearm": m.Rearm(reason="fixed"),
    "start": m.StartChecked(),
    "up": m.VenueUp(),
    "reconciled": OK,
    "foreign": m.FlattenFinished(flatten_id="F-9", origin="T-999", after_s=0),
    "feed": m.FeedChanged(channel="market", up=False),
    "guard": guard(),
    "holds": m.HoldsChanged(source="guards", holds=()),
    "woke": m.Woke(token="kill:999"),
    "view": m.GetKillSwitch(),
    "removed": None,
}
SENDS = {
    (None, "kill"): (m.TripsChanged, m.HaltEntries),
    (None, "stronger"): (m.TripsChanged, m.Flatten),
    (S.TRIPPED, "stronger"): (m.TripsChanged, m.Flatten),
    (S.TRIPPED, "up"): (m.HaltEntries,),
    (S.TRIPPED, "removed"): (m.TripsChanged, m.Done),
    (S.TRIPPED, "start"): (m.TripsChanged, m.KillStateChanged),
    (S.TRIPPED, "rearm"): (m.Refused,),
    (S.HALTED, "kill"): (m.TripsChanged, m.HaltEntries),
    (S.HALTED, "stronger"): (m.TripsChanged, m.Flatten),
    (S.HALTED, "start"): (m.TripsChanged, m.KillStateChanged),
    (S.HALTED, "rearm"): (m.Reconcile,),
    (None, "rearm"): (m.Refused,),
    (None, "start"): (m.TripsChanged, m.KillStateChanged),  # that none is left: a crash may have lost it
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("state", [None, S.TRIPPED, S.HALTED])
def test_table(state, name):
    feed = switch(state)
    if MESSAGES[name] is None and state is None:
        return
    out = feed(MESSAGES[name] or removed(feed))
    trips = feed.machine.snapshot().trips
    after = only(feed).state if trips else None
    expected = TABLE.get((state, name), S.TRIPPED if (state, name) == (None, "stronger") else state)
    assert after is expected
    assert feed.machine.snapshot().state is S.ARMED, "the account's own state is another"
    if name != "view":
        assert tuple(type(x) for x in out) == SENDS.get((state, name), ())


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("account", [S.ARMED, S.TRIPPED, S.HALTED])
@pytest.mark.parametrize("state", [S.TRIPPED, S.HALTED])
def test_only_rearm_leaves_a_trip(state, account, name):
    feed = switch(state, account)
    feed(MESSAGES[name] or removed(feed))
    assert only(feed).scope == LONG


# ------------------------------------------------------------------------------------------------- what a trip does


@pytest.mark.parametrize(
    ("asked", "scope", "sent"),
    [
        (
            kill("flatten"),
            LONG,
            m.Flatten(legs=(Leg.LONG,), instrument=BTC, reason="ten losses", origin="T-2"),
        ),
        (
            kill("flatten", legs=()),
            m.Scope(instrument=BTC),
            m.Flatten(legs=(Leg.LONG, Leg.SHORT), instrument=BTC, reason="ten losses", origin="T-2"),
        ),
        (
            kill("halt", legs=(Leg.SHORT, Leg.LONG)),
            m.Scope(instrument=BTC),
            m.HaltEntries(trip_id="T-2", cause="ten losses", instrument=BTC),
        ),
        (
            kill("halt", instrument=None),
            m.Scope(leg=Leg.LONG),
            m.HaltEntries(trip_id="T-2", cause="ten losses", legs=(Leg.LONG,)),
        ),
    ],
)
def test_a_trip_removes_what_lies_in_its_scope(asked, scope, sent):
    feed = switch()
    out = feed(asked)
    assert only(feed).scope == scope
    assert out[-1] == sent
    assert [t.scope for t in out[0].trips] == [scope], "the latch goes out before what it latches"


def test_both_legs_of_no_instrument_are_the_account():
    feed = switch()
    feed(kill("halt", legs=(Leg.LONG, Leg.SHORT), instrument=None))
    assert feed.machine.snapshot().state is S.TRIPPED
    assert not feed.machine.snapshot().trips


def test_the_stronger_wins_and_everybody_is_answered_by_its_end():
    feed = switch(S.TRIPPED)
    first = only(feed).trip_id
    feed(kill("flatten"))
    assert only(feed).action == "flatten"
    assert not feed(m.EntriesGone(cause=first)), "the weaker trip's end is not the stronger one's"
    feed(kill("halt"))
    assert only(feed).action == "flatten", "a weaker one joins"
    answers = of(m.Done, feed(removed(feed)))
    assert len(answers) == 3
    assert {a.detail["verified"] for a in answers} == {True}
    assert answers[0].detail["leg"] is Leg.LONG


def test_a_weaker_kill_of_a_halted_trip_does_the_stronger_thing_again():
    feed = switch(S.HALTED, action="flatten")
    out = feed(kill("halt"))
    assert of(m.Flatten, out)
    assert only(feed).state is S.TRIPPED


def test_a_kill_is_answered_at_its_deadline():
    feed = switch()
    feed(kill(deadline_s=3.0))
    (done,) = of(m.Done, feed.advance(3.1))
    assert done.detail["verified"] is False
    assert done.detail["state"] == "TRIPPED"
    assert not of(m.Done, feed(removed(feed)))


def test_trips_of_several_scopes_stand_beside_each_other():
    feed = switch()
    feed(kill())
    feed(kill(legs=(Leg.SHORT,)))
    feed(kill(instrument=ETH, legs=()))
    assert len(feed.machine.snapshot().trips) == 3
    feed(m.Kill(reason="all of it", action="flatten"))
    assert len(feed.machine.snapshot().trips) == 3


def test_what_makes_no_sense_is_refused():
    feed = switch()
    for wrong in (kill("explode"), kill(cooldown_s=-1), kill(cooldown_s=COOLDOWN_MAX_S + 1)):
        (refused,) = feed(wrong)
        assert isinstance(refused, m.Refused)
    assert not feed.machine.snapshot().trips


def test_an_instrument_that_is_not_traded_is_not_tripped():
    feed = Feeder(KillSwitch(KillConfig(), (), (ETH,)))
    feed(m.StartChecked())
    assert "not traded here" in feed(kill())[0].reason
    assert not feed.machine.snapshot().trips
    assert of(m.HaltEntries, feed(kill(instrument=ETH)))


def test_a_trip_that_nobody_can_finish_any_more_is_left_by_rearm():
    feed = switch(S.TRIPPED, action="flatten")
    after = Feeder(KillSwitch(KillConfig(), (), (ETH,)))  # the config has BTC no more
    after.machine.restore(feed.machine.snapshot())
    after(m.StartChecked())
    assert of(m.Reconcile, after(m.Rearm(reason="its grid is gone, the venue shows nothing")))
    after(OK)
    assert not after.machine.snapshot().trips


# ------------------------------------------------------------------------------------------------------- restart


@pytest.mark.parametrize("state", [S.TRIPPED, S.HALTED])
def test_a_restart_finishes_it_and_does_not_forget_it(state):
    feed = switch(state)
    after = Feeder(KillSwitch(KillConfig()))
    after.machine.restore(feed.machine.snapshot())
    assert only(after) == only(feed)
    assert bool(of(m.HaltEntries, after(m.VenueUp()))) == (state is S.TRIPPED)
    told, armed = after(m.StartChecked())
    assert told.trips == (only(feed),)
    assert armed.state is S.ARMED
    assert after.machine.snapshot().trips


def test_a_snapshot_is_a_copy():
    feed = switch(S.TRIPPED)
    kept = feed.machine.snapshot()
    feed(removed(feed))
    assert [trip.state for trip in kept.trips.values()] == [S.TRIPPED]


# --------------------------------------------------------------------------------------------------------- rearm


def test_rearm_leaves_every_latch_at_once():
    feed = switch(S.HALTED, S.HALTED)
    own, scoped = feed.machine.snapshot().trip_id, only(feed).trip_id
    feed(m.Rearm(reason="looked"))
    assert feed.machine.snapshot().state is S.REARMING
    told, armed, done = feed(OK)
    assert told.trips == ()
    assert armed.state is S.ARMED
    assert done.detail["rearmed"] == sorted([own, scoped])
    assert done.detail["checks"] == {"reconciled": True, "feeds": "up", "guards": "OK"}


def test_rearm_of_an_instrument_leaves_the_others_alone():
    feed = switch(S.HALTED, S.HALTED)
    assert "nothing of ETH" in feed(m.Rearm(reason="x", instrument=ETH))[0].reason
    feed(m.Rearm(reason="x", instrument=BTC))
    assert feed.machine.snapshot().state is S.HALTED
    done = of(m.Done, feed(OK))[0]
    assert done.detail["state"] == "HALTED"
    assert not feed.machine.snapshot().trips
    assert feed.machine.snapshot().state is S.HALTED


def test_rearm_waits_for_trips_that_are_being_carried_out():
    feed = switch(S.TRIPPED, S.HALTED)
    refused = feed(m.Rearm(reason="x"))[0]
    assert "still being carried out" in refused.reason
    assert feed.machine.snapshot().state is S.HALTED


def test_one_rearm_at_a_time():
    feed = switch(S.HALTED)
    feed(m.Rearm(reason="x"))
    assert "under way" in feed(m.Rearm(reason="y"))[0].reason


@pytest.mark.parametrize("account", [False, True])
def test_the_guards_own_cool_down_counts_from_its_end(account):
    scope = {"legs": (), "instrument": None} if account else {}
    feed = Feeder(KillSwitch(KillConfig(cooldown_s=5)))
    feed(m.StartChecked())
    feed(kill("flatten", cooldown_s=300, guard="equity_floor", **scope))
    feed(kill("halt", cooldown_s=10, **scope))  # joins: the longer of the two counts
    state = feed.machine.snapshot()
    trip_id = state.trip_id if account else only(feed).trip_id
    feed.advance(100)
    feed(m.FlattenFinished(flatten_id="F-1", origin=trip_id, after_s=0))
    feed.advance(299)
    assert "rearm from 1 s" in of(m.Refused, feed(m.Rearm(reason="x")))[0].reason
    feed.advance(1)
    assert of(m.Reconcile, feed(m.Rearm(reason="x")))


@pytest.mark.parametrize("level", ["CRITICAL", "BLOCK"])
def test_rearm_is_refused_while_a_guard_of_its_scope_is_not_ok(level):
    feed = switch(S.HALTED)
    feed(guard(level))
    refused = feed(m.Rearm(reason="x"))[0]
    assert refused.reason == f"guards are not OK: margin_ratio is {level}: 0.91 / 0.80"
    feed(guard("WARN", previous=level))
    assert of(m.Reconcile, feed(m.Rearm(reason="x")))


@pytest.mark.parametrize(
    ("level", "action", "counts"),
    [
        ("CRITICAL", "flatten", True),
        ("CRITICAL", "halt", True),
        ("CRITICAL", "restop", True),
        ("CRITICAL", "", True),
        ("CRITICAL", "throttle:0.5", False),
        ("CRITICAL", "trim:0.3", False),
        ("CRITICAL", "notify", False),
        ("BLOCK", "notify", True),
        ("WARN", "flatten", False),
    ],
)
def test_a_guard_that_only_throttles_trims_or_tells_keeps_nobody_away(level, action, counts):
    feed = switch(S.HALTED)
    feed(guard(level, action=action))
    assert isinstance(feed(m.Rearm(reason="x"))[0], m.Refused) == counts


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        (m.Scope(), True),
        (m.Scope(instrument=BTC), True),
        (LONG, True),
        (m.Scope(leg=Leg.LONG), True),
        (m.Scope(instrument=BTC, leg=Leg.SHORT), False),
        (m.Scope(instrument=ETH), False),
    ],
)
def test_a_guard_counts_when_it_touches_what_is_rearmed(scope, counts):
    feed = switch(S.HALTED)
    feed(guard(scope=scope))
    assert isinstance(feed(m.Rearm(reason="x"))[0], m.Refused) == counts
    everything = switch(None, S.HALTED)
    everything(guard(scope=scope))
    assert isinstance(everything(m.Rearm(reason="x"))[0], m.Refused), "the account is all of it"


def test_a_guard_that_breaks_while_the_venue_is_compared_counts():
    feed = switch(S.HALTED, S.HALTED)
    feed(m.Rearm(reason="x"))
    feed(guard())
    out = feed(OK)
    assert "guards are not OK" in of(m.Refused, out)[0].reason
    assert feed.machine.snapshot().state is S.HALTED
    assert feed.machine.snapshot().trips


def test_rearm_waits_until_the_guards_of_this_process_have_spoken():
    feed = switch(S.HALTED, sources=("guards",))
    assert "guards have not said" in feed(m.Rearm(reason="x"))[0].reason
    feed(m.HoldsChanged(source="guards", holds=()))
    assert of(m.Reconcile, feed(m.Rearm(reason="x")))
    again = Feeder(KillSwitch(KillConfig(), ("guards",)))
    again.machine.restore(feed.machine.snapshot())
    again(m.StartChecked())
    assert "guards have not said" in again(m.Rearm(reason="x"))[0].reason


def test_nothing_is_rearmed_before_the_guards_have_what_they_judge_by():
    feed = switch(S.HALTED)
    why = "guards: equity not known yet"
    hold = m.Hold(key="guard:baseline", action="pause", cause=why, since_ns=0)
    feed(m.HoldsChanged(source="guards", holds=(hold,)))
    (refused,) = feed(m.Rearm(reason="x"))
    assert "equity not known yet" in refused.reason
    feed(m.HoldsChanged(source="pauses", holds=()))
    assert of(m.Refused, feed(m.Rearm(reason="x"))), "another source says nothing of it"
    other = m.Hold(key="guard:exposure", action="pause", cause="", since_ns=0)
    feed(m.HoldsChanged(source="guards", holds=(other,)))
    assert of(m.Reconcile, feed(m.Rearm(reason="x")))


def test_a_rearm_that_fails_leaves_the_latch():
    feed = switch(S.HALTED)
    feed(m.Rearm(reason="x"))
    out = feed(m.Reconciled(ok=False, cause="rearm", differences=("LONG 1 against 2",)))
    assert "LONG 1 against 2" in of(m.Refused, out)[0].reason
    feed(m.Rearm(reason="x"))
    assert "not reconciled within" in of(m.Refused, feed.advance(REARM_DEADLINE_S))[0].reason
    assert feed.machine.snapshot().trips
    assert not feed(OK)


@pytest.mark.parametrize("account", [S.ARMED, S.HALTED])
def test_a_kill_ends_a_rearm_that_is_under_way(account):
    feed = switch(S.HALTED, account)
    feed(m.Rearm(reason="x"))
    out = feed(kill(legs=(Leg.SHORT,)))
    assert of(m.Refused, out)[0].reason == "killed while rearming"
    assert feed.machine.snapshot().state is account
    assert len(feed.machine.snapshot().trips) == 2
    assert not feed(OK)


def test_the_view_says_what_is_latched_and_what_rearm_waits_for():
    feed = switch(S.HALTED, cooldown_s=60)
    feed(guard())
    view = feed(m.GetKillSwitch())[0]
    assert view.state is S.ARMED
    assert view.trips == (only(feed),)
    assert view.rearm_from_ns == only(feed).since_ns + 60 * 10**9
    assert view.guards == ("margin_ratio is BLOCK: 0.91 / 0.80",)

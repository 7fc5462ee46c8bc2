"""The kill switch: every state x every message, the latch, upgrade, rearm."""

import pytest

from hedgegridd import messages as m
from hedgegridd.config import KillSwitch as KillConfig
from hedgegridd.core.kill_switch import REARM_DEADLINE_S, KillSwitch, KillSwitchState
from hedgegridd.model import KillState
from tests.support.envelopes import START_NS, Feeder, of

S = KillState
OK = m.Reconciled(ok=True, cause="rearm")


def switch(state: S = S.STARTING, action: str = "flatten", cooldown_s: int = 0) -> Feeder:
    machine = KillSwitch(KillConfig(cooldown_s=cooldown_s))
    feed = Feeder(machine)
    if state is not S.STARTING:
        feed(m.StartChecked())
    if state in (S.TRIPPED, S.HALTED, S.REARMING):
        feed(m.Kill(reason="test", action=action))
    if state in (S.HALTED, S.REARMING):
        feed(removed(feed, action))
    if state is S.REARMING:
        feed(m.Rearm(reason="fixed"))
    assert machine.snapshot().state is state
    return feed


def removed(feed: Feeder, action: str = "flatten", trip: str | None = None) -> m.Message:
    trip = feed.machine.snapshot().trip_id if trip is None else trip
    if action == "flatten":
        return m.FlattenFinished(flatten_id="F-1", origin=trip, after_s=0)
    return m.EntriesGone(cause=trip)


# (state, message) -> state after it; whatever is not listed leaves the state alone
TABLE = {
    (S.STARTING, "kill"): S.TRIPPED,
    (S.STARTING, "start"): S.ARMED,
    (S.ARMED, "kill"): S.TRIPPED,
    (S.TRIPPED, "removed"): S.HALTED,
    (S.HALTED, "kill"): S.TRIPPED,
    (S.HALTED, "rearm"): S.REARMING,
    (S.REARMING, "kill"): S.TRIPPED,
    (S.REARMING, "reconciled"): S.ARMED,
    (S.REARMING, "mismatch"): S.HALTED,
}
MESSAGES = {
    "kill": m.Kill(reason="again"),
    "rearm": m.Rearm(reason="fixed"),
    "start": m.StartChecked(),
    "up": m.VenueUp(),
    "reconciled": OK,
    "mismatch": m.Reconciled(ok=False, cause="rearm", differences=("LONG 1 against 2",)),
    "other": m.Reconciled(ok=True, cause="interval"),
    "feed": m.FeedChanged(channel="market", up=False),
    "woke": m.Woke(token="kill:999"),
    "foreign": m.FlattenFinished(flatten_id="F-9", origin="T-999", after_s=0),
    "removed": None,
    "view": m.GetKillSwitch(),
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("state", list(S))
def test_table(state, name):
    feed = switch(state)
    message = MESSAGES[name] or removed(feed)
    out = feed(message)
    after = feed.machine.snapshot().state
    assert after is TABLE.get((state, name), state)
    changes = of(m.KillStateChanged, out)
    if after is not state:
        assert [(c.previous, c.state) for c in changes] == [(state, after)]
    if isinstance(message, m.Rearm) and state is not S.HALTED:
        assert of(m.Refused, out)[0].accepted


def test_only_rearm_arms_a_latched_switch():
    for state in (S.TRIPPED, S.HALTED):
        for name, message in MESSAGES.items():
            if name == "rearm":
                continue
            feed = switch(state)
            feed(message or removed(feed))
            assert feed.machine.snapshot().state is not S.ARMED


def test_kill_flattens_both_legs_and_is_answered_when_verified():
    feed = switch(S.ARMED)
    out = feed(m.Kill(reason="too hot"))
    asked = feed.seq
    (flatten,) = of(m.Flatten, out)
    assert flatten.legs == ("LONG", "SHORT")
    assert flatten.origin == f"T-{asked}"
    assert flatten.reason == "too hot"
    assert not of(m.Done, out)
    (done,) = of(m.Done, feed(removed(feed)))
    assert done.to == asked
    assert done.detail["verified"] is True


def test_kill_is_answered_at_its_deadline_and_not_twice():
    feed = switch(S.ARMED)
    feed(m.Kill(reason="x", deadline_s=3.0))
    (done,) = of(m.Done, feed.advance(3.1))
    assert done.detail["verified"] is False
    assert done.detail["state"] == "TRIPPED"
    assert not of(m.Done, feed(removed(feed)))


def test_halt_cancels_entries_only_and_flatten_upgrades_it():
    feed = switch(S.ARMED)
    out = feed(m.Kill(reason="x", action="halt"))
    assert of(m.HaltEntries, out)
    assert not of(m.Flatten, out)
    trip = feed.machine.snapshot().trip_id
    out = feed(m.Kill(reason="worse", action="flatten"))
    assert of(m.Flatten, out)
    assert feed.machine.snapshot().trip_id != trip
    feed(m.EntriesGone(cause=trip))  # the weaker trip's end is not the stronger one's
    assert feed.machine.snapshot().state is S.TRIPPED
    assert len(of(m.Done, feed(removed(feed)))) == 2  # both askers


@pytest.mark.parametrize(("configured", "sent"), [("halt", m.HaltEntries), ("flatten", m.Flatten)])
def test_a_kill_without_an_action_does_the_configured_one(configured, sent):
    feed = Feeder(KillSwitch(KillConfig(action=configured)))
    feed(m.StartChecked())
    out = feed(m.Kill(reason="x"))
    assert [type(x) for x in out if isinstance(x, m.HaltEntries | m.Flatten)] == [sent]


def test_a_weaker_or_equal_kill_joins():
    feed = switch(S.TRIPPED)
    out = feed(m.Kill(reason="me too", action="halt"))
    assert not of(m.Flatten, out)
    assert not of(m.KillStateChanged, out)


def test_a_kill_of_a_halted_switch_asks_the_venue_again():
    feed = switch(S.HALTED)
    out = feed(m.Kill(reason="something is open", action="halt"))
    assert of(m.Flatten, out), "the stronger of both"
    assert not of(m.Done, out), "what was verified then proves nothing now"
    (done,) = of(m.Done, feed(removed(feed)))
    assert done.detail["verified"] is True


def test_rearm_is_refused_while_a_feed_is_down():
    feed = switch(S.HALTED)
    feed(m.FeedChanged(channel="user", up=False, detail="silent"))
    (refused,) = feed(m.Rearm(reason="ok"))
    assert "feeds are down: user" in refused.reason
    feed(m.FeedChanged(channel="user", up=True))
    assert of(m.Reconcile, feed(m.Rearm(reason="ok")))


def test_unknown_action_is_refused_and_changes_nothing():
    feed = switch(S.ARMED)
    (refused,) = feed(m.Kill(reason="x", action="explode"))
    assert "explode" in refused.reason
    assert feed.machine.snapshot().state is S.ARMED


def test_rearm_needs_a_reason_and_the_cooldown():
    feed = switch(S.HALTED, cooldown_s=300)
    assert "reason" in of(m.Refused, feed(m.Rearm(reason=" ")))[0].reason
    assert "300 s" in of(m.Refused, feed(m.Rearm(reason="ok")))[0].reason
    feed.advance(300)
    out = feed(m.Rearm(reason="ok"))
    asked = feed.seq
    assert of(m.Reconcile, out)[0].cause == "rearm"
    out = feed(OK)
    assert of(m.Done, out)[0].to == asked
    assert feed.machine.snapshot() == KillSwitchState(state=S.ARMED, since_ns=START_NS + feed.mono_ns)


def test_rearm_is_refused_with_the_difference_or_when_the_venue_is_silent():
    feed = switch(S.REARMING)
    assert "LONG 1 against 2" in of(m.Refused, feed(MESSAGES["mismatch"]))[0].reason
    feed = switch(S.REARMING)
    out = feed.advance(REARM_DEADLINE_S)
    assert "not reconciled within" in of(m.Refused, out)[0].reason
    assert feed.machine.snapshot().state is S.HALTED
    assert not feed(OK)


def test_kill_while_rearming_answers_the_rearm():
    feed = switch(S.REARMING)
    out = feed(m.Kill(reason="no"))
    assert of(m.Refused, out)[0].reason == "killed while rearming"
    assert of(m.Flatten, out)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.STARTING, S.STARTING),
        (S.ARMED, S.STARTING),
        (S.TRIPPED, S.TRIPPED),
        (S.HALTED, S.HALTED),
        (S.REARMING, S.HALTED),
    ],
)
def test_restart(before, after):
    kept = switch(before).machine.snapshot()
    machine = KillSwitch(KillConfig())
    machine.restore(kept)
    assert machine.snapshot().state is after
    feed = Feeder(machine)
    out = feed(m.VenueUp())
    assert bool(of(m.Flatten, out)) == (after is S.TRIPPED)  # an open trip is finished
    told, change = feed(m.StartChecked())
    assert told == m.TripsChanged(trips=()), "a crash may have lost that the last one was rearmed"
    assert change.state is (S.ARMED if after is S.STARTING else after)


def test_an_unknown_message_is_a_fault():
    with pytest.raises(TypeError, match="no row for Stopping"):
        switch()(m.Stopping(reason="x"))

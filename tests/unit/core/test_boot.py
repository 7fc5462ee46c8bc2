"""Start-up stages and the reconciler's timer."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core.boot import STAGES, Boot
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.model import KillState
from tests.support.envelopes import Feeder, of

ARMED = m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING)


def view(feed):
    return feed(m.GetBoot())[0]


def test_the_way_to_ready():
    feed = Feeder(Boot())
    assert view(feed).stage == "journal"
    feed(m.StageReached(stage="metrics"))
    feed(m.StageReached(stage="venue", waits_for="no answer from 127.0.0.1"))
    assert view(feed).waits_for == "no answer from 127.0.0.1"
    feed(m.VenueUp())
    out = feed(m.Reconciled(ok=False, cause="start", differences=("LONG 1 against 2",)))
    assert not of(m.StartChecked, out)
    assert view(feed).waits_for == "LONG 1 against 2"
    out = feed(m.Reconciled(ok=True, cause="start"))
    assert not of(m.StartChecked, out)
    assert view(feed).stage == "guards"
    assert "marks" in view(feed).waits_for
    assert of(m.StartChecked, feed(m.BaselineRead()))
    feed(ARMED)
    assert view(feed).stage == "control"
    assert not view(feed).ready
    (change,) = feed(m.StageReached(stage="ready"))
    assert (change.number, change.of) == (len(STAGES), len(STAGES))
    assert view(feed).ready
    feed(m.Stopping(reason="SIGTERM"))
    assert not view(feed).ready
    assert view(feed).stopping


def test_guards_that_have_read_all_before_the_comparison_is_told_are_not_waited_for_again():
    feed = Feeder(Boot())
    feed(m.VenueUp())
    assert not of(m.StartChecked, feed(m.BaselineRead()))
    assert of(m.StartChecked, feed(m.Reconciled(ok=True, cause="start")))


def test_a_stage_is_not_gone_back_to_and_a_reconnect_does_not_arm_again():
    feed = Feeder(Boot())
    feed(m.StageReached(stage="ready"))
    assert feed(m.StageReached(stage="venue")) == []
    assert feed(m.VenueUp()) == []
    assert feed(m.Reconciled(ok=True, cause="interval")) == []
    assert feed(ARMED) == []


def test_a_switch_that_is_still_starting_is_waited_for():
    feed = Feeder(Boot())
    feed(m.StageReached(stage="kill switch"))
    starting = m.KillStateChanged(state=KillState.STARTING, previous=KillState.STARTING)
    assert feed(starting) == []
    halted = m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED)
    assert of(m.StageChanged, feed(halted))  # a latched daemon serves, and does not trade


def test_the_reconciler_asks_at_start_on_time_and_after_a_reconnect():
    feed = Feeder(Reconciler(Decimal(30)))
    back = m.FeedChanged(channel="user", up=True)
    assert feed(back) == []  # before the first connection there is nothing to compare
    assert [x.cause for x in feed(m.VenueUp())] == ["start"]
    assert [x.cause for x in feed.advance(60)] == ["interval", "interval"]
    assert [x.cause for x in feed(back)] == ["user is back"]
    assert feed(m.FeedChanged(channel="user", up=False)) == []
    assert feed(m.FeedChanged(channel="market", up=True)) == []


@pytest.mark.parametrize("machine", [Boot(), Reconciler(Decimal(30))])
def test_unknown_messages_are_faults(machine):
    with pytest.raises(TypeError, match="no row"):
        Feeder(machine)(m.Kill(reason="x"))

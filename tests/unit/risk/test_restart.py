"""The risk machine over a restart: holds and windows go on, trips are finished, what was never heard is asked for again."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers
from typing import Literal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.model import KillState, Leg
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.state import RiskState
from hedgegridd.state import Machines
from tests.support.envelopes import Feeder, of
from tests.support.guard_bench import BTC, ETH, instrument_figures
from tests.unit.risk.test_machine import ARMED, Rig, tripped

HEARD = m.Trip(trip_id="T-1", scope=m.Scope(), action="flatten", cause="c")


def restarted(rig: Rig, *latched: m.Trip) -> Rig:
    """A new process; `latched` is what its kill switch knows of."""
    kept = msgspec.json.decode(msgspec.json.encode(rig.machine.snapshot()), type=RiskState)
    again = Rig(started=False)
    again.machine = RiskMachine(rig.machine._all, (BTC,))
    again.machine.restore(kept)
    again.machine.new_session(latched)
    again.feed = Feeder(again.machine, rig.feed.mono_ns)
    again.count = rig.count
    return again


def test_a_hold_and_its_cool_down_survive_a_restart():
    rig = Rig(("session_drawdown", {"action": "pause", "confirm": 1, "clear_s": D(0), "cooldown_s": D(60)}))
    rig.equity(9400)
    rig.feed.advance(20)
    again = restarted(rig)
    again.feed(ARMED)
    again.told()
    assert ("guard:session_drawdown", "pause") in again.holds
    again.feed.advance(41)
    again.told()
    assert again.holds == []


def test_a_trip_is_not_told_again_after_a_restart_until_rearm():
    again = restarted(tripped(), HEARD)
    again.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED, trip_id="T-1"))
    for _ in range(5):
        assert not of(m.Kill, again.told(equity_usdt=D(9400)))


def naked_leg() -> Rig:
    rig = Rig(("stop_missing", {}))
    rig.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    assert of(m.Kill, rig.feed.advance(31)), "the process dies before anybody has heard of it"
    return rig


def trip_of(scope: m.Scope, action: Literal["halt", "flatten"]) -> m.Trip:
    return m.Trip(trip_id="T-1", scope=scope, action=action, cause="c")


LONG_LEG = m.Scope(instrument=BTC, leg=Leg.LONG)
WEAKER = [
    (),
    (trip_of(m.Scope(), "halt"),),
    (trip_of(LONG_LEG, "halt"),),
    (trip_of(m.Scope(instrument=BTC, leg=Leg.SHORT), "flatten"), trip_of(m.Scope(instrument=ETH), "flatten")),
    (
        trip_of(m.Scope(), "flatten"),
        trip_of(m.Scope(instrument=BTC), "flatten"),
    ),  # others, which end by themselves
]


@pytest.mark.parametrize("latched", WEAKER)
def test_a_trip_that_a_crash_kept_from_the_kill_switch_is_asked_for_again(latched: tuple[m.Trip, ...]):
    again = restarted(naked_leg(), *latched)
    (kill,) = of(m.Kill, again.feed(m.FeedChanged(channel="user", up=True)))
    assert (kill.action, kill.instrument, kill.legs) == ("flatten", BTC, (Leg.LONG,))
    assert (kill.guard, "stop" in kill.reason) == ("stop_missing", True)
    assert not of(m.Kill, again.feed.advance(5)), "once"


def test_a_trip_that_is_latched_is_not_told_again_after_a_restart():
    again = restarted(naked_leg(), trip_of(LONG_LEG, "flatten"))
    again.feed(m.TripsChanged(trips=(trip_of(LONG_LEG, "flatten"),)))
    again.feed(ARMED)
    again.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    assert of(m.Kill, again.feed.advance(90)) == []


LATCHED = m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED, trip_id="T-1")


def test_what_was_asked_for_again_is_asked_for_again_by_the_records_of_that_process_too():
    """A process begins with a state that says so; a replay of it begins with the same."""
    again = restarted(naked_leg())
    kept = msgspec.json.decode(msgspec.json.encode(again.machine.snapshot()), type=RiskState)
    replay = RiskMachine(again.machine._all, (BTC,))
    replay.restore(kept)
    assert of(m.Kill, replay.handle(again.feed.envelope(ARMED)))
    assert not of(m.Kill, replay.handle(again.feed.envelope(LATCHED)))


def test_an_act_of_the_venue_that_was_heard_just_before_a_crash_halts_after_it():
    """It is over in a moment, and nothing shows it any more when the books are compared anew."""
    rig = Rig(("venue_action", {}))
    assert of(m.Kill, rig.feed(m.VenueAction(kind="ADL", instrument=BTC, leg=Leg.LONG, detail="0.1")))
    rig.feed.advance(60)
    again = restarted(rig)
    (kill,) = of(m.Kill, again.feed(m.FeedChanged(channel="user", up=True)))
    assert (kill.action, kill.instrument, kill.legs) == ("halt", BTC, ())
    again.feed(m.TripsChanged(trips=(trip_of(m.Scope(instrument=BTC), "halt"),)))
    again.feed(ARMED)
    again.told()
    assert not of(m.Kill, again.feed.advance(60))


def test_machines_of_a_daemon_finish_what_the_last_process_decided():
    rig = Rig(("venue_action", {}))
    config = Config(grid=(Grid(),))
    before, after = Machines.of(config, "t1"), Machines.of(config, "t1")
    before.risk.handle(rig.feed.envelope(m.VenueAction(kind="ADL", instrument=BTC, leg=Leg.LONG)))
    after.restore(before.snapshot(), ())
    (kill,) = of(m.Kill, after.risk.handle(rig.feed.envelope(m.FeedChanged(channel="user", up=True))))
    told = after.kill_switch.handle(rig.feed.envelope(kill))
    assert [(trip.scope, trip.action) for trip in of(m.TripsChanged, told)[0].trips] == [
        (m.Scope(instrument=BTC), "halt")
    ]
    last = Machines.of(config, "t1")
    last.restore(after.snapshot(), ())
    assert not of(m.Kill, last.risk.handle(rig.feed.envelope(m.FeedChanged(channel="user", up=True))))


def test_a_guard_that_is_not_ok_is_told_anew_after_a_restart_for_rearm_is_kept_away_by_it():
    rig = Rig(("peak_drawdown", {"trip_pct": D(5), "confirm": 1}))
    rig.told(equity_usdt=D(9400))
    again = restarted(rig, HEARD)
    again.feed(LATCHED)
    told = of(m.GuardChanged, [*again.told(equity_usdt=D(9400)), *again.told(equity_usdt=D(9400))])
    assert [(each.verdict.guard, each.verdict.level) for each in told] == [("peak_drawdown", "CRITICAL")]


def test_windows_over_the_past_go_on_after_a_restart():
    from tests.unit.guards.test_event_guards import CLOSE, ENTRY, LONG, fill

    rig = Rig(("repeated_execution", {"trip_count": 4}))
    for number in range(3):
        rig.feed(fill(LONG, ENTRY, 100, seq=2 * number + 1))
        rig.feed(fill(LONG, CLOSE, 99, seq=2 * number + 2))
    again = restarted(rig)
    again.feed(ARMED)
    again.told()
    again.feed(fill(LONG, ENTRY, 100, seq=50))
    (kill,) = of(m.Kill, again.feed(fill(LONG, CLOSE, 99, seq=51)))
    assert (kill.action, kill.instrument, kill.legs) == ("halt", BTC, (LONG,))


def compared(rig: Rig) -> None:
    rig.feed(m.Reconciled(ok=True, cause="interval"))


def unheard(rig: Rig) -> list[m.Message]:
    """The venue's health of a process that has heard nothing of its account yet."""
    from tests.unit.guards.test_feeds import health

    return [*rig.told(), *rig.feed(health(user_stream_age_s=None))]


def test_what_agreed_before_a_restart_says_nothing_of_now_and_is_read_the_same_from_snapshot_and_tail():
    kept = Rig(("stale_account", {}))
    compared(kept)
    by_snapshot = restarted(kept)
    by_tail = restarted(Rig(("stale_account", {})))  # an older snapshot, and the records after it
    compared(by_tail)
    by_tail.machine.new_session()
    answers = [msgspec.json.encode(unheard(rig)) for rig in (by_snapshot, by_tail)]
    assert answers[0] == answers[1]
    told = of(m.GuardChanged, msgspec.json.decode(answers[0], type=list[m.Journaled]))
    assert [each.verdict.value for each in told] == [None], (
        "unknown, and not silent since the machine was switched on"
    )


def test_a_snapshot_amid_a_life_keeps_how_long_ago_books_and_venue_agreed():
    rig = Rig(("stale_account", {}))
    compared(rig)
    unheard(rig)
    rig.feed.advance(20)
    again = Rig(("stale_account", {}), started=False)
    again.machine.restore(rig.machine.snapshot())
    again.feed.mono_ns = rig.feed.mono_ns
    unheard(again)
    (verdict,) = again.feed(m.GetGuards())[0].verdicts
    assert verdict.value == D(20)


# ------------------------------------------------------------------------------------------------------- trims


def test_a_trim_that_a_crash_may_have_swallowed_is_asked_for_again_under_its_name():
    dear = instrument_figures(long="0.1", funding_rate=D("0.003"))
    rig = Rig(("funding_cost", {}))
    (first,) = of(m.TrimLeg, rig.told(dear))
    assert not of(m.TrimLeg, rig.told(dear))
    again = restarted(rig)
    again.feed(ARMED)
    assert not of(m.TrimLeg, again.told(dear, reconciled=False)), "the desk would refuse it"
    (second,) = of(m.TrimLeg, again.told(dear))
    assert second == first, "who trims knows it by its episode"
    assert not of(m.TrimLeg, again.told(dear))
    later = msgspec.structs.replace(dear, next_funding_ns=(dear.next_funding_ns or 0) + 1)
    (third,) = of(m.TrimLeg, again.told(later))
    assert third.episode != first.episode


def test_a_settlement_is_not_trimmed_again_when_its_data_was_away_or_the_process_began_anew():
    dear = instrument_figures(long="0.1", funding_rate=D("0.003"))
    calm = instrument_figures(long="0.1", funding_rate=D("0.0001"))
    rig = Rig(("funding_cost", {"max_age_s": D(10)}))
    assert of(m.TrimLeg, rig.told(dear))
    rig.told(calm)
    rig.feed.advance(31)
    rig.told(calm)
    rig.feed.advance(60)  # no mark meanwhile
    assert not of(m.TrimLeg, rig.told(dear)), "after its data was away"
    rig.told(calm)
    rig.feed.advance(31)
    rig.told(calm)
    again = restarted(rig)
    again.feed(ARMED)
    again.feed.advance(60)  # the venue is away at start
    assert not of(m.TrimLeg, [*again.told(dear), *again.told(dear)]), "after a restart"
    later = msgspec.structs.replace(dear, next_funding_ns=(dear.next_funding_ns or 0) + 1)
    assert of(m.TrimLeg, again.told(later)), "the next settlement is another one"

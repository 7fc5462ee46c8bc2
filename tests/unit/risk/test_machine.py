"""The risk machine: confirm, act, clear, cool down, strongest wins, trips and rearm, restart, a guard dropped in."""

import sys
from decimal import Decimal as D  # noqa: N817  # tables of numbers
from pathlib import Path
from typing import Any

import msgspec
import pytest

import hedgegridd.guards
from hedgegridd import messages as m
from hedgegridd.guards import GUARDS, find
from hedgegridd.model import KillState, Leg
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import Setting
from hedgegridd.risk.state import RiskState
from tests.support.envelopes import Feeder, of
from tests.support.guard_bench import BTC, ETH, figures, instrument_figures

ARMED = m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING)


def machine(*guards: tuple[str, dict[str, Any]], names: tuple[str, ...] = (BTC,)) -> RiskMachine:
    made = []
    for name, params in guards:
        table = msgspec.convert({"type": name, **params}, GUARDS[name].table)
        made.append(Setting(GUARDS[name], table))
    return RiskMachine(made, names)


class Rig:
    """A machine whose market moves on with every figure."""

    def __init__(
        self, *guards: tuple[str, dict[str, Any]], names: tuple[str, ...] = (BTC,), started=True
    ) -> None:
        self.machine = machine(*guards, names=names)
        self.feed = Feeder(self.machine)
        self.count = 0
        if started:
            self.feed(ARMED)
            self.told()

    def told(self, *instruments: m.InstrumentFigures, **fields: Any) -> list[m.Message]:
        self.count += 1
        moved = [msgspec.structs.replace(each, market_ns=self.count) for each in instruments]
        return self.feed(figures(*(moved or [instrument_figures(market_ns=self.count)]), **fields))

    def equity(self, usdt: Any, after_s: float = 1) -> list[m.Message]:
        return [*self.feed.advance(after_s), *self.told(equity_usdt=D(usdt))]

    @property
    def holds(self) -> list[tuple[str, str]]:
        return [(hold.key, hold.action) for hold in self.feed(m.GetGuards())[0].holds]

    def level(self, guard: str) -> str:
        answer = self.feed(m.GetGuards())[0]
        return next(each.level for each in answer.verdicts if each.guard == guard)


DRAWDOWN = ("session_drawdown", {"clear_s": D(5)})
PAUSE = ("session_drawdown", {"action": "pause", "confirm": 1, "clear_s": D(5)})


# ---------------------------------------------------------------------------------------------------- baseline


def test_nothing_trades_before_equity_positions_and_marks_are_known():
    rig = Rig(started=False)
    first = rig.feed(ARMED)
    (changed,) = of(m.HoldsChanged, first)
    assert (changed.source, [hold.action for hold in changed.holds]) == ("guards", ["pause"])
    for missing in ({"reconciled": False}, {"equity_usdt": None}):
        rig.told(**missing)
        assert rig.holds == [("guard:baseline", "pause")]
    rig.told(instrument_figures(mark=None))
    assert rig.holds == [("guard:baseline", "pause")]
    out = rig.told()
    assert of(m.BaselineRead, out)
    assert of(m.HoldsChanged, out)[0].holds == ()
    assert not of(m.BaselineRead, rig.told()), "it is told once"


def test_until_then_one_hold_speaks_for_all_guards_and_what_has_its_data_is_judged():
    rig = Rig(DRAWDOWN, ("margin_ratio", {}), ("external", {}), started=False)
    assert of(m.GuardChanged, rig.feed(ARMED)) == []
    rig.feed(m.ExternalSignal(event_id="1", source="s", action="throttle:0.1", reason="r"))
    assert rig.holds == [("guard:baseline", "pause"), ("guard:external", "throttle")]
    (kill,) = of(m.Kill, rig.feed(m.ExternalSignal(event_id="2", source="s", action="flatten", reason="r")))
    assert kill.action == "flatten"


def test_data_that_is_missing_when_all_else_is_known_holds_until_it_comes():
    rig = Rig(DRAWDOWN, ("margin_ratio", {}), started=False)
    rig.told(maint_margin_usdt=None)
    assert rig.holds == [("guard:margin_ratio", "pause")]
    rig.told()
    assert rig.holds == [], "at once: it was no breach that must stay away for a while"


# ---------------------------------------------------------------------------------------------- confirm and clear


def test_a_trip_needs_its_samples_in_a_row():
    rig = Rig(DRAWDOWN)
    for usdt in (9400, 9400, 9600, 9400, 9400):
        assert not of(m.Kill, rig.equity(usdt))
    assert rig.level("session_drawdown") == "WARN", "a breach that is not confirmed"
    (kill,) = of(m.Kill, rig.equity(9400))
    assert (kill.action, kill.guard, kill.instrument, kill.legs) == ("flatten", "session_drawdown", None, ())
    assert "6 %" in kill.reason
    assert not of(m.Kill, rig.equity(9300)), "told once"
    assert rig.level("session_drawdown") == "CRITICAL"


def test_one_print_is_one_sample_however_many_levels_it_crosses():
    rig = Rig(DRAWDOWN)
    rig.feed.advance(1)
    bad = instrument_figures(market_ns=1_000)
    for _ in range(9):  # the mark, the levels that it crossed, the fills that followed
        assert not of(m.Kill, rig.feed(figures(bad, equity_usdt=D(9400))))
    assert not of(m.Kill, rig.feed(figures(instrument_figures(market_ns=1_001), equity_usdt=D(9400))))
    assert of(m.Kill, rig.feed(figures(instrument_figures(market_ns=1_002), equity_usdt=D(9400))))


def test_the_first_print_of_a_process_is_one_sample():
    rig = Rig(("session_drawdown", {"confirm": 2}), started=False)
    assert not of(m.Kill, rig.told(equity_usdt=D(9400))), "though it completes the baseline"
    assert of(m.Kill, rig.told(equity_usdt=D(9400)))


def test_confirm_by_seconds_needs_no_further_event():
    rig = Rig(("session_drawdown", {"confirm": 1, "confirm_s": D(3)}))
    assert not of(m.Kill, rig.equity(9400))
    assert not of(m.Kill, rig.feed.advance(2.9))
    assert of(m.Kill, rig.feed.advance(0.2))


def test_a_hold_clears_by_itself_after_clear_s_of_ok():
    rig = Rig(PAUSE)
    assert of(m.HoldsChanged, rig.equity(9400))
    assert rig.holds == [("guard:session_drawdown", "pause")]
    rig.equity(9990)
    rig.equity(9400, 3)  # it breaches again: the clock begins anew
    rig.equity(9990)
    rig.feed.advance(4.9)
    assert rig.holds
    out = rig.feed.advance(0.2)
    assert of(m.HoldsChanged, out)[0].holds == ()
    (changed,) = of(m.GuardChanged, out)
    assert (changed.verdict.level, changed.previous, changed.did) == ("OK", "BLOCK", "pause ended")


def test_a_hold_lasts_for_its_cool_down():
    rig = Rig(("session_drawdown", {"action": "pause", "confirm": 1, "clear_s": D(0), "cooldown_s": D(60)}))
    rig.equity(9400)
    for _ in range(8):
        rig.equity(9990, 7)
    assert rig.holds
    rig.equity(9990, 5)
    assert rig.holds == []


@pytest.mark.parametrize("action", ["notify", "throttle:0.25", "pause", "halt", "flatten"])
def test_a_verdict_says_what_its_breach_does(action):
    rig = Rig(("session_drawdown", {"action": action, "confirm": 1}))
    (changed,) = of(m.GuardChanged, rig.equity(9000))
    assert changed.verdict.level in ("CRITICAL", "BLOCK")
    assert changed.verdict.action == action


def test_a_hold_for_want_of_data_has_no_breach_to_cool_down_from():
    """Market data that was away for some seconds must not keep entries away for the cool-down of a trip."""
    rig = Rig(("equity_floor", {"clear_s": D(5), "cooldown_s": D(300)}))
    rig.told(equity_usdt=None)
    assert ("guard:equity_floor", "pause") in rig.holds
    rig.equity(10_000)
    rig.equity(10_000, after_s=6)
    assert rig.holds == []


def test_a_throttle_is_told_with_its_factor_and_a_notice_holds_nothing():
    rig = Rig(("session_drawdown", {"action": "throttle:0.25", "confirm": 1}))
    (changed,) = of(m.HoldsChanged, rig.equity(9400))
    assert [(hold.action, hold.factor) for hold in changed.holds] == [("throttle", D("0.25"))]
    rig.equity(9990)
    assert rig.level("session_drawdown") == "WARN", "the breach is over, what it did still clears"
    told = Rig(("session_drawdown", {"action": "notify", "confirm": 1}))
    (changed,) = of(m.HoldsChanged, told.equity(9400))
    assert [hold.action for hold in changed.holds] == ["notify"]


def test_missing_data_holds_when_it_is_too_old_and_trips_nothing():
    rig = Rig(("session_drawdown", {"max_age_s": D(4), "clear_s": D(5), "confirm": 1}))
    rig.told(instrument_figures(long=1))
    out = rig.feed.advance(4.1)
    assert not of(m.Kill, out)
    assert [hold.action for hold in of(m.HoldsChanged, out)[0].holds] == ["pause"]
    rig.told(instrument_figures(long=1))
    assert rig.holds, "not for the moment alone"
    for _ in range(3):
        rig.feed.advance(2)
        rig.told(instrument_figures(long=1))
    assert rig.holds == []


def test_a_mark_that_is_away_does_not_end_the_hold_of_the_whole_account():
    eth = instrument_figures(ETH, long=10, mark=D(3_000))
    rig = Rig(("exposure", {"max_age_s": D(10)}), names=(BTC, ETH), started=False)
    rig.feed(ARMED)
    rig.told(instrument_figures(long="0.45"), eth)
    assert ("guard:exposure", "pause") in rig.holds, "52,500 of 50,000"
    for _ in range(60):  # BTC's marks go on, ETH's stay away
        rig.feed.advance(1)
        rig.told(instrument_figures(long="0.45"))
    assert ("guard:exposure", "pause") in rig.holds


def test_a_verdict_says_what_its_breach_does_for_rearm_goes_by_it():
    rig = Rig(("session_drawdown", {"action": "throttle:0.5", "confirm": 1}))
    (changed,) = of(m.GuardChanged, rig.equity(9400))
    assert (changed.verdict.level, changed.verdict.action) == ("CRITICAL", "throttle:0.5")
    hard = Rig(("session_drawdown", {"confirm": 1}))
    assert of(m.GuardChanged, hard.equity(9400))[0].verdict.action == "flatten"
    hard.feed.advance(5)
    hard.told(equity_usdt=D(10_000))
    assert hard.feed(m.GetGuards())[0].verdicts[0].action == "flatten", "in force, whatever is measured now"


def test_only_guards_whose_input_moved_are_asked():
    rig = Rig(DRAWDOWN, ("external", {}))
    rig.equity(9500, 0)
    rig.equity(9500, 0)
    signal = m.ExternalSignal(event_id="1", source="s", action="pause", reason="r")
    assert not of(m.Kill, rig.feed(signal)), "a third look at the same equity would have tripped"
    assert rig.holds == [("guard:external", "pause")]


def test_a_stronger_action_takes_over_and_a_weaker_one_follows():
    rig = Rig(("liquidation_distance", {"clear_s": D(5), "action": "pause", "confirm": 1}))

    def away(price: int) -> list[m.Message]:
        legs = {Leg.LONG: {"liquidation_price": D(price)}}
        return [*rig.feed.advance(1), *rig.told(instrument_figures(long=1, legs=legs))]

    assert not of(m.HoldsChanged, away(30_000))
    assert of(m.HoldsChanged, away(43_000))
    trips = Rig(("liquidation_distance", {"confirm": 1}))
    rig = trips
    away(43_000)
    assert rig.holds == [(f"guard:liquidation_distance:{BTC}:LONG", "pause")]
    (kill,) = of(m.Kill, away(49_000))
    assert kill.action == "flatten"
    assert rig.holds == [], "the trip has taken its place"


def test_holds_of_all_guards_stand_side_by_side():
    rig = Rig(PAUSE, ("session_loss", {"action": "throttle:0.5", "confirm": 1}))
    rig.told(equity_usdt=D(9000), session_usdt=D(-1000))
    assert rig.holds == [("guard:session_drawdown", "pause"), ("guard:session_loss", "throttle")]


@pytest.mark.parametrize(
    ("scope", "instrument", "legs"),
    [("leg", BTC, (Leg.LONG,)), ("instrument", BTC, ()), ("account", None, ())],
)
def test_scope_widens_what_a_trip_is_about(scope, instrument, legs):
    rig = Rig(("stop_missing", {"scope": scope, "trip_s": D(3)}))
    rig.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    (kill,) = of(m.Kill, rig.feed.advance(3.1))
    assert (kill.instrument, kill.legs, kill.action) == (instrument, legs, "flatten")


# -------------------------------------------------------------------------------------------------------- trims


def test_funding_is_trimmed_once_a_settlement():
    rig = Rig(("funding_cost", {"clear_s": D(0)}))

    def funded(rate: str, settlement: int) -> list[m.TrimLeg]:
        told = instrument_figures(long=1, short="0.2", funding_rate=D(rate), next_funding_ns=settlement)
        return of(m.TrimLeg, rig.told(told))

    (trim,) = funded("0.01", 1)
    assert (trim.instrument, trim.leg, trim.share) == (BTC, Leg.LONG, D("0.3"))
    assert "bps" in trim.reason
    assert funded("0.012", 1) == []
    assert funded("0.0001", 1) == []
    assert funded("0.01", 1) == [], "the same settlement"
    assert len(funded("0.01", 2)) == 1


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


def test_a_trim_of_the_account_is_of_the_largest_leg():
    rig = Rig(("session_drawdown", {"action": "trim:0.5", "confirm": 1}), names=(BTC, ETH))
    legs = (instrument_figures(long="0.1", short="0.2"), instrument_figures(ETH, long=1, mark=D(3000)))
    (trim,) = of(m.TrimLeg, rig.told(*legs, equity_usdt=D(9000)))
    assert (trim.instrument, trim.leg, trim.share) == (BTC, Leg.SHORT, D("0.5"))


def test_a_stop_that_is_missing_is_placed_anew_and_then_the_leg_closed():
    rig = Rig(("stop_missing", {}))
    rig.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    out = rig.feed.advance(29.9)
    tries = of(m.PlaceStop, out)
    assert {(each.instrument, each.leg) for each in tries} == {(BTC, Leg.LONG)}
    assert len(tries) == 6  # at 2 s, then in every stretch of 5 s
    assert not of(m.Kill, out)
    (kill,) = of(m.Kill, rig.feed.advance(0.2))
    assert (kill.action, kill.instrument, kill.legs) == ("flatten", BTC, (Leg.LONG,))
    healed = Rig(("stop_missing", {}))
    healed.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    healed.feed.advance(3)
    healed.told(instrument_figures(long=1))
    assert not of(m.Kill, healed.feed.advance(60))
    healed.told(instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}}))
    assert of(m.PlaceStop, healed.feed.advance(2.1)), "as early the second time"


# ------------------------------------------------------------------------------------------------ trips and rearm


def tripped() -> Rig:
    rig = Rig(DRAWDOWN)
    for _ in range(3):
        rig.equity(9400)
    assert rig.level("session_drawdown") == "CRITICAL"
    rig.feed(m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED, trip_id="T-1"))
    return rig


def test_a_trip_stays_while_it_is_carried_out_even_when_its_breach_is_over():
    rig = tripped()
    rig.equity(9990)
    rig.feed.advance(100)
    assert rig.level("session_drawdown") == "CRITICAL"


def test_a_measure_that_rearm_begins_anew_does_not_keep_rearm_away():
    rig = tripped()
    out = rig.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED, trip_id="T-1"))
    (changed,) = of(m.GuardChanged, out)
    assert (changed.verdict.level, changed.previous) == ("WARN", "CRITICAL")
    assert "rearm begins it anew" in changed.verdict.message
    rig.feed(m.KillStateChanged(state=KillState.REARMING, previous=KillState.HALTED))
    rig.told(equity_usdt=D(9400), session_peak_usdt=D(9400))
    assert rig.level("session_drawdown") == "OK"
    rig.feed(m.KillStateChanged(state=KillState.ARMED, previous=KillState.REARMING))
    out = [rig.told(equity_usdt=D(8800), session_peak_usdt=D(9400)) for _ in range(3)]
    assert [len(of(m.Kill, each)) for each in out] == [0, 0, 1], "it trips again"


def test_a_measure_that_rearm_does_not_begin_anew_stays_critical():
    rig = Rig(("peak_drawdown", {"confirm": 1}))
    rig.equity(7900)
    rig.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED))
    rig.told(equity_usdt=D(7900))
    assert rig.level("peak_drawdown") == "CRITICAL"
    rig.equity(9900)  # money came in
    assert rig.level("peak_drawdown") == "OK"


def test_what_still_breaches_after_a_rearm_trips_again():
    rig = Rig(("peak_drawdown", {"confirm": 2}))
    rig.equity(7900)
    assert of(m.Kill, rig.equity(7900))
    armed = m.KillStateChanged(state=KillState.ARMED, previous=KillState.REARMING)
    assert not of(m.Kill, rig.feed(armed))
    assert of(m.Kill, rig.told(equity_usdt=D(7900)))


def trips_of(*trips: tuple[m.Scope, KillState]) -> m.TripsChanged:
    return m.TripsChanged(
        trips=tuple(
            m.Trip(trip_id="T-9", scope=scope, action="halt", cause="c", state=state)
            for scope, state in trips
        )
    )


def test_an_act_of_the_venue_halts_the_instrument_and_rearm_leaves_it():
    rig = Rig(("venue_action", {}))
    (kill,) = of(m.Kill, rig.feed(m.VenueAction(kind="ADL", instrument=BTC, leg=Leg.LONG, detail="0.1")))
    assert (kill.action, kill.instrument, kill.legs) == ("halt", BTC, ())
    scope = m.Scope(instrument=BTC)
    rig.feed(trips_of((scope, KillState.TRIPPED)))
    rig.feed.advance(5)
    assert rig.level("venue_action") == "CRITICAL"
    rig.feed(trips_of((scope, KillState.HALTED)))
    assert rig.level("venue_action") == "OK", "it is no reason to refuse rearm"
    rig.feed(trips_of())
    assert not of(m.Kill, rig.feed.advance(60))
    assert of(m.Kill, rig.feed(m.VenueAction(kind="ADL", instrument=BTC, leg=Leg.LONG)))


# ------------------------------------------------------------------------------------------------------- restart


def restarted(rig: Rig) -> Rig:
    kept = msgspec.json.decode(msgspec.json.encode(rig.machine.snapshot()), type=RiskState)
    again = Rig(started=False)
    again.machine = RiskMachine(rig.machine._all, (BTC,))
    again.machine.restore(kept)
    again.machine.new_session()
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
    again = restarted(tripped())
    again.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED, trip_id="T-1"))
    for _ in range(5):
        assert not of(m.Kill, again.told(equity_usdt=D(9400)))


LATCHED = m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED, trip_id="T-1")


@pytest.mark.parametrize("word", [ARMED, LATCHED], ids=["armed", "the account is latched"])
def test_a_scoped_trip_that_a_crash_kept_from_the_kill_switch_is_decided_again(word: m.KillStateChanged):
    naked = instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}})
    rig = Rig(("stop_missing", {}))
    rig.told(naked)
    assert of(m.Kill, rig.feed.advance(31)), "the process dies before anybody has heard of it"
    again = restarted(rig)
    again.feed(word)  # and no TripsChanged before it
    again.told(naked)
    (kill,) = of(m.Kill, again.feed.advance(31))
    assert (kill.action, kill.instrument, kill.legs) == ("flatten", BTC, (Leg.LONG,))


def test_a_scoped_trip_that_is_latched_is_not_told_again_after_a_restart():
    naked = instrument_figures(long=1, legs={Leg.LONG: {"stop_resting": False}})
    rig = Rig(("stop_missing", {}))
    rig.told(naked)
    rig.feed.advance(31)
    again = restarted(rig)
    scope = m.Scope(instrument=BTC, leg=Leg.LONG)
    again.feed(m.TripsChanged(trips=(m.Trip(trip_id="T-1", scope=scope, action="flatten", cause="c"),)))
    again.feed(ARMED)
    again.told(naked)
    assert not of(m.Kill, again.feed.advance(90))


def test_a_guard_that_is_not_ok_is_told_anew_after_a_restart_for_rearm_is_kept_away_by_it():
    rig = Rig(("peak_drawdown", {"trip_pct": D(5), "confirm": 1}))
    rig.told(equity_usdt=D(9400))
    again = restarted(rig)
    again.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.HALTED, trip_id="T-1"))
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


def test_the_same_envelopes_give_the_same_messages():
    def run() -> list[m.Message]:
        rig = Rig(*((name, {}) for name in GUARDS))
        for usdt in (9900, 9600, 9400, 9400, 9400, 9990):
            rig.equity(usdt, 7)
        return rig.feed.log

    assert msgspec.json.encode(run()) == msgspec.json.encode(run())


# ----------------------------------------------------------------------------------------------- a guard dropped in

NEW_GUARD = '''"""Equity that is too round."""

from decimal import Decimal

from hedgegridd.core.guard import GuardTable, judge
from hedgegridd.messages import RiskFigures

TYPE = "round_equity"
INPUTS = (RiskFigures,)


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_usdt`: multiples of it are too round."""

    trip_usdt: Decimal = Decimal(1000)
    action: str = "pause"


def check(view, now, params):
    figures = view.figures(now, params.max_age_s)
    value = figures.equity_usdt % params.trip_usdt if figures else None
    return (judge(params, value, reached=value == 0, near=False, warn=None, limit=None, unit="", words=lambda: "round"),)
'''


def test_adding_a_guard_is_adding_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "round_equity.py").write_text(NEW_GUARD)
    monkeypatch.setattr(hedgegridd.guards, "__path__", [*hedgegridd.guards.__path__, str(tmp_path)])
    found = find()
    monkeypatch.delitem(sys.modules, "hedgegridd.guards.round_equity")
    assert set(found) - set(GUARDS) == {"round_equity"}
    from hedgegridd.config_load import load_text
    from hedgegridd.risk.settings import settings

    text = '[[grid]]\n[[guard]]\ntype = "round_equity"\ntrip_usdt = 300\n'
    made = RiskMachine(settings(load_text(text, "g.toml"), found), (BTC,))
    feed = Feeder(made)
    feed(figures(equity_usdt=D(10_001)))
    (changed,) = of(m.HoldsChanged, feed(figures(equity_usdt=D(9_900), session_peak_usdt=D(9_900))))
    assert "guard:round_equity" in [hold.key for hold in changed.holds]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", "it has no TYPE, INPUTS, Table, check"),
        (NEW_GUARD.replace("round_equity", "leverage"), "a guard of type 'leverage' is there already"),
        (NEW_GUARD.replace('"pause"', '"sleep"'), "no sound defaults"),
    ],
)
def test_half_a_guard_does_not_start(text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = f"zz_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(hedgegridd.guards, "__path__", [*hedgegridd.guards.__path__, str(tmp_path)])
    with pytest.raises(ImportError, match=why):
        find()
    monkeypatch.delitem(sys.modules, f"hedgegridd.guards.{name}", raising=False)

"""The desk's commands, answers, latches and pictures."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.core import operator as operator_module
from hedgegridd.core.desk import Desk
from hedgegridd.model import LEGS, KillState, Leg, LegMode, Purpose
from tests.support.desk_rig import EPOCH, config, rig
from tests.support.fake_venue import BTC, MINUTE, SECOND
from tests.unit.core.test_grid import bar, entries, go, why

D = Decimal
MS = 1_000_000
OTHER = "ETHUSDT-PERP.BINANCE"


def gone(venue):
    return [x.cause for x in venue.said if isinstance(x, m.EntriesGone)]


# --------------------------------------------------------------------------------------------------- pause and go on


@pytest.mark.parametrize(
    ("command", "reason"),
    [(m.PauseEntries(reason="news"), "paused: news"), (m.StopTrading(), "trading is stopped")],
)
def test_done_comes_when_the_venue_has_confirmed_that_no_entry_rests(command, reason):
    venue = rig()
    go(venue, 39800)
    venue.faults.delay_ns = 100 * MS
    seq = venue.feed(command)
    assert seq not in venue.answers
    venue.run(venue.mono + SECOND)
    answer = venue.answers[seq]
    assert isinstance(answer, m.Done)
    assert answer.detail["entries_resting"] == 0
    assert not [r for r in venue.resting.values() if r.order.purpose is Purpose.ENTRY]
    assert venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    assert venue.of(Leg.LONG, Purpose.STOP)
    assert why(venue) == (reason,)
    assert len(gone(venue)) == 1


def test_an_entry_that_fills_while_it_is_being_cancelled_is_covered():
    venue = rig()
    venue.faults.delay_ns = 100 * MS
    seq = venue.feed(m.PauseEntries())
    venue.move(D(39800))
    venue.run(venue.mono + 2 * SECOND)
    assert venue.answers[seq].detail["entries_resting"] == 0
    venue.settle()
    assert venue.check().instruments[0].legs[0].qty == D("0.010")


def test_resume_brings_them_back():
    venue = rig()
    venue.ask(m.PauseEntries())
    answer = venue.ask(m.ResumeEntries())
    assert answer.detail == {"old": True, "new": False, "unlatched": []}
    assert len(entries(venue)) == 6


def test_start_answers_when_entries_rest():
    venue = rig()
    venue.ask(m.StopTrading())
    venue.faults.delay_ns = 50 * MS
    seq = venue.feed(m.StartTrading())
    assert seq not in venue.answers
    venue.run(venue.mono + SECOND)
    assert venue.answers[seq].detail == {"trading": True, "entries_resting": 12}


def test_start_says_why_none_can():
    venue = rig()
    venue.ask(m.StopTrading())
    venue.ask(m.PauseEntries(reason="news"))
    assert venue.ask(m.StartTrading()).detail["why_no_entries"] == [f"{BTC}: paused: news"]
    venue.ask(m.ResumeEntries())
    venue.ask(m.StopTrading())
    venue.refuse_next = [(Purpose.ENTRY, -2019)] * 12
    detail = venue.ask(m.StartTrading()).detail
    assert detail["entries_resting"] == 0
    assert len(detail["why_no_entries"]) == 12
    assert "-2019" in detail["why_no_entries"][0]


@pytest.mark.parametrize("command", [m.ResumeEntries(), m.StartTrading()])
def test_nothing_starts_unless_the_kill_switch_is_armed(command):
    venue = rig()
    venue.ask(m.StopTrading())
    venue.ask(m.PauseEntries())
    venue.feed(m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED))
    before = venue.desk.snapshot().grids
    answer = venue.ask(command)
    assert isinstance(answer, m.Refused)
    assert "HALTED" in answer.reason
    after = venue.desk.snapshot().grids
    assert (after[BTC].paused, after[BTC].trading) == (before[BTC].paused, before[BTC].trading)


@pytest.mark.parametrize("command", [m.ResumeEntries(), m.StartTrading()])
def test_nothing_starts_while_the_daemon_stops(command):
    venue = rig()
    venue.tell(m.Stopping(reason="SIGTERM"))
    venue.run(venue.mono + SECOND)
    assert gone(venue) == ["stopping"]
    assert "stopping: SIGTERM" in why(venue)
    assert venue.view().stopping
    assert isinstance(venue.ask(command), m.Refused)


def test_throttle_answers_with_old_and_new():
    venue = rig()
    assert venue.ask(m.SetThrottle(throttle=D("0.5"))).detail["old"] == "1"
    answer = venue.ask(m.SetThrottle(throttle=D(1), instrument=BTC))
    assert (answer.detail["old"], answer.detail["new"]) == ("0.5", "1")


@pytest.mark.parametrize("value", ["-0.1", "1.01", "NaN", "Infinity"])
def test_a_throttle_out_of_range_is_refused_and_changes_nothing(value):
    venue = rig()
    assert isinstance(venue.ask(m.SetThrottle(throttle=D(value))), m.Refused)
    assert venue.view().instruments[0].throttle == 1


@pytest.mark.parametrize(
    "command",
    [
        m.SetThrottle(throttle=D(0), instrument="NOPE"),
        m.PauseEntries(instrument="NOPE"),
        m.ResumeEntries(instrument="NOPE"),
        m.StartTrading(instrument="NOPE"),
        m.StopTrading(instrument="NOPE"),
        m.SetMode(leg=None, mode=LegMode.MANUAL, instrument="NOPE"),
    ],
)
def test_an_instrument_that_is_not_traded_is_refused_by_name(command):
    venue = rig()
    answer = venue.ask(command)
    assert isinstance(answer, m.Refused)
    assert "NOPE" in answer.reason
    assert answer.accepted == (BTC,)


def test_those_who_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(operator_module, "WAITERS_MAX", 2)
    venue = rig(start=False)
    asked = [venue.feed(m.StopTrading()) for _ in range(2)]
    assert not venue.answers.keys() & set(asked)
    paused = venue.feed(m.PauseEntries(reason="now"))
    assert venue.answers[paused].detail == {"verified": False, "entries_resting": 0, "paused": "true"}
    assert venue.desk.snapshot().grids[BTC].paused == "now"
    compare = venue.feed(m.Reconcile(cause="x"))
    assert isinstance(venue.answers[compare], m.Refused)
    venue.start()
    assert all(isinstance(venue.answers[seq], m.Done) for seq in asked)


@pytest.mark.parametrize(
    ("command", "seconds", "detail"),
    [
        (m.PauseEntries(), 10, {"entries_resting": 12, "paused": "true"}),
        (m.StopTrading(), 10, {"entries_resting": 12, "trading": "false"}),
        (m.Reconcile(cause="x"), 30, None),
    ],
)
def test_nobody_waits_longer_than_its_asker(command, seconds, detail):
    venue = rig()
    venue.deaf = (m.CancelOrder, m.ReadTruth)
    seq = venue.feed(command)
    venue.run(venue.mono + seconds * SECOND - 1)
    assert seq not in venue.answers
    venue.run(venue.mono + 1)
    answer = venue.answers[seq]
    if detail is None:
        assert "not confirmed" in answer.reason
    else:
        assert answer.detail == {"verified": False, **detail}
    assert venue.desk.snapshot().waiters == []


def test_a_trip_waits_for_its_entries_as_long_as_it_takes():
    venue = rig()
    venue.deaf = (m.CancelOrder,)
    venue.feed(m.HaltEntries(trip_id="T-7", cause="loss"))
    venue.run(venue.mono + 60 * SECOND)
    assert gone(venue) == []
    venue.deaf = ()
    venue.ask(m.Reconcile(cause="timer"))
    venue.run(venue.mono + SECOND)
    assert gone(venue) == ["T-7"]


# ------------------------------------------------------------------------------------------------------------ modes


def test_tp_only_answers_when_the_legs_entries_are_gone():
    venue = rig()
    answer = venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.TP_ONLY))
    assert answer.detail["entries_resting"] == 0
    assert answer.detail["new"] == "tp_only"
    assert entries(venue) == []
    assert len(entries(venue, Leg.SHORT)) == 6
    assert venue.ask(m.SetMode(leg=None, mode=LegMode.NORMAL)).detail[f"old {BTC} LONG"] == "tp_only"
    assert len(entries(venue)) == 6


def test_panic_asks_for_a_flatten_of_the_leg():
    venue = rig()
    seq = venue.feed(m.SetMode(leg=Leg.SHORT, mode=LegMode.PANIC))
    (flatten,) = [x for x in venue.said if isinstance(x, m.Flatten)]
    assert (flatten.legs, flatten.instrument) == ((Leg.SHORT,), BTC)
    venue.run(venue.mono + SECOND)
    assert entries(venue, Leg.SHORT) == []
    venue.feed(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    assert seq not in venue.answers
    venue.feed(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.SHORT, proof=()))
    answer = venue.answers[seq]
    assert (answer.detail["verified"], answer.detail["residuals"], answer.detail["new"]) == (
        True,
        {},
        "panic",
    )


def test_panic_says_what_is_left_when_the_leg_is_not_flat_in_time():
    venue = rig()
    go(venue, 39800)
    seq = venue.feed(m.SetMode(leg=None, mode=LegMode.PANIC))
    venue.feed(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.SHORT, proof=()))
    venue.run(venue.mono + 10 * SECOND)
    answer = venue.answers[seq]
    assert (answer.detail["verified"], answer.detail["residuals"]) == (False, {f"{BTC}-LONG": "0.010"})


# -------------------------------------------------------------------------------------------------------- halt, latch


def test_a_halt_is_answered_by_entries_gone_with_its_trip():
    venue = rig()
    venue.tell(m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED))
    venue.tell(m.HaltEntries(trip_id="T-7", cause="loss"))
    venue.run(venue.mono + SECOND)
    assert gone(venue) == ["T-7"]
    assert "halted by T-7: loss" in why(venue)
    assert venue.of(Leg.LONG, Purpose.STOP) == [], "nothing to protect, no entry to come"
    venue.tell(m.KillStateChanged(state=KillState.ARMED, previous=KillState.REARMING))
    venue.run(venue.mono + SECOND)
    assert len(entries(venue)) == 6


def test_a_flatten_owns_its_leg_until_it_is_flat_and_entries_wait_for_resume():
    venue = rig()
    go(venue, 39800)
    go(venue, 40200)
    before = len(venue.places)
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    venue.flatten(Leg.LONG)
    go(venue, 39000)
    assert not [x for x in venue.places[before:] if x.leg is Leg.LONG]
    assert "LONG is being flattened by F-1" in why(venue)
    refused = venue.ask(m.ResumeEntries())
    assert isinstance(refused, m.Refused)
    assert "still being flattened" in refused.reason
    venue.tell(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    venue.tell(m.FlattenFinished(flatten_id="F-1", after_s=D(1)))
    bar(venue)
    assert entries(venue) == []
    assert "LONG was flattened by F-1: resume to trade it again" in why(venue)
    assert len(entries(venue, Leg.SHORT)) > 0, "the other leg is untouched"
    answer = venue.ask(m.ResumeEntries())
    assert answer.detail["unlatched"] == [f"{BTC} LONG"]
    assert [x.legs for x in venue.said if isinstance(x, m.LegsUnlatched)] == [(Leg.LONG,)]
    venue.settle()
    assert venue.check().instruments[0].legs[0].qty == 0
    assert entries(venue)


def test_resume_after_a_flatten_brings_entries_back_without_a_bar():
    venue = rig()
    rungs = len(entries(venue, Leg.LONG))
    assert rungs > 0
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    venue.flatten(Leg.LONG)
    venue.tell(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    venue.tell(m.FlattenFinished(flatten_id="F-1", after_s=D(1)))
    venue.settle()
    assert entries(venue, Leg.LONG) == []
    assert isinstance(venue.ask(m.ResumeEntries()), m.Done)
    venue.run(venue.mono + 5 * SECOND)  # past the window in which the same order would be a double
    assert len(entries(venue, Leg.LONG)) == rungs


def test_a_leg_under_flatten_keeps_its_stop_and_gets_nothing_else():
    venue = rig()
    go(venue, 39800)
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    before = len(venue.places)
    for rest in [*venue.of(Leg.LONG, Purpose.STOP), *venue.of(Leg.LONG, Purpose.TAKE_PROFIT)]:
        del venue.resting[rest.order.client_order_id]
        venue._report(rest, "CANCELED")
    venue.run(venue.mono + SECOND)
    assert [(x.purpose, x.close_position) for x in venue.places[before:] if x.leg is Leg.LONG] == [
        (Purpose.STOP, True)
    ]


def test_fills_that_come_after_flat_are_awaited_before_the_leg_is_ours():
    venue = rig()
    go(venue, 39800)
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    venue.flatten(Leg.LONG, tell=False)
    before = len(venue.places)
    venue.feed(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    venue.run(venue.mono + 500 * MS)
    assert not [x for x in venue.places[before:] if x.leg is Leg.LONG], "no exit for inventory that is gone"
    venue.run(venue.mono + 5 * SECOND)
    venue.settle()
    assert venue.check().instruments[0].legs[0].qty == 0


def test_rearm_releases_what_its_trip_latched_and_nothing_else():
    venue = rig()
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1", origin="T-1"))
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.SHORT,), flatten_id="F-2"))
    for leg in LEGS:
        venue.flatten(leg)
        venue.tell(m.LegFlat(flatten_id="F", instrument=BTC, leg=leg, proof=()))
    venue.tell(m.KillStateChanged(state=KillState.ARMED, previous=KillState.REARMING))
    venue.run(venue.mono + SECOND)
    legs = venue.view().instruments[0].legs
    assert [leg.latched for leg in legs] == [False, True]


# --------------------------------------------------------------------------------------------------------- pictures


def test_the_view_comes_at_most_twice_a_second_and_only_when_something_happened():
    venue = rig()
    venue.run(venue.mono + 20 * SECOND)
    start, before = venue.mono, len([x for x in venue.said if isinstance(x, m.DeskView)])
    for _ in range(100):
        venue.tell(venue.mark())
        venue.run(venue.mono + 30 * MS)
    views = len([x for x in venue.said if isinstance(x, m.DeskView)]) - before
    assert 3 <= views <= 2 * (venue.mono - start) / SECOND + 1
    venue.run(venue.mono + SECOND)
    before = len([x for x in venue.said if isinstance(x, m.DeskView)])
    venue.run(venue.mono + 20 * SECOND)
    assert len([x for x in venue.said if isinstance(x, m.DeskView)]) == before


def test_queries_are_answered_at_once_and_change_nothing():
    venue = rig()
    go(venue, 39800)
    venue.run(venue.mono + 5 * SECOND)
    before = venue.desk.snapshot()
    for query in (m.GetStatus(), m.GetPositions(), m.GetLadders(), m.GetOrders()):
        out = venue.desk.handle(
            venue.envelopes[-1].__class__(
                seq=999, time_ns=1, mono_ns=venue.mono, cause=0, actor="t", message=query
            )
        )
        assert [x.to for x in out] == [999]
    assert venue.desk.snapshot() == before


def test_figures_of_a_leg():
    venue = rig()
    go(venue, 39600)
    go(venue, 39500)
    leg = venue.view().instruments[0].legs[0]
    assert (leg.qty, leg.average_entry, leg.inventory_usdt) == (D("0.020"), D(39700), D(790))
    assert leg.unrealized_usdt == D(-4)
    assert leg.fees_usdt < 0
    assert [(x.level, x.take_profit, x.stop) for x in leg.lots] == [
        (1, D(40400), D(38800)),
        (2, D(40200), D(38600)),
    ]
    assert leg.peak_lots == 2
    instrument = venue.view().instruments[0]
    assert (instrument.fills, instrument.maker_fills) == (2, 2)
    assert (instrument.rungs_resting_long, instrument.rungs_resting_short) == (4, 6)


def test_ladders_say_what_became_of_each_rung():
    venue = rig()
    go(venue, 39800)
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0]
    assert [r.state for r in ladder.long_ladder] == ["filled"] + ["resting"] * 5
    assert all(r.client_order_id for r in ladder.short_ladder)
    venue.ask(m.PauseEntries(reason="x"))
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0]
    assert {(r.state, r.reason) for r in ladder.short_ladder} == {("off", "paused: x")}
    venue.ask(m.ResumeEntries())
    venue.deaf = (m.CancelOrder,)
    go(venue, 42000)
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0]
    assert "pending" in {r.state for r in ladder.long_ladder} or "resting" in {
        r.state for r in ladder.long_ladder
    }


def test_entries_of_levels_that_the_ladder_has_no_more_are_shown():
    venue = rig()
    venue.desk._grids[BTC].grid = msgspec.structs.replace(venue.desk._grids[BTC].grid, levels_long=2)
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0]
    assert [r.reason for r in ladder.long_ladder][2:] == ["not of this ladder"] * 4


# ---------------------------------------------------------------------------------------------------- several grids


def test_several_grids_trade_side_by_side():
    btc = config().grid[0]
    eth = msgspec.structs.replace(
        btc,
        instrument="ETHUSDT-PERP",
        base_qty=D("0.1"),
        position=msgspec.structs.replace(btc.position, max_qty=D(5)),
    )
    desk = Desk(msgspec.structs.replace(config(), grid=(btc, eth)), EPOCH)
    venue = rig(start=False)
    venue.desk = desk
    venue.start()
    assert not venue.places, "no truth before the rules of all are known"
    answer = venue.answers[venue.feed(m.GetStatus())]
    assert [x.instrument for x in answer.view.instruments] == [BTC, OTHER]
    seq = venue.feed(m.SetThrottle(throttle=D("0.5"), instrument=OTHER))
    assert venue.answers[seq].detail["instruments"] == {OTHER: "1"}
    seq = venue.feed(m.SetThrottle(throttle=D(1)))
    assert venue.answers[seq].detail["old"] == "mixed"


# ----------------------------------------------------------------------------------------------------- persistence


def test_a_snapshot_is_json_and_a_copy():
    venue = rig()
    go(venue, 39600)
    state = venue.desk.snapshot()
    copy = msgspec.json.decode(msgspec.json.encode(state), type=type(state))
    assert copy == state
    state.grids[BTC].throttle = D(0)
    assert venue.view().instruments[0].throttle == 1


def test_a_new_session_keeps_what_people_set_and_forgets_what_was_seen():
    venue = rig()
    venue.ask(m.SetThrottle(throttle=D("0.5")))
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.TP_ONLY))
    venue.ask(m.PauseEntries(reason="night"))
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.SHORT,), flatten_id="F-1"))
    venue.feed(m.FeedChanged(channel="user", up=False))
    desk = Desk(config(), EPOCH)
    desk.restore(venue.desk.snapshot())
    desk.new_session()
    state = desk.snapshot()
    grid = state.grids[BTC]
    assert (grid.throttle, grid.legs[Leg.LONG].mode, grid.paused) == (D("0.5"), LegMode.TP_ONLY, "night")
    assert grid.legs[Leg.SHORT].latched
    assert not state.reconciled
    assert state.kill is KillState.STARTING
    assert state.feeds_down == {}
    assert state.recent == [], "their times are of another process's clock"
    assert state.waiters == []


def monotonic_times(value, path=""):
    """Every time of the monotonic clock in a state, by its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            if str(key).endswith("_mono"):
                if item:
                    yield f"{path}.{key} = {item}"
            else:
                yield from monotonic_times(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from monotonic_times(item, f"{path}[{number}]")


def test_a_new_session_forgets_every_time_of_the_old_clock():
    """After a reboot the clock begins anew: a back-off kept from before it could last for days."""
    venue = rig()
    go(venue, 39500)
    desk = Desk(config(), EPOCH)
    state = venue.desk.snapshot()
    state.truth.backoff_mono = state.truth.patience_mono = 10**18
    desk.restore(state)
    assert list(monotonic_times(msgspec.to_builtins(desk.snapshot(), str_keys=True)))
    desk.new_session()
    left = list(monotonic_times(msgspec.to_builtins(desk.snapshot(), str_keys=True)))
    assert left == []


def test_a_new_session_does_not_use_ids_that_the_journal_may_have_lost():
    venue = rig()
    before = venue.desk.snapshot()
    venue.settle()
    lost = {order.client_order_id for order in venue.places}
    desk = Desk(config(), EPOCH)
    desk.restore(msgspec.structs.replace(before, next_order=1))  # the tail with all its orders is gone
    desk.new_session()
    assert desk.snapshot().next_order > len(lost) + 1_000


def test_the_kill_switchs_latch_is_remembered():
    venue = rig()
    venue.tell(m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED))
    venue.run(venue.mono + SECOND)
    venue.desk.new_session()
    assert venue.desk.snapshot().kill is KillState.HALTED


def test_messages_that_are_not_for_a_desk_are_a_wiring_mistake():
    venue = rig()
    with pytest.raises(TypeError, match="no row for RungDropped"):
        venue.feed(m.RungDropped(instrument=BTC, leg=Leg.LONG, level=1, reason=""))
    with pytest.raises(TypeError, match="no row for Kill"):
        operator_module.OperatorDesk(venue.desk._ctx, venue.desk._grids).handle(1, m.Kill(reason="x"))


def test_the_view_tells_entries_under_way_and_why_a_leg_has_none():
    venue = rig()
    venue.ask(m.PauseEntries())
    venue.deaf = (m.PlaceOrder,)
    venue.feed(m.ResumeEntries())
    legs = {leg.leg: leg for leg in venue.view().instruments[0].legs}
    assert [(leg.entries_under_way, leg.no_rungs) for leg in legs.values()] == [(6, ()), (6, ())]
    venue = rig(base_qty=D("0.0001"))
    venue.settle()
    view = venue.check().instruments[0]
    assert (view.rungs_resting_long, view.tick, view.step) == (0, D("0.1"), D("0.001"))
    assert all(leg.entries_under_way == 0 and leg.no_rungs for leg in view.legs)


def test_a_restart_within_one_bar_does_not_wait_for_the_next():
    venue = rig()
    state = venue.desk.snapshot()
    desk = Desk(config(), EPOCH)
    desk.restore(state)
    desk.new_session()
    newest = state.grids[BTC].bar_ns
    told = {"instrument": BTC, "open": D(39600), "high": D(39600), "low": D(39600), "close": D(39600)}
    for close_ns in (newest - MINUTE, newest):
        bar = m.BarClosed(**told, volume=D(1), open_ns=close_ns - MINUTE, close_ns=close_ns, warmup=True)
        desk.handle(m.Envelope(seq=1, time_ns=1, mono_ns=77, cause=0, actor="t", message=bar))
        known = desk.snapshot().grids[BTC]
        assert known.bar_mono == (77 if close_ns == newest else None)
    assert known.regime == state.grids[BTC].regime, "and it is not read twice"

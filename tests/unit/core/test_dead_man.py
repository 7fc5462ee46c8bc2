"""The dead-man switch: when it is armed, renewed, withdrawn, disarmed and armed again after it has run out."""

from collections import deque
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, DeadMan, Grid, Venue
from hedgegridd.core import dead_man_plan
from hedgegridd.core.dead_man import DeadMan as Machine
from hedgegridd.model import KillState
from tests.support.envelopes import START_NS, Feeder, of

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
SECOND = 1_000_000_000


def config(*instruments: str, enabled: bool = True) -> Config:
    grids = tuple(Grid(instrument=name) for name in instruments or ("BTCUSDT-PERP",))
    return Config(grid=grids, dead_man=DeadMan(enabled=enabled), venue=Venue())


class Rig(Feeder):
    """Answers every call as told: `countdown` and `sweep` are "done", "failed", "lost" or "silent"."""

    def __init__(self, cfg: Config | None = None) -> None:
        super().__init__(Machine(cfg or config()))
        self.countdown = self.sweep = "done"
        self.desk = True
        self.comparing = True
        self.calls: list[tuple[float, str, int]] = []  # seconds, instrument, ms
        self.sweeps = 0
        self.held = ""
        self.armed: dict[str, bool] = {}
        self.due: deque[m.Message] = deque()

    def __call__(self, message: m.Message) -> list[m.Message]:
        """Feed it, and then what its words bring about, in the order in which they were said."""
        out: list[m.Message] = []
        self.due.append(message)
        if isinstance(message, m.Woke) and self.desk:
            self.due.append(m.DeskAnswered())
        while self.due:
            said = super().__call__(self.due.popleft())
            out += said
            for item in said:
                self._act(item)
        return out

    def _act(self, item: m.Message) -> None:
        match item:
            case m.SetCountdown():
                self.calls.append((self.mono_ns / SECOND, item.instrument, item.countdown_ms))
                self._answer(self.countdown, item.token)
            case m.SweepEntries():
                self.sweeps += 1
                self._answer(self.sweep, item.token)
            case m.HoldsChanged():
                assert item.source == "dead_man"
                self.held = item.holds[0].cause if item.holds else ""
            case m.DeadManChanged():
                self.armed[item.instrument] = item.armed
            case m.Reconcile():
                if self.comparing:
                    self.due.append(self._comparison())

    def _answer(self, how: str, token: str) -> None:
        if how == "done":
            self.due.append(m.VenueDone(token=token))
        elif how != "silent":
            self.due.append(m.VenueFailed(token=token, ambiguous=how == "lost", code=-1, reason="no"))

    def _comparison(self, *, ok: bool = True, age_s: float = 0) -> m.Reconciled:
        asked_ns = START_NS + self.mono_ns + 1 - int(age_s * SECOND)
        return m.Reconciled(ok=ok, cause="test", asked_ns=asked_ns)

    def compare(self, *, ok: bool = True, age_s: float = 0) -> list[m.Message]:
        return self(self._comparison(ok=ok, age_s=age_s))

    def live(self, seconds: float, *, compared: bool = True) -> None:
        """Time passes second by second, books compared as often as in life."""
        for second in range(int(seconds)):
            self.advance(1)
            if compared and second % 30 == 0:
                self.compare()

    def start(self) -> "Rig":
        self(m.VenueUp())
        self.compare()
        self(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
        return self

    def state(self) -> m.DeadManAnswer:
        (answer,) = self(m.GetDeadMan())
        assert isinstance(answer, m.DeadManAnswer)
        return answer


def test_nothing_is_armed_before_the_first_comparison_that_agrees() -> None:
    rig = Rig()
    rig(m.VenueUp())
    rig.live(120, compared=False)
    rig.compare(ok=False)
    assert rig.calls == []
    assert rig.state().state == "waiting"
    rig.compare()
    assert rig.calls == [(rig.mono_ns / SECOND, BTC, 60_000)]
    assert rig.state().state == "armed"
    assert rig.held == ""


def test_it_is_renewed_every_15_s_while_all_is_well() -> None:
    rig = Rig().start()
    first = rig.calls[0][0]
    rig.live(61)
    assert [(round(at - first), ms) for at, _, ms in rig.calls] == [(15 * n, 60_000) for n in range(5)]
    answer = rig.state()
    assert answer.countdowns[0].until_ns == START_NS + int(rig.calls[-1][0] * SECOND) + 60 * SECOND
    assert rig.sweeps == 0


@pytest.mark.parametrize(
    ("symbols", "weight", "countdown_s", "renew_s"),
    [
        (1, 2_400, 60, 15),
        (6, 2_400, 60, 15),
        (7, 2_400, 70, "17.5"),
        (30, 2_400, 300, 75),
        (6, 1_200, 120, 30),
    ],
)
def test_both_are_stretched_to_a_tenth_of_the_weight(symbols, weight, countdown_s, renew_s) -> None:
    found = dead_man_plan.plan(DeadMan(), symbols, weight)
    assert (found.countdown_ns, found.renew_ns) == (
        int(Decimal(countdown_s) * SECOND),
        int(Decimal(renew_s) * SECOND),
    )
    used = Decimal(symbols * 10 * 60 * SECOND) / found.renew_ns
    assert used <= Decimal(weight) / 10


def _no_comparison(rig: Rig) -> None:
    rig.comparing = False
    rig.live(95, compared=False)


def _user_lost(rig: Rig) -> None:
    rig(m.FeedChanged(channel="user", up=False, detail="silent"))
    rig.live(12)


def _rest_lost(rig: Rig) -> None:
    rig(m.FeedChanged(channel="rest", up=False, detail="3 calls failed"))


def _desk_silent(rig: Rig) -> None:
    rig.desk = False
    for _ in range(40):  # no comparison either: it is the desk that tells of them
        rig.advance(1)


def _differs(rig: Rig) -> None:
    for _ in range(4):
        rig.live(30, compared=False)
        rig.compare(ok=False)


def _user_back(rig: Rig) -> None:
    rig(m.FeedChanged(channel="user", up=True))


def _rest_back(rig: Rig) -> None:
    rig(m.FeedChanged(channel="rest", up=True))


def _desk_back(rig: Rig) -> None:
    rig.desk = True
    rig.advance(16)


def _compared(rig: Rig) -> None:
    rig.comparing = True
    rig.compare()


UNWELL = [
    (_no_comparison, _compared, "did not agree"),
    (_differs, _compared, "did not agree"),
    (_user_lost, _user_back, "user stream"),
    (_rest_lost, _rest_back, "does not answer"),
    (_desk_silent, _desk_back, "desk"),
]


@pytest.mark.parametrize(("fall_ill", "recover", "why"), UNWELL, ids=lambda x: getattr(x, "__name__", ""))
def test_unwell_but_alive_entries_go_first_and_exits_keep_no_countdown(fall_ill, recover, why) -> None:
    rig = Rig().start()
    fall_ill(rig)
    assert why in rig.held
    assert rig.sweeps == 1
    assert rig.calls[-1][2] == 0, "disarmed"
    assert rig.armed == {BTC: False}
    swept = [n for n, x in enumerate(rig.log) if isinstance(x, m.SweepEntries)]
    disarms = [n for n, x in enumerate(rig.log) if isinstance(x, m.SetCountdown) and not x.countdown_ms]
    assert swept[0] < disarms[0]
    answer = rig.state()
    assert answer.state == "withdrawn"
    assert why in answer.why[0]
    calls = len(rig.calls)
    rig.advance(10)
    assert len(rig.calls) == calls, "nothing is renewed while unwell"
    recover(rig)
    assert rig.state().state == "armed"
    assert rig.held == ""


def test_a_user_stream_that_is_back_in_time_changes_nothing() -> None:
    rig = Rig().start()
    rig(m.FeedChanged(channel="user", up=False))
    rig.live(8)
    rig(m.FeedChanged(channel="user", up=True))
    rig.live(60)
    assert rig.sweeps == 0


def test_entries_that_cannot_be_cancelled_keep_their_countdown_running() -> None:
    rig = Rig().start()
    rig.sweep = "failed"
    rig(m.FeedChanged(channel="user", up=False))
    rig.live(30)
    assert rig.sweeps > 10, "tried again and again"
    assert all(ms for _, _, ms in rig.calls), "never disarmed"
    assert rig.armed[BTC], "still running at the venue"
    last = rig.calls[-1][0]
    rig.live(60 - (rig.mono_ns / SECOND - last) + 1)
    assert not rig.armed[BTC], "it has run out: the venue has done what we could not"


def test_a_wake_that_comes_late_means_that_we_were_away() -> None:
    rig = Rig().start()
    rig.comparing = False
    rig.mono_ns += 25 * SECOND
    rig(m.Woke(token="dead_man"))
    assert "stood still" in rig.held
    assert of(m.Reconcile, rig.log)[-1].cause.startswith("dead-man switch")
    rig.compare(age_s=5)
    assert rig.held, "it was asked before we were away"
    rig.compare()
    assert rig.held == ""
    assert rig.state().state == "armed"


def test_a_countdown_that_ran_out_is_armed_again_only_after_a_comparison_that_agrees() -> None:
    rig = Rig().start()
    rig.comparing = False
    calls = len(rig.calls)
    rig.mono_ns += 70 * SECOND
    rig(m.FeedChanged(channel="market", up=True))  # whatever comes first
    assert "ran out" in rig.held
    assert not rig.armed[BTC]
    rig.compare(ok=False)
    assert rig.held
    rig.advance(1.5)
    assert len(of(m.Reconcile, rig.log)) == 2, "what differed was taken over: it is asked once more"
    assert [ms for _, _, ms in rig.calls[calls:] if ms] == []
    rig.compare()
    assert rig.held == ""
    assert rig.calls[-1][2] == 60_000


def test_a_venue_that_goes_on_differing_is_compared_with_ever_more_seldom() -> None:
    rig = Rig().start()
    rig.comparing = False
    rig.mono_ns += 25 * SECOND
    rig(m.Woke(token="dead_man"))
    asked = []
    for _ in range(120):
        before = len(of(m.Reconcile, rig.log))
        rig.advance(1)
        if len(of(m.Reconcile, rig.log)) > before or not asked:
            asked.append(rig.mono_ns // SECOND)
            rig.compare(ok=False)
    gaps = [after - at for at, after in pairwise(asked)]
    assert gaps[:4] == [1, 2, 4, 8]
    assert max(gaps) == 30
    rig.compare()
    assert rig.held == ""


def test_a_renewal_that_fails_is_tried_again_and_in_the_last_third_we_withdraw() -> None:
    rig = Rig().start()
    rig.countdown = "failed"
    rig.live(30)
    tries = len(rig.calls)
    assert tries >= 4
    assert rig.held == ""
    rig.live(15)
    assert rig.sweeps == 1
    assert "cannot be renewed" in rig.held
    rig.countdown = "done"
    rig.live(15)
    assert rig.held == ""
    assert rig.state().state == "armed"


def test_a_switch_that_cannot_be_armed_holds_entries_and_says_why() -> None:
    rig = Rig()
    rig.countdown = "failed"
    rig.start()
    assert rig.held == "the dead-man switch: it cannot be armed: no"
    rig.countdown = "done"
    rig.live(3)
    assert rig.held == ""


def test_a_stop_disarms_and_is_answered_when_the_venue_has_confirmed() -> None:
    rig = Rig(config("BTCUSDT-PERP", "ETHUSDT-PERP")).start()
    rig.countdown = "failed"
    rig(m.DisarmDeadMan(reason="stopping"))
    asked = rig.seq
    assert of(m.Done, rig.log) == []
    rig.countdown = "done"
    done = of(m.Done, rig.advance(2))
    assert len(done) == 1
    assert done[0].to < asked
    assert {name for _, name, ms in rig.calls if ms == 0} == {BTC, ETH}
    rig.live(60)
    assert rig.calls[-1][2] == 0, "nothing is armed any more"
    assert rig.held == ""
    assert of(m.Refused, rig(m.DisarmDeadMan(reason="again"))) == []


def test_a_countdown_that_runs_out_before_a_stop_could_disarm_it_is_no_success() -> None:
    rig = Rig().start()
    rig.countdown = "failed"
    rig(m.DisarmDeadMan(reason="stopping"))
    rig.advance(61)
    assert of(m.Done, rig.log) == []
    (refused,) = of(m.Refused, rig.log)
    assert "take-profits included" in refused.reason


def test_a_renewal_that_may_still_arrive_makes_a_disarm_wait_for_it() -> None:
    rig = Rig().start()
    rig.countdown = "lost"
    rig.advance(15)
    lost_at = rig.calls[-1][0]
    rig.countdown = "done"
    rig(m.DisarmDeadMan(reason="stopping"))
    assert rig.calls[-1][2] == 0
    assert of(m.Done, rig.log) == [], "the lost renewal may arm it again"
    rig.advance(8)
    assert len(of(m.Done, rig.log)) == 1
    assert rig.calls[-1][0] - lost_at >= 6  # recvWindow of 5 s and a margin


def test_a_lost_renewal_after_which_it_ran_out_may_still_arm_it_so_a_stop_waits() -> None:
    short = DeadMan(countdown_s=Decimal(6), renew_s=Decimal("2.5"))
    rig = Rig(msgspec.structs.replace(config(), dead_man=short)).start()
    rig.countdown, rig.sweep, rig.comparing = "lost", "failed", False
    rig.advance(6.5)
    assert not rig.armed[BTC]
    lost_at = max(at for at, _, ms in rig.calls if ms)
    rig.countdown = "done"
    rig(m.DisarmDeadMan(reason="stopping"))
    assert of(m.Done, rig.log) == []
    rig.advance(10)
    assert len(of(m.Done, rig.log)) == 1
    assert rig.calls[-1][0] - lost_at >= 6


def test_nothing_of_ours_armed_a_stop_is_done_at_once() -> None:
    rig = Rig(config(enabled=False))
    rig(m.VenueUp())
    rig.compare()
    assert of(m.Done, rig(m.DisarmDeadMan(reason="stopping")))
    assert rig.calls == []
    assert rig.state().state in ("off", "disarmed")


def test_halted_keeps_no_countdown_over_its_exits_and_rearm_arms_it() -> None:
    rig = Rig().start()
    rig(m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED))
    rig.live(20)
    assert all(ms for _, _, ms in rig.calls), "while entries are being removed it runs on"
    rig(m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED))
    assert rig.calls[-1][2] == 0
    assert rig.held == ""
    rig(m.KillStateChanged(state=KillState.REARMING, previous=KillState.HALTED))
    assert rig.calls[-1][2] == 60_000


def test_a_new_process_knows_of_the_countdown_of_the_one_before() -> None:
    first = Rig().start()
    second = Rig()
    second.mono_ns = 5 * SECOND  # the wall goes on with it here, the countdown is 60 s from second 1
    second.machine.restore(first.machine.snapshot())
    second.machine.new_session()
    (line,) = second.state().countdowns
    assert line.until_ns == START_NS + 61 * SECOND
    assert second.state().state == "waiting"
    second.live(57, compared=False)
    assert second.state().countdowns[0].until_ns is None, "it has run out"
    second.start()
    assert second.state().state == "armed"


def test_disabled_with_a_countdown_left_from_before_is_disarmed_once() -> None:
    first = Rig().start()
    second = Rig(config(enabled=False))
    second.machine.restore(first.machine.snapshot())
    second.machine.new_session()
    second(m.VenueUp())
    assert [ms for _, _, ms in second.calls] == [0]
    second.live(60)
    assert len(second.calls) == 1
    assert second.state().state == "off"


def test_a_grid_that_is_switched_off_has_no_countdown_and_loses_the_one_from_before() -> None:
    both = config("BTCUSDT-PERP", "ETHUSDT-PERP")
    first = Rig(both).start()
    assert first.armed == {BTC: True, ETH: True}
    off = msgspec.structs.replace(both, grid=(both.grid[0], Grid(instrument="ETHUSDT-PERP", enabled=False)))
    second = Rig(off)
    second.machine.restore(first.machine.snapshot())
    second.machine.new_session()
    second.start()
    second.live(20)
    assert {(name, ms) for _, name, ms in second.calls} == {(BTC, 60_000), (ETH, 0)}
    assert len([name for _, name, _ in second.calls if name == ETH]) == 1
    assert second.state().state == "armed"


def test_what_it_would_leave_naked_is_told_with_every_change() -> None:
    rig = Rig().start()
    rig(m.DeskAnswered(naked={BTC: ("LONG 0.01: loses take-profits",)}))
    rig.advance(15)
    assert of(m.DeadManChanged, rig.log)[-1].naked == ("LONG 0.01: loses take-profits",)


def test_replaying_the_same_envelopes_gives_the_same_words() -> None:
    rig = Rig()
    seen: list[m.Envelope] = []
    handle = rig.machine.handle
    outputs: list[list[m.Message]] = []

    def recording(env: m.Envelope) -> list[m.Message]:
        out = handle(env)
        seen.append(env)
        outputs.append(out)
        return out

    rig.machine.handle = recording  # type: ignore[method-assign]
    rig.start()
    rig.live(40)
    rig(m.FeedChanged(channel="user", up=False))
    rig.live(20)
    again = Machine(config())
    assert [again.handle(env) for env in seen] == outputs
    assert again.snapshot() == rig.machine.snapshot()

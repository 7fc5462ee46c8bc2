"""The dead-man switch and its interlock against a venue that loses, delays and refuses, with standstills of ours."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.model import KillState
from hedgegridd.venue.interlock import Interlock
from tests.support.envelopes import START_NS, Feeder

IID = "BTCUSDT-PERP.BINANCE"
SECOND = 1_000_000_000
CALL = st.sampled_from(["done", "done", "done", "refused", "processed, answer lost", "late", "never arrived"])
STEP = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 20)),
    st.tuples(st.just("standstill"), st.integers(1, 90)),
    st.tuples(st.just("compare"), st.booleans()),
    st.tuples(st.just("user"), st.booleans()),
    st.tuples(st.just("rest"), st.booleans()),
    st.tuples(st.just("desk"), st.booleans()),
    st.tuples(st.just("entry"), st.none()),
    st.tuples(st.just("kill"), st.sampled_from(list(KillState))),
)


class Venue:
    """One symbol: its countdown, its entries and exits; calls of ours arrive when they do."""

    def __init__(self, calls: list[str]) -> None:
        self.feed = Feeder(DeadMan(Config(grid=(Grid(),))))
        self.interlock = Interlock(
            [IID],
            enabled=True,
            wall_ns=lambda: START_NS + self.feed.mono_ns,
            mono_ns=lambda: self.feed.mono_ns,
        )
        self.calls = calls
        self.until: int | None = None
        self.late: list[tuple[int, int]] = []  # when it arrives, its countdown in ms
        self.entries = self.exits = 0
        self.desk = True
        self.fired = 0
        self.done = False
        self.unprotected = False

    def pass_to(self, at_ns: int) -> None:
        """The venue's own time: strays arrive, the countdown runs out."""
        for moment, ms in sorted(self.late):
            if moment <= at_ns:
                self._fire(moment)
                self.until = moment + ms * 1_000_000 if ms else None
        self.late = [item for item in self.late if item[0] > at_ns]
        self._fire(at_ns)

    def _fire(self, at_ns: int) -> None:
        if self.until is not None and self.until <= at_ns:
            assert not self.done, "after a confirmed stop nothing may strip the exits"
            self.until = None
            self.entries = self.exits = 0
            self.fired += 1

    def say(self, message: m.Message) -> None:
        due = [message]
        while due:
            for item in self.feed(due.pop(0)):
                due += self._act(item)

    def _act(self, item: m.Message) -> list[m.Message]:
        self.pass_to(self.feed.mono_ns)
        match item:
            case m.SetCountdown():
                return [self._countdown(item)]
            case m.SweepEntries():
                self.interlock.close("swept")
                if self._outcome() != "done":
                    return [m.VenueFailed(token=item.token, ambiguous=True, code=0, reason="no")]
                self.entries = 0
                return [m.VenueDone(token=item.token)]
            case m.Done():
                assert self.until is None, "it was answered as disarmed"
                self.done = True
        return []

    def _outcome(self) -> str:
        return self.calls.pop(0) if self.calls else "done"

    def _countdown(self, call: m.SetCountdown) -> m.Message:
        now, ms = self.feed.mono_ns, call.countdown_ms
        until = now + ms * 1_000_000
        ticket = self.interlock.ticket
        if not ms:
            self.interlock.disarmed(IID)
        how = self._outcome()
        if how in ("done", "processed, answer lost"):
            self.until = until if ms else None
        elif how == "late":
            self.late.append((now + 4 * SECOND, ms))  # within recvWindow
        if how == "done":
            if ms:
                self.interlock.armed(IID, START_NS + until, until, ticket)
            return m.VenueDone(token=call.token)
        return m.VenueFailed(token=call.token, ambiguous=how != "refused", code=-1, reason=how)

    def enter(self) -> None:
        """The desk wants an entry out: it leaves only under a countdown that runs."""
        self.pass_to(self.feed.mono_ns)
        if not self.interlock.why(IID):
            assert self.until is not None, "an entry without a dead-man switch"
            assert self.until > self.feed.mono_ns
            self.entries += 1
            self.exits += 1

    def tick(self, *, standing_still: bool, seconds: int) -> None:
        until = self.feed.mono_ns + seconds * SECOND
        while True:
            timers = sorted((at, token) for token, at in self.feed.timers.items())
            if standing_still or not timers or timers[0][0] > until:
                break
            at, token = timers[0]
            del self.feed.timers[token]
            self.feed.mono_ns = max(self.feed.mono_ns, at)
            self.pass_to(self.feed.mono_ns)
            self.say(m.Woke(token=token))
            if self.desk:
                self.say(m.DeskAnswered())
        self.feed.mono_ns = until
        self.pass_to(until)


def _step(venue: Venue, what: str, value: object) -> None:
    match what:
        case "pass" | "standstill":
            venue.tick(standing_still=what == "standstill", seconds=int(str(value)))
        case "compare":
            asked_ns = START_NS + venue.feed.mono_ns
            venue.say(m.Reconciled(ok=bool(value), cause="test", asked_ns=asked_ns))
        case "user" | "rest":
            venue.say(m.FeedChanged(channel=what, up=bool(value)))
        case "desk":
            venue.desk = bool(value)
        case "entry":
            venue.enter()
        case "kill":
            venue.say(m.KillStateChanged(state=KillState(str(value)), previous=KillState.ARMED))


@settings(max_examples=int(os.environ.get("HEDGEGRIDD_EXAMPLES", "150")), deadline=None)
@given(steps=st.lists(STEP, max_size=40), calls=st.lists(CALL, max_size=60), stop=st.booleans())
def test_no_entry_without_its_countdown_and_no_countdown_after_a_confirmed_stop(steps, calls, stop) -> None:
    venue = Venue(calls)
    venue.say(m.VenueUp())
    venue.say(m.Reconciled(ok=True, cause="start", asked_ns=START_NS + venue.feed.mono_ns))
    venue.say(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
    for what, value in steps:
        _step(venue, what, value)
    if stop:
        venue.calls = calls[:5]
        venue.say(m.DisarmDeadMan(reason="stopping"))
        venue.tick(standing_still=False, seconds=300)
        assert venue.until is None
        return
    # Left alone and well it comes back: the countdown runs and entries may leave.
    venue.calls, venue.desk = [], True
    for channel in ("user", "rest"):
        venue.say(m.FeedChanged(channel=channel, up=True))
    venue.say(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
    for _ in range(40):
        venue.tick(standing_still=False, seconds=1)
        venue.say(m.Reconciled(ok=True, cause="test", asked_ns=START_NS + venue.feed.mono_ns))
    assert venue.until is not None
    assert venue.interlock.why(IID) == ""


def test_withdrawn_means_that_no_entry_rests_and_no_countdown_runs() -> None:
    venue = Venue([])
    venue.say(m.VenueUp())
    venue.say(m.Reconciled(ok=True, cause="start", asked_ns=START_NS + venue.feed.mono_ns))
    venue.say(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
    for _ in range(3):
        venue.enter()
    assert (venue.entries, venue.exits) == (3, 3)
    venue.say(m.FeedChanged(channel="user", up=False))
    venue.tick(standing_still=False, seconds=200)
    assert venue.fired == 0
    assert (venue.entries, venue.exits) == (0, 3)
    assert venue.until is None
    assert venue.interlock.why(IID)

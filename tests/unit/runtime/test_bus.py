import asyncio
from collections.abc import Sequence

import pytest

from hedgegridd.errors import (
    ActorDown,
    ActorFault,
    BusError,
    MailboxFull,
    WiringError,
)
from hedgegridd.messages import ALL, Answer, Envelope, Message, WakeAt, Woke
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock, VirtualClock
from hedgegridd.runtime.scheduler import Fault, Probes

from .vocab import VOCABULARY, Bar, Do, Happened, Log, Look, Seen, Tick


def answering(envelope: Envelope) -> Sequence[Message]:
    return [Seen(to=envelope.seq, n=envelope.message.n)]  # type: ignore[attr-defined]


def wired(handler: Log, **kwargs: object) -> tuple[Bus, VirtualClock]:
    clock = VirtualClock(start_wall_ns=1_000, start_mono_ns=10)
    bus = Bus(clock, VOCABULARY, **kwargs)  # type: ignore[arg-type]
    bus.register(
        "one", handler=handler, commands=(Do,), queries=(Look,), events=(Happened, Tick, Bar), journaled=True
    )
    return bus, clock


def test_the_real_vocabulary_is_understood_and_its_missing_handlers_are_named() -> None:
    bus = Bus(VirtualClock(), ALL)
    with pytest.raises(WiringError, match=r"Flatten \(no handler\).*GetStatus \(no handler\)"):
        bus.start()


def test_two_handlers_are_named() -> None:
    bus, _ = wired(Log())
    bus.register("two", handler=Log(), commands=(Do,))
    with pytest.raises(WiringError, match=r"Do \(one and two\)"):
        bus.start()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("one", {}),
        ("", {}),
        ("two", {"commands": (Happened,)}),
        ("two", {"events": (Do,)}),
        ("two", {"queries": (Seen,)}),
    ],
)
def test_wrong_registrations_are_refused(name: str, arguments: dict[str, tuple[type[Message], ...]]) -> None:
    bus, _ = wired(Log())
    with pytest.raises(WiringError):
        bus.register(name, handler=Log(), **arguments)  # type: ignore[arg-type]


def test_a_vocabulary_with_a_foreign_type_is_refused() -> None:
    with pytest.raises(WiringError, match="Message is neither"):
        Bus(VirtualClock(), [Message])


def test_wiring_is_closed_by_start_and_posting_opened() -> None:
    bus, _ = wired(Log())
    for post, message in ((bus.tell, Do()), (bus.publish, Happened())):
        with pytest.raises(WiringError, match="before the bus has started"):
            post(message)
    bus.start()
    with pytest.raises(WiringError, match="started already"):
        bus.start()
    with pytest.raises(WiringError, match="after the bus has started"):
        bus.register("late", handler=Log())


@pytest.mark.parametrize("message", [Happened(), Seen(to=1), WakeAt(at_ns=1, token="t")])
def test_telling_what_is_no_command_is_refused(message: Message) -> None:
    bus, _ = wired(Log())
    bus.start()
    with pytest.raises(WiringError, match="is of kind"):
        bus.tell(message)


def test_publishing_what_is_no_event_is_refused() -> None:
    bus, _ = wired(Log())
    bus.start()
    with pytest.raises(WiringError, match="is of kind command"):
        bus.publish(Do())
    with pytest.raises(WiringError, match="not in the vocabulary"):
        bus.publish(Answer(to=1))


def test_posting_only_enqueues_and_the_envelope_says_when_why_and_who() -> None:
    log = Log()
    bus, clock = wired(log, first_seq=7)
    bus.start()
    clock.advance(5)
    assert bus.tell(Do(n=1), cause=3, actor="me") == 7
    assert log.seen == []
    assert bus.drain() == 1
    assert log.seen == [Envelope(seq=7, time_ns=1_005, mono_ns=15, cause=3, actor="me", message=Do(n=1))]
    assert bus.next_seq == 8


def test_an_event_reaches_every_listener_and_none_is_fine() -> None:
    first, second = Log(), Log()
    bus, _ = wired(first)
    bus.register("two", handler=second, events=(Happened,))
    bus.start()
    bus.publish(Happened(n=1))
    bus.publish(Tick(n=2))
    bus.drain()
    assert first.messages == [Happened(n=1), Tick(n=2)]
    assert second.messages == [Happened(n=1)]


def test_an_event_nobody_listens_to_is_fine() -> None:
    bus = Bus(VirtualClock(), [Happened])
    bus.start()
    assert bus.publish(Happened()) == 1
    assert bus.drain() == 0


def test_outputs_are_routed_with_their_cause() -> None:
    def relay(envelope: Envelope) -> Sequence[Message]:
        return [Happened(n=5), Do(n=6)] if envelope.message == Do(n=1) else ()

    log = Log(relay)
    bus, _ = wired(log)
    bus.start()
    bus.tell(Do(n=1))
    bus.drain()
    assert log.messages == [Do(n=1), Happened(n=5), Do(n=6)]
    assert [(envelope.cause, envelope.actor) for envelope in log.seen[1:]] == [(1, "one"), (1, "one")]


def test_control_overtakes_data_across_actors() -> None:
    order: list[str] = []
    clock = VirtualClock()
    bus = Bus(clock, VOCABULARY)
    bus.register("ticks", handler=lambda _e: order.append("tick") or (), events=(Bar,))
    bus.register("desk", handler=lambda _e: order.append("do") or (), commands=(Do,), queries=(Look,))
    bus.start()
    for n in range(50):
        bus.publish(Bar(n=n))
    bus.tell(Do())
    bus.drain()
    assert order[0] == "do"
    assert order.count("tick") == 50


def test_a_full_mailbox_does_not_starve_another() -> None:
    order: list[str] = []
    bus = Bus(VirtualClock(), VOCABULARY)
    bus.register("busy", handler=lambda _e: order.append("busy") or (), commands=(Do,))
    bus.register("idle", handler=lambda _e: order.append("idle") or (), queries=(Look,))
    bus.start()
    for n in range(1_000):
        bus.tell(Do(n=n))
    bus.tell(Look())
    bus.drain()
    assert order.index("idle") <= 1


def test_market_data_conflates_to_the_latest_of_each_key_in_its_place() -> None:
    log = Log()
    bus, _ = wired(log)
    bus.start()
    for n, instrument in enumerate("ABAB"):
        bus.publish(Tick(instrument=instrument, n=n))
    bus.publish(Bar(n=9))
    bus.drain()
    assert log.messages == [Tick(instrument="A", n=2), Tick(instrument="B", n=3), Bar(n=9)]
    assert bus.stats()["one"] == {"waiting": 0, "conflated": 2, "slow": 0}


def test_overflow_of_control_is_a_fault_of_the_reader_and_told_to_the_poster() -> None:
    faults: list[Fault] = []
    log, other = Log(), Log()
    bus = Bus(VirtualClock(), VOCABULARY)
    bus.register("one", handler=log, commands=(Do,), queries=(Look,), events=(Happened,), control_max=2)
    bus.register("two", handler=other, events=(Happened,))
    bus.on_fault = faults.append
    bus.start()
    bus.tell(Do(n=1))
    bus.tell(Do(n=2))
    with pytest.raises(MailboxFull, match="mailbox one: control lane holds its 2"):
        bus.tell(Do(n=3))
    with pytest.raises(MailboxFull):
        bus.post_ask(Look(), 1.0, lambda _r: None)
    bus.publish(Happened())
    bus.drain()
    assert log.messages == [Do(n=1), Do(n=2)]
    assert other.messages == [Happened()]
    assert [(fault.actor, type(fault.error)) for fault in faults] == [("one", MailboxFull)] * 3
    assert bus.answers()["open"] == 0


def test_overflow_of_data_that_does_not_conflate_is_a_fault() -> None:
    faults: list[Fault] = []
    log = Log()
    bus = Bus(VirtualClock(), [Bar, Tick])
    bus.register("one", handler=log, events=(Bar, Tick), data_max=2)
    bus.on_fault = faults.append
    bus.start()
    for n in range(3):
        bus.publish(Bar(n=n))
    bus.drain()
    assert log.messages == [Bar(n=0), Bar(n=1)]
    assert len(faults) == 1
    for n in range(100):
        bus.publish(Tick(n=n))
    bus.drain()
    assert len(faults) == 1, "conflated data never overflows"
    assert log.messages[2:] == [Tick(n=99)]


def test_a_command_from_a_handler_to_a_full_mailbox_is_the_readers_fault_alone() -> None:
    faults: list[Fault] = []
    bus = Bus(VirtualClock(), VOCABULARY)
    bus.register("sender", handler=Log(lambda _e: [Do(n=n) for n in range(3)]), events=(Happened,))
    bus.register("reader", handler=Log(), commands=(Do,), queries=(Look,), control_max=1)
    bus.on_fault = faults.append
    bus.start()
    bus.publish(Happened())
    bus.drain()
    assert [fault.actor for fault in faults] == ["reader", "reader"]


def test_a_raising_handler_is_a_fault_and_the_others_go_on() -> None:
    def broken(_envelope: Envelope) -> Sequence[Message]:
        raise ZeroDivisionError("bug")

    faults: list[Fault] = []
    replies: list[object] = []
    bus, _ = wired(Log(broken))
    bus.register("two", handler=(other := Log()), events=(Happened,), essential=True)
    bus.on_fault = faults.append
    bus.start()
    bus.post_ask(Do(), 1.0, replies.append)
    bus.publish(Happened())
    bus.drain()
    assert other.messages == [Happened()]
    assert [(fault.actor, fault.essential, repr(fault.error)) for fault in faults] == [
        ("one", False, "ZeroDivisionError('bug')")
    ] * 2
    assert isinstance(replies[0], ActorFault)
    assert isinstance(replies[0].__cause__, ZeroDivisionError)


def test_an_output_outside_the_vocabulary_is_a_fault() -> None:
    bus, _ = wired(Log(lambda _e: [Message()]))
    bus.start()
    bus.tell(Do())
    with pytest.raises(ActorFault, match="not in the vocabulary"):
        bus.drain()


def test_a_fault_without_a_supervisor_is_raised() -> None:
    bus, _ = wired(Log(lambda _e: 1 / 0))  # type: ignore[arg-type,return-value]
    bus.start()
    bus.tell(Do())
    with pytest.raises(ActorFault, match="ZeroDivisionError"):
        bus.drain()


def test_the_recorder_sees_what_a_machine_consumes_before_it_does() -> None:
    order: list[object] = []

    def note(envelope: Envelope) -> Sequence[Message]:
        order.append(envelope.message)
        return [WakeAt(at_ns=20, token="t")] if envelope.message == Do() else ()

    clock = VirtualClock()
    bus = Bus(clock, VOCABULARY, recorder=lambda to, envelope: order.append((to, envelope.message)))
    bus.register(
        "one", handler=note, commands=(Do,), queries=(Look,), events=(Happened, Tick), journaled=True
    )
    bus.register("two", handler=Log(), events=(Happened,))
    bus.start()
    for post, message in (
        (bus.tell, Do()),
        (bus.tell, Look()),
        (bus.publish, Happened()),
        (bus.publish, Tick()),
    ):
        post(message)
    bus.drain()
    clock.advance(50, bus.drain)
    assert order == [
        ("one", Do()),
        Do(),
        Look(),
        ("one", Happened()),
        Happened(),
        Tick(),
        ("one", Woke(token="t")),
        Woke(token="t"),
    ]


def test_a_timer_wakes_its_own_actor_once_and_the_same_token_moves_it() -> None:
    def arm(envelope: Envelope) -> Sequence[Message]:
        message = envelope.message
        return [WakeAt(at_ns=message.n, token="t")] if isinstance(message, Do) else ()

    log = Log(arm)
    bus, clock = wired(log)
    bus.register("two", handler=(other := Log()))
    bus.start()
    bus.tell(Do(n=100))
    bus.tell(Do(n=200))
    bus.drain()
    clock.advance(149, bus.drain)
    assert len(log.seen) == 2
    clock.advance(1_000, bus.drain)
    assert log.seen[2:] == [
        Envelope(seq=3, time_ns=1_190, mono_ns=200, cause=2, actor="one", message=Woke(token="t"))
    ]
    assert other.seen == []


def test_timers_are_dropped_with_their_actor_or_the_bus() -> None:
    log = Log(lambda e: [WakeAt(at_ns=100, token=str(e.seq))] if isinstance(e.message, Do) else ())
    bus, clock = wired(log)
    bus.start()
    bus.tell(Do())
    bus.drain()
    bus.cancel_timers("one")
    bus.tell(Do())
    bus.drain()
    bus.stop()
    assert clock.next_timer_ns() is None


def test_a_wake_up_into_a_full_mailbox_is_a_fault() -> None:
    faults: list[Fault] = []
    bus = Bus(clock := VirtualClock(), VOCABULARY)
    log = Log(lambda _e: [WakeAt(at_ns=5, token="t")])
    bus.register("one", handler=log, commands=(Do,), queries=(Look,), control_max=1)
    bus.on_fault = faults.append
    bus.start()
    bus.tell(Do())
    bus.drain()
    bus.tell(Do())
    clock.advance(10)
    assert [type(fault.error) for fault in faults] == [MailboxFull]


def test_timers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedgegridd.runtime.wakeups.TIMERS_MAX", 2)
    bus, _ = wired(Log(lambda _e: [WakeAt(at_ns=99, token=str(n)) for n in range(3)]))
    bus.start()
    bus.tell(Do())
    with pytest.raises(ActorFault, match="while 2 are pending"):
        bus.drain()


def test_endless_feeding_is_cut() -> None:
    bus, _ = wired(Log(lambda _e: [Do()]))
    bus.start()
    bus.tell(Do())
    with pytest.raises(BusError, match="not empty after 100"):
        bus.drain(100)


def test_a_paused_actor_gets_nothing_until_it_is_resumed() -> None:
    log = Log()
    bus, _ = wired(log)
    bus.start()
    bus.tell(Do(n=1))
    bus.publish(Bar(n=2))
    bus.pause("one")
    bus.pause("one")
    bus.tell(Do(n=3))
    assert bus.drain() == 0
    bus.resume("one")
    bus.resume("one")
    bus.drain()
    assert log.messages == [Do(n=1), Do(n=3), Bar(n=2)]
    bus.pause("one")
    bus.resume("one")
    bus.tell(Do(n=4))
    assert bus.drain() == 1
    with pytest.raises(WiringError, match="no actor 'nobody'"):
        bus.pause("nobody")


def test_a_retired_actor_refuses_and_its_waiting_asks_end() -> None:
    replies: list[object] = []
    log = Log()
    bus, _ = wired(log)
    bus.start()
    bus.post_ask(Look(), 1.0, replies.append)
    bus.publish(Tick())
    assert bus.retire("one") == 2
    assert isinstance(replies[0], ActorDown)
    with pytest.raises(ActorDown, match="one, who handles Do"):
        bus.tell(Do())
    bus.publish(Happened())
    assert bus.drain() == 0
    assert log.seen == []
    assert bus.stats()["one"]["waiting"] == 0, "nothing piles up for somebody who is gone"


class _StepClock(VirtualClock):
    """Every reading takes a millisecond."""

    def mono_ns(self) -> int:
        self.advance(1_000_000)
        return super().mono_ns()


def test_slow_handlers_are_counted_and_queue_waits_sampled() -> None:
    slow: list[tuple[str, str]] = []
    waits: list[float] = []
    probes = Probes(on_wait=waits.append, on_slow=lambda actor, kind, ns: slow.append((actor, kind)))
    bus = Bus(_StepClock(), VOCABULARY, probes=probes, handler_budget_ns=999_999)
    bus.register("one", handler=Log(), commands=(Do,), queries=(Look,))
    bus.start()
    for _ in range(130):
        bus.tell(Do())
    bus.drain()
    assert slow == [("one", "Do")] * 130
    assert len(waits) == 130 // 8, "a slice takes one message on this clock; every eighth tells"
    assert min(waits) > 0
    assert bus.stats()["one"]["slow"] == 130


def test_slow_handlers_are_counted_without_a_hook_too() -> None:
    bus = Bus(_StepClock(), VOCABULARY, handler_budget_ns=50_000)
    bus.register("one", handler=Log(), commands=(Do,), queries=(Look,))
    bus.start()
    bus.tell(Do())
    bus.drain()
    assert bus.stats()["one"]["slow"] == 1


async def test_the_scheduler_yields_to_the_loop_between_slices() -> None:
    bus = Bus(RealClock(), VOCABULARY, slice_ns=1)
    log = Log()
    bus.register("one", handler=log, commands=(Do,), queries=(Look,))
    bus.start(asyncio.get_running_loop())
    for n in range(100):
        bus.tell(Do(n=n))
    handled: list[int] = []
    turns = 0
    while len(log.seen) < 100:
        await asyncio.sleep(0)
        handled.append(len(log.seen))
        turns += 1
        assert turns < 10_000
    assert turns > 10, "a slice of 1 ns must not drain 100 messages at once"


async def test_a_stopped_bus_delivers_nothing() -> None:
    bus = Bus(RealClock(), VOCABULARY)
    log = Log()
    bus.register("one", handler=log, commands=(Do,), queries=(Look,))
    bus.start(asyncio.get_running_loop())
    bus.tell(Do())
    bus.stop()
    for _ in range(5):
        await asyncio.sleep(0)
    assert log.seen == []


async def test_a_fault_in_a_slice_does_not_stop_the_scheduler() -> None:
    loop = asyncio.get_running_loop()
    raised: list[object] = []
    loop.set_exception_handler(lambda _loop, context: raised.append(context["exception"]))
    done = asyncio.Event()

    def handler(envelope: Envelope) -> Sequence[Message]:
        if envelope.message == Do(n=1):
            raise ZeroDivisionError
        done.set()
        return ()

    bus = Bus(RealClock(), VOCABULARY)
    bus.register("one", handler=handler, commands=(Do,), queries=(Look,))
    bus.start(loop)
    bus.tell(Do(n=1))
    bus.tell(Do(n=2))
    await asyncio.wait_for(done.wait(), 5)
    assert [type(error) for error in raised] == [ActorFault]


@pytest.mark.parametrize(("slice_ns", "budget_ns"), [(0, 1), (2, 1)])
def test_a_slice_fits_the_handler_budget(slice_ns: int, budget_ns: int) -> None:
    with pytest.raises(ValueError, match="a slice must be positive"):
        Bus(VirtualClock(), VOCABULARY, slice_ns=slice_ns, handler_budget_ns=budget_ns)


class _SteppingClock(VirtualClock):
    """Its wall clock is set by somebody, as NTP would."""

    step_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.step_ns


def test_a_step_of_the_wall_clock_shows_in_envelopes_within_a_millisecond() -> None:
    clock, log = _SteppingClock(start_wall_ns=1_000), Log()
    bus = Bus(clock, VOCABULARY)
    bus.register("one", handler=log, commands=(Do,), queries=(Look,))
    bus.start()
    bus.tell(Do())
    clock.step_ns = 5 * 10**9
    clock.advance(1_000_000)
    bus.tell(Do())
    bus.drain()
    assert [item.time_ns for item in log.seen] == [1_000, 1_000 + 1_000_000 + 5 * 10**9]

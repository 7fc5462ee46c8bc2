"""Asks: one answer each, a deadline, a bound, and what a cancelled asker leaves behind."""

import asyncio

import pytest
from blockbuster import blockbuster_ctx

from hedgegridd.errors import ActorDown, AskTimeout, HedgegridError, MailboxFull
from hedgegridd.messages import Answer
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock

from .test_bus import answering, wired
from .vocab import VOCABULARY, Do, Log, Look, Seen


def test_an_answer_reaches_its_asker_once_and_extra_ones_are_counted() -> None:
    replies: list[Answer | HedgegridError] = []
    twice = Log(lambda e: [Seen(to=e.seq, n=1), Seen(to=e.seq, n=2)])
    bus, clock = wired(twice)
    bus.start()
    bus.post_ask(Look(), 1.0, replies.append)
    bus.tell(Do())
    bus.drain()
    assert replies == [Seen(to=1, n=1)]
    assert clock.next_timer_ns() is None, "the deadline of an answered ask is dropped"
    assert bus.answers() == {"open": 0, "late": 0, "doubled": 1, "unasked": 2}
    clock.advance(2 * 10**9)
    assert len(replies) == 1


def test_an_ask_ends_at_its_deadline_and_the_late_answer_is_counted() -> None:
    replies: list[Answer | HedgegridError] = []
    bus, clock = wired(Log(answering))
    bus.start()
    bus.post_ask(Look(), 0.5, replies.append)
    clock.advance(500_000_000)
    assert isinstance(replies[0], AskTimeout)
    assert "no answer to Look (envelope 1) within 0.5 s" in str(replies[0])
    bus.drain()
    assert len(replies) == 1
    assert bus.answers()["late"] == 1


def test_an_ask_needs_a_deadline_and_a_stop_ends_it() -> None:
    replies: list[Answer | HedgegridError] = []
    bus, _ = wired(Log(answering))
    bus.start()
    with pytest.raises(ValueError, match="deadline_s"):
        bus.post_ask(Look(), 0, replies.append)
    bus.post_ask(Look(), 1, replies.append)
    bus.stop()
    assert isinstance(replies[0], ActorDown)


def test_open_asks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedgegridd.runtime.asks.PENDING_MAX", 1)
    monkeypatch.setattr("hedgegridd.runtime.asks._FINISHED_MAX", 1)
    replies: list[object] = []
    twice = Log(lambda e: [*answering(e), Seen(to=1, n=0)])
    bus, _ = wired(twice)
    bus.start()
    bus.post_ask(Look(), 1, replies.append)
    with pytest.raises(MailboxFull, match="1 asks are open"):
        bus.post_ask(Look(), 1, replies.append)
    bus.drain()
    bus.post_ask(Look(), 1, replies.append)
    bus.drain()
    assert len(replies) == 2
    # The second answer to ask 1 is a double while ask 1 is remembered, nobody's once it is not.
    assert (bus.answers()["doubled"], bus.answers()["unasked"]) == (1, 1)


async def test_ask_on_the_loop() -> None:
    with blockbuster_ctx():
        bus = Bus(RealClock(), VOCABULARY)
        bus.register("one", handler=answering, commands=(Do,), queries=(Look,))
        bus.start(asyncio.get_running_loop())
        answers = await asyncio.gather(*(bus.ask(Look(n=n), 5.0) for n in range(10)))
        assert [answer.n for answer in answers] == list(range(10))  # type: ignore[attr-defined]
        bus.stop()


async def test_ask_times_out_on_the_loop() -> None:
    bus = Bus(RealClock(), VOCABULARY)
    bus.register("one", handler=Log(), commands=(Do,), queries=(Look,))
    bus.start(asyncio.get_running_loop())
    with pytest.raises(AskTimeout):
        await bus.ask(Look(), 0.01)


async def test_a_cancelled_asker_leaves_nothing_behind() -> None:
    bus = Bus(RealClock(), VOCABULARY)
    log = Log(answering)
    bus.register("one", handler=log, commands=(Do,), queries=(Look,))
    bus.start(asyncio.get_running_loop())
    bus.pause("one")
    task = asyncio.ensure_future(bus.ask(Look(), 5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bus.answers()["open"] == 0
    bus.resume("one")
    bus.drain()
    assert bus.answers()["late"] == 1


async def test_an_answer_in_the_turn_of_the_cancellation_is_dropped() -> None:
    bus = Bus(RealClock(), VOCABULARY)
    bus.register("one", handler=answering, commands=(Do,), queries=(Look,))
    bus.start()
    task = asyncio.ensure_future(bus.ask(Look(), 5.0))
    await asyncio.sleep(0)
    task.cancel()
    bus.drain()
    with pytest.raises(asyncio.CancelledError):
        await task

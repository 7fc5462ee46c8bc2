"""A ping goes through every mailbox, behind what waits there, and no handler sees it."""

import asyncio

import pytest

from hedgegridd.errors import BusError
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock, VirtualClock

from .vocab import VOCABULARY, Do, Happened, Log, Look


def two() -> tuple[Bus, Log, Log]:
    bus = Bus(VirtualClock(), VOCABULARY)
    one, other = Log(), Log()
    bus.register("one", handler=one, commands=(Do,), queries=(Look,), control_max=2)
    bus.register("other", handler=other, events=(Happened,))
    bus.start()
    return bus, one, other


def test_it_waits_behind_what_came_before_it_and_is_answered_once_that_was_handled() -> None:
    bus, one, other = two()
    bus.tell(Do(n=1))
    asked = bus.ping()
    bus.publish(Happened(n=2))
    assert asked.waiting == {"one", "other"}
    bus.drain()
    assert not asked.waiting
    assert (one.messages, other.messages) == ([Do(n=1)], [Happened(n=2)])


def test_a_full_mailbox_takes_it_and_the_next_message_is_handled_as_ever() -> None:
    bus, one, _ = two()
    bus.tell(Do(n=1))
    bus.tell(Do(n=2))
    assert bus.ping().waiting
    bus.drain()
    bus.tell(Do(n=3))
    bus.drain()
    assert one.messages == [Do(n=1), Do(n=2), Do(n=3)]
    again = bus.ping()
    bus.drain()
    assert not again.waiting


def test_after_thousands_of_pings_a_message_takes_the_way_it_took_at_first() -> None:
    bus, one, _ = two()
    for _ in range(3_000):
        assert bus.ping().waiting
        bus.drain()
    bus.tell(Do(n=1))
    bus.drain()
    assert one.messages == [Do(n=1)]


def test_an_actor_that_is_held_up_is_waited_for_and_named() -> None:
    bus, _, _ = two()
    bus.pause("other")
    asked = bus.ping()
    bus.drain()
    assert asked.waiting == {"other"}
    with pytest.raises(BusError, match="still waits at other"):
        bus.ping()
    bus.resume("other")
    bus.drain()
    assert not asked.waiting


def test_one_that_went_out_of_service_is_not_waited_for_nor_asked_again() -> None:
    bus, _, _ = two()
    bus.pause("other")
    asked = bus.ping()
    bus.drain()
    bus.retire("other")
    assert not asked.waiting
    again = bus.ping()
    assert again.waiting == {"one"}
    bus.drain()
    assert not again.waiting


async def test_waiting_for_it_ends_with_the_last_answer_and_says_so() -> None:
    bus = Bus(RealClock(), VOCABULARY)
    bus.register("one", handler=Log(), commands=(Do,), queries=(Look,))
    bus.start(asyncio.get_running_loop())
    assert await bus.ping().within(30)
    bus.pause("one")
    asked = bus.ping()
    assert not await asked.within(0.01)

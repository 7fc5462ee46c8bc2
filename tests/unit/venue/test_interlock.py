"""No entry leaves without a countdown that surely runs: the interlock alone, and in the way of orders."""

import asyncio

import pytest

from hedgegridd import messages as m
from hedgegridd.model import Leg, Purpose
from hedgegridd.venue.interlock import Interlock
from tests.support.order_bench import IID, bench, order

S = 1_000_000_000


class Clocks:
    wall = mono = 0


def interlock(*, enabled: bool = True) -> tuple[Interlock, Clocks]:
    clocks = Clocks()
    made = Interlock([IID], enabled=enabled, wall_ns=lambda: clocks.wall, mono_ns=lambda: clocks.mono)
    return made, clocks


@pytest.mark.parametrize("clock", ["wall", "mono"])
def test_either_clock_closes_it(clock: str) -> None:
    lock, clocks = interlock()
    assert lock.why(IID) == "the dead-man switch is not armed"
    lock.armed(IID, 10 * S, 10 * S, lock.ticket)
    assert lock.why(IID) == ""
    setattr(clocks, clock, 10 * S)
    assert lock.why(IID) == "the dead-man switch has run out"


def test_disabled_it_is_always_open() -> None:
    lock, _ = interlock(enabled=False)
    lock.close("withdrawn")
    assert lock.why(IID) == ""


def test_a_countdown_that_was_asked_for_before_entries_were_withdrawn_does_not_open_it() -> None:
    lock, _ = interlock()
    ticket = lock.ticket
    lock.close("withdrawn")
    lock.armed(IID, 10 * S, 10 * S, ticket)
    assert lock.why(IID) == "withdrawn"
    lock.armed(IID, 10 * S, 10 * S, lock.ticket)
    assert lock.why(IID) == ""
    lock.disarmed(IID)
    assert lock.why(IID)


async def test_whoever_waits_goes_on_when_it_is_armed_and_not_before() -> None:
    lock, _ = interlock()
    waiting = asyncio.create_task(lock.opened(IID, 5))
    await asyncio.sleep(0)
    lock.close("withdrawn")
    lock.armed(IID, 10 * S, 10 * S, lock.ticket - 1)
    await asyncio.sleep(0)
    assert not waiting.done()
    lock.armed(IID, 10 * S, 10 * S, lock.ticket)
    async with asyncio.timeout(1):
        await waiting
    await lock.opened("another", 0.01)
    assert lock.why("another")


async def test_an_entry_waits_for_the_switch_and_an_exit_does_not() -> None:
    async with bench(interlock=True) as b:
        b.orders.place(order("E"), 1)
        b.orders.place(order("T", Purpose.TAKE_PROFIT), 2)
        await b.trading.sent.wait()
        assert b.log == ["T"]
        b.interlock.armed(IID, 10 * S, 10 * S, b.interlock.ticket)
        await b.settle()
        assert b.log[1:] == ["E"]


async def test_an_entry_is_refused_when_the_switch_is_not_armed_in_time_or_has_run_out() -> None:
    async with bench(interlock=True, entry_s=0.02) as b:
        b.orders.place(order("E"), 1)
        await b.settle()
        (refused,) = b.of(m.OrderRefused)
        assert refused.reason == "the dead-man switch is not armed"
        b.interlock.armed(IID, 10 * S, 10 * S, b.interlock.ticket)
        b.now_ns = 20 * S  # we were away
        b.orders.place(order("E2"), 3)
        await b.settle()
        assert b.of(m.OrderRefused)[-1].reason == "the dead-man switch has run out"
        assert b.log == []


async def test_withdrawing_refuses_entries_that_wait_at_once() -> None:
    async with bench(interlock=True) as b:
        b.orders.place(order("E", leg=Leg.SHORT), 1)
        await asyncio.sleep(0)
        b.orders.withdraw("the dead-man switch withdraws the entries")
        (refused,) = b.of(m.OrderRefused)
        assert refused.leg is Leg.SHORT
        b.interlock.armed(IID, 10 * S, 10 * S, b.interlock.ticket)
        await b.settle()
        assert b.log == []

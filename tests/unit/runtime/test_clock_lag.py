import asyncio
import time

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.runtime.clock import RealClock, VirtualClock
from hedgegridd.runtime.lag import LagProbe


def test_the_real_clock_reads_the_machines() -> None:
    clock = RealClock()
    before = time.monotonic_ns()
    assert before <= clock.mono_ns() <= time.monotonic_ns()
    assert abs(clock.wall_ns() - time.time_ns()) < 10**9


async def test_real_timers_run_once_and_can_be_cancelled() -> None:
    clock = RealClock()
    rang: list[str] = []
    done = asyncio.Event()
    clock.call_at(clock.mono_ns() + 1_000_000, lambda: rang.append("never")).cancel()
    clock.call_at(clock.mono_ns() + 2_000_000, lambda: (rang.append("later"), done.set()))
    clock.call_at(clock.mono_ns() - 5, lambda: rang.append("past"))
    await asyncio.wait_for(done.wait(), 5)
    assert rang == ["past", "later"]


def test_the_virtual_clock_stands_until_it_is_advanced() -> None:
    clock = VirtualClock(start_wall_ns=1_000, start_mono_ns=10)
    assert (clock.wall_ns(), clock.mono_ns()) == (1_000, 10)
    clock.advance(5)
    assert (clock.wall_ns(), clock.mono_ns()) == (1_005, 15)
    with pytest.raises(ValueError, match="must not be negative"):
        clock.advance(-1)


def test_a_virtual_timer_may_set_another_within_the_same_jump() -> None:
    clock = VirtualClock()
    rang: list[int] = []
    clock.call_at(
        10, lambda: (rang.append(clock.mono_ns()), clock.call_at(15, lambda: rang.append(clock.mono_ns())))
    )
    clock.call_at(12, lambda: rang.append(-1)).cancel()
    clock.call_at(-3, lambda: rang.append(clock.mono_ns()))
    assert clock.next_timer_ns() == -3
    settled: list[int] = []
    clock.advance(20, lambda: settled.append(clock.mono_ns()))
    assert rang == [0, 10, 15]
    assert settled == rang
    assert clock.next_timer_ns() is None
    assert clock.mono_ns() == 20


@given(st.lists(st.integers(0, 100), max_size=30), st.lists(st.integers(0, 40), max_size=8))
def test_virtual_timers_fire_in_order_of_time_then_of_asking(times: list[int], jumps: list[int]) -> None:
    clock = VirtualClock()
    rang: list[tuple[int, int]] = []
    for order, at_ns in enumerate(times):
        clock.call_at(at_ns, lambda at_ns=at_ns, order=order: rang.append((at_ns, order)))  # type: ignore[misc]
    for jump in jumps:
        clock.advance(jump)
    due = sorted((at_ns, order) for order, at_ns in enumerate(times) if jumps and at_ns <= clock.mono_ns())
    assert rang == due


def test_lag_is_what_a_sleep_overran() -> None:
    clock = VirtualClock()
    seen: list[float] = []
    probe = LagProbe(clock, seen.append)
    clock.advance(300_000_000)
    assert probe.sample(100_000_000) == 0.2
    assert probe.sample(400_000_000) == 0.0
    assert seen == [0.2, 0.0]
    assert (probe.last_s, probe.worst_s, probe.samples) == (0.0, 0.2, 2)
    assert (probe.take_worst(), probe.take_worst()) == (0.2, 0.0)
    with pytest.raises(ValueError, match="interval_s"):
        LagProbe(clock, interval_s=0)


async def test_the_probe_notices_a_blocked_loop() -> None:
    clock = RealClock()
    sampled = anyio.Event()
    seen: list[float] = []

    def observe(lag_s: float) -> None:
        seen.append(lag_s)
        if lag_s >= 0.03:
            sampled.set()

    probe = LagProbe(clock, observe, interval_s=0.005)
    async with anyio.create_task_group() as group:
        group.start_soon(probe.run)
        await anyio.lowlevel.checkpoint()
        end_ns = clock.mono_ns() + 40_000_000
        while clock.mono_ns() < end_ns:
            pass
        with anyio.fail_after(5):
            await sampled.wait()
        group.cancel_scope.cancel()
    assert probe.worst_s >= 0.03

"""Measures the bus against asyncio.Queue and NautilusTrader's MessageBus in one run: `python -m bench.bus`.

One-way: messages per second of CPU (a preempted bench is no slower bus), posted in bursts of 1,000 and
handled, with envelope. Ask: microseconds from
asking to having the answer, idle and behind bursts of 5,000 market messages whose handler takes 12 µs.
Figures are medians of the runs; `loop` is a bare turn of the same loop, asked at the same times: the
machine's own noise, of which the asks are judged net.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar

import uvloop

from bench.noise import RunDelay
from bench.table import Row, p, text, verdict
from hedgegridd.messages import Answer, Command, Envelope, Event, Message
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.scheduler import SLICE_NS

BURST = 1_000
TICKS = 5_000
TICK_COST_NS = 12_000
BURST_NS = TICKS * TICK_COST_NS
ASK_EVERY_NS = 3_000_000


class Note(Event, frozen=True, kw_only=True):
    n: int


class Quote(Event, frozen=True, kw_only=True):
    lane: ClassVar[str] = "data"
    n: int


class Act(Command, frozen=True, kw_only=True):
    n: int


class Acted(Answer, frozen=True, kw_only=True):
    n: int


def burn(_message: object) -> tuple[()]:
    end_ns = time.perf_counter_ns() + TICK_COST_NS
    while time.perf_counter_ns() < end_ns:
        pass
    return ()


# --- one way ----------------------------------------------------------------------------------


def counter() -> tuple[Callable[[object], tuple[()]], Callable[[], Awaitable[None]]]:
    """The handler of all three, as cheap as one can be, and a wait for a burst to have been handled."""
    done = asyncio.Event()
    handled = 0

    def handle(_message: object) -> tuple[()]:
        nonlocal handled
        handled += 1
        if handled == BURST:
            handled = 0
            done.set()
        return ()

    async def burst() -> None:
        await done.wait()
        done.clear()

    return handle, burst


async def one_way_bus(total: int) -> float:
    handle, burst = counter()
    bus = Bus(RealClock(), [Note])
    bus.register("one", handler=handle, events=(Note,))
    bus.start(asyncio.get_running_loop())
    note = Note(n=1)
    began = time.thread_time()
    for _ in range(total // BURST):
        for _ in range(BURST):
            bus.publish(note)
        await burst()
    return total / (time.thread_time() - began)


async def one_way_queue(total: int) -> float:
    handle, burst = counter()
    queue: asyncio.Queue[Envelope] = asyncio.Queue(65_536)

    async def consume() -> None:
        while True:
            handle(await queue.get())

    consumer = asyncio.ensure_future(consume())
    note = Note(n=1)
    began = time.thread_time()
    for _ in range(total // BURST):
        for n in range(BURST):
            queue.put_nowait(
                Envelope(
                    seq=n,
                    time_ns=time.time_ns(),
                    mono_ns=time.monotonic_ns(),
                    cause=0,
                    actor="",
                    message=note,
                )
            )
        await burst()
    took_s = time.thread_time() - began
    consumer.cancel()
    return total / took_s


async def one_way_nautilus(total: int) -> float:
    """It calls the subscriber at once: no envelope, no mailbox, no loop between."""
    from nautilus_trader.common.component import LiveClock, MessageBus  # noqa: PLC0415  # slow to import
    from nautilus_trader.model.identifiers import TraderId  # noqa: PLC0415

    handle, burst = counter()
    nautilus = MessageBus(trader_id=TraderId("BENCH-1"), clock=LiveClock())
    nautilus.subscribe("bench.note", handle)
    note = Note(n=1)
    began = time.thread_time()
    for _ in range(total // BURST):
        for _ in range(BURST):
            nautilus.publish("bench.note", note)
        await burst()
    return total / (time.thread_time() - began)


# --- asks -------------------------------------------------------------------------------------


class BusDesk:
    """An actor on our bus: acts when asked, burns on quotes."""

    def __init__(self) -> None:
        self.bus = Bus(RealClock(), [Act, Acted, Quote])
        self.bus.register("desk", handler=self.handle, commands=(Act,), events=(Quote,), data_max=1 << 20)
        self.bus.start(asyncio.get_running_loop())

    def handle(self, envelope: Envelope) -> Sequence[Message]:
        if isinstance(envelope.message, Act):
            return (Acted(to=envelope.seq, n=1),)
        return burn(envelope)

    async def ask(self) -> None:
        await self.bus.ask(Act(n=1), 10.0)

    def quotes(self) -> None:
        for n in range(TICKS):
            self.bus.publish(Quote(n=n))

    def close(self) -> None:
        self.bus.stop()


class QueueDesk:
    """The same actor on one asyncio.Queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[Message, asyncio.Future[Answer] | None]] = asyncio.Queue(1 << 20)
        self.task = asyncio.ensure_future(self.consume())

    async def consume(self) -> None:
        while True:
            message, waiter = await self.queue.get()
            if waiter is None:
                burn(message)
            elif not waiter.done():
                waiter.set_result(Acted(to=0, n=1))

    async def ask(self) -> None:
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((Act(n=1), waiter))
        async with asyncio.timeout(10.0):
            await waiter

    def quotes(self) -> None:
        for n in range(TICKS):
            self.queue.put_nowait((Quote(n=n), None))

    def close(self) -> None:
        self.task.cancel()


class BareLoop:
    """No actor: one turn of the loop."""

    async def ask(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiter.set_result, None)
        await waiter

    def quotes(self) -> None:
        """Nobody works on quotes here."""

    def close(self) -> None:
        """Nothing to close."""


async def timed(ask: Callable[[], Awaitable[None]], began_ns: int) -> float:
    await ask()
    return (time.perf_counter_ns() - began_ns) / 1e3


async def asks_idle(make: Callable[[], BusDesk | QueueDesk | BareLoop], count: int) -> list[float]:
    """Microseconds of each ask, net of waits for a core."""
    desk, delay = make(), RunDelay(os.getpid())
    for _ in range(200):
        await desk.ask()
    times = []
    for _ in range(count):
        waited = delay.ns()
        took = await timed(desk.ask, time.perf_counter_ns())
        times.append(max(0.0, took - (delay.ns() - waited) / 1e3))
    desk.close()
    delay.close()
    return times


async def asks_behind_bursts(make: Callable[[], BusDesk | QueueDesk | BareLoop], bursts: int) -> list[float]:
    """Ask every 3 ms of a burst. The time counts from when the ask was due, so waiting for the loop counts."""
    desk = make()
    times: list[float] = []
    for _ in range(bursts):
        began_ns = time.perf_counter_ns()
        desk.quotes()
        posted_ns = time.perf_counter_ns()
        tasks = []
        for due_ns in range(posted_ns, began_ns + BURST_NS, ASK_EVERY_NS):
            while time.perf_counter_ns() < due_ns:  # noqa: ASYNC110  # timers of the loop are too coarse
                await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(timed(desk.ask, due_ns)))
        times.extend(await asyncio.gather(*tasks))
    desk.close()
    return times


# --- report -----------------------------------------------------------------------------------


async def medians(runs: int, measure: Callable[[], Awaitable[list[float]]]) -> tuple[float, float]:
    """Median p50 and median p99 of that many runs."""
    found = [await measure() for _ in range(runs)]
    return statistics.median(p(t, 0.5) for t in found), statistics.median(p(t, 0.99) for t in found)


async def rates(runs: int, total: int) -> list[Row]:
    """One way: messages a second of CPU, ours and the peers'."""
    found: dict[str, list[float]] = {"bus": [], "asyncio.Queue": [], "Nautilus publish": []}
    for _ in range(runs):  # interleaved, so that a noisy minute is everybody's
        found["bus"].append(await one_way_bus(total))
        found["asyncio.Queue"].append(await one_way_queue(total))
        found["Nautilus publish"].append(await one_way_nautilus(total))
    rate = {name: statistics.median(values) / 1e6 for name, values in found.items()}
    rows = []
    for peer, factor in (("Nautilus publish", 2.5), ("asyncio.Queue", None)):
        over = rate["bus"] / rate[peer]
        rows.append(
            Row(
                bench="bus",
                what="one way, with envelope, per second of CPU",
                measured=f"{rate['bus']:.2f} M/s",
                peer=f"{peer} {rate[peer]:.2f} M/s",
                ratio=over,
                target="" if factor is None else f"1.5 M/s, {factor} x",
                verdict="" if factor is None else verdict(rate["bus"] >= 1.5 and over >= factor),
            )
        )
    return rows


def ask_row(what: str, found: dict[str, tuple[float, float]], limit_us: float, factor: float) -> Row:
    """A row of asks, judged net of the loop's own p99."""
    loop, ours, theirs = found["loop"], found["bus"], found["asyncio.Queue"]
    net = ours[1] - loop[1]
    # Below one slice the difference of two p99 is noise: the ratio is taken against a slice at least.
    ratio = (theirs[1] - loop[1]) / max(net, SLICE_NS / 1e3) if factor else theirs[1] / ours[1]
    return Row(
        bench="bus",
        what=f"{what} (bare loop p99 {loop[1]:.0f} us)",
        measured=f"p50 {ours[0]:.1f}, p99 {ours[1]:.1f} us",
        peer=f"asyncio.Queue {theirs[0]:.1f}, {theirs[1]:.1f} us",
        ratio=ratio,
        target=f"p99 {limit_us:.0f} us net" + (f", {factor:.0f} x" if factor else ""),
        verdict=verdict(net <= limit_us and ratio >= factor),
    )


async def asks(runs: int) -> list[Row]:
    """Asks, idle and behind bursts."""
    desks: dict[str, Callable[[], BusDesk | QueueDesk | BareLoop]]
    desks = {"loop": BareLoop, "bus": BusDesk, "asyncio.Queue": QueueDesk}
    idle = {name: await medians(runs, partial(asks_idle, make, 5_000)) for name, make in desks.items()}
    bursts = {
        name: await medians(runs, partial(asks_behind_bursts, make, 15)) for name, make in desks.items()
    }
    behind = f"ask behind bursts of {TICKS:,} x {TICK_COST_NS / 1e3:.0f} us"
    return [ask_row("ask, idle", idle, 10, 0), ask_row(behind, bursts, 1_000, 50)]


def rows(runs: int, messages: int = 200_000) -> list[Row]:
    """All rows of the bus."""

    async def both() -> list[Row]:
        return [*await rates(runs, messages), *await asks(runs)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(both())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=200_000)
    arguments = parser.parse_args()
    print(text(rows(arguments.runs, arguments.messages)))


if __name__ == "__main__":
    main()

"""The daemon's side of panic: the kill switch is tripped, and the latch taken in only once that is on disk."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from hedgegridd import messages as m
from hedgegridd.actors.panic import PanicActor, trips
from hedgegridd.errors import JournalFailed
from hedgegridd.journal import panic_latch
from hedgegridd.journal.latch_watch import LatchWatch
from hedgegridd.journal.panic_latch import PanicLatch
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.supervisor import Supervisor

BTC = "BTCUSDT-PERP.BINANCE"
WITHIN_S = 5.0


class Switch(Actor):
    """A kill switch that says what it is told to."""

    name = "kill_switch"
    commands = (m.Kill,)

    def __init__(self) -> None:
        self.killed: list[m.Kill] = []
        self.asked = anyio.Event()

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        assert isinstance(envelope.message, m.Kill)
        self.killed.append(envelope.message)
        self.asked.set()
        return [m.Done(to=envelope.seq, detail={"verified": False})]


class Disk:
    """The journal: broken until it is mended."""

    def __init__(self) -> None:
        self.broken = False
        self.waited = anyio.Event()

    async def durable(self) -> None:
        self.waited.set()
        if self.broken:
            raise JournalFailed("no space")


async def play(folder: Path, disk: Disk, check) -> Switch:
    """Run the actor on a bus with a switch until `check(watch, switch)` returns."""
    clock = RealClock()
    bus = Bus(clock, (m.Kill, m.Done))
    switch, watch = Switch(), LatchWatch(folder, clock.mono_ns)
    supervisor = Supervisor(bus, [switch, PanicActor(watch, folder, (BTC,), disk.durable)])
    bus.start(asyncio.get_running_loop())
    try:
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as group:
                await group.start(lambda *, task_status: supervisor.run(task_status=task_status))
                await check(watch, switch)
                supervisor.request_stop()
    finally:
        bus.stop()
    return switch


async def until(look) -> None:
    while True:
        if look():
            return
        await anyio.sleep(0.005)


async def test_a_latch_trips_the_kill_switch_with_its_cause_and_is_taken_in(tmp_path: Path) -> None:
    panic_latch.write(tmp_path, PanicLatch(by="ann@host", at_ns=1_795_172_611 * 10**9, reason="enough"))

    async def check(watch: LatchWatch, _switch: Switch) -> None:
        await until(lambda: panic_latch.stamp(tmp_path) is None)
        await watch.looked(BTC, WITHIN_S)
        await until(lambda: watch.why(BTC) == "")

    switch = await play(tmp_path, Disk(), check)
    (kill,) = switch.killed
    assert kill.action == "flatten"
    assert kill.reason == "panic by ann@host, 2026-11-20 11:03:31 UTC: enough"
    assert (tmp_path / panic_latch.TAKEN).exists()


async def test_while_the_trip_is_not_on_disk_the_latch_stays_and_holds_entries(tmp_path: Path) -> None:
    panic_latch.write(tmp_path, PanicLatch(by="ann"))
    disk = Disk()
    disk.broken = True

    async def check(watch: LatchWatch, switch: Switch) -> None:
        await switch.asked.wait()
        await disk.waited.wait()
        assert panic_latch.stamp(tmp_path) is not None
        assert watch.why(BTC) == "panic by ann"

    await play(tmp_path, disk, check)
    assert panic_latch.stamp(tmp_path) is not None, "the next start finds it"


async def test_a_second_panic_trips_again(tmp_path: Path) -> None:
    async def check(_watch: LatchWatch, switch: Switch) -> None:
        for number, name in enumerate(("ann", "bob"), start=1):
            panic_latch.write(tmp_path, PanicLatch(by=name))
            await until(lambda number=number: len(switch.killed) == number)
            await until(lambda: panic_latch.stamp(tmp_path) is None)

    switch = await play(tmp_path, Disk(), check)
    assert [kill.reason.split(",")[0] for kill in switch.killed] == ["panic by ann", "panic by bob"]


@pytest.mark.parametrize("latch", [PanicLatch(), PanicLatch(by="ann", reason="")])
def test_what_is_not_known_is_said_so(latch: PanicLatch) -> None:
    (kill,) = trips(latch, (BTC,))
    assert isinstance(kill, m.Kill)
    assert kill.reason == f"panic by {latch.by}, unknown time: no reason given"


@pytest.mark.parametrize(
    ("named", "tripped"), [((), [None]), ((BTC,), [BTC]), (("X", BTC), [BTC]), (("X",), [None])]
)
def test_named_instruments_trip_alone_and_what_is_not_known_here_trips_the_account(
    named: tuple[str, ...], tripped: list[str | None]
) -> None:
    found = trips(PanicLatch(instruments=named), (BTC, "ETHUSDT-PERP.BINANCE"))
    assert [kill.instrument for kill in found if isinstance(kill, m.Kill)] == tripped

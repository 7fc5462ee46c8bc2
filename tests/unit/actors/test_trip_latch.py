"""The file of latched trips follows the kill switch: the newest word, one write at a time, a disk that refuses asked again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from hedgegridd import messages as m
from hedgegridd.actors import trip_latch
from hedgegridd.actors.trip_latch import TripLatchActor
from hedgegridd.journal.trip_latch import TripLatch
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.supervisor import Supervisor

TRIP = m.Trip(trip_id="T-7", scope=m.Scope(), action="flatten", cause="loss")
WITHIN_S = 20.0


class Odd(TripLatch):
    """A file on a disk that refuses so often."""

    def __init__(self, folder: Path, refuse: int = 0) -> None:
        super().__init__(folder)
        self.refuse = refuse
        self.tried: list[tuple[m.Trip, ...]] = []

    def write(self, trips: Sequence[m.Trip]) -> None:
        self.tried.append(tuple(trips))
        if len(self.tried) <= self.refuse:
            raise OSError("input/output error")
        super().write(trips)


@pytest.mark.parametrize("refuse", [0, 2])
async def test_the_file_says_what_is_latched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: int
) -> None:
    monkeypatch.setattr(trip_latch, "AGAIN_S", 0.01)
    latch, latched = Odd(tmp_path, refuse), (TRIP,)
    assert latch.open() == ""
    bus = Bus(RealClock(), (m.TripsChanged, m.KillStateChanged))
    supervisor = Supervisor(bus, [TripLatchActor(latch, lambda: latched)])
    bus.start(asyncio.get_running_loop())
    try:
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as group:
                await group.start(lambda *, task_status: supervisor.run(task_status=task_status))
                for wanted in ((TRIP,), (TRIP,), ()):
                    latched = wanted
                    bus.publish(m.TripsChanged(trips=()))
                    while True:
                        if latch.read() == wanted:
                            break
                        await anyio.sleep(0.01)
                supervisor.request_stop()
    finally:
        bus.stop()
    assert latch.tried == [*[(TRIP,)] * (refuse + 1), ()], "what is there is not written again"
    latch.close()

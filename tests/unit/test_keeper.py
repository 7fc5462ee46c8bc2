"""The keeper: what a failed journal does, and what is written down when it is back."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.archive import Archive
from hedgegridd.config import Config, Grid
from hedgegridd.errors import ActorDown, JournalFailed
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.reader import Walk, verify
from hedgegridd.journal.replay import Replay
from hedgegridd.journal.snapshot import load
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.keeper import Keeper
from hedgegridd.runtime.clock import RealClock
from hedgegridd.state import Machines
from tests.unit.journal.helpers import FailingDisk, envelope

CONFIG = Config(grid=(Grid(),))


class Bus:
    """Nobody but the desk is on it, who may have gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.told: list[m.Message] = []
        self.next_seq = 1
        self._gone = gone

    def publish(self, event: m.Message, cause: int = 0, actor: str = "") -> int:
        if self._gone:
            raise ActorDown("desk is out of service")
        self.told.append(event)
        return 1

    def take_seq(self) -> int:
        self.next_seq += 1
        return self.next_seq - 1


class Kept:
    """A keeper with a real journal on a disk of the test's."""

    def __init__(
        self, tmp_path: Path, disk: FailingDisk | None = None, *, gone: bool = False, queue_max: int = 100
    ) -> None:
        self.folder = StateFolder(tmp_path / "state")
        self.folder.open(wall_ns=10**18)
        self.bus = Bus(gone=gone)
        self.back = asyncio.Event()
        self.journal = Journal(
            self.folder.journal,
            RealClock(),
            hooks=JournalHooks(on_failure=self._failed, on_recovered=self._recovered),
            disk=disk,
            queue_max=queue_max,
            retry_s=0.01,
            hung_s=0.05,
        )
        self.journal.open()
        self.machines = Machines.of(CONFIG, self.folder.epoch)
        self.machines.new_session()
        self.keeper = Keeper(
            CONFIG,
            folder=self.folder,
            journal=self.journal,
            machines=self.machines,
            bus=self.bus,  # type: ignore[arg-type]
            clock=RealClock(),
            archive=Archive(CONFIG, self.folder.path, RealClock.wall_ns),
        )

    def _failed(self, error: Exception) -> None:
        self.keeper.failed(error)

    def _recovered(self, lost: int) -> None:
        self.keeper.recovered(lost)
        self.back.set()

    def append(self, count: int) -> None:
        for n in range(count):
            self.journal.append("desk", envelope(1_000 + n))


def held(bus: Bus) -> list[tuple[str, int]]:
    return [(event.source, len(event.holds)) for event in bus.told if isinstance(event, m.HoldsChanged)]


async def test_a_full_disk_holds_entries_and_lets_them_go_when_there_is_space(tmp_path: Path) -> None:
    disk = FailingDisk(writes=2)
    kept = Kept(tmp_path, disk)
    kept.keeper.begin_session(0)
    await kept.journal.durable(1, 5)
    kept.append(3)
    with pytest.raises(JournalFailed, match="No space left"):
        await kept.journal.durable(4, 5)
    assert held(kept.bus) == [("journal", 1)]
    (hold,) = kept.bus.told[0].holds  # type: ignore[attr-defined]
    assert (hold.action, hold.scope) == ("pause", m.Scope())
    assert "No space left" in hold.cause
    with pytest.raises(JournalFailed):
        await kept.journal.durable(kept.journal.position, 5)
    disk.writes = 1 << 30
    await asyncio.wait_for(kept.back.wait(), 5)
    assert held(kept.bus) == [("journal", 1), ("journal", 0)]
    await kept.journal.durable(4, 5)
    assert kept.keeper.close()
    assert (verify(kept.folder.journal).records, verify(kept.folder.journal).broken) == (4, "")
    kept.folder.close()


async def test_a_hung_disk_is_noticed_and_forgiven(tmp_path: Path) -> None:
    disk = FailingDisk()
    kept = Kept(tmp_path, disk)
    disk.gate.clear()
    kept.append(1)
    waiting = asyncio.ensure_future(kept.journal.durable(1, 5))
    async with asyncio.timeout(5):
        while not kept.bus.told:
            kept.journal.check()
            await asyncio.sleep(0.01)
    with pytest.raises(JournalFailed, match=r"has not answered for 0.05 s"):
        await waiting
    assert held(kept.bus) == [("journal", 1)]
    disk.gate.set()
    await asyncio.wait_for(kept.back.wait(), 5)
    assert held(kept.bus)[-1] == ("journal", 0)
    await kept.journal.durable(1, 5)
    assert kept.keeper.close()
    kept.folder.close()


async def test_records_that_were_lost_are_told_with_the_state_and_the_rest_still_replays(
    tmp_path: Path,
) -> None:
    disk = FailingDisk()
    kept = Kept(tmp_path, disk, queue_max=5)
    kept.keeper.begin_session(0)
    await kept.journal.durable(1, 5)
    disk.gate.clear()
    kept.append(9)
    assert kept.journal.lost > 0
    with pytest.raises(JournalFailed):
        await kept.journal.durable(kept.journal.position, 5)
    disk.gate.set()
    await asyncio.wait_for(kept.back.wait(), 5)
    await kept.journal.durable(kept.journal.position, 5)
    assert kept.keeper.close()
    state = [r for r in Walk(kept.folder.journal) if r.to == "state"]
    (lost,) = [msgspec.json.decode(r.message, type=m.StateKept).lost for r in state]
    assert lost == 4
    assert verify(kept.folder.journal).records == 1 + 5 + 1
    kept.folder.close()


async def test_a_session_and_a_kept_state_replay(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keeper.begin_session(0)
    assert await kept.keeper.keep_state() == 2
    snapshot = load(kept.folder.snapshots)
    assert snapshot is not None
    assert snapshot.position == 2
    assert kept.keeper.close()
    found = Replay().run(Walk(kept.folder.journal))
    assert (found.equal, found.states_compared, found.sessions) == (True, 1, 1)
    kept.folder.close()


def test_a_journal_that_fails_after_the_desk_has_gone_breaks_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, gone=True)
    kept.keeper.failed(OSError("no space left"))
    kept.keeper.close()
    kept.folder.close()

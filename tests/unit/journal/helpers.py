"""Records, folders and disks that fail, for the journal's tests."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from hedgegridd.journal.disk import RealDisk
from hedgegridd.journal.reader import Walk
from hedgegridd.journal.record import Record
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.messages import Envelope, Rearm
from hedgegridd.runtime.clock import VirtualClock


def envelope(seq: int, reason: str = "because") -> Envelope:
    return Envelope(
        seq=seq, time_ns=seq * 10, mono_ns=seq, cause=seq - 1, actor="ops", message=Rearm(reason=reason)
    )


def journal(folder: Path, **kwargs: object) -> Journal:
    return Journal(folder, VirtualClock(start_wall_ns=5), **kwargs)  # type: ignore[arg-type]


def written(folder: Path, count: int, **kwargs: object) -> Journal:
    """A closed journal with that many records more than before."""
    book = journal(folder, **kwargs)
    book.open()
    for n in range(book.position + 1, book.position + 1 + count):
        assert book.append("desk", envelope(n)) == n
    assert book.close()
    return book


def records(folder: Path, from_position: int = 1) -> list[Record]:
    return list(Walk(folder, from_position))


class HastyDisk(RealDisk):
    """Promises durability without waiting for it: for tests that open a journal hundreds of times."""

    def open_append(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def sync_folder(self, folder: Path) -> None:
        pass


class FailingDisk(RealDisk):
    """Full from the n-th write on; or hanging in a write until released."""

    def __init__(self, *, writes: int = 1 << 30) -> None:
        self.writes = writes
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()  # a write has begun while the gate was shut
        self.synced = 0
        self.folders_synced = 0
        self.hang_after: int | None = None

    def write(self, descriptor: int, data: bytes) -> None:
        self.writes -= 1
        if self.writes < 0:
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        if not self.gate.is_set():
            self.writing.set()
        assert self.gate.wait(10)
        super().write(descriptor, data)
        self.synced += 1
        if self.synced == self.hang_after:
            self.gate.clear()

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.folders_synced += 1


def hooks(on_failure: Callable[[Exception], None]) -> JournalHooks:
    return JournalHooks(on_failure=on_failure)

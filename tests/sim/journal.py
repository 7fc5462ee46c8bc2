"""The journal in memory: the real record format and chain, group commits that take their time, a disk that may fail."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from hedgegridd import messages as m
from hedgegridd.errors import DurableTimeout, JournalFailed
from hedgegridd.journal.record import GENESIS, Record, check_line, decode_record, encode_record
from tests.sim.loop import SECOND, Time

GOES_ON = "goes on after a restart"  # the flatten itself is on disk since before it


class Saved(msgspec.Struct, frozen=True):
    """A snapshot on disk."""

    state: bytes
    position: int
    next_seq: int


class Disk:
    """What outlives a process: lines that were written, snapshots, and how slow or broken the disk is."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.hashes: list[str] = []
        self.snapshot: Saved | None = None
        self.commit_ns = 300_000
        self.broken = False

    @property
    def last_hash(self) -> str:
        return self.hashes[-1] if self.hashes else GENESIS

    def cut(self, position: int) -> None:
        """Lose every record after `position`: a torn tail."""
        del self.lines[position:]
        del self.hashes[position:]

    def records(self, after: int) -> list[Record]:
        """Records after a position, as read back."""
        return [decode_record(line[:-1]) for line in self.lines[after:]]

    def check(self, after: int) -> None:
        """Check the chain from a position on, as a start does."""
        previous = self.hashes[after - 1] if after else GENESIS
        for line in self.lines[after:]:
            previous = check_line(line[:-1], previous)


class MemoryJournal:
    """One process's journal; `append` as the bus's recorder, `durable` as the gateway's gate."""

    def __init__(self, disk: Disk, time: Time, loop: asyncio.AbstractEventLoop, on_failure: Callable) -> None:
        self._disk = disk
        self._time = time
        self._loop = loop
        self._on_failure = on_failure
        self._committing = False
        self._waiters: list[tuple[int, asyncio.Future]] = []
        self.failed = False
        self._appended: deque[tuple[int, int]] = deque()  # what is not durable yet, and since when
        self.position = self.durable_position = len(disk.lines)
        self.last_seq = 0
        self.fuse: Callable[[m.Message], None] | None = None  # called at every record, may kill
        self.order_positions: dict[str, tuple[int, int]] = {}  # intents: client order id -> position, when
        self.action_positions: dict[str, tuple[int, int]] = {}  # flattens and kills, by id

    def append(self, to: str, envelope: m.Envelope) -> int:
        """One record; the commit that takes it to the disk ends later."""
        disk = self._disk
        line, digest = encode_record(self.position + 1, to, envelope, disk.last_hash)
        disk.lines.append(line)
        disk.hashes.append(digest)
        self.position += 1
        self._appended.append((self.position, self._time.now))
        self.last_seq = max(self.last_seq, envelope.seq)
        message = envelope.message
        if isinstance(message, m.PlaceOrder):
            self.order_positions[message.client_order_id] = (self.position, self._time.now)
        elif isinstance(message, m.Flatten) and not message.reason.endswith(GOES_ON):
            self.action_positions[f"F-{envelope.seq}"] = (self.position, self._time.now)
        if not self._committing and not self.failed:
            self._committing = True
            self._time.after(disk.commit_ns, self._commit, self.position)
        if self.fuse is not None:
            self.fuse(message)
        return self.position

    def _commit(self, position: int) -> None:
        if self._loop.is_closed():
            return
        self._committing = False
        if self._disk.broken:
            self._fail()
            return
        # A group: what was appended while the disk was busy goes with the next one.
        self.durable_position = position
        while self._appended and self._appended[0][0] <= position:
            self._appended.popleft()
        left = []
        for wanted, future in self._waiters:
            if wanted <= position:
                if not future.done():
                    future.set_result(None)
            else:
                left.append((wanted, future))
        self._waiters = left
        if self.position > position:
            self._committing = True
            self._time.after(self._disk.commit_ns, self._commit, self.position)

    def behind_ns(self) -> int:
        """How long the oldest record has waited for the disk."""
        return self._time.now - self._appended[0][1] if self._appended else 0

    def _fail(self) -> None:
        self.failed = True
        waiters, self._waiters = self._waiters, []
        for _, future in waiters:
            if not future.done():
                future.set_exception(JournalFailed("no space left on device"))
        self._on_failure(OSError("no space left on device"))

    async def durable(self, timeout_s: float) -> None:
        """Return when everything appended so far is on disk. Raises JournalError."""
        position = self.position
        if position <= self.durable_position:
            return
        if self.failed:
            raise JournalFailed("no space left on device")
        future = self._loop.create_future()
        self._waiters.append((position, future))
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            raise DurableTimeout(f"position {position} is not on disk after {timeout_s} s") from None


HUNG_NS = 3 * SECOND

"""Appends records from the loop and makes them durable in a thread that commits whatever has gathered.

| state    | append                                | durable                                    |
| -------- | ------------------------------------- | ------------------------------------------ |
| `open`   | queued, gets the next position        | returns after the synced write that covers it |
| `failed` | queued up to the bound, then counted as lost | `JournalFailed` at once, unless covered |
| `closed` | `JournalError`                        | `JournalFailed`, unless covered            |

`failed` is entered when the disk refuses, does not answer or does not keep up: the daemon refuses entries meanwhile,
exits and flatten go on. The writer tries again every second; when the disk has taken what waits, the journal is `open`
again by itself. Records that were lost (more than the bound waited) have no position: who keeps the state must then
write it down before anything else (`on_recovered`).
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from hedgegridd.errors import DurableTimeout, JournalError, JournalFailed
from hedgegridd.journal.disk import Disk, RealDisk
from hedgegridd.journal.reader import segment_path
from hedgegridd.journal.record import SCHEMA, Header, encode_header, encode_record
from hedgegridd.journal.repair import Opened, prepare
from hedgegridd.messages import Envelope, Message
from hedgegridd.runtime.clock import Clock

QUEUE_MAX = 100_000
WAITERS_MAX = 10_000
HUNG_S = 1.0  # a write that takes longer: the disk does not answer
RETRY_S = 1.0
_BATCH_MAX = 4_096

_Item = tuple[int, str, Envelope, Sequence[Message]]


class JournalState(StrEnum):
    """Whether what is appended gets durable."""

    OPEN = "open"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class JournalHooks:
    """Where the journal tells of itself; none may raise.

    `on_failure(error)` and `on_recovered(lost)` run in the loop, once at each change. `on_commit(records, seconds)`
    runs in the writer's thread after every commit (a write that is synced).
    """

    on_failure: Callable[[Exception], None] = lambda _error: None
    on_recovered: Callable[[int], None] = lambda _lost: None
    on_commit: Callable[[int, float], None] = lambda _records, _seconds: None


class Journal:
    """The journal of one state folder, written by one process (see `folder.StateFolder`).

    Args:
        folder: holds the segments; made when missing.
        clock: stamps segments and measures commits.
        hooks: told of failures and commits.
        segment_bytes: a segment that has reached this size is closed and a new one begun.
        queue_max: records that may wait for the disk; one more is a failure.
        disk: the operating system's, or one that fails on purpose.
        retry_s: between two tries of a disk that refuses.
        hung_s: a write that takes longer is a failure, until it is done.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        hooks: JournalHooks | None = None,
        segment_bytes: int = 64 << 20,
        queue_max: int = QUEUE_MAX,
        disk: Disk | None = None,
        retry_s: float = RETRY_S,
        hung_s: float = HUNG_S,
    ) -> None:
        """Nothing is touched before `open`."""
        if segment_bytes < 1 or queue_max < 1:
            raise ValueError(
                f"segment_bytes and queue_max must be positive, got {segment_bytes}, {queue_max}"
            )
        self._folder = folder
        self._clock = clock
        self._hooks = hooks or JournalHooks()
        self._segment_bytes = segment_bytes
        self._queue_max = queue_max
        self._disk = disk or RealDisk()
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._state = JournalState.CLOSED
        self._error: Exception | None = None
        self._position = 0
        self._durable = 0
        self._hash = ""
        self._descriptor = -1
        self._size = 0
        self._first_position = 1
        self._retry_s = retry_s
        self._hung_ns = int(hung_s * 1e9)
        self._after: Sequence[Message] = ()  # what was returned on the last record
        self._dropped = 0  # records that found no room while the disk was away
        self._broken = False  # the writer has ended for good
        self._closing = threading.Event()
        # Written by the writer's thread, read by the loop's:
        self._busy_ns = 0  # since when it has been writing, 0: it is not
        self._refusing = False
        self._torn = False  # a write was begun and not finished: bytes may stand beyond `_size`

    # --- in the loop's thread -----------------------------------------------------------------

    def open(self, *, accept_broken: bool = False, known: int = 0) -> Opened:
        """Repair, check, begin to write; blocks, so call it before the loop has work.

        `known` is the position of the snapshot that the state begins with: what comes after is checked.
        After accepted damage a new segment is begun.

        Raises:
            JournalBroken: see `repair.prepare`.
            OSError: the folder cannot be written.
            JournalError: it is open already.
        """
        if self._thread is not None:
            raise JournalError("the journal is open already")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = prepare(self._folder, accept_broken=accept_broken, known=known)
        self._position = self._durable = found.last_position
        self._hash = found.last_hash
        self._after, self._dropped, self._broken = (), 0, False
        self._refusing = self._torn = False
        self._closing.clear()
        if found.newest is None or found.broken or not found.appendable:
            self._begin_segment(accepts_break=bool(found.broken))
        else:
            self._descriptor = self._disk.open_append(found.newest.path)
            self._size = found.newest.path.stat().st_size
            self._first_position = found.newest.first_position
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None  # told by the first `durable`, or offline use without any
        self._state = JournalState.OPEN
        self._thread = threading.Thread(target=self._write_forever, name="journal", daemon=True)
        self._thread.start()
        return found

    @property
    def state(self) -> JournalState:
        """Whether what is appended gets durable."""
        return self._state

    @property
    def error(self) -> Exception | None:
        """Why the journal failed, None while it has not."""
        return self._error

    @property
    def position(self) -> int:
        """Position of the last record appended; durable or not."""
        return self._position

    @property
    def durable_position(self) -> int:
        """Every record up to here is on disk."""
        return self._durable

    @property
    def lost(self) -> int:
        """Records appended that are not on disk although the journal has failed; some may get there when it is back."""
        waiting = self._position - self._durable if self._state is JournalState.FAILED else 0
        return waiting + self._dropped

    def append(self, to: str, envelope: Envelope) -> int:
        """Queue one record; its position (of the last one that found room, when this one is lost).

        Raises:
            JournalError: the journal is not open.
        """
        if self._state is JournalState.CLOSED:
            raise JournalError("the journal is not open")
        after, self._after = self._after, ()
        if self._dropped:  # what follows a gap waits until the state has been written down
            self._dropped += 1
        elif self._position - self._durable < self._queue_max:
            self._position += 1
            self._queue.put((self._position, to, envelope, after))
        else:
            self._dropped = 1
            self._fail(JournalFailed(f"the disk does not keep up: {self._queue_max} records wait"))
        return self._position

    def returned(self, outputs: Sequence[Message]) -> None:
        """What was returned on the record appended last: its digest stands in the next record."""
        self._after = outputs

    def check(self) -> None:
        """Notice a disk that does not answer; to be called a few times a second."""
        since_ns = self._busy_ns
        if since_ns and self._clock.mono_ns() - since_ns > self._hung_ns:
            self._fail(JournalFailed(f"the disk has not answered for {self._hung_ns / 1e9:g} s"))

    async def durable(self, position: int, timeout_s: float) -> None:
        """Return when the record at `position` and all before it are on disk.

        Raises:
            DurableTimeout: not within `timeout_s`; it may still get there.
            JournalFailed: it will not get there.
            JournalError: too many wait.
            ValueError: nothing has been appended at that position.
        """
        if position > self._position:
            raise ValueError(f"position {position} is beyond the last appended, {self._position}")
        if self._durable >= position:
            return
        if len(self._waiters) >= WAITERS_MAX:
            raise JournalError(f"{WAITERS_MAX} wait for the journal already")
        self._loop = asyncio.get_running_loop()  # it may have been opened before there was one
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = position
        # The writer may have passed us before it could see us waiting.
        self._wake_waiters()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            raise DurableTimeout(f"position {position} is not on disk after {timeout_s} s") from None
        finally:
            self._waiters.pop(waiter, None)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued, close, and say whether everything appended is durable; blocks.

        May be called again; a disk that hangs longer than `timeout_s` is left to the process's end.
        """
        thread = self._thread
        if thread is not None:
            self._closing.set()
            self._queue.put(None)
            thread.join(timeout_s)
            self._thread = None
        if self._state is JournalState.OPEN:
            self._state = JournalState.CLOSED
        self._wake_waiters()
        return self._durable == self._position and not self._dropped

    def _fail(self, error: Exception) -> None:
        """Enter `failed`; in the loop's thread."""
        if self._state is not JournalState.OPEN:
            return
        self._error = error
        self._state = JournalState.FAILED
        self._wake_waiters()
        self._hooks.on_failure(error)

    def _recover(self) -> None:
        """Leave `failed` when the disk has taken what waited; in the loop's thread."""
        if self._state is not JournalState.FAILED or self._refusing or self._broken:
            return
        # There must be room for what is written down first.
        if self._position - self._durable > min(_BATCH_MAX, self._queue_max // 2):
            return
        lost, self._dropped = self._dropped, 0
        self._state, self._error = JournalState.OPEN, None
        if lost:
            self._after = ()  # of a record that is not there
        self._wake_waiters()
        self._hooks.on_recovered(lost)

    def _wake_waiters(self) -> None:
        durable, dead = self._durable, self._state is not JournalState.OPEN
        for waiter, position in list(self._waiters.items()):
            if waiter.done():
                continue
            if position <= durable:
                waiter.set_result(None)
            elif dead:
                waiter.set_exception(
                    JournalFailed(f"position {position} did not reach the disk: {self._error}")
                )

    # --- in the writer's thread ---------------------------------------------------------------

    def _write_forever(self) -> None:
        try:
            more = True
            while more:
                batch, more = self._gather()
                if batch and not self._commit_in_time(batch):
                    break
                if self._loop is not None and (self._waiters or self._state is JournalState.FAILED):
                    self._tell_loop(self._loop, self._progress)
            self._disk.close(self._descriptor)
        except Exception as error:  # noqa: BLE001  # whatever stops the writer, nothing more gets durable
            self._broken = True
            self._stopped(error)

    def _progress(self) -> None:
        """In the loop: something more is durable."""
        self._wake_waiters()
        self._recover()

    def _commit_in_time(self, batch: list[_Item]) -> bool:
        """Commit, for as many tries as it takes; False when the journal is closed before the disk takes it."""
        while True:
            self._busy_ns = self._clock.mono_ns() or 1
            try:
                self._commit(batch)
            except OSError as error:
                self._refusing = True
                self._stopped(error)
            else:
                self._refusing = False
                return True
            finally:
                self._busy_ns = 0
            if self._closing.wait(self._retry_s):
                return False

    def _gather(self) -> tuple[list[_Item], bool]:
        """Wait for one record, take what else is there; False when the last one has been taken."""
        batch: list[_Item] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _BATCH_MAX:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Item]) -> None:
        began_ns = self._clock.mono_ns()
        if self._torn:
            self._disk.truncate(self._descriptor, self._size)
            self._torn = False
        if self._size >= self._segment_bytes and self._durable >= self._first_position:
            full = self._descriptor
            self._begin_segment(accepts_break=False)
            self._disk.close(full)
        lines = []
        digest = self._hash
        for position, to, envelope, after in batch:
            line, digest = encode_record(position, to, envelope, digest, after)
            lines.append(line)
        data = b"".join(lines)
        self._torn = True
        self._disk.write(self._descriptor, data)
        self._torn = False
        self._size += len(data)
        self._hash = digest
        self._durable = batch[-1][0]
        self._hooks.on_commit(len(batch), (self._clock.mono_ns() - began_ns) / 1e9)

    def _begin_segment(self, *, accepts_break: bool) -> None:
        """Make the next file and its header durable; also runs in `open`, before there is a thread."""
        first_position = self._durable + 1
        path = segment_path(self._folder, first_position)
        line, digest = encode_header(
            Header(
                schema=SCHEMA,
                first_position=first_position,
                previous_hash=self._hash,
                created_ns=self._clock.wall_ns(),
                accepts_break=accepts_break,
            )
        )
        descriptor = self._disk.open_append(path)
        try:
            self._disk.truncate(descriptor, 0)  # a try before this one may have left a part
            self._disk.write(descriptor, line)
            self._disk.sync_folder(self._folder)
        except OSError:
            self._disk.close(descriptor)
            raise
        self._descriptor = descriptor
        self._hash = digest
        self._size = len(line)
        self._first_position = first_position

    def _stopped(self, error: Exception) -> None:
        self._error = self._error or error
        if self._loop is None:
            self._fail(error)
        else:
            self._tell_loop(self._loop, partial(self._fail, error))

    @staticmethod
    def _tell_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # the loop is closed: the process ends, `close` tells what is not durable

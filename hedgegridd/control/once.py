"""The same request sent again has one effect and one answer: idempotency keys, for 24 h and over restarts.

What has begun is on disk before it takes effect, what it answered right after. A request that a crash cut off is never
run again: nobody knows how far it came, and its key says so. A safety command waits at most 100 ms for the disk.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import structlog

from hedgegridd.control.operation import DURABLE_S, SAFETY_DURABLE_S, Operation, Outcome, Problem
from hedgegridd.journal.disk import RealDisk, write_file

KEEP_S = 24 * 3600
KEY_MAX = 200
FILE_MAX = 16 << 20  # bytes; above it the oldest answers are forgotten before their time
WRITES_MAX = 512  # waiting for the disk
HEADER = "Idempotency-Key"
_NS = 1_000_000_000

_log = structlog.get_logger("control.once")


class Kept(msgspec.Struct, omit_defaults=True):
    """A line of the file: whose key (hashed), what was asked (hashed), when; `status` 0: begun, `problem`: refused so."""

    name: str
    asked: str
    at_ns: int
    status: int = 0
    body: dict[str, Any] = {}
    problem: dict[str, Any] | None = None


class _Entry:
    __slots__ = ("kept", "size", "task")

    def __init__(self, kept: Kept, size: int = 0) -> None:
        self.kept = kept
        self.size = size
        self.task: asyncio.Task[Outcome] | None = None


class Once:
    """Runs each key once. `path` None: nothing outlives the process."""

    def __init__(self, path: Path | None, time_ns: Callable[[], int], *, file_max: int = FILE_MAX) -> None:
        """Read what is kept.

        Raises:
            OSError: the file cannot be read or written; without it a restart could do things twice.
        """
        self._path = path
        self._time_ns = time_ns
        self._file_max = file_max
        self._entries: dict[str, _Entry] = {}  # oldest first
        self._size = 0  # of the file
        self._waiting = 0
        self._file = -1
        self._torn = False  # the last line may be there in part
        self._disk = RealDisk()
        # One thread: lines are written in the order in which they came, and a hung disk hangs this thread alone.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="once")
        if path is not None:
            self._load(path)

    def close(self) -> None:
        """Give the file back; what waits for a disk that hangs is not waited for."""
        self._thread.shutdown(wait=self._waiting == 0, cancel_futures=True)
        if self._file >= 0:
            self._disk.close(self._file)
            self._file = -1

    def knows(self, client: str, key: str) -> bool:
        """Whether the key is running or has been answered."""
        self._expire()
        return _name(client, key) in self._entries

    async def run(
        self, client: str, key: str, operation: Operation, work: Callable[[], Awaitable[Outcome]]
    ) -> Outcome:
        """The answer of the key's first run: it is run now, waited for, or told again.

        Raises:
            Problem: the first run's; or 409 another request had this key, or a restart cut it off.
        """
        self._expire()
        name, asked = _name(client, key), _digest(operation)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(Kept(name=name, asked=asked, at_ns=self._time_ns()))
            entry.task = asyncio.ensure_future(self._first(entry, operation.safe(), work))
            entry.task.add_done_callback(_look_at)
        if entry.kept.asked != asked:
            raise Problem(
                409, "refused", f"this {HEADER} was used for another request; nothing changed", field=HEADER
            )
        if entry.task is not None:
            return await asyncio.shield(entry.task)  # who hangs up does not end it for the others
        return _told(entry.kept)

    async def claim(self, digest: str, keep_s: int) -> None:
        """Take a signed request, once in `keep_s` seconds.

        Raises:
            Problem: 409 the same was taken before, 503 that cannot be kept.
        """
        name, now_ns = _name("signed", digest), self._time_ns()
        known = self._entries.pop(name, None)
        if known is not None and now_ns - known.kept.at_ns < keep_s * _NS:
            self._entries[name] = known
            raise Problem(409, "refused", f"the same event was taken within {keep_s} s; nothing changed")
        entry = self._entries[name] = _Entry(Kept(name=name, asked=digest, at_ns=now_ns, status=200))
        try:
            await self._write(entry, DURABLE_S)
        except (OSError, TimeoutError) as error:
            raise Problem(503, "not durable", f"nothing was done: {error!r}") from error

    # ---------------------------------------------------------------------------------------------------- running

    async def _first(self, entry: _Entry, safety: bool, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        wait_s = SAFETY_DURABLE_S if safety else DURABLE_S
        kept = entry.kept
        try:
            await self._write(entry, wait_s)
        except (OSError, TimeoutError) as error:
            if not safety:
                self._entries.pop(kept.name, None)
                raise Problem(
                    503, "not durable", f"nothing was done: its {HEADER} cannot be kept: {error!r}"
                ) from error
            _log.warning("key_late", error=repr(error))
        try:
            outcome = await work()
        except Problem as problem:
            if not problem.begun:  # turned away at the door: the next try may get through
                self._entries.pop(kept.name, None)
                await self._forget(kept)
                raise
            kept.status, kept.problem = problem.status, problem.body()
            await self._answered(entry, wait_s)
            raise
        kept.status, kept.body = outcome.status, outcome.body
        await self._answered(entry, wait_s)
        return outcome

    async def _answered(self, entry: _Entry, wait_s: float) -> None:
        try:
            await self._write(entry, wait_s)
        except (OSError, TimeoutError) as error:
            _log.error("answer_not_kept", error=repr(error), effect="after a restart its key is refused")
        entry.task = None

    async def _forget(self, kept: Kept) -> None:
        """A line that takes the beginning back: status -1."""
        gone = _Entry(Kept(name=kept.name, asked=kept.asked, at_ns=kept.at_ns, status=-1))
        try:
            await self._write(gone, DURABLE_S)
        except (OSError, TimeoutError) as error:
            _log.error("key_not_forgotten", error=repr(error), effect="after a restart it is refused")

    # ------------------------------------------------------------------------------------------------------- file

    async def _write(self, entry: _Entry, wait_s: float) -> None:
        """Return when the entry is on disk. Raises OSError, TimeoutError."""
        if self._path is None:
            return
        if self._waiting >= WRITES_MAX:
            raise OSError(f"{WRITES_MAX} lines wait for the disk already")
        line = msgspec.json.encode(entry.kept) + b"\n"
        entry.size = len(line)
        self._size += len(line)
        if self._size > self._file_max:
            self._make_room()
            data = b"".join(msgspec.json.encode(each.kept) + b"\n" for each in self._entries.values())
            self._size = len(data)
            job = asyncio.get_running_loop().run_in_executor(self._thread, self._rewrite, data)
        else:
            job = asyncio.get_running_loop().run_in_executor(self._thread, self._append, line)
        self._waiting += 1
        job.add_done_callback(self._written)
        async with asyncio.timeout(wait_s):
            await asyncio.shield(job)

    def _written(self, job: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not job.cancelled():
            job.exception()  # told to who waited; who did not wait any more has said so

    def _make_room(self) -> None:
        """Forget the oldest answers until the rest fills half of the file."""
        total = sum(each.size for each in self._entries.values())
        forgotten = 0
        for name, each in list(self._entries.items()):
            if total <= self._file_max // 2:
                break
            if each.task is None:
                del self._entries[name]
                total -= each.size
                forgotten += 1
        if forgotten:
            _log.warning("keys_forgotten_early", count=forgotten, file_max=self._file_max)

    def _append(self, line: bytes) -> None:
        if self._path is None:
            return
        if self._file < 0:
            self._file = self._disk.open_append(self._path)
        torn, self._torn = self._torn, True
        self._disk.write(self._file, b"\n" + line if torn else line)
        self._torn = False

    def _rewrite(self, data: bytes) -> None:
        if self._path is None:
            return
        if self._file >= 0:
            self._disk.close(self._file)
            self._file = -1
        write_file(self._disk, self._path, data)

    def _load(self, path: Path) -> None:
        old = path.read_bytes() if path.exists() else b""
        for line in filter(None, old.splitlines()):
            try:
                kept = msgspec.json.decode(line, type=Kept)
            except msgspec.DecodeError:
                _log.warning("line_unreadable", path=str(path), bytes=len(line))  # torn by a crash
                continue
            if kept.status < 0:
                self._entries.pop(kept.name, None)
                continue
            self._entries[kept.name] = _Entry(kept, len(line) + 1)
        self._expire()
        data = b"".join(msgspec.json.encode(each.kept) + b"\n" for each in self._entries.values())
        self._size = len(data)
        if data != old:
            self._rewrite(data)

    def _expire(self) -> None:
        old_ns = self._time_ns() - KEEP_S * _NS
        for name, entry in list(self._entries.items()):
            if entry.kept.at_ns > old_ns:
                break
            if entry.task is None:
                del self._entries[name]


def checked(key: str) -> str:
    """A key that may be used.

    Raises:
        Problem: 400, too long or not printable ASCII.
    """
    if not 1 <= len(key) <= KEY_MAX or not (key.isascii() and key.isprintable()):
        raise Problem(400, "malformed", f"{HEADER}: 1 to {KEY_MAX} printable ASCII characters", field=HEADER)
    return key


def _told(kept: Kept) -> Outcome:
    if kept.status == 0:
        raise Problem(
            409,
            "refused",
            "a restart cut this request off: what it did is not known, and it is not done again; "
            f"look at status and use another {HEADER}",
            field=HEADER,
            accepted=("status",),
        )
    if kept.problem is None:
        return Outcome(dict(kept.body), kept.status)
    facts = kept.problem
    raise Problem(
        kept.status,
        facts["title"],
        facts.get("detail", ""),
        field=facts.get("field"),
        accepted=facts.get("accepted", ()),
    )


def _name(client: str, key: str) -> str:
    return hashlib.sha256(f"{client}\0{key}".encode()).hexdigest()


def _digest(operation: Operation) -> str:
    """What was asked, whatever order or spacing its fields had."""
    fields = msgspec.json.encode(msgspec.to_builtins(operation), order="deterministic")
    return hashlib.sha256(operation.verb.encode() + b"\0" + fields).hexdigest()


def _look_at(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waits gets it; nobody may wait any more

"""Reads the journal's segments and checks their chain; never writes."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from hedgegridd.errors import JournalBroken
from hedgegridd.journal import retired
from hedgegridd.journal.record import (
    GENESIS,
    Header,
    Record,
    check_line,
    decode_header,
    decode_record,
    unseal,
)

_NAME = "journal-{:012d}.jsonl"
PACKED = ".gz"
_TAIL_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """One file, compressed or not; `first_position` is in its name, so that a position is found without reading."""

    path: Path
    first_position: int

    @property
    def compressed(self) -> bool:
        """Whether it is closed and compressed."""
        return self.path.suffix == PACKED

    def open(self) -> BinaryIO:
        """Its lines; also when it has been compressed since its name was read."""
        if not self.compressed:
            try:
                return self.path.open("rb")
            except FileNotFoundError:
                return cast(BinaryIO, gzip.open(self.path.with_name(self.path.name + PACKED), "rb"))
        return cast(BinaryIO, gzip.open(self.path, "rb"))

    def last_line(self) -> bytes | None:
        """Its last complete line without the newline, None when there is none.

        Raises:
            JournalBroken: it is compressed and cannot be read.
        """
        if not self.compressed:
            return last_line(self.path)
        line = None
        for _, raw in lines_of(self):
            if raw.endswith(b"\n"):
                line = raw[:-1]
        return line


def segment_path(folder: Path, first_position: int) -> Path:
    """Where the segment that begins at this position lives."""
    return folder / _NAME.format(first_position)


def segments(folder: Path) -> list[Segment]:
    """All segments in order; of one that is there in both forms, the plain one.

    Raises:
        JournalBroken: a file is named like a segment but has no position in its name.
    """
    found: dict[int, Segment] = {}
    for suffix in (PACKED, ""):
        for path in folder.glob(f"journal-*.jsonl{suffix}"):
            digits = path.name.removeprefix("journal-").removesuffix(suffix).removesuffix(".jsonl")
            if not digits.isdecimal():
                raise JournalBroken(f"{path}: no segment of the journal is named so")
            found[int(digits)] = Segment(path, int(digits))
    return [found[position] for position in sorted(found)]


def torn_bytes(path: Path) -> int:
    """Bytes after the last newline: what a crash in the middle of a write leaves."""
    size = path.stat().st_size
    with path.open("rb") as file:
        seen = 0
        while seen < size:
            step = min(_TAIL_BLOCK, size - seen)
            file.seek(size - seen - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                return seen + step - newline - 1
            seen += step
    return size


def last_line(path: Path) -> bytes | None:
    """The last complete line without its newline, None when there is none."""
    end = path.stat().st_size - torn_bytes(path) - 1
    if end < 0:
        return None
    tail = b""
    with path.open("rb") as file:
        at = end
        while at > 0 and b"\n" not in tail:
            step = min(_TAIL_BLOCK, at)
            at -= step
            file.seek(at)
            tail = file.read(step) + tail
    return tail.rpartition(b"\n")[2]


@dataclass(slots=True)
class Walk:
    """Iterates records in order from a position and checks every line of the segments it reads.

    A tail without newline ends the last segment silently (a writer may be at it); `torn` tells its size.
    Damage raises `JournalBroken`, unless a later segment's header says that an operator accepted it:
    then reading goes on there and `accepted` tells what was skipped.
    """

    folder: Path
    from_position: int = 1
    position: int = 0
    seq: int = 0
    hash: str = GENESIS
    torn: int = 0
    accepted: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Record]:
        """Records from `from_position` on.

        Raises:
            JournalBroken: naming file and line.
        """
        todo = segments(self.folder)
        first = 0
        for index, segment in enumerate(todo):
            if segment.first_position <= self.from_position:
                first = index
        if first:
            self.hash = _last_hash(todo[first - 1])
            self.position = todo[first].first_position - 1
        elif todo:
            # The beginning may have been retired; what is there must follow from its own header.
            self.position = todo[0].first_position - 1
        for index in range(first, len(todo)):
            try:
                yield from self._segment(todo[index], first=index == 0, last=index == len(todo) - 1)
            except JournalBroken as error:
                # Only a break that a later header accepts may be passed over.
                if not any(_accepts_break(later) for later in todo[index + 1 :]):
                    raise
                self.accepted.append(str(error))

    def _segment(self, segment: Segment, *, first: bool, last: bool) -> Iterator[Record]:
        for number, raw in lines_of(segment):
            if last and not raw.endswith(b"\n") and not segment.compressed:
                self.torn = len(raw)
                return
            try:
                record = self._line(segment, number, raw, first=first)
            except JournalBroken as error:
                raise JournalBroken(f"{segment.path}:{number}: {error}") from error
            if record is not None and record.position >= self.from_position:
                yield record

    def _line(self, segment: Segment, number: int, raw: bytes, *, first: bool) -> Record | None:
        """Check one line and move on to it; None for the header."""
        if not raw.endswith(b"\n"):
            raise JournalBroken("the last line is cut, and this is not the last segment")
        line = raw[:-1]
        if number == 1:
            self._open(segment, decode_header(line), first=first)
            self.hash = check_line(line, self.hash)
            return None
        digest = check_line(line, self.hash)
        if self.position + 1 < self.from_position and line.startswith(
            b'{"position":%d,' % (self.position + 1)
        ):
            # Not asked for: that it follows is all there is to know of it.
            self.hash, self.position = digest, self.position + 1
            return None
        record = decode_record(line)
        if record.position != self.position + 1:
            raise JournalBroken(f"position {record.position} follows {self.position}")
        self.hash, self.position, self.seq = digest, record.position, max(self.seq, record.seq)
        return record

    def _open(self, segment: Segment, header: Header, *, first: bool) -> None:
        if header.first_position != segment.first_position:
            raise JournalBroken(f"its header begins at {header.first_position}, its name does not")
        if header.first_position == 1 and header.previous_hash != GENESIS:
            raise JournalBroken("the first segment of all must follow from nothing")
        if header.accepts_break or first:
            self.hash = header.previous_hash
            self.position = header.first_position - 1
        elif header.previous_hash != self.hash:
            raise JournalBroken("its header does not follow from the segment before")
        elif header.first_position != self.position + 1:
            raise JournalBroken(
                f"it begins at {header.first_position}, the one before ended at {self.position}"
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an offline check found: how many records hold, how they end, and what is wrong (empty: nothing).

    Records up to position `retired` were removed in order.
    """

    records: int
    last_position: int
    last_hash: str
    torn: int
    accepted: tuple[str, ...]
    broken: str
    retired: int = 0


def verify(folder: Path) -> Verdict:
    """Check the whole chain without changing anything; what is missing at the front must have been retired."""
    walk = Walk(folder)
    records, gone, broken = 0, 0, ""
    try:
        gone = _front(folder)
        for _ in walk:
            records += 1
    except JournalBroken as error:
        broken = str(error)
    return Verdict(records, walk.position, walk.hash, walk.torn, tuple(walk.accepted), broken, gone)


def _front(folder: Path) -> int:
    """How many records were retired at the front.

    Raises:
        JournalBroken: records are missing there that were not, or what is left does not follow from them.
    """
    found = segments(folder)
    note = retired.read(folder)
    if not found or found[0].first_position == 1:
        return 0
    first = found[0].first_position
    if note is None or note.through < first - 1:
        known = note.through if note is not None else 0
        raise JournalBroken(f"{folder}: records {known + 1} to {first - 1} are missing and were not retired")
    if note.through == first - 1 and header_of(found[0]).previous_hash != note.hash:
        raise JournalBroken(f"{found[0].path}:1: its header does not follow from what was retired before it")
    return first - 1


def lines_of(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Its lines with their numbers, from 1.

    Raises:
        JournalBroken: what is compressed cannot be read.
    """
    number = 0
    with segment.open() as file:
        try:
            for number, raw in enumerate(file, start=1):
                yield number, raw
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise JournalBroken(
                f"{segment.path}:{number + 1}: the compressed file is damaged: {error}"
            ) from error


def header_of(segment: Segment) -> Header:
    """The checked header of a segment.

    Raises:
        JournalBroken: there is none.
    """
    for _, raw in lines_of(segment):
        header = decode_header(raw.rstrip(b"\n"))
        check_line(raw.rstrip(b"\n"), header.previous_hash)
        return header
    raise JournalBroken(f"{segment.path}: it is empty")


def _last_hash(segment: Segment) -> str:
    """The hash the next segment must follow from; empty, which nothing follows from, when there is none."""
    try:
        line = segment.last_line()
        return unseal(line)[1] if line is not None else ""
    except JournalBroken:
        return ""


def _accepts_break(segment: Segment) -> bool:
    try:
        return header_of(segment).accepts_break
    except JournalBroken:
        return False

"""Reads the journal's segments and checks their chain; never writes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hedgegridd.errors import JournalBroken
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
_GLOB = "journal-*.jsonl"
_TAIL_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """One file; `first_position` is in its name, so that a position is found without reading."""

    path: Path
    first_position: int


def segment_path(folder: Path, first_position: int) -> Path:
    """Where the segment that begins at this position lives."""
    return folder / _NAME.format(first_position)


def segments(folder: Path) -> list[Segment]:
    """All segments in order.

    Raises:
        JournalBroken: a file is named like a segment but has no position in its name.
    """
    found = []
    for path in folder.glob(_GLOB):
        digits = path.name.removeprefix("journal-").removesuffix(".jsonl")
        if not digits.isdecimal():
            raise JournalBroken(f"{path}: no segment of the journal is named so")
        found.append(Segment(path, int(digits)))
    return sorted(found, key=lambda segment: segment.first_position)


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
            self.hash = _last_hash(todo[first - 1].path)
            self.position = todo[first].first_position - 1
        elif todo:
            # The beginning may have been retired; what is there must follow from its own header.
            self.position = todo[0].first_position - 1
        for index in range(first, len(todo)):
            try:
                yield from self._segment(todo[index], first=index == 0, last=index == len(todo) - 1)
            except JournalBroken as error:
                # Only a break that a later header accepts may be passed over.
                if not any(_accepts_break(later.path) for later in todo[index + 1 :]):
                    raise
                self.accepted.append(str(error))

    def _segment(self, segment: Segment, *, first: bool, last: bool) -> Iterator[Record]:
        with segment.path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if last and not raw.endswith(b"\n"):
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
    """What an offline check found: how many records hold, how they end, and what is wrong (empty: nothing)."""

    records: int
    last_position: int
    last_hash: str
    torn: int
    accepted: tuple[str, ...]
    broken: str


def verify(folder: Path) -> Verdict:
    """Check the whole chain without changing anything."""
    walk = Walk(folder)
    records, broken = 0, ""
    try:
        for _ in walk:
            records += 1
    except JournalBroken as error:
        broken = str(error)
    return Verdict(records, walk.position, walk.hash, walk.torn, tuple(walk.accepted), broken)


def _last_hash(path: Path) -> str:
    """The hash the next segment must follow from; empty, which nothing follows from, when there is none."""
    line = last_line(path)
    try:
        return unseal(line)[1] if line is not None else ""
    except JournalBroken:
        return ""


def _accepts_break(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline()
    try:
        header = decode_header(line.rstrip(b"\n"))
        check_line(line.rstrip(b"\n"), header.previous_hash)
    except JournalBroken:
        return False
    return header.accepts_break

"""Reads the journal for people and for the history: line by line, without checking the chain, also while it grows."""

import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from hedgegridd.errors import JournalBroken, JournalError
from hedgegridd.journal.reader import Segment, segments

LINE_MAX = 64 << 20  # more without a newline is no record of ours
_READ = 1 << 20
_SHAPE = re.compile(
    rb'\{"position":(\d+),"time_ns":(\d+),"mono_ns":\d+,"seq":(\d+),"cause":(\d+),'
    rb'"actor":"((?:[^"\\]|\\.)*)","to":"([^"\\]*)",(?:"after":"[^"\\]*",)?"message":\{"type":"(\w+)"'
)


class Line(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in its file: the fields that links and filters need, and its bytes."""

    position: int
    time_ns: int
    seq: int
    cause: int
    actor: str
    to: str
    kind: str
    raw: bytes

    def fields(self) -> dict[str, Any]:
        """All of the record, fields that this program does not know included.

        Raises:
            JournalError: its line has been damaged.
        """
        try:
            whole: dict[str, Any] = msgspec.json.decode(self.raw)
        except msgspec.DecodeError as error:
            raise JournalError(
                f"the record @{self.position} is damaged ({error}); `journal verify` names its file and line"
            ) from error
        return whole

    def message(self) -> dict[str, Any]:
        """The message's fields."""
        found: dict[str, Any] = self.fields()["message"]
        return found


class _Any(msgspec.Struct):
    position: int
    time_ns: int
    seq: int
    cause: int
    actor: str
    to: str
    message: dict[str, Any]


_any = msgspec.json.Decoder(_Any)


def parse(raw: bytes) -> Line | None:
    """The record of a line (without newline), None for a segment's header and for what is none."""
    found = _SHAPE.match(raw)
    if found is not None:
        position, time_ns, seq, cause, actor, to, kind = found.groups()
        who = actor.decode("utf-8", "replace") if b"\\" not in actor else msgspec.json.decode(b'"%b"' % actor)
        return Line(
            int(position), int(time_ns), int(seq), int(cause), str(who), to.decode(), kind.decode(), raw
        )
    try:
        item = _any.decode(raw)  # another order of fields, as a newer or older program may have
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    kind_text = str(item.message.get("type", "?"))
    return Line(item.position, item.time_ns, item.seq, item.cause, item.actor, item.to, kind_text, raw)


def scan(folder: Path, from_position: int = 1) -> Iterator[Line]:
    """Records in order from a position on; what is no record (a torn tail, damage) is passed over."""
    todo = segments(folder)
    first = max((n for n, segment in enumerate(todo) if segment.first_position <= from_position), default=0)
    for segment in todo[first:]:
        yield from _records(segment, from_position)


def _records(segment: Segment, from_position: int = 1) -> Iterator[Line]:
    with segment.open() as file:
        try:
            for raw in file:
                if raw.endswith(b"\n") and (line := parse(raw[:-1])) and line.position >= from_position:
                    yield line
        except (EOFError, OSError) as error:
            raise JournalBroken(f"{segment.path}: cannot be read: {error}") from error


def last(folder: Path, count: int) -> list[Line]:
    """The newest `count` records, oldest first."""
    kept: list[Line] = []
    for segment in reversed(segments(folder)):
        missing = count - len(kept)
        newest = (
            deque(_records(segment), maxlen=missing) if segment.compressed else _from_end(segment, missing)
        )
        kept = [*newest, *kept]
        if len(kept) >= count:
            break
    return kept


def _from_end(segment: Segment, count: int) -> list[Line]:
    """The last records of a plain segment, without reading what stands before them."""
    try:
        file = segment.path.open("rb")
    except FileNotFoundError:  # compressed since its name was read
        return list(deque(_records(segment), maxlen=count))
    with file:
        at = file.seek(0, os.SEEK_END)
        tail = b""
        while at > 0 and tail.count(b"\n") <= count + 1:  # a torn tail and the header are no records
            step = min(_READ, at)
            at -= step
            file.seek(at)
            tail = file.read(step) + tail
    whole = tail.split(b"\n")[1 if at else 0 : -1]
    return [line for raw in whole if (line := parse(raw))][-count:]


class Follower:
    """Reads on where it stopped; what is written meanwhile comes with the next `read`. `close` it.

    Args:
        folder: of the segments.
        position: of the last record that is known already.
    """

    def __init__(self, folder: Path, position: int = 0) -> None:
        self._folder = folder
        self.position = position
        self._first = 0  # position with which the segment under way begins
        self._file: BinaryIO | None = None
        self._rest = b""

    def read(self, count: int) -> list[Line]:
        """New records, about `count` at most; empty when there is nothing new.

        Raises:
            JournalBroken: a file cannot be read, or holds a line that no journal has.
        """
        found: list[Line] = []
        while len(found) < count:
            todo = segments(self._folder)
            if self._file is None:
                self._enter([s for s in todo if s.first_position <= self.position + 1][-1:] or todo[:1])
            # Looked up before the rest is read: what comes after it is in the next segment.
            later = [segment for segment in todo if segment.first_position > self._first]
            fresh = self._more()
            found += fresh
            if not fresh:
                if not later:
                    break
                self.close()
                self._enter(later[:1])
        return found

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _enter(self, wanted: list[Segment]) -> None:
        for segment in wanted:
            self._file, self._first = segment.open(), segment.first_position

    def _more(self) -> list[Line]:
        """New records of the segment under way; empty at its end."""
        while self._file is not None:
            try:
                data = self._file.read(_READ)
            except (EOFError, OSError) as error:
                raise JournalBroken(f"segment {self._first}: cannot be read: {error}") from error
            if not data:
                return []
            *whole, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > LINE_MAX:
                raise JournalBroken(f"segment {self._first}: a line of more than {LINE_MAX} bytes")
            lines = [line for raw in whole if (line := parse(raw)) and line.position > self.position]
            if lines:
                self.position = lines[-1].position
                return lines
        return []

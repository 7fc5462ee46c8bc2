"""What happens to the journal before it is written again: the torn tail is cut, the chain checked."""

import os
from dataclasses import dataclass
from pathlib import Path

from hedgegridd.errors import JournalBroken
from hedgegridd.journal.reader import Segment, Walk, lines_of, segments, torn_bytes
from hedgegridd.journal.record import GENESIS, SCHEMA, Record, decode_header, decode_record, unseal


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found at start, for the log and the first alert.

    `cut_bytes` were torn off the end (never acknowledged as durable); `broken` tells of damage that
    the operator's flag accepted, empty when there is none. `appendable` is false when a new segment must begin: the
    newest is compressed, or of an older schema. `tail` is what stands after the known position, None when that is too
    much to be held.
    """

    last_position: int
    last_seq: int
    last_hash: str
    cut_bytes: int
    broken: str
    newest: Segment | None
    appendable: bool = True
    tail: tuple[Record, ...] | None = None


TAIL_MAX = 100_000  # records that are held from the check for the machines, instead of being read again
WAY_OUT = (
    "what stands from there on cannot be trusted. Keep a copy of the state folder; then `hedgegridd run "
    "--accept-broken-journal` starts without it: orders and legs come from the venue, profit since then may be told "
    "wrongly, and the break stays marked in the journal"
)


def prepare(folder: Path, *, accept_broken: bool = False, known: int = 0) -> Opened:
    """Cut a torn tail and check the chain, from the segment that holds position `known` + 1 to the end.

    `known` is what a snapshot already holds (0: nothing): the journal must reach it, and must have
    everything after it.

    Raises:
        JournalBroken: the chain does not hold and `accept_broken` is not set; the files are as before,
            but for the cut.
        OSError: the folder cannot be read or written.
    """
    cut = _cut_torn_tail(folder)
    left = segments(folder)
    newest = left[-1] if left else None
    walk = Walk(folder, from_position=known + 1)
    try:
        tail = _check(walk, left, known)
    except JournalBroken as error:
        if not accept_broken:
            raise JournalBroken(f"{error}; {WAY_OUT}") from error
        position, seq = _highest(left)
        return Opened(max(position, known), seq, _claimed_end(left), cut, str(error), newest)
    return Opened(walk.position, walk.seq, walk.hash, cut, "", newest, _appendable(newest), tail)


def _appendable(newest: Segment | None) -> bool:
    if newest is None or newest.compressed:
        return False
    with newest.open() as file:
        return decode_header(file.readline().rstrip(b"\n")).schema == SCHEMA


def _check(walk: Walk, left: list[Segment], known: int) -> tuple[Record, ...] | None:
    if left and left[0].first_position > known + 1:
        raise JournalBroken(f"{walk.folder}: records {known + 1} to {left[0].first_position - 1} are missing")
    tail: list[Record] = []
    for record in walk:  # walking is checking
        if len(tail) <= TAIL_MAX:
            tail.append(record)
    if walk.position < known:
        raise JournalBroken(f"{walk.folder}: ends at {walk.position}, before the snapshot's position {known}")
    return tuple(tail) if len(tail) <= TAIL_MAX else None


def _cut_torn_tail(folder: Path) -> int:
    """Cut what follows the last newline of the last segment; a segment without a whole header goes."""
    cut = 0
    while found := segments(folder):
        path = found[-1].path
        if found[-1].compressed:
            return cut  # it was whole when it was compressed
        torn = torn_bytes(path)
        whole = path.stat().st_size - torn
        cut += torn
        if whole:
            if torn:
                _truncate(path, whole)
            return cut
        path.unlink()
    return cut


def _truncate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _highest(left: list[Segment]) -> tuple[int, int]:
    """Highest position and sequence that anything readable claims: new ones must not repeat them."""
    position = max((segment.first_position for segment in left), default=0)
    seq = 0
    for segment in left:
        try:
            for _, raw in lines_of(segment):
                try:
                    record = decode_record(raw.rstrip(b"\n"))
                except JournalBroken:
                    continue  # a header, or the damage itself
                position, seq = max(position, record.position), max(seq, record.seq)
        except JournalBroken:
            continue  # compressed, and unreadable from there on
    return position, seq


def _claimed_end(left: list[Segment]) -> str:
    """The hash the last line claims, for the header that accepts the break; zeros when it claims none."""
    try:
        line = left[-1].last_line() if left else None
        claimed = unseal(line)[1] if line is not None else GENESIS
    except JournalBroken:
        return GENESIS
    return claimed if claimed.isalnum() else GENESIS

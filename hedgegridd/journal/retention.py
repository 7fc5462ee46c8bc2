"""Keeps the journal in bounds: closed segments are compressed, the oldest removed by age and size; never in the loop.

What a start needs (the older of the kept snapshots, the segment with the record after it, and all that follows) is
neither compressed nor removed.
"""

import gzip
import hashlib
import os
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hedgegridd.errors import JournalBroken
from hedgegridd.journal import retired
from hedgegridd.journal.disk import Disk, RealDisk
from hedgegridd.journal.reader import PACKED, Segment, header_of, segments
from hedgegridd.journal.snapshot import positions

_CHUNK = 1 << 18
_LEVEL = 6
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: days since a segment was closed, and bytes of all segments together."""

    keep_days: int
    keep_bytes: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did: segments compressed and removed, position up to which records are gone now (0: none)."""

    compressed: int
    removed: int
    through: int


def sweep(folder: Path, snapshots: Path, bounds: Bounds, *, now_ns: int, disk: Disk | None = None) -> Swept:
    """One pass over the closed segments; blocks, so run it in a thread.

    Raises:
        JournalBroken: a segment has no header to go by; nothing more is removed.
        OSError: the disk refused; what was done so far stands.
    """
    disk = disk or RealDisk()
    _remove_doubles(folder, disk)
    found = segments(folder)
    kept = positions(snapshots)
    if not kept:
        return Swept(0, 0, 0)  # a start would read all of it
    needed = max((n for n, s in enumerate(found) if s.first_position <= kept[0] + 1), default=0)
    compressed = 0
    # The one before the first that is needed stays plain: a start reads its last line.
    for segment in found[: max(0, needed - 1)]:
        if not segment.compressed:
            _compress(segment, disk)
            compressed += 1
    removed, through = _remove(folder, segments(folder)[: needed + 1], bounds, now_ns=now_ns, disk=disk)
    return Swept(compressed, removed, through)


def _remove_doubles(folder: Path, disk: Disk) -> None:
    """A crash between two steps leaves a half-made file, or both forms of a segment: the plain one counts."""
    for path in folder.glob(f"journal-*.jsonl{PACKED}*"):
        plain = path.with_name(path.name.partition(PACKED)[0])
        if path.suffix != PACKED or plain.exists():
            path.unlink()
            disk.sync_folder(folder)


def _compress(segment: Segment, disk: Disk) -> None:
    """Make the compressed file beside, read it back, and only then remove the plain one."""
    target = segment.path.with_name(segment.path.name + PACKED)
    beside = target.with_name(target.name + ".new")
    with segment.path.open("rb") as source, beside.open("wb") as raw:
        os.fchmod(raw.fileno(), 0o600)
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_LEVEL, mtime=0) as packed:
            shutil.copyfileobj(source, packed, _CHUNK)
        raw.flush()
        os.fsync(raw.fileno())
    with segment.path.open("rb") as plain, gzip.open(beside, "rb") as unpacked:
        if hashlib.file_digest(plain, "blake2b").digest() != _digest(unpacked):
            beside.unlink()
            raise JournalBroken(f"{beside}: reads back as something else; the plain segment stays")
    beside.replace(target)
    disk.sync_folder(target.parent)
    segment.path.unlink()
    disk.sync_folder(target.parent)


def _digest(file: gzip.GzipFile) -> bytes:
    digest = hashlib.blake2b()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def _remove(
    folder: Path, found: list[Segment], bounds: Bounds, *, now_ns: int, disk: Disk
) -> tuple[int, int]:
    """Remove from the front what is too old or too much; (segments removed, records gone up to here).

    The last of `found` stays: it is needed.
    """
    size = sum(segment.path.stat().st_size for segment in segments(folder))
    removed = through = 0
    for segment, following in pairwise(found):
        after = header_of(following)  # made when this one was closed
        too_old = now_ns - after.created_ns > bounds.keep_days * _DAY_NS
        if not too_old and size <= bounds.keep_bytes:
            break
        through = following.first_position - 1
        retired.write(
            folder, retired.Retired(through=through, hash=after.previous_hash, time_ns=now_ns), disk
        )
        size -= segment.path.stat().st_size
        segment.path.unlink()
        disk.sync_folder(folder)
        removed += 1
    return removed, through

"""Snapshots of the state, so that a start reads the last one and the journal's tail, not all of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hedgegridd.errors import SnapshotError
from hedgegridd.journal.disk import Disk, RealDisk, write_file

SCHEMA = 1
KEEP = 2
_NAME = "snapshot-{:012d}.json"
_GLOB = "snapshot-*.json"


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    schema: int
    position: int
    next_seq: int
    time_ns: int
    hash: str
    state: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State as of a journal position: everything up to and with it is inside.

    `state` is the JSON as given to `save`; `next_seq` the first envelope sequence not used yet;
    `passed_over` names newer snapshots that were damaged.
    """

    position: int
    next_seq: int
    time_ns: int
    state: bytes
    passed_over: tuple[str, ...] = ()


def save(
    folder: Path,
    state: msgspec.Struct | bytes,
    *,
    position: int,
    next_seq: int,
    time_ns: int,
    disk: Disk | None = None,
) -> Path:
    """Write a snapshot and drop all but the newest two; blocks, so run it in a thread with encoded bytes.

    The journal must be durable up to `position` before: a snapshot must not know more than the journal.

    Raises:
        OSError: the disk refused; the earlier snapshots are untouched.
    """
    disk = disk or RealDisk()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    encoded = state if isinstance(state, bytes) else msgspec.json.encode(state)
    stored = _Stored(
        schema=SCHEMA,
        position=position,
        next_seq=next_seq,
        time_ns=time_ns,
        hash=_digest(SCHEMA, position, next_seq, time_ns, encoded),
        state=msgspec.Raw(encoded),
    )
    path = folder / _NAME.format(position)
    write_file(disk, path, msgspec.json.encode(stored))
    for old in _newest_first(folder)[KEEP:]:
        old.unlink()
    return path


def load(folder: Path) -> Snapshot | None:
    """The newest snapshot that is whole, None when there has never been one.

    Raises:
        SnapshotError: there are snapshots, and all are damaged or of a newer schema.
    """
    passed_over: list[str] = []
    for path in _newest_first(folder):
        try:
            return _read(path, tuple(passed_over))
        except SnapshotError as error:
            passed_over.append(str(error))
    if passed_over:
        raise SnapshotError("; ".join(passed_over))
    return None


def name_of(position: int) -> str:
    """The file name of the snapshot as of a position."""
    return _NAME.format(position)


def positions(folder: Path) -> list[int]:
    """Journal positions of the snapshots that are kept, oldest first."""
    found = [path.name.removeprefix("snapshot-").removesuffix(".json") for path in folder.glob(_GLOB)]
    return sorted(int(digits) for digits in found if digits.isdecimal())


def _read(path: Path, passed_over: tuple[str, ...]) -> Snapshot:
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise SnapshotError(f"{path}: {error}") from error
    if stored.schema > SCHEMA:
        raise SnapshotError(f"{path}: schema {stored.schema} is newer than this program's {SCHEMA}")
    state = bytes(stored.state)
    if _digest(stored.schema, stored.position, stored.next_seq, stored.time_ns, state) != stored.hash:
        raise SnapshotError(f"{path}: its hash does not match")
    return Snapshot(stored.position, stored.next_seq, stored.time_ns, state, passed_over)


def _digest(schema: int, position: int, next_seq: int, time_ns: int, state: bytes) -> str:
    head = f"{schema}:{position}:{next_seq}:{time_ns}:".encode()
    return hashlib.blake2b(head + state, digest_size=16).hexdigest()


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(_GLOB), reverse=True)

"""The latched trips in a small file of their own: a trip outlives a crash also while the journal cannot be written.

The file has all its bytes from the first start on and is overwritten in place, so that a full disk does not keep a trip
from it, and what a disk that hangs has taken into its cache is there for the next process. The journal stays the truth:
a start takes from here only what no record tells of.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hedgegridd.journal.disk import RealDisk
from hedgegridd.messages import Scope, Trip
from hedgegridd.model import KillState

NAME = "trips.latch"
BYTES = 65_536
_DIGEST = 16
UNREADABLE = Trip(
    trip_id="T-latch",
    scope=Scope(),
    action="halt",
    cause=f"{NAME} cannot be read: what was latched when the last process ended is not known",
    state=KillState.HALTED,
)
_decoder = msgspec.json.Decoder(tuple[Trip, ...])


class TripLatch:
    """The file of one state folder; `read` it before `write`, which blocks."""

    def __init__(self, folder: Path) -> None:
        """Nothing is touched before `open`."""
        self._path = folder / NAME
        self._descriptor = -1

    def open(self) -> str:
        """Open it, with room for all that is ever written; why there is none, empty when there is."""
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lacking = BYTES - os.fstat(self._descriptor).st_size
            if lacking > 0:  # zeros that are written, and not a hole
                os.pwrite(self._descriptor, bytes(lacking), BYTES - lacking)
                os.fsync(self._descriptor)
                RealDisk().sync_folder(self._path.parent)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def read(self) -> tuple[Trip, ...]:
        """The trips that were latched; one of the account when they cannot be read. Nothing was written: none."""
        try:
            found = os.pread(self._descriptor, BYTES, 0) if self._descriptor >= 0 else self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError:
            return (UNREADABLE,)
        if not found.strip(b"\0"):
            return ()
        digest, text = found[:_DIGEST], found[_DIGEST:].partition(b"\0")[0]
        if digest != _digest(text):
            return (UNREADABLE,)
        try:
            return _decoder.decode(text)
        except msgspec.MsgspecError:
            return (UNREADABLE,)

    def write(self, trips: Sequence[Trip]) -> None:
        """Put them there instead of what was there, and return when they survive a power cut.

        Raises:
            OSError: the disk refuses.
        """
        if self._descriptor < 0:
            raise OSError(f"{self._path} is not open")
        text = msgspec.json.encode(tuple(trips))
        if _DIGEST + len(text) >= BYTES:
            text = msgspec.json.encode((_all_in_one(trips),))
        os.pwrite(self._descriptor, _digest(text) + text + b"\0", 0)
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give the file back; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=_DIGEST).digest()


def _all_in_one(trips: Sequence[Trip]) -> Trip:
    """More than there is room for: one trip of the account, as strong as the strongest."""
    hardest = next((each for each in trips if each.action == "flatten"), trips[0])
    cause = f"{len(trips)} trips, of which: {hardest.cause[:500]}"
    return msgspec.structs.replace(hardest, scope=Scope(), cause=cause)

"""The file by which panic tells the daemon: it must not enter, and it must come back latched.

It lies in the state folder and counts by being there: an empty or unreadable one (full disk, another owner) names no
instrument, which means all. Panic writes it; the daemon takes it in once its own kill switch has the trip on disk.
"""

import contextlib
import os
from pathlib import Path

import msgspec

NAME = "panic.latch"
TAKEN = "panic.latch.obeyed"  # the last one that a daemon has taken in, kept to be looked at
_BYTES_MAX = 16_384


class PanicLatch(msgspec.Struct, frozen=True, kw_only=True):
    """Who panicked, when, and for which instruments (ids; none: all). Unknown fields are ignored."""

    version: int = 1
    by: str = "somebody"
    at_ns: int = 0
    reason: str = ""
    instruments: tuple[str, ...] = ()


def write(folder: Path, latch: PanicLatch) -> str:
    """Put it in place: written beside, synced, renamed. Returns what could not be written; empty when it all is.

    On a full disk an empty file is left: that still latches.

    Raises:
        OSError: there is no latch.
    """
    path = folder / NAME
    beside = folder / f"{NAME}.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    problem = ""
    try:
        with contextlib.suppress(
            PermissionError
        ):  # only root may, and only then it is needed: the daemon's own file
            owner = folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        try:
            os.write(descriptor, msgspec.json.encode(latch))
            os.fsync(descriptor)
        except OSError as error:
            problem = f"written without its contents: {error.strerror or error}"
            os.ftruncate(descriptor, 0)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    finally:
        os.close(descriptor)
    return problem or _sync(folder)


def _sync(folder: Path) -> str:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"may not survive a power cut: {error.strerror or error}"
    return ""


def stamp(folder: Path) -> tuple[int, int] | None:
    """What tells one latch from another (inode, ns of its last change); None: there is none.

    Raises:
        OSError: it cannot be told whether there is one.
    """
    try:
        found = (folder / NAME).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def read(folder: Path) -> PanicLatch:
    """The latch that lies there, however little of it can be read."""
    try:
        with (folder / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=PanicLatch)
    except (OSError, msgspec.MsgspecError):
        return PanicLatch()


def take(folder: Path, seen: tuple[int, int]) -> bool:
    """Take the latch `seen` in; False when another one lies there now.

    Raises:
        OSError: it cannot be taken away.
    """
    if stamp(folder) != seen:
        return False
    (folder / NAME).replace(folder / TAKEN)
    _sync(folder)
    return True

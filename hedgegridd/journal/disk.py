"""The few calls by which the journal touches the disk, behind a port so that a test can make it fail."""

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Append-only files by descriptor; every call may raise `OSError`."""

    def open_append(self, path: Path) -> int:
        """Open for appending, creating it readable by its owner alone; a descriptor."""

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of it, and return when it survives a power cut."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def sync_folder(self, folder: Path) -> None:
        """Return when names made or changed in the folder survive a power cut."""

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""


class RealDisk:
    """The operating system's."""

    def open_append(self, path: Path) -> int:
        """See `Disk`.

        O_DSYNC makes each write an fdatasync as well: one system call, so a busy loop is asked for the
        interpreter lock once a commit and not twice.
        """
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_DSYNC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """See `Disk`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def truncate(self, descriptor: int, size: int) -> None:
        """See `Disk`."""
        os.ftruncate(descriptor, size)

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """See `Disk`."""
        os.close(descriptor)


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put a whole file in place: written beside it, renamed, the folder synced.

    After a crash either the old file is there or the new one, never a part.

    Raises:
        OSError: the disk refused; the old file is untouched.
    """
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = disk.open_append(beside)
    try:
        disk.write(descriptor, data)
    finally:
        disk.close(descriptor)
    beside.replace(path)
    disk.sync_folder(path.parent)

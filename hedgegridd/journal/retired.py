"""The note of what has been removed at the journal's front, so that a check of the chain knows what may be missing."""

from pathlib import Path

import msgspec

from hedgegridd.errors import JournalBroken
from hedgegridd.journal.disk import Disk, RealDisk, write_file

NAME = "retired.json"


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """Records up to and with `through` are gone; what follows must follow from `hash`."""

    schema: int = 1
    through: int
    hash: str
    time_ns: int


def read(folder: Path) -> Retired | None:
    """The note, None when nothing was ever removed.

    Raises:
        JournalBroken: it cannot be read.
    """
    path = folder / NAME
    try:
        note = msgspec.json.decode(path.read_bytes(), type=Retired)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise JournalBroken(f"{path}: {error}") from error
    if note.schema > 1:
        raise JournalBroken(f"{path}: schema {note.schema} is newer than this program's 1")
    return note


def write(folder: Path, note: Retired, disk: Disk | None = None) -> None:
    """Put the note in place, durable, before anything is removed.

    Raises:
        OSError: the disk refused; the note before stays.
    """
    write_file(disk or RealDisk(), folder / NAME, msgspec.json.encode(note))

"""The state folder: one process at a time owns it, and it has an identity of its own."""

import fcntl
import os
from pathlib import Path

from hedgegridd.errors import StateLocked, StateOfAnother
from hedgegridd.journal.disk import RealDisk, write_file

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
EPOCH_MAX = 8


class StateFolder:
    """Holds the lock from `open` to `close`.

    `epoch` is a short base-36 text made once in a folder's life: it goes into client order ids, so that
    ids stay unique when the state was lost and sequences begin anew.
    """

    def __init__(self, path: Path, venue: str = "") -> None:
        """Nothing is touched before `open`. `venue`: whose books these are, "binance_usdm paper"; empty: not looked at."""
        self.path = path
        self._venue = venue
        self.epoch = ""
        self._lock = -1

    @property
    def journal(self) -> Path:
        """Where the journal's segments live."""
        return self.path / "journal"

    @property
    def snapshots(self) -> Path:
        """Where the snapshots live."""
        return self.path / "snapshots"

    def open(self, wall_ns: int) -> None:
        """Take the lock; make the folder and its epoch (from the wall clock) at the first start.

        Raises:
            StateLocked: another process holds it; the text says which.
            StateOfAnother: its books are those of another venue or environment.
            OSError: the folder cannot be used.
            ValueError: the epoch on disk is not one.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 64).decode("ascii", "replace").strip()
            os.close(lock)
            raise StateLocked(
                f"{self.path} is in use by process {holder or 'unknown'}; stop it first, or choose another state_dir"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        try:
            self._check_venue()
            self.epoch = self._read_epoch(wall_ns)
        except (OSError, ValueError, StateOfAnother):
            self.close()
            raise

    def close(self) -> None:
        """Give the lock back; may be called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _check_venue(self) -> None:
        """Paper's ledger, peaks and latches must not judge real money, nor the other way round."""
        if not self._venue:
            return
        path = self.path / "venue"
        if not path.exists():
            write_file(RealDisk(), path, f"{self._venue}\n".encode())
        holds = path.read_text("ascii", "replace").strip()
        if holds != self._venue:
            raise StateOfAnother(
                f"{self.path} holds the books of {holds}, and the config says {self._venue}: choose another state_dir"
            )

    def _read_epoch(self, wall_ns: int) -> str:
        path = self.path / "epoch"
        if not path.exists():
            write_file(RealDisk(), path, (base36(wall_ns // 1_000_000_000) + "\n").encode())
        epoch = path.read_text("ascii", "replace").strip()
        if not 0 < len(epoch) <= EPOCH_MAX or any(letter not in _DIGITS for letter in epoch):
            raise ValueError(f"{path} should hold 1 to {EPOCH_MAX} of 0-9 and a-z, not {epoch!r}")
        return epoch


def base36(number: int) -> str:
    """A number that is not negative, in the digits 0-9 and a-z."""
    if number < 0:
        raise ValueError(f"base36 wants a number that is not negative, got {number}")
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text

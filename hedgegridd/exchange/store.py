"""The file in which the paper exchange keeps its state: SQLite, one commit for whatever changed together.

Two tables. `part` holds small things that are rewritten as they change (money, legs, markets, the listenKey), `row`
what there are many of (orders, trades, income, closed minutes) by kind, sub-kind and id. The log is written ahead
(WAL), so that a process killed at any moment loses no commit. A power cut may lose the last ones, never the file.

What a killed process has committed last stands in FILE-wal alone. Without it the file would be an older account, or an
empty one, and nothing would show it: so the file itself says whether it was closed, and an unclosed one needs its -wal.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

SCHEMA = 1
_IN_USE = "in_use"  # the part that says so
_TABLES = """
CREATE TABLE IF NOT EXISTS part (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (
    kind TEXT NOT NULL, sub TEXT NOT NULL, id INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, sub, id)
) WITHOUT ROWID;
"""


class StoreError(ValueError):
    """A state file that cannot be used; the sentence begins with `state:`."""


class Batch:
    """Changes that belong together."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.rows: dict[tuple[str, str, int], bytes] = {}
        self.gone: list[tuple[str, str, int]] = []
        self.older: list[tuple[str, str, int]] = []

    def put(self, kind: str, row_id: int, data: bytes, *, sub: str = "") -> None:
        """Write a row, new or again."""
        self.rows[kind, sub, row_id] = data

    def forget(self, kind: str, row_id: int, *, sub: str = "") -> None:
        """Drop one row."""
        self.gone.append((kind, sub, row_id))

    def forget_before(self, kind: str, row_id: int, *, sub: str = "") -> None:
        """Drop the rows of a kind whose id is below `row_id`."""
        self.older.append((kind, sub, row_id))

    def __bool__(self) -> bool:
        return bool(self.parts or self.rows or self.gone or self.older)


class Store:
    """One open state file, held by this process alone."""

    def __init__(self, path: Path) -> None:
        """Opens or creates `path` (readable by its owner only). Raises StoreError when it cannot be used."""
        self.path = path
        log = path.with_name(path.name + "-wal")
        try:
            has_log = log.exists()
            path.touch(mode=0o600, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"state: cannot open {path}: {error}") from error
        try:
            self._begin(has_log=has_log)
        except sqlite3.Error as error:
            self._db.close()
            said = f"cannot be used: {error}"
            if "locked" in str(error):
                said = "is used by another exchange"
            elif "malformed" in str(error):
                said = f"is broken: {error}"
            raise StoreError(f"state: {path} {said}") from error
        except StoreError:
            self._db.close()
            raise

    def _begin(self, *, has_log: bool) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")  # takes the lock, and keeps it
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA):
            db.execute("ROLLBACK")
            raise StoreError(f"state: {self.path} has format {version}, this exchange writes {SCHEMA}")
        db.execute("COMMIT")
        db.executescript(_TABLES)
        if not has_log and self.part(_IN_USE) == b"1":
            raise StoreError(
                f"state: {self.path} was in use when its exchange ended, and what was written last stood in "
                f"{self.path.name}-wal, which is missing: put it back beside it, or begin with another file"
            )
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        self._say_in_use(b"1")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the file itself, before anything is kept

    def part(self, name: str) -> bytes | None:
        """A part, or None when it was never written."""
        row = self._db.execute("SELECT data FROM part WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def rows(self, kind: str) -> Iterable[tuple[str, bytes]]:
        """(sub-kind, data) of all rows of a kind, by sub-kind and id."""
        return self._db.execute("SELECT sub, data FROM row WHERE kind = ? ORDER BY sub, id", (kind,))

    def write(self, batch: Batch) -> None:
        """Commit a batch whole. Raises sqlite3.Error, and nothing of it is written then."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT OR REPLACE INTO part VALUES (?, ?)", batch.parts.items())
            rows = ((*key, data) for key, data in batch.rows.items())
            db.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?)", rows)
            db.executemany("DELETE FROM row WHERE kind = ? AND sub = ? AND id = ?", batch.gone)
            db.executemany("DELETE FROM row WHERE kind = ? AND sub = ? AND id < ?", batch.older)
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _say_in_use(self, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO part VALUES (?, ?)", (_IN_USE, value))

    def close(self) -> None:
        """Let the file go, whole again. Raises StoreError when that cannot be written: its -wal is needed then."""
        try:
            self._say_in_use(b"0")
        except sqlite3.Error as error:
            raise StoreError(f"state: {self.path} could not be closed: {error}") from error
        finally:
            self._db.close()  # the last to close takes the log into the file

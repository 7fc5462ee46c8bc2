"""`trades.db`: orders, fills, legs, equity, funding and alerts in SQLite, made from the journal and from nothing else.

It is never the truth: when it is lost, damaged, of another schema or ahead of the journal, it is made again. Money,
prices and quantities are text (exact decimals), times nanoseconds of the wall clock. Rows are keyed by the journal's
sequence, so that a record that is read twice changes nothing.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from hedgegridd.errors import HistoryError
from hedgegridd.journal.scan import Line
from hedgegridd.journal.words import words

SCHEMA = 2
EQUITY_NS = 5_000_000_000  # one point in so long, or when the wallet has moved
PAGE_MAX = 1_001  # a page of a thousand, and whether there is another

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  instrument TEXT NOT NULL, leg TEXT NOT NULL, purpose TEXT NOT NULL, level INTEGER NOT NULL, side TEXT NOT NULL,
  kind TEXT NOT NULL, qty TEXT, price TEXT, stop_price TEXT, status TEXT NOT NULL, filled_qty TEXT NOT NULL,
  venue_order_id TEXT, reason TEXT NOT NULL, updated_ns INTEGER NOT NULL);
CREATE INDEX orders_time ON orders (time_ns);
CREATE TABLE fills (seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, instrument TEXT NOT NULL, leg TEXT NOT NULL,
  side TEXT NOT NULL, price TEXT NOT NULL, qty TEXT NOT NULL, commission TEXT NOT NULL, commission_asset TEXT NOT NULL,
  maker INTEGER NOT NULL, client_order_id TEXT NOT NULL, trade_id TEXT NOT NULL, venue_ns INTEGER NOT NULL,
  UNIQUE (instrument, trade_id));
CREATE TABLE legs (seq INTEGER NOT NULL, time_ns INTEGER NOT NULL, instrument TEXT NOT NULL, leg TEXT NOT NULL,
  qty TEXT NOT NULL, entry_price TEXT NOT NULL, mark TEXT NOT NULL, unrealized_usdt TEXT NOT NULL,
  PRIMARY KEY (seq, instrument, leg)) WITHOUT ROWID;
CREATE TABLE equity (seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, wallet_usdt TEXT NOT NULL,
  equity_usdt TEXT NOT NULL, unrealized_usdt TEXT NOT NULL, maint_margin_usdt TEXT NOT NULL);
CREATE TABLE funding (seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, income_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL, instrument TEXT, venue_ns INTEGER NOT NULL);
CREATE TABLE alerts (seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""
TABLES = ("orders", "fills", "legs", "equity", "funding", "alerts")
_ALERTS = frozenset(
    {
        "GuardChanged",
        "KillStateChanged",
        "HoldsChanged",
        "VenueAction",
        "FeedChanged",
        "JournalLate",
        "LegFlat",
    }
    | {"FlattenFinished", "StateKept", "SessionBegan", "Stopping", "DeadManChanged", "ExternalSignal"}
    | {"AlertTold", "AlertAcknowledged", "ChannelChanged", "PartBroke", "Stopped"}
)


class History:
    """One file; `open` it, `apply` lines in order, ask for pages. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out = 0
        self._db: sqlite3.Connection | None = None
        self._position = 0
        self._last_legs: dict[tuple[str, str], tuple[str, str]] = {}
        self._last_equity: tuple[int, str] = (0, "")

    @property
    def position(self) -> int:
        """The journal's position up to which it is made."""
        return self._position

    def open(self, journal_end: int | None = None) -> str:
        """Open it; why it has to be made again from the journal's beginning, "" when it goes on.

        `journal_end`: the journal's last position; a history that knows more belongs to another journal.

        Raises:
            OSError, HistoryError: the file cannot be made.
        """
        why = self._go_on(journal_end)
        if not why:
            return ""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        try:
            self._db = self._connect()
            self._db.executescript(_TABLES)
            self._set("schema", str(SCHEMA))
            self._set("position", "0")
            self._db.commit()
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path} cannot be made: {error}") from error
        self.path.chmod(0o600)
        self._position = 0
        self._last_legs.clear()
        self._last_equity = (0, "")
        return why

    def _go_on(self, journal_end: int | None) -> str:
        if not self.path.exists():
            return "there is none"
        try:
            self._db = self._connect()
            if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return "it is damaged"
            facts = dict(self._db.execute("SELECT key, value FROM meta"))
            if facts.get("schema") != str(SCHEMA):
                return f"it has schema {facts.get('schema')}, not {SCHEMA}"
            self._position = int(facts["position"])
            for table in TABLES:
                self._db.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608  # our own names
            self._remember()
        except (sqlite3.Error, KeyError, ValueError) as error:
            return f"it cannot be read: {error}"
        if journal_end is not None and self._position > journal_end:
            return f"it knows records up to {self._position}, the journal ends at {journal_end}"
        return ""

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, check_same_thread=False, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # what a crash takes is made again from the journal
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _remember(self) -> None:
        """What the last rows said, so that only changes become new ones."""
        newest = "SELECT instrument, leg, qty, entry_price, max(seq) FROM legs GROUP BY instrument, leg"
        self._last_legs = {
            (name, leg): (qty, price) for name, leg, qty, price, _ in self._cursor().execute(newest)
        }
        row = (
            self._cursor()
            .execute("SELECT time_ns, wallet_usdt FROM equity ORDER BY seq DESC LIMIT 1")
            .fetchone()
        )
        self._last_equity = row or (0, "")

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    # ----------------------------------------------------------------------------------------------------- writing

    def apply(self, lines: Iterable[Line]) -> int:
        """Take records in order, all of them or none; how many. Those of another vocabulary are counted and left out.

        Raises:
            HistoryError: the disk or the file refuses; nothing was taken.
        """
        count, position = 0, self._position
        try:
            with self._database():
                for line in lines:
                    count += 1
                    position = line.position
                    try:
                        self._take(line)
                    except (KeyError, TypeError, ValueError):
                        self.left_out += 1
                if count:
                    self._set("position", str(position))
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: {error}") from error
        self._position = position
        return count

    def forget_before(self, time_ns: int) -> None:
        """Remove rows that are older.

        Raises:
            HistoryError: the disk or the file refuses.
        """
        try:
            with self._database() as db:
                for table in TABLES:
                    db.execute(f"DELETE FROM {table} WHERE time_ns < ?", (time_ns,))  # noqa: S608  # our own names
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: {error}") from error

    def _database(self) -> sqlite3.Connection:
        if self._db is None:
            raise HistoryError(f"{self.path} is not open")
        return self._db

    def _cursor(self) -> sqlite3.Cursor:
        return self._database().cursor()

    def _set(self, key: str, value: str) -> None:
        self._cursor().execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _insert(self, table: str, values: tuple[object, ...]) -> None:
        places = ", ".join("?" * len(values))
        self._cursor().execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", values)  # noqa: S608  # our own names

    def _take(self, line: Line) -> None:
        """The rows of one record; nothing for one of no interest."""
        match line.kind, line.to:
            case "PlaceOrder" | "CloseRaw", "venue":
                self._intent(line, line.message())
            case (
                "OrderAccepted"
                | "OrderRejected"
                | "OrderRefused"
                | "OrderUnknown"
                | "OrderTriggered"
                | "OrderClosed",
                "desk",
            ):
                self._order(line, line.message())
            case "Fill", "desk":
                self._fill(line, line.message())
            case "IncomeBooked", "desk":
                self._income(line, line.message())
            case "VenueTruth", "desk":
                self._truth(line, line.message())
            case "AccountRead", "desk":
                self._account(line, line.message()["account"])
            case kind, _ if kind in _ALERTS:
                self._alert(line, line.message())
            case _:
                pass

    def _alert(self, line: Line, f: dict[str, Any]) -> None:
        if line.kind != "StateKept" or f.get("lost"):
            self._insert("alerts", (line.seq, line.time_ns, line.kind, words(line.kind, f)))

    def _intent(self, line: Line, f: dict[str, Any]) -> None:
        purpose, level, side, kind = (
            (f["purpose"], f["level"], f["side"], f["kind"])
            if line.kind == "PlaceOrder"
            else ("C", 0, "SELL" if f["leg"] == "LONG" else "BUY", "MARKET")
        )
        self._insert(
            "orders",
            (
                f["client_order_id"], line.seq, line.time_ns, f["instrument"], f["leg"], purpose, level, side, kind,
                f.get("qty"), f.get("price"), f.get("stop_price"), "SENT", "0", None, "", line.time_ns,
            ),
        )  # fmt: skip

    def _order(self, line: Line, f: dict[str, Any]) -> None:
        status = {
            "OrderAccepted": "WORKING", "OrderRejected": "REJECTED", "OrderRefused": "REFUSED",
            "OrderUnknown": "UNKNOWN", "OrderTriggered": "TRIGGERED",
        }.get(line.kind) or str(f.get("how", "CLOSED"))  # fmt: skip
        self._cursor().execute(
            "UPDATE orders SET status = ?, updated_ns = ?, reason = coalesce(?, reason), "
            "venue_order_id = coalesce(?, venue_order_id), filled_qty = coalesce(?, filled_qty) "
            "WHERE client_order_id = ?",
            (
                status, line.time_ns, f.get("reason") or None, f.get("venue_order_id") or None,
                f.get("filled_qty"), f["client_order_id"],
            ),
        )  # fmt: skip

    def _fill(self, line: Line, f: dict[str, Any]) -> None:
        self._insert(
            "fills",
            (
                line.seq, line.time_ns, f["instrument"], f["leg"], f["side"], f["price"], f["qty"], f["commission"],
                f["commission_asset"], int(f["maker"]), f["client_order_id"], f["trade_id"], f["ts_ns"],
            ),
        )  # fmt: skip
        if f.get("order_filled_qty"):
            self._cursor().execute(
                "UPDATE orders SET filled_qty = ?, updated_ns = ? WHERE client_order_id = ?",
                (f["order_filled_qty"], line.time_ns, f["client_order_id"]),
            )

    def _income(self, line: Line, f: dict[str, Any]) -> None:
        self._insert(
            "funding",
            (
                line.seq, line.time_ns, f["income_id"], f["kind"], f["asset"], f["amount"], f.get("instrument"),
                f["ts_ns"],
            ),
        )  # fmt: skip

    def _truth(self, line: Line, f: dict[str, Any]) -> None:
        for leg in f["legs"]:
            key, now = (leg["instrument"], leg["leg"]), (leg["qty"], leg["entry_price"])
            if self._last_legs.get(key) != now:
                self._last_legs[key] = now
                self._insert(
                    "legs", (line.seq, line.time_ns, *key, *now, leg["mark"], leg["unrealized_usdt"])
                )
        self._account(line, f["account"])

    def _account(self, line: Line, account: dict[str, Any]) -> None:
        since_ns, wallet = self._last_equity
        if account["wallet_usdt"] != wallet or line.time_ns - since_ns >= EQUITY_NS:
            self._last_equity = (line.time_ns, account["wallet_usdt"])
            self._insert(
                "equity",
                (
                    line.seq, line.time_ns, account["wallet_usdt"], account["margin_balance_usdt"],
                    account["unrealized_usdt"], account["maint_margin_usdt"],
                ),
            )  # fmt: skip


def copy(path: Path, target: Path) -> None:
    """A consistent copy, also while it is written.

    Raises:
        HistoryError: it cannot be made.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as source,
            closing(sqlite3.connect(target)) as made,
        ):
            source.backup(made)
    except sqlite3.Error as error:
        raise HistoryError(f"{target}: {error}") from error


def page(
    path: Path, table: str, *, limit: int, before: int | None = None, instrument: str | None = None
) -> list[dict[str, Any]]:
    """The newest rows of a table before a sequence, newest first; opens the file for itself.

    Raises:
        HistoryError: there is no such table or instrument column, or the file cannot be read.
    """
    if table not in TABLES or not 1 <= limit <= PAGE_MAX:
        raise HistoryError(f"no page of {limit} rows of {table!r}")
    where = ["seq < ?"]
    arguments: list[object] = [before if before is not None else 1 << 62]
    if instrument is not None:
        where.append("instrument = ?")
        arguments.append(instrument)
    query = f"SELECT * FROM {table} WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"  # noqa: S608  # our own names
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, (*arguments, limit))]
    except sqlite3.Error as error:
        raise HistoryError(f"{path}: {error}") from error

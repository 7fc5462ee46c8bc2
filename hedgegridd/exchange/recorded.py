"""Recorded markets read from files: one-minute bars, trades or quotes, out of CSV, CSV.gz or Parquet.

The columns say what a file is:
    bars    timestamp (bar open), open, high, low, close, volume      volume in USD
    trades  timestamp, price, quantity                                quantity in base
    quotes  timestamp, bid, ask                                       further columns are ignored
A timestamp is UTC: ISO text, or a whole number of seconds, ms, us or ns since 1970 (told apart by its size).
Prices are rounded to the symbol's tick, base volume to its step; the base volume of a bar is volume / close.
"""

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from hedgegridd.exchange.klines import MINUTE_MS
from hedgegridd.exchange.types import SymbolRules

ROWS_MAX = 5_000_000
KINDS = {
    "bars": ("timestamp", "open", "high", "low", "close", "volume"),
    "trades": ("timestamp", "price", "quantity"),
    "quotes": ("timestamp", "bid", "ask"),
}
_SECONDS_BELOW = 10**11

type Row = Mapping[str, Any]


class DataError(ValueError):
    """A file that cannot be replayed; the text names the file, the row and the column."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One recorded minute, in ticks and lots (steps of base volume)."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One recorded trade, in ticks and lots."""

    ts_ms: int
    price: int
    lots: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """One recorded best bid and ask, in ticks."""

    ts_ms: int
    bid: int
    ask: int


type Recording = list[Bar] | list[Trade] | list[Quote]


def read(path: Path, rules: SymbolRules) -> Recording:
    """What a file holds, in ticks and lots of `rules`, in order of time. Raises DataError."""
    try:
        if path.suffix == ".parquet":
            return _collect(path, *_parquet(path), rules)
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or ())
            return _collect(path, names, ((f"line {reader.line_num}", row) for row in reader), rules)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[str, Row]]]:
    # Imported here because it takes a third of a second, and only this kind of file needs it.
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        file = parquet.ParquetFile(path)
    except ArrowException as error:
        raise DataError(f"{path}: cannot be read: {error}") from error

    def rows() -> Iterator[tuple[str, Row]]:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row

    return list(file.schema_arrow.names), rows()


def _collect(path: Path, names: list[str], rows: Iterator[tuple[str, Row]], rules: SymbolRules) -> Recording:
    kind = next((kind for kind, columns in KINDS.items() if set(columns) <= set(names)), None)
    if kind is None:
        needed = "; ".join(f"{kind}: {', '.join(columns)}" for kind, columns in KINDS.items())
        raise DataError(f"{path}: columns {', '.join(names) or '(none)'} are none of {needed}")
    make: Callable[[Row, SymbolRules, str], Any] = {"bars": _bar, "trades": _trade, "quotes": _quote}[kind]
    found: list[Any] = []
    last_ms = -1
    for place, row in rows:
        where = f"{path}, {place}"
        if len(found) >= ROWS_MAX:
            raise DataError(f"{path}: more than {ROWS_MAX} {kind}")
        item = make(row, rules, where)
        now_ms = item.open_ms if kind == "bars" else item.ts_ms
        if now_ms < last_ms or (kind == "bars" and now_ms == last_ms):
            raise DataError(f"{where}: column timestamp: not after the one before")
        last_ms = now_ms
        found.append(item)
    if not found:
        raise DataError(f"{path}: no {kind}")
    return found


def _bar(row: Row, rules: SymbolRules, where: str) -> Bar:
    open_ms = _time_ms(row, where)
    if open_ms % MINUTE_MS:
        raise DataError(f"{where}: column timestamp: {row['timestamp']} is not the start of a minute")
    opened, high, low, close = (_ticks(row, name, rules, where) for name in ("open", "high", "low", "close"))
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise DataError(f"{where}: open and close do not lie between low and high")
    return Bar(
        open_ms, opened, high, low, close, _lots(_number(row, "volume", where) / (close * rules.tick), rules)
    )


def _trade(row: Row, rules: SymbolRules, where: str) -> Trade:
    price = _ticks(row, "price", rules, where)
    return Trade(_time_ms(row, where), price, _lots(_number(row, "quantity", where), rules))


def _quote(row: Row, rules: SymbolRules, where: str) -> Quote:
    quote = Quote(_time_ms(row, where), _ticks(row, "bid", rules, where), _ticks(row, "ask", rules, where))
    if quote.bid >= quote.ask:
        raise DataError(f"{where}: bid {row['bid']} is not below ask {row['ask']} by a tick ({rules.tick})")
    return quote


def _time_ms(row: Row, where: str) -> int:
    value = row["timestamp"]
    text = str(value) if isinstance(value, int | str) else ""
    if text.isascii() and text.isdigit():
        count = int(text)
        while count >= _SECONDS_BELOW * 1000:
            count //= 1000
        return count if count >= _SECONDS_BELOW else count * 1000
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{where}: column timestamp: {value!r} is not a time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _number(row: Row, column: str, where: str) -> Decimal:
    try:
        # str() of a float (Parquet) is its shortest exact writing: 46319.5 stays 46319.5.
        value = Decimal(str(row[column]))
    except InvalidOperation:
        raise DataError(f"{where}: column {column}: {row[column]!r} is not a number") from None
    if not value.is_finite() or value < 0:
        raise DataError(f"{where}: column {column}: {value} must be a finite number, not negative")
    return value


def _ticks(row: Row, column: str, rules: SymbolRules, where: str) -> int:
    ticks = int((_number(row, column, where) / rules.tick).to_integral_value(ROUND_HALF_EVEN))
    if ticks < 1:
        raise DataError(f"{where}: column {column}: {row[column]} is below one tick ({rules.tick})")
    return ticks


def _lots(base: Decimal, rules: SymbolRules) -> int:
    return int((base / rules.step).to_integral_value(ROUND_HALF_EVEN))

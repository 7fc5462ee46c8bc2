"""A market replayed from recorded bars: each bar becomes a path of ticks that reproduces it exactly.

The path of a bar, `points_per_bar` ticks evenly from its open to its last millisecond:
    open -> the extreme nearer to the open -> the other extreme -> close,
with seeded points between, none of which turns back on its way. Within a bar the range of each tick begins at
the price of the one before, so no price is skipped; between two bars it does not, so that a bar's range is its
own (a difference of close and next open is a gap, as it was). The sum of the ticks' volumes is the bar's.

Columns of the CSV (also .gz): timestamp (UTC, bar open), open, high, low, close (USD), volume (USD).
Base volume is volume / close, to the symbol's step. Prices are rounded to the symbol's tick.
Index is last; mark is last smoothed over 10 s of market time (see `MarkFilter`).
"""

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path

import msgspec

from hedgegridd.exchange.book import DecimalCache, DepthModel
from hedgegridd.exchange.klines import MINUTE_MS
from hedgegridd.exchange.types import Kline, SymbolRules, Tick

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
POINTS_MIN = 4
POINTS_MAX = 1_000
BARS_MAX = 2_000_000
SPREAD_BPS = 0.2
MARK_TAU_MS = 10_000
_MARK_SCALE = 1_000_000


class DataError(ValueError):
    """A file that cannot be replayed; the text names the file, the line and the column."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One recorded minute, in ticks and lots (steps of base volume)."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int


class MarkFilter:
    """The mark price: the index smoothed exponentially on the market's clock, time constant 10 s.

    In integers (millionths of a tick), so that it is the same on every machine.
    """

    def __init__(self, ticks: int, ts_ms: int) -> None:
        self._scaled = ticks * _MARK_SCALE
        self._ts_ms = ts_ms

    def at(self, ticks: int, ts_ms: int) -> int:
        """Mark in ticks when the index is `ticks` at `ts_ms`; time that stands still moves nothing."""
        elapsed = ts_ms - self._ts_ms
        if elapsed > 0:
            self._ts_ms = ts_ms
            self._scaled += (ticks * _MARK_SCALE - self._scaled) * elapsed // (MARK_TAU_MS + elapsed)
        return (self._scaled + _MARK_SCALE // 2) // _MARK_SCALE


def _number(row: dict[str, str | None], column: str, where: str) -> Decimal:
    try:
        value = Decimal(row[column] or "")
    except InvalidOperation:
        raise DataError(f"{where}: column {column}: {row[column]!r} is not a number") from None
    if not value.is_finite() or value < 0:
        raise DataError(f"{where}: column {column}: {value} must be a finite number, not negative")
    return value


def _bar(row: dict[str, str | None], rules: SymbolRules, where: str) -> Bar:
    try:
        moment = datetime.fromisoformat(row["timestamp"] or "")
    except ValueError:
        raise DataError(f"{where}: column timestamp: {row['timestamp']!r} is not an ISO time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    open_ms = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if open_ms % MINUTE_MS:
        raise DataError(f"{where}: column timestamp: {row['timestamp']} is not the start of a minute")
    prices = {}
    for column in ("open", "high", "low", "close"):
        ticks = (_number(row, column, where) / rules.tick).to_integral_value(ROUND_HALF_EVEN)
        if ticks < 1:
            raise DataError(f"{where}: column {column}: {row[column]} is below one tick ({rules.tick})")
        prices[column] = int(ticks)
    if (
        not prices["low"]
        <= min(prices["open"], prices["close"])
        <= max(prices["open"], prices["close"])
        <= prices["high"]
    ):
        raise DataError(f"{where}: open and close do not lie between low and high")
    base = _number(row, "volume", where) / (prices["close"] * rules.tick)
    lots = int((base / rules.step).to_integral_value(ROUND_HALF_EVEN))
    return Bar(open_ms, prices["open"], prices["high"], prices["low"], prices["close"], lots)


def read_bars(path: Path, rules: SymbolRules) -> list[Bar]:
    """The bars of a CSV or CSV.gz file, in ticks and lots of `rules`. Raises DataError."""
    bars: list[Bar] = []
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: no column {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
            for row in reader:
                bar = _bar(row, rules, f"{path}, line {reader.line_num}")
                if bars and bar.open_ms <= bars[-1].open_ms:
                    raise DataError(
                        f"{path}, line {reader.line_num}: column timestamp: not after the line before"
                    )
                if len(bars) >= BARS_MAX:
                    raise DataError(f"{path}: more than {BARS_MAX} bars")
                bars.append(bar)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not bars:
        raise DataError(f"{path}: no bars")
    return bars


def _leg(rng: random.Random, start: int, end: int, points: int) -> list[int]:
    """`points` prices from `start` (exclusive) to `end` (the last), never turning back."""
    between = sorted(rng.randint(min(start, end), max(start, end)) for _ in range(points - 1))
    return [*(between if end >= start else reversed(between)), end]


def path_of(bar: Bar, points: int, rng: random.Random) -> list[int]:
    """The `points` prices (ticks) of a bar: open, both extremes, close, and seeded ones between."""
    rising = bar.close >= bar.open
    low_first = bar.open - bar.low < bar.high - bar.open or (
        bar.open - bar.low == bar.high - bar.open and rising
    )
    stations = (bar.low, bar.high, bar.close) if low_first else (bar.high, bar.low, bar.close)
    cuts = sorted(rng.sample(range(1, points - 1), 2))
    prices = [bar.open]
    for station, length in zip(stations, (cuts[0], cuts[1] - cuts[0], points - 1 - cuts[1]), strict=True):
        prices += _leg(rng, prices[-1], station, length)
    return prices


def split_lots(lots: int, points: int, rng: random.Random) -> list[int]:
    """`lots` spread over `points` ticks at random; the sum is `lots`."""
    cuts = sorted(rng.randint(0, lots) for _ in range(points - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, lots], strict=True)]


class ReplayMarket:
    """The recorded bars of one symbol as ticks; the same under the same seed.

    The first `history_bars` bars are history instead of ticks. Raises ValueError for figures out of bounds.
    """

    def __init__(
        self,
        rules: SymbolRules,
        bars: Sequence[Bar],
        *,
        seed: int,
        points_per_bar: int = 12,
        history_bars: int = 0,
    ) -> None:
        if not POINTS_MIN <= points_per_bar <= POINTS_MAX:
            raise ValueError(f"points_per_bar {points_per_bar}: must be {POINTS_MIN} to {POINTS_MAX}")
        if not 0 <= history_bars < len(bars):
            raise ValueError(
                f"history_bars {history_bars}: must be 0 to {len(bars) - 1}, one bar must be left to replay"
            )
        self.symbol = rules.symbol
        self._bars = bars
        self._first = history_bars
        self._points = points_per_bar
        self._rng = random.Random(f"{seed}/{rules.symbol}")
        self._price = DecimalCache(rules.tick)
        self._lots = DecimalCache(rules.step)
        opening = bars[history_bars]
        self._depth = DepthModel(rules, opening.open)
        self._mark = MarkFilter(opening.open, opening.open_ms)
        self._factor = Decimal(1)
        self._gap = False
        self._last = opening.open
        self._path = self._ticks()
        self._coming: tuple[int, int, int, bool] | None = next(self._path)

    def history(self) -> list[Kline]:
        """The first `history_bars` bars as closed 1m klines."""
        return [self._kline(bar) for bar in self._bars[: self._first]]

    def next_ts_ms(self) -> int | None:
        """Market time of the next tick, None after the last bar."""
        return None if self._coming is None else self._coming[0]

    def next(self) -> Tick:
        """The next tick; StopIteration after the last bar."""
        if self._coming is None:
            raise StopIteration
        ts_ms, recorded, lots, opens = self._coming
        self._coming = next(self._path, None)
        last = recorded if self._factor == 1 else max(1, round(recorded * self._factor))
        before = last if opens or self._gap else self._last
        self._gap = False
        self._last = last
        bids, asks = self._depth.around(last, SPREAD_BPS, 100)
        price = self._price.of(last)
        return Tick(
            symbol=self.symbol,
            ts_ms=ts_ms,
            last=price,
            low=self._price.of(min(before, last)),
            high=self._price.of(max(before, last)),
            volume=self._lots.of(lots),
            mark=self._price.of(self._mark.at(last, ts_ms)),
            index=price,
            bids=bids,
            asks=asks,
        )

    def jump(self, factor: Decimal) -> None:
        """From the next tick on every recorded price is `factor` x as high; that tick is a gap.

        Raises ValueError unless factor is finite and above 0.
        """
        if not factor.is_finite() or factor <= 0:
            raise ValueError(f"factor {factor}: must be a finite number above 0")
        self._factor *= factor
        self._gap = True

    def _ticks(self) -> Iterator[tuple[int, int, int, bool]]:
        """(time, price in ticks, lots, whether a bar begins) of every point to replay."""
        for index in range(self._first, len(self._bars)):
            bar = self._bars[index]
            prices = path_of(bar, self._points, self._rng)
            volumes = split_lots(bar.lots, self._points, self._rng)
            for point, (price, lots) in enumerate(zip(prices, volumes, strict=True)):
                yield bar.open_ms + point * (MINUTE_MS - 1) // (self._points - 1), price, lots, point == 0

    def _kline(self, bar: Bar) -> Kline:
        volume = self._lots.of(bar.lots)
        return Kline(
            symbol=self.symbol,
            interval="1m",
            open_ms=bar.open_ms,
            close_ms=bar.open_ms + MINUTE_MS - 1,
            open=self._price.of(bar.open),
            high=self._price.of(bar.high),
            low=self._price.of(bar.low),
            close=self._price.of(bar.close),
            volume=volume,
            quote_volume=volume * self._price.of(bar.close),
            trades=1 if bar.lots else 0,
            closed=True,
        )

"""Candles of the paper exchange: 1m from ticks, longer intervals folded from closed 1m, asked as at the venue.

A candle holds the ticks with open_ms <= ts_ms <= close_ms, so its range is that of its own ticks only. A minute
without a tick is a flat candle of no volume, as the venue shows it. A longer one is anchored at multiples of
its interval since the epoch (UTC), and is open as long as its last minute is not over.
"""

import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from hedgegridd.exchange.types import Kline, Tick, VenueError

MINUTE_MS = 60_000
INTERVALS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1440 * MINUTE_MS,
}
LIMIT_DEFAULT = 500
LIMIT_MAX = 1500
KEEP_CANDLES = 50_000
"""Closed candles kept per symbol and interval: 34 days of minutes, more than the longest replay we ship for."""
FLAT_MINUTES_MAX = 1440
"""A longer silence stays a hole: a market that jumps a year must not make half a million candles in one call."""


class _Series:
    """Candles of one symbol and interval: the closed ones, and the one that is open."""

    def __init__(self) -> None:
        self.closed: deque[Kline] = deque(maxlen=KEEP_CANDLES)
        self.open: Kline | None = None

    def between(self, start_ms: int | None, end_ms: int | None) -> Iterator[Kline]:
        """Candles that open within [start_ms, end_ms], oldest first."""
        first = 0 if start_ms is None else bisect.bisect_left(self.closed, start_ms, key=lambda k: k.open_ms)
        last = (
            len(self.closed)
            if end_ms is None
            else bisect.bisect_right(self.closed, end_ms, key=lambda k: k.open_ms)
        )
        yield from islice(self.closed, first, last)
        tail = self.open
        if (
            tail is not None
            and (start_ms is None or tail.open_ms >= start_ms)
            and (end_ms is None or tail.open_ms <= end_ms)
        ):
            yield tail


def _fold(into: Kline | None, kline: Kline, interval: str, *, closed: bool) -> Kline:
    """The candle of `interval` that `into` becomes when the later 1m candle `kline` joins it."""
    if into is None:
        size = INTERVALS_MS[interval]
        open_ms = kline.open_ms - kline.open_ms % size
        return msgspec.structs.replace(
            kline, interval=interval, open_ms=open_ms, close_ms=open_ms + size - 1, closed=closed
        )
    return msgspec.structs.replace(
        into,
        high=max(into.high, kline.high),
        low=min(into.low, kline.low),
        close=kline.close,
        volume=into.volume + kline.volume,
        quote_volume=into.quote_volume + kline.quote_volume,
        trades=into.trades + kline.trades,
        closed=closed,
    )


class KlineBook:
    """All candles of all symbols. Sync and bounded; feed it every tick in order of time."""

    def __init__(self, history: Iterable[Kline] = ()) -> None:
        """`history`: closed 1m klines, oldest first per symbol. Raises ValueError for anything else."""
        self._series: dict[tuple[str, str], _Series] = {}
        for kline in history:
            if kline.interval != "1m" or not kline.closed:
                raise ValueError(
                    f"history takes closed 1m klines, got {kline.interval} closed={kline.closed}"
                )
            minutes = self._of(kline.symbol, "1m")
            if minutes.closed and kline.open_ms <= minutes.closed[-1].open_ms:
                raise ValueError(f"history of {kline.symbol} is not in order of time at {kline.open_ms}")
            self._close(minutes, kline)

    def on_tick(self, tick: Tick) -> list[Kline]:
        """Book `tick`; returns the 1m candles it closed, oldest first, then the open one.

        Raises ValueError when the tick is older than the open candle.
        """
        minutes = self._of(tick.symbol, "1m")
        open_ms = tick.ts_ms - tick.ts_ms % MINUTE_MS
        changed = self.on_time(tick.symbol, tick.ts_ms)
        current = minutes.open
        traded = 1 if tick.volume else 0
        if current is None:
            if minutes.closed and minutes.closed[-1].open_ms >= open_ms:
                raise ValueError(f"tick of {tick.symbol} at {tick.ts_ms} lies in a candle that is closed")
            current = Kline(
                symbol=tick.symbol,
                interval="1m",
                open_ms=open_ms,
                close_ms=open_ms + MINUTE_MS - 1,
                open=tick.last,
                high=tick.high,
                low=tick.low,
                close=tick.last,
                volume=tick.volume,
                quote_volume=tick.volume * tick.last,
                trades=traded,
                closed=False,
            )
        elif current.open_ms > open_ms:
            raise ValueError(
                f"tick of {tick.symbol} at {tick.ts_ms} is older than its candle {current.open_ms}"
            )
        else:
            current = Kline(
                symbol=current.symbol,
                interval="1m",
                open_ms=open_ms,
                close_ms=current.close_ms,
                open=current.open,
                high=max(current.high, tick.high),
                low=min(current.low, tick.low),
                close=tick.last,
                volume=current.volume + tick.volume,
                quote_volume=current.quote_volume + tick.volume * tick.last,
                trades=current.trades + traded,
                closed=False,
            )
        minutes.open = current
        changed.append(current)
        return changed

    def on_time(self, symbol: str, now_ms: int) -> list[Kline]:
        """Close the 1m candles of `symbol` that are over at market time `now_ms`; returns them, oldest first.

        `on_tick` does it by itself; the server needs it when the market has gone quiet or has ended.
        """
        minutes = self._of(symbol, "1m")
        done: list[Kline] = []
        if minutes.open is not None and minutes.open.close_ms < now_ms:
            done.append(msgspec.structs.replace(minutes.open, closed=True))
            minutes.open = None
            self._close(minutes, done[0])
        if minutes.closed and minutes.open is None:
            next_open = minutes.closed[-1].open_ms + MINUTE_MS
            silent = (now_ms - next_open) // MINUTE_MS
            if silent > FLAT_MINUTES_MAX:
                self._roll(symbol, now_ms)
                silent = 0
            for index in range(silent):
                flat = self._flat(minutes.closed[-1], next_open + index * MINUTE_MS)
                self._close(minutes, flat)
                done.append(flat)
        return done

    def query(
        self,
        symbol: str,
        interval: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> list[Kline]:
        """Candles as `GET /fapi/v1/klines` gives them, the open one included, oldest first.

        By open time within [start_ms, end_ms]: from a start the first `limit` (default 500), else the last.
        Raises VenueError -1120 (interval), -1121 (symbol), -1130 (limit not in 1..1500), -1023 (start > end).
        """
        if interval not in INTERVALS_MS:
            raise VenueError(-1120, "Invalid interval.")
        if (symbol, "1m") not in self._series:
            raise VenueError(-1121, "Invalid symbol.")
        count = LIMIT_DEFAULT if limit is None else limit
        if not 1 <= count <= LIMIT_MAX:
            raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise VenueError(-1023, "Start time is greater than end time.")
        found = self._with_open(symbol, interval).between(start_ms, end_ms)
        if start_ms is not None:
            return list(islice(found, count))
        return list(deque(found, maxlen=count))

    def current(self, symbol: str, interval: str) -> Kline | None:
        """The open candle of `interval` (for a kline stream of it), or None before the first tick."""
        return self._with_open(symbol, interval).open

    def closed_after(self, symbol: str, open_ms: int) -> list[Kline]:
        """The closed minutes that open after `open_ms`, oldest first."""
        closed = self._of(symbol, "1m").closed
        if not closed or closed[-1].open_ms <= open_ms:
            return []
        return list(islice(closed, bisect.bisect_right(closed, open_ms, key=lambda k: k.open_ms), None))

    def last_closed_ms(self, symbol: str) -> int:
        """Open time of the newest closed minute, -1 when there is none."""
        closed = self._of(symbol, "1m").closed
        return closed[-1].open_ms if closed else -1

    def resume(self, kline: Kline) -> None:
        """Go on with an open minute that was kept; its closed ones came as history."""
        self._of(kline.symbol, "1m").open = kline

    def _with_open(self, symbol: str, interval: str) -> _Series:
        """The series asked for, its open candle including the open minute."""
        series = self._of(symbol, interval)
        if interval == "1m":
            return series
        minute = self._of(symbol, "1m").open
        shown = _Series()
        shown.closed = series.closed
        shown.open = series.open if minute is None else _fold(series.open, minute, interval, closed=False)
        return shown

    def _of(self, symbol: str, interval: str) -> _Series:
        key = (symbol, interval)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        return series

    def _roll(self, symbol: str, now_ms: int) -> None:
        """Close the longer candles that a hole in time has left without their last minute."""
        for interval in INTERVALS_MS:
            series = self._of(symbol, interval)
            if series.open is not None and series.open.close_ms < now_ms:
                series.closed.append(msgspec.structs.replace(series.open, closed=True))
                series.open = None

    def _close(self, minutes: _Series, kline: Kline) -> None:
        """Book the closed minute `kline` and fold it into the longer intervals."""
        if minutes.closed and kline.open_ms - minutes.closed[-1].close_ms > 1:
            self._roll(kline.symbol, kline.open_ms)
        minutes.closed.append(kline)
        for interval, size in INTERVALS_MS.items():
            if interval == "1m":
                continue
            series = self._of(kline.symbol, interval)
            over = (kline.open_ms + MINUTE_MS) % size == 0
            folded = _fold(series.open, kline, interval, closed=over)
            if over:
                series.closed.append(folded)
                series.open = None
            else:
                series.open = folded

    @staticmethod
    def _flat(before: Kline, open_ms: int) -> Kline:
        return msgspec.structs.replace(
            before,
            open_ms=open_ms,
            close_ms=open_ms + MINUTE_MS - 1,
            open=before.close,
            high=before.close,
            low=before.close,
            volume=before.volume * 0,  # with its decimals
            quote_volume=before.quote_volume * 0,
            trades=0,
        )

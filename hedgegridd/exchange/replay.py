"""A recorded market replayed as ticks: bars along a path that reproduces them exactly, trades and quotes as they were.

The path of a bar, `points_per_bar` ticks evenly from its open to its last millisecond:
    open -> the extreme nearer to the open -> the other extreme -> close,
with seeded points between, none of which turns back on its way. Within a bar the range of each tick begins at
the price of the one before, so no price is skipped; between two bars it does not, so that a bar's range is its
own (a difference of close and next open is a gap, as it was). The sum of the ticks' volumes is the bar's.

A trade is a tick at its price with its quantity. A quote is a tick of no volume at the price before it, moved into
the new spread where it fell out of it: a price that is bid away has been traded through. Both go on from the tick
before. The displayed best prices are the quote's, or stand around last where the file has none.

Index is last; mark is last smoothed over 10 s of market time (`mark.py`).
"""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from hedgegridd.exchange.book import DecimalCache, DepthModel
from hedgegridd.exchange.klines import MINUTE_MS, KlineBook
from hedgegridd.exchange.mark import MarkFilter
from hedgegridd.exchange.recorded import Bar, Quote, Recording, Trade
from hedgegridd.exchange.types import Kline, SymbolRules, Tick

POINTS_MIN = 4
POINTS_MAX = 1_000
SPREAD_BPS = 0.2


class Point(NamedTuple):
    """One moment to replay, in ticks and lots. `opens`: not joined to the price before. `ask` 0: no quote known."""

    ts_ms: int
    price: int
    lots: int
    opens: bool = False
    bid: int = 0
    ask: int = 0


def _leg(rng: random.Random, start: int, end: int, points: int) -> list[int]:
    """`points` prices from `start` (exclusive) to `end` (the last), never turning back."""
    between = sorted(rng.randint(min(start, end), max(start, end)) for _ in range(points - 1))
    return [*(between if end >= start else reversed(between)), end]


def path_of(bar: Bar, points: int, rng: random.Random) -> list[int]:
    """The `points` prices (ticks) of a bar: open, both extremes, close, and seeded ones between."""
    down, up = bar.open - bar.low, bar.high - bar.open
    low_first = down < up or (down == up and bar.close >= bar.open)
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


def points_of(recording: Recording, points_per_bar: int, rng: random.Random) -> Iterator[Point]:
    """Every moment of a recording, in order of time."""
    last = 0
    for item in recording:
        if isinstance(item, Bar):
            prices = path_of(item, points_per_bar, rng)
            volumes = split_lots(item.lots, points_per_bar, rng)
            for index, (price, lots) in enumerate(zip(prices, volumes, strict=True)):
                after_ms = index * (MINUTE_MS - 1) // (points_per_bar - 1)
                yield Point(item.open_ms + after_ms, price, lots, opens=index == 0)
        elif isinstance(item, Trade):
            yield Point(item.ts_ms, item.price, item.lots)
        else:
            last = min(max(last, item.bid), item.ask) if last else _middle(item)
            yield Point(item.ts_ms, last, 0, bid=item.bid, ask=item.ask)


def _middle(quote: Quote) -> int:
    return (quote.bid + quote.ask) // 2


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """All that moves in a replay: points taken, last price in ticks, and the drills done to it."""

    taken: int
    last: int
    factor: Decimal
    gap: bool
    mark: tuple[int, int]


class ReplayMarket:
    """The recording of one symbol as ticks; the same under the same seed.

    Its first `history_bars` minutes are history instead of ticks. Raises ValueError for figures out of bounds.
    """

    def __init__(
        self,
        rules: SymbolRules,
        recording: Recording,
        *,
        seed: int,
        points_per_bar: int = 12,
        history_bars: int = 0,
    ) -> None:
        if not POINTS_MIN <= points_per_bar <= POINTS_MAX:
            raise ValueError(f"points_per_bar {points_per_bar}: must be {POINTS_MIN} to {POINTS_MAX}")
        if history_bars < 0:
            raise ValueError(f"history_bars {history_bars}: must not be negative")
        self.symbol = rules.symbol
        self._price = DecimalCache(rules.tick)
        self._lots = DecimalCache(rules.step)
        self._taken = 0
        self._points = points_of(recording, points_per_bar, random.Random(f"{seed}/{rules.symbol}"))
        first = next(self._points)
        self._coming: Point | None = first
        self._depth = DepthModel(rules, first.price)
        self._mark = MarkFilter(first.price, first.ts_ms)
        self._factor = Decimal(1)
        self._gap = True  # before the first tick there is no price to go on from
        self._last = first.price
        self._history = self._past(first.ts_ms - first.ts_ms % MINUTE_MS + history_bars * MINUTE_MS)
        if self._coming is None:
            raise ValueError(f"history_bars {history_bars}: leaves nothing to replay")

    def history(self) -> list[Kline]:
        """The first `history_bars` minutes as closed 1m klines."""
        return list(self._history)

    def next_ts_ms(self) -> int | None:
        """Market time of the next tick, None at the end of the recording."""
        return None if self._coming is None else self._coming.ts_ms

    def next(self) -> Tick:
        """The next tick; StopIteration at the end of the recording."""
        point = self._coming
        if point is None:
            raise StopIteration
        self._coming = next(self._points, None)
        self._taken += 1
        last = self._scaled(point.price)
        before = last if point.opens or self._gap else self._last
        self._gap = False
        self._last = last
        if point.ask:
            bid = self._scaled(point.bid)
            bids, asks = self._depth.between(bid, max(bid + 1, self._scaled(point.ask)), 100)
        else:
            bids, asks = self._depth.around(last, SPREAD_BPS, 100)
        price = self._price.of(last)
        return Tick(
            symbol=self.symbol,
            ts_ms=point.ts_ms,
            last=price,
            low=self._price.of(min(before, last)),
            high=self._price.of(max(before, last)),
            volume=self._lots.of(point.lots),
            mark=self._price.of(self._mark.at(last, point.ts_ms)),
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

    def save(self) -> bytes:
        """Where the replay stands."""
        saved = _Saved(
            taken=self._taken, last=self._last, factor=self._factor, gap=self._gap, mark=self._mark.save()
        )
        return msgspec.msgpack.encode(saved)

    def restore(self, data: bytes) -> None:
        """Stand where the replay that gave `data` stood. Raises ValueError when this one is past that already."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        if saved.taken < self._taken:
            raise ValueError(f"state: the replay was kept at point {saved.taken}, before the first tick")
        while self._taken < saved.taken:
            self._coming = next(self._points, None)
            self._taken += 1
        self._last, self._factor, self._gap = saved.last, saved.factor, saved.gap
        self._mark.restore(saved.mark)

    def pass_over(self, ms: int) -> None:
        """A recording has its own times: it goes on where it was."""

    def _scaled(self, ticks: int) -> int:
        return ticks if self._factor == 1 else max(1, round(ticks * self._factor))

    def _past(self, end_ms: int) -> list[Kline]:
        """The klines of all ticks before `end_ms`."""
        book = KlineBook()
        klines: list[Kline] = []
        while self._coming is not None and self._coming.ts_ms < end_ms:
            klines += (kline for kline in book.on_tick(self.next()) if kline.closed)
        return klines + book.on_time(self.symbol, end_ms)

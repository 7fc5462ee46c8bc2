"""Bars of one instrument: history for warm-up and gaps from the venue's klines, joined with the live ones."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec
import structlog

from hedgegridd.config import Grid
from hedgegridd.core.check_grid import BAR_SECONDS
from hedgegridd.messages import BarClosed
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.feed import BarSequence, Feed
from hedgegridd.venue.rest import VenueCallError

KLINES_MAX = 1_500  # the venue's most in one answer
GAP_TRIES = 10
PAUSE_S = 0.5
PAUSE_MAX_S = 10.0
_NS_PER_MS = 1_000_000
_log = structlog.get_logger("venue.bars")


class Bars:
    """`live` takes the stream's bars; `fill` brings history whenever the sequence wants it."""

    def __init__(
        self,
        grid: Grid,
        calls: VenueCalls,
        feed: Feed,
        publish: Callable[[BarClosed], object],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        warm_up_s: int = 0,
    ) -> None:
        """`warm_up_s`: the first history reaches so far back at least, if the venue gives that much in one answer."""
        self._grid = grid
        self._warm_up_s = warm_up_s
        self._calls = calls
        self._feed = feed
        self._publish = publish
        self._sleep = sleep
        self._sequence = BarSequence()
        self._filling = False

    def live(self, bar: BarClosed) -> bool:
        """A bar of the stream, told with the book as of now; True when `fill` is needed."""
        bid, ask = self._feed.book()
        self._tell(self._sequence.live(msgspec.structs.replace(bar, bid=bid, ask=ask)))
        return self._sequence.wants_history and not self._filling

    async def fill(self) -> None:
        """Fetch what is missing; after `GAP_TRIES` in vain the bars that wait go through as they are."""
        self._filling = True
        try:
            await self._fill()
        finally:
            self._filling = False

    async def _fill(self) -> None:
        pause_s = PAUSE_S
        for left in range(GAP_TRIES - 1, -1, -1):
            bars = await self._fetched(pause_s)
            if bars is not None:
                self._tell(self._sequence.history(bars))
                if not self._sequence.wants_history:
                    return
            if left:
                await self._sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        _log.error("bars are missing", instrument=self._grid.instrument_id)
        self._tell(self._sequence.give_up())

    async def _fetched(self, pause_s: float) -> list[BarClosed] | None:
        try:
            return await self._closed_bars()
        except VenueCallError as error:
            _log.warning("no klines", instrument=self._grid.instrument_id, error=str(error))
            await self._sleep(max(0.0, error.failure.retry_after_s - pause_s))
            return None

    async def _closed_bars(self) -> list[BarClosed]:
        grid = self._grid
        # The clock first: a bar that had closed by then is closed in an answer that comes later.
        market_ms = await self._calls.market_ms(grid.symbol)
        last_ns = self._sequence.last_close_ns
        if last_ns is None:
            wanted = max(grid.bars_to_warm, -(-self._warm_up_s // BAR_SECONDS[grid.bar])) + 1
            rows = await self._calls.klines(grid.symbol, grid.bar, limit=min(wanted, KLINES_MAX))
        else:
            start_ms = last_ns // _NS_PER_MS + 1
            rows = await self._calls.klines(grid.symbol, grid.bar, limit=KLINES_MAX, start_ms=start_ms)
        bars = [self._bar(row) for row in rows]
        if market_ms is None:
            return bars[:-1]  # the newest row is the bar that is still open
        return [bar for bar in bars if bar.close_ns < market_ms * _NS_PER_MS]

    def _bar(self, row: list[int | str]) -> BarClosed:
        return BarClosed(
            instrument=self._grid.instrument_id,
            open_ns=int(row[0]) * _NS_PER_MS,
            close_ns=int(row[6]) * _NS_PER_MS,
            open=Decimal(row[1]),
            high=Decimal(row[2]),
            low=Decimal(row[3]),
            close=Decimal(row[4]),
            volume=Decimal(row[5]),
            warmup=True,
        )

    def _tell(self, bars: list[BarClosed]) -> None:
        for bar in bars:
            self._publish(bar)

"""A pure filter from ticks to what machines see: marks at most once a second of market time, crossed levels, bars.

Prices of the book come as integers scaled by `SCALE` (NautilusTrader's own raw figures), so that a tick costs
integer comparisons only; they become `Decimal` when something is told.
"""

from collections.abc import Sequence
from decimal import Decimal

from hedgegridd.messages import BarClosed, MarkPrice, PriceCrossed

type Told = MarkPrice | PriceCrossed

SCALE = 10**16
MARK_EVERY_NS = 1_000_000_000
WATCHES_MAX = 1_000  # of one instrument and direction
_NEVER_ABOVE = 1 << 200
_NEVER_BELOW = -1


class TooManyWatches(ValueError):  # noqa: N818  # reads as the event it is
    """A machine asked to be woken at more levels than the bound."""


def to_raw(price: Decimal) -> int:
    """A price as a scaled integer, exact.

    Raises:
        ValueError: the price has more decimals than the scale.
    """
    raw = price * SCALE
    if raw != raw.to_integral_value():
        raise ValueError(f"price {price} has more than 16 decimals")
    return int(raw)


def to_decimal(raw: int, tick: Decimal) -> Decimal:
    """A scaled integer as a price with the digits of the tick."""
    return (Decimal(raw) / SCALE).quantize(tick)


class Feed:
    """The filter of one instrument. All times are the market's, in nanoseconds."""

    def __init__(self, instrument: str, tick: Decimal) -> None:
        self.instrument = instrument
        self._tick = tick
        self._bid = 0
        self._ask = 0
        self._mark = 0
        self._mark_told_ns: int | None = None
        self._now_ns = 0
        self._above: list[int] = []  # raw levels, ascending
        self._below: list[int] = []  # raw levels, descending
        self._next_above2 = _NEVER_ABOVE  # twice the nearest level, compared with bid + ask
        self._next_below2 = _NEVER_BELOW

    @property
    def mark(self) -> Decimal | None:
        """The newest mark price."""
        return to_decimal(self._mark, self._tick) if self._mark else None

    def book(self) -> tuple[Decimal | None, Decimal | None]:
        """Best bid and ask, None before the first."""
        if not self._bid or not self._ask:
            return None, None
        return to_decimal(self._bid, self._tick), to_decimal(self._ask, self._tick)

    def watch(self, above: Sequence[Decimal], below: Sequence[Decimal]) -> list[Told]:
        """Replace the watched levels; a level that is reached already is told at once.

        Raises:
            TooManyWatches: more than `WATCHES_MAX` in a direction.
        """
        if len(above) > WATCHES_MAX or len(below) > WATCHES_MAX:
            raise TooManyWatches(f"{self.instrument}: {len(above)} above, {len(below)} below")
        self._above = sorted({to_raw(level) for level in above})
        self._below = sorted({to_raw(level) for level in below}, reverse=True)
        self._aim()
        events = self._crossed(self._bid + self._ask) if self._bid and self._ask else []
        if self._mark:
            events += self._crossed(2 * self._mark)
        return events

    def on_book(self, bid: int, ask: int, market_ns: int) -> Sequence[Told]:
        """A new best bid and ask (scaled); the levels that the mid has reached. `market_ns` 0: not told."""
        self._bid, self._ask = bid, ask
        self._now_ns = max(self._now_ns, market_ns)
        twice = bid + ask
        if self._next_below2 < twice < self._next_above2:
            return ()
        return self._crossed(twice)

    def on_mark(
        self, mark: int, market_ns: int, funding_rate: Decimal | None, next_funding_ns: int | None
    ) -> list[Told]:
        """A new mark (scaled): levels it has reached, and the mark itself when a second has passed."""
        self._mark = mark
        self._now_ns = max(self._now_ns, market_ns)
        events: list[Told] = []
        told_ns = self._mark_told_ns
        # A step back of the market's clock (a restarted replay) must not silence the marks.
        if told_ns is None or market_ns - told_ns >= MARK_EVERY_NS or market_ns < told_ns:
            self._mark_told_ns = market_ns
            bid, ask = self.book()
            events.append(
                MarkPrice(
                    instrument=self.instrument,
                    market_ns=market_ns,
                    mark=to_decimal(mark, self._tick),
                    bid=bid,
                    ask=ask,
                    funding_rate=funding_rate,
                    next_funding_ns=next_funding_ns,
                )
            )
        if not self._next_below2 < 2 * mark < self._next_above2:
            events += self._crossed(2 * mark)
        return events

    def _crossed(self, twice: int) -> list[Told]:
        events: list[Told] = []
        while self._above and 2 * self._above[0] <= twice:
            events.append(self._told(self._above.pop(0), twice))
        while self._below and 2 * self._below[0] >= twice:
            events.append(self._told(self._below.pop(0), twice))
        self._aim()
        return events

    def _told(self, level: int, twice: int) -> PriceCrossed:
        bid, ask = self.book()
        # Before the first mark the mid that crossed stands for it.
        mark = self._mark or twice // 2
        return PriceCrossed(
            instrument=self.instrument,
            market_ns=self._now_ns,
            level=to_decimal(level, self._tick),
            mark=to_decimal(mark, self._tick),
            bid=bid,
            ask=ask,
        )

    def _aim(self) -> None:
        self._next_above2 = 2 * self._above[0] if self._above else _NEVER_ABOVE
        self._next_below2 = 2 * self._below[0] if self._below else _NEVER_BELOW


class BarSequence:
    """Joins history and live bars of one instrument into one gapless sequence without doubles.

    Live bars that come before the history are held (bounded). A live bar that does not follow the last one
    leaves a gap, which the owner fills from the venue and hands in by `history`.
    """

    HELD_MAX = 10_000

    def __init__(self) -> None:
        self._last_close_ns: int | None = None
        self._held: list[BarClosed] = []
        self._filling = True

    @property
    def last_close_ns(self) -> int | None:
        """Close of the newest bar that was let through."""
        return self._last_close_ns

    @property
    def wants_history(self) -> bool:
        """True while live bars are held until `history` comes."""
        return self._filling

    def live(self, bar: BarClosed) -> list[BarClosed]:
        """A bar of the stream: it goes through, is dropped as a double, or is held and opens a gap."""
        if self._filling:
            if len(self._held) >= self.HELD_MAX:
                raise OverflowError(f"{bar.instrument}: {self.HELD_MAX} bars wait for their history")
            self._held.append(bar)
            return []
        if self._is_double(bar):
            return []
        if not self._follows(bar):
            self._filling = True
            self._held.append(bar)
            return []
        self._last_close_ns = bar.close_ns
        return [bar]

    def history(self, bars: Sequence[BarClosed]) -> list[BarClosed]:
        """Closed bars of the venue, oldest first: what is new of them, then what was held behind them.

        When a held bar still does not follow, it stays held and `wants_history` stays True.
        """
        out: list[BarClosed] = []
        for bar in bars:
            if not self._is_double(bar):
                self._last_close_ns = bar.close_ns
                out.append(bar)
        held, self._held = self._held, []
        self._filling = False
        for bar in held:
            out += self.live(bar)
        return out

    def give_up(self) -> list[BarClosed]:
        """The venue cannot fill the gap: let the held bars through as they are."""
        held, self._held = self._held, []
        self._filling = False
        out = []
        for bar in held:
            if not self._is_double(bar):
                self._last_close_ns = bar.close_ns
                out.append(bar)
        return out

    def _is_double(self, bar: BarClosed) -> bool:
        return self._last_close_ns is not None and bar.close_ns <= self._last_close_ns

    def _follows(self, bar: BarClosed) -> bool:
        # The venue's close is the last millisecond of the bar, the next open one millisecond later.
        return self._last_close_ns is None or bar.open_ns <= self._last_close_ns + 1_000_000

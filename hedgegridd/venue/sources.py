"""Publishes what guards judge the venue by: health of our calls, use of its limits, books, reference prices."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal

import structlog

from hedgegridd.core.polling import DEPTH_EVERY_S, REFERENCE_EVERY_S
from hedgegridd.messages import BookDepth, CallsCounted, Event, ReferencePrice, VenueHealth
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.depth import ENOUGH_USDT, LEVELS, Depth, depth_of, spread_bps
from hedgegridd.venue.failures import Failure, Kind
from hedgegridd.venue.feed import Feed
from hedgegridd.venue.health import CallMeter
from hedgegridd.venue.rest import VenueCallError

PROVIDER = "binance_usdm"
HEALTH_S = 1.0
SPREAD_MOVED_BPS = Decimal(5)  # told between two readings of the depth
_NS_PER_MS = 1_000_000
_log = structlog.get_logger("venue.sources")


class Sources:
    """The loops run until they are cancelled.

    Args:
        calls: of the venue; each of them is heard by `called`.
        symbols: of the instruments.
        feeds: their ticks, filled while the venue is up.
        references: symbols whose last price is told every `REFERENCE_EVERY_S`; empty: none is asked for.
        user_age_s: seconds since the user stream last spoke, at a monotonic time.
        publish: puts an event on the bus.
    """

    def __init__(
        self,
        calls: VenueCalls,
        symbols: Mapping[str, str],
        feeds: Mapping[str, Feed],
        *,
        references: Sequence[str],
        user_age_s: Callable[[int], float | None],
        mono_ns: Callable[[], int],
        publish: Callable[[Event], None],
    ) -> None:
        self._calls = calls
        self._symbols = symbols
        self._feeds = feeds
        self._references = references
        self._user_age_s = user_age_s
        self._mono_ns = mono_ns
        self._publish = publish
        self._meter = CallMeter()
        self._last: tuple[bool, int] | None = None  # of the newest call: answered, and when
        self._depths: dict[str, Depth] = {}
        self._told_bps: dict[str, Decimal] = {}
        self._telling = False
        calls.http.on_call = self.called

    def loops(self) -> list[Coroutine[None, None, None]]:
        """What must run while the venue is up; from now on things are told, calls are counted before as well."""
        self._telling = True
        works = [self._health_loop(), self._depth_loop()]
        if self._references:
            works.append(self._reference_loop())
        return works

    # --- health -------------------------------------------------------------------------------

    def by_connection(self, endpoint: str, failure: Failure | None) -> None:
        """A call of the trading connection is over; it does not say how long it took."""
        self._calls.http.stats.calls[endpoint, "ok" if failure is None else failure.kind.value] += 1
        self.called(failure, None)

    def called(self, failure: Failure | None, took_ns: int | None) -> None:
        """A call is over; a failed one is told at once."""
        answered = failure is None or failure.shows_a_venue
        now_ns = self._mono_ns()
        limited = failure is not None and failure.kind is Kind.LIMITED
        self._meter.called(now_ns, failed=not answered, took_ns=took_ns, limited=limited)
        self._last = (answered, now_ns)
        if self._telling and not answered:
            self.tell_health()

    async def _health_loop(self) -> None:
        while True:
            self.tell_health()
            counted = self._meter.counted(self._mono_ns())
            self._publish(
                CallsCounted(provider=PROVIDER, burst=counted.burst, minute=counted.minute, hour=counted.hour)
            )
            await asyncio.sleep(HEALTH_S)

    def burst(self) -> int:
        """Calls of the last 10 s."""
        return self._meter.counted(self._mono_ns()).burst

    def tell_health(self) -> None:
        """Publish the venue's health as it is now."""
        now_ns, meter, http = self._mono_ns(), self._meter, self._calls.http
        age_s = self._user_age_s(now_ns)
        self._publish(
            VenueHealth(
                calls=meter.counted(now_ns).minute,
                failed=meter.failed(now_ns),
                last_ok=None if self._last is None else self._last[0],
                last_call_age_ms=None if self._last is None else (now_ns - self._last[1]) // _NS_PER_MS,
                uptime_pct=meter.uptime_pct(now_ns),
                latency_p95_ms=meter.latency_p95_ms(now_ns),
                weight_used=http.weight_used(),
                orders_used=self._calls.orders.used(now_ns),
                clock_offset_ms=http.clock_offset_ms,
                clock_age_s=http.clock_age_s(),
                banned_until_ns=http.banned_until_ns(),
                user_stream_age_s=None if age_s is None else Decimal(f"{age_s:.3f}"),
            )
        )

    # --- books --------------------------------------------------------------------------------

    async def _depth_loop(self) -> None:
        while True:
            for instrument in self._symbols:
                await self._read_depth(instrument)
            for _ in range(DEPTH_EVERY_S):
                await asyncio.sleep(1.0)
                for instrument in self._symbols:
                    self._look_at_spread(instrument)

    async def _read_depth(self, instrument: str) -> None:
        self._depths.pop(instrument, None)
        try:
            depth = await self._measure(self._symbols[instrument])
        except VenueCallError as error:
            # It is not told of then: its absence speaks.
            _log.warning("book not read", instrument=instrument, error=str(error))
            return
        if depth is None:
            _log.warning("a side of the book is empty", instrument=instrument)
            return
        self._depths[instrument] = depth
        self._tell_depth(instrument, depth.spread_bps, depth)

    async def _measure(self, symbol: str) -> Depth | None:
        """Ask for more levels only while those that came neither reach the distance nor are enough."""
        depth = None
        for levels in LEVELS:
            book = await self._calls.depth(symbol, levels)
            depth = depth_of(book.bids, book.asks, levels)
            if depth is None or depth.whole or depth.depth_usdt >= ENOUGH_USDT:
                break
        return depth

    def _look_at_spread(self, instrument: str) -> None:
        depth, feed = self._depths.get(instrument), self._feeds.get(instrument)
        if depth is None or feed is None:
            return
        bid, ask = feed.book()
        if bid is None or ask is None:
            return
        now_bps = spread_bps(bid, ask)
        if abs(now_bps - self._told_bps[instrument]) >= SPREAD_MOVED_BPS:
            self._tell_depth(instrument, now_bps, depth)

    def _tell_depth(self, instrument: str, now_bps: Decimal, depth: Depth) -> None:
        self._told_bps[instrument] = now_bps
        self._publish(BookDepth(instrument=instrument, spread_bps=now_bps, depth_usdt=depth.depth_usdt))

    # --- prices of others ---------------------------------------------------------------------

    async def _reference_loop(self) -> None:
        while True:
            try:
                prices = await self._calls.prices()
            except VenueCallError as error:
                _log.warning("reference prices not read", error=str(error))
                prices = {}
            for symbol in self._references:
                if symbol in prices:
                    self._publish(ReferencePrice(symbol=symbol, price=prices[symbol]))
            await asyncio.sleep(REFERENCE_EVERY_S)

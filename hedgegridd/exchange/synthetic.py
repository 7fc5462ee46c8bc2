"""A synthetic market: seeded ticks in the style of a schedule of regimes (see `regimes.py`).

The random walk itself is in floats: its figures come from nowhere and are owed to nobody. What leaves is rounded
to whole ticks and lots first and is exact from there on. Index is last; mark is last smoothed (`MarkFilter`).
Ticks are evenly spaced in market time, 1/tick_rate apart; several may share a millisecond.
"""

import math
import random
from decimal import Decimal

import msgspec

from hedgegridd.exchange.book import DecimalCache, DepthModel
from hedgegridd.exchange.klines import MINUTE_MS, KlineBook
from hedgegridd.exchange.mark import MarkFilter
from hedgegridd.exchange.regimes import SCHEDULES, Regime, Schedule
from hedgegridd.exchange.types import Kline, SymbolRules, Tick

TICK_RATE_MAX = Decimal(15_000)
TICK_RATE_MIN = Decimal("0.02")
HISTORY_BARS_MAX = 20_000
HISTORY_TICKS_PER_BAR = 6
START_PRICES = {
    "BTCUSDT": Decimal(65_000),
    "ETHUSDT": Decimal(3_500),
    "BNBUSDT": Decimal(600),
    "SOLUSDT": Decimal(150),
    "XRPUSDT": Decimal("0.6"),
    "USDCUSDT": Decimal(1),
}
START_PRICE_OTHER = Decimal(100)
_NANOS = 1_000_000_000
_DRAWN = 20
"""The walk is kept within a twentieth and twenty times its level: a market does not end."""
_SIZE_POWER = 5 / 3
"""Trade sizes are Weibull of shape 0.6: the 90th percentile is seven times the median, as in captured trades."""
_SIZE_MEAN = math.gamma(1 + _SIZE_POWER)
BURST_S = 300.0
MOOD_S = 21_600.0
_UNITS_MAX = 3.0
_FELT_EVERY_S = 1.0


class _Mood:
    """What volatility and trading are multiplied by now: two slow noises, one forgotten in minutes, one in hours.

    Both are kept in units of their standard deviation, which the regime says; so they outlast a change of regime.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._burst = self._mood = self._since_s = 0.0
        self.rough = self.busy = 1.0

    def save(self) -> tuple[float, float, float, float, float]:
        """Its figures, for `restore`."""
        return self._burst, self._mood, self._since_s, self.rough, self.busy

    def restore(self, saved: tuple[float, float, float, float, float]) -> None:
        """Go on as the one that gave `saved`."""
        self._burst, self._mood, self._since_s, self.rough, self.busy = saved

    def step(self, regime: Regime, seconds: float) -> None:
        """Let `seconds` go by; it changes once a second at most, so that 15,000 ticks a second stay cheap."""
        self._since_s += seconds
        if self._since_s < _FELT_EVERY_S:
            return
        since_s, self._since_s = self._since_s, 0.0
        if not regime.burst and not regime.mood:
            self.rough = self.busy = 1.0
            return
        self._burst = self._moved(self._burst, since_s / BURST_S)
        self._mood = self._moved(self._mood, since_s / MOOD_S)
        log = regime.burst * self._burst + regime.mood * self._mood
        variance = regime.burst**2 + regime.mood**2
        self.rough = math.exp(log - variance)  # its mean square is 1
        self.busy = math.exp(log - variance / 2)  # its mean is 1

    def _moved(self, units: float, share: float) -> float:
        kept = math.exp(-share)
        units = units * kept + math.sqrt(1 - kept * kept) * self._rng.gauss(0.0, 1.0)
        return min(max(units, -_UNITS_MAX), _UNITS_MAX)


class _Walk:
    """Price as a float, moved tick by tick through the schedule."""

    def __init__(self, rng: random.Random, schedule: Schedule, price: float) -> None:
        self._rng = rng
        self._schedule = schedule
        self._level = price
        self.price = price
        self.gapped = False
        self.mood = _Mood(rng)
        self.restart()

    def restart(self) -> None:
        """Begin the schedule anew at the price that is."""
        self._phase = 0
        self._enter(self.price)

    def scale(self, factor: float) -> None:
        """Multiply price, target and level."""
        self.price *= factor
        self._anchor *= factor
        self._level *= factor
        self.gapped = True

    def save(self) -> tuple[float, float, bool, int, float, float]:
        """Its figures, for `restore`."""
        return self.price, self._level, self.gapped, self._phase, self._since_s, self._anchor

    def restore(self, saved: tuple[float, float, bool, int, float, float]) -> None:
        """Go on as the walk that gave `saved`; the random numbers are the market's to restore."""
        self.price, self._level, self.gapped, self._phase, since_s, anchor = saved
        self._enter(anchor)
        self._since_s = since_s

    @property
    def regime(self) -> Regime:
        """The regime that is on."""
        return self._regime

    def _enter(self, anchor: float) -> None:
        self._regime, self._lasts_s = self._schedule[self._phase]
        self._since_s = 0.0
        self._anchor = anchor

    def _target(self) -> float:
        """Where the regime would have price now."""
        regime, since = self._regime, self._since_s
        bps = regime.drift_bps * since
        if regime.swing_bps:
            bps += regime.swing_bps * math.sin(math.tau * since / regime.swing_s)
        return self._anchor * (1 + bps / 1e4)

    def step(self, seconds: float) -> None:
        """Move by one tick."""
        self._since_s += seconds
        while self._since_s >= self._lasts_s:
            # A regime that holds price hands over the target it ends at, not the noise around it: a schedule whose
            # targets come back to where they began can then run for days.
            spare_s = self._since_s - self._lasts_s
            self._since_s = self._lasts_s
            anchor = self._target() if self._regime.pull else self.price
            self._phase = (self._phase + 1) % len(self._schedule)
            self._enter(anchor)
            self._since_s = spare_s
        regime = self._regime
        self.mood.step(regime, seconds)
        price = self.price
        price += (
            price * regime.vol_bps * self.mood.rough * 1e-4 * math.sqrt(seconds) * self._rng.gauss(0.0, 1.0)
        )
        if regime.pull:
            price += (self._target() - price) * min(1.0, regime.pull * seconds)
        if regime.jumps_per_hour and self._rng.random() < regime.jumps_per_hour * seconds / 3600:
            price *= 1 + self._rng.choice((-1, 1)) * regime.jump_bps * (0.5 + self._rng.random()) / 1e4
            if regime.jump_is_gap:
                self.gapped = True
                self._anchor = price
        self.price = min(max(price, self._level / _DRAWN), self._level * _DRAWN)


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """All that moves in a market: `random` as `Random.getstate` gives it, the rest as the attributes have it."""

    random: tuple[int, tuple[int, ...], float | None]
    walk: tuple[float, float, bool, int, float, float]
    last: int
    mark: tuple[int, int]
    start_ns: int
    made: int
    mood: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 1.0, 1.0)


class SyntheticMarket:
    """Ticks of one symbol that never end; the same under the same seed.

    `tick_rate`: ticks per second of market time. `history_bars` closed minutes lie before `start_ms`, made by the
    same schedule, which begins anew at the first tick. Raises ValueError for figures out of bounds.
    """

    def __init__(
        self,
        rules: SymbolRules,
        *,
        seed: int,
        start_ms: int,
        tick_rate: Decimal = Decimal(10),
        regime: str = "demo",
        history_bars: int = 240,
        start_price: Decimal | None = None,
    ) -> None:
        if regime not in SCHEDULES:
            raise ValueError(f"regime {regime!r}: must be one of {', '.join(SCHEDULES)}")
        if not TICK_RATE_MIN <= tick_rate <= TICK_RATE_MAX:
            raise ValueError(f"tick_rate {tick_rate}: must be {TICK_RATE_MIN} to {TICK_RATE_MAX} a second")
        if not 0 <= history_bars <= HISTORY_BARS_MAX:
            raise ValueError(f"history_bars {history_bars}: must be 0 to {HISTORY_BARS_MAX}")
        if start_ms < history_bars * MINUTE_MS:
            raise ValueError(f"start_ms {start_ms}: must leave room for {history_bars} minutes of history")
        price = start_price if start_price is not None else START_PRICES.get(rules.symbol, START_PRICE_OTHER)
        if price < rules.tick * 100:
            raise ValueError(f"start_price {price}: must be at least 100 ticks of {rules.tick}")
        self.symbol = rules.symbol
        self._rng = random.Random(f"{seed}/{rules.symbol}")
        self._walk = _Walk(self._rng, SCHEDULES[regime], float(price))
        self._tick = float(rules.tick)
        self._step = float(rules.step)
        self._price = DecimalCache(rules.tick)
        self._lots = DecimalCache(rules.step)
        self._depth = DepthModel(rules, round(price / rules.tick))
        self._last = round(price / rules.tick)
        self._mark = MarkFilter(self._last, start_ms - history_bars * MINUTE_MS)
        self._history = self._past(start_ms - start_ms % MINUTE_MS, history_bars)
        self._walk.restart()
        self._start_ns = start_ms * 1_000_000
        self._interval_ns = round(_NANOS / tick_rate)
        self._seconds = self._interval_ns / _NANOS
        self._made = 0

    def history(self) -> list[Kline]:
        """The closed minutes before the first tick, oldest first."""
        return list(self._history)

    def next_ts_ms(self) -> int | None:
        """Market time of the next tick."""
        return (self._start_ns + (self._made + 1) * self._interval_ns) // 1_000_000

    def next(self) -> Tick:
        """The next tick."""
        self._made += 1
        return self._tick_at((self._start_ns + self._made * self._interval_ns) // 1_000_000, self._seconds)

    def jump(self, factor: Decimal) -> None:
        """From the next tick on the price level is `factor` x as high; that tick is a gap.

        Raises ValueError unless factor is finite and above 0.
        """
        if not factor.is_finite() or factor <= 0:
            raise ValueError(f"factor {factor}: must be a finite number above 0")
        self._walk.scale(float(factor))

    def save(self) -> bytes:
        """Where the market stands."""
        return msgspec.msgpack.encode(
            _Saved(
                random=self._rng.getstate(),
                walk=self._walk.save(),
                last=self._last,
                mark=self._mark.save(),
                start_ns=self._start_ns,
                made=self._made,
                mood=self._walk.mood.save(),
            )
        )

    def restore(self, data: bytes) -> None:
        """Stand where the market that gave `data` stood."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self._rng.setstate(saved.random)
        self._walk.restore(saved.walk)
        self._walk.mood.restore(saved.mood)
        self._last, self._start_ns, self._made = saved.last, saved.start_ns, saved.made
        self._mark.restore(saved.mark)

    def pass_over(self, ms: int) -> None:
        """Let `ms` go by without a tick."""
        self._start_ns += ms * 1_000_000

    def _tick_at(self, ts_ms: int, seconds: float) -> Tick:
        walk = self._walk
        walk.step(seconds)
        last = max(1, round(walk.price / self._tick))
        before = last if walk.gapped else self._last
        walk.gapped = False
        regime = walk.regime
        # Most trades are small and a few large. Floor of (mean x size + uniform(0, 1)) has exactly that mean where
        # size has mean 1, for means below one lot too.
        mean_lots = regime.usdt_per_s * walk.mood.busy * seconds / (walk.price * self._step)
        size = (-math.log(1.0 - self._rng.random())) ** _SIZE_POWER / _SIZE_MEAN
        lots = int(mean_lots * size + self._rng.random())
        if last != self._last and lots == 0:
            lots = 1
        self._last = last
        bids, asks = self._depth.around(last, regime.spread_bps, regime.size_pct)
        price = self._price.of(last)
        return Tick(
            symbol=self.symbol,
            ts_ms=ts_ms,
            last=price,
            low=price if before >= last else self._price.of(before),
            high=price if before <= last else self._price.of(before),
            volume=self._lots.of(lots),
            mark=self._price.of(self._mark.at(last, ts_ms)),
            index=price,
            bids=bids,
            asks=asks,
        )

    def _past(self, end_ms: int, bars: int) -> list[Kline]:
        """`bars` closed minutes that end at `end_ms`, made with a few ticks each."""
        spacing_ms = MINUTE_MS // HISTORY_TICKS_PER_BAR
        klines: list[Kline] = []
        book = KlineBook()
        for index in range(bars * HISTORY_TICKS_PER_BAR):
            tick = self._tick_at(end_ms - bars * MINUTE_MS + index * spacing_ms, spacing_ms / 1000)
            klines += (kline for kline in book.on_tick(tick) if kline.closed)
        klines += book.on_time(self.symbol, end_ms)
        return klines

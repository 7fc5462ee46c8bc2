"""Reads the market's direction from closed bars: EMA spread, Wilder's ADX and ATR (spec/2-strategy.md, Regime).

All arithmetic runs in one fixed decimal context of 16 significant digits. So every value has a bounded length (the
millionth bar costs what the hundredth does, a snapshot stays small), and a replay gives the same bits whatever decimal
context its process happens to use. 16 digits carry a nine-digit price with a relative error of 1e-15: far below a tick.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import msgspec

from hedgegridd import config
from hedgegridd.model import BPS, ZERO, Regime

_CONTEXT = Context(prec=16, rounding=ROUND_HALF_EVEN)
_HUNDRED = Decimal(100)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the filter knows after a bar; None until enough bars came.

    `adx` in 0..100, EMAs and `atr` in quote currency, `spread_bps` = (fast - slow) / slow in basis points.
    `warm` is True when the wanted number of bars was seen and every value is known; until then SIDEWAYS.
    """

    regime: Regime = Regime.SIDEWAYS
    warm: bool = False
    adx: Decimal | None = None
    ema_fast: Decimal | None = None
    ema_slow: Decimal | None = None
    atr: Decimal | None = None
    spread_bps: Decimal | None = None


class Average(msgspec.Struct, frozen=True, kw_only=True):
    """State of an average: `value` is the sum of the samples while it is being seeded, then the average."""

    seen: int = 0
    value: Decimal = ZERO


class RegimeState(msgspec.Struct, frozen=True, kw_only=True):
    """A filter's whole state, for a snapshot."""

    bars: int = 0
    last_high: Decimal | None = None
    last_low: Decimal | None = None
    last_close: Decimal | None = None
    fast: Average = Average()
    slow: Average = Average()
    atr: Average = Average()
    plus_dm: Average = Average()
    minus_dm: Average = Average()
    adx: Average = Average()
    reading: Reading = Reading()


class _Mean:
    """An exponential average seeded by the simple mean of its first `n` samples; weight of a sample num/den."""

    def __init__(self, n: int, num: int, den: int) -> None:
        self._n = n
        self._num = Decimal(num)
        self._den = Decimal(den)

    def add(self, state: Average, sample: Decimal) -> Average:
        seen = state.seen + 1
        if seen < self._n:
            return Average(seen=seen, value=state.value + sample)
        if seen == self._n:
            return Average(seen=seen, value=(state.value + sample) / self._n)
        # The count stops at n + 1: it only tells seeding from running.
        return Average(seen=self._n + 1, value=state.value + (sample - state.value) * self._num / self._den)

    def read(self, state: Average) -> Decimal | None:
        return state.value if state.seen >= self._n else None


def _ema(n: int) -> _Mean:
    return _Mean(n, 2, n + 1)


def _wilder(n: int) -> _Mean:
    # Wilder's running sum S - S/n + x is n times this mean; the factor cancels in every ratio.
    return _Mean(n, 1, n)


class RegimeFilter:
    """Direction of one instrument's market, bar by bar."""

    def __init__(self, cfg: config.Regime, bars_to_warm: int) -> None:
        """`bars_to_warm`: bars before `Reading.warm` may be True."""
        self._cfg = cfg
        self._bars_to_warm = bars_to_warm
        self._fast = _ema(cfg.ema_fast)
        self._slow = _ema(cfg.ema_slow)
        self._atr = _wilder(cfg.atr_len)
        self._smooth = _wilder(cfg.adx_len)
        self._state = RegimeState()

    @property
    def reading(self) -> Reading:
        """What the last bar left."""
        return self._state.reading

    def snapshot(self) -> RegimeState:
        """The whole state; `restore` of it goes on as if nothing had happened."""
        return self._state

    def restore(self, state: RegimeState) -> None:
        """Continue from a snapshot of a filter with the same parameters."""
        self._state = state

    def on_bar(self, high: Decimal, low: Decimal, close: Decimal) -> Reading:
        """Take one closed bar (prices in quote currency) and read the market anew.

        Raises:
            ValueError: not 0 < low <= close <= high; nothing has changed.
        """
        if not ZERO < low <= close <= high:
            raise ValueError(f"bar is not 0 < low <= close <= high: high {high}, low {low}, close {close}")
        with localcontext(_CONTEXT):
            self._state = self._next(high, low, close)
        return self._state.reading

    def _next(self, high: Decimal, low: Decimal, close: Decimal) -> RegimeState:
        old = self._state
        fast = self._fast.add(old.fast, close)
        slow = self._slow.add(old.slow, close)
        atr, plus, minus, adx = old.atr, old.plus_dm, old.minus_dm, old.adx
        if old.last_high is not None and old.last_low is not None and old.last_close is not None:
            true_range = max(high - low, abs(high - old.last_close), abs(low - old.last_close))
            up, down = high - old.last_high, old.last_low - low
            atr = self._atr.add(atr, true_range)
            plus = self._smooth.add(plus, up if up > down and up > ZERO else ZERO)
            minus = self._smooth.add(minus, down if down > up and down > ZERO else ZERO)
            dx = self._dx(plus, minus)
            if dx is not None:
                adx = self._smooth.add(adx, dx)
        bars = min(old.bars + 1, self._bars_to_warm)
        return RegimeState(
            bars=bars,
            last_high=high,
            last_low=low,
            last_close=close,
            fast=fast,
            slow=slow,
            atr=atr,
            plus_dm=plus,
            minus_dm=minus,
            adx=adx,
            reading=self._read(bars, fast, slow, atr, adx),
        )

    def _dx(self, plus: Average, minus: Average) -> Decimal | None:
        """DX = 100 |+DI - -DI| / (+DI + -DI); both DI are over the same smoothed true range, which cancels."""
        plus_dm, minus_dm = self._smooth.read(plus), self._smooth.read(minus)
        if plus_dm is None or minus_dm is None:
            return None
        total = plus_dm + minus_dm
        return ZERO if total == ZERO else _HUNDRED * abs(plus_dm - minus_dm) / total

    def _read(self, bars: int, fast: Average, slow: Average, atr: Average, adx: Average) -> Reading:
        ema_fast, ema_slow = self._fast.read(fast), self._slow.read(slow)
        adx_now, atr_now = self._smooth.read(adx), self._atr.read(atr)
        spread = None
        if ema_fast is not None and ema_slow is not None:
            spread = (ema_fast - ema_slow) * BPS / ema_slow
        regime = Regime.SIDEWAYS
        warm = False
        if bars >= self._bars_to_warm and spread is not None and adx_now is not None and atr_now is not None:
            warm = True
            regime = self._direction(adx_now, spread)
        return Reading(
            regime=regime,
            warm=warm,
            adx=adx_now,
            ema_fast=ema_fast,
            ema_slow=ema_slow,
            atr=atr_now,
            spread_bps=spread,
        )

    def _direction(self, adx: Decimal, spread_bps: Decimal) -> Regime:
        if adx < self._cfg.adx_trend:
            return Regime.SIDEWAYS
        if abs(spread_bps) < self._cfg.hysteresis_bps or spread_bps == ZERO:  # zero has no sign to go by
            return self._state.reading.regime
        return Regime.UP if spread_bps > ZERO else Regime.DOWN

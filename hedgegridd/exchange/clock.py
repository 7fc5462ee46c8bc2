"""The two clocks of the exchange: the wall, and the market's own, which runs N times faster or stands still."""

import time
from collections.abc import Callable
from fractions import Fraction

NS_PER_MS = 1_000_000


class WallClock:
    """Wall time in milliseconds, with a skew that a drill may set (`skew_ms` is added to the true time)."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch as this venue believes them."""
        return self._now_ns() // NS_PER_MS + self.skew_ms


class MarketClock:
    """The market's time in milliseconds: `speed` x the monotonic clock while running, still while paused."""

    def __init__(
        self,
        start_ms: int,
        speed: Fraction,
        *,
        paused: bool,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self._monotonic_ns = monotonic_ns
        self._base_ms = start_ms
        self._base_ns = monotonic_ns()
        self.speed = speed
        self.paused = paused

    def now_ms(self) -> int:
        """The market's time now."""
        if self.paused:
            return self._base_ms
        elapsed_ns = self._monotonic_ns() - self._base_ns
        return self._base_ms + int(elapsed_ns * self.speed) // NS_PER_MS

    def pause(self) -> None:
        """Stand still at the present market time; nothing if already paused."""
        if not self.paused:
            self._base_ms = self.now_ms()
            self.paused = True

    def resume(self) -> None:
        """Run on from where it stood; nothing if running."""
        if self.paused:
            self._base_ns = self._monotonic_ns()
            self.paused = False

    def advance(self, ms: int) -> int:
        """Move a paused clock forward by `ms` and return the new time. Raises ValueError when running."""
        if not self.paused:
            raise ValueError("the market clock is running: pause it before stepping")
        if ms < 0:
            raise ValueError(f"ms must not be negative, not {ms}")
        self._base_ms += ms
        return self._base_ms

    def slip_to(self, now_ms: int) -> None:
        """Run on from `now_ms`: back to what the machine could process, or forward to the wall at the start."""
        self._base_ms = now_ms
        self._base_ns = self._monotonic_ns()

    def wall_ms_until(self, market_ms: int) -> float:
        """Wall milliseconds until the market reaches `market_ms`, never negative; infinity while paused."""
        if self.paused:
            return float("inf")
        return max(0.0, float((market_ms - self.now_ms()) / self.speed))

"""Measures how late the event loop runs what is due: the one figure that tells of a blocking handler."""

from collections.abc import Callable
from decimal import Decimal

import anyio

from hedgegridd.runtime.clock import Clock


class LagProbe:
    """Sleeps a short interval again and again and reports by how much each sleep overran.

    Args:
        clock: monotonic time.
        observe: gets each lag in seconds (a histogram's `observe`); must not raise.
        interval_s: time between samples, seconds.
    """

    def __init__(
        self, clock: Clock, observe: Callable[[float], None] = lambda _lag_s: None, interval_s: float = 0.05
    ) -> None:
        """Nothing is measured before `run`."""
        if interval_s <= 0:
            raise ValueError(f"interval_s must be positive, got {interval_s}")
        self._clock = clock
        self._observe = observe
        self._interval_s = interval_s
        self.last_s = 0.0
        self.worst_s = 0.0
        self.samples = 0

    async def run(self) -> None:
        """Measure until cancelled."""
        interval_ns = round(self._interval_s * 1e9)
        while True:
            due_ns = self._clock.mono_ns() + interval_ns
            await anyio.sleep(self._interval_s)
            self.sample(due_ns)

    def sample(self, due_ns: int) -> float:
        """Take one sample: now against the monotonic time at which we should have run; seconds."""
        lag_s = max(0, self._clock.mono_ns() - due_ns) / 1e9
        self.last_s = lag_s
        self.worst_s = max(self.worst_s, lag_s)
        self.samples += 1
        self._observe(lag_s)
        return lag_s

    def take_worst(self) -> float:
        """Worst lag in seconds since the last call."""
        worst_s, self.worst_s = self.worst_s, 0.0
        return worst_s


class LagReport:
    """Turns samples of a probe into reports: the worst lag once a second, a long one at once.

    Args:
        clock: monotonic time.
        observe: gets every sample in seconds (a histogram's `observe`).
        tell: gets the reports, in milliseconds.
    """

    EVERY_NS = 1_000_000_000
    LONG_S = 0.1

    def __init__(
        self, clock: Clock, observe: Callable[[float], None], tell: Callable[[Decimal], None]
    ) -> None:
        """The first sample is told."""
        self._clock = clock
        self._observe = observe
        self._tell = tell
        self._worst_s = 0.0
        self._told_ns: int | None = None

    def sample(self, lag_s: float) -> None:
        """Take one sample, in seconds."""
        self._observe(lag_s)
        self._worst_s = max(self._worst_s, lag_s)
        now_ns = self._clock.mono_ns()
        if lag_s < self.LONG_S and self._told_ns is not None and now_ns - self._told_ns < self.EVERY_NS:
            return
        worst_s, self._worst_s, self._told_ns = self._worst_s, 0.0, now_ns
        self._tell(Decimal(f"{worst_s * 1000:.1f}"))

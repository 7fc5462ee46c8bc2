"""Measures how late the event loop runs what is due: the one figure that tells of a blocking handler."""

from collections.abc import Callable

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

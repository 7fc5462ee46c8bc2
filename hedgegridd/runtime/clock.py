"""The one place that reads time: a real clock for the daemon, a virtual one for simulations."""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

_NS_PER_S = 1_000_000_000


class Timer(Protocol):
    """A callback that is still to come."""

    def cancel(self) -> None:
        """Forget the callback; nothing happens when it has already run."""


class Clock(Protocol):
    """Wall time for people and signatures, monotonic time for waits; both integer nanoseconds."""

    @property
    def wall_ns(self) -> Callable[[], int]:
        """Call it for nanoseconds since the Unix epoch, UTC."""

    @property
    def mono_ns(self) -> Callable[[], int]:
        """Call it for nanoseconds since an arbitrary point; never goes back."""

    def call_at(self, at_mono_ns: int, callback: Callable[[], None]) -> Timer:
        """Run the callback once at that monotonic time, at once when it is past."""


class RealClock:
    """The machine's clocks; timers are those of the running event loop."""

    # The C functions themselves: a Python frame around each would cost as much as the reading.
    wall_ns: Callable[[], int] = staticmethod(time.time_ns)
    mono_ns: Callable[[], int] = staticmethod(time.monotonic_ns)

    def call_at(self, at_mono_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`; must be called in the loop's thread."""
        delay_s = max(0, at_mono_ns - time.monotonic_ns()) / _NS_PER_S
        return asyncio.get_running_loop().call_later(delay_s, callback)


class _VirtualTimer:
    __slots__ = ("at_ns", "callback", "order")

    def __init__(self, at_ns: int, order: int, callback: Callable[[], None]) -> None:
        self.at_ns = at_ns
        self.order = order
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "_VirtualTimer") -> bool:
        return (self.at_ns, self.order) < (other.at_ns, other.order)

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock that stands still until it is told to advance, and then fires its timers in order."""

    def __init__(self, start_wall_ns: int = 0, start_mono_ns: int = 0) -> None:
        """Start both hands where the caller says; the same start gives the same run."""
        self._wall_offset_ns = start_wall_ns - start_mono_ns
        self._now_ns = start_mono_ns
        self._timers: list[_VirtualTimer] = []
        self._order = 0

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC, as simulated."""
        return self._now_ns + self._wall_offset_ns

    def mono_ns(self) -> int:
        """Simulated monotonic nanoseconds."""
        return self._now_ns

    def call_at(self, at_mono_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_at`; equal times fire in the order they were asked for."""
        self._order += 1
        timer = _VirtualTimer(at_mono_ns, self._order, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_timer_ns(self) -> int | None:
        """Monotonic time of the next live timer, None when there is none."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].at_ns if self._timers else None

    def advance(self, by_ns: int, settle: Callable[[], object] | None = None) -> None:
        """Move on by that many nanoseconds, firing each due timer at its own time.

        `settle` (usually `bus.drain`) runs after each distinct timer, so that what a timer causes
        happens at the timer's time and not at the end of the jump.

        Raises:
            ValueError: when asked to go back.
        """
        if by_ns < 0:
            raise ValueError(f"by_ns must not be negative, got {by_ns}")
        target_ns = self._now_ns + by_ns
        while (due_ns := self.next_timer_ns()) is not None and due_ns <= target_ns:
            timer = heapq.heappop(self._timers)
            self._now_ns = max(self._now_ns, due_ns)
            assert timer.callback is not None, "next_timer_ns leaves a live timer on top"
            timer.callback()
            if settle is not None:
                settle()
        self._now_ns = target_ns

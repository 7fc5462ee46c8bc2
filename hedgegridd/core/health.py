"""Health over time, pure: worse counts at once, better once it has stood; what comes and goes meanwhile is counted.

seen beside in force | what follows
-------------------- | -----------------------------------------------------------------------------------
worse                | told, in force
the same             | what was better is awaited from the beginning
better               | in force once nothing as bad came for ten seconds, and told then

Better after ten seconds means: the worst of what was seen in them. Every transition is counted, told or not, so that one
that came and went between two looks of whoever polls is not lost.
"""

from collections import Counter
from typing import NamedTuple

OK, DEGRADED, HALTED = 0, 1, 2
NAMES = ("OK", "DEGRADED", "HALTED")
STANDS_NS = 10_000_000_000


class Change(NamedTuple):
    """What is in force has changed. `flaps`: states that came and went while `previous` was in force, and how often."""

    state: int
    previous: int
    reasons: tuple[str, ...]
    flaps: dict[str, int]


class Health:
    """What is in force (`state`, None before the first look), and what was seen."""

    def __init__(self) -> None:
        self.state: int | None = None
        self.reasons: tuple[str, ...] = ()
        self.transitions: Counter[int] = Counter()  # by the state that was reached; raw, every one of them
        self._now: int | None = None
        self._came: Counter[int] = Counter()  # of them, since what is in force was told
        self._worst: int | None = None  # since it was last as bad as what is in force
        self._left_ns = 0

    def observe(self, state: int, reasons: tuple[str, ...], now_ns: int) -> Change | None:
        """Take a look at monotonic `now_ns`; the change that follows from it, if any. Before the first look it was OK."""
        if state != self._now:
            self.transitions[state] += 1
            self._came[state] += 1
        self._now = state
        if self.state is None or state > self.state:
            return self._force(state, reasons)
        if state == self.state:
            self._worst, self.reasons = None, reasons
            return None
        if self._worst is None:
            self._worst, self._left_ns = state, now_ns
        self._worst = max(self._worst, state)
        if now_ns - self._left_ns < STANDS_NS:
            return None
        return self._force(self._worst, reasons)

    def _force(self, state: int, reasons: tuple[str, ...]) -> Change | None:
        previous, self.state, self.reasons = self.state or OK, state, reasons
        self._came[state] -= 1  # this one stays
        flaps = {NAMES[came]: times for came, times in sorted(self._came.items()) if times > 0}
        self._came.clear()
        self._worst = None
        return None if state == previous else Change(state, previous, reasons, flaps)

"""How soon a channel may be asked again: its rate limits, what it asked for itself (`retry_after`), and our back-off."""

from collections import deque

import msgspec

_NS_PER_S = 1_000_000_000
BACK_OFF_FIRST_S = 1.0
BACK_OFF_MAX_S = 60.0
RETRY_AFTER_MAX_S = 3_600.0  # a service that asks for more is asked again all the same


class Limit(msgspec.Struct, frozen=True):
    """At most `calls` within `per_s` seconds; `kept` of them are for CRITICAL alone."""

    calls: int
    per_s: float
    kept: int = 0


class Pace:
    """Rate limits over sliding windows; monotonic nanoseconds in and out."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = limits
        self._sent: deque[int] = deque(maxlen=max((limit.calls for limit in limits), default=1))
        self._held_until_ns = 0  # the channel asked for it: for everything
        self._backed_off_until_ns = 0  # our own caution: not for a CRITICAL that has not been tried
        self.failures = 0  # in a row

    def wait_ns(self, now_ns: int, *, urgent: bool) -> int:
        """Nanoseconds until something may be sent, 0: now. `urgent`: a CRITICAL that was not tried yet."""
        until = self._held_until_ns
        if not urgent:
            until = max(until, self._backed_off_until_ns)
        for limit in self._limits:
            allowed = limit.calls if urgent else max(1, limit.calls - limit.kept)
            if len(self._sent) >= allowed:
                until = max(until, self._sent[-allowed] + round(limit.per_s * _NS_PER_S))
        return max(0, until - now_ns)

    def sent(self, now_ns: int) -> None:
        """A call leaves; it counts whatever becomes of it."""
        self._sent.append(now_ns)

    def accepted(self) -> None:
        """The channel works."""
        self.failures = 0
        self._backed_off_until_ns = 0

    def failed(self, now_ns: int, retry_after_s: float | None) -> int:
        """The channel failed; when what failed may be tried again, monotonic nanoseconds."""
        self.failures += 1
        wait_s = min(BACK_OFF_FIRST_S * 2 ** min(self.failures - 1, 10), BACK_OFF_MAX_S)
        self._backed_off_until_ns = now_ns + round(wait_s * _NS_PER_S)
        if retry_after_s is not None:
            held_s = min(max(0.0, retry_after_s), RETRY_AFTER_MAX_S)
            self._held_until_ns = now_ns + round(held_s * _NS_PER_S)
            return max(self._held_until_ns, now_ns)
        return self._backed_off_until_ns

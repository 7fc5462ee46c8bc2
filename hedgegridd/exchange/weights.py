"""Request weights and order counts per fixed window, and what the venue does to those who overrun them.

Windows are aligned to the wall clock as the venue's are. Overrunning answers 429; going on after
`STRIKES_BEFORE_BAN` refusals in a window answers 418 for two minutes, doubled at each further ban up to three days.
"""

import msgspec

from hedgegridd.exchange.types import VenueError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
WEIGHT_PER_MINUTE = 2_400
ORDERS_PER_MINUTE = 1_200
ORDERS_PER_TEN_SECONDS = 300
STRIKES_BEFORE_BAN = 10
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * 86_400_000


class RateError(VenueError):
    """A 429 or 418 with the seconds after which the client may come back."""

    def __init__(self, code: int, msg: str, status: int, retry_after_s: int) -> None:
        super().__init__(code, msg, status)
        self.retry_after_s = retry_after_s


class Window(msgspec.Struct):
    """A counter that starts anew at each multiple of `length_ms` of the wall clock."""

    length_ms: int
    limit: int
    index: int = -1
    used: int = 0

    def roll(self, wall_ms: int) -> None:
        """Forget the count of an earlier window."""
        index = wall_ms // self.length_ms
        if index != self.index:
            self.index = index
            self.used = 0

    def left_s(self, wall_ms: int) -> int:
        """Whole seconds until the next window, at least 1."""
        return max(1, -(-(self.length_ms - wall_ms % self.length_ms) // 1000))


class RateLimiter:
    """Counts honestly always; refuses only when `enforced`."""

    def __init__(self, *, enforced: bool) -> None:
        self.enforced = enforced
        self.weight = Window(length_ms=MINUTE_MS, limit=WEIGHT_PER_MINUTE)
        self.orders_10s = Window(length_ms=TEN_SECONDS_MS, limit=ORDERS_PER_TEN_SECONDS)
        self.orders_1m = Window(length_ms=MINUTE_MS, limit=ORDERS_PER_MINUTE)
        self._strikes = 0
        self._strike_window = -1
        self._banned_until_ms = 0
        self._next_ban_ms = FIRST_BAN_MS

    def charge_weight(self, weight: int, wall_ms: int) -> None:
        """Count `weight`. Raises RateError 418 while banned, 429 when the minute is used up."""
        self.weight.roll(wall_ms)
        if self.enforced and wall_ms < self._banned_until_ms:
            raise self._banned(wall_ms)
        self.weight.used += weight
        if self.enforced and self.weight.used > self.weight.limit:
            self._strike(wall_ms)
            raise RateError(
                -1003,
                "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute. "
                "Please use the websocket for live updates to avoid polling the API.",
                429,
                self.weight.left_s(wall_ms),
            )

    def charge_orders(self, ten_seconds: int, minute: int, wall_ms: int) -> None:
        """Count orders; counts nothing and raises RateError 429 (-1015) when a window would be overrun."""
        self.orders_10s.roll(wall_ms)
        self.orders_1m.roll(wall_ms)
        if self.enforced:
            for window, count, name in (
                (self.orders_10s, ten_seconds, "300 orders per 10 SECOND"),
                (self.orders_1m, minute, "1200 orders per MINUTE"),
            ):
                if window.used + count > window.limit:
                    self._strike(wall_ms)
                    msg = f"Too many new orders; current limit is {name}."
                    raise RateError(-1015, msg, 429, window.left_s(wall_ms))
        self.orders_10s.used += ten_seconds
        self.orders_1m.used += minute

    def _strike(self, wall_ms: int) -> None:
        window = wall_ms // MINUTE_MS
        self._strikes = self._strikes + 1 if window == self._strike_window else 1
        self._strike_window = window
        if self._strikes > STRIKES_BEFORE_BAN:
            self._banned_until_ms = wall_ms + self._next_ban_ms
            self._next_ban_ms = min(self._next_ban_ms * 2, LONGEST_BAN_MS)
            self._strikes = 0
            raise self._banned(wall_ms)

    def _banned(self, wall_ms: int) -> RateError:
        left_s = max(1, -(-(self._banned_until_ms - wall_ms) // 1000))
        msg = f"Way too many requests; IP banned until {self._banned_until_ms}. Please use the websocket for live updates to avoid bans."
        return RateError(-1003, msg, 418, left_s)

"""The venue's health as the outcomes of our calls show it, and how much of its limits is used; pure, time comes in."""

from collections import deque
from decimal import Decimal
from typing import NamedTuple

NS_PER_S = 1_000_000_000
WINDOW_NS = 60 * NS_PER_S
BURST_NS = 10 * NS_PER_S
HOUR_MIN = 60
UPTIME_SLOTS = 90
UPTIME_SLOT_NS = 10 * NS_PER_S  # 90 slots of 10 s: 15 minutes
CALLS_MAX = 20_000  # of the last minute; the venue's own limits allow far fewer
RESERVED_SHARE = Decimal("0.2")  # of each limit, kept for cancels and closes
ORDER_LIMITS = ((10, 300), (60, 1_200))  # seconds, orders: the venue's, until exchangeInfo says otherwise


class _Call(NamedTuple):
    at_ns: int
    failed: bool
    took_ns: int | None


class Counted(NamedTuple):
    """Calls of the last 10 s, 60 s and hour."""

    burst: int
    minute: int
    hour: int


class CallMeter:
    """Calls of one provider that were sent. A failed one is one that brought nothing: lost, limited or 5xx.

    Uptime: the venue is down from a call that was lost or answered 5xx to the next answer. A limit is an answer: what we
    hold back because of it says nothing of the venue. Time before the first call counts as up.
    """

    def __init__(self) -> None:
        self._calls: deque[_Call] = deque(maxlen=CALLS_MAX)
        self._minutes: deque[tuple[int, int]] = deque(maxlen=HOUR_MIN + 1)  # (minute, calls in it)
        self._down_ns = [0] * UPTIME_SLOTS
        self._slots: list[int] = [-1] * UPTIME_SLOTS  # which slot of time each place holds
        self._down_since_ns: int | None = None
        self._began = False

    def called(self, now_ns: int, *, failed: bool, took_ns: int | None, limited: bool = False) -> None:
        """A call is over; `now_ns` and `took_ns` are monotonic, None: not known how long it took."""
        self._began = True
        self._calls.append(_Call(now_ns, failed, took_ns))
        minute = now_ns // WINDOW_NS
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1] = (minute, self._minutes[-1][1] + 1)
        else:
            self._minutes.append((minute, 1))
        self._book_down(now_ns)
        self._down_since_ns = now_ns if failed and not limited else None

    def counted(self, now_ns: int) -> Counted:
        """How many calls there were; the hour is counted by whole minutes, the oldest of which may be over."""
        self._forget(now_ns)
        burst = 0
        for call in reversed(self._calls):
            if now_ns - call.at_ns >= BURST_NS:
                break
            burst += 1
        first = now_ns // WINDOW_NS - HOUR_MIN
        hour = sum(count for minute, count in self._minutes if minute >= first)
        return Counted(burst, len(self._calls), hour)

    def failed(self, now_ns: int) -> int:
        """Failed calls of the last 60 s."""
        self._forget(now_ns)
        return sum(call.failed for call in self._calls)

    def latency_p95_ms(self, now_ns: int) -> Decimal | None:
        """The 95th percentile of the last 60 s, failed calls with the time they were waited for; None without one."""
        self._forget(now_ns)
        took = sorted(call.took_ns for call in self._calls if call.took_ns is not None)
        if not took:
            return None
        rank = -(-len(took) * 95 // 100)  # nearest rank
        return (Decimal(took[rank - 1]) / 1_000_000).quantize(Decimal("0.1"))

    def uptime_pct(self, now_ns: int) -> Decimal | None:
        """Share of the last 15 minutes in which the venue was not down; None before the first call."""
        if not self._began:
            return None
        self._book_down(now_ns)
        first = now_ns // UPTIME_SLOT_NS - UPTIME_SLOTS + 1
        down_ns = sum(down for slot, down in zip(self._slots, self._down_ns, strict=True) if slot >= first)
        whole_ns = UPTIME_SLOTS * UPTIME_SLOT_NS
        return (Decimal(whole_ns - down_ns) * 100 / whole_ns).quantize(Decimal("0.01"))

    def _forget(self, now_ns: int) -> None:
        while self._calls and now_ns - self._calls[0].at_ns >= WINDOW_NS:
            self._calls.popleft()

    def _book_down(self, now_ns: int) -> None:
        """Put the time since the last look, when the venue was down, into its slots."""
        if self._down_since_ns is None:
            return
        # What is longer ago than the window is not looked at any more.
        at_ns = max(self._down_since_ns, now_ns - UPTIME_SLOTS * UPTIME_SLOT_NS)
        while at_ns < now_ns:
            slot = at_ns // UPTIME_SLOT_NS
            until_ns = min(now_ns, (slot + 1) * UPTIME_SLOT_NS)
            place = slot % UPTIME_SLOTS
            if self._slots[place] != slot:
                self._slots[place], self._down_ns[place] = slot, 0
            self._down_ns[place] += until_ns - at_ns
            at_ns = until_ns
        self._down_since_ns = now_ns


class OrderBudget:
    """Orders sent, against the venue's counts; counted here because the adapter hides what the venue says of them."""

    def __init__(self) -> None:
        self.limits: tuple[tuple[int, int], ...] = ORDER_LIMITS
        self._sent_ns: deque[int] = deque(maxlen=CALLS_MAX)

    def sent(self, now_ns: int) -> None:
        """An order leaves."""
        self._sent_ns.append(now_ns)

    def used(self, now_ns: int) -> Decimal:
        """The part used of the limit of which most is used; windows slide, so never less than the venue counts."""
        return max(Decimal(self._count(now_ns, length_s)) / most for length_s, most in self.limits)

    def refuses_entry(self, now_ns: int) -> str:
        """Why an entry may not leave: a fifth of each count is kept for exits and closes; empty when it may."""
        for length_s, most in self.limits:
            count = self._count(now_ns, length_s)
            if count >= most * (1 - RESERVED_SHARE):
                return (
                    f"the venue's limit: {count} of {most} orders in {length_s} s, the rest is kept for exits"
                )
        return ""

    def _count(self, now_ns: int, length_s: int) -> int:
        longest_ns = max(length for length, _ in self.limits) * NS_PER_S
        while self._sent_ns and now_ns - self._sent_ns[0] >= longest_ns:
            self._sent_ns.popleft()
        count = 0
        for at_ns in reversed(self._sent_ns):
            if now_ns - at_ns >= length_s * NS_PER_S:
                break
            count += 1
        return count

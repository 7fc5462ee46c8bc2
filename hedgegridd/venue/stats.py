"""Counters and observations of the gateway, written by it and read by the metrics actor; a bounded memory."""

from collections import Counter, deque

OBSERVATIONS_MAX = 4_096


class Stats:
    """Plain figures; durations are nanoseconds. Readers may drain the deques."""

    def __init__(
        self, calls: Counter[tuple[str, str]] | None = None, round_trip_ns: deque[int] | None = None
    ) -> None:
        self.calls = Counter() if calls is None else calls  # the signed client's, by (endpoint, outcome)
        self.round_trip_ns: deque[int] = (  # the signed client's
            deque(maxlen=OBSERVATIONS_MAX) if round_trip_ns is None else round_trip_ns
        )
        self.ticks_total = 0
        self.ticks_overtaken_total = 0  # of them: quotes that a newer one replaced before they were handled
        self.user_messages_total = 0
        self.user_problems_total = 0  # messages of the user stream that could not be read
        self.orders_submitted: Counter[tuple[str, str]] = Counter()  # by (instrument, purpose)
        self.orders_rejected: Counter[str] = Counter()  # by code
        self.orders_unknown_total = 0
        self.cancels_total = 0
        self.revivals_total = 0  # of the user stream
        self.tick_to_order_ns: deque[int] = deque(maxlen=OBSERVATIONS_MAX)
        self.submit_to_ack_ns: deque[int] = deque(maxlen=OBSERVATIONS_MAX)
        # Sequence of each command to cancel or close, and monotonic time at which its call left.
        self.left: deque[tuple[int, int]] = deque(maxlen=OBSERVATIONS_MAX)

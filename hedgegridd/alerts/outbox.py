"""What waits for one channel: bounded, CRITICAL first, and when it is full repeats become one message with a count.

Nothing is dropped without a word: what finds no room is folded into a message that waits, of the same key if there is one,
else of the same kind, else into one of the oldest that are not CRITICAL; the message says how many and names some.
"""

from collections import deque

import msgspec

from hedgegridd.messages import Alert

NAMED_MAX = 8  # titles that a folded message names


class Waiting(msgspec.Struct, kw_only=True, eq=False):
    """A message on its way: `heard_ns` monotonic time of the event, `folded` how many others it stands for."""

    alert: Alert
    heard_ns: int
    folded: int = 0
    named: list[str] = []
    tries: int = 0
    not_before_ns: int = 0

    @property
    def urgent(self) -> bool:
        """Whether it overtakes."""
        return self.alert.severity == "CRITICAL"


class Outbox:
    """Two lanes of at most `limit` messages each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._urgent: deque[Waiting] = deque()
        self._rest: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._rest)

    def put(self, item: Waiting) -> bool:
        """Take it in, which is never refused; whether it became part of another."""
        lane = self._urgent if item.urgent else self._rest
        if len(lane) < self._limit:
            lane.append(item)
            return False
        into = self._place(lane, item)
        into.folded += 1 + item.folded
        for title in (item.alert.title, *item.named):
            if title != into.alert.title and title not in into.named and len(into.named) < NAMED_MAX:
                into.named.append(title)
        return True

    @staticmethod
    def _place(lane: deque[Waiting], item: Waiting) -> Waiting:
        same_key = next((each for each in lane if each.alert.key == item.alert.key), None)
        if same_key is not None:
            return same_key
        same_kind = next((each for each in lane if each.alert.kind == item.alert.kind), None)
        return same_kind or lane[-1]

    def back(self, item: Waiting) -> None:
        """It could not be sent: its place is the first again."""
        (self._urgent if item.urgent else self._rest).appendleft(item)

    def next(self, now_ns: int) -> Waiting | None:
        """What may be tried now, the first of the urgent ones before all others; it stays in."""
        for lane in (self._urgent, self._rest):
            found = next((each for each in lane if each.not_before_ns <= now_ns), None)
            if found is not None:
                return found
        return None

    def earliest_ns(self) -> int | None:
        """When the first may be tried; None: nothing waits."""
        return min((each.not_before_ns for lane in (self._urgent, self._rest) for each in lane), default=None)

    def remove(self, item: Waiting) -> None:
        """It is on its way, or over."""
        (self._urgent if item.urgent else self._rest).remove(item)

"""How often a client may ask: a token bucket per client and kind, in a table of bounded size."""

import math
from collections import OrderedDict
from collections.abc import Callable

CLIENTS_MAX = 4096


class Buckets:
    """`per_minute` tokens a minute and client, all of which may be spent at once; the longest unseen client is forgotten.

    Forgetting gives a client a full bucket again, so the table is larger than the clients of one desk ever are.
    """

    def __init__(self, per_minute: int, now_s: Callable[[], float], clients_max: int = CLIENTS_MAX) -> None:
        if per_minute < 1:
            raise ValueError(f"per_minute must be at least 1, got {per_minute}")
        self._capacity = float(per_minute)
        self._per_s = per_minute / 60
        self._now_s = now_s
        self._clients_max = clients_max
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, as of

    def take(self, client: str) -> int:
        """Take a token: 0, or when there is none the whole seconds until there is one."""
        tokens = self._tokens(client)
        if tokens < 1:
            return math.ceil((1 - tokens) / self._per_s)
        self._put(client, tokens - 1)
        return 0

    def wait_s(self, client: str) -> int:
        """What `take` would answer, without taking."""
        tokens = self._tokens(client)
        return 0 if tokens >= 1 else math.ceil((1 - tokens) / self._per_s)

    def __len__(self) -> int:
        return len(self._levels)

    def _tokens(self, client: str) -> float:
        known = self._levels.get(client)
        if known is None:
            return self._capacity
        level, since = known
        return min(self._capacity, level + (self._now_s() - since) * self._per_s)

    def _put(self, client: str, tokens: float) -> None:
        self._levels[client] = (tokens, self._now_s())
        self._levels.move_to_end(client)
        while len(self._levels) > self._clients_max:
            self._levels.popitem(last=False)

"""Keeps entries below our own quota of calls: a large ladder is placed over some seconds instead of tripping `call_quota`."""

import asyncio
from collections.abc import Callable

ENTRY_SHARE_PCT = 60  # of the 10 s quota; what is above is for questions, exits and safety, which never wait
LOOK_S = 0.1
WAIT_S = 30.0  # of one entry; three windows without room: others use it all


class Pace:
    """Entries wait while the last 10 s have as many calls as entries may bring them to.

    Args:
        most: calls in 10 s from which on an entry waits; None: no entry waits.
        used: calls of the last 10 s, those that left and have no answer yet included.
    """

    def __init__(self, most: int | None, used: Callable[[], int]) -> None:
        self._most = most
        self._used = used

    @property
    def has_room(self) -> bool:
        """Whether an entry may leave now."""
        return self._most is None or self._used() < self._most

    async def room(self, within_s: float = WAIT_S) -> bool:
        """Wait until there is room; False when there is none `within_s`."""
        ends_s = asyncio.get_running_loop().time() + within_s
        while not self.has_room:
            if asyncio.get_running_loop().time() >= ends_s:
                return False
            await asyncio.sleep(LOOK_S)
        return True


def of_quota(per_10s: int | None) -> int | None:
    """Calls that entries may bring a quota to, at least one; None without a quota."""
    return None if per_10s is None else max(1, per_10s * ENTRY_SHARE_PCT // 100)

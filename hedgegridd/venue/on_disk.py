"""What a safety action owes the journal: it is on disk before its first call leaves, or 100 ms have been waited."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hedgegridd.errors import JournalError

SAFETY_WAIT_S = 0.1
REMEMBERED = 1_000  # flattens and trips; one that is forgotten would wait its 100 ms once more


async def durable_within(durable: Callable[[], Awaitable[None]], limit_s: float) -> str:
    """Wait for the journal at most `limit_s`; empty when all is durable, else "late" or what broke it."""
    try:
        async with asyncio.timeout(limit_s):
            await durable()
    except TimeoutError:
        return "late"
    except JournalError as error:
        return f"broken: {error}"
    return ""


class OnDisk:
    """Makes the first calls of a flatten wait, once, together; a broken journal holds up nothing."""

    def __init__(self, durable: Callable[[], Awaitable[None]], wait_s: float = SAFETY_WAIT_S) -> None:
        self._durable = durable
        self._wait_s = wait_s
        self._waits: OrderedDict[str, asyncio.Event] = OrderedDict()

    def passed(self, key: str) -> bool:
        """Whether nothing of `key` has to wait (any more)."""
        return key in self._waits and self._waits[key].is_set()

    async def before(self, key: str) -> str:
        """Return when what `key` does may leave: at once unless it is the first.

        Returns why its record is not on disk, to the first caller alone; empty when it is.
        """
        waited = self._waits.get(key)
        if waited is not None:
            await waited.wait()
            return ""
        waited = self._waits[key] = asyncio.Event()
        if len(self._waits) > REMEMBERED:
            self._waits.popitem(last=False)
        try:
            return await durable_within(self._durable, self._wait_s)
        finally:
            waited.set()

"""No entry leaves unless the venue's countdown runs that would cancel it when we fall silent; time is an argument.

Both clocks count: a process that was stopped, or a host that slept, finds its countdowns run out before it acts.
"""

import asyncio
from collections.abc import Callable, Iterable

type Clock = Callable[[], int]


class Interlock:
    """Until when each instrument's countdown surely runs. Open always when the dead-man switch is disabled."""

    def __init__(self, instruments: Iterable[str], *, enabled: bool, wall_ns: Clock, mono_ns: Clock) -> None:
        self._enabled = enabled
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._until: dict[str, tuple[int, int] | None] = dict.fromkeys(instruments)
        self._armed = asyncio.Event()
        self._closed = ""
        self._closings = 0

    @property
    def ticket(self) -> int:
        """To be taken before a countdown is set: a closing in between makes it void."""
        return self._closings

    def why(self, instrument: str) -> str:
        """Why an entry of the instrument may not leave now; empty when it may."""
        if not self._enabled:
            return ""
        if self._closed:
            return self._closed
        until = self._until.get(instrument)
        if until is None:
            return "the dead-man switch is not armed"
        if self._wall_ns() >= until[0] or self._mono_ns() >= until[1]:
            return "the dead-man switch has run out"
        return ""

    def armed(self, instrument: str, wall_ns: int, mono_ns: int, ticket: int) -> None:
        """The venue has confirmed a countdown that runs until then at least."""
        self._until[instrument] = (wall_ns, mono_ns)
        if ticket != self._closings:
            return  # entries have been withdrawn since it was asked for
        self._closed = ""
        self._armed.set()
        self._armed = asyncio.Event()

    def disarmed(self, instrument: str) -> None:
        """A disarming call leaves: from now on the countdown may be off."""
        self._until[instrument] = None

    def close(self, why: str) -> None:
        """Entries are being withdrawn: none leaves until a countdown is set again."""
        self._closed = why
        self._closings += 1

    async def opened(self, instrument: str, within_s: float) -> None:
        """Wait until entries of the instrument may leave, at most so long."""
        try:
            async with asyncio.timeout(within_s):
                while self.why(instrument):
                    await self._armed.wait()
        except TimeoutError:
            return  # whoever sends asks `why` once more

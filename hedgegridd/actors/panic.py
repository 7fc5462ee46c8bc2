"""Obeys panic's latch: the kill switch is tripped, and the latch is taken in once that is on disk.

From then on it is the kill switch's own trip, which survives restarts and is left by `rearm` alone. Until then the
latch stays: a daemon that ends in between finds it at its next start.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import anyio
import structlog

from hedgegridd.errors import HedgegridError, JournalError
from hedgegridd.journal import panic_latch
from hedgegridd.journal.latch_watch import LatchWatch, Stamp
from hedgegridd.journal.panic_latch import PanicLatch
from hedgegridd.messages import Command, Done, Kill
from hedgegridd.runtime.actor import Actor

TRIP_S = 10.0  # the kill switch answers by then, flat or not
AGAIN_S = 2.0
_log = structlog.get_logger("panic")


class PanicActor(Actor):
    """Looks for the latch and obeys it.

    Args:
        watch: looks for it.
        folder: the state folder.
        instruments: ids of those that are traded here.
        durable: returns when everything journaled so far is on disk; raises JournalError when it cannot be.
    """

    name = "panic"

    def __init__(
        self,
        watch: LatchWatch,
        folder: Path,
        instruments: Iterable[str],
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        self._watch = watch
        self._instruments = tuple(instruments)
        self._folder = folder
        self._durable = durable
        self._stopped = True

    async def start(self) -> None:
        """Begin to look."""
        self._stopped = False
        self._watch.start(self._found)

    async def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._watch.stop()

    def _found(self, stamp: Stamp, latch: PanicLatch) -> None:
        _log.critical("panic_latch", by=latch.by, reason=latch.reason, instruments=latch.instruments or "all")
        if not self._stopped:  # else the next start finds it
            self.spawn(self._obey, stamp, latch)

    async def _obey(self, stamp: Stamp, latch: PanicLatch) -> None:
        await _until(lambda: self._tripped(latch))
        await _until(lambda: self._take(stamp))
        self._watch.taken(stamp)

    async def _tripped(self, latch: PanicLatch) -> bool:
        """Whether the kill switch has the trip, flat or not."""
        for command in trips(latch, self._instruments):
            try:
                answer = await self.bus.ask(command, TRIP_S + 1, actor=self.name)
            except HedgegridError as error:
                _log.error("panic_not_obeyed_yet", error=str(error))
                return False
            if not isinstance(answer, Done):
                _log.error("panic_not_obeyed_yet", error=str(answer))
                return False
        return True

    async def _take(self, stamp: Stamp) -> bool:
        """Whether the latch is gone, since the trip is on disk."""
        try:
            await self._durable()
            taken = await anyio.to_thread.run_sync(panic_latch.take, self._folder, stamp)
        except (JournalError, OSError) as error:
            _log.error("panic_latch_stays", error=str(error))
            return False
        _log.warning("panic_latch_obeyed", newer_one_waits=not taken)
        return True


async def _until(step: Callable[[], Awaitable[bool]]) -> None:
    """Try it for as long as it takes: the latch waits as well."""
    while True:
        if await step():
            return
        await anyio.sleep(AGAIN_S)


def trips(latch: PanicLatch, instruments: Iterable[str]) -> tuple[Command, ...]:
    """What the latch asks of the kill switch; one that names nothing that is traded here means the account."""
    at = (
        f"{datetime.fromtimestamp(latch.at_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if latch.at_ns
        else "unknown time"
    )
    reason = f"panic by {latch.by}, {at}: {latch.reason or 'no reason given'}"
    known: list[str | None] = [name for name in instruments if name in latch.instruments]
    return tuple(
        Kill(reason=reason, action="flatten", deadline_s=TRIP_S, instrument=name) for name in known or [None]
    )

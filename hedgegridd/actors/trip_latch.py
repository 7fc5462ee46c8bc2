"""Keeps the file of latched trips as the kill switch has them, beside the journal and without waiting for it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import anyio
import structlog

from hedgegridd import messages as m
from hedgegridd.journal.trip_latch import TripLatch
from hedgegridd.runtime.actor import Actor

AGAIN_S = 1.0
_log = structlog.get_logger("trip_latch")


class TripLatchActor(Actor):
    """Writes at every change of what is latched, one write at a time and always the newest.

    Args:
        latch: the file, open.
        latched: the kill switch's trips as they are now.
    """

    name = "trip_latch"
    events: ClassVar = (m.KillStateChanged, m.TripsChanged)

    def __init__(self, latch: TripLatch, latched: Callable[[], tuple[m.Trip, ...]]) -> None:
        self._latch = latch
        self._latched = latched
        self._written: tuple[m.Trip, ...] | None = None
        self._writing = False

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Something may have changed."""
        del envelope
        if not self._writing and self._latched() != self._written:
            self._writing = True
            self.spawn(self._write)
        return ()

    async def _write(self) -> None:
        """Until the file says what is true; a disk that refuses is asked again."""
        try:
            while (trips := self._latched()) != self._written:
                try:
                    await anyio.to_thread.run_sync(self._latch.write, trips, abandon_on_cancel=True)
                except OSError as error:
                    _log.critical(
                        "trips_not_latched", error=str(error), effect="a crash forgets what the journal lacks"
                    )
                    await anyio.sleep(AGAIN_S)
                else:
                    self._written = trips
        finally:
            self._writing = False

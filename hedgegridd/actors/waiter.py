"""Lets the composition root wait for events, which only actors hear."""

from collections.abc import Callable, Sequence

import anyio

from hedgegridd import messages as m
from hedgegridd.runtime.actor import Actor


class WaiterActor(Actor):
    """Start-up waits here for READY, shutdown for what the venue confirms."""

    name = "waiter"
    events = (m.StageChanged, m.EntriesGone, m.FlattenFinished, m.Reconciled)

    def __init__(self) -> None:
        self._waits: list[tuple[Callable[[m.Message], bool], anyio.Event]] = []

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Wake whoever waits for this."""
        for wanted, event in self._waits:
            if wanted(envelope.message):
                event.set()
        return []

    def expect(self, wanted: Callable[[m.Message], bool]) -> "Expectation":
        """Watch for a message from now on; wait for it later, so that it cannot be missed in between."""
        event = anyio.Event()
        self._waits.append((wanted, event))
        return Expectation(event)


class Expectation:
    """A message that is watched for."""

    def __init__(self, event: anyio.Event) -> None:
        self._event = event

    @property
    def came(self) -> bool:
        """Whether it has come."""
        return self._event.is_set()

    async def within(self, seconds: float) -> bool:
        """True when it came in time."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        return self.came

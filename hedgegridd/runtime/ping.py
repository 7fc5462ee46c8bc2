"""A ping through every mailbox: shows that each actor still gets to its messages."""

from collections.abc import Iterable

import anyio

from hedgegridd.messages import Message


class Ping(Message, frozen=True, kw_only=True):
    """What a ping's envelope holds; no handler ever sees it."""


class PingRound:
    """One ping, on its way through all mailboxes.

    Args:
        names: the actors whose mailboxes it was put into.
        retired: names of those out of service; one that goes while the ping waits there is not waited for.
    """

    def __init__(self, names: Iterable[str], retired: set[str]) -> None:
        self._waiting = set(names)
        self._retired = retired
        self._answered = anyio.Event()

    @property
    def waiting(self) -> frozenset[str]:
        """Actors in service that have not come to it yet."""
        return frozenset(self._waiting - self._retired)

    def pong(self, name: str) -> None:
        """This actor's turn for the ping has come: all that waited before it has been handled."""
        self._waiting.discard(name)
        if not self._waiting:
            self._answered.set()

    async def within(self, seconds: float) -> bool:
        """Whether nobody is waited for any more, after at most so many seconds."""
        with anyio.move_on_after(seconds):
            await self._answered.wait()
        return not self.waiting

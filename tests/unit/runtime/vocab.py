"""A small vocabulary for the runtime's tests, built on the real bases."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from hedgegridd.messages import Answer, Command, Envelope, Event, Message, Query, WakeAt, Woke


class Do(Command, frozen=True, kw_only=True):
    n: int = 0


class Look(Query, frozen=True, kw_only=True):
    n: int = 0


class Seen(Answer, frozen=True, kw_only=True):
    n: int = 0


class Happened(Event, frozen=True, kw_only=True):
    n: int = 0


class Tick(Event, frozen=True, kw_only=True):
    lane: ClassVar[str] = "data"
    journaled: ClassVar[bool] = False
    instrument: str = "X"
    n: int = 0

    @property
    def conflate_key(self) -> str | None:
        return self.instrument


class Bar(Event, frozen=True, kw_only=True):
    lane: ClassVar[str] = "data"
    n: int = 0


VOCABULARY: tuple[type[Message], ...] = (Do, Look, Happened, Tick, Bar, Seen, WakeAt, Woke)


class Log:
    """A handler that remembers what it got and answers what it is told to."""

    def __init__(self, reply: Callable[[Envelope], Sequence[Message]] = lambda _env: ()) -> None:
        self.seen: list[Envelope] = []
        self.reply = reply

    def __call__(self, envelope: Envelope) -> Sequence[Message]:
        self.seen.append(envelope)
        return self.reply(envelope)

    @property
    def messages(self) -> list[Message]:
        return [envelope.message for envelope in self.seen]

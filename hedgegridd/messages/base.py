"""What a message is: commands, events, queries, answers, envelopes, timers."""

from typing import ClassVar

import msgspec

from hedgegridd.model import Nanos


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Anything that travels on the bus."""

    lane: ClassVar[str] = "control"  # "data" is drained after "control"

    @property
    def conflate_key(self) -> str | None:
        """Messages of one type with the same key replace each other in a mailbox; None: never replaced."""
        return None


class Command(Message, frozen=True, kw_only=True):
    """Imperative; exactly one handler; journaled before its effect."""


class Event(Message, frozen=True, kw_only=True):
    """Past tense; any listeners; never refused."""


class Query(Message, frozen=True, kw_only=True):
    """A question; exactly one handler; never journaled."""


class Answer(Message, frozen=True, kw_only=True):
    """What the asker of envelope `to` gets; exactly one per ask."""

    to: int


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message on its way: sequence, wall and monotonic time, the sequence that caused it, who posted it."""

    seq: int
    time_ns: Nanos
    mono_ns: int
    cause: int
    actor: str
    message: Message


class WakeAt(Message, frozen=True, kw_only=True):
    """A machine's wish to get `Woke(token)` at monotonic `at_ns`; the same token replaces an earlier wish."""

    at_ns: int
    token: str


class Woke(Event, frozen=True, kw_only=True):
    """The timer `token` of the actor that gets it has passed."""

    token: str


class Refused(Answer, frozen=True, kw_only=True):
    """A command that changed nothing, why, and what would be accepted now."""

    reason: str
    accepted: tuple[str, ...] = ()


class Done(Answer, frozen=True, kw_only=True):
    """A command whose outcome is true now; `detail` are JSON-ready facts of it (numbers as strings)."""

    detail: dict[str, object] = {}

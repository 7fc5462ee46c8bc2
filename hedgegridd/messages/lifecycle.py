"""Connection, reconciling, stages of start-up and shutdown."""

from hedgegridd.messages.base import Command, Event
from hedgegridd.model import Instrument, Nanos


class InstrumentReady(Event, frozen=True, kw_only=True):
    """The venue's rules of an instrument have been read (at start and hourly)."""

    instrument: Instrument


class FeedChanged(Event, frozen=True, kw_only=True):
    """A channel (`market`, `user`, `rest`) was lost or is back."""

    channel: str
    up: bool
    detail: str = ""


class Reconciled(Event, frozen=True, kw_only=True):
    """The outcome of one comparison of our books with the venue, per leg and order."""

    ok: bool
    cause: str
    orders_adopted: int = 0
    fills_applied: int = 0
    differences: tuple[str, ...] = ()
    asked_ns: Nanos = 0


class Reconcile(Command, frozen=True, kw_only=True):
    """Compare our books with the venue now."""

    cause: str


class StageReached(Event, frozen=True, kw_only=True):
    """A part says that start-up is at its stage and what keeps it there."""

    stage: str
    waits_for: str = ""


class StageChanged(Event, frozen=True, kw_only=True):
    """Start-up or shutdown has reached a stage; `waits_for` says what keeps it there."""

    stage: str
    number: int
    of: int
    waits_for: str = ""


class VenueUp(Event, frozen=True, kw_only=True):
    """The venue answers: unfinished trips and flattens go on from here; `weight_per_minute` is its request budget."""

    weight_per_minute: int = 2_400


class DeskAnswered(Event, frozen=True, kw_only=True):
    """The desk has answered a question through its mailbox: it is alive.

    `naked`: by instrument, what inventory would be without when every ordinary order went, in words.
    """

    naked: dict[str, tuple[str, ...]] = {}


class DisarmDeadMan(Command, frozen=True, kw_only=True):
    """Disarm the venue's countdowns for good: exits must stay. Answered `Done` once the venue has confirmed it."""

    reason: str


class StartChecked(Event, frozen=True, kw_only=True):
    """All start-up checks have passed: trading may begin unless something is latched."""


class Stopping(Event, frozen=True, kw_only=True):
    """The daemon is going down: no entry may be placed any more."""

    reason: str

"""Events of safety and of the strategy: latches, flatten, kill switch, recentres."""

from decimal import Decimal

from hedgegridd.messages.base import Event
from hedgegridd.model import KillState, Leg, Nanos, Regime


class LegsLatched(Event, frozen=True, kw_only=True):
    """From this message on entries of these legs are refused; the flatten owns their orders and inventory."""

    instrument: str
    legs: tuple[Leg, ...]
    flatten_id: str
    origin: str = ""  # the trip that asked for it: rearm releases these legs, otherwise `resume` does


class LegsUnlatched(Event, frozen=True, kw_only=True):
    """Entries of these legs are allowed again."""

    instrument: str
    legs: tuple[Leg, ...]


class FlattenProgress(Event, frozen=True, kw_only=True):
    """One step of a running flatten, in words, seconds after its start."""

    flatten_id: str
    instrument: str
    leg: Leg | None
    after_s: Decimal
    what: str


class JournalLate(Event, frozen=True, kw_only=True):
    """A flatten or a trip has waited its 100 ms: its first calls leave before its record is on disk; `detail` is why."""

    action_id: str
    detail: str


class LegFlat(Event, frozen=True, kw_only=True):
    """The venue reports nothing on the leg, twice or by stream and query; `proof` are its figures and times."""

    flatten_id: str
    instrument: str
    leg: Leg
    proof: tuple[str, ...]


class FlattenFinished(Event, frozen=True, kw_only=True):
    """A flatten has verified all its legs; `origin` is the trip that asked for it."""

    flatten_id: str
    origin: str = ""
    after_s: Decimal


class KillStateChanged(Event, frozen=True, kw_only=True):
    """The kill switch has moved; `trip_id` and `cause` of the trip that latched it."""

    state: KillState
    previous: KillState
    trip_id: str = ""
    cause: str = ""
    since_ns: Nanos = 0


class HaltEntries(Event, frozen=True, kw_only=True):
    """A trip with action `halt`: entries are cancelled, exits and stops stay; latched until rearm.

    Of the whole account, or of an instrument, or of legs (of one instrument or of all).
    """

    trip_id: str
    cause: str
    instrument: str | None = None
    legs: tuple[Leg, ...] = ()


class EntriesGone(Event, frozen=True, kw_only=True):
    """No entry of ours rests at the venue any more (confirmed), after a halt, a pause or a stop."""

    cause: str


class Recentred(Event, frozen=True, kw_only=True):
    """The grid's centre moved to `centre`."""

    instrument: str
    previous: Decimal | None
    centre: Decimal
    market_ns: Nanos


class RegimeChanged(Event, frozen=True, kw_only=True):
    """The market's direction as the strategy reads it has changed."""

    instrument: str
    regime: Regime
    previous: Regime


class RungDropped(Event, frozen=True, kw_only=True):
    """A rung is not placed, and why (minimum notional, occupancy, cap, would cross, collar)."""

    instrument: str
    leg: Leg
    level: int
    reason: str

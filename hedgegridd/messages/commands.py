"""Operator's commands."""

from decimal import Decimal

from hedgegridd.messages.base import Command
from hedgegridd.model import Leg, LegMode


class SetThrottle(Command, frozen=True, kw_only=True):
    """Multiply the quantity of new entries by `throttle` in [0, 1]; all instruments when None."""

    throttle: Decimal
    instrument: str | None = None


class PauseEntries(Command, frozen=True, kw_only=True):
    """Hold entries (exits and stops stay); answered when the venue has confirmed that none rests."""

    instrument: str | None = None
    reason: str = ""


class ResumeEntries(Command, frozen=True, kw_only=True):
    """End a pause and the latch that a flatten left on legs."""

    instrument: str | None = None
    reason: str = ""


class StartTrading(Command, frozen=True, kw_only=True):
    """Trade an instrument; answered once its entries rest (or why none can)."""

    instrument: str | None = None


class StopTrading(Command, frozen=True, kw_only=True):
    """Stop trading an instrument: entries go, exits and stops stay; answered when they are gone."""

    instrument: str | None = None


class SetMode(Command, frozen=True, kw_only=True):
    """Set the run-time mode of a leg (both when None)."""

    leg: Leg | None
    mode: LegMode
    instrument: str | None = None


class Flatten(Command, frozen=True, kw_only=True):
    """Remove all orders and inventory of the legs; answered when the venue reports nothing, or at the deadline."""

    legs: tuple[Leg, ...]
    instrument: str | None = None
    reason: str
    deadline_s: float = 10.0
    origin: str = ""  # the trip that asked


class Kill(Command, frozen=True, kw_only=True):
    """Trip the kill switch: `action` "flatten" or "halt"; None is the configured one.

    Of the whole account, or of an instrument, or of legs (of one instrument or of all). `guard` is who asks, if a guard
    does; `cooldown_s` keeps rearm away for so long after the trip is done (None: as configured).
    """

    reason: str
    action: str | None = None
    deadline_s: float = 10.0
    instrument: str | None = None
    legs: tuple[Leg, ...] = ()
    guard: str = ""
    cooldown_s: int | None = None


class Rearm(Command, frozen=True, kw_only=True):
    """Leave HALTED after checks; needs a reason. `instrument`: its own trips alone, the account's and others stay."""

    reason: str
    instrument: str | None = None

"""What the risk machine remembers of each guard and scope: plain mutable Structs, so that a snapshot is a copy."""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.actions import Action
from hedgegridd.core.facts import KeptFact, KeptNow
from hedgegridd.model import KillState, Nanos

NOT_RELOADED = msgspec.Raw(b"null")  # the guards are those of the process's start


class Streak(msgspec.Struct, kw_only=True):
    """Breaches in a row that want one action (or a stronger one), not yet acted upon or since."""

    action: Action
    count: int
    since_mono: int


class Acted(msgspec.Struct, kw_only=True):
    """What a guard does now in a scope: a hold until it clears, or a trip until rearm."""

    action: Action
    scope: m.Scope
    cause: str
    since_ns: Nanos  # wall clock: it counts for cool-downs over restarts
    missing: bool = False  # for want of data, not for what the data said


class ScopeState(msgspec.Struct, kw_only=True):
    """One guard in one scope."""

    verdict: m.GuardVerdict
    streaks: dict[str, Streak] = {}
    acted: Acted | None = None
    ok_mono: int | None = None  # since when the breach that it acts upon is over
    held_mono: int | None = None
    once: str = ""  # of the last trim
    unheard: bool = False  # at a start: the kill switch knows nothing of its trip
    told: bool = False  # a verdict with data has been given since start


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What counts within one process only; guards and scopes by their names. See the fields of the machine."""

    now: KeptNow
    baseline: bool
    baseline_since: Nanos
    kill: KillState
    trips: dict[str, KillState]
    due: dict[str, int]
    wake_mono: int | None
    said: list[tuple[str, str]]
    config: msgspec.Raw = NOT_RELOADED  # that was read again amid this life


class RiskState(msgspec.Struct, kw_only=True):
    """All of it; the key is the guard's type and the scope."""

    scopes: dict[str, dict[str, ScopeState]] = {}
    history: list[KeptFact] = []
    life: Life | None = None  # None: nothing has been handled in this process


def fresh(guard: str, scope: m.Scope, unit: str, limit: Decimal | None, now_ns: Nanos) -> ScopeState:
    """A scope of which nothing is known yet."""
    verdict = m.GuardVerdict(
        guard=guard, scope=scope, level="OK", value=None, limit=limit, unit=unit, since_ns=now_ns
    )
    return ScopeState(verdict=verdict)

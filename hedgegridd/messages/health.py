"""Health of the daemon as a whole: the question, its answer, and its changes."""

from hedgegridd.messages.base import Answer, Event, Query
from hedgegridd.model import Nanos


class HealthChanged(Event, frozen=True, kw_only=True):
    """Health in force is now `state` (0 OK, 1 DEGRADED, 2 HALTED): worse is told at once, better after ten seconds of it.

    `reasons` of now, in words; `flaps`: states that came and went while `previous` was in force, each with how often.
    """

    state: int
    previous: int
    reasons: tuple[str, ...] = ()
    flaps: dict[str, int] = {}


class GetHealth(Query, frozen=True, kw_only=True):
    """Health in force, and whether entries may be placed."""


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetHealth`. `state` None: not looked at yet; `transitions` by the state reached, told ones or not."""

    state: int | None
    reasons: tuple[str, ...]
    since_ns: Nanos
    transitions: dict[str, int]
    trading_enabled: bool | None = None

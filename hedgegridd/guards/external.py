"""A signed event from outside asks for more caution: what it asks for is done, for as long as it says."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import between
from hedgegridd.core.actions import Action, parse
from hedgegridd.core.facts import Fact, View, scope_key
from hedgegridd.core.guard import PAUSE, SECOND_NS, GuardTable, Keep, Now, Verdict, level_of
from hedgegridd.messages import ExternalSignal
from hedgegridd.model import ZERO

TYPE = "external"
INPUTS = (ExternalSignal,)
DAY_S = Decimal(86_400)
TRIP_S = Decimal(1)  # a trip latches by itself: after a rearm the signal that asked for it is spent


class Table(GuardTable, frozen=True, kw_only=True):
    """`hold_s` for signals that say no time of their own, `action` for those whose action is none that we know."""

    hold_s: Annotated[Decimal, between("1", "86400")] = Decimal(300)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = ZERO


def history(params: Table) -> tuple[Keep, ...]:
    """Signals that may still hold."""
    del params  # a signal says itself for how long it holds, a day at most
    return (Keep(kind=ExternalSignal, seconds=DAY_S),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each scope that a signal is about: the strongest of those that still hold."""
    strongest: dict[str, tuple[Action, Fact[ExternalSignal], Decimal]] = {}
    for fact in view.recent(ExternalSignal, now, DAY_S):
        action = _action(fact.message, params)
        left = _left_s(fact, action, now, params)
        key = scope_key(fact.message.scope)
        if left <= ZERO:
            continue
        if key not in strongest or action.strength >= strongest[key][0].strength:
            strongest[key] = (action, fact, left)
    return tuple(
        Verdict(
            level=level_of(action),
            value=Decimal(1),
            scope=fact.message.scope,
            limit=Decimal(1),
            unit="signals",
            words=lambda s=fact.message: f"{s.source} asks for {s.action}: {s.reason} ({s.event_id})",  # type: ignore[misc]
            action=action,
            again_s=left,
        )
        for action, fact, left in strongest.values()
    )


def _action(signal: ExternalSignal, params: Table) -> Action:
    """What it asks for; what we do not understand is taken for a wish for caution, never for nothing."""
    try:
        return parse(signal.action)
    except ValueError:
        return max(params.act, PAUSE, key=lambda each: each.strength)


def _left_s(fact: Fact[ExternalSignal], action: Action, now: Now, params: Table) -> Decimal:
    lasts = Decimal(fact.message.hold_s) if fact.message.hold_s else params.hold_s
    if action.trips:
        lasts = TRIP_S
    return lasts - Decimal(now.time_ns - fact.time_ns) / SECOND_NS

"""From a verdict to what is done: confirm, act, clear, cool down; for one guard in one scope.

A breach acts once it was seen in `confirm` samples in a row and for `confirm_s`; what is looked at again without news of
the market is no sample: one bad print crosses many levels, and each of them is told. Missing data acts at once (waiting
was `max_age_s`). A stronger action replaces a weaker one. A hold ends after `clear_s` of OK and not before `cooldown_s`;
a trip stays until rearm.
"""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.actions import Action
from hedgegridd.core.guard import SECOND_NS, GuardTable, Now, Verdict, level_of
from hedgegridd.risk.state import Acted, ScopeState, Streak


class Outcome(msgspec.Struct, kw_only=True):
    """What one verdict led to: `began` an action in force now, `ended` a hold that is over, `due_mono` look again."""

    began: Acted | None = None
    ended: Acted | None = None
    due_mono: int | None = None

    def look_at(self, mono_ns: int) -> None:
        """Look again at that time, or earlier."""
        self.due_mono = mono_ns if self.due_mono is None else min(self.due_mono, mono_ns)


def widened(scope: m.Scope, params: GuardTable) -> m.Scope:
    """The scope of the action: no narrower than the table's."""
    if params.scope == "account":
        return m.Scope()
    return m.Scope(instrument=scope.instrument) if params.scope == "instrument" else scope


def is_quiet(state: ScopeState, verdict: Verdict) -> bool:
    """Whether all was well in this scope, and is: `weigh` would change nothing but what `stays_quiet` does."""
    return (
        state.acted is None
        and verdict.level == "OK"
        and state.verdict.level == "OK"
        and not verdict.held
        and verdict.again_s is None
        and verdict.value is not None
    )


def stays_quiet(state: ScopeState) -> None:
    """As `weigh` leaves a scope in which all is well."""
    state.held_mono = None
    state.streaks.clear()
    state.told = True


def weigh(
    state: ScopeState,
    verdict: Verdict,
    params: GuardTable,
    now: Now,
    *,
    carried_out: bool = False,
    sample: bool = True,
) -> Outcome:
    """Take a verdict into the state of its scope.

    `carried_out`: all that its trip removes is gone. `sample`: it was made of news.
    """
    out = Outcome()
    held = verdict.level != "OK" if verdict.held is None else verdict.held
    state.held_mono = (state.held_mono or now.mono_ns) if held else None
    if verdict.again_s is not None:
        out.look_at(now.mono_ns + ns(verdict.again_s))
    if not verdict.breach:
        state.streaks.clear()
        _calm(state, verdict, params, now, out, carried_out=carried_out)
    elif state.acted is not None and _weaker(verdict, params, state.acted):
        # What it did is more than the breach of now asks for: that clears as any hold, then the weaker one follows.
        _calm(state, verdict, params, now, out, carried_out=False)
        if out.ended is not None:
            _breach(state, verdict, params, now, out, sample=sample)
    else:
        state.ok_mono = None
        _breach(state, verdict, params, now, out, sample=sample)
    if verdict.value is not None:
        state.told = True
    return out


def _weaker(verdict: Verdict, params: GuardTable, acted: Acted) -> bool:
    return (verdict.action or params.act).strength < acted.action.strength


def _breach(
    state: ScopeState, verdict: Verdict, params: GuardTable, now: Now, out: Outcome, *, sample: bool
) -> None:
    wanted = verdict.action or params.act
    confirmed: Action | None = wanted
    if verdict.value is not None:
        confirmed = _confirmed(state, wanted, params, now, out, sample=sample)
    if confirmed is None:
        return
    if state.acted is not None and confirmed.strength <= state.acted.action.strength:
        if verdict.value is not None:
            state.acted.missing = False  # its data has come, and is a breach as well
        return
    state.acted = Acted(
        action=confirmed,
        scope=widened(verdict.scope, params),
        cause=f"{state.verdict.guard}: {verdict.words()}",
        since_ns=now.time_ns,
        missing=verdict.value is None,
    )
    out.began = state.acted


def _confirmed(
    state: ScopeState, action: Action, params: GuardTable, now: Now, out: Outcome, *, sample: bool
) -> Action | None:
    """The strongest action that enough breaches have asked for; a stronger wish confirms a weaker one as well."""
    state.streaks = {
        key: streak for key, streak in state.streaks.items() if streak.action.strength <= action.strength
    }
    if str(action) not in state.streaks:
        state.streaks[str(action)] = Streak(action=action, count=0, since_mono=now.mono_ns)
    found: Action | None = None
    for streak in state.streaks.values():
        streak.count += sample or not streak.count
        ready_mono = streak.since_mono + ns(params.confirm_s)
        if streak.count < params.confirm:
            continue
        if now.mono_ns < ready_mono:
            out.look_at(ready_mono)
        elif found is None or streak.action.strength > found.strength:
            found = streak.action
    return found


def _calm(
    state: ScopeState, verdict: Verdict, params: GuardTable, now: Now, out: Outcome, *, carried_out: bool
) -> None:
    acted = state.acted
    if acted is None:
        return
    if acted.action.trips:
        if carried_out and verdict.value is not None:
            state.acted, out.ended = None, acted
        return
    if state.ok_mono is None:
        state.ok_mono = now.mono_ns
    # The first data since start: a hold for want of data was no breach that must stay away for a while.
    first = acted.missing and verdict.value is not None and not state.told
    clear_mono = state.ok_mono + (0 if first else ns(params.clear_s))
    # Data that was away for some seconds is nothing to cool down from.
    cool_ns = acted.since_ns + (0 if acted.missing else ns(params.cooldown_s)) - now.time_ns
    due = max(clear_mono, now.mono_ns + cool_ns)
    if due <= now.mono_ns:
        state.acted = state.ok_mono = None
        out.ended = acted
    else:
        out.look_at(due)


def level_shown(
    state: ScopeState, verdict: Verdict, params: GuardTable, *, carried_out: bool = False
) -> m.Level:
    """The confirmed level for people.

    A breach that is not confirmed yet is a WARN, one that is being cleared still counts. A measure that rearm begins
    anew is a WARN once its trip is carried out: CRITICAL would keep rearm away for good.
    """
    acted = state.acted
    if verdict.breach:
        return "WARN" if acted is None or (carried_out and params.renews) else verdict.level
    if acted is None:
        return verdict.level
    if acted.action.trips:
        return level_of(acted.action)
    return "BLOCK" if acted.action.stops_entries else "WARN"


def shown(
    state: ScopeState, verdict: Verdict, params: GuardTable, now: Now, *, carried_out: bool = False
) -> m.GuardVerdict:
    """The confirmed verdict in full."""
    before = state.verdict
    level = level_shown(state, verdict, params, carried_out=carried_out)
    return m.GuardVerdict(
        guard=before.guard,
        scope=before.scope,
        level=level,
        value=verdict.value,
        warn=verdict.warn,
        limit=verdict.limit,
        unit=verdict.unit,
        message="" if level == "OK" else _words(state.acted, verdict, params, carried_out=carried_out),
        since_ns=before.since_ns if level == before.level else now.time_ns,
        action=str(_does(state.acted, verdict, params)),
    )


def _does(acted: Acted | None, verdict: Verdict, params: GuardTable) -> Action:
    """The strongest of what is in force and what the breach asks for: rearm goes by it."""
    wanted = verdict.action or params.act
    if acted is None:
        return wanted
    return max(acted.action, wanted, key=lambda each: each.strength) if verdict.breach else acted.action


def _words(acted: Acted | None, verdict: Verdict, params: GuardTable, *, carried_out: bool) -> str:
    if acted is None:
        return f"{verdict.words()}, not confirmed yet" if verdict.breach else verdict.words()
    if not verdict.breach:
        return f"{acted.action} since {acted.cause}" + ("" if acted.action.trips else "; clearing")
    return f"{verdict.words()}; rearm begins it anew" if carried_out and params.renews else verdict.words()


def ns(seconds: Decimal) -> int:
    """Seconds as nanoseconds."""
    return int(seconds * SECOND_NS)

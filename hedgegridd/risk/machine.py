"""The risk machine: facts in, guards run that they move, holds and trips out.

    event -> view -> guards whose input it is -> verdict -> confirm / clear (judging.py) -> HoldsChanged, Kill, TrimLeg

Nothing trades from a baseline that was not read: until equity, positions and marks are known there is a hold of its own,
whatever guards are on. A guard never sees another; the machine adds up what they want, the strongest wins downstream.
"""

from collections.abc import Iterable, Sequence

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.actions import Action
from hedgegridd.core.facts import View, leg_of, scope_key
from hedgegridd.core.guard import GuardTable, Now, Verdict, place
from hedgegridd.guards import Setting
from hedgegridd.model import LEGS, ZERO, KillState, Leg, Nanos
from hedgegridd.risk.judging import shown, weigh
from hedgegridd.risk.state import Acted, RiskState, ScopeState, fresh

WAKE = "look"
SOURCE = "guards"
BASELINE = "baseline"
OWN_EVENTS: tuple[type[m.Event], ...] = (m.RiskFigures, m.KillStateChanged, m.TripsChanged)


class RiskMachine:
    """The machine; `instruments` are those that are traded here."""

    def __init__(self, settings: Sequence[Setting], instruments: Iterable[str]) -> None:
        self._all = tuple(settings)
        self._running = tuple(each for each in settings if not each.off)
        self._moved_by: dict[type[m.Message], list[int]] = {}
        for index, each in enumerate(self._running):
            for kind in each.guard.inputs:
                self._moved_by.setdefault(kind, []).append(index)
        keeps = [keep for each in self._running for keep in each.guard.history(each.params)]
        self._view = View(instruments, keeps)
        self._state = RiskState()
        self._begun = False  # every guard has been asked once since start
        self._baseline = False  # and this has been told
        self._kill = KillState.STARTING
        self._trips: dict[str, KillState] = {}  # of legs and instruments, by scope
        self._due: dict[int, int] = {}  # guard -> monotonic time of its next look
        self._wake_mono: int | None = None
        self._told: tuple[tuple[object, ...], ...] | None = None
        self._said: set[tuple[str, str]] = set()  # guards and scopes whose verdict this process has told
        self._baseline_since: Nanos = 0
        self._out: list[m.Message] = []

    @property
    def inputs(self) -> tuple[type[m.Event], ...]:
        """The events it wants: its own and those of the guards that run."""
        kinds = [*OWN_EVENTS, *(kind for each in self._running for kind in each.guard.inputs)]
        return tuple(dict.fromkeys(kinds))

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> RiskState:
        """What must survive a restart; a copy."""
        state = RiskState(scopes=self._state.scopes, history=self._view.snapshot())
        return msgspec.json.decode(msgspec.json.encode(state), type=RiskState)

    def restore(self, state: RiskState) -> None:
        """Take up a kept state (the journal's tail may follow)."""
        known = {each.guard.name for each in self._running}
        self._state = msgspec.json.decode(msgspec.json.encode(state), type=RiskState)
        self._state.scopes = {name: scopes for name, scopes in self._state.scopes.items() if name in known}
        self._view.restore(state.history)

    def new_session(self) -> None:
        """A new process: windows over the past, holds and their cool-downs go on; all else must be read anew."""
        self._view.forget()
        self._begun = self._baseline = False
        self._kill = KillState.STARTING
        self._trips = {}
        self._due.clear()
        self._wake_mono, self._told = None, None
        self._said.clear()
        for scopes in self._state.scopes.values():
            for scope in scopes.values():
                scope.streaks.clear()
                scope.ok_mono = scope.held_mono = None
                scope.told = False

    # ------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One envelope in, its consequences out."""
        if isinstance(env.message, m.GetGuards):
            return [self._answer(env.seq)]
        self._out = []
        now = Now(env.mono_ns, env.time_ns)
        moved: Iterable[int]
        if isinstance(env.message, m.Woke):
            self._wake_mono = None
            moved = [index for index, at in self._due.items() if at <= env.mono_ns]
        else:
            self._view.take(env)
            moved = self._moved_by.get(type(env.message), ())
        moved = dict.fromkeys((*moved, *self._latches(env.message)))
        if not self._begun:
            self._begun = True
            self._baseline_since = now.time_ns
            moved = range(len(self._running))
        for index in moved:
            self._evaluate(index, now)
        self._look_at_baseline(now)
        self._tell_holds()
        self._wake(now)
        return self._out

    def _evaluate(self, index: int, now: Now) -> None:
        guard, params = self._running[index].guard, self._running[index].params
        scopes = self._state.scopes.setdefault(guard.name, {})
        self._view.hold({key: each.held_mono for key, each in scopes.items() if each.held_mono is not None})
        # What it looks at may grow old without another event.
        due = now.mono_ns + int(params.max_age_s * 1_000_000_000) + 1
        seen = set()
        for verdict in guard.check(self._view, now, params):
            key = scope_key(verdict.scope)
            seen.add(key)
            due = min(due, self._judge(scopes, key, verdict, index, now) or due)
        for key in [key for key in scopes if key not in seen]:
            gone = scopes[key]
            # Said of no more: a leg without inventory, or data that was missing for all of an instrument is there.
            was = gone.verdict
            over = Verdict(level="OK", value=ZERO, scope=was.scope, limit=was.limit, unit=was.unit)
            due = min(due, self._judge(scopes, key, over, index, now) or due)
            if gone.acted is None:
                del scopes[key]
        self._due[index] = due

    def _judge(
        self, scopes: dict[str, ScopeState], key: str, verdict: Verdict, index: int, now: Now
    ) -> int | None:
        guard, params = self._running[index].guard, self._running[index].params
        state = scopes.get(key)
        if verdict.value is None and not self._baseline and (state is None or not state.told):
            return None  # nothing is known yet, and one hold says so for all
        if state is None:
            state = scopes[key] = fresh(guard.name, verdict.scope, verdict.unit, verdict.limit, now.time_ns)
        done = state.acted is not None and self._carried_out(state.acted.scope)
        outcome = weigh(state, verdict, params, now, carried_out=done)
        did = "" if outcome.began is None else self._act(outcome.began, guard.name, params)
        did = did or self._once(state, verdict, guard.name)
        if outcome.ended is not None:
            did = f"{outcome.ended.action} ended"
        before, state.verdict = state.verdict, shown(state, verdict, params, now, carried_out=done)
        # Who listens (rearm is kept away by it) knows nothing of what was told before a restart.
        news = before.level != state.verdict.level or (guard.name, key) not in self._said
        if did or (news and (before.level, state.verdict.level) != ("OK", "OK")):
            self._said.add((guard.name, key))
            self._out.append(m.GuardChanged(verdict=state.verdict, previous=before.level, did=did))
        return outcome.due_mono

    # -------------------------------------------------------------------------------------------------- acting

    def _act(self, acted: Acted, guard: str, params: GuardTable) -> str:
        """Carry out an action that was just confirmed; what was done, in words. Holds are told with all others."""
        action, scope = acted.action, acted.scope
        if action.trips:
            self._out.append(
                m.Kill(
                    reason=acted.cause,
                    action=action.kind,
                    instrument=scope.instrument,
                    legs=() if scope.leg is None else (scope.leg,),
                    guard=guard,
                    cooldown_s=int(params.cooldown_s) or None,  # None: the kill switch's own
                )
            )
            return f"{action.kind} {place(scope)}"
        if action.kind in ("trim", "restop"):
            return ""  # by `_once`
        return f"{action} {place(scope)}"

    def _once(self, state: ScopeState, verdict: Verdict, guard: str) -> str:
        """Trims and stops placed anew: once for each episode that the verdict names."""
        acted = state.acted
        if acted is None or not verdict.breach or acted.action.kind not in ("trim", "restop"):
            return ""
        once = verdict.once or str(acted.since_ns)
        if once == state.once:
            return ""
        target = self._target(acted.scope)
        if target is None:
            return ""
        state.once = once
        instrument, leg = target
        reason = f"{guard}: {verdict.words()}"
        if acted.action.kind == "restop":
            self._out.append(m.PlaceStop(instrument=instrument, leg=leg, reason=reason))
            return f"stop placed anew: {place(m.Scope(instrument=instrument, leg=leg))}"
        share = acted.action.share
        self._out.append(m.TrimLeg(instrument=instrument, leg=leg, share=share, reason=reason))
        return f"trim {share:f} of {place(m.Scope(instrument=instrument, leg=leg))}"

    def _target(self, scope: m.Scope) -> tuple[str, Leg] | None:
        """The leg to trim: the scope's own, else the largest in it; None when all are flat or unknown."""
        found: tuple[str, Leg] | None = None
        most = None
        for name in self._view.names:
            books = self._view.books(name)
            if books is None or scope.instrument not in (None, name):
                continue
            for leg in LEGS:
                worth = leg_of(books, leg).notional_usdt
                if scope.leg in (None, leg) and worth and (most is None or worth > most):
                    found, most = (name, leg), worth
        return found

    def _latches(self, message: m.Message) -> list[int]:
        """Follow the kill switch; the guards that have tripped and must be asked again.

        Once what a trip removes is gone, it ends when its breach is over (a guard that is not OK keeps rearm away). After
        rearm it is over in any case: what still breaches trips again.
        """
        if isinstance(message, m.KillStateChanged):
            self._kill = message.state
            left = [scope_key(m.Scope())] if message.state is KillState.ARMED else []
        elif isinstance(message, m.TripsChanged):
            known = {scope_key(trip.scope): trip.state for trip in message.trips}
            left = [key for key in self._trips if key not in known]
            self._trips = known
        else:
            return []
        again = []
        for index, each in enumerate(self._running):
            for state in self._state.scopes.get(each.guard.name, {}).values():
                if state.acted is not None and state.acted.action.trips:
                    again.append(index)
                    if scope_key(state.acted.scope) in left:
                        state.acted = None
                        state.streaks.clear()
        return again

    def _carried_out(self, scope: m.Scope) -> bool:
        """Whether all that a trip of this scope removes is gone, as the venue has confirmed."""
        if scope == m.Scope():
            return self._kill in (KillState.HALTED, KillState.REARMING)
        return self._trips.get(scope_key(scope)) is KillState.HALTED

    # -------------------------------------------------------------------------------------------------- telling

    def _holds(self) -> list[m.Hold]:
        holds = []
        if why := self._view.baseline:
            holds.append(
                m.Hold(
                    key=f"guard:{BASELINE}",
                    action="pause",
                    cause=f"guards: {why}",
                    since_ns=self._baseline_since,
                )
            )
        for guard, scopes in self._state.scopes.items():
            for key, state in scopes.items():
                if state.acted is not None and not state.acted.action.trips:
                    holds.append(_hold(f"guard:{guard}" + (f":{key}" if key else ""), state.acted))
        return holds

    def _tell_holds(self) -> None:
        holds = tuple(self._holds())
        now_in_force = tuple((each.key, each.action, each.scope, each.factor) for each in holds)
        if now_in_force != self._told:
            self._told = now_in_force
            self._out.append(m.HoldsChanged(source=SOURCE, holds=holds))

    def _look_at_baseline(self, now: Now) -> None:
        """Once equity, positions and marks are known every guard must have its data as well."""
        if self._baseline or self._view.baseline:
            return
        self._baseline = True
        self._out.append(m.BaselineRead())
        for index in range(len(self._running)):
            self._evaluate(index, now)

    def _wake(self, now: Now) -> None:
        at = min(self._due.values(), default=None)
        if at is None or (self._wake_mono is not None and self._wake_mono <= at):
            return  # the wake that is on its way comes first, and asks for the next
        self._wake_mono = max(at, now.mono_ns)
        self._out.append(m.WakeAt(at_ns=self._wake_mono, token=WAKE))

    def _answer(self, to: int) -> m.GuardsAnswer:
        verdicts = [state.verdict for scopes in self._state.scopes.values() for state in scopes.values()]
        return m.GuardsAnswer(
            to=to,
            verdicts=tuple(verdicts),
            holds=tuple(self._holds()),
            off=tuple(each.guard.name for each in self._all if each.off),
        )


def _hold(key: str, acted: Acted) -> m.Hold:
    action: Action = acted.action
    if action.kind == "throttle":
        return m.Hold(
            key=key,
            action="throttle",
            scope=acted.scope,
            factor=action.share,
            cause=acted.cause,
            since_ns=acted.since_ns,
        )
    return m.Hold(
        key=key,
        action="pause" if action.kind == "pause" else "notify",
        scope=acted.scope,
        cause=acted.cause,
        since_ns=acted.since_ns,
    )

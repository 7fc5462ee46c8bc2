"""The risk machine: facts in, guards run that they move, holds and trips out.

    event -> view -> guards whose input it is -> verdict -> confirm / clear (judging.py) -> HoldsChanged, Kill, TrimLeg

Nothing trades from a baseline that was not read: until equity, positions and marks are known there is a hold of its own,
whatever guards are on. A guard never sees another; the machine adds up what they want, the strongest wins downstream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.actions import Action
from hedgegridd.core.facts import View, leg_of, scope_key
from hedgegridd.core.guard import GuardTable, Now, Verdict, place
from hedgegridd.core.scopes import BASELINE_KEY, GUARDS
from hedgegridd.guards import Setting
from hedgegridd.model import LEGS, ZERO, KillState, Leg, Nanos
from hedgegridd.risk.judging import is_quiet, level_shown, shown, stays_quiet, weigh
from hedgegridd.risk.state import Acted, Life, RiskState, ScopeState, fresh

WAKE = "look"
SOONEST_NS = 1_000_000  # between two looks that nothing but time asks for
SOURCE = GUARDS
OWN_EVENTS: tuple[type[m.Event], ...] = (m.RiskFigures, m.KillStateChanged, m.TripsChanged)


class RiskMachine:
    """The machine; `instruments` are those that are traded here."""

    def __init__(
        self,
        settings: Sequence[Setting],
        instruments: Iterable[str],
        remake: Callable[[msgspec.Raw], Sequence[Setting]] | None = None,
    ) -> None:
        """`remake` gives the settings of a config that was read anew; None: there is none."""
        self._configured = tuple(settings)
        self._remake = remake
        self._view = View(instruments)
        self._use(self._configured)
        self._state = RiskState()
        self._holds_moved = True
        self._begun = False  # every guard has been asked once since start
        self._baseline = False  # and this has been told
        self._kill = KillState.STARTING
        self._trips: dict[str, KillState] = {}  # of legs and instruments, by scope
        self._due: dict[int, int] = {}  # guard -> monotonic time of its next look
        self._last: dict[str, dict[str, Verdict]] = {}  # what each guard said last, by scope
        self._wake_mono: int | None = None
        self._told: tuple[tuple[object, ...], ...] | None = None
        self._said: set[tuple[str, str]] = set()  # guards and scopes whose verdict this process has told
        self._baseline_since: Nanos = 0
        self._sample = True  # what is handled now has news of the market, or is no figure of it
        self._out: list[m.Message] = []

    def _use(self, settings: Sequence[Setting]) -> None:
        """Run these guards; what is known of those that ran before stays."""
        self._all = tuple(settings)
        self._running = tuple(each for each in settings if not each.off)
        self._moved_by: dict[type[m.Message], list[int]] = {}
        # Those that act hardest are asked first: a trip does not wait for guards that only tell.
        hardest = sorted(range(len(self._running)), key=lambda at: self._running[at].params.act.strength)
        for index in reversed(hardest):
            for kind in self._running[index].guard.inputs:
                self._moved_by.setdefault(kind, []).append(index)
        self._view.keep(keep for each in self._running for keep in each.guard.history(each.params))
        self._ages = [int(each.params.max_age_s * 1_000_000_000) + 1 for each in self._running]

    def _reload(self, config: msgspec.Raw, now: Now) -> None:
        """Other tables: every guard is asked anew, and what one that is off now has held is over."""
        if self._remake is None:
            return
        self._use(self._remake(config))
        running = {each.guard.name for each in self._running}
        gone = {name for name in self._state.scopes if name not in running}
        for name in gone:
            del self._state.scopes[name]
            self._last.pop(name, None)
        self._holds_moved = self._holds_moved or bool(gone)
        self._due.clear()
        self._ask(range(len(self._running)), now)

    @property
    def inputs(self) -> tuple[type[m.Event], ...]:
        """The events it wants: its own and those of the guards that run."""
        kinds: list[type[m.Event]] = [m.ConfigReloaded, *OWN_EVENTS]
        for each in self._running:
            kinds += each.guard.inputs
        return tuple(dict.fromkeys(kinds))

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> RiskState:
        """What must survive a restart; a copy."""
        life = self._life() if self._begun else None
        state = RiskState(scopes=self._state.scopes, history=self._view.snapshot(), life=life)
        return msgspec.json.decode(msgspec.json.encode(state), type=RiskState)

    def restore(self, state: RiskState) -> None:
        """Take up a kept state as it was (the journal's tail may follow)."""
        known = {each.guard.name for each in self._running}
        self._state = msgspec.json.decode(msgspec.json.encode(state), type=RiskState)
        self._state.scopes = {name: scopes for name, scopes in self._state.scopes.items() if name in known}
        self._state.life = None
        self._forget()
        self._view.restore(state.history)
        if state.life is not None:
            self._go_on(state.life)

    def _life(self) -> Life:
        return Life(
            now=self._view.now(),
            baseline=self._baseline,
            baseline_since=self._baseline_since,
            kill=self._kill,
            trips=dict(self._trips),
            due={self._running[index].guard.name: at for index, at in self._due.items()},
            wake_mono=self._wake_mono,
            said=sorted(self._said),
        )

    def _go_on(self, life: Life) -> None:
        """Records of the same process follow: a guard must not take what it knew for missing."""
        self._view.go_on(life.now)
        self._begun = True
        self._baseline, self._baseline_since = life.baseline, life.baseline_since
        self._kill, self._trips = life.kill, dict(life.trips)
        names = {each.guard.name: index for index, each in enumerate(self._running)}
        self._due = {names[name]: at for name, at in life.due.items() if name in names}
        self._wake_mono = life.wake_mono
        self._said = set(life.said)

    def new_session(self) -> None:
        """A new process: windows over the past, holds and their cool-downs go on; all else must be read anew."""
        self._use(self._configured)  # what a reload of the last process said is in the file that was read now
        self._forget()
        self._view.new_process()
        for scopes in self._state.scopes.values():
            for scope in scopes.values():
                scope.streaks.clear()
                scope.ok_mono = scope.held_mono = None
                scope.told = False

    def _forget(self) -> None:
        self._view.forget()
        self._begun = self._baseline = False
        self._kill = KillState.STARTING
        self._trips = {}
        self._due.clear()
        self._last.clear()
        self._holds_moved = True
        self._wake_mono, self._told = None, None
        self._said.clear()

    # ------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One envelope in, its consequences out."""
        if isinstance(env.message, m.GetGuards):
            return [self._answer(env.seq)]
        self._out = []
        now = Now(env.mono_ns, env.time_ns)
        moved: Iterable[int]
        if isinstance(env.message, m.Woke):
            self._wake_mono, self._sample = None, True
            moved = [index for index, at in self._due.items() if at <= env.mono_ns]
        else:
            self._view.take(env)
            self._sample = self._view.moved_on or not isinstance(env.message, m.RiskFigures)
            moved = self._moved_by.get(type(env.message), ())
        if isinstance(env.message, m.ConfigReloaded):
            self._reload(env.message.config, now)
        if again := self._latches(env.message):
            moved = dict.fromkeys((*moved, *again))
        if not self._begun:
            self._begun = True
            self._baseline_since = now.time_ns
            moved = range(len(self._running))
        self._ask(moved, now)
        if not self._baseline and not self._view.baseline:
            self._baseline = self._holds_moved = True
            self._out.append(m.BaselineRead())
            self._sample = False
            self._ask(range(len(self._running)), now)  # every guard must have its data now as well
        if self._holds_moved:
            self._tell_holds()
        self._wake(now)
        return self._out

    def _ask(self, moved: Iterable[int], now: Now) -> None:
        """Evaluate guards; when one trips the others follow in a turn of their own, right after it."""
        rest = iter(moved)
        for index in rest:
            if self._evaluate(index, now):
                self._due.update(dict.fromkeys(rest, now.mono_ns))

    def _evaluate(self, index: int, now: Now) -> bool:
        """Ask one guard and do what follows; True when it has tripped the kill switch."""
        guard, params = self._running[index].guard, self._running[index].params
        scopes = self._state.scopes.get(guard.name)
        if scopes is None:
            scopes = self._state.scopes[guard.name] = {}
        self._view.hold(scopes)
        # What it looks at may grow old without another event.
        self._due[index] = now.mono_ns + self._ages[index]
        last: dict[str, Verdict] = {}
        tripped = False
        for verdict in guard.check(self._view, now, params):
            key = scope_key(verdict.scope)
            last[key] = verdict
            state = scopes.get(key)
            if state is not None and is_quiet(state, verdict):
                stays_quiet(state)
            else:
                tripped |= self._judge(scopes, key, verdict, index, now)
        if len(scopes) != len(last) or not self._baseline:
            self._gone(scopes, last, index, now)
        self._last[guard.name] = last
        return tripped

    def _gone(self, scopes: dict[str, ScopeState], last: dict[str, Verdict], index: int, now: Now) -> None:
        """Nothing is said of a scope any more: a leg is flat, or what was missing for all of an instrument is there."""
        for key in [key for key in scopes if key not in last]:
            was = scopes[key].verdict
            over = Verdict(level="OK", value=ZERO, scope=was.scope, limit=was.limit, unit=was.unit)
            self._judge(scopes, key, over, index, now)
            if scopes[key].acted is None and not scopes[key].once:  # a settlement that was trimmed stays so
                del scopes[key]
            else:
                last[key] = over

    def _judge(self, scopes: dict[str, ScopeState], key: str, verdict: Verdict, index: int, now: Now) -> bool:
        guard, params = self._running[index].guard, self._running[index].params
        state = scopes.get(key)
        if verdict.value is None and not self._baseline and (state is None or not state.told):
            return False  # nothing is known yet, and one hold says so for all
        if state is None:
            state = scopes[key] = fresh(guard.name, verdict.scope, verdict.unit, verdict.limit, now.time_ns)
        done = state.acted is not None and self._carried_out(state.acted.scope)
        outcome = weigh(state, verdict, params, now, carried_out=done, sample=self._sample)
        did = ""
        if outcome.began is not None or outcome.ended is not None:
            self._holds_moved = True
            did = "" if outcome.ended is None else f"{outcome.ended.action} ended"
        if outcome.ended is not None and outcome.ended.action.kind == "restop":
            state.once = ""  # the next time begins with its own first try
        if outcome.began is not None:
            did = self._act(outcome.began, guard.name, params)
        if state.acted is not None:
            did = self._once(state, verdict, guard.name) or did
        if outcome.due_mono is not None:
            self._due[index] = min(self._due[index], outcome.due_mono)
        before = state.verdict
        level = level_shown(state, verdict, params, carried_out=done)
        # Who listens (rearm is kept away by it) knows nothing of what was told before a restart.
        anew = level != "OK" and (guard.name, key) not in self._said
        if did or before.level != level or anew:
            self._said.add((guard.name, key))
            state.verdict = shown(state, verdict, params, now, carried_out=done)
            self._out.append(m.GuardChanged(verdict=state.verdict, previous=before.level, did=did))
        return outcome.began is not None and outcome.began.action.trips

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
        rearm it is over in any case: what still breaches trips again. So it does after a crash between a guard's decision
        and the kill switch's: what we take for tripped, and the kill switch does not know of at start, was never done.
        """
        if isinstance(message, m.KillStateChanged):
            self._kill = message.state
            left = [scope_key(m.Scope())] if message.state is KillState.ARMED else []
            if _tells_of_start(message):  # trips of legs and instruments that are latched were told before it
                left += [key for key in self._tripped_scopes() if key not in self._trips]
            if message.state in (KillState.STARTING, KillState.TRIPPED) and not left:
                return []  # nothing is carried out yet
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
                        self._holds_moved = True
                        state.streaks.clear()
        return again

    def _tripped_scopes(self) -> set[str]:
        """Legs and instruments of which a guard says that it has tripped them."""
        states = (state for scopes in self._state.scopes.values() for state in scopes.values())
        scopes = (each.acted.scope for each in states if each.acted is not None and each.acted.action.trips)
        return {scope_key(scope) for scope in scopes if scope != m.Scope()}

    def _carried_out(self, scope: m.Scope) -> bool:
        """Whether all that a trip of this scope removes is gone, as the venue has confirmed."""
        if scope == m.Scope():
            return self._kill in (KillState.HALTED, KillState.REARMING)
        return self._trips.get(scope_key(scope)) is KillState.HALTED

    # -------------------------------------------------------------------------------------------------- telling

    def _holds(self) -> list[m.Hold]:
        holds = []
        if not self._baseline and (why := self._view.baseline):
            holds.append(
                m.Hold(
                    key=BASELINE_KEY,
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
        self._holds_moved = False
        holds = tuple(self._holds())
        now_in_force = tuple((each.key, each.action, each.scope, each.factor) for each in holds)
        if now_in_force != self._told:
            self._told = now_in_force
            self._out.append(m.HoldsChanged(source=SOURCE, holds=holds))

    def _wake(self, now: Now) -> None:
        at = min(self._due.values(), default=None)
        if at is None or (self._wake_mono is not None and self._wake_mono <= at):
            return  # the wake that is on its way comes first, and asks for the next
        self._wake_mono = max(at, now.mono_ns + SOONEST_NS)
        self._out.append(m.WakeAt(at_ns=self._wake_mono, token=WAKE))

    def _answer(self, to: int) -> m.GuardsAnswer:
        return m.GuardsAnswer(
            to=to,
            verdicts=tuple(self._verdicts()),
            holds=tuple(self._holds()),
            off=tuple(each.guard.name for each in self._all if each.off),
        )

    def _verdicts(self) -> Iterator[m.GuardVerdict]:
        """What each guard says of each scope, with the values of its last look."""
        for each in self._running:
            for key, state in self._state.scopes.get(each.guard.name, {}).items():
                verdict = self._last.get(each.guard.name, {}).get(key)
                if verdict is None:
                    yield state.verdict
                    continue
                done = state.acted is not None and self._carried_out(state.acted.scope)
                now = Now(0, state.verdict.since_ns)
                yield shown(state, verdict, each.params, now, carried_out=done)


def _tells_of_start(change: m.KillStateChanged) -> bool:
    """Whether it is the kill switch's word after the checks of a start: armed, or latched as before."""
    started = change.previous is KillState.STARTING and change.state is KillState.ARMED
    return started or change.previous is change.state


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

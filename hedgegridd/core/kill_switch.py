"""The kill switch: a literal table of states x messages; whatever is not in it is refused or ignored by name.

state     | Kill            | Rearm          | StartChecked | VenueUp | FlattenFinished/EntriesGone | Reconciled
--------- | --------------- | -------------- | ------------ | ------- | --------------------------- | ------------------
STARTING  | trip            | refuse         | arm          | -       | -                           | -
ARMED     | trip            | scoped: check  | -            | -       | -                           | -
TRIPPED   | join or upgrade | refuse         | tell again   | resume  | halt (when it is the trip's)| -
HALTED    | trip again      | check, cooling | tell again   | -       | -                           | -
REARMING  | trip            | refuse         | -            | -       | -                           | arm or halt again

That is the account's own state. A Kill of an instrument or a leg latches at that scope, in every state and beside it: the
table of those trips is in `trips.py`; they are finished, kept over restarts and left by rearm just so. Any Kill ends a
rearm that is under way.

HALTED is what the venue confirmed then; who kills again asks for what it confirms now. FeedChanged, GuardChanged and
HoldsChanged are kept in every state: rearm is refused while a feed is down, while a guard is BLOCK, or CRITICAL with an
action stronger than to trim, and before the guards have spoken at all. A trip latches: it survives restarts (`snapshot`), which finish it, and only
`Rearm` leaves it.
"""

from collections.abc import Iterable

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import KillSwitch as KillConfig
from hedgegridd.core import trips
from hedgegridd.core.rearm import Heard, Latch, Pending, Watch
from hedgegridd.model import LEGS, KillState, Nanos

REARM_DEADLINE_S = 20
COOLDOWN_MAX_S = 7 * 86_400
_ACCEPTED = {
    KillState.STARTING: ("flatten", "kill", "status"),
    KillState.ARMED: ("flatten", "kill", "status"),
    KillState.TRIPPED: ("flatten", "kill", "status"),
    KillState.HALTED: ("flatten", "status", "rearm"),
    KillState.REARMING: ("flatten", "kill", "status"),
}
_ACCOUNT = m.Scope()


class KillSwitchState(msgspec.Struct, kw_only=True):
    """All that must survive a restart: the account's trip, and those of instruments and legs by scope."""

    state: KillState = KillState.STARTING
    trip_id: str = ""
    cause: str = ""
    action: str = ""
    guard: str = ""
    since_ns: Nanos = 0
    cooldown_s: int = 0
    trips: dict[str, m.Trip] = {}
    heard: Heard | None = None  # in this process so far; None: nothing


class KillSwitch:
    """The machine. Feed it envelopes; what it returns is what must happen, in that order.

    `hold_sources` must each have spoken in this process before anything may be rearmed. `instruments` are those that are
    traded here (none: any is): no other is tripped, and a trip of one that the config has no more is left by rearm though
    nobody can finish it.
    """

    def __init__(
        self, config: KillConfig, hold_sources: tuple[str, ...] = (), instruments: tuple[str, ...] = ()
    ) -> None:
        self._config = config
        self._instruments = instruments
        self._state = KillSwitchState()
        self._askers: dict[int, str] = {}  # envelopes of Kill commands -> the trip whose end they wait for
        self._rearming: Pending | None = None
        self._watch = Watch(hold_sources)

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> KillSwitchState:
        """The state to keep; a copy."""
        return msgspec.structs.replace(
            self._state, trips=dict(self._state.trips), heard=self._watch.snapshot()
        )

    def load(self, state: KillSwitchState) -> None:
        """Take up a kept state as it was, amid the life of its process: its further records may follow."""
        self._state = msgspec.structs.replace(state, trips=dict(state.trips), heard=None)
        self._askers.clear()
        self._rearming = None
        self._watch.restore(state.heard)

    @property
    def latched(self) -> tuple[m.Trip, ...]:
        """Every trip that is latched, the account's own first."""
        state = self._state
        if state.state in (KillState.STARTING, KillState.ARMED):
            return tuple(state.trips.values())
        own = m.Trip(
            trip_id=state.trip_id,
            scope=_ACCOUNT,
            action="flatten" if state.action == "flatten" else "halt",
            cause=state.cause,
            guard=state.guard,
            state=KillState.TRIPPED if state.state is KillState.TRIPPED else KillState.HALTED,
            since_ns=state.since_ns,
            cooldown_s=state.cooldown_s,
        )
        return (own, *state.trips.values())

    @property
    def at_rest(self) -> bool:
        """Whether no removal and no rearm is under way: a state kept now goes on as if nothing had happened."""
        busy = self._state.state in (KillState.TRIPPED, KillState.REARMING)
        return not busy and self._rearming is None and not self._askers

    def restore(self, state: KillSwitchState) -> None:
        """Take up a kept state in a new process: an open trip is finished, an open rearm has failed, ARMED starts over."""
        self.load(state)
        self._watch.forget()
        if state.state in (KillState.ARMED, KillState.STARTING):
            self._state.state = KillState.STARTING
        elif state.state is KillState.REARMING:
            self._state.state = KillState.HALTED

    def relatch(self, kept: Iterable[m.Trip]) -> None:
        """In a new process, after `restore`: trips of the last one that no record tells of are to be carried out anew.

        One that is known by its id is as the records have it. A scope keeps the stronger action and the longer cool-down.
        """
        known = {trip.trip_id for trip in self.latched}
        for trip in kept:
            if trip.trip_id in known:
                continue
            old = next((each for each in self.latched if each.scope == trip.scope), None)
            if old is not None:
                harder = trips.STRENGTH[old.action] > trips.STRENGTH[trip.action]
                cooldown_s = max(old.cooldown_s, trip.cooldown_s)
                trip = msgspec.structs.replace(  # noqa: PLW2901  # the two of this scope in one
                    trip, action=old.action if harder else trip.action, cooldown_s=cooldown_s
                )
            if trip.scope == _ACCOUNT:
                state = self._state
                state.state, state.trip_id, state.cause = KillState.TRIPPED, trip.trip_id, trip.cause
                state.action, state.guard, state.cooldown_s = trip.action, trip.guard, trip.cooldown_s
                state.since_ns = trip.since_ns
            else:
                again = msgspec.structs.replace(trip, state=KillState.TRIPPED)
                self._state.trips[trips.key_of(trip.scope)] = again

    # --------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.Kill():
                return self._kill(env, message)
            case m.Rearm():
                return self._rearm(env, message)
            case m.GetKillSwitch():
                return [self._view(env.seq)]
            case m.StartChecked():
                return self._start_checked(env)
            case m.VenueUp():
                account = self._act() if self._state.state is KillState.TRIPPED else []
                return [*account, *trips.unfinished(self._state.trips)]
            case m.FlattenFinished():
                return self._removed(env, message.origin)
            case m.EntriesGone():
                return self._removed(env, message.cause)
            case m.Reconciled():
                return self._checked(env, message)
            case m.FeedChanged() | m.GuardChanged() | m.HoldsChanged():
                self._watch.hear(message)
                return []
            case m.Woke():
                return self._woke(env, message.token)
            case _:
                raise TypeError(f"the kill switch has no row for {type(message).__name__}")

    def _kill(self, env: m.Envelope, kill: m.Kill) -> list[m.Message]:
        action = kill.action or self._config.action
        if action not in trips.STRENGTH:
            return [m.Refused(to=env.seq, reason=f"action must be 'halt' or 'flatten', not {action!r}")]
        cooldown_s = self._config.cooldown_s if kill.cooldown_s is None else kill.cooldown_s
        if not 0 <= cooldown_s <= COOLDOWN_MAX_S:
            reason = f"cooldown_s must be from 0 to {COOLDOWN_MAX_S}, not {cooldown_s}"
            return [m.Refused(to=env.seq, reason=reason)]
        scope = trips.scope_of(kill)
        if not self._trades(scope):
            return [m.Refused(to=env.seq, reason=f"instrument {scope.instrument!r} is not traded here")]
        account = scope == _ACCOUNT
        out = self._end_rearm(env, tripped=account)
        if account:
            before = self._state.trip_id
            trip_id, follows = self._trip_account(env, kill, action, cooldown_s)
        else:
            known = self._state.trips.get(trips.key_of(scope))
            before = "" if known is None else known.trip_id
            trip, follows = trips.kill(self._state.trips, kill, action, cooldown_s, env)
            trip_id = trip.trip_id
        for seq, waits_for in self._askers.items():
            if waits_for == before:  # what they wait for is what the upgrade ends with
                self._askers[seq] = trip_id
        self._askers[env.seq] = trip_id
        return [*out, *follows, self._deadline(env, kill)]

    def _trip_account(
        self, env: m.Envelope, kill: m.Kill, action: str, cooldown_s: int
    ) -> tuple[str, list[m.Message]]:
        """Trip, join or upgrade the account's own; its id, and what follows."""
        state = self._state
        if state.state in (KillState.TRIPPED, KillState.HALTED, KillState.REARMING):
            cooldown_s = max(cooldown_s, state.cooldown_s)
            if trips.STRENGTH[action] <= trips.STRENGTH[state.action]:
                action = state.action
                if state.state is KillState.TRIPPED:
                    state.cooldown_s = cooldown_s
                    return state.trip_id, []
        state.trip_id, state.cause, state.action = f"T-{env.seq}", kill.reason, action
        state.guard, state.cooldown_s = kill.guard, cooldown_s
        return state.trip_id, [*self._move(KillState.TRIPPED, env), *self._act()]

    def _start_checked(self, env: m.Envelope) -> list[m.Message]:
        """Arm; a latch from before the restart stays, and is told to whoever has not heard of it.

        That none is left is told as well: the rearm may have been the last that the journal knows of.
        """
        known = [trips.told(self._state.trips)]
        if self._state.state is KillState.STARTING:
            return [*known, *self._move(KillState.ARMED, env)]
        return [*known, *self._move(self._state.state, env, keep_since=True)]

    def _act(self) -> list[m.Message]:
        """Start, or after a restart take up again, what the account's trip must remove."""
        if self._state.action == "flatten":
            return [m.Flatten(legs=LEGS, reason=self._state.cause, origin=self._state.trip_id)]
        return [m.HaltEntries(trip_id=self._state.trip_id, cause=self._state.cause)]

    def _removed(self, env: m.Envelope, trip_id: str) -> list[m.Message]:
        if self._state.state is KillState.TRIPPED and trip_id == self._state.trip_id:
            out = self._move(KillState.HALTED, env)
        elif trips.removed(self._state.trips, trip_id, env.time_ns):
            out = [trips.told(self._state.trips)]
        else:
            return []
        askers = [seq for seq, waits_for in self._askers.items() if waits_for == trip_id]
        return [*out, *(self._done(asker, verified=True) for asker in askers)]

    # ----------------------------------------------------------------------------------------------------- rearm

    def _rearm(self, env: m.Envelope, rearm: m.Rearm) -> list[m.Message]:
        refused = self._not_now(rearm)
        if refused:
            return [self._refuse(env.seq, refused)]
        account = self._state.state is KillState.HALTED and rearm.instrument is None
        latches = self._latches(rearm.instrument)
        if why := self._watch.why_not(latches, env.time_ns):
            return [self._refuse(env.seq, why)]
        self._rearming = Pending(asker=env.seq, reason=rearm.reason, account=account, latches=latches)
        return [
            *(self._move(KillState.REARMING, env, keep_since=True) if account else []),
            m.Reconcile(cause="rearm"),
            m.WakeAt(at_ns=env.mono_ns + REARM_DEADLINE_S * trips.SECOND_NS, token=f"rearm:{env.seq}"),
        ]

    def _not_now(self, rearm: m.Rearm) -> str:
        """Why there is nothing to rearm, in words; empty when there is."""
        state = self._state
        if self._rearming is not None:
            return "a rearm is under way"
        if state.state not in (KillState.HALTED, KillState.ARMED):
            return f"{state.state.value}: only HALTED can be rearmed"
        if not self._latches(rearm.instrument):
            return f"{state.state.value}: nothing of {rearm.instrument or 'it'} is latched"
        running = [
            trip
            for trip in self._scoped(rearm.instrument)
            if trip.state is KillState.TRIPPED and self._trades(trip.scope)
        ]
        if running:
            return f"{running[0].trip_id} is still being carried out"
        return "" if rearm.reason.strip() else "a reason is needed"

    def _trades(self, scope: m.Scope) -> bool:
        return scope.instrument is None or not self._instruments or scope.instrument in self._instruments

    def _scoped(self, instrument: str | None) -> tuple[m.Trip, ...]:
        """Trips of instruments and legs: all of them, or those of one instrument."""
        known = self._state.trips.values()
        return tuple(trip for trip in known if instrument in (None, trip.scope.instrument))

    def _latches(self, instrument: str | None) -> tuple[Latch, ...]:
        """What a rearm leaves."""
        state = self._state
        own = Latch(
            trip_id=state.trip_id, scope=_ACCOUNT, since_ns=state.since_ns, cooldown_s=state.cooldown_s
        )
        account = (own,) if instrument is None and state.state is KillState.HALTED else ()
        scoped = (
            Latch(trip_id=trip.trip_id, scope=trip.scope, since_ns=trip.since_ns, cooldown_s=trip.cooldown_s)
            for trip in self._scoped(instrument)
        )
        return (*account, *scoped)

    def _checked(self, env: m.Envelope, reconciled: m.Reconciled) -> list[m.Message]:
        """The comparison that a rearm waits for; whatever came up meanwhile counts as well."""
        pending = self._rearming
        if pending is None or reconciled.cause != "rearm":
            return []
        why = self._watch.why_not(pending.latches, env.time_ns)
        if not reconciled.ok:
            why = f"not reconciled: {'; '.join(reconciled.differences[:5])}"
        if why:
            return self._end_rearm(env, why)
        self._rearming = None
        gone = {latch.trip_id for latch in pending.latches}
        state = self._state
        scoped = [key for key, trip in state.trips.items() if trip.trip_id in gone]
        for key in scoped:
            del state.trips[key]
        out: list[m.Message] = [trips.told(state.trips)] if scoped else []
        if pending.account:
            state.trip_id = state.cause = state.action = state.guard = ""
            state.cooldown_s = 0
            out += self._move(KillState.ARMED, env)
        detail: dict[str, object] = {
            "state": state.state.value,
            "reason": pending.reason,
            "rearmed": sorted(gone),
            "checks": {"reconciled": True, "feeds": "up", "guards": "OK"},
        }
        return [*out, m.Done(to=pending.asker, detail=detail)]

    def _end_rearm(
        self, env: m.Envelope, why: str = "killed while rearming", *, tripped: bool = False
    ) -> list[m.Message]:
        """A rearm that is under way has failed: what was latched stays so. `tripped`: the account trips next."""
        pending, self._rearming = self._rearming, None
        if pending is None:
            return []
        halted = pending.account and not tripped
        back = self._move(KillState.HALTED, env, keep_since=True) if halted else []
        return [*back, self._refuse(pending.asker, why)]

    def _woke(self, env: m.Envelope, token: str) -> list[m.Message]:
        kind, _, seq = token.partition(":")
        if kind == "kill" and int(seq) in self._askers:
            return [self._done(int(seq), verified=False)]
        if kind == "rearm" and self._rearming is not None and self._rearming.asker == int(seq):
            return self._end_rearm(env, f"the venue was not reconciled within {REARM_DEADLINE_S} s")
        return []

    # ---------------------------------------------------------------------------------------------------- answers

    def _move(self, state: KillState, env: m.Envelope, *, keep_since: bool = False) -> list[m.Message]:
        previous, self._state.state = self._state.state, state
        if not keep_since:
            self._state.since_ns = env.time_ns
        return [
            m.KillStateChanged(
                state=state,
                previous=previous,
                trip_id=self._state.trip_id,
                cause=self._state.cause,
                since_ns=self._state.since_ns,
            )
        ]

    def _deadline(self, env: m.Envelope, kill: m.Kill) -> m.WakeAt:
        return m.WakeAt(at_ns=env.mono_ns + int(kill.deadline_s * 1e9), token=f"kill:{env.seq}")

    def _done(self, to: int, *, verified: bool) -> m.Done:
        """The answer to a kill, once: the trip that carries it out, the account's or a scoped one."""
        trip_id = self._askers.pop(to)
        scoped = next((trip for trip in self._state.trips.values() if trip.trip_id == trip_id), None)
        state = self._state if scoped is None else scoped
        detail: dict[str, object] = {
            "verified": verified,
            "state": state.state.value,
            "trip_id": trip_id,
            "action": state.action,
            "cause": state.cause,
        }
        if scoped is not None:
            detail["instrument"], detail["leg"] = scoped.scope.instrument, scoped.scope.leg
        return m.Done(to=to, detail=detail)

    def _refuse(self, to: int, reason: str) -> m.Refused:
        accepted = _ACCEPTED[self._state.state]
        return m.Refused(
            to=to, reason=reason, accepted=(*accepted, "rearm") if self._state.trips else accepted
        )

    def _view(self, to: int) -> m.KillSwitchAnswer:
        state = self._state
        latches = self._latches(None)
        return m.KillSwitchAnswer(
            to=to,
            state=state.state,
            trip_id=state.trip_id,
            cause=state.cause,
            action=state.action,
            guard=state.guard,
            since_ns=state.since_ns,
            rearm_from_ns=max((latch.from_ns for latch in latches), default=0),
            trips=tuple(state.trips.values()),
            guards=self._watch.guards(latch.scope for latch in latches),
            accepted=_ACCEPTED[state.state],
        )

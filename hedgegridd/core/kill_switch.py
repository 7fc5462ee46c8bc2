"""The kill switch: a literal table of states x messages; whatever is not in it is refused or ignored by name.

state     | Kill            | Rearm          | StartChecked | VenueUp | FlattenFinished/EntriesGone | Reconciled
--------- | --------------- | -------------- | ------------ | ------- | --------------------------- | ------------------
STARTING  | trip            | refuse         | arm          | -       | -                           | -
ARMED     | trip            | refuse         | -            | -       | -                           | -
TRIPPED   | join or upgrade | refuse         | tell again   | resume  | halt (when it is the trip's)| -
HALTED    | trip again      | check, cooling | tell again   | -       | -                           | -
REARMING  | trip            | refuse         | -            | -       | -                           | arm or halt again

HALTED is what the venue confirmed then; who kills again asks for what it confirms now. FeedChanged is kept in every
state: rearm is refused while a feed is down. A trip latches: it survives restarts (`snapshot`), which finish it, and only `Rearm` leaves it.
"""

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import KillSwitch as KillConfig
from hedgegridd.model import LEGS, KillState, Nanos

REARM_DEADLINE_S = 20
_STRENGTH = {"halt": 1, "flatten": 2}
_ACCEPTED = {
    KillState.STARTING: ("flatten", "kill", "status"),
    KillState.ARMED: ("flatten", "kill", "status"),
    KillState.TRIPPED: ("flatten", "kill", "status"),
    KillState.HALTED: ("flatten", "status", "rearm"),
    KillState.REARMING: ("flatten", "kill", "status"),
}


class KillSwitchState(msgspec.Struct, kw_only=True):
    """All that must survive a restart."""

    state: KillState = KillState.STARTING
    trip_id: str = ""
    cause: str = ""
    action: str = ""
    since_ns: Nanos = 0


class KillSwitch:
    """The machine. Feed it envelopes; what it returns is what must happen, in that order."""

    def __init__(self, config: KillConfig) -> None:
        self._config = config
        self._state = KillSwitchState()
        self._askers: list[int] = []  # envelopes of Kill commands that wait for HALTED
        self._rearm_asker = 0
        self._rearm_reason = ""
        self._feeds_down: dict[str, str] = {}  # channel -> why

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> KillSwitchState:
        """The state to keep; a copy."""
        return msgspec.structs.replace(self._state)

    def restore(self, state: KillSwitchState) -> None:
        """Take up a kept state: an open trip is finished, an open rearm has failed, ARMED starts over."""
        self._state = msgspec.structs.replace(state)
        self._feeds_down.clear()  # what a process before us heard; what is down now will be told
        if state.state in (KillState.ARMED, KillState.STARTING):
            self._state.state = KillState.STARTING
        elif state.state is KillState.REARMING:
            self._state.state = KillState.HALTED

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
                return self._act() if self._state.state is KillState.TRIPPED else []
            case m.FlattenFinished():
                return self._removed(env, message.origin)
            case m.EntriesGone():
                return self._removed(env, message.cause)
            case m.Reconciled():
                return self._checked(env, message)
            case m.FeedChanged(up=True):
                self._feeds_down.pop(message.channel, None)
                return []
            case m.FeedChanged():
                self._feeds_down[message.channel] = message.detail
                return []
            case m.Woke():
                return self._woke(env, message.token)
            case _:
                raise TypeError(f"the kill switch has no row for {type(message).__name__}")

    def _kill(self, env: m.Envelope, kill: m.Kill) -> list[m.Message]:
        action = kill.action or self._config.action
        if action not in _STRENGTH:
            return [m.Refused(to=env.seq, reason=f"action must be 'halt' or 'flatten', not {action!r}")]
        state = self._state
        latched = state.state in (KillState.TRIPPED, KillState.HALTED)
        if latched and _STRENGTH[action] <= _STRENGTH[state.action]:
            action = state.action
            if state.state is KillState.TRIPPED:
                self._askers.append(env.seq)
                return [self._deadline(env, kill)]
        out: list[m.Message] = []
        if self._rearm_asker:
            out.append(m.Refused(to=self._rearm_asker, reason="killed while rearming"))
            self._rearm_asker = 0
        self._state.trip_id = f"T-{env.seq}"
        self._state.cause = kill.reason
        self._state.action = action
        self._askers.append(env.seq)
        return [*out, *self._move(KillState.TRIPPED, env), *self._act(), self._deadline(env, kill)]

    def _start_checked(self, env: m.Envelope) -> list[m.Message]:
        """Arm; a latch from before the restart stays, and is told to whoever has not heard of it."""
        if self._state.state is KillState.STARTING:
            return self._move(KillState.ARMED, env)
        return self._move(self._state.state, env, keep_since=True)

    def _act(self) -> list[m.Message]:
        """Start, or after a restart take up again, what the trip must remove."""
        if self._state.action == "flatten":
            return [m.Flatten(legs=LEGS, reason=self._state.cause, origin=self._state.trip_id)]
        return [m.HaltEntries(trip_id=self._state.trip_id, cause=self._state.cause)]

    def _removed(self, env: m.Envelope, trip_id: str) -> list[m.Message]:
        if self._state.state is not KillState.TRIPPED or trip_id != self._state.trip_id:
            return []
        askers, self._askers = self._askers, []
        return [
            *self._move(KillState.HALTED, env),
            *(self._done(asker, verified=True) for asker in askers),
        ]

    def _rearm(self, env: m.Envelope, rearm: m.Rearm) -> list[m.Message]:
        state = self._state
        if state.state is not KillState.HALTED:
            return [self._refuse(env.seq, f"{state.state.value}: only HALTED can be rearmed")]
        if not rearm.reason.strip():
            return [self._refuse(env.seq, "a reason is needed")]
        wait_ns = state.since_ns + self._config.cooldown_s * 1_000_000_000 - env.time_ns
        if wait_ns > 0:
            return [
                self._refuse(env.seq, f"cooling down, rearm from {-(-wait_ns // 1_000_000_000)} s from now")
            ]
        if self._feeds_down:
            return [self._refuse(env.seq, f"feeds are down: {', '.join(sorted(self._feeds_down))}")]
        self._rearm_asker, self._rearm_reason = env.seq, rearm.reason
        return [
            *self._move(KillState.REARMING, env, keep_since=True),
            m.Reconcile(cause="rearm"),
            m.WakeAt(at_ns=env.mono_ns + REARM_DEADLINE_S * 1_000_000_000, token=f"rearm:{env.seq}"),
        ]

    def _checked(self, env: m.Envelope, reconciled: m.Reconciled) -> list[m.Message]:
        if self._state.state is not KillState.REARMING or reconciled.cause != "rearm":
            return []
        asker, self._rearm_asker = self._rearm_asker, 0
        if not reconciled.ok:
            return [
                *self._move(KillState.HALTED, env, keep_since=True),
                self._refuse(asker, f"not reconciled: {'; '.join(reconciled.differences[:5])}"),
            ]
        self._state.trip_id = self._state.cause = self._state.action = ""
        detail: dict[str, object] = {"state": KillState.ARMED.value, "reason": self._rearm_reason}
        return [*self._move(KillState.ARMED, env), m.Done(to=asker, detail=detail)]

    def _woke(self, env: m.Envelope, token: str) -> list[m.Message]:
        kind, _, seq = token.partition(":")
        if kind == "kill" and int(seq) in self._askers:
            self._askers.remove(int(seq))
            return [self._done(int(seq), verified=False)]
        if kind == "rearm" and int(seq) == self._rearm_asker:
            self._rearm_asker = 0
            return [
                *self._move(KillState.HALTED, env, keep_since=True),
                self._refuse(int(seq), f"the venue was not reconciled within {REARM_DEADLINE_S} s"),
            ]
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
        state = self._state
        return m.Done(
            to=to,
            detail={
                "verified": verified,
                "state": state.state.value,
                "trip_id": state.trip_id,
                "action": state.action,
                "cause": state.cause,
            },
        )

    def _refuse(self, to: int, reason: str) -> m.Refused:
        return m.Refused(to=to, reason=reason, accepted=_ACCEPTED[self._state.state])

    def _view(self, to: int) -> m.KillSwitchAnswer:
        state = self._state
        return m.KillSwitchAnswer(
            to=to,
            state=state.state,
            trip_id=state.trip_id,
            cause=state.cause,
            action=state.action,
            since_ns=state.since_ns,
            accepted=_ACCEPTED[state.state],
        )

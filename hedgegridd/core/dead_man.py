"""The dead-man switch: the venue cancels our ordinary orders when we fall silent (spec/3-safety.md, Venue truth).

| goal     | when                                         | what is done                                                |
| -------- | -------------------------------------------- | ----------------------------------------------------------- |
| off      | disabled in the config, nothing of ours runs | nothing                                                     |
| wait     | no comparison has agreed since start         | nothing: exits of before must not be put at risk            |
| arm      | all is well                                  | every countdown is renewed every `renew_s`                  |
| withdraw | loop, reconciler, stream or desk is not well | entries are cancelled by us; once the venue reports none,   |
|          |                                              | the countdowns are disarmed, so that exits stay             |
| disarm   | a stop that asks for it, HALTED, or disabled | the countdowns are disarmed until the venue has confirmed it|

A countdown that ran out has cancelled take-profits too: the books are compared before it is armed again, and the
gateway lets no entry leave meanwhile (venue/interlock.py).
"""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core import dead_man_plan
from hedgegridd.core.dead_man_plan import SECOND_NS, Plan
from hedgegridd.core.dead_man_state import Countdown, DeadManState
from hedgegridd.model import KillState

TIMER = "dead_man"
LATE_NS = 2 * SECOND_NS  # a wake so late says that the loop (or the whole process) stood still
USER_GRACE_NS = 10 * SECOND_NS  # in which a lost user stream is revived
DESK_GRACE_NS = 5 * SECOND_NS
COMPARED_LEAST_NS = 10 * SECOND_NS
RETRY_NS = SECOND_NS
RETRY_MAX_NS = 10 * SECOND_NS
COMPARE_RETRY_MAX_NS = 30 * SECOND_NS
STRAY_MARGIN_NS = SECOND_NS  # beyond recvWindow: a call without an answer cannot arrive after it
SOURCE = "dead_man"


class DeadMan:
    """The machine, one for all instruments of the config."""

    def __init__(self, config: Config) -> None:
        self._config = config.dead_man
        self._instruments = tuple(grid.instrument_id for grid in config.grid)
        # A grid that is switched off has no entries: a countdown would only endanger what exits it has left.
        self._traded = frozenset(grid.instrument_id for grid in config.grid if grid.enabled)
        self._compared_ns = max(int(config.venue.reconcile_interval_s * 3 * SECOND_NS), COMPARED_LEAST_NS)
        self._stray_ns = config.venue.recv_window_ms * 1_000_000 + STRAY_MARGIN_NS
        self._out: list[m.Message] = []
        self._mono = 0
        self._now_ns = 0
        self._load(DeadManState())

    # --- persistence --------------------------------------------------------------------------

    def snapshot(self) -> DeadManState:
        """A copy of everything."""
        return msgspec.json.decode(msgspec.json.encode(self._state), type=DeadManState)

    def restore(self, state: DeadManState) -> None:
        """Continue from a snapshot; the journal's tail may follow."""
        self._load(msgspec.json.decode(msgspec.json.encode(state), type=DeadManState))

    def new_session(self) -> None:
        """A new process begins: of the one before only the countdowns are left, by the wall clock."""
        before = self._state.countdowns
        self._load(DeadManState(calls=self._state.calls))
        for name, countdown in self._state.countdowns.items():
            if (left := before.get(name)) is not None:
                countdown.until_ns, countdown.renewed_ns = left.until_ns, left.renewed_ns
                countdown.off = left.off

    def _load(self, state: DeadManState) -> None:
        state.countdowns = {
            name: state.countdowns[name] if name in state.countdowns else Countdown()
            for name in self._instruments
        }
        self._state = state

    # --- messages -----------------------------------------------------------------------------

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        self._mono, self._now_ns, self._out = env.mono_ns, env.time_ns, []
        state, message = self._state, env.message
        match message:
            case m.GetDeadMan():
                return [self._answer(env.seq)]
            case m.DisarmDeadMan():
                if state.stop_to:
                    self._say(m.Refused(to=env.seq, reason="it is being disarmed already"))
                else:
                    state.stopping, state.stop_to = message.reason or "asked to", env.seq
            case m.VenueUp():
                state.up, state.weight_per_minute = True, message.weight_per_minute
            case m.Reconciled():
                self._compared(message)
            case m.FeedChanged(channel="user"):
                state.user_down_mono = None if message.up else (state.user_down_mono or self._mono)
            case m.FeedChanged(channel="rest"):
                state.rest_down = not message.up
            case m.FeedChanged():
                pass  # without market data entries are held by others
            case m.KillStateChanged():
                state.kill = message.state
            case m.DeskAnswered():
                state.desk_mono = self._mono
                for name, naked in message.naked.items():
                    if name in state.countdowns:
                        state.countdowns[name].naked = naked
            case m.VenueDone():
                self._done(message.token)
            case m.VenueFailed():
                self._failed(message)
            case m.Woke():
                self._woke()
            case _:
                raise TypeError(f"the dead-man switch has no row for {type(message).__name__}")
        self._look_for_lapses()
        self._step()
        self._hold()
        self._wake()
        return self._out

    def _say(self, message: m.Message) -> None:
        self._out.append(message)

    @property
    def _plan(self) -> Plan:
        return dead_man_plan.plan(self._config, len(self._traded), self._state.weight_per_minute)

    def _compared(self, message: m.Reconciled) -> None:
        state = self._state
        state.desk_mono = self._mono
        if state.distrust and message.asked_ns <= state.distrust_ns:
            return  # asked before we knew that we had been away
        if message.ok:
            state.compared_mono, state.distrust, state.compare_again_mono = self._mono, "", None
            state.compare_tries = 0
        elif state.distrust:
            # What differed was taken over: once more, soon; a venue that goes on differing must not cost the budget.
            pause_ns = min(RETRY_NS << min(state.compare_tries, 8), COMPARE_RETRY_MAX_NS)
            state.compare_again_mono = self._mono + pause_ns
            state.compare_tries += 1

    def _woke(self) -> None:
        state = self._state
        due, state.wake_mono = state.wake_mono, None
        # What the late wake tells is known already when something else has told it since it was due.
        if (
            due is not None
            and self._mono - due > LATE_NS
            and not (state.distrust and due < state.distrust_mono)
        ):
            self._distrust(f"we stood still for {Decimal(self._mono - due) / SECOND_NS:.1f} s")
        if state.compare_again_mono is not None and state.compare_again_mono <= self._mono:
            state.compare_again_mono = None
            self._say(m.Reconcile(cause=f"dead-man switch: {state.distrust}"))

    def _distrust(self, why: str) -> None:
        """No comparison asked before now says anything: the venue may have cancelled what our books have."""
        state = self._state
        state.distrust, state.distrust_ns, state.distrust_mono = why, self._now_ns, self._mono
        if state.up and state.stopping is None:
            self._say(m.Reconcile(cause=f"dead-man switch: {why}"))

    def _look_for_lapses(self) -> None:
        """A countdown that has run out, by either clock: what rested is gone, exits included."""
        lapsed = []
        for name, countdown in self._state.countdowns.items():
            if countdown.until_ns is None:
                continue
            by_mono = countdown.until_mono is not None and countdown.until_mono <= self._mono
            if by_mono or countdown.until_ns <= self._now_ns:
                countdown.until_ns = countdown.until_mono = None
                countdown.fired = True
                countdown.off = not countdown.token and countdown.stray_mono <= self._mono
                lapsed.append(name)
        if not lapsed:
            return
        why = f"the countdown of {', '.join(lapsed)} ran out and has cancelled its orders"
        self._distrust(why)
        if self._state.stop_to:
            self._say(m.Refused(to=self._state.stop_to, reason=f"{why}, take-profits included"))
            self._state.stop_to = 0

    # --- health and goal ----------------------------------------------------------------------

    def _why(self) -> tuple[str, ...]:
        """Everything that is not well, in words without figures that change by themselves."""
        state, plan = self._state, self._plan
        found = [state.distrust] if state.distrust else []
        if state.compared_mono is not None and self._mono - state.compared_mono >= self._compared_ns:
            found.append(f"our books did not agree with the venue for {self._compared_ns // SECOND_NS} s")
        if state.user_down_mono is not None and self._mono - state.user_down_mono >= USER_GRACE_NS:
            found.append("the user stream is lost")
        if state.rest_down:
            found.append("the venue does not answer")
        if self._mono - state.desk_mono >= plan.renew_ns + DESK_GRACE_NS:
            found.append("the desk does not answer")
        found += [
            f"the countdown of {name} cannot be renewed"
            for name, countdown in state.countdowns.items()
            if countdown.failures
            and countdown.until_mono is not None
            and countdown.until_mono - self._mono <= plan.last_ns
        ]
        return tuple(found)

    def _goal(self) -> str:
        state = self._state
        if state.stopping is not None:
            return "disarm"
        if not self._config.enabled:
            return "off" if self._all_off() or not state.up else "disarm"
        if not state.up or state.compared_mono is None:
            return "wait"
        if state.kill is KillState.HALTED:
            return "disarm"  # no entry rests, and exits that a halt has left must stay
        return "withdraw" if self._why() else "arm"

    def _all_off(self) -> bool:
        return all(countdown.off for countdown in self._state.countdowns.values())

    def _all_armed(self) -> bool:
        return all(self._state.countdowns[name].until_ns is not None for name in self._traded)

    # --- what is done -------------------------------------------------------------------------

    def _step(self) -> None:
        state, goal = self._state, self._goal()
        if goal != state.goal:
            state.goal, state.swept, state.sweep_again_mono = goal, False, 0
            for countdown in state.countdowns.values():
                countdown.again_mono = 0
        if goal == "withdraw" and not state.swept:
            self._sweep()
            return
        if goal in ("arm", "withdraw", "disarm"):
            for name, countdown in state.countdowns.items():
                if not countdown.token and self._mono >= countdown.again_mono:
                    self._call(name, countdown, arm=goal == "arm" and name in self._traded)
        if state.stop_to and self._all_off():
            self._say(m.Done(to=state.stop_to, detail={"disarmed": True}))
            state.stop_to = 0

    def _sweep(self) -> None:
        state = self._state
        if not state.sweep and self._mono >= state.sweep_again_mono:
            state.sweep = self._token()
            self._say(m.SweepEntries(token=state.sweep))

    def _token(self) -> str:
        self._state.calls += 1
        return f"{SOURCE}:{self._state.calls}"

    def _call(self, name: str, countdown: Countdown, *, arm: bool) -> None:
        if not arm and countdown.off:
            return
        countdown.token, countdown.arming = self._token(), arm
        countdown.asked_ns, countdown.asked_mono = self._now_ns, self._mono
        ms = self._plan.countdown_ns // 1_000_000 if arm else 0
        self._say(m.SetCountdown(token=countdown.token, instrument=name, countdown_ms=ms))

    def _done(self, token: str) -> None:
        state, plan = self._state, self._plan
        if token == state.sweep:
            state.sweep, state.swept = "", True
            return
        for name, countdown in state.countdowns.items():
            if countdown.token != token:
                continue
            countdown.token, countdown.failures, countdown.problem = "", 0, ""
            if countdown.arming:
                # Counted from when we asked: it cannot run out before, whenever the venue took it.
                countdown.until_ns = countdown.asked_ns + plan.countdown_ns
                countdown.until_mono = countdown.asked_mono + plan.countdown_ns
                countdown.renewed_ns = self._now_ns
                countdown.off = countdown.fired = False
                countdown.again_mono = countdown.asked_mono + plan.renew_ns
            elif countdown.asked_mono >= countdown.stray_mono:
                countdown.off, countdown.fired = True, False
                countdown.until_ns = countdown.until_mono = None
            else:
                countdown.again_mono = (
                    countdown.stray_mono
                )  # a lost renewal may still arrive and arm it again
            self._tell(name, countdown)

    def _failed(self, failure: m.VenueFailed) -> None:
        state = self._state
        asked_ns = int(failure.retry_after_s * SECOND_NS)
        if failure.token == state.sweep:
            state.sweep = ""
            state.sweep_again_mono = self._mono + max(RETRY_NS, asked_ns)
            return
        for name, countdown in state.countdowns.items():
            if countdown.token != failure.token:
                continue
            countdown.token = ""
            countdown.failures += 1
            countdown.problem = failure.reason or f"code {failure.code}"
            if countdown.arming and failure.ambiguous:
                countdown.off = False
                countdown.stray_mono = countdown.asked_mono + self._stray_ns
            pause_ns = min(RETRY_NS << min(countdown.failures - 1, 8), RETRY_MAX_NS)
            countdown.again_mono = self._mono + max(pause_ns, asked_ns)
            self._tell(name, countdown)

    # --- what is told -------------------------------------------------------------------------

    def _tell(self, name: str, countdown: Countdown) -> None:
        self._say(
            m.DeadManChanged(
                instrument=name,
                armed=countdown.until_ns is not None,
                until_ns=countdown.until_ns,
                detail=countdown.problem or "; ".join(self._why()) or (self._state.stopping or ""),
                naked=countdown.naked,
            )
        )

    def _cause(self) -> str:
        """Why no entry may rest now; empty when one may."""
        goal = self._state.goal
        if goal == "withdraw":
            return "; ".join(self._why())
        if goal != "arm" or self._all_armed():
            return ""
        problems = {each.problem for each in self._state.countdowns.values() if each.problem}
        fired = any(each.fired for each in self._state.countdowns.values())
        if problems:
            return f"it cannot be armed: {'; '.join(sorted(problems))}"
        return "it has fired and is not armed again yet" if fired else ""

    def _hold(self) -> None:
        """Say what is held, for the first time when it is known: nothing is traded before."""
        state, cause = self._state, self._cause()
        known = state.goal not in ("off", "wait", "arm") or bool(cause) or self._all_armed()
        if not state.spoken:
            if not known and (self._config.enabled or not state.up):
                return
        elif cause == state.held:
            return
        state.spoken = True
        state.held_ns = self._now_ns if not state.held else state.held_ns
        state.held = cause
        hold = m.Hold(
            key=SOURCE, action="pause", cause=f"the dead-man switch: {cause}", since_ns=state.held_ns
        )
        self._say(m.HoldsChanged(source=SOURCE, holds=(hold,) if cause else ()))
        if cause:
            for name, countdown in state.countdowns.items():
                self._tell(name, countdown)

    def _wake(self) -> None:
        """Be woken when the next thing is due: a renewal, a retry, or the moment from which a part counts as unwell."""
        state, plan = self._state, self._plan
        if state.goal in ("off", "wait"):
            return
        due = [
            state.desk_mono + plan.renew_ns + DESK_GRACE_NS,
            (state.compared_mono or 0) + self._compared_ns,
            self._mono + plan.renew_ns,
            state.sweep_again_mono,
        ]
        if state.user_down_mono is not None:
            due.append(state.user_down_mono + USER_GRACE_NS)
        if state.compare_again_mono is not None:
            due.append(state.compare_again_mono)
        for countdown in state.countdowns.values():
            due.append(countdown.again_mono)
            if countdown.until_mono is not None:
                due += [countdown.until_mono - plan.last_ns, countdown.until_mono]
        at_ns = min(moment for moment in due if moment > self._mono)
        if state.wake_mono is None or at_ns < state.wake_mono:
            state.wake_mono = at_ns
            self._say(m.WakeAt(at_ns=at_ns, token=TIMER))

    def _answer(self, to: int) -> m.DeadManAnswer:
        state, plan = self._state, self._plan
        words = {
            "arm": "armed" if self._all_armed() else "arming",
            "withdraw": "withdrawn" if self._all_off() else "withdrawing",
            "disarm": "disarmed" if self._all_off() else "disarming",
        }
        return m.DeadManAnswer(
            to=to,
            enabled=self._config.enabled,
            state=words.get(state.goal, "waiting" if self._config.enabled else "off"),
            why=self._why() if state.goal == "withdraw" else tuple(filter(None, [self._cause()])),
            countdown_s=Decimal(plan.countdown_ns) / SECOND_NS,
            renew_s=Decimal(plan.renew_ns) / SECOND_NS,
            countdowns=tuple(
                m.CountdownView(
                    instrument=name,
                    until_ns=None if (countdown.until_ns or 0) <= self._now_ns else countdown.until_ns,
                    renewed_ns=countdown.renewed_ns,
                    problem=countdown.problem,
                )
                for name, countdown in state.countdowns.items()
            ),
        )

"""What an operator's commands do to the desk; each is obeyed or refused, and answered when its outcome is true."""

from hedgegridd import messages as m
from hedgegridd.core import limits, views, weights
from hedgegridd.core import lots as lot_book
from hedgegridd.core.context import SECOND_NS, Context
from hedgegridd.core.entries import why_leg_has_none
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.holds import in_force
from hedgegridd.core.scopes import PAUSE_KEY, covers
from hedgegridd.core.state import Waiter
from hedgegridd.model import LEGS, KillState, Leg, LegMode, OrderStatus, Purpose

WAITERS_MAX = 256
LISTENERS_MAX = 256  # trips and stops that wait for `EntriesGone`: more than there can be scopes to trip
EPISODES_KEPT = 256
WAIT_NS = 10 * SECOND_NS  # an asker is answered with what is true by then
COMPARE_NS = 30 * SECOND_NS  # longer than the kill switch waits for the comparison of a rearm

type Grids = dict[str, GridMachine]


class OperatorDesk:
    """Commands of the operator. `handle` returns True when a pass of all grids is due."""

    def __init__(self, ctx: Context, grids: Grids) -> None:
        self._ctx = ctx
        self._grids = grids

    def handle(self, seq: int, command: m.Message) -> bool:
        """Obey or refuse one command; `seq` is whom to answer."""
        named: str | None = getattr(command, "instrument", None)
        if named is not None and named not in self._grids:
            reason = f"instrument {named!r} is not traded here"
            self._refuse(seq, reason, tuple(self._grids))
            return False
        names = tuple(self._grids) if named is None else (named,)
        match command:
            case m.SetThrottle():
                return self._throttle(seq, command, names)
            case m.PauseEntries():
                return self._pause(seq, command, names)
            case m.ResumeEntries():
                return self._resume(seq, names)
            case m.StartTrading():
                return self._start(seq, names)
            case m.StopTrading():
                for name in names:
                    self._grids[name].state.trading = False
                self.wait_gone(seq, names, "stop", {"trading": "false"})
                return True
            case m.SetMode():
                return self._mode(seq, command, names)
            case m.SetLimits():
                return self._limits(seq, command)
            case m.SetWeights():
                return self._weights(seq, command)
            case m.TrimLeg():
                return self._trim(seq, command)
            case m.TryOrder():
                return self._try(seq, command)
            case _:
                raise TypeError(f"the desk has no row for {type(command).__name__}")

    def _refuse(self, seq: int, reason: str, accepted: tuple[str, ...]) -> None:
        self._ctx.say(m.Refused(to=seq, reason=reason, accepted=accepted))

    def wait_gone(
        self,
        to: int,
        names: tuple[str, ...],
        cause: str,
        detail: dict[str, str],
        legs: tuple[Leg, ...] = LEGS,
    ) -> None:
        """Answer `to` (0: nobody) and publish `EntriesGone` when the venue has confirmed that no entry rests."""
        self._wait(Waiter(to=to, kind="gone", instruments=names, legs=legs, cause=cause, detail=detail))

    def wait_reconciled(self, to: int, cause: str, since_mono: int | None = None) -> None:
        """Answer `to` and publish `Reconciled` with this cause at the next comparison begun since then (None: now)."""
        waiter = Waiter(to=to, kind="reconcile", instruments=tuple(self._grids), cause=cause)
        self._wait(waiter)
        if since_mono is not None:
            waiter.since_mono = since_mono

    def _wait(self, waiter: Waiter) -> None:
        """Wait for the outcome; too many waiting: what was asked holds, its asker hears at once what is true by now."""
        waiters = self._ctx.state.waiters
        waiter.since_mono = self._ctx.mono
        if waiter.to and sum(1 for each in waiters if each.to) >= WAITERS_MAX:
            self._expire(waiter)
            return
        if not waiter.to:
            self._make_room(waiter.cause)
        waiters.append(waiter)
        if waiter.to:
            self._ctx.say(m.WakeAt(at_ns=self._ctx.mono + _limit_ns(waiter), token=f"waiter:{waiter.to}"))

    def _make_room(self, cause: str) -> None:
        """For one more listener: it takes the place of one that waits for the same, else of the oldest when all are taken.

        A trip of which nobody hears that it is done stays latched as it is, until it is taken up again.
        """
        waiters = self._ctx.state.waiters
        listeners = [each for each in waiters if not each.to]
        old = next((each for each in listeners if each.cause == cause), None)
        if old is None and len(listeners) >= LISTENERS_MAX:
            old = listeners[0]
        if old is not None:
            waiters.remove(old)

    def _throttle(self, seq: int, command: m.SetThrottle, names: tuple[str, ...]) -> bool:
        if not command.throttle.is_finite() or not 0 <= command.throttle <= 1:
            self._refuse(seq, f"throttle must be from 0 to 1, not {command.throttle}", ())
            return False
        old = {name: str(self._grids[name].state.throttle) for name in names}
        for name in names:
            self._grids[name].state.throttle = command.throttle
        distinct = sorted(set(old.values()))
        detail: dict[str, object] = {
            "old": distinct[0] if len(distinct) == 1 else "mixed",
            "new": str(command.throttle),
            "instruments": old,
        }
        self._ctx.say(m.Done(to=seq, detail=detail))
        return True

    def _pause(self, seq: int, command: m.PauseEntries, names: tuple[str, ...]) -> bool:
        for name in names:
            self._grids[name].state.paused = command.reason or "by the operator"
        self.wait_gone(seq, names, "pause", {"paused": "true"})
        return True

    def _resume(self, seq: int, names: tuple[str, ...]) -> bool:
        state = self._ctx.state
        if state.kill is not KillState.ARMED:
            self._refuse(seq, f"kill switch is {state.kill}; nothing changed", ("flatten", "status", "rearm"))
            return False
        if state.stopping is not None:
            self._refuse(seq, f"stopping: {state.stopping}", ("status",))
            return False
        owned = [f"{name} {leg}" for name in names for leg in LEGS if self._grids[name].state.legs[leg].owned]
        if owned:
            self._refuse(seq, f"still being flattened: {', '.join(owned)}", ("flatten", "status"))
            return False
        unlatched: list[str] = []
        was_paused = any(self._grids[name].state.paused is not None for name in names)
        tripped = self._tripped(names)
        if tripped and not self._resumable(names):
            self._refuse(
                seq, f"latched by {'; '.join(tripped)}; nothing changed", ("flatten", "status", "rearm")
            )
            return False
        for name in names:
            grid = self._grids[name].state
            grid.paused = grid.halted = None
            legs = tuple(leg for leg in LEGS if grid.legs[leg].latched and not grid.legs[leg].trip_id)
            self._unlatch(name, legs)
            unlatched += [f"{name} {leg}" for leg in legs]
        detail: dict[str, object] = {"old": was_paused, "new": False, "unlatched": unlatched}
        if tripped:  # what a trip has latched is left by rearm alone
            detail["needs_rearm"] = tripped
        self._ctx.say(m.Done(to=seq, detail=detail))
        return True

    def _resumable(self, names: tuple[str, ...]) -> bool:
        """Whether there is anything that `resume` ends."""
        states = [self._grids[name].state for name in names]
        return any(
            state.paused is not None
            or state.halted is not None
            or any(leg.latched and not leg.trip_id for leg in state.legs.values())
            for state in states
        )

    def _tripped(self, names: tuple[str, ...]) -> list[str]:
        """Trips of legs and instruments that cover something of these instruments, in words."""
        trips = self._ctx.state.held.trips
        return [
            f"{trip.trip_id}: {trip.cause}"
            for trip in trips
            if any(covers(trip.scope, name, leg) for name in names for leg in LEGS)
        ]

    def _unlatch(self, name: str, legs: tuple[Leg, ...]) -> None:
        for leg in legs:
            state = self._grids[name].state.legs[leg]
            state.latched = False
            state.flatten_id = state.trip_id = ""
            state.waits.clear()  # what the flatten cancelled was not ended by the venue: nothing waits for a bar
            if state.mode is LegMode.PANIC:
                state.mode = LegMode.NORMAL
        if legs:
            self._ctx.say(m.LegsUnlatched(instrument=name, legs=legs))

    def release_latches(self) -> None:
        """Legs are free once the trip or the planned pause that flattened them is over and they are ours again.

        Legs that an operator flattened wait for `resume`.
        """
        state = self._ctx.state
        latched = {trip.trip_id for trip in state.held.trips} | {hold.key for hold in in_force(state.held)}
        for name, grid in self._grids.items():
            legs = grid.state.legs
            free = (leg for leg in LEGS if legs[leg].trip_id and legs[leg].trip_id not in latched)
            account = state.kill is not KillState.ARMED
            self._unlatch(
                name,
                tuple(
                    leg
                    for leg in free
                    if not legs[leg].owned and (not account or legs[leg].trip_id.startswith(PAUSE_KEY))
                ),
            )

    def _start(self, seq: int, names: tuple[str, ...]) -> bool:
        state = self._ctx.state
        if state.stopping is not None:
            self._refuse(seq, f"stopping: {state.stopping}", ("status",))
            return False
        if state.kill is not KillState.ARMED:
            self._refuse(seq, f"kill switch is {state.kill}; nothing changed", ("flatten", "status", "rearm"))
            return False
        off = [name for name in names if not self._grids[name].grid.enabled]
        if len(off) == len(names):
            self._refuse(
                seq, f"{', '.join(off)}: enabled = false in the config; nothing changed", ("status",)
            )
            return False
        for name in names:
            self._grids[name].state.trading = True
        self._wait(Waiter(to=seq, kind="start", instruments=names, cause="start"))
        return True

    def _mode(self, seq: int, command: m.SetMode, names: tuple[str, ...]) -> bool:
        legs = LEGS if command.leg is None else (command.leg,)
        old = {f"{name} {leg}": str(self._grids[name].state.legs[leg].mode) for name in names for leg in legs}
        for name in names:
            for leg in legs:
                state = self._grids[name].state.legs[leg]
                state.mode = command.mode
                if command.mode is LegMode.MANUAL:  # hands off: a trim does not wait for the leg to come back
                    lot_book.spare_all(state.lots)
        detail = {"new": str(command.mode), **{f"old {key}": value for key, value in old.items()}}
        if command.mode is LegMode.PANIC:
            for name in names:
                self._ctx.say(m.Flatten(legs=legs, instrument=name, reason="mode panic"))
            open_legs = [(name, leg) for name in names for leg in legs]
            self._wait(Waiter(to=seq, kind="flat", instruments=names, detail=detail, open_legs=open_legs))
        elif command.mode in (LegMode.NORMAL, LegMode.GRACEFUL_STOP):
            self._ctx.say(m.Done(to=seq, detail=dict(detail)))
        else:
            self.wait_gone(seq, names, "mode", detail, legs)
        return True

    def _limits(self, seq: int, command: m.SetLimits) -> bool:
        ctx = self._ctx
        old = limits.change(command, ctx.config.pretrade, ctx.state.limits, ctx.now_ns)
        if isinstance(old, str):
            self._refuse(seq, f"{old}; nothing changed", ("status",))
            return False
        new = {name: str(value) for name, value in command.values.items()}
        self._ctx.say(m.Done(to=seq, detail={"old": old, "new": new}))
        return True

    def _weights(self, seq: int, command: m.SetWeights) -> bool:
        ctx = self._ctx
        grids = tuple(machine.grid for machine in self._grids.values())
        old = weights.shares(grids, ctx.state.weights)
        changed = weights.change(command, grids, ctx.now_ns)
        if isinstance(changed, str):
            self._refuse(
                seq, f"{changed}; nothing changed", tuple(g.instrument_id for g in grids if g.enabled)
            )
            return False
        ctx.state.weights = changed
        new = weights.shares(grids, changed)
        for name, machine in self._grids.items():
            machine.reshare(new[name])
        told = {name: {"old": str(old[name]), "new": str(new[name])} for name in changed.values}
        self._ctx.say(m.Done(to=seq, detail={"weights": told}))
        return True

    def _trim(self, seq: int, command: m.TrimLeg) -> bool:
        """Mark the outermost lots; the pass closes them one after another, and their take-profits go first."""
        name, leg = command.instrument, command.leg
        grid = self._grids[name]
        state, rules = grid.state.legs[leg], grid.state.instrument
        if not command.share.is_finite() or not 0 < command.share <= 1:
            self._refuse(seq, f"share must be above 0 and at most 1, not {command.share}", ())
            return False
        if rules is None or not self._ctx.state.reconciled:
            self._refuse(seq, "our books were not compared with the venue's yet", ("flatten", "status"))
            return False
        if state.owned or state.mode is LegMode.MANUAL:
            why = f"being flattened by {state.flatten_id}" if state.owned else "in mode manual"
            self._refuse(seq, f"{name} {leg} is {why}", ("flatten", "status"))
            return False
        trims = self._ctx.state.trims
        held = self._ctx.ledger.leg(name, leg).qty
        if command.episode and command.episode in trims:
            known: dict[str, object] = {"known": True, "quantity": str(held), "reason": command.reason}
            self._ctx.say(m.Done(to=seq, detail=known))
            return False
        if command.episode:
            trims.append(command.episode)
            del trims[:-EPISODES_KEPT]
        qty = min(held, -rules.floor_qty(-held * command.share))  # rounded up: a small leg is not spared
        lot_book.mark_for_trim(state.lots, leg, qty, self._ctx.mono)
        detail = {"asked": str(qty), "before": str(held), "reason": command.reason}
        waiter = Waiter(to=seq, kind="trim", instruments=(name,), legs=(leg,), cause="trim", detail=detail)
        self._wait(waiter)
        return True

    def _try(self, seq: int, command: m.TryOrder) -> bool:
        """A test order, where every entry of the leg might go now."""
        grid = self._grids[command.instrument]
        why = self._kept_away(grid, command.leg)
        if not command.notional_usdt.is_finite() or command.notional_usdt <= 0:
            why = [f"notional_usdt must be above 0, not {command.notional_usdt}"]
        if not why and (no := grid.trials.begin(command)):
            why = [no]
        if why:
            self._refuse(seq, f"{'; '.join(why)}; nothing changed", ("status",))
            return False
        self._wait(
            Waiter(to=seq, kind="trial", instruments=(grid.id,), legs=(command.leg,), cause="test order")
        )
        return True

    def _kept_away(self, grid: GridMachine, leg: Leg) -> list[str]:
        none = why_leg_has_none(grid.grid, grid.state, leg, self._ctx)
        return grid.why() if none is None else [*grid.why(), none]

    # ------------------------------------------------------------------------------------------------- outcomes

    def settle(self) -> None:
        """Answer every waiter whose outcome is true now, and those whose time is over with what is true."""
        state = self._ctx.state
        if not state.waiters:
            return
        left = []
        for waiter in state.waiters:
            if waiter.kind == "gone":
                done = self._gone(waiter)
            elif waiter.kind == "start":
                done = self._started(waiter)
            elif waiter.kind == "trim":
                done = self._trimmed(waiter)
            elif waiter.kind == "trial":
                done = self._tried(waiter)
            else:
                done = False  # answered by the comparison or the leg it waits for
            if not done and waiter.to and self._ctx.mono - waiter.since_mono >= _limit_ns(waiter):
                self._expire(waiter)
                done = True
            if not done:
                left.append(waiter)
        state.waiters = left

    def on_flat(self, instrument: str, leg: Leg) -> None:
        """The venue reports nothing on a leg: whoever waits for it and no other is answered."""
        state = self._ctx.state
        for waiter in [waiter for waiter in state.waiters if (instrument, leg) in waiter.open_legs]:
            waiter.open_legs.remove((instrument, leg))
            if not waiter.open_legs:
                state.waiters.remove(waiter)
                self._ctx.say(
                    m.Done(to=waiter.to, detail={"verified": True, "residuals": {}, **waiter.detail})
                )

    def _expire(self, waiter: Waiter) -> None:
        """The outcome is not confirmed: say what is left of it; what was commanded holds all the same."""
        if waiter.kind == "reconcile":
            reason = "not confirmed: the venue was not read and compared in time"
            self._refuse(waiter.to, reason, ("status",))
            return
        detail: dict[str, object] = {"verified": False, **waiter.detail}
        if waiter.kind == "trial":
            detail |= self._grids[waiter.instruments[0]].trials.expired()
        elif waiter.kind == "trim":
            detail["quantity"] = str(self._ctx.ledger.leg(waiter.instruments[0], waiter.legs[0]).qty)
        elif waiter.kind == "flat":
            detail["residuals"] = {
                f"{name}-{leg}": str(self._ctx.ledger.leg(name, leg).qty) for name, leg in waiter.open_legs
            }
        else:
            detail["entries_resting"] = sum(
                1
                for name in waiter.instruments
                for order in self._grids[name].book.live(purpose=Purpose.ENTRY)
                if order.leg in waiter.legs
            )
        self._ctx.say(m.Done(to=waiter.to, detail=detail))

    def _gone(self, waiter: Waiter) -> bool:
        if not self._ctx.state.reconciled:
            return False
        for name in waiter.instruments:
            for order in self._grids[name].book.live(purpose=Purpose.ENTRY):
                if order.leg in waiter.legs:
                    return False
        if waiter.cause != "mode":
            self._ctx.say(m.EntriesGone(cause=waiter.cause))
        if waiter.to:
            self._ctx.say(m.Done(to=waiter.to, detail={"entries_resting": 0, **waiter.detail}))
        return True

    def _trimmed(self, waiter: Waiter) -> bool:
        grid, leg = self._grids[waiter.instruments[0]], waiter.legs[0]
        if lot_book.trimming(grid.state.legs[leg].lots) or any(grid.book.live(leg, Purpose.CLOSE)):
            return False
        left = str(self._ctx.ledger.leg(grid.id, leg).qty)
        self._ctx.say(m.Done(to=waiter.to, detail={**waiter.detail, "verified": True, "quantity": left}))
        return True

    def _tried(self, waiter: Waiter) -> bool:
        grid = self._grids[waiter.instruments[0]]
        answer = grid.trials.outcome(waiter.to, self._kept_away(grid, waiter.legs[0]))
        if answer is not None:
            self._ctx.say(answer)
        return answer is not None

    def _started(self, waiter: Waiter) -> bool:
        detail: dict[str, object] = {"trading": True}
        resting = 0
        why: list[str] = []
        for name in waiter.instruments:
            grid = self._grids[name]
            live = list(grid.book.live())
            if any(order.status is not OrderStatus.WORKING for order in live):
                return False
            count = views.entries_resting(grid)
            resting += count
            if not count:
                why += [f"{name}: {reason}" for reason in self._nothing_rests(grid)]
        detail["entries_resting"] = resting
        if why:
            detail["why_no_entries"] = why
        self._ctx.say(m.Done(to=waiter.to, detail=detail))
        return True

    def _nothing_rests(self, grid: GridMachine) -> list[str]:
        reasons = list(views.why(grid, self._ctx))
        if not reasons:
            reasons = sorted(
                f"{leg} rung {level}: {reason}"
                for leg in LEGS
                for level, reason in grid.state.legs[leg].dropped.items()
            )
        return reasons or ["the policy leaves no rung"]


def _limit_ns(waiter: Waiter) -> int:
    return COMPARE_NS if waiter.kind == "reconcile" else WAIT_NS

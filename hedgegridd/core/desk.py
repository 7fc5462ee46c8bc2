"""The strategy desk: one pure machine for all grids, fed envelopes, giving messages (design/architecture.md).

Same envelopes, same messages, byte for byte. It owns the ledger, the pre-trade gate's figures, the comparison with the
venue and everybody who waits for an outcome; each instrument's decisions are in `grid.py`.

Account-wide limits of `[grid.position]` (max_balance_pct, max_leverage) are shared among grids by `weight`: each has
its weight over the sum of weights of them. Per-leg limits (max_inventory_usdt, max_qty) are each grid's own.
"""

from datetime import tzinfo
from zoneinfo import ZoneInfo

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core import figures, scrape, views, weights
from hedgegridd.core.context import SECOND_NS, Context
from hedgegridd.core.exits import backoff_key
from hedgegridd.core.fills import book_fill
from hedgegridd.core.grid import GridMachine
from hedgegridd.core.operator import OperatorDesk
from hedgegridd.core.reconcile import compare
from hedgegridd.core.reloaded import config_in
from hedgegridd.core.state import DeskState, GridState, HoldState, new_grid_state
from hedgegridd.model import LEGS, KillState, Nanos, OrderStatus, Purpose

WAKE_VIEW = "view"
WAKE_TRUTH = "truth"
VIEW_NS = SECOND_NS // 2
TRUTH_RETRY_NS = SECOND_NS // 2
TRUTH_RETRY_MAX_NS = 10 * SECOND_NS
RECHECK_NS = 2 * SECOND_NS
TRUTH_LOST_NS = 60 * SECOND_NS
LOST_ORDERS = 10_000  # more than a process can have sent that the journal does not know


class Desk:
    """The machine. `epoch` of the state folder is in every order id; `zone` (None: the config's) begins the day.

    Nothing is traded before each of `hold_sources` has said in this process what it holds.
    """

    def __init__(
        self, config: Config, epoch: str, zone: tzinfo | None = None, hold_sources: tuple[str, ...] = ()
    ) -> None:
        self._config = config
        self._epoch = epoch
        self._hold_sources = hold_sources
        self._zone = ZoneInfo(config.daemon.timezone) if zone is None else zone
        self._load(DeskState(held=HoldState(silent=list(hold_sources))))

    def _load(self, state: DeskState) -> None:
        for grid in self._config.grid:
            if grid.instrument_id not in state.grids:
                state.grids[grid.instrument_id] = new_grid_state()
        self._state = state
        self._ctx = Context(self._config, self._epoch, state, self._zone)
        if state.reloaded is not None:
            self._ctx.config = msgspec.structs.replace(self._config, pretrade=state.reloaded)
        shares = weights.shares(self._config.grid, state.weights)
        self._grids = {
            grid.instrument_id: GridMachine(
                grid, shares[grid.instrument_id], state.grids[grid.instrument_id], self._ctx
            )
            for grid in self._config.grid
        }
        self._operator = OperatorDesk(self._ctx, self._grids)

    # --------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> DeskState:
        """A copy of everything; `restore` of it goes on as if nothing had happened."""
        return msgspec.json.decode(msgspec.json.encode(self._state), type=DeskState)

    def restore(self, state: DeskState) -> None:
        """Continue from a snapshot of a desk with the same config (the journal's tail may follow)."""
        self._load(msgspec.json.decode(msgspec.json.encode(state), type=DeskState))

    def new_session(self) -> None:
        """A new process begins after a restore and the journal's tail: nothing is known of now, all must be read.

        What was in flight is UNKNOWN, nobody waits any more, monotonic times of the old process mean nothing.
        """
        state = self._state
        # What a reload of the last process said is in the file that was read now.
        self._ctx.config, state.reloaded = self._config, None
        # Exits do not wait for a late journal: ids that a killed process has used may be in no record.
        state.next_order += LOST_ORDERS
        state.reconciled = False
        state.stopping = None
        if state.kill in (KillState.ARMED, KillState.REARMING):
            state.kill = KillState.STARTING  # until the kill switch says what is true now
        state.feeds_down.clear()
        state.held.holds.clear()  # what holds now is what this process is told; trips stay
        state.held.silent = list(self._hold_sources)
        state.waiters.clear()
        state.recent.clear()
        state.view_due, state.view_mono = False, None
        truth = state.truth
        truth.asked = truth.wanted = truth.again_mono = truth.ok_ns = None
        truth.delay_ns = truth.asked_mono = truth.backoff_mono = truth.patience_mono = 0
        state.ledger.money_mono = 0
        self._ctx.ledger.new_session()
        for grid in state.grids.values():
            _forget_times(grid)

    # ------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One envelope in, its consequences out."""
        ctx = self._ctx
        ctx.begin(env)
        message = env.message
        match message:  # what comes most often first
            case m.MarkPrice() | m.Woke() | m.BarClosed() | m.PriceCrossed() | m.InstrumentReady():
                due = self._woke(message.token) if isinstance(message, m.Woke) else self._market(message)
            case m.VenueTruth():
                due = self._truth(message)
            case m.GetStatus() | m.GetPositions():
                return [m.StatusAnswer(to=env.seq, view=views.desk_view(ctx, self._grids))]
            case m.GetFigures():
                return [scrape.figures(env.seq, ctx, self._grids)]
            case m.GetLadders():
                return [views.ladders_answer(env.seq, ctx, self._grids)]
            case m.GetOrders():
                return [views.orders_answer(env.seq, self._grids)]
            case (
                m.SetThrottle()
                | m.PauseEntries()
                | m.ResumeEntries()
                | m.StartTrading()
                | m.StopTrading()
                | m.SetMode()
                | m.TrimLeg()
                | m.SetLimits()
                | m.SetWeights()
                | m.TryOrder()
            ):
                due = tuple(self._grids) if self._operator.handle(env.seq, message) else ()
            case m.Reconcile():
                self._reconcile(env.seq, message.cause)
                due = ()
            case m.VenueFailed():
                self._truth_failed(message)
                due = ()
            case m.AccountRead():
                self._state.truth.account, self._state.truth.account_ns = message.account, ctx.now_ns
                due = ()
            case m.PlaceStop():
                due = self._place_stop(env.seq, message)
            case m.IncomeBooked():
                ctx.ledger.income(message, ctx.mono)
                due = ()
            case (
                m.KillStateChanged() | m.HaltEntries() | m.Stopping() | m.FeedChanged() | m.FlattenFinished()
            ):
                due = self._account_event(message)
            case m.HoldsChanged() | m.TripsChanged():
                due = self._held(message)
            case m.ConfigReloaded():
                self._state.reloaded = config_in(message.config).pretrade
                ctx.config = msgspec.structs.replace(ctx.config, pretrade=self._state.reloaded)
                due = tuple(self._grids)
            case _:
                due = self._order_event(message)
        for name in due:
            self._grids[name].decide()
        self._operator.settle()
        self._ask_truth()
        moved = figures.moved(message, tuple(self._grids))
        if moved is not None:
            ctx.say(figures.risk_figures(ctx, self._grids, moved))
        self._show(message)
        return ctx.out

    def _reconcile(self, seq: int, cause: str) -> None:
        truth = self._state.truth
        if cause == "start" and truth.asked is not None and truth.cause == "start":
            # The rules' arrival has begun this process's first reading: a second one would cost the same once more.
            self._operator.wait_reconciled(seq, cause, since_mono=truth.asked_mono)
            return
        self._ctx.want_truth(cause, urgent=True)
        self._operator.wait_reconciled(seq, cause)

    def _market(
        self, message: m.BarClosed | m.MarkPrice | m.PriceCrossed | m.InstrumentReady
    ) -> tuple[str, ...]:
        if isinstance(message, m.InstrumentReady):
            grid = self._grids.get(message.instrument.id)
            if grid is None:
                return ()
            grid.on_ready(message.instrument)
            ready = all(each.state.instrument is not None for each in self._grids.values())
            if ready and not self._state.reconciled and self._state.truth.asked is None:
                self._ctx.want_truth("start")
            return (grid.id,)
        grid = self._grids.get(message.instrument)
        if grid is None:
            return ()
        if isinstance(message, m.BarClosed):
            due = grid.on_bar(message)
        elif isinstance(message, m.MarkPrice):
            due = grid.on_mark(message)
        else:
            due = grid.on_crossed(message)
        return (grid.id,) if due else ()

    def _woke(self, token: str) -> tuple[str, ...]:
        kind, _, name = token.partition(":")
        if kind == WAKE_VIEW:
            self._state.view_due = False
            self._state.view_mono = self._ctx.mono
            self._ctx.say(views.desk_view(self._ctx, self._grids))
        elif kind == "grid" and name in self._grids:
            self._state.grids[name].wake_mono = None
            return (name,)
        return ()

    def _account_event(self, message: m.Message) -> tuple[str, ...]:
        state = self._state
        names = tuple(self._grids)
        match message:
            case m.KillStateChanged():
                state.kill = message.state
                if message.state is KillState.REARMING:
                    self._ctx.ledger.restart_session()
                if message.state is KillState.ARMED:
                    state.halt = None
                    self._operator.release_latches()
            case m.HaltEntries():
                if message.instrument is None and not message.legs:
                    state.halt = f"{message.trip_id}: {message.cause}"
                scope = names if message.instrument is None else (message.instrument,)
                halted = tuple(name for name in scope if name in self._grids)
                self._operator.wait_gone(0, halted, message.trip_id, {}, message.legs or LEGS)
            case m.Stopping():
                state.stopping = message.reason
                self._operator.wait_gone(0, names, "stopping", {})
            case m.FeedChanged():
                if not message.up:
                    state.feeds_down[message.channel] = message.detail
                elif state.feeds_down.pop(message.channel, None) is not None and message.channel == "user":
                    self._ctx.want_truth("user stream is back")
            case _:
                pass  # FlattenFinished: each leg has been told by LegFlat
        return names

    def _held(self, message: m.HoldsChanged | m.TripsChanged) -> tuple[str, ...]:
        """The whole set that is in force now, of one source or of the kill switch."""
        held = self._state.held
        if isinstance(message, m.HoldsChanged):
            held.holds[message.source] = message.holds
            if message.source in held.silent:
                held.silent.remove(message.source)
        else:
            left = {trip.trip_id for trip in message.trips}
            for trip in held.trips:
                if (
                    trip.trip_id not in left
                ):  # rearmed; a person has looked at what the venue did here as well
                    for name, grid in self._state.grids.items():
                        grid.halted = None if trip.scope.instrument in (None, name) else grid.halted
            held.trips = message.trips
        self._operator.release_latches()
        return tuple(self._grids)

    def _order_event(self, message: m.Message) -> tuple[str, ...]:
        name: str = getattr(message, "instrument", "")
        grid = self._grids.get(name)
        if grid is None:
            return ()
        mono = self._ctx.mono
        match message:
            case m.OrderAccepted():
                grid.on_accepted(message)
            case m.OrderRejected():
                grid.on_rejected(message.client_order_id, message.code, message.reason)
            case m.OrderRefused():
                grid.on_rejected(message.client_order_id, 0, message.reason)
            case m.OrderUnknown():
                grid.book.unknown(message.client_order_id, mono)
            case m.OrderClosed():
                grid.on_closed(message)
            case m.CancelRejected():
                grid.on_cancel_rejected(message)
            case m.OrderTriggered():
                grid.book.triggered(message.client_order_id, mono)
            case m.Fill():
                book_fill(message, grid, self._ctx)
            case m.LegsLatched():
                grid.on_latched(message)
            case m.LegFlat():
                grid.on_flat(message.leg)
                self._operator.on_flat(name, message.leg)
                self._operator.release_latches()
            case m.VenueAction():
                if message.kind in ("ADL", "LIQUIDATION"):
                    grid.state.halted = f"{message.kind} by the venue {message.detail}".rstrip()
                    self._ctx.want_truth(message.kind, urgent=True)
            case _:
                raise TypeError(f"the desk has no row for {type(message).__name__}")
        return (name,)

    def _place_stop(self, to: int, command: m.PlaceStop) -> tuple[str, ...]:
        """Try a leg stop again that was refused or lost; the venue is asked what really rests."""
        grid = self._grids.get(command.instrument)
        if grid is None:
            self._ctx.say(m.Refused(to=to, reason=f"instrument {command.instrument!r} is not traded here"))
            return ()
        grid.state.legs[command.leg].backoffs.pop(backoff_key(Purpose.STOP, ""), None)
        self._ctx.want_truth(f"{command.leg} stop: {command.reason}", urgent=True)
        self._ctx.say(m.Done(to=to))
        return (grid.id,)

    # ---------------------------------------------------------------------------------------------- venue truth

    def _ask_truth(self) -> None:
        """Send the question that is due, or a wake for when it is."""
        truth, ctx = self._state.truth, self._ctx
        if truth.asked is not None and ctx.mono - truth.asked_mono > TRUTH_LOST_NS:
            truth.asked = None  # no answer ever came
            ctx.want_truth(truth.cause)
        if truth.wanted is None or truth.asked is not None:
            return
        if truth.again_mono is not None and truth.again_mono > ctx.mono:
            if truth.wake_mono != truth.again_mono:
                truth.wake_mono = truth.again_mono
                ctx.say(m.WakeAt(at_ns=truth.again_mono, token=WAKE_TRUTH))
            return
        truth.count += 1
        truth.asked = f"desk:{self._epoch}:{truth.count}"
        truth.cause, truth.wanted, truth.again_mono, truth.wake_mono = truth.wanted, None, None, None
        truth.asked_mono = ctx.mono
        truth.fills = 0
        ctx.say(
            m.ReadTruth(
                token=truth.asked,
                instruments=tuple(self._grids),
                trades_from=dict(truth.trade_cursor),
                income_from_ms=truth.income_cursor_ms,
                funding_from_ms=truth.funding_cursor_ms,
            )
        )

    def _truth(self, report: m.VenueTruth) -> tuple[str, ...]:
        state, truth, ctx = self._state, self._state.truth, self._ctx
        if report.token != truth.asked:
            return ()
        truth.asked = None
        truth.delay_ns = truth.backoff_mono = truth.patience_mono = 0
        first = not state.reconciled
        outcome = compare(report, self._grids, ctx)
        if outcome.again:
            ctx.want_truth(truth.cause, after_ns=TRUTH_RETRY_NS // 5)
            if first or not outcome.differences:
                return () if first else tuple(self._grids)
        if outcome.recheck:
            ctx.want_truth("trades came late", after_ns=TRUTH_RETRY_NS)
        state.reconciled = True
        if first:
            self._take_up_flattens()
        market_ns = max((grid.state.market_ns for grid in self._grids.values()), default=0)
        if market_ns:
            ctx.ledger.tick(
                market_ns
            )  # peaks and periods begin with what is known now, not with the next mark
        # At the first comparison the books take what the venue says: that is adoption, not disagreement.
        ok = not outcome.again and (first or not outcome.differences)
        truth.ok_ns = report.asked_ns if ok else truth.ok_ns
        truth.differences = () if ok else tuple(outcome.differences)
        if truth.differences:  # repaired by now; whether that was all the next comparison says
            ctx.want_truth("differences were found", after_ns=RECHECK_NS)
        waiting = [
            waiter
            for waiter in state.waiters
            if waiter.kind == "reconcile" and waiter.since_mono <= truth.asked_mono and not outcome.again
        ]
        state.waiters = [waiter for waiter in state.waiters if waiter not in waiting]
        told = (*outcome.differences, *outcome.notes)
        for cause in dict.fromkeys((truth.cause, *(waiter.cause for waiter in waiting))):
            ctx.say(
                m.Reconciled(
                    ok=ok,
                    cause=cause,
                    orders_adopted=outcome.adopted,
                    fills_applied=truth.fills,
                    differences=told,
                    asked_ns=report.asked_ns,
                )
            )
        detail: dict[str, object] = {
            "ok": ok,
            "orders_adopted": outcome.adopted,
            "fills_applied": truth.fills,
            "differences": list(told),
        }
        for waiter in waiting:
            ctx.say(m.Done(to=waiter.to, detail=detail))
        return tuple(self._grids)

    def _take_up_flattens(self) -> None:
        """A leg that a flatten owned when the last process ended: it may have been told flat, and nobody has heard it.

        So it is flattened (again): what still runs is joined, what is done is verified once more and told.
        """
        for name, grid in self._grids.items():
            for leg, each in grid.state.legs.items():
                if each.owned and not each.flat_told:
                    why = f"{each.flatten_id} goes on after a restart"
                    self._ctx.say(m.Flatten(legs=(leg,), instrument=name, reason=why, origin=each.trip_id))

    def _truth_failed(self, failure: m.VenueFailed) -> None:
        truth = self._state.truth
        if failure.token != truth.asked:
            return
        truth.asked = None
        truth.delay_ns = min(max(truth.delay_ns * 2, TRUTH_RETRY_NS), TRUTH_RETRY_MAX_NS)
        asked_ns = int(failure.retry_after_s * SECOND_NS)
        truth.backoff_mono = self._ctx.mono + max(TRUTH_RETRY_NS, asked_ns)
        truth.patience_mono = self._ctx.mono + max(truth.delay_ns, asked_ns)
        truth.wanted, truth.again_mono = truth.cause, None
        self._ctx.want_truth(truth.cause)

    # ---------------------------------------------------------------------------------------------------- view

    def _show(self, message: m.Message) -> None:
        """A fresh view is due at most twice a second, after anything that may have changed it."""
        if self._state.view_due or (isinstance(message, m.Woke) and message.token == WAKE_VIEW):
            return
        self._state.view_due = True
        last = self._state.view_mono
        at: Nanos = self._ctx.mono if last is None else max(self._ctx.mono, last + VIEW_NS)
        self._ctx.say(m.WakeAt(at_ns=at, token=WAKE_VIEW))


def _forget_times(grid: GridState) -> None:
    """Drop what a past process's monotonic clock said."""
    grid.bar_mono = grid.wake_mono = grid.trial = None
    grid.watching = ((), ())
    grid.spent.clear()
    for order in grid.book.live.values():
        order.touched_mono = order.no_cancel_before = 0
        if order.status is not OrderStatus.WORKING:
            order.status = OrderStatus.UNKNOWN
    for order in grid.book.closed.values():
        order.touched_mono = 0
    for leg in grid.legs.values():
        leg.waits.clear()
        leg.backoffs.clear()
        for lot in leg.lots.values():
            if lot.stopping_since is not None:
                lot.stopping_since = 0

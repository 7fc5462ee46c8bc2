"""One instrument's hedge grid: takes what happened, decides what rests (spec/2-strategy.md, The pipeline).

`on_*` book what happened and say whether a pass is due; `decide` is the pass: recentre, entries, exits, watches, wake.
"""

from decimal import Decimal

from hedgegridd import config
from hedgegridd import messages as m
from hedgegridd.core import exits
from hedgegridd.core.context import SECOND_NS, Context
from hedgegridd.core.diff import LiveEntry, diff
from hedgegridd.core.entries import Wanted, note_dropped, wanted_entries, why_no_entries
from hedgegridd.core.exits import ExitView
from hedgegridd.core.gate import shared_position
from hedgegridd.core.ladder import RungTarget, should_recentre
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.placing import Placer, rung_key
from hedgegridd.core.regime import RegimeFilter, RegimeState
from hedgegridd.core.scopes import PAUSE_KEY
from hedgegridd.core.state import GridState, Order, RungWait
from hedgegridd.core.watch import crossing_lot, watched_levels
from hedgegridd.model import (
    LEGS,
    ZERO,
    Instrument,
    Leg,
    LegMode,
    OrderStatus,
    Purpose,
)

MISSING_FILL_NS = 2 * SECOND_NS
OWNED_STOP_NS = SECOND_NS // 2  # for the venue to say whether a leg that is flattened still holds something
_MS = 1_000_000


class GridMachine:
    """The machine of one `[[grid]]`; `share` is its part of the account (weight over the sum of weights)."""

    def __init__(self, grid: config.Grid, share: Decimal, state: GridState, ctx: Context) -> None:
        self.grid = grid
        self.id = grid.instrument_id
        self.state = state
        self.ctx = ctx
        self.book = OrderBook(state.book)
        self.filter = RegimeFilter(grid.regime, grid.bars_to_warm)
        self.filter.restore(state.regime)
        self.placer = Placer(grid, share, state=state, book=self.book, ctx=ctx)

    def reshare(self, share: Decimal) -> None:
        """Another part of the account, from the next pass on; what rests is judged again when it moves."""
        self.placer.position = shared_position(self.grid.position, share)

    # ---------------------------------------------------------------------------------------------------- market

    def on_ready(self, instrument: Instrument) -> None:
        """The venue's rules."""
        self.state.instrument = instrument

    def on_bar(self, bar: m.BarClosed) -> bool:
        """A closed bar; False when it decides nothing (warm-up, told before, or no bar at all)."""
        state = self.state
        if state.bar_ns is not None and bar.close_ns <= state.bar_ns:
            if bar.close_ns == state.bar_ns and state.bar_mono is None:
                state.bar_mono = self.ctx.mono  # a restart within one bar: the last one is still the newest
            return False
        if not ZERO < bar.low <= bar.close <= bar.high:
            return False  # no price of a sound market; `max_bar_age_s` holds entries when none follows
        length = bar.close_ns - bar.open_ns
        if bar.warmup and state.bar_ns is not None and bar.open_ns - state.bar_ns > length:
            self.filter.restore(RegimeState())  # bars are missing between then and now: read afresh
        reading = self.filter.on_bar(bar.high, bar.low, bar.close)
        state.regime = self.filter.snapshot()
        state.close, state.bar_ns, state.bar_mono = bar.close, bar.close_ns, self.ctx.mono
        self._book_prices(bar.bid, bar.ask, bar.close_ns)
        if bar.warmup:
            return False
        if reading.regime is not state.shown_regime:
            self.ctx.say(
                m.RegimeChanged(instrument=self.id, regime=reading.regime, previous=state.shown_regime)
            )
            state.shown_regime = reading.regime
        state.spent.clear()
        for leg in state.legs.values():
            leg.waits = {key: wait for key, wait in leg.waits.items() if wait.at_mono is not None}
        self.ctx.ledger.tick(bar.close_ns)
        return True

    def on_mark(self, event: m.MarkPrice) -> bool:
        """A mark price; a pass is due when it is the first or crosses a lot's stop."""
        state = self.state
        first = state.mark is None
        self._mark(event.mark, event.market_ns)
        self._book_prices(event.bid, event.ask, event.market_ns)
        if event.funding_rate is not None:
            state.funding_rate = event.funding_rate
        if event.next_funding_ns is not None:
            state.next_funding_ns = event.next_funding_ns
        woken = bool(state.spent)  # levels that woke us are watched again
        state.spent.clear()
        return first or woken or crossing_lot(state, self.grid)

    def on_crossed(self, event: m.PriceCrossed) -> bool:
        """A watched level was reached; its watch is spent until the next mark or bar."""
        state = self.state
        self._mark(event.mark, event.market_ns)
        self._book_prices(event.bid, event.ask, event.market_ns)
        above, below = state.watching
        state.watching = (
            tuple(level for level in above if level != event.level),
            tuple(level for level in below if level != event.level),
        )
        state.spent.append(event.level)
        return True

    def _mark(self, mark: Decimal, market_ns: int) -> None:
        self.state.mark, self.state.mark_ns = mark, market_ns
        self.ctx.ledger.mark(self.id, mark)
        self.ctx.ledger.tick(market_ns)

    def _book_prices(self, bid: Decimal | None, ask: Decimal | None, market_ns: int) -> None:
        if bid is not None and ask is not None and market_ns >= self.state.book_ns:
            self.state.bid, self.state.ask, self.state.book_ns = bid, ask, market_ns

    # ---------------------------------------------------------------------------------------------------- orders

    def on_rejected(self, client_order_id: str, code: int, reason: str) -> None:
        """The venue (or what stands before it) has refused an order for sure."""
        order = self.book.close(client_order_id, self.ctx.mono)
        if order is None:
            return
        if order.purpose is Purpose.ENTRY:
            self._entry_refused(order, code, reason)
        else:
            exits.refused(
                self.state.legs[order.leg],
                order,
                code=code,
                reason=reason,
                qty=self._leg_qty(order.leg),
                mark=self.state.mark,
                ctx=self.ctx,
            )

    def _entry_refused(self, order: Order, code: int, reason: str) -> None:
        waits = self.state.legs[order.leg].waits
        execution = self.grid.execution
        # Without a code it was held back on our side: the journal, a limit that we know of.
        what = f"refused by the venue until the next bar: {code}" if code else "not sent until the next bar:"
        wait = RungWait(ticks=0, at_mono=None, reason=f"{what} {reason}")
        if code == -5022 and order.price is not None and self.state.instrument is not None:
            tick = self.state.instrument.tick
            ticks = int(abs(order.price - order.rung_price) / tick) + 1
            away = ticks * tick * 10_000 <= execution.max_price_deviation_bps * order.rung_price
            if ticks <= execution.post_only_retries and away:
                at = self.ctx.mono + execution.retry_delay_ms * _MS
                wait = RungWait(ticks=ticks, at_mono=at, reason="post-only: one tick further")
        waits[rung_key(order.level, order.part)] = wait

    def on_accepted(self, event: m.OrderAccepted) -> None:
        """It rests."""
        order = self.book.accepted(event, self.ctx.mono)
        if order is not None and order.purpose is Purpose.ENTRY:
            self.state.legs[order.leg].waits.pop(rung_key(order.level, order.part), None)

    def on_closed(self, event: m.OrderClosed) -> None:
        """It no longer works; what the venue ended by itself is not put back in a hot loop."""
        before = self.book.get(event.client_order_id)
        asked = before is not None and before.status is OrderStatus.CANCELING
        order = self.book.closing_report(event, self.ctx.mono)
        if order is None or asked or order.status is not OrderStatus.CLOSED:
            return
        leg = self.state.legs[order.leg]
        if order.purpose is Purpose.ENTRY:
            if order.remaining > ZERO:
                reason = f"ended by the venue until the next bar: {event.how} {event.reason}".rstrip()
                leg.waits[rung_key(order.level, order.part)] = RungWait(ticks=0, at_mono=None, reason=reason)
        elif order.remaining > ZERO or (order.close_position and event.how != "FILLED"):
            key = exits.backoff_key(order.purpose, order.lot)
            exits.back_off(leg, key, self.ctx.mono, f"{event.how} {event.reason}".rstrip(), at_once=True)
            if leg.owned:
                # Most likely the flatten has taken the stop off, the leg being flat, and its fills have not come yet. The
                # venue is asked before a stop is placed that would be left behind.
                leg.backoffs[key].until_mono = self.ctx.mono + OWNED_STOP_NS
                self.ctx.want_truth(f"{order.leg} has lost its stop while it is flattened", urgent=True)

    def on_cancel_rejected(self, event: m.CancelRejected) -> None:
        """Not cancelled: gone already (the venue is asked what became of it), or tried again a second later."""
        gone = event.code in (-2011, -2013)
        self.book.cancel_rejected(
            event.client_order_id, self.ctx.mono, gone=gone, not_before=self.ctx.mono + SECOND_NS
        )
        if gone:
            self.ctx.want_truth("a cancel found no order", after_ns=SECOND_NS // 2)

    def on_latched(self, event: m.LegsLatched) -> None:
        """A flatten owns these legs now."""
        for leg in event.legs:
            each = self.state.legs[leg]
            if not (each.latched and event.origin.startswith(PAUSE_KEY)):
                each.trip_id = (
                    event.origin
                )  # the end of a planned pause must not undo what somebody latched before
            each.latched, each.owned, each.flat_told = True, True, False
            each.flatten_id = event.flatten_id

    def on_flat(self, leg: Leg) -> None:
        """The venue holds nothing on the leg; it is ours again once its last fills have been booked."""
        each = self.state.legs[leg]
        each.flat_told = True
        self.release_if_flat(leg)
        if each.owned:
            self.ctx.want_truth(f"{leg} is flat, fills are missing", after_ns=SECOND_NS)

    def release_if_flat(self, leg: Leg) -> None:
        """End a flatten's ownership when our books are flat too."""
        each = self.state.legs[leg]
        if each.owned and each.flat_told and self._leg_qty(leg) == ZERO:
            each.owned = each.flat_told = False
            each.closing = False

    # ---------------------------------------------------------------------------------------------------- the pass

    def why(self) -> list[str]:
        """Why the instrument may have no entries now."""
        return why_no_entries(self.grid, self.state, self.filter.reading, self.ctx)

    def decide(self) -> None:
        """One pass: what should rest, and the orders that lead there."""
        instrument = self.state.instrument
        if instrument is None or not self.ctx.state.reconciled:
            return
        self._recentre(instrument)
        why = self.why()
        if why:
            wanted = Wanted(targets=dict.fromkeys(LEGS, ()), dropped={}, step=ZERO)
        else:
            wanted = wanted_entries(
                self.grid,
                self.state,
                instrument,
                book=self.book,
                reading=self.filter.reading,
                ctx=self.ctx,
            )
        wakes: list[int] = []
        for leg in LEGS:
            each = self.state.legs[leg]
            if each.mode is LegMode.MANUAL:
                self._leave_to_hand(leg, wakes)
            elif each.owned:
                self._protect_owned(leg, instrument, wakes)
            else:
                self._decide_leg(leg, instrument, wanted, wakes)
        self._watch(instrument)
        self._wake(wakes)

    def _recentre(self, instrument: Instrument) -> None:
        state, mid = self.state, self.state.mid
        if mid is None or not self.filter.reading.warm:
            return
        if not should_recentre(mid, state.centre, self.grid.recenter_trigger_bps):
            return
        state.recentres += 1
        self.ctx.say(
            m.Recentred(
                instrument=instrument.id, previous=state.centre, centre=mid, market_ns=state.market_ns
            )
        )
        state.centre = mid

    def _decide_leg(self, leg: Leg, instrument: Instrument, wanted: Wanted, wakes: list[int]) -> None:
        state = self.state.legs[leg]
        targets = wanted.targets[leg]
        plan = exits.plan_exits(state, self.exit_view(leg, instrument, targets, wanted.step))
        wakes += plan.wakes
        for order in plan.cancels:
            self.placer.cancel(order)
        for exit_order in plan.places:
            self.placer.place_exit(leg, exit_order)
        entries = self.book.live(leg, Purpose.ENTRY)
        change = diff(
            [_live_entry(order) for order in entries],
            targets,
            price_tolerance_bps=self.grid.execution.price_tolerance_bps,
            qty_tolerance_pct=self.grid.execution.qty_tolerance_pct,
        )
        for entry in change.cancel:
            found = self.book.get(entry.client_order_id)
            if found is not None:
                self._withdraw(found, wakes)
        dropped = list(wanted.dropped.get(leg, ()))
        # A leg that was found passed in this very pass gets no entry, whatever was wanted before.
        if plan.stop_ok and not state.closing:
            for rung in change.place:
                reason = self.placer.place_entry(rung, wanted.step, instrument, wakes)
                if reason:
                    dropped.append((rung, reason))
        elif change.place:
            dropped += [(rung, "its leg stop does not rest yet") for rung in change.place]
        note_dropped(self.state, self.id, leg, tuple(dropped), self.ctx)
        for order in self.book.live(leg):
            if order.final is not None:
                due = order.touched_mono + MISSING_FILL_NS
                if due <= self.ctx.mono:
                    self.ctx.want_truth("fills are missing")
                else:
                    wakes.append(due)

    def _withdraw(self, entry: Order, wakes: list[int]) -> None:
        if entry.no_cancel_before > self.ctx.mono:
            wakes.append(entry.no_cancel_before)
        else:
            self.placer.cancel(entry)

    def _leave_to_hand(self, leg: Leg, wakes: list[int]) -> None:
        """Hands off inventory and exits; an entry left resting would fill with nobody to cover it."""
        for order in self.book.live(leg, Purpose.ENTRY):
            if order.status is OrderStatus.WORKING:
                self._withdraw(order, wakes)

    def _protect_owned(self, leg: Leg, instrument: Instrument, wakes: list[int]) -> None:
        """A flatten has the leg; until it holds nothing it must not be without its stop."""
        state = self.state.legs[leg]
        if state.flat_told:
            return
        plan = exits.plan_protection(state, self.exit_view(leg, instrument, (), ZERO))
        wakes += plan.wakes
        for order in plan.places:
            self.placer.place_exit(leg, order)

    def exit_view(
        self, leg: Leg, instrument: Instrument, targets: tuple[RungTarget, ...], step: Decimal
    ) -> ExitView:
        """What the plan of a leg's exits looks at; `targets` are the entries wanted on `step`."""
        state = self.state.legs[leg]
        needs = [(rung.price, step) for rung in targets]
        orders = []
        for order in self.book.live(leg):
            if order.purpose is Purpose.ENTRY:
                needs.append((order.rung_price, order.step))
            else:
                orders.append(order)
        return ExitView(
            leg=leg,
            qty=self._leg_qty(leg),
            orders=tuple(orders),
            grid=self.grid,
            instrument=instrument,
            mark=self.state.mark,
            stop=exits.leg_stop_price(leg, state.lots, needs, self.grid, instrument),
            algo_orders=sum(1 for order in self.book.live() if order.algo),
            mono=self.ctx.mono,
            entries=bool(targets),
        )

    def _leg_qty(self, leg: Leg) -> Decimal:
        return self.ctx.ledger.leg(self.id, leg).qty

    # ------------------------------------------------------------------------------------------ watches and wakes

    def _watch(self, instrument: Instrument) -> None:
        levels = watched_levels(self.state, self.grid, instrument)
        if levels != self.state.watching:
            self.state.watching = levels
            self.ctx.say(m.WatchPrices(instrument=self.id, above=levels[0], below=levels[1]))

    def _wake(self, wakes: list[int]) -> None:
        mono = self.ctx.mono
        if self.state.bar_mono is not None:
            wakes.append(self.state.bar_mono + self.grid.max_bar_age_s * SECOND_NS + 1)
        at = min((wake for wake in wakes if wake > mono), default=None)
        if at is not None and at != self.state.wake_mono:
            self.state.wake_mono = at
            self.ctx.say(m.WakeAt(at_ns=at, token=f"grid:{self.id}"))


def _live_entry(order: Order) -> LiveEntry:
    return LiveEntry(
        client_order_id=order.client_order_id,
        leg=order.leg,
        level=order.level,
        part=order.part,
        price=order.rung_price,
        qty=order.remaining,
        status=order.status,
    )

"""What the exits of one leg should be now, and the orders that lead there (spec/2-strategy.md, Exits).

A plan is made anew at every pass from lots and live orders; nothing is remembered but what the venue refused:

- each lot is covered by take-profits, never by more than it holds;
- a lot whose stop is crossed loses its take-profits (one second is allowed for that) and is closed at market;
- one closePosition stop protects the leg, and its replacement rests before the old one goes, where the venue allows it;
- a leg whose stop is already through is closed at market, one close in flight.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from hedgegridd import config
from hedgegridd.core import lots as lot_book
from hedgegridd.core.context import Context
from hedgegridd.core.ladder import step_of
from hedgegridd.core.state import Backoff, LegState, Lot, Order
from hedgegridd.model import BPS, ZERO, Instrument, Leg, OrderKind, OrderStatus, Purpose

CANCEL_WAIT_NS = 1_000_000_000
BACKOFF_MIN_NS = 200_000_000
BACKOFF_MAX_NS = 5_000_000_000
FORGET_NS = 10_000_000_000  # a refusal this long after the last one begins a new row
STOP_SLACK_STEPS = 2  # a lone stop that stands further out than wanted is drawn in from here on
ALGO_RESERVE = 4  # conditional orders kept free for the leg stops and their replacements

_NO_SECOND_STOP = frozenset({-4130, -4045})  # one is there already; as many as may be

# Already through; the key is not known, or may not trade; it never arrived (our own conclusion); no margin; the mode of
# the account; an id that is used. None of them says that a stop needs a position.
_NOT_OF_THE_ORDER = frozenset({-2021, -2014, -2015, -2013, -2018, -2019, -4061, -4116}) | _NO_SECOND_STOP

_ALIVE = frozenset({OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.WORKING})


class ExitOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An exit to place."""

    purpose: Purpose
    level: int
    kind: OrderKind
    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    close_position: bool = False
    lot: str = ""

    @property
    def key(self) -> str:
        """What its refusals are counted under."""
        return backoff_key(self.purpose, self.lot)


class ExitPlan(msgspec.Struct, kw_only=True):
    """Cancels, then orders to place, and times (monotonic) at which to look again. `stop_ok`: entries may rest."""

    cancels: list[Order] = []
    places: list[ExitOrder] = []
    wakes: list[int] = []
    stop_ok: bool = False


class ExitView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan looks at. `qty` is the leg's inventory, `stop` where its leg stop should be (None: nowhere)."""

    leg: Leg
    qty: Decimal
    orders: tuple[Order, ...]
    grid: config.Grid
    instrument: Instrument
    mark: Decimal | None
    stop: Decimal | None
    algo_orders: int
    mono: int
    entries: bool = True  # some are wanted: False while a hold, a trip or a stop keeps them away


def backoff_key(purpose: Purpose, lot: str) -> str:
    """Refusals of one exit of one lot (or of the leg) share a back-off."""
    return f"{purpose.value}:{lot}"


def back_off(state: LegState, key: str, mono: int, reason: str, *, at_once: bool = False) -> None:
    """Count a refusal: the next try waits 0.2 s, doubling to 5 s; `at_once` spares the first of a row its wait."""
    old = state.backoffs.get(key)
    if old is None or mono - old.until_mono > FORGET_NS:
        delay, until = BACKOFF_MIN_NS, mono + (0 if at_once else BACKOFF_MIN_NS)
    else:
        delay = min(old.delay_ns * 2, BACKOFF_MAX_NS)
        until = mono + delay
    state.backoffs[key] = Backoff(delay_ns=delay, until_mono=until, reason=reason)


def refused(
    state: LegState,
    order: Order,
    *,
    code: int,
    reason: str,
    qty: Decimal,
    mark: Decimal | None,
    ctx: Context,
) -> None:
    """What a refused exit means: too small, already through, one stop only, or: later again. `qty`: the leg's."""
    mono = ctx.mono
    why = f"{code} {reason}"
    if code == -2022:
        ctx.want_truth(f"a close was refused as larger than the leg: {order.client_order_id}", urgent=True)
    lot = state.lots.get(order.lot)
    if order.purpose is Purpose.STOP:
        if code == -2021 and (lot is not None or (qty > ZERO and not order.lot)):
            if lot is None:
                state.closing = True
            elif lot.stopping_since is None:
                lot.stopping_since = mono
            return
        if code in _NO_SECOND_STOP and not order.lot and not state.one_stop_only:
            state.one_stop_only = True
            return
        through = (
            mark is None or order.stop_price is None or (mark - order.stop_price) * order.leg.sign <= ZERO
        )
        # Some venues say -2021 where they mean that there is nothing to close.
        meant = _is_of_the_order(code) or (code == -2021 and not through)
        if meant and not order.lot and qty == ZERO:
            state.stop_needs_position = True
            return
    elif order.purpose is Purpose.CLOSE and code == -4164 and lot is not None and lot.trim is not None:
        if lot.trim < lot.qty:
            lot.trim = lot.qty  # too small a part of it: all of it goes
        else:
            lot_book.spare(lot)  # the venue takes no order of this size: its stop protects it
        return
    elif order.purpose is Purpose.TAKE_PROFIT and code == -4164 and not state.exits_need_notional:
        state.exits_need_notional = True
        return
    back_off(state, backoff_key(order.purpose, order.lot), mono, why)


def _is_of_the_order(code: int) -> bool:
    """The venue has looked at the order itself: not a limit, its load, our clock, a broken connection (0), our key.

    Only then a refused stop of a flat leg says that a stop needs a position; that is believed from then on.
    """
    return code <= -2000 and code not in _NOT_OF_THE_ORDER


def leg_stop_price(
    leg: Leg,
    lots: Mapping[str, Lot],
    entries: Iterable[tuple[Decimal, Decimal]],
    grid: config.Grid,
    instrument: Instrument,
) -> Decimal | None:
    """One step beyond the stop of the outermost lot, open lots and entries (price, step) alike; on the tick, outwards."""
    distance = grid.sl_steps + 1
    prices = [lot.price - leg.sign * distance * lot.step for lot in lots.values()]
    prices += [price - leg.sign * distance * step for price, step in entries]
    if not prices:
        return None
    outermost = min(prices) if leg is Leg.LONG else max(prices)
    return max(instrument.away_price(leg, outermost), instrument.tick)


def take_profit_price(lot: Lot, view: ExitView) -> Decimal:
    """On the tick, never worse than asked."""
    raw = lot_book.take_profit_price(lot, view.leg, view.grid.tp_steps)
    return max(view.instrument.away_price(view.leg.opposite, raw), view.instrument.tick)


def too_small(state: LegState, lot: Lot, qty: Decimal, view: ExitView) -> bool:
    """True when the venue, as it has shown, would refuse a take-profit of `qty` for its notional."""
    if not state.exits_need_notional or qty <= ZERO:
        return False
    return qty * take_profit_price(lot, view) < view.instrument.min_notional


class _Planner:
    def __init__(self, state: LegState, view: ExitView) -> None:
        self.state = state
        self.view = view
        self.plan = ExitPlan()
        self.by_lot: dict[tuple[Purpose, str], list[Order]] = {}
        for order in view.orders:
            self.by_lot.setdefault((order.purpose, order.lot), []).append(order)
        self.closing = any(order.purpose is Purpose.CLOSE for order in view.orders)

    def cancel(self, order: Order) -> None:
        if order.status is not OrderStatus.WORKING or order.triggered:
            return  # its fate is open already
        if order.no_cancel_before > self.view.mono:
            self.plan.wakes.append(order.no_cancel_before)
        else:
            self.plan.cancels.append(order)

    def place(self, order: ExitOrder) -> bool:
        waiting = self.state.backoffs.get(order.key)
        if waiting is not None and waiting.until_mono > self.view.mono:
            self.plan.wakes.append(waiting.until_mono)
            return False
        self.plan.places.append(order)
        return True

    # ------------------------------------------------------------------------------------------------ crossings

    def crossed(self, stop: Decimal) -> bool:
        mark = self.view.mark
        return mark is not None and (mark - stop) * self.view.leg.sign <= ZERO

    def look_for_crossings(self) -> None:
        view, state = self.view, self.state
        if view.qty == ZERO:
            state.closing = False
            return
        stops = self.by_lot.get((Purpose.STOP, ""), [])
        protected = any(order.status in _ALIVE or order.triggered for order in stops)
        if view.stop is not None and not protected and self.crossed(view.stop):
            state.closing = True
        for lot in state.lots.values():
            if lot.stopping_since is not None and lot.trim is None:
                continue
            own = self.by_lot.get((Purpose.STOP, lot.lot_id), [])
            if any(order.status is OrderStatus.WORKING or order.triggered for order in own):
                continue  # its stop rests at the venue, which executes it
            if self.crossed(lot_book.stop_price(lot, view.leg, view.grid.sl_steps)):
                lot.stopping_since = view.mono if lot.stopping_since is None else lot.stopping_since
                lot.trim = None if lot.trim is None else lot.qty

    # ------------------------------------------------------------------------------------------------- closing

    def close(self, qty: Decimal, level: int, lot: str) -> None:
        if self.closing:
            return
        qty = self.view.instrument.floor_qty(min(qty, self.view.qty, self.view.instrument.market_max_qty))
        if qty <= ZERO:
            return
        self.closing = self.place(
            ExitOrder(purpose=Purpose.CLOSE, level=level, kind=OrderKind.MARKET, qty=qty, lot=lot)
        )

    def close_leg(self) -> None:
        for order in self.view.orders:
            if order.purpose is Purpose.TAKE_PROFIT or (order.purpose is Purpose.STOP and order.lot):
                self.cancel(order)
        self.close(self.view.qty, 0, "")

    def stop_lot(self, lot: Lot, since: int) -> None:
        exits = self.by_lot.get((Purpose.TAKE_PROFIT, lot.lot_id), []) + self.by_lot.get(
            (Purpose.STOP, lot.lot_id), []
        )
        for order in exits:
            self.cancel(order)
        deadline = since + CANCEL_WAIT_NS
        if exits and self.view.mono < deadline:
            self.plan.wakes.append(deadline)
            return
        self.close(lot.qty if lot.trim is None else min(lot.trim, lot.qty), lot.level, lot.lot_id)

    # -------------------------------------------------------------------------------------------- take-profits

    def combine_small(self) -> None:
        """Fills too small for a take-profit of their own join their lot's, or the nearest lot's."""
        if not self.state.exits_need_notional:
            return
        for lot in list(self.state.lots.values()):
            if lot.stopping_since is not None:
                continue
            covers = self.by_lot.get((Purpose.TAKE_PROFIT, lot.lot_id), [])
            if not too_small(self.state, lot, self.missing(lot), self.view):
                continue
            if covers:
                lot.combine = True
                continue
            into = lot_book.nearest(self.state.lots, lot)
            if into is not None:
                lot_book.merge(self.state.lots, lot, into)
                into.combine = True

    def missing(self, lot: Lot) -> Decimal:
        covers = self.by_lot.get((Purpose.TAKE_PROFIT, lot.lot_id), [])
        return lot.qty - sum((order.remaining for order in covers), ZERO)

    def cover(self, lot: Lot) -> None:
        view = self.view
        covers = self.by_lot.get((Purpose.TAKE_PROFIT, lot.lot_id), [])
        if lot.combine and covers:
            for order in covers:
                self.cancel(order)
            return
        lot.combine = False
        missing = self.missing(lot)
        if missing < ZERO:
            # Something else closed a part of the lot: one cover goes, what is left is covered anew.
            self.cancel(covers[-1])
            return
        if too_small(self.state, lot, missing, view):
            return  # alone below the venue's minimum: its leg stop protects it until more is filled
        price = take_profit_price(lot, view)
        missing = view.instrument.floor_qty(missing)
        while missing > ZERO:
            qty = min(missing, view.instrument.floor_qty(view.instrument.max_qty))
            placed = self.place(
                ExitOrder(
                    purpose=Purpose.TAKE_PROFIT,
                    level=lot.level,
                    kind=OrderKind.LIMIT,
                    qty=qty,
                    price=price,
                    lot=lot.lot_id,
                )
            )
            if not placed:
                return
            missing -= qty

    def lot_stop(self, lot: Lot) -> None:
        """With `stops = "leg+lots"`: a STOP_MARKET for the lot's quantity, while the venue has room for it."""
        view = self.view
        own = self.by_lot.get((Purpose.STOP, lot.lot_id), [])
        if own:
            for order in own:
                if order.remaining != lot.qty:
                    self.cancel(order)
            return
        if view.algo_orders + len(self.plan.places) >= view.instrument.max_algo_orders - ALGO_RESERVE:
            return  # the daemon executes it, the leg stop protects
        if lot.qty > view.instrument.market_max_qty:
            return
        raw = lot_book.stop_price(lot, view.leg, view.grid.sl_steps)
        price = max(view.instrument.away_price(view.leg, raw), view.instrument.tick)
        self.place(
            ExitOrder(
                purpose=Purpose.STOP,
                level=lot.level,
                kind=OrderKind.STOP_MARKET,
                qty=view.instrument.floor_qty(lot.qty),
                stop_price=price,
                lot=lot.lot_id,
            )
        )

    # ------------------------------------------------------------------------------------------------ leg stop

    def unexplained(self) -> bool:
        """Whether the leg has inventory, none of it in our lots, that we are told to keep our hands off.

        So it is after a start without the old state folder. What protects it rests at the venue from before: it stays.
        """
        refuse = self.view.grid.manual_position == "refuse"
        return refuse and self.view.qty > ZERO and not self.state.lots

    def leg_stop(self) -> None:
        view, state, plan = self.view, self.state, self.plan
        stops = self.by_lot.get((Purpose.STOP, ""), [])
        want = view.stop
        if want is None:
            if not self.unexplained():
                for order in stops:
                    self.cancel(order)
            plan.stop_ok = True
            return
        if state.closing or any(order.triggered for order in stops):
            return
        alive = [order for order in stops if order.status in _ALIVE]
        good = [order for order in alive if self.near(order.stop_price, want)]
        # After a refusal "on its way" is not enough: entries wait until a stop rests. A stop farther out than wanted
        # still protects what is placed now, a nearer one does not cover it.
        trusted = backoff_key(Purpose.STOP, "") not in state.backoffs
        sure = [order for order in alive if trusted or order.status is OrderStatus.WORKING]
        plan.stop_ok = any(
            order in good
            or (order.stop_price is not None and (want - order.stop_price) * view.leg.sign >= ZERO)
            for order in sure
        )
        resting = next((order for order in good if order.status is OrderStatus.WORKING), None)
        if resting is not None:
            for order in alive:
                if order is not resting:
                    self.cancel(order)
            return
        if view.qty == ZERO and state.stop_needs_position:
            for order in alive:
                self.cancel(order)  # it stands where no entry needs it, and cannot be replaced before a fill
            plan.stop_ok = True
            return
        if alive and state.one_stop_only:
            if any(self.stands_further_out(order, want) for order in sure):
                return
            for order in alive:
                self.cancel(order)
            return
        if any(order.status is not OrderStatus.WORKING for order in alive):
            return  # an earlier replacement is on its way: one at a time
        if stops and not alive and state.one_stop_only:
            return  # its cancel is awaited
        placed = self.place(
            ExitOrder(
                purpose=Purpose.STOP,
                level=0,
                kind=OrderKind.STOP_MARKET,
                stop_price=want,
                close_position=True,
            )
        )
        plan.stop_ok = plan.stop_ok or (placed and trusted)

    def stands_further_out(self, order: Order, want: Decimal) -> bool:
        """Whether a stop may stay where it is: it covers all that `want` would, and not much more.

        Where the venue takes one stop only, moving it leaves inventory without any for a moment (longer when the
        machine is busy, until the restart when we die in it). That is worth it to widen what it covers, or when it
        stands far off; not to draw it in a little, and not because entries are kept away: they come back, and so would it.
        """
        if self.view.qty == ZERO or order.stop_price is None:
            return False
        if not self.view.entries:
            return (want - order.stop_price) * self.view.leg.sign >= ZERO
        slack = STOP_SLACK_STEPS * step_of(want, self.view.grid.step_bps)
        return ZERO <= (want - order.stop_price) * self.view.leg.sign <= slack

    def near(self, price: Decimal | None, want: Decimal) -> bool:
        tolerance = self.view.grid.execution.price_tolerance_bps
        return price is not None and abs(price - want) * BPS <= tolerance * want


def plan_exits(state: LegState, view: ExitView) -> ExitPlan:
    """The plan for one leg; marks lots and leg as being closed when their stop is crossed."""
    old = [key for key, each in state.backoffs.items() if view.mono - each.until_mono > FORGET_NS]
    for key in old:
        del state.backoffs[key]
    planner = _Planner(state, view)
    planner.look_for_crossings()
    planner.leg_stop()
    if state.closing:
        planner.close_leg()
        planner.plan.stop_ok = False
        return planner.plan
    for order in view.orders:
        if order.purpose is Purpose.CLOSE or order.lot in state.lots:
            continue
        if (order.lot or order.purpose is Purpose.TAKE_PROFIT) and not planner.unexplained():
            planner.cancel(order)  # its lot is closed, or was never ours
    planner.combine_small()
    for lot in lot_book.outermost_first(state.lots, view.leg):
        if lot.stopping_since is not None:
            planner.stop_lot(lot, lot.stopping_since)
    for lot in list(state.lots.values()):
        if lot.stopping_since is not None:
            continue
        planner.cover(lot)
        if view.grid.stops == "leg+lots":
            planner.lot_stop(lot)
    return planner.plan


def plan_protection(state: LegState, view: ExitView) -> ExitPlan:
    """The leg stop of inventory that has none, and nothing else: what a leg needs while a flatten closes it.

    A flatten may begin just when the stop is being moved, the old one gone and the new one not sent yet.
    """
    planner = _Planner(state, view)
    if view.qty > ZERO and (Purpose.STOP, "") not in planner.by_lot:
        planner.leg_stop()
    return planner.plan

"""A test order: one small entry through the whole path (gate, journal, venue), taken away again unless it is to be kept.

It is one rung more of its leg's ladder, so that it goes the way of every entry: behind its leg stop, through the
pre-trade gate, post-only, and cancelled by the diff as soon as it is not wanted any more. It stands where the outermost
rung does, far from the market, so that no leg stop has to move for it. What of it fills all the same is closed at market.
"""

from decimal import ROUND_CEILING, Decimal

from hedgegridd import config
from hedgegridd import messages as m
from hedgegridd.core.context import Context
from hedgegridd.core.ladder import RungTarget, build_ladder
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.state import GridState, Lot, Order, RungWait, Trial
from hedgegridd.model import ZERO, Instrument, Leg, OrderStatus, Purpose

LEVEL = 999  # no ladder has so many rungs
KEY = f"{LEVEL}.0"  # of its waits
NO_STOP = "its leg stop does not rest yet"  # what keeps every rung waiting for a moment


class Trials:
    """The test orders of one instrument, one at a time; `GridState.trial` is all that is remembered."""

    def __init__(self, grid: config.Grid, *, state: GridState, book: OrderBook, ctx: Context) -> None:
        self._grid = grid
        self._state = state
        self._book = book
        self._ctx = ctx

    def begin(self, command: m.TryOrder) -> str:
        """Want one from the next pass on; otherwise why not, in words. Asked where entries are permitted."""
        state, leg = self._state, command.leg
        if state.trial is not None or any(order.level == LEVEL for order in self._book.live()):
            kept = state.trial is not None and state.trial.keep
            return "a test order is kept; pause takes it away" if kept else "a test order is under way"
        instrument, centre = state.instrument, state.centre
        if instrument is None or centre is None:
            return "there is no grid to place it by yet"
        ladder = build_ladder(leg, centre, self._grid)
        price = instrument.away_price(leg, ladder[-1].price) if ladder else ZERO
        if price <= ZERO:
            return f"{leg} has no rungs"
        qty = instrument.floor_qty(command.notional_usdt / price)
        if qty < instrument.min_qty or qty * price < instrument.min_notional:
            return f"the venue takes no order below {_least(instrument, price):.2f} USDT at {price}"
        if full := self._no_room(leg, price, qty):
            return full
        state.legs[leg].waits.pop(KEY, None)
        state.legs[leg].dropped.pop(LEVEL, None)
        state.trial = Trial(leg=leg, price=price, qty=qty, keep=command.keep, asked_mono=self._ctx.mono)
        return ""

    def _no_room(self, leg: Leg, price: Decimal, qty: Decimal) -> str:
        """Which cap of the leg its inventory and entries leave no room under; "" when there is room."""
        entries = self._book.live(leg, Purpose.ENTRY)
        wanted = qty + self._ctx.ledger.leg(self._grid.instrument_id, leg).qty
        base = wanted + sum((order.remaining for order in entries), ZERO)
        most = self._grid.position.max_qty
        if base > most:
            return f"max_qty is {most}; with it inventory and entries would be {base}"
        worth = wanted * price + sum((order.remaining * (order.price or ZERO) for order in entries), ZERO)
        most = self._grid.max_inventory_usdt
        if worth > most:
            return f"max_inventory_usdt is {most}; with it inventory and entries would be worth {worth:.2f}"
        return ""

    def look(self) -> None:
        """Before a pass: what has become of it, and so whether it is still wanted."""
        trial, mono = self._state.trial, self._ctx.mono
        order = None if trial is None else self._order(trial)
        if trial is None or order is None:
            return
        if trial.accepted_mono is None and (order.status is OrderStatus.WORKING or order.filled > ZERO):
            trial.accepted_mono = mono
        if order.filled > ZERO or (trial.accepted_mono is not None and not trial.keep):
            trial.wanted = False
        if order.status is not OrderStatus.CLOSED:
            return
        if trial.closed_mono is None and trial.accepted_mono is not None:
            trial.closed_mono, trial.wanted = mono, False
        lot = self._lot(trial)
        if lot is not None and not trial.keep and not trial.closing:
            trial.closing = True
            lot.trim, lot.stopping_since = lot.qty, mono
        if trial.told:
            self._state.trial = None

    def target(self, leg: Leg) -> tuple[RungTarget, ...]:
        """The rung that is wanted for it on a leg."""
        trial = self._state.trial
        if trial is None or trial.leg is not leg or not trial.wanted:
            return ()
        return (RungTarget(leg, LEVEL, trial.price, trial.qty),)

    def outcome(self, to: int, why: list[str]) -> m.Answer | None:
        """The answer once its fate is known, None before. `why`: what keeps entries of its leg away now."""
        trial = self._state.trial
        if trial is None:
            return m.Refused(to=to, reason="the test order was taken back")
        order = self._order(trial)
        if order is None:
            return self._not_placed(to, trial, why)
        trial.placed_mono = self._ctx.mono if trial.placed_mono is None else trial.placed_mono
        if order.status is OrderStatus.CANCELING and trial.cancel_mono is None:
            trial.cancel_mono = self._ctx.mono
        if order.status is not OrderStatus.CLOSED:
            if not trial.keep or trial.accepted_mono is None:
                return None
            trial.told = True
            return m.Done(to=to, detail={"verified": True, **self._facts(trial, order, "resting")})
        if trial.accepted_mono is None:
            return self._refused(to, trial)
        lot = self._lot(trial)
        if lot is not None and not trial.keep and (lot.stopping_since is not None or not trial.closing):
            return None  # it is being closed
        if order.filled == ZERO:
            fate = "rested, cancelled"
        elif lot is None:
            fate = "filled, closed again"
        else:
            fate = "filled, kept" if trial.keep else "filled, kept: the venue closes no order so small"
        self._state.trial = None
        return m.Done(to=to, detail={"verified": True, **self._facts(trial, order, fate)})

    def expired(self) -> dict[str, object]:
        """What is known when the time is over; it is taken away as soon as it can be."""
        trial = self._state.trial
        if trial is None:
            return {"fate": "not known"}
        order = self._order(trial)
        trial.told, trial.wanted = True, False
        if order is None:
            self._state.trial = None
        return self._facts(trial, order, "not known yet; it is being taken away")

    def _not_placed(self, to: int, trial: Trial, why: list[str]) -> m.Answer | None:
        reason = "; ".join(why)
        dropped = self._state.legs[trial.leg].dropped.get(LEVEL, "")
        if not reason and dropped and dropped != NO_STOP and not _tried_again(self._wait(trial)):
            reason = dropped
        return self._over(to, trial, reason) if reason else None

    def _refused(self, to: int, trial: Trial) -> m.Answer | None:
        """It never rested: the venue's word, or another try at a tick further."""
        wait = self._wait(trial)
        if _tried_again(wait):
            trial.order_id = ""
            return None
        return self._over(to, trial, "it ended before it rested" if wait is None else wait.reason)

    def _over(self, to: int, trial: Trial, reason: str) -> m.Refused:
        self._state.legs[trial.leg].waits.pop(KEY, None)
        self._state.trial = None
        return m.Refused(to=to, reason=f"no test order rests: {reason}", accepted=("status",))

    def _wait(self, trial: Trial) -> RungWait | None:
        return self._state.legs[trial.leg].waits.get(KEY)

    def _order(self, trial: Trial) -> Order | None:
        if trial.order_id:
            return self._book.get(trial.order_id) or self._book.closed(trial.order_id)
        entries = self._book.live(trial.leg, Purpose.ENTRY)
        found = next((order for order in entries if order.level == LEVEL), None)
        trial.order_id = "" if found is None else found.client_order_id
        return found

    def _lot(self, trial: Trial) -> Lot | None:
        return self._state.legs[trial.leg].lots.get(trial.order_id)

    def _facts(self, trial: Trial, order: Order | None, fate: str) -> dict[str, object]:
        """For people and programs; the stages in milliseconds since it was asked for."""
        stages = {
            "placed": trial.placed_mono,
            "accepted": trial.accepted_mono,
            "cancel_asked": trial.cancel_mono,
            "gone": trial.closed_mono,
        }
        return {
            "fate": fate,
            "instrument": self._grid.instrument_id,
            "leg": trial.leg.value,
            "client_order_id": trial.order_id,
            "price": str(trial.price if order is None or order.price is None else order.price),
            "quantity": str(trial.qty),
            "filled": "0" if order is None else str(order.filled),
            "stages_ms": {
                stage: (at - trial.asked_mono) / 1_000_000 for stage, at in stages.items() if at is not None
            },
        }


def _least(instrument: Instrument, price: Decimal) -> Decimal:
    """The smallest order that the venue takes at a price, in USDT."""
    qty = max(instrument.min_qty, instrument.min_notional / price)
    return (qty / instrument.step).to_integral_value(ROUND_CEILING) * instrument.step * price


def _tried_again(wait: RungWait | None) -> bool:
    return wait is not None and wait.at_mono is not None and wait.wake

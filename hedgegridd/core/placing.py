"""Sends a grid's orders: builds them, passes them through the pre-trade gate, books them as pending, says them."""

from decimal import Decimal

from hedgegridd import config
from hedgegridd import messages as m
from hedgegridd.core import exits
from hedgegridd.core.context import SECOND_NS, Context
from hedgegridd.core.exits import ExitOrder
from hedgegridd.core.gate import judge, shared_position
from hedgegridd.core.ladder import RungTarget
from hedgegridd.core.orders import OrderBook
from hedgegridd.core.pretrade import Refused
from hedgegridd.core.state import GridState, Order, RungWait
from hedgegridd.core.trial import LEVEL as TRIAL
from hedgegridd.model import ZERO, Instrument, Leg, OrderKind, Purpose, TimeInForce

# Limits of the gate that time alone lifts: the rung is tried again without waiting for a bar.
_SOON = {"duplicate_window_ms", "max_orders_per_10s"}


def rung_key(level: int, part: int) -> str:
    """What a rung's waits are kept under."""
    return f"{level}.{part}"


class Placer:
    """Of one instrument; `share` is its part of the account-wide limits."""

    def __init__(
        self, grid: config.Grid, share: Decimal, *, state: GridState, book: OrderBook, ctx: Context
    ) -> None:
        self.grid = grid
        self.state = state
        self.book = book
        self.ctx = ctx
        self.position = shared_position(grid.position, share)

    def _leg_qty(self, leg: Leg) -> Decimal:
        return self.ctx.ledger.leg(self.grid.instrument_id, leg).qty

    def cancel(self, order: Order) -> None:
        """Ask for a cancel; the order is live until the venue has confirmed it."""
        self.book.canceling(order, self.ctx.mono)
        self.ctx.say(
            m.CancelOrder(
                instrument=self.grid.instrument_id, client_order_id=order.client_order_id, algo=order.algo
            )
        )

    def place_entry(
        self, rung: RungTarget, step: Decimal, instrument: Instrument, wakes: list[int]
    ) -> str | None:
        """Place one rung; returns why not."""
        state = self.state.legs[rung.leg]
        key = rung_key(rung.level, rung.part)
        wait = state.waits.get(key)
        price = rung.price
        if wait is not None:
            if wait.at_mono is None:
                return wait.reason
            if wait.at_mono > self.ctx.mono:
                if wait.wake:
                    wakes.append(wait.at_mono)
                return wait.reason
            price -= rung.leg.sign * wait.ticks * instrument.tick
        if self._over_cap(rung):
            return "its leg has entries that are still being cancelled"
        maker = self.grid.execution.maker_only or rung.level == TRIAL
        order = Order(
            client_order_id=self.ctx.new_id(self.grid.symbol, rung.leg, rung.level, Purpose.ENTRY),
            leg=rung.leg,
            purpose=Purpose.ENTRY,
            level=rung.level,
            side=rung.leg.entry_side,
            kind=OrderKind.LIMIT,
            time_in_force=TimeInForce.GTX if maker else TimeInForce.GTC,
            qty=rung.qty,
            price=price,
            created_ns=self.ctx.now_ns,
            touched_mono=self.ctx.mono,
            part=rung.part,
            rung_price=rung.price,
            step=step,
            generation=self.state.recentres,
        )
        refusal = self._send(order)
        if refusal is None:
            return None
        reason = f"pre-trade gate, {refusal.limit}: {refusal.reason}"
        # At most once a second, so that a burst of passes is no burst of refusals.
        at = self.ctx.mono + SECOND_NS
        soon = refusal.limit in _SOON
        ticks = 0 if wait is None else wait.ticks
        state.waits[key] = RungWait(ticks=ticks, at_mono=at, reason=reason, wake=soon)
        if soon:
            wakes.append(at)
        return reason

    def _over_cap(self, rung: RungTarget) -> bool:
        """True while entries that are being cancelled leave no room: together they could pass the leg's cap."""
        qty = self._leg_qty(rung.leg)
        worth = qty * (self.state.mid or ZERO)
        for order in self.book.live(rung.leg, Purpose.ENTRY):
            qty += order.remaining
            worth += order.remaining * (order.price or ZERO)
        over_qty = qty + rung.qty > self.grid.position.max_qty
        return over_qty or worth + rung.notional_usdt > self.grid.max_inventory_usdt

    def place_exit(self, leg: Leg, wish: ExitOrder) -> None:
        """Place one exit; what the gate refuses is backed off, and the books are compared."""
        order = Order(
            client_order_id=self.ctx.new_id(self.grid.symbol, leg, wish.level, wish.purpose),
            leg=leg,
            purpose=wish.purpose,
            level=wish.level,
            side=leg.exit_side,
            kind=wish.kind,
            qty=wish.qty,
            price=wish.price,
            stop_price=wish.stop_price,
            close_position=wish.close_position,
            algo=wish.kind is OrderKind.STOP_MARKET,
            created_ns=self.ctx.now_ns,
            touched_mono=self.ctx.mono,
            lot=wish.lot,
        )
        refusal = self._send(order)
        if refusal is not None:
            exits.back_off(self.state.legs[leg], wish.key, self.ctx.mono, refusal.reason)
            self.ctx.want_truth(f"an exit was refused: {refusal.reason}", after_ns=SECOND_NS)

    def _send(self, order: Order) -> Refused | None:
        """Through the gate and out; returns the refusal."""
        intent = m.PlaceOrder(
            instrument=self.grid.instrument_id,
            leg=order.leg,
            purpose=order.purpose,
            level=order.level,
            client_order_id=order.client_order_id,
            side=order.side,
            kind=order.kind,
            time_in_force=order.time_in_force,
            qty=order.qty,
            price=order.price,
            stop_price=order.stop_price,
            close_position=order.close_position,
        )
        verdict = judge(
            intent,
            grid=self.grid,
            position=self.position,
            state=self.state,
            book=self.book,
            ctx=self.ctx,
            part=order.part,
        )
        if isinstance(verdict, Refused):
            self.ctx.say(
                m.OrderRefused(
                    instrument=self.grid.instrument_id,
                    leg=order.leg,
                    purpose=order.purpose,
                    level=order.level,
                    client_order_id=order.client_order_id,
                    reason=f"{verdict.limit}: {verdict.reason}",
                )
            )
            return verdict
        self.book.add(order)
        self.ctx.say(intent)
        return None

"""The way of orders to the venue: latch, journal, latch again, send; and the way of cancels.

    entry, take-profit, market close of a lot   through the trading connection
    leg stop (algo), anything while that is down  through the signed client, remembered by the connection first

Orders of one instrument leave in the order they came, in two lanes: orders that reduce, and entries, which wait for
the journal and for the answers to the stops taken before them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

import msgspec
import structlog

from hedgegridd.core.holds import why_held, why_leg_held
from hedgegridd.core.state import HoldState
from hedgegridd.errors import VenueError
from hedgegridd.messages import (
    CancelOrder,
    CancelRejected,
    Hold,
    OrderAccepted,
    OrderClosed,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PlaceOrder,
    Trip,
)
from hedgegridd.model import NOT_ALLOWED_CODES, NOT_TRADING_CODES, ZERO, KillState, Leg, OrderKind, Purpose
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import (
    CANCEL_REJECTED,
    CLOCK_SKEW,
    TOO_MANY_ORDERS,
    Failure,
    Kind,
)
from hedgegridd.venue.inflight import Flying, InFlight, TooManyInFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.lanes import Lanes, stops_answered
from hedgegridd.venue.on_disk import durable_within
from hedgegridd.venue.pace import Pace
from hedgegridd.venue.port import Trading
from hedgegridd.venue.resolver import Resolver
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.told import Teller

_NS_PER_S = 1_000_000_000
_log = structlog.get_logger("venue.orders")

type Spawn = Callable[[Coroutine[None, None, None]], None]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how many: seconds an order waits for the journal or for the stop sent before it."""

    reducing_s: float = 0.1  # an order that only reduces does not wait longer for the journal
    entry_s: float = 5.0
    stop_answer_s: float = 1.0
    look_s: float = 1.0  # an entry waits no longer for a look at panic's latch
    taken_over_s: float = 1.0  # after a leg was latched the strategy's own closes of it are late
    waiting: int = 2_000  # orders of an instrument that wait, in each lane
    limited_s: float = (
        2.0  # nothing by the connection after a limit, until our own client knows `Retry-After`
    )


BOUNDS = Bounds()


class Gate(Protocol):
    """Stands in the way of entries by what the loop does not know (`journal.latch_watch`)."""

    def why(self, instrument: str) -> str:
        """Why an entry of the instrument may not leave now; empty when it may."""
        ...

    async def looked(self, instrument: str, within_s: float) -> None:
        """Wait until that is known, at most so long."""
        ...


class Orders:
    """Sends orders and cancels; holds the latches that stop entries."""

    def __init__(
        self,
        calls: VenueCalls,
        symbols: dict[str, str],
        *,
        trading: Trading,
        inflight: InFlight,
        teller: Teller,
        resolver: Resolver,
        stats: Stats,
        durable: Callable[[], Awaitable[None]],
        mono_ns: Callable[[], int],
        spawn: Spawn,
        interlock: Interlock,
        gate: Gate | None = None,
        pace: Pace | None = None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._calls = calls
        self._symbols = symbols
        self._trading = trading
        self._inflight = inflight
        self._teller = teller
        self._resolver = resolver
        self._stats = stats
        self._durable = durable
        self._mono_ns = mono_ns
        self._spawn = spawn
        self._gate = gate
        self._pace = pace
        self._interlock = interlock
        self._bounds = bounds
        self._latched: dict[tuple[str, Leg], int] = {}  # and when
        self._kept_away = HoldState()
        self._lanes = {name: Lanes() for name in symbols}
        self._stopping = ""
        self._kill = KillState.STARTING  # until the kill switch says that it is armed
        self._limited_ns = {
            True: 0,
            False: 0,
        }  # until when no new order (True), no cancel (False) by the connection
        self.on_clock_skew: Callable[[], None] | None = None
        self.on_not_trading: Callable[[], None] | None = None
        self.on_not_allowed: Callable[[], None] | None = None
        self.on_sent: Callable[[PlaceOrder], None] | None = None

    # --- latches ------------------------------------------------------------------------------

    def latch(self, instrument: str, legs: tuple[Leg, ...]) -> None:
        """Refuse entries of these legs from now on, those that wait included."""
        self._latched.update(((instrument, leg), self._mono_ns()) for leg in legs)
        self._refuse_held()

    def unlatch(self, instrument: str, legs: tuple[Leg, ...]) -> None:
        """Allow entries of these legs again."""
        for leg in legs:
            self._latched.pop((instrument, leg), None)

    def stop_entries(self, reason: str) -> None:
        """The daemon goes down: refuse entries for good."""
        self._stopping = reason or "stopping"
        self._refuse_held()

    def kill_switch(self, state: KillState) -> None:
        """Entries leave while it is ARMED; in every other state they are refused, those that wait at once."""
        self._kill = state
        self._refuse_held()

    def withdraw(self, reason: str) -> None:
        """Refuse entries, those that wait included, until the dead-man switch is armed again."""
        self._interlock.close(reason)
        for lanes in self._lanes.values():
            for waiting in list(lanes.entries.waiting.values()):
                lanes.take(waiting.order.client_order_id)
                self._refuse(waiting.order, reason)

    def trips(self, trips: tuple[Trip, ...]) -> None:
        """Refuse entries of the instruments and legs that these trips latch, and no longer of others."""
        self._kept_away.trips = trips
        self._refuse_held()

    def holds(self, source: str, holds: tuple[Hold, ...]) -> None:
        """Refuse entries that a source's holds pause."""
        self._kept_away.holds[source] = holds
        self._refuse_held()

    def _refuse_held(self) -> None:
        """Refuse what waits and may not leave any more."""
        for lanes in self._lanes.values():
            for waiting in list(lanes.entries.waiting.values()):
                if reason := self._held(waiting.order):
                    lanes.take(waiting.order.client_order_id)
                    self._refuse(waiting.order, reason)

    def _held(self, order: PlaceOrder) -> str:
        """Why an entry may not leave; empty when it may."""
        if order.purpose.reduces:
            return ""
        if self._stopping:
            return f"the daemon is stopping: {self._stopping}"
        if self._kill is not KillState.ARMED:
            return f"the kill switch is {self._kill.value}"
        if (order.instrument, order.leg) in self._latched:
            return f"{order.leg.value} is latched by a flatten"
        why = why_held(self._kept_away, order.instrument)
        return "; ".join(why or why_leg_held(self._kept_away, order.instrument, order.leg))

    def _doubled(self, order: PlaceOrder) -> str:
        """Why a market close may not leave beside that of the flatten which has just taken the leg over."""
        since_ns = self._latched.get((order.instrument, order.leg))
        if order.purpose is not Purpose.CLOSE or since_ns is None:
            return ""
        # The strategy decided on it before it heard of the flatten; of what it decides later the flatten is not there.
        just_now = self._mono_ns() - since_ns < self._bounds.taken_over_s * _NS_PER_S
        return "a flatten closes the leg" if just_now else ""

    def _refused_by_gate(self, order: PlaceOrder) -> str:
        """As `_held`, asked when the order leaves."""
        if order.purpose.reduces or self._gate is None:
            return ""
        return self._gate.why(order.instrument)

    # --- limits -------------------------------------------------------------------------------

    def limited(self, failure: Failure) -> None:
        """The connection met a limit of the venue; it does not read for how long."""
        until_ns = self._mono_ns() + int(self._bounds.limited_s * _NS_PER_S)
        self._limited_ns[True] = until_ns
        if failure.code != TOO_MANY_ORDERS:
            self._limited_ns[False] = until_ns

    def _wait(self, *, new_order: bool) -> str:
        """Why nothing may be sent by the connection now, where sending on would earn a ban; empty when it may."""
        own_s = max(0, self._limited_ns[new_order] - self._mono_ns()) / _NS_PER_S
        wait_s = max(own_s, self._calls.http.wait_s(new_order=new_order))
        return f"the venue's limit: {wait_s:.1f} s more" if wait_s else ""

    # --- placing ------------------------------------------------------------------------------

    def place(self, order: PlaceOrder, seq: int) -> None:
        """Take an order; what comes of it is told as events with the cause `seq`."""
        self._teller.caused(order.client_order_id, seq)
        if reason := self._held(order):
            self._refuse(order, reason)
            return
        lanes = self._lanes.get(order.instrument)
        if lanes is None:
            self._refuse(order, f"{order.instrument} is not traded here")
            return
        lane = lanes.lane(order)
        if len(lane.waiting) >= self._bounds.waiting:
            self._refuse(order, f"{self._bounds.waiting} orders wait already")
            return
        lanes.add(order, asyncio.get_running_loop().time())
        if not lane.draining:
            lane.draining = True
            self._spawn(self._reduce(lanes) if lane is lanes.reducing else self._enter(lanes))

    def waiting(self) -> tuple[str, ...]:
        """Client order ids of the orders that have not left yet."""
        lanes = (lane for each in self._lanes.values() for lane in (each.reducing, each.entries))
        return tuple(coid for lane in lanes for coid in lane.waiting)

    async def _reduce(self, lanes: Lanes) -> None:
        """Send what reduces: each order waits for the journal `reducing_s` at most, since it was taken."""
        lane = lanes.reducing
        now_s = asyncio.get_running_loop().time
        try:
            while lane.waiting:
                batch = tuple(lane.waiting)
                until_s = lane.waiting[batch[0]].since_s + self._bounds.reducing_s
                problem = await durable_within(self._durable, until_s - now_s())
                for coid in tuple(lane.waiting) if problem else batch:
                    order = lanes.take(coid)
                    if order is None:
                        continue  # cancelled meanwhile
                    if problem:
                        _log.warning("sent before it was durable", order=coid, why=problem)
                    self._send(order, lanes)
        finally:
            lane.draining = False

    async def _enter(self, lanes: Lanes) -> None:
        """Send entries: durable, and behind the answers to the stops taken before them."""
        lane = lanes.entries
        try:
            while lane.waiting:
                batch, crowded = tuple(lane.waiting.values()), False
                problem = await durable_within(self._durable, self._bounds.entry_s)
                if self._interlock.why(batch[0].order.instrument):
                    await self._interlock.opened(batch[0].order.instrument, self._bounds.entry_s)
                for waiting in batch:
                    if not problem and waiting.order.client_order_id in lane.waiting:
                        crowded = self._pace is not None and not await self._pace.room()
                        await stops_answered(waiting, self._bounds.stop_answer_s)
                        if self._gate is not None:
                            await self._gate.looked(waiting.order.instrument, self._bounds.look_s)
                    order = lanes.take(waiting.order.client_order_id)
                    if order is None:
                        continue  # cancelled or refused meanwhile
                    if problem:
                        self._refuse(order, f"the journal is {problem}")
                    elif crowded:
                        self._refuse(order, "our own quota of calls has no room")
                    else:
                        self._send(order, lanes)
        finally:
            lane.draining = False

    def _send(self, order: PlaceOrder, lanes: Lanes) -> None:
        """Everything from the last check to the wire happens in one go."""
        if not self._leave(order, lanes):
            lanes.answered(order.client_order_id)

    def _leave(self, order: PlaceOrder, lanes: Lanes) -> bool:
        """Send it or refuse it; True when its answer comes to us (and is told to those who wait for it)."""
        coid = order.client_order_id
        reason = self._held(order) or self._doubled(order) or self._refused_by_gate(order)
        if not reason and not order.purpose.reduces:
            reason = self._interlock.why(order.instrument)
        if reason:
            self._refuse(order, reason)
            return False
        raw = order.kind is OrderKind.STOP_MARKET or not self._trading.connected
        if raw and order.purpose is Purpose.ENTRY:
            self._refuse(order, "the trading connection is down")
            return False
        if not raw and (reason := self._wait(new_order=True)):
            self._refuse(order, reason)
            return False
        now_ns = self._mono_ns()
        if not order.purpose.reduces and (reason := self._calls.orders.refuses_entry(now_ns)):
            self._refuse(order, reason)
            return False
        try:
            algo = order.kind is OrderKind.STOP_MARKET
            self._inflight.sent(order.instrument, coid, now_ns, algo=algo)
        except TooManyInFlight as error:
            self._refuse(order, str(error))
            return False
        self._calls.orders.sent(now_ns)
        self._stats.orders_submitted[order.purpose.name.lower()] += 1
        if self.on_sent is not None:
            self.on_sent(order)
        try:
            if raw:
                self._remember(order)
                self._spawn(self._send_raw(order, lanes))
            else:
                self._trading.submit(order)
        except VenueError as error:
            self._inflight.ended(coid)
            self._refuse(order, str(error))
            return False
        return raw

    def _remember(self, order: PlaceOrder) -> None:
        if self._trading.connected:
            self._trading.remember(order)

    async def _send_raw(self, order: PlaceOrder, lanes: Lanes) -> None:
        coid = order.client_order_id
        try:
            venue_order_id = await self._calls.place(self._symbols[order.instrument], order)
        except VenueCallError as error:
            self.order_failed(order.instrument, coid, error.failure)
            return
        finally:
            lanes.answered(coid)
        self._teller.tell(
            OrderAccepted(
                instrument=order.instrument,
                client_order_id=coid,
                venue_order_id=venue_order_id,
                algo=order.kind is OrderKind.STOP_MARKET,
                ts_ns=self._calls.http.now_ms() * 1_000_000,
            )
        )

    def order_failed(self, instrument: str, coid: str, failure: Failure) -> None:
        """The answer to an order was a failure, from whichever way it went."""
        if failure.code == CLOCK_SKEW and self.on_clock_skew is not None:
            self.on_clock_skew()
        if failure.code in NOT_TRADING_CODES and self.on_not_trading is not None:
            self.on_not_trading()
        if failure.code in NOT_ALLOWED_CODES and self.on_not_allowed is not None:
            self.on_not_allowed()
        if failure.kind is not Kind.AMBIGUOUS:
            reason = failure.reason or failure.kind.value
            self._teller.tell(
                OrderRejected(instrument=instrument, client_order_id=coid, code=failure.code, reason=reason)
            )
            return
        item = self._inflight.order(coid)
        if item is None:
            return  # the stream has told its fate already
        # A status without a code of the venue's is a proxy's: the request may still be on its way behind it.
        item.unanswered = item.unanswered and failure.code == 0
        self._teller.tell(OrderUnknown(instrument=instrument, client_order_id=coid, reason=failure.reason))
        self._ask(item)

    # --- cancelling ---------------------------------------------------------------------------

    def cancel(self, command: CancelOrder) -> None:
        """Cancel one order; a cancel never waits for the journal."""
        coid = command.client_order_id
        lanes = self._lanes.get(command.instrument)
        if lanes is not None and lanes.take(coid) is not None:
            lanes.answered(coid)
            closed = OrderClosed(
                instrument=command.instrument,
                client_order_id=coid,
                how="CANCELED",
                filled_qty=ZERO,
                reason="withdrawn before it was sent",
            )
            self._teller.tell(closed)
            return
        if not command.algo and self._trading.connected and (reason := self._wait(new_order=False)):
            self.cancel_failed(command.instrument, coid, Failure(kind=Kind.LIMITED, reason=reason))
            return
        self._stats.cancels_total += 1
        try:
            self._inflight.cancelling(command.instrument, coid, self._mono_ns(), algo=command.algo)
        except TooManyInFlight as error:
            self.cancel_failed(command.instrument, coid, Failure(kind=Kind.UNSENT, reason=str(error)))
            return
        if command.algo or not self._trading.cancel(coid):
            self._spawn(self._cancel_raw(command))

    async def _cancel_raw(self, command: CancelOrder) -> None:
        coid = command.client_order_id
        try:
            if command.algo:
                await self._calls.cancel_algo(coid)
            else:
                await self._calls.cancel(self._symbols[command.instrument], coid)
        except VenueCallError as error:
            self.cancel_failed(command.instrument, coid, error.failure)
            return
        if command.algo:
            # A conditional order fills nothing by itself: the answer is its end. Where the venue takes one stop a leg, the
            # leg is naked until the next one is placed, and a user stream that is down would tell of this seconds later.
            self._teller.tell(
                OrderClosed(
                    instrument=command.instrument,
                    client_order_id=coid,
                    how="CANCELED",
                    filled_qty=ZERO,
                    ts_ns=self._calls.http.now_ms() * 1_000_000,
                )
            )

    def cancel_failed(self, instrument: str, coid: str, failure: Failure) -> None:
        """The answer to a cancel was a failure, from whichever way it went."""
        if failure.code == CLOCK_SKEW and self.on_clock_skew is not None:
            self.on_clock_skew()
        item = self._inflight.cancel(coid)
        if item is not None and (failure.kind is Kind.AMBIGUOUS or failure.code == CANCEL_REJECTED):
            self._ask(item)
            return
        if item is None and self._teller.is_over(coid):
            return  # it had ended before the cancel came: that has been told
        reason = failure.reason or failure.kind.value
        self._teller.tell(
            CancelRejected(instrument=instrument, client_order_id=coid, code=failure.code, reason=reason)
        )

    # --- asking -------------------------------------------------------------------------------

    def ask_overdue(self) -> None:
        """Ask for every order and cancel that has had no outcome for too long."""
        for item in self._inflight.due(self._mono_ns()):
            self._ask(item)

    def _ask(self, item: Flying) -> None:
        if not item.asking:
            item.asking = True
            self._spawn(self._resolver.resolve(item))

    def _refuse(self, order: PlaceOrder, reason: str) -> None:
        self._teller.tell(
            OrderRefused(
                instrument=order.instrument,
                leg=order.leg,
                purpose=order.purpose,
                level=order.level,
                client_order_id=order.client_order_id,
                reason=reason,
            )
        )

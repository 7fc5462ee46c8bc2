"""The way of orders to the venue: latch, journal, latch again, send; and the way of cancels.

    entry, take-profit, market close of a lot   through the trading connection
    leg stop (algo), anything while that is down  through the signed client, remembered by the connection first

Orders of one instrument leave in the order they came; entries wait for the answer to the stop sent before them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine

import msgspec
import structlog

from hedgegridd.errors import JournalError, VenueError
from hedgegridd.messages import (
    CancelOrder,
    CancelRejected,
    OrderAccepted,
    OrderClosed,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PlaceOrder,
)
from hedgegridd.model import ZERO, Leg, OrderKind, Purpose
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import CANCEL_REJECTED, CLOCK_SKEW, TOO_MANY_ORDERS, Failure, Kind
from hedgegridd.venue.inflight import Flying, InFlight, TooManyInFlight
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
    waiting: int = 2_000  # orders of an instrument that wait
    limited_s: float = (
        2.0  # nothing by the connection after a limit, until our own client knows `Retry-After`
    )


BOUNDS = Bounds()


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
        self._bounds = bounds
        self._latched: set[tuple[str, Leg]] = set()
        self._waiting: dict[str, deque[PlaceOrder]] = {name: deque() for name in symbols}
        self._unsent: set[str] = set()  # taken, and neither sent nor refused yet
        self._withdrawn: set[str] = set()
        self._draining: set[str] = set()
        self._stopping = ""
        self._limited_ns = {
            True: 0,
            False: 0,
        }  # until when no new order (True), no cancel (False) by the connection
        self.on_clock_skew: Callable[[], None] | None = None
        self.on_sent: Callable[[PlaceOrder], None] | None = None

    # --- latches ------------------------------------------------------------------------------

    def latch(self, instrument: str, legs: tuple[Leg, ...]) -> None:
        """Refuse entries of these legs from now on, those that wait included."""
        self._latched.update((instrument, leg) for leg in legs)

    def unlatch(self, instrument: str, legs: tuple[Leg, ...]) -> None:
        """Allow entries of these legs again."""
        self._latched.difference_update((instrument, leg) for leg in legs)

    def stop_entries(self, reason: str) -> None:
        """The daemon goes down: refuse entries for good."""
        self._stopping = reason or "stopping"

    def _held(self, order: PlaceOrder) -> str:
        """Why an entry may not leave; empty when it may."""
        if order.purpose.reduces:
            return ""
        if self._stopping:
            return f"the daemon is stopping: {self._stopping}"
        if (order.instrument, order.leg) in self._latched:
            return f"{order.leg.value} is latched by a flatten"
        return ""

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
        waiting = self._waiting.get(order.instrument)
        if waiting is None:
            self._refuse(order, f"{order.instrument} is not traded here")
            return
        if len(waiting) >= self._bounds.waiting:
            self._refuse(order, f"{self._bounds.waiting} orders wait already")
            return
        waiting.append(order)
        self._unsent.add(order.client_order_id)
        if order.instrument not in self._draining:
            self._draining.add(order.instrument)
            self._spawn(self._drain(order.instrument))

    async def _drain(self, instrument: str) -> None:
        waiting = self._waiting[instrument]
        try:
            while waiting:
                await self._send_batch(waiting)
        finally:
            self._draining.discard(instrument)

    async def _send_batch(self, waiting: deque[PlaceOrder]) -> None:
        """Send what waits now. Reducing orders overtake entries only when the journal is late or broken."""
        batch = len(waiting)
        problem = await self._durable_within(self._bounds.reducing_s)
        stops: list[asyncio.Future[None]] = []
        if problem:
            held = deque(waiting.popleft() for _ in range(batch))
            for order in [order for order in held if order.purpose.reduces]:
                _log.warning("sent before it was durable", order=order.client_order_id, why=problem)
                self._send(order, stops)
            entries = [order for order in held if not order.purpose.reduces]
            if entries and problem == "late":
                problem = await self._durable_within(self._bounds.entry_s)
            for order in entries:
                if problem:
                    self._refuse(order, f"the journal is {problem}")
                else:
                    await self._send_entry(order, stops)
            return
        for _ in range(batch):
            order = waiting.popleft()
            if order.purpose.reduces:
                self._send(order, stops)
            else:
                await self._send_entry(order, stops)

    async def _durable_within(self, limit_s: float) -> str:
        """Wait for the journal; empty when all is durable, else "late" or what broke it."""
        try:
            async with asyncio.timeout(limit_s):
                await self._durable()
        except TimeoutError:
            return "late"
        except JournalError as error:
            return f"broken: {error}"
        return ""

    async def _send_entry(self, order: PlaceOrder, stops: "list[asyncio.Future[None]]") -> None:
        if stops:
            await asyncio.wait(stops, timeout=self._bounds.stop_answer_s)
            stops.clear()
        self._send(order, stops)

    def _send(self, order: PlaceOrder, stops: "list[asyncio.Future[None]]") -> None:
        """Everything from the last check to the wire happens in one go."""
        coid = order.client_order_id
        self._unsent.discard(coid)
        if coid in self._withdrawn:
            self._withdrawn.discard(coid)
            reason = "withdrawn before it was sent"
            closed = OrderClosed(
                instrument=order.instrument,
                client_order_id=coid,
                how="CANCELED",
                filled_qty=ZERO,
                reason=reason,
            )
            self._teller.tell(closed)
            return
        if reason := self._held(order):
            self._refuse(order, reason)
            return
        raw = order.kind is OrderKind.STOP_MARKET or not self._trading.connected
        if raw and order.purpose is Purpose.ENTRY:
            self._refuse(order, "the trading connection is down")
            return
        if not raw and (reason := self._wait(new_order=True)):
            self._refuse(order, reason)
            return
        try:
            algo = order.kind is OrderKind.STOP_MARKET
            self._inflight.sent(order.instrument, coid, self._mono_ns(), algo=algo)
        except TooManyInFlight as error:
            self._refuse(order, str(error))
            return
        self._stats.orders_submitted[order.purpose.name.lower()] += 1
        if self.on_sent is not None:
            self.on_sent(order)
        try:
            if raw:
                self._remember(order)
                answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                stops.append(answered)
                self._spawn(self._send_raw(order, answered))
            else:
                self._trading.submit(order)
        except VenueError as error:
            self._inflight.ended(coid)
            self._refuse(order, str(error))

    def _remember(self, order: PlaceOrder) -> None:
        if self._trading.connected:
            self._trading.remember(order)

    async def _send_raw(self, order: PlaceOrder, answered: "asyncio.Future[None]") -> None:
        coid = order.client_order_id
        try:
            venue_order_id = await self._calls.place(self._symbols[order.instrument], order)
        except VenueCallError as error:
            self.order_failed(order.instrument, coid, error.failure)
            return
        finally:
            if not answered.done():
                answered.set_result(None)
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
        if failure.kind is not Kind.AMBIGUOUS:
            reason = failure.reason or failure.kind.value
            self._teller.tell(
                OrderRejected(instrument=instrument, client_order_id=coid, code=failure.code, reason=reason)
            )
            return
        item = self._inflight.order(coid)
        if item is None:
            return  # the stream has told its fate already
        item.unanswered = item.unanswered and failure.code == 0 and failure.status == 0
        self._teller.tell(OrderUnknown(instrument=instrument, client_order_id=coid, reason=failure.reason))
        self._ask(item)

    # --- cancelling ---------------------------------------------------------------------------

    def cancel(self, command: CancelOrder) -> None:
        """Cancel one order; a cancel never waits for the journal."""
        coid = command.client_order_id
        if coid in self._unsent:
            self._withdrawn.add(coid)
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
        self._unsent.discard(order.client_order_id)
        self._withdrawn.discard(order.client_order_id)
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

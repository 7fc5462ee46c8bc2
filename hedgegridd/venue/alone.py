"""Flattens through the signed client alone: carries out the calls of `core.flatten_alone` until it has its answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine

from hedgegridd import messages as m
from hedgegridd.core.flatten_alone import Call, FlattenAlone, Now
from hedgegridd.errors import VenueError
from hedgegridd.model import LEGS, ZERO, Instrument, Leg
from hedgegridd.venue import wire
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import CLOCK_SKEW
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.resolver import failed
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.safety import Safety

RULES_AGAIN_S = 1.0
UNREAD = m.VenueAccount(  # a flatten does not ask for it: one call less that can fail
    wallet_usdt=ZERO,
    margin_balance_usdt=ZERO,
    maint_margin_usdt=ZERO,
    initial_margin_usdt=ZERO,
    available_usdt=ZERO,
    unrealized_usdt=ZERO,
)

type Say = Callable[[str], None]


class _NoBooks:
    """There is no NautilusTrader whose books would have to follow."""

    connected = False

    def remember(self, order: m.PlaceOrder) -> None:
        raise VenueError(f"nobody keeps books of {order.client_order_id}")


class RawVenue:
    """Each call of the flatten as one event, whatever happens; a refusal for our clock is mended and repeated once."""

    def __init__(self, calls: VenueCalls, symbols: dict[str, str]) -> None:
        self._calls = calls
        self._symbols = symbols
        self._ids = {symbol: name for name, symbol in symbols.items()}
        self._safety = Safety(
            calls,
            symbols,
            trading=_NoBooks(),
            inflight=InFlight(),
            # No entry leaves from here, and a countdown that the daemon has left running does no harm.
            interlock=Interlock(symbols, enabled=False, wall_ns=time.time_ns, mono_ns=time.monotonic_ns),
            wall_ns=time.time_ns,
            mono_ns=time.monotonic_ns,
        )

    async def do(self, call: Call) -> m.Event:
        """Carry it out."""
        try:
            return await self._mended(call)
        except Exception as error:  # noqa: BLE001  # a bug of ours must not leave a position open: told, tried again
            return m.VenueFailed(token=call.token, ambiguous=True, code=0, reason=repr(error))

    async def _mended(self, call: Call) -> m.Event:
        event = await self._do(call)
        if not isinstance(event, m.VenueFailed) or event.code != CLOCK_SKEW:
            return event
        try:
            await self._calls.http.sync_clock()
        except VenueCallError:
            return event
        return await self._do(call)

    async def rules(self) -> list[Instrument]:
        """The rules of the instruments. Raises VenueCallError or FilterError."""
        info = await self._calls.exchange_info()
        return [
            wire.instrument(symbol, self._ids[symbol.symbol], symbol.maintMarginPercent / 100)
            for symbol in info.symbols
            if symbol.symbol in self._ids
        ]

    async def _do(self, call: Call) -> m.Event:
        match call:
            case m.CancelRaw():
                return await self._safety.cancel(call)
            case m.CloseRaw():
                return await self._safety.close(call)
            case m.ReadTruth():
                return await self._read(call)
            case m.AskOrder():
                return await self._ask(call)

    async def _ask(self, call: m.AskOrder) -> m.Event:
        try:
            order = await self._calls.order(self._symbols[call.instrument], call.client_order_id)
        except VenueCallError as error:
            return failed(call.token, error)
        return m.VenueDone(
            token=call.token,
            status="EXPIRED" if order.status == "EXPIRED_IN_MATCH" else order.status,
            filled_qty=order.executedQty,
            average_price=order.avgPrice or None,
        )

    async def _read(self, call: m.ReadTruth) -> m.Event:
        asked_ns, asked_mono_ns = time.time_ns(), time.monotonic_ns()
        ids = {self._symbols[name]: name for name in call.instruments}
        try:
            rows, orders = await asyncio.gather(
                self._calls.positions(),
                asyncio.gather(*(self._orders(symbol, name) for symbol, name in ids.items())),
            )
        except VenueCallError as error:
            return failed(call.token, error)
        except ValueError as error:  # an order or a position that is on neither leg
            return m.VenueFailed(token=call.token, ambiguous=False, code=0, reason=str(error))
        if reason := wire.on_no_leg(rows, ids):
            return m.VenueFailed(token=call.token, ambiguous=False, code=0, reason=reason)
        return m.VenueTruth(
            token=call.token,
            instruments=call.instruments,
            account=UNREAD,
            legs=wire.legs(rows, ids, {}),
            orders=tuple(order for found in orders for order in found),
            asked_ns=asked_ns,
            asked_mono_ns=asked_mono_ns,
            answered_ns=time.time_ns(),
        )

    async def _orders(self, symbol: str, name: str) -> list[m.VenueOrder]:
        plain, algos = await asyncio.gather(self._calls.open_orders(symbol), self._calls.open_algos(symbol))
        return [
            *(wire.open_order(row, name) for row in plain),
            *(wire.algo_order(row, name) for row in algos),
        ]


class Run:
    """One flatten: `say` hears its stages in words."""

    def __init__(self, venue: RawVenue, symbols: dict[str, str], *, epoch: str, say: Say) -> None:
        self._venue = venue
        self._symbols = symbols
        self._flatten = FlattenAlone(symbols, epoch)
        self._say = say
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._bug: BaseException | None = None

    async def run(self, reason: str, deadline_s: float, legs: tuple[Leg, ...] = LEGS) -> m.FlattenAnswer:
        """The legs of all instruments, until the venue reports nothing or `deadline_s` has passed."""
        order = m.Flatten(legs=legs, reason=reason, deadline_s=deadline_s)
        first = self._flatten.begin(order, _now())
        self._flatten.said.clear()  # that entries are refused: there is no strategy here
        self._start(first)
        self._go(self._rules())
        try:
            while self._flatten.answer is None:
                await self._wait()
                if self._bug is not None:
                    raise self._bug
                self._start(self._flatten.woke(_now()))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._flatten.answer

    async def _wait(self) -> None:
        """Until a call has been answered or a timer is due."""
        at_ns = self._flatten.next_mono_ns
        left_s = None if at_ns is None else max(0, at_ns - time.monotonic_ns()) / 1e9
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), left_s)
        self._news.clear()

    def _start(self, calls: list[Call]) -> None:
        for said in self._flatten.said:
            self._say(f"{self._symbols[said.instrument]} {said.what}")
        self._flatten.said.clear()
        for call in calls:
            self._go(self._carry_out(call))

    def _go(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bug = task.exception()
            self._news.set()

    async def _carry_out(self, call: Call) -> None:
        event = await self._venue.do(call)
        if isinstance(call, m.CancelRaw) and isinstance(event, m.VenueDone):
            self._say(f"{self._symbols[call.instrument]} cancelled {_what(call)}")
        self._start(self._flatten.take(event, _now()))
        self._news.set()

    async def _rules(self) -> None:
        """The largest market order is told by the venue; until then closes are sent whole."""
        while True:
            try:
                found = await self._venue.rules()
            except VenueError as error:
                self._say(f"lot sizes not read: {error}")
            except wire.FilterError as error:
                self._say(f"lot sizes unknown: {error}")
                return
            else:
                for rule in found:
                    self._start(self._flatten.take(m.InstrumentReady(instrument=rule), _now()))
                return
            await asyncio.sleep(RULES_AGAIN_S)


def _what(call: m.CancelRaw) -> str:
    if call.all_orders:
        return "all entries and take-profits"
    count = len(call.client_order_ids)
    return f"{count} {'stop' if call.algo else 'order'}{'' if count == 1 else 's'}"


def _now() -> Now:
    return Now(time.time_ns(), time.monotonic_ns())

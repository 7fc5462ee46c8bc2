"""Asks the venue by client order id what became of an order or a cancel, until the venue has said it."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

from hedgegridd.messages import (
    AskOrder,
    CancelRejected,
    Event,
    Fill,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    VenueDone,
    VenueFailed,
)
from hedgegridd.model import Leg, Side
from hedgegridd.venue import wire
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import NO_SUCH_ORDER, Kind
from hedgegridd.venue.inflight import Flying, InFlight
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.told import NOT_FOUND, Teller

MISSING_GAP_NS = 2_000_000_000  # "not found" counts when it is said twice, this far apart
LATE_MARGIN_NS = 1_000_000_000  # beyond recvWindow: a request that was never answered cannot arrive after it
PAUSE_S = 0.5
PAUSE_MAX_S = 10.0
ASKS_MAX = 10
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_RESTING = frozenset({"NEW", "PARTIALLY_FILLED"})


class Fate:
    """What the venue says of one order: its status, and the ordinary order behind it if there is one."""

    def __init__(self, status: str, order: wire.OpenOrder | None, venue_order_id: str, ts_ms: int) -> None:
        self.status = "EXPIRED" if status == "EXPIRED_IN_MATCH" else status
        self.order = order
        self.venue_order_id = venue_order_id
        self.ts_ns = ts_ms * _NS_PER_MS

    @property
    def filled_qty(self) -> Decimal:
        """Cumulative fill."""
        return self.order.executedQty if self.order else Decimal(0)


class Resolver:
    """Questions about single orders, a bounded number at a time."""

    def __init__(
        self,
        calls: VenueCalls,
        symbols: dict[str, str],
        *,
        inflight: InFlight,
        teller: Teller,
        mono_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls = calls
        self._symbols = symbols
        self._inflight = inflight
        self._teller = teller
        self._mono_ns = mono_ns
        self._sleep = sleep
        self._asks = asyncio.Semaphore(ASKS_MAX)

    async def resolve(self, item: Flying) -> None:
        """Ask until the fate of the order (or cancel) is known, and tell it."""
        item.asking = True
        try:
            await self._resolve(item)
        finally:
            item.asking = False

    async def answer(self, ask: AskOrder) -> Event:
        """One question, answered by token: `VenueDone` with its status, or `VenueFailed`.

        -2013: not found, and it cannot arrive any more; until then the answer is ambiguous.
        """
        try:
            fate = await self._ask(ask.instrument, ask.client_order_id, algo=ask.algo)
            await self._tell_fills(ask.instrument, fate)
        except VenueCallError as error:
            item = self._inflight.order(ask.client_order_id)
            missing = error.failure.code == NO_SUCH_ORDER
            if missing and item is not None and self._mono_ns() < self._latest_arrival_ns(item):
                reason = "the venue does not know it yet, and it may still arrive"
                return VenueFailed(token=ask.token, ambiguous=True, code=0, reason=reason)
            return failed(ask.token, error)
        order = fate.order
        return VenueDone(
            token=ask.token,
            status=fate.status,
            filled_qty=fate.filled_qty,
            average_price=order.avgPrice if order and order.avgPrice else None,
        )

    # --- inside -------------------------------------------------------------------------------

    def _is_open(self, item: Flying) -> bool:
        table = self._inflight.cancel if item.cancel else self._inflight.order
        return table(item.client_order_id) is item

    async def _resolve(self, item: Flying) -> None:
        first_miss_ns: int | None = None
        pause_s = PAUSE_S
        while self._is_open(item):
            try:
                fate = await self._ask(item.instrument, item.client_order_id, algo=item.algo)
            except VenueCallError as error:
                if error.failure.code == NO_SUCH_ORDER:
                    now_ns = self._mono_ns()
                    first_miss_ns = now_ns if first_miss_ns is None else first_miss_ns
                    left_ns = max(first_miss_ns + MISSING_GAP_NS, self._latest_arrival_ns(item)) - now_ns
                    if left_ns <= 0:
                        self._tell_missing(item)
                        return
                    await self._sleep(left_ns / _NS_PER_S)
                    continue
                await self._sleep(max(pause_s, error.failure.retry_after_s))
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                continue
            try:
                await self._tell_fills(item.instrument, fate)
            except VenueCallError as error:
                await self._sleep(max(pause_s, error.failure.retry_after_s))
                continue
            self._tell_fate(item, fate)
            return

    def _latest_arrival_ns(self, item: Flying) -> int:
        """Until when a request without any answer may still be taken by the venue."""
        if not item.unanswered or item.cancel:
            return 0
        return item.sent_ns + self._calls.http.recv_window_ms * _NS_PER_MS + LATE_MARGIN_NS

    async def _ask(self, instrument: str, client_order_id: str, *, algo: bool) -> Fate:
        symbol = self._symbols[instrument]
        async with self._asks:
            if not algo:
                order = await self._calls.order(symbol, client_order_id)
                return Fate(order.status, order, str(order.orderId), order.updateTime)
            found = await self._calls.algo(client_order_id)
            if not found.actualOrderId:
                return Fate(found.algoStatus, None, str(found.algoId), found.updateTime)
            order = await self._calls.order(symbol, client_order_id, venue_order_id=str(found.actualOrderId))
            return Fate(order.status, order, str(order.orderId), order.updateTime)

    async def _tell_fills(self, instrument: str, fate: Fate) -> None:
        order = fate.order
        if order is None or order.executedQty == 0:
            return
        rows = await self._calls.trades(order.symbol, order_id=order.orderId)
        filled = Decimal(0)
        for row in rows:
            filled += row.qty
            self._teller.tell(fill_of(row, instrument, order.clientOrderId, filled))

    def _tell_fate(self, item: Flying, fate: Fate) -> None:
        coid, instrument = item.client_order_id, item.instrument
        if fate.status in _RESTING or fate.status in {"TRIGGERING", "TRIGGERED"}:
            self._teller.tell(
                OrderAccepted(
                    instrument=instrument,
                    client_order_id=coid,
                    venue_order_id=fate.venue_order_id,
                    algo=item.algo and fate.order is None,
                    ts_ns=fate.ts_ns,
                )
            )
            if item.cancel and self._is_open(item):
                reason = f"the order still works ({fate.status})"
                self._teller.tell(
                    CancelRejected(instrument=instrument, client_order_id=coid, code=0, reason=reason)
                )
            return
        if fate.status == "REJECTED":
            self._teller.tell(
                OrderRejected(instrument=instrument, client_order_id=coid, code=0, reason="rejected")
            )
            return
        self._teller.tell(
            OrderClosed(
                instrument=instrument,
                client_order_id=coid,
                how="EXPIRED" if fate.status == "FINISHED" else fate.status,
                filled_qty=fate.filled_qty,
                reason="asked",
                ts_ns=fate.ts_ns,
            )
        )

    def _tell_missing(self, item: Flying) -> None:
        coid, instrument = item.client_order_id, item.instrument
        if item.cancel:
            self._teller.tell(
                OrderClosed(
                    instrument=instrument,
                    client_order_id=coid,
                    how=NOT_FOUND,
                    reason="the venue does not know it",
                )
            )
            return
        self._teller.tell(
            OrderRejected(
                instrument=instrument,
                client_order_id=coid,
                code=NO_SUCH_ORDER,
                reason="the venue does not know it: it never arrived",
            )
        )


def fill_of(row: wire.UserTrade, instrument: str, client_order_id: str, filled: Decimal | None) -> Fill:
    """A row of userTrades as a fill; `filled` is the order's cumulative quantity where known."""
    return Fill(
        instrument=instrument,
        leg=Leg(row.positionSide),
        client_order_id=client_order_id,
        venue_order_id=str(row.orderId),
        trade_id=str(row.id),
        side=Side(row.side),
        price=row.price,
        qty=row.qty,
        commission=row.commission,
        commission_asset=row.commissionAsset,
        maker=row.maker,
        ts_ns=row.time * _NS_PER_MS,
        order_filled_qty=filled,
    )


def failed(token: str, error: VenueCallError) -> VenueFailed:
    """A failed call as the event its asker waits for."""
    failure = error.failure
    return VenueFailed(
        token=token,
        ambiguous=failure.kind is Kind.AMBIGUOUS,
        code=failure.code,
        reason=failure.reason,
        retry_after_s=failure.retry_after_s,
    )

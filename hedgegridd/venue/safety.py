"""Cancels and closes of a flatten, through the signed client and past everything else."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from hedgegridd.errors import VenueError
from hedgegridd.messages import (
    CancelRaw,
    CloseRaw,
    Event,
    PlaceOrder,
    SetCountdown,
    SweepEntries,
    VenueDone,
    VenueFailed,
)
from hedgegridd.model import OrderKind, Purpose, parse_client_order_id
from hedgegridd.venue.calls import BATCH, VenueCalls
from hedgegridd.venue.failures import CANCEL_REJECTED, NO_SUCH_ORDER, Failure, Kind
from hedgegridd.venue.inflight import InFlight, TooManyInFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.resolver import failed
from hedgegridd.venue.rest import VenueCallError

_BATCH_PATH = "DELETE /fapi/v1/batchOrders"
_GONE = frozenset({CANCEL_REJECTED, NO_SUCH_ORDER})


class Books(Protocol):
    """What a flatten needs of the trading connection (`port.Trading`): that its books follow."""

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        ...

    def remember(self, order: PlaceOrder) -> None:
        """Put the close into its books. Raises VenueError."""
        ...


class Safety:
    """Each call returns the event its asker waits for; nothing here is retried."""

    def __init__(
        self,
        calls: VenueCalls,
        symbols: dict[str, str],
        *,
        trading: Books,
        inflight: InFlight,
        interlock: Interlock,
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
    ) -> None:
        self._calls = calls
        self._symbols = symbols
        self._trading = trading
        self._inflight = inflight
        self._interlock = interlock
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns

    async def cancel(self, command: CancelRaw) -> Event:
        """Cancel all ordinary orders of the symbol, or the named ones; gone already counts as done."""
        try:
            await self._cancel(command)
        except VenueCallError as error:
            return failed(command.token, error)
        return VenueDone(token=command.token, status="CANCELED")

    async def countdown(self, command: SetCountdown) -> Event:
        """Set or disarm the venue's countdown of an instrument; entries may leave while one surely runs."""
        ms = command.countdown_ms
        until_ns, until_mono = self._wall_ns() + ms * 1_000_000, self._mono_ns() + ms * 1_000_000
        ticket = self._interlock.ticket
        if not ms:
            self._interlock.disarmed(command.instrument)
        try:
            await self._calls.countdown(self._symbols[command.instrument], ms)
        except VenueCallError as error:
            return failed(command.token, error)
        if ms:
            self._interlock.armed(command.instrument, until_ns, until_mono, ticket)
        return VenueDone(token=command.token)

    async def sweep(self, command: SweepEntries) -> Event:
        """Cancel every entry of ours; done when the venue reports none and none is under way."""
        try:
            await self.sweep_entries()
            left = sum([len(await self._entries(symbol)) for symbol in self._symbols.values()])
        except VenueCallError as error:
            return failed(command.token, error)
        under_way = sum(1 for coid in self._inflight.order_ids if _is_entry(coid))
        if left or under_way:
            reason = f"{left} entries still rest, {under_way} are under way"
            return VenueFailed(token=command.token, ambiguous=False, code=0, reason=reason)
        return VenueDone(token=command.token, status="SWEPT")

    async def _entries(self, symbol: str) -> tuple[str, ...]:
        orders = await self._calls.open_orders(symbol)
        return tuple(order.clientOrderId for order in orders if _is_entry(order.clientOrderId))

    async def sweep_entries(self) -> dict[str, int]:
        """Ask for open orders and cancel every entry of ours; how many there were, per instrument.

        The last thing before the connection goes: when a part of the daemon broke nobody else does it.

        Raises:
            VenueCallError: the venue did not answer, or refused.
        """
        found: dict[str, int] = {}
        for instrument, symbol in self._symbols.items():
            ids = await self._entries(symbol)
            if ids:
                found[instrument] = len(ids)
                chunks = [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]
                await _all([self._cancel_batch(symbol, chunk) for chunk in chunks])
        return found

    async def _cancel(self, command: CancelRaw) -> None:
        symbol = self._symbols[command.instrument]
        if command.all_orders:
            await self._calls.cancel_all(symbol)
        ids = command.client_order_ids
        if command.algo:
            await _all([self._cancel_algo(coid) for coid in ids])
        else:
            chunks = [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]
            await _all([self._cancel_batch(symbol, chunk) for chunk in chunks])

    async def _cancel_algo(self, client_order_id: str) -> None:
        try:
            await self._calls.cancel_algo(client_order_id)
        except VenueCallError as error:
            if error.failure.code not in _GONE:
                raise

    async def _cancel_batch(self, symbol: str, ids: tuple[str, ...]) -> None:
        results = await self._calls.cancel_batch(symbol, ids)
        if len(results) != len(ids):
            reason = f"{len(results)} answers to {len(ids)} cancels"
            raise VenueCallError(_BATCH_PATH, Failure(kind=Kind.AMBIGUOUS, reason=reason))
        for coid, result in zip(ids, results, strict=True):
            if result.code < 0 and result.code not in _GONE:
                failure = Failure(kind=Kind.REFUSED, code=result.code, reason=f"{coid}: {result.msg}")
                raise VenueCallError(_BATCH_PATH, failure)

    async def close(self, command: CloseRaw) -> Event:
        """Close at market. While its answer is open the order counts as in flight."""
        coid = command.client_order_id
        self._remember(command)
        # A full table is no reason to keep a position: the close is then followed by its asker alone.
        with contextlib.suppress(TooManyInFlight):
            self._inflight.sent(command.instrument, coid, self._mono_ns(), algo=False)
        self._calls.orders.sent(self._mono_ns())
        try:
            placed = await self._calls.close_leg(self._symbols[command.instrument], command)
        except VenueCallError as error:
            item = self._inflight.order(coid)
            if error.failure.kind is not Kind.AMBIGUOUS:
                self._inflight.ended(coid)
            elif item is not None:
                # The asker asks by `AskOrder`; the 2 s rule asks as well, for our books.
                item.unanswered = error.failure.status == 0
            return failed(command.token, error)
        self._inflight.ordered(coid)
        return VenueDone(
            token=command.token,
            status=placed.status,
            filled_qty=placed.executedQty,
            average_price=placed.avgPrice or None,
        )

    def _remember(self, command: CloseRaw) -> None:
        """NautilusTrader's books follow where they can; a close never fails because they cannot."""
        if not self._trading.connected:
            return
        order = PlaceOrder(
            instrument=command.instrument,
            leg=command.leg,
            purpose=Purpose.CLOSE,
            level=0,
            client_order_id=command.client_order_id,
            side=command.leg.exit_side,
            kind=OrderKind.MARKET,
            qty=command.qty,
        )
        try:
            self._trading.remember(order)
        except VenueError:
            return


def _is_entry(client_order_id: str) -> bool:
    tag = parse_client_order_id(client_order_id)
    return tag is not None and tag.purpose is Purpose.ENTRY


async def _all(calls: Sequence[Awaitable[None]]) -> None:
    """Run them all to their end, then raise the first failure: one refusal must not keep others from leaving."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome

"""Reads the venue's truth: account, legs, orders; and the history that the user stream did not bring."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from hedgegridd.messages import (
    Event,
    IncomeBooked,
    ReadTruth,
    VenueAccount,
    VenueAction,
    VenueFailed,
    VenueOrder,
    VenueTruth,
)
from hedgegridd.model import Leg
from hedgegridd.venue import wire
from hedgegridd.venue.calls import NEVER_INCOME, PAGE, VenueCalls
from hedgegridd.venue.feed import Feed
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.resolver import failed, fill_of
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.told import Teller
from hedgegridd.venue.user_stream import own_kind

PAGES_MAX = 10  # of trades or income in one reading; the cursor stands where it stopped, the next goes on
ORDER_NAMES_MAX = 20_000
FUNDING = "FUNDING_FEE"
FIRST_LOOK_MS = 60_000
OVERLAP_MS = 5_000
_NS_PER_MS = 1_000_000


class TruthReader:
    """Readings one at a time or several: they share cursors, and the teller dedups what they bring."""

    def __init__(
        self,
        calls: VenueCalls,
        symbols: dict[str, str],
        feeds: dict[str, Feed],
        *,
        inflight: InFlight,
        teller: Teller,
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
        waiting: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """`waiting`: client order ids of orders that have not left yet."""
        self._calls = calls
        self._symbols = symbols
        self._ids = {symbol: instrument for instrument, symbol in symbols.items()}
        self._feeds = feeds
        self._inflight = inflight
        self._waiting = waiting
        self._teller = teller
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._trades: dict[str, int] = {}
        self._funding_ms: int | None = None
        self._rest_ms: int | None = None
        self._floors_ms = (0, 0)  # of funding and the rest: what lies before was told by a process before us
        self._names: OrderedDict[int, str] = OrderedDict()  # client order id by the venue's
        self._history = asyncio.Lock()

    def named(self, venue_order_id: str, client_order_id: str) -> None:
        """Remember which order of ours the venue's number is: trades carry only the latter."""
        if not venue_order_id.isdigit():
            return
        self._names[int(venue_order_id)] = client_order_id
        if len(self._names) > ORDER_NAMES_MAX:
            self._names.popitem(last=False)

    async def read(self, command: ReadTruth) -> Event:
        """`VenueTruth` after its missing fills and income have been told, or `VenueFailed`."""
        try:
            return await self._read(command)
        except VenueCallError as error:
            return failed(command.token, error)
        except wire.NoLeg as error:
            return VenueFailed(token=command.token, ambiguous=False, code=0, reason=str(error))

    async def read_account(self) -> VenueAccount:
        """The account's figures alone. Raises VenueCallError."""
        return (await self._calls.account()).ours()

    async def read_income(self) -> int:
        """Tell wallet movements since the cursors; how many were news. Raises VenueCallError.

        Does nothing before the first reading of the truth has set the cursors.
        """
        async with self._history:
            if self._funding_ms is None or self._rest_ms is None:
                return 0
            return await self._income_since(self._funding_ms, self._rest_ms)

    # --- inside -------------------------------------------------------------------------------

    async def _read(self, command: ReadTruth) -> VenueTruth:
        asked_ns, asked_mono_ns = self._wall_ns(), self._mono_ns()
        in_flight = {*self._inflight.order_ids, *self._waiting()}
        account, positions, orders = await asyncio.gather(
            self._calls.account(), self._calls.positions(), self._orders(command.instruments)
        )
        ids = {self._symbols[name]: name for name in command.instruments}
        if reason := wire.on_no_leg(positions, ids):
            raise wire.NoLeg(reason)
        if command.history:
            async with self._history:
                for instrument in command.instruments:
                    await self._read_trades(instrument, command.trades_from.get(instrument))
                await self._read_income(command)
        marks = {name: mark for name, feed in self._feeds.items() if (mark := feed.mark) is not None}
        # An order whose outcome came while we read may be missing in the answer: it is open to both.
        in_flight |= {*self._inflight.order_ids, *self._waiting()}
        return VenueTruth(
            token=command.token,
            instruments=command.instruments,
            account=account.ours(),
            legs=wire.legs(positions, ids, marks),
            orders=orders,
            elsewhere_usdt=wire.unrealized_elsewhere(positions, self._ids),
            in_flight=tuple(sorted(in_flight)),
            trade_cursor={name: self._trades[name] for name in command.instruments if name in self._trades},
            income_cursor_ms=self._rest_ms,
            funding_cursor_ms=self._funding_ms,
            asked_ns=asked_ns,
            asked_mono_ns=asked_mono_ns,
            answered_ns=self._wall_ns(),
        )

    async def _orders(self, instruments: tuple[str, ...]) -> tuple[VenueOrder, ...]:
        tasks = [self._orders_of(name) for name in instruments]
        return tuple(order for orders in await asyncio.gather(*tasks) for order in orders)

    async def _orders_of(self, instrument: str) -> list[VenueOrder]:
        symbol = self._symbols[instrument]
        plain, algos = await asyncio.gather(self._calls.open_orders(symbol), self._calls.open_algos(symbol))
        for row in plain:
            self.named(str(row.orderId), row.clientOrderId)
        return [
            *(wire.open_order(row, instrument) for row in plain),
            *(wire.algo_order(row, instrument) for row in algos),
        ]

    async def _read_trades(self, instrument: str, told_before: int | None) -> None:
        symbol = self._symbols[instrument]
        cursor = self._trades.get(instrument, told_before)
        if cursor is None:
            newest = await self._calls.trades(symbol, limit=1)
            self._trades[instrument] = newest[-1].id if newest else 0
            return
        for _ in range(PAGES_MAX):
            rows = await self._calls.trades(symbol, from_id=cursor + 1)
            for row in rows:
                await self._tell_trade(row, instrument)
                cursor = max(cursor, row.id)
            self._trades[instrument] = cursor
            if len(rows) < PAGE:
                return

    async def _tell_trade(self, row: wire.UserTrade, instrument: str) -> None:
        if self._teller.knows_fill(instrument, str(row.id)):
            return
        name = self._names.get(row.orderId)
        if name is None:
            order = await self._calls.order(row.symbol, "", venue_order_id=str(row.orderId))
            name = order.clientOrderId
            self.named(str(row.orderId), name)
        if self._teller.tell(fill_of(row, instrument, name, None)) and (kind := own_kind(name)):
            # Nobody heard it when it happened: we were away, or the stream was.
            detail = f"{row.side} {row.qty} @ {row.price}, order {row.orderId}, found in the history"
            leg = Leg(row.positionSide)
            self._teller.tell(VenueAction(kind=kind, instrument=instrument, leg=leg, detail=detail))

    async def _read_income(self, command: ReadTruth) -> None:
        if self._funding_ms is not None and self._rest_ms is not None:
            await self._income_since(self._funding_ms, self._rest_ms)
            return
        if command.income_from_ms is None:
            # Our books begin now: what is in the wallet already is not news.
            rows = await self._calls.income(since_ms=None, income_type=FUNDING)
            for row in rows:
                self._teller.skip_income(_income_id(row))
            self._funding_ms = max((row.time for row in rows), default=0)
            # Begun a little back, so that no error of the clocks hides what comes next.
            since_ms = self._calls.http.now_ms() - FIRST_LOOK_MS
            rows = await self._calls.income(since_ms=since_ms)
            for row in rows:
                self._teller.skip_income(_income_id(row))
            self._rest_ms = max((row.time for row in rows if row.incomeType != FUNDING), default=since_ms)
            self._floors_ms = (0, since_ms)
            return
        # After a restart: the millisecond of the cursor itself has been told by the process before.
        funding_ms = (
            command.funding_from_ms if command.funding_from_ms is not None else command.income_from_ms
        )
        self._floors_ms = (funding_ms + 1, command.income_from_ms + 1)
        await self._income_since(funding_ms, command.income_from_ms)

    async def _income_since(self, funding_ms: int, rest_ms: int) -> int:
        """Tell what is new since the cursors, and in a short time before them in which late bookings may lie."""
        funding_floor_ms, rest_floor_ms = self._floors_ms
        news, newest_ms = await self._pages(max(funding_floor_ms, funding_ms - OVERLAP_MS), FUNDING)
        self._funding_ms = max(funding_ms, newest_ms)
        more, newest_ms = await self._pages(max(rest_floor_ms, rest_ms - OVERLAP_MS), None)
        self._rest_ms = max(rest_ms, newest_ms)
        return news + more

    async def _pages(self, since_ms: int, income_type: str | None) -> tuple[int, int]:
        """Tell what is new at and after `since_ms`; how many were news, and the time of the newest row (else 0)."""
        news = newest_ms = 0
        for _ in range(PAGES_MAX):
            rows = await self._calls.income(since_ms=since_ms or None, income_type=income_type)
            before_ms = since_ms
            for row in rows:
                if income_type is None and row.incomeType == FUNDING:
                    continue  # read by itself: its times are the market's, which may run ahead of the wall's
                newest_ms = max(newest_ms, row.time)
                since_ms = max(since_ms, row.time)
                if row.incomeType not in NEVER_INCOME:
                    news += self._teller.tell(self._income(row))
            if len(rows) < PAGE:
                break
            if since_ms == before_ms:
                since_ms += 1  # a full page of one millisecond: more of it cannot be asked for
        return news, newest_ms

    def _income(self, row: wire.Income) -> IncomeBooked:
        return IncomeBooked(
            income_id=_income_id(row),
            kind=row.incomeType,
            asset=row.asset,
            amount=row.income,
            instrument=self._ids.get(row.symbol),
            ts_ns=row.time * _NS_PER_MS,
        )


def _income_id(row: wire.Income) -> str:
    """The venue's transaction ids are unique within a type of income only."""
    return f"{row.incomeType}:{row.tranId}"

"""The venue actor: commands out to the venue, what the venue says in to the bus; holds connection, feeds and truth."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import structlog

from hedgegridd import messages as m
from hedgegridd.config import Config, Venue
from hedgegridd.errors import HedgegridError, VenueError
from hedgegridd.model import Instrument, KillState
from hedgegridd.runtime.actor import Actor
from hedgegridd.venue import patience, setup
from hedgegridd.venue.account_watch import AccountWatch
from hedgegridd.venue.bars import Bars
from hedgegridd.venue.calls import REST_URLS, VenueCalls
from hedgegridd.venue.causes import Causes
from hedgegridd.venue.failures import Failure, Kind, of_text
from hedgegridd.venue.feed import Feed
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.key_rights import KeyReader
from hedgegridd.venue.on_disk import OnDisk
from hedgegridd.venue.orders import Gate, Orders
from hedgegridd.venue.pace import Pace, of_quota
from hedgegridd.venue.port import Listener, Trading
from hedgegridd.venue.resolver import Resolver
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from hedgegridd.venue.safety import Safety
from hedgegridd.venue.sources import Sources
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.stream_doubt import StreamDoubt
from hedgegridd.venue.told import Teller
from hedgegridd.venue.truth import TruthReader
from hedgegridd.venue.user_stream import UserDecoder
from hedgegridd.venue.watch import TRADING, Channels, Watch

SWEEP_S = 5.0  # for all tries
SWEEP_AGAIN_S = 0.5
INCOME_TRIES_S = (0.0, 0.5, 2.0, 5.0)  # income may be booked a little after the event that tells of it
_PLACED = "POST /fapi/v1/order (adapter)"
_CANCELLED = "DELETE /fapi/v1/order (adapter)"
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger("venue")


class Gateway(Actor, Listener):
    """`connect` brings the venue up and returns when it is; `stop` takes it down.

    Args:
        config: the whole file.
        credentials: of the account.
        make_trading: makes the trading connection (`nautilus.for_config`).
        durable: returns when everything journaled so far is on disk; raises JournalError when it cannot be.
        wall_ns, mono_ns: the clocks.
        gate: stands in the way of entries; None: nothing does.
        references: symbols not traded here whose last price is told.
        calls_per_10s: our own quota, which entries wait for; None: none.
        warm_up_s: how far back the bars must reach at a start; what the strategy needs comes in any case.
    """

    name: ClassVar[str] = "venue"
    commands: ClassVar = (
        m.WatchPrices,
        m.PlaceOrder,
        m.CancelOrder,
        m.ReadTruth,
        m.CancelRaw,
        m.CloseRaw,
        m.AskOrder,
        m.SetCountdown,
        m.SweepEntries,
    )
    queries: ClassVar = (m.GetVenue,)
    events: ClassVar = (
        m.LegsLatched,
        m.LegsUnlatched,
        m.KillStateChanged,
        m.TripsChanged,
        m.HoldsChanged,
        m.Reconciled,
        m.Stopping,
    )
    essential: ClassVar[bool] = True
    tasks_max: ClassVar[int] = 4_096
    stop_deadline_s: ClassVar[float] = 15.0

    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        *,
        make_trading: Callable[[Listener], Trading],
        durable: Callable[[], Awaitable[None]],
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
        gate: Gate | None = None,
        references: Sequence[str] = (),
        calls_per_10s: int | None = None,
        warm_up_s: int = 0,
    ) -> None:
        self._config = config
        self._grids = config.grid
        self._mono_ns = mono_ns
        clocks = {"wall_ns": wall_ns, "mono_ns": mono_ns}
        self.http = _client(config.venue, credentials, clocks)
        self.stats = Stats(self.http.stats.calls, self.http.stats.round_trip_ns)
        self._calls = VenueCalls(self.http)
        symbols = {grid.instrument_id: grid.symbol for grid in self._grids}
        self._inflight = InFlight()
        self._doubt = StreamDoubt()
        self._teller = Teller(self._out, self._inflight, self.stats, mono_ns, self._doubt)
        self._trading = make_trading(self)
        self._feeds: dict[str, Feed] = {}
        self._bars: dict[str, Bars] = {}
        self._warm_up_s = warm_up_s
        self._rules: dict[str, Instrument] = {}
        self._decoder = UserDecoder({symbol: name for name, symbol in symbols.items()})
        self._resolver = Resolver(
            self._calls, symbols, inflight=self._inflight, teller=self._teller, mono_ns=mono_ns
        )
        self._truth = TruthReader(
            self._calls, symbols, self._feeds,
            inflight=self._inflight, teller=self._teller, **clocks,
            waiting=lambda: self._orders.waiting(),  # noqa: PLW0108  # they are made after it
        )  # fmt: skip
        interlock = Interlock(symbols, enabled=config.dead_man.enabled, **clocks)
        self._orders = Orders(
            self._calls, symbols,
            trading=self._trading, inflight=self._inflight, teller=self._teller, resolver=self._resolver,
            stats=self.stats, durable=durable, mono_ns=mono_ns, spawn=self._go, interlock=interlock, gate=gate,
            pace=Pace(of_quota(calls_per_10s), self._calls_of_10s),
        )  # fmt: skip
        self._orders.on_sent = self._observe
        self._orders.on_clock_skew = lambda: self._go(self._sync_clock())
        self._orders.on_not_trading = self._want_rules
        self._safety = Safety(
            self._calls, symbols,
            trading=self._trading, inflight=self._inflight, interlock=interlock, **clocks,
        )  # fmt: skip
        self._key = KeyReader(config.venue, credentials, self.http, **clocks)
        self._setup = AccountWatch(self._calls, self._grids, self._key, wall_ns=wall_ns, publish=self._out)
        self._orders.on_not_allowed = self._setup.doubt
        self._on_disk = OnDisk(durable)
        self._trip_id = ""  # of the account's trip that is being carried out
        self._scoped_trips: tuple[str, ...] = ()  # of instruments' and legs' trips that are being carried out
        self._channels = Channels(tuple(symbols))
        self._sources = Sources(
            self._calls, symbols, self._feeds,
            references=references, user_age_s=self._channels.user_age_s, mono_ns=mono_ns, publish=self._out,
        )  # fmt: skip
        self._account: m.VenueAccount | None = None
        self._account_ns: int | None = None
        self._causes = Causes()
        self._connected = self._polling_income = self._syncing = self._hurried = False
        self._closing = asyncio.Event()
        self._watch: Watch | None = None

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the HTTP session; `connect` does the rest."""
        await self.http.open()

    async def stop(self) -> None:
        """Cancel what entries are left, then take the connection down, whatever its state."""
        if self._rules and not self._hurried:
            await self._sweep()
        self._connected = False
        self._closing.set()
        if self._watch is not None:
            self._watch.close()
        await self._trading.disconnect()
        await self._key.close()
        await self.http.close()

    def hurry(self) -> None:
        """The next `stop` does not sweep: somebody wants us gone at once."""
        self._hurried = True

    async def connect(self) -> None:
        """Bring the venue up, for as long as it takes; says what it waits for by `StageReached`.

        Ends with `InstrumentReady` and warm-up bars of every grid, then `VenueUp`.
        """
        attempt = 0
        while not self._closing.is_set():
            attempt += 1
            self._out(m.StageReached(stage="venue", waits_for=f"the venue, try {attempt}"))
            try:
                for rule in await setup.prepare(self._calls, self._grids, self._key):
                    self._take_rule(rule)
                await self._trading.connect(float(self._config.daemon.start_deadline_s))
            except (VenueError, VenueCallError) as error:
                said, pause_s = patience.after(error, attempt)
                _log.warning("venue not up", attempt=attempt, error=said, retry_s=pause_s)
                waits_for = f"the venue: {said}; retry {attempt + 1} in {pause_s:.0f} s"
                self._out(m.StageReached(stage="venue", waits_for=waits_for))
                await asyncio.sleep(pause_s)
                continue
            break
        if self._closing.is_set():
            return
        self._connected = True
        self._doubt.opened(self._mono_ns())
        for rule in self._rules.values():
            self._out(m.InstrumentReady(instrument=rule))
        for grid in self._grids:
            await self._bars[grid.instrument_id].fill()
        watch = self._watch = Watch(
            self._config, self._calls,
            channels=self._channels, trading=self._trading, orders=self._orders, stats=self.stats,
            doubt=self._doubt, on_silent=self._compare,
            mono_ns=self._mono_ns, publish=self._out, on_account=self._polled, on_rules=self._take_rule,
            on_not_allowed=self._setup.doubt,
        )  # fmt: skip
        if any(rule.status != TRADING for rule in self._rules.values()):
            watch.want_rules()
        for work in (*watch.loops(), *self._sources.loops(), self._setup.loop()):
            self._go(work)
        self._out(m.VenueUp(weight_per_minute=self.http.weight_limit))

    def _take_rule(self, rule: Instrument) -> Instrument | None:
        """Keep the rules of an instrument; returns those known before."""
        before = self._rules.get(rule.id)
        self._rules[rule.id] = rule
        if rule.id not in self._feeds:
            grid = next(grid for grid in self._grids if grid.instrument_id == rule.id)
            feed = self._feeds[rule.id] = Feed(rule.id, rule.tick)
            self._bars[rule.id] = Bars(grid, self._calls, feed, self._out_market, warm_up_s=self._warm_up_s)
        return before

    def _calls_of_10s(self) -> int:
        return self._sources.burst() + len(self._inflight.order_ids)

    def _want_rules(self) -> None:
        """The venue refused an order because of its instrument: is it traded still?"""
        if self._watch is not None:
            self._watch.want_rules()

    def _take_account(self, account: m.VenueAccount) -> None:
        self._account, self._account_ns = account, self._mono_ns()

    def _polled(self, account: m.VenueAccount) -> None:
        self._take_account(account)
        self._out(m.AccountRead(account=account))

    # --- bus ----------------------------------------------------------------------------------

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """One message; what takes time runs in the background and is published when it is known."""
        message, cause = envelope.message, envelope.seq
        match message:
            case m.PlaceOrder():
                self._causes.taken(message.client_order_id, envelope.cause)
                self._orders.place(message, cause)
            case m.CancelOrder():
                trips = self._trips()
                if trips and not self._on_disk.passed(trips):
                    self._go(self._cancel_once_on_disk(message, cause))
                else:
                    self._leaves(cause)
                    self._orders.cancel(message)
            case m.WatchPrices():
                feed = self._feeds.get(message.instrument)
                return feed.watch(message.above, message.below) if feed else ()
            case m.ReadTruth():
                self._go(self._read(message, cause))
            case m.CancelRaw():
                self._go(
                    self._answer(self._once_on_disk(message, self._safety.cancel(message), cause), cause)
                )
            case m.CloseRaw():
                self._teller.caused(message.client_order_id, cause)
                work = self._safety.close(message)
                self._go(self._answer(self._once_on_disk(message, work, cause), cause))
            case m.SetCountdown():
                self._go(self._answer(self._safety.countdown(message), cause))
            case m.SweepEntries():
                self._orders.withdraw("the dead-man switch withdraws the entries")
                self._go(self._answer(self._safety.sweep(message), cause))
            case m.AskOrder():
                self._go(self._answer(self._resolver.answer(message), cause))
            case m.LegsLatched():
                self._orders.latch(message.instrument, message.legs)
            case m.LegsUnlatched():
                self._orders.unlatch(message.instrument, message.legs)
            case m.Stopping():
                self._orders.stop_entries(message.reason)
            case m.Reconciled():
                self._doubt.compared(self._mono_ns(), ok=message.ok)
            case m.KillStateChanged():
                self._trip_id = message.trip_id if message.state is KillState.TRIPPED else ""
                self._orders.kill_switch(message.state)
            case m.TripsChanged():
                running = (trip for trip in message.trips if trip.state is KillState.TRIPPED)
                self._scoped_trips = tuple(trip.trip_id for trip in running)
                self._orders.trips(message.trips)
            case m.HoldsChanged():
                self._orders.holds(message.source, message.holds)
            case m.GetVenue():
                return (self._view(cause),)
            case _:
                raise TypeError(f"the venue has no row for {type(message).__name__}")
        return ()

    def _out(self, event: m.Event, cause: int = 0) -> None:
        self.bus.publish(event, cause, self.name)
        if isinstance(event, m.OrderAccepted) and not event.algo:
            self._truth.named(event.venue_order_id, event.client_order_id)
            self._sources.by_connection(_PLACED, None)

    def _out_market(self, event: m.BarClosed | m.MarkPrice | m.PriceCrossed) -> None:
        now_ns = self._mono_ns()
        self._causes.told(self.bus.publish(event, 0, self.name), now_ns)

    def _go(self, work: Coroutine[None, None, None]) -> None:
        self.spawn(_run, work)

    async def _answer(self, work: Awaitable[m.Event], cause: int) -> None:
        self._out(await work, cause)

    async def _once_on_disk(
        self, command: m.CancelRaw | m.CloseRaw, work: Coroutine[None, None, m.Event], seq: int
    ) -> m.Event:
        """The first calls of a flatten leave when it is on disk, or after 100 ms: then that is said."""
        flatten_id = command.token.partition("|")[0]
        try:
            # A trip may join a flatten that runs: then its own record is waited for as well.
            await self._wait_on_disk(f"{self._trips()}|{flatten_id}", flatten_id)
        except BaseException:
            work.close()
            raise
        self._leaves(seq)
        return await work

    def _leaves(self, seq: int) -> None:
        """The call that the command `seq` asked for is sent now."""
        self.stats.left.append((seq, self._mono_ns()))

    async def _cancel_once_on_disk(self, command: m.CancelOrder, seq: int) -> None:
        trips = self._trips()
        if trips:
            await self._wait_on_disk(trips, trips)
        self._leaves(seq)
        self._orders.cancel(command)

    def _trips(self) -> str:
        """The trips that are being carried out, whose records must be on disk before anything is cancelled for them."""
        return "|".join(filter(None, (self._trip_id, *self._scoped_trips)))

    async def _wait_on_disk(self, key: str, action_id: str) -> None:
        if why := await self._on_disk.before(key):
            _log.error("acting before it is on disk", action=action_id, journal=why)
            self._out(m.JournalLate(action_id=action_id, detail=why))

    async def _read(self, command: m.ReadTruth, cause: int) -> None:
        event = await self._truth.read(command)
        if isinstance(event, m.VenueTruth):
            self._take_account(event.account)
        self._out(event, cause)

    def _observe(self, order: m.PlaceOrder) -> None:
        """From the market's word to the order's leaving, the journal in between included."""
        took_ns = self._causes.sent(order.client_order_id, self._mono_ns())
        if took_ns is not None:
            self.stats.tick_to_order_ns.append(took_ns)

    # --- what comes in (port.Listener) -----------------------------------------------------------

    def on_user_message(self, raw: bytes) -> None:
        """A raw message of the user stream."""
        self.stats.user_messages_total += 1
        now_ns = self._mono_ns()
        self._channels.user_heard(now_ns)
        self._doubt.heard(now_ns)
        said = self._decoder.decode(raw)
        for event in said.events:
            self._teller.tell(event, by_stream=True)
        if said.problem:
            self.stats.user_problems_total += 1
            _log.error("unreadable user message", kind=said.kind, problem=said.problem)
            self._gap("a message could not be read")
        if said.doubt:
            _log.error("the venue's truth is read", kind=said.kind, why=said.doubt)
            self._gap(said.doubt)
        if said.settings_moved and self._connected:
            self._setup.doubt()
        if said.wallet_moved and not self._polling_income:
            self._polling_income = True
            self._go(self._poll_income())

    def on_user_renewed(self) -> None:
        """The user stream has a new socket: what was said between the old and the new one is not known."""
        self._doubt.opened(self._mono_ns())
        self._gap("its socket was renewed")

    def _gap(self, detail: str) -> None:
        """Lost and back: whoever compares books with the venue does so now."""
        if self._connected:
            self._out(m.FeedChanged(channel="user", up=False, detail=detail))
            self._out(m.FeedChanged(channel="user", up=True, detail=detail))

    def _compare(self) -> None:
        """The user stream has been silent for long: are our books still what the venue says?"""
        try:
            self.bus.tell(m.Reconcile(cause="user stream silent"), actor=self.name)
        except HedgegridError as error:
            _log.warning("silent user stream not verified", error=str(error))

    def on_quote(self, instrument: str, bid: int, ask: int, market_ns: int) -> None:
        """Best bid and ask: counted, and filtered for watched levels."""
        self.stats.ticks_total += 1
        self._channels.market_heard(instrument, self._mono_ns())
        for event in self._feeds[instrument].on_book(bid, ask, market_ns):
            self._out_market(event)

    def on_quote_overtaken(self) -> None:
        """One more tick that came; the newer one is handled."""
        self.stats.ticks_total += 1
        self.stats.ticks_overtaken_total += 1

    def on_mark(
        self,
        instrument: str,
        mark: int,
        market_ns: int,
        funding_rate: Decimal | None,
        next_funding_ns: int | None,
    ) -> None:
        """Mark price and funding."""
        self.stats.ticks_total += 1
        self._channels.market_heard(instrument, self._mono_ns())
        for event in self._feeds[instrument].on_mark(mark, market_ns, funding_rate, next_funding_ns):
            self._out_market(event)

    def on_bar(self, bar: m.BarClosed) -> None:
        """A closed bar."""
        if self._bars[bar.instrument].live(bar) and self._connected:
            self._go(self._bars[bar.instrument].fill())

    def venue_ms(self) -> int:
        """The venue's clock, for the connection's signatures."""
        return self.http.now_ms()

    def on_order_refused(self, instrument: str, client_order_id: str, reason: str) -> None:
        """The trading connection says that an order was refused."""
        failure = self._heeded(_PLACED, of_text(reason))
        self._orders.order_failed(instrument, client_order_id, failure)

    def on_cancel_refused(self, instrument: str, client_order_id: str, reason: str) -> None:
        """The trading connection says that a cancel was refused."""
        failure = self._heeded(_CANCELLED, of_text(reason))
        self._orders.cancel_failed(instrument, client_order_id, failure)

    def _heeded(self, endpoint: str, failure: Failure) -> Failure:
        """The adapter does not read `Retry-After`: after a limit it rests, and our own client asks for how long."""
        self._sources.by_connection(endpoint, failure)
        if failure.kind is Kind.LIMITED:
            self._orders.limited(failure)
            self._go(self._sync_clock())
        return failure

    def on_fault(self, error: Exception) -> None:
        """A bug in what handles incoming messages becomes this actor's fault."""
        self._go(_fail(error))

    # --- background work --------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """After an orderly stop there is nothing to find; after a broken part of ours this is what cancels."""
        said = "no answer in time"
        try:
            async with asyncio.timeout(SWEEP_S):
                while True:
                    try:
                        found = await self._safety.sweep_entries()
                    except VenueCallError as error:
                        said = str(error)  # its text says all
                        await asyncio.sleep(SWEEP_AGAIN_S)
                        continue
                    break
        except TimeoutError:
            _log.error("entries not swept", error=said)
            return
        if found:
            _log.warning("entries swept", cancelled=found)

    async def _sync_clock(self) -> None:
        # A whole grid may be refused at once: a question for each of its orders would make a ban of a limit.
        if self._syncing:
            return
        self._syncing = True
        try:
            await self.http.sync_clock()
        except VenueCallError as error:
            _log.warning("clock not read", error=str(error))
        finally:
            self._syncing = False

    async def _poll_income(self) -> None:
        try:
            for pause_s in INCOME_TRIES_S:
                await asyncio.sleep(pause_s)
                try:
                    if await self._truth.read_income():
                        return
                except VenueCallError as error:
                    _log.warning("income not read", error=str(error))
        finally:
            self._polling_income = False

    def _view(self, to: int) -> m.VenueAnswer:
        now_ns, rest = self._mono_ns(), self.http
        return m.VenueAnswer(
            to=to,
            environment=self._config.venue.environment,
            connected=self._connected and self._trading.connected,
            account=self._account,
            account_age_s=None if self._account_ns is None else (now_ns - self._account_ns) / _NS_PER_S,
            user_stream_age_s=self._channels.user_age_s(now_ns),
            market_age_s=self._channels.market_ages_s(now_ns),
            in_flight=len(self._inflight) + self._polling_income,
            calls=rest.stats.total,
            calls_failed=rest.stats.failed,
            used_weight_1m=rest.used_weight_1m,
            clock_offset_ms=rest.clock_offset_ms,
            failed_in_a_row=rest.stats.failed_in_a_row,
            limited_s=rest.wait_s(new_order=False),
        )


def _client(venue: Venue, credentials: Credentials, clocks: Mapping[str, Callable[[], int]]) -> RestClient:
    return RestClient(
        venue.rest_url or REST_URLS[venue.environment],
        credentials,
        recv_window_ms=venue.recv_window_ms,
        timeout_s=float(venue.request_timeout_s),
        wall_ns=clocks["wall_ns"],
        mono_ns=clocks["mono_ns"],
    )


async def _run(work: Coroutine[None, None, None]) -> None:
    await work


async def _fail(error: Exception) -> None:
    raise error

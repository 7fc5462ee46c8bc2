"""Watches the venue's channels and our own promises: staleness, a dead user stream, overdue orders, account, clock."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

import msgspec
import structlog

from hedgegridd.config import Config
from hedgegridd.errors import VenueError
from hedgegridd.messages import Event, FeedChanged, InstrumentReady, VenueAccount, VenueAction
from hedgegridd.model import NOT_ALLOWED_CODES, Instrument
from hedgegridd.venue import setup
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.orders import Orders
from hedgegridd.venue.port import ConnectFailed, Trading
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.stream_doubt import StreamDoubt

LOOK_S = 0.5
STALE_NS = 5_000_000_000
REVIVE_AFTER_NS = 3_000_000_000  # the adapter revives a dropped stream by itself within a second
REVIVE_EVERY_NS = 2_000_000_000
DOUBTED_EVERY_NS = 10_000_000_000  # an open stream that is not believed
REST_FAILURES = 3
RULES_S = 3_600.0
RULES_AGAIN_S = 10.0  # while an instrument does not trade, or its rules could not be read
RULES_GAP_S = 1.0  # between two readings, whoever asks for them
TRADING = "TRADING"
RECONNECT_PAUSE_S = 2.0
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger("venue.watch")


class Channels:
    """When each channel was heard last, and whether it is up; pure, monotonic time is an argument."""

    def __init__(self, instruments: Sequence[str]) -> None:
        self._market_ns: dict[str, int | None] = dict.fromkeys(instruments)
        self._user_ns: int | None = None
        self._since_ns: int | None = None
        self._up = {"market": True, "user": True, "rest": True}

    def market_heard(self, instrument: str, now_ns: int) -> None:
        """A tick of the instrument."""
        self._market_ns[instrument] = now_ns

    def user_heard(self, now_ns: int) -> None:
        """A message of the user stream."""
        self._user_ns = now_ns

    def user_age_s(self, now_ns: int) -> float | None:
        """Seconds since the user stream last spoke."""
        return None if self._user_ns is None else (now_ns - self._user_ns) / _NS_PER_S

    def market_ages_s(self, now_ns: int) -> dict[str, float | None]:
        """Seconds since the last tick, by instrument."""
        return {
            name: None if at is None else (now_ns - at) / _NS_PER_S for name, at in self._market_ns.items()
        }

    def look(self, now_ns: int, *, user_down: str, rest_failures: int) -> list[FeedChanged]:
        """What has been lost or is back since the last look; `user_down` says why the user stream is lost."""
        if self._since_ns is None:
            self._since_ns = now_ns
        since_ns = self._since_ns
        stale = [name for name, at in self._market_ns.items() if now_ns - (at or since_ns) > STALE_NS]
        silent = f"no tick for {STALE_NS // _NS_PER_S} s: {', '.join(stale)}"
        changes = [
            self._change("market", up=not stale, detail=silent),
            self._change("user", up=not user_down, detail=user_down),
        ]
        if rest_failures >= REST_FAILURES:
            changes.append(self._change("rest", up=False, detail=f"{rest_failures} calls failed in a row"))
        elif rest_failures == 0:
            changes.append(self._change("rest", up=True, detail=""))
        return [change for change in changes if change is not None]

    def _change(self, channel: str, *, up: bool, detail: str) -> FeedChanged | None:
        if self._up[channel] == up:
            return None
        self._up[channel] = up
        return FeedChanged(channel=channel, up=up, detail="" if up else detail)


class Watch:
    """The gateway's periodic work; `loops` are its coroutines, they run until they are cancelled."""

    def __init__(
        self,
        config: Config,
        calls: VenueCalls,
        *,
        channels: Channels,
        trading: Trading,
        orders: Orders,
        stats: Stats,
        doubt: StreamDoubt,
        on_silent: Callable[[], None],
        mono_ns: Callable[[], int],
        publish: Callable[[Event], None],
        on_account: Callable[[VenueAccount], None],
        on_rules: Callable[[Instrument], Instrument | None],
        on_not_allowed: Callable[[], None],
    ) -> None:
        self._config = config
        self._grids = config.grid
        self._calls = calls
        self._channels = channels
        self._trading = trading
        self._orders = orders
        self._stats = stats
        self._doubt = doubt
        self._on_silent = on_silent
        self._mono_ns = mono_ns
        self._publish = publish
        self._on_account = on_account
        self._on_rules = on_rules
        self._on_not_allowed = on_not_allowed
        self._user_down_ns: int | None = None
        self._revived_ns: int | None = None
        self._closing = asyncio.Event()
        self._rules_wanted = asyncio.Event()

    def close(self) -> None:
        """The connection goes down on purpose: do not bring it back."""
        self._closing.set()

    def loops(self) -> list[Coroutine[None, None, None]]:
        """What must run while the venue is up."""
        return [
            self._look_loop(),
            self._connection_loop(),
            self._account_loop(),
            self._clock_loop(),
            self._rules_loop(),
        ]

    async def _look_loop(self) -> None:
        while not self._closing.is_set():
            await asyncio.sleep(LOOK_S)
            if self._closing.is_set():
                return
            self._orders.ask_overdue()
            self.look()

    def look(self) -> None:
        """Say which channels were lost or are back; have a stream verified that is silent for long."""
        now_ns = self._mono_ns()
        up = self._trading.connected and self._trading.user_stream_up()
        down = self._doubt.why(now_ns) if up else "its socket is closed"
        failures = self._calls.http.stats.failed_in_a_row
        for change in self._channels.look(now_ns, user_down=down, rest_failures=failures):
            _log.warning("channel", name=change.channel, up=change.up, detail=change.detail)
            self._publish(change)
        if up and self._doubt.must_verify(now_ns):
            self._on_silent()

    async def _connection_loop(self) -> None:
        """A dead node is built anew; a user stream that is given up or not believed is opened again."""
        while not self._closing.is_set():
            await asyncio.sleep(LOOK_S)
            if self._closing.is_set():
                return
            await self.tend()

    async def tend(self) -> None:
        """One look at the connection, and what it asks for."""
        now_ns = self._mono_ns()
        if not self._trading.connected:
            await self._reconnect()
        elif not self._trading.user_stream_up():
            if self._user_down_ns is None:
                self._user_down_ns = now_ns
            if now_ns - self._user_down_ns >= REVIVE_AFTER_NS:
                await self._revive(now_ns, REVIVE_EVERY_NS)
        else:
            self._user_down_ns = None
            if self._doubt.why(now_ns):
                await self._revive(now_ns, DOUBTED_EVERY_NS)

    async def _reconnect(self) -> None:
        _log.error("the trading node has ended; a new one is built")
        await self._trading.disconnect()
        try:
            await self._trading.connect(float(self._config.daemon.start_deadline_s))
        except ConnectFailed as error:
            _log.error("no connection", error=str(error))
            await asyncio.sleep(RECONNECT_PAUSE_S)
            return
        self._doubt.opened(self._mono_ns())

    async def _revive(self, now_ns: int, every_ns: int) -> None:
        if self._revived_ns is not None and now_ns - self._revived_ns < every_ns:
            return
        self._revived_ns = now_ns
        self._stats.revivals_total += 1
        self.look()  # the loss is told before it may be over
        try:
            await self._trading.revive_user_stream()
        except VenueError as error:
            _log.warning("user stream not revived", error=str(error))
            return
        self._doubt.opened(self._mono_ns())

    async def _account_loop(self) -> None:
        while True:
            try:
                self._on_account((await self._calls.account()).ours())
            except VenueCallError as error:
                _log.warning("account not read", error=str(error))
                if error.failure.code in NOT_ALLOWED_CODES:
                    self._on_not_allowed()
                await asyncio.sleep(error.failure.retry_after_s)
            await asyncio.sleep(float(self._config.venue.account_poll_s))

    async def _clock_loop(self) -> None:
        while True:
            await asyncio.sleep(float(self._config.venue.clock_poll_s))
            try:
                await self._calls.http.sync_clock()
            except VenueCallError as error:
                _log.warning("clock not read", error=str(error))

    def want_rules(self) -> None:
        """Read the rules at once: an order says that they are others."""
        self._rules_wanted.set()

    async def _rules_loop(self) -> None:
        pause_s = RULES_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rules_wanted.wait(), pause_s)
            self._rules_wanted.clear()
            pause_s = RULES_S if await self.read_rules() else RULES_AGAIN_S
            await asyncio.sleep(RULES_GAP_S)

    async def read_rules(self) -> bool:
        """Read the instruments' rules and tell what has changed; True when all of them trade."""
        try:
            rules = await setup.instruments(self._calls, self._grids)
        except (VenueCallError, setup.SetupRefused) as error:
            _log.warning("rules not read", error=str(error))
            return False
        for rule in rules:
            for event in rule_changes(self._on_rules(rule), rule):
                self._publish(event)
        return all(rule.status == TRADING for rule in rules)


def rule_changes(before: Instrument | None, after: Instrument) -> list[Event]:
    """The instrument as it is now, and VenueAction when its status or its filters are others than before."""
    events: list[Event] = [InstrumentReady(instrument=after)]
    if before is None or before == after:
        return events
    if before.status != after.status:
        events.append(
            VenueAction(kind="STATUS", instrument=after.id, detail=f"{before.status} -> {after.status}")
        )
    if msgspec.structs.replace(before, status=after.status) != after:
        changed = [
            name
            for name in after.__struct_fields__
            if name != "status" and getattr(before, name) != getattr(after, name)
        ]
        events.append(VenueAction(kind="FILTERS", instrument=after.id, detail=", ".join(changed)))
    return events

"""The whole vocabulary of the daemon: read it and you know what can happen.

Commands are imperative and have one handler, which obeys or answers `Refused`. Events are past tense, have any
number of listeners and are never refused. Queries are answered to their asker and never journaled. All are frozen
Structs that refuse unknown fields, so that one value is a mailbox item, a journal record, a line of `/stream` and a
literal in a test.

Units: `*_ns` nanoseconds (wall clock unless the name says `mono` or `market`), `*_usdt` money, `*_bps` basis points;
quantities are base currency. `instrument` is a Nautilus id such as `BTCUSDT-PERP.BINANCE`.
"""

from decimal import Decimal
from typing import ClassVar

import msgspec

from hedgegridd.model import (
    Instrument,
    KillState,
    Leg,
    LegMode,
    Nanos,
    OrderKind,
    OrderStatus,
    Purpose,
    Regime,
    Side,
    TimeInForce,
)


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Anything that travels on the bus."""

    lane: ClassVar[str] = "control"  # "data" is drained after "control"

    @property
    def conflate_key(self) -> str | None:
        """Messages of one type with the same key replace each other in a mailbox; None: never replaced."""
        return None


class Command(Message, frozen=True, kw_only=True):
    """Imperative; exactly one handler; journaled before its effect."""


class Event(Message, frozen=True, kw_only=True):
    """Past tense; any listeners; never refused."""


class Query(Message, frozen=True, kw_only=True):
    """A question; exactly one handler; never journaled."""


class Answer(Message, frozen=True, kw_only=True):
    """What the asker of envelope `to` gets; exactly one per ask."""

    to: int


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message on its way: sequence, wall and monotonic time, the sequence that caused it, who posted it."""

    seq: int
    time_ns: Nanos
    mono_ns: int
    cause: int
    actor: str
    message: Message


# ----------------------------------------------------------------------------------------------- timers and faults


class WakeAt(Message, frozen=True, kw_only=True):
    """A machine's wish to get `Woke(token)` at monotonic `at_ns`; the same token replaces an earlier wish."""

    at_ns: int
    token: str


class Woke(Event, frozen=True, kw_only=True):
    """The timer `token` of the actor that gets it has passed."""

    token: str


class Refused(Answer, frozen=True, kw_only=True):
    """A command that changed nothing, why, and what would be accepted now."""

    reason: str
    accepted: tuple[str, ...] = ()


class Done(Answer, frozen=True, kw_only=True):
    """A command whose outcome is true now; `detail` are JSON-ready facts of it (numbers as strings)."""

    detail: dict[str, object] = {}


# ---------------------------------------------------------------------------------------------------- market


class BarClosed(Event, frozen=True, kw_only=True):
    """A closed bar on the market's clock. `warmup` bars fill indicators and decide nothing."""

    lane: ClassVar[str] = "data"
    instrument: str
    open_ns: Nanos
    close_ns: Nanos
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    warmup: bool = False


class MarkPrice(Event, frozen=True, kw_only=True):
    """Mark price, at most one a second of market time; with the book as of then."""

    lane: ClassVar[str] = "data"
    instrument: str
    market_ns: Nanos
    mark: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ns: Nanos | None = None

    @property
    def conflate_key(self) -> str | None:
        """Only the latest mark of an instrument counts."""
        return self.instrument


class PriceCrossed(Event, frozen=True, kw_only=True):
    """The mark (or mid) has reached a level that `WatchPrices` asked for; the watch of that level is spent."""

    instrument: str
    market_ns: Nanos
    level: Decimal
    mark: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None


class WatchPrices(Command, frozen=True, kw_only=True):
    """The levels at which a machine wants to be woken; replaces the instrument's earlier set.

    `above`: wake when mark or mid >= level. `below`: wake when mark or mid <= level.
    """

    instrument: str
    above: tuple[Decimal, ...] = ()
    below: tuple[Decimal, ...] = ()


# ------------------------------------------------------------------------------------------------- orders: intents


class PlaceOrder(Command, frozen=True, kw_only=True):
    """The intent of one order; durable in the journal before the venue hears of it.

    `close_position` orders (leg stops) carry no quantity: they close whatever the leg holds.
    """

    instrument: str
    leg: Leg
    purpose: Purpose
    level: int
    client_order_id: str
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce = TimeInForce.GTC
    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    close_position: bool = False


class CancelOrder(Command, frozen=True, kw_only=True):
    """Cancel one order of ours by its client order id; `algo` when it rests in the venue's algo service."""

    instrument: str
    client_order_id: str
    algo: bool = False


class OrderRefused(Event, frozen=True, kw_only=True):
    """An intent that never left: refused by the pre-trade gate, a latch, or a failed journal."""

    instrument: str
    leg: Leg
    purpose: Purpose
    level: int
    client_order_id: str
    reason: str


# ---------------------------------------------------------------------------------- orders: what the venue said of them


class OrderAccepted(Event, frozen=True, kw_only=True):
    """The order rests (or a market order was taken) at the venue."""

    instrument: str
    client_order_id: str
    venue_order_id: str
    algo: bool = False
    ts_ns: Nanos


class OrderRejected(Event, frozen=True, kw_only=True):
    """The venue has refused the order for sure; `code` is the venue's (-5022, -2021, ...), 0 when it gave none."""

    instrument: str
    client_order_id: str
    code: int
    reason: str


class OrderUnknown(Event, frozen=True, kw_only=True):
    """An ambiguous answer: the order may live; it is being asked for by client order id."""

    instrument: str
    client_order_id: str
    reason: str


class OrderClosed(Event, frozen=True, kw_only=True):
    """The order no longer works: CANCELED, EXPIRED, FILLED or NOT_FOUND; `filled_qty` is its cumulative fill."""

    instrument: str
    client_order_id: str
    how: str
    filled_qty: Decimal | None = None
    reason: str = ""
    ts_ns: Nanos = 0


class CancelRejected(Event, frozen=True, kw_only=True):
    """A cancel that was refused; the order's state is what the next truth or event says."""

    instrument: str
    client_order_id: str
    code: int
    reason: str


class OrderTriggered(Event, frozen=True, kw_only=True):
    """A conditional order has been triggered; its fills come as `Fill`s with the same client order id."""

    instrument: str
    client_order_id: str
    ts_ns: Nanos


class Fill(Event, frozen=True, kw_only=True):
    """One trade of the account, once per venue trade id. `order_filled_qty` is cumulative for its order."""

    instrument: str
    leg: Leg
    client_order_id: str
    venue_order_id: str
    trade_id: str
    side: Side
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    maker: bool
    ts_ns: Nanos
    order_filled_qty: Decimal | None = None


class IncomeBooked(Event, frozen=True, kw_only=True):
    """A wallet movement that is no trade: FUNDING_FEE, TRANSFER, ... Signed amount, once per `income_id`."""

    income_id: str
    kind: str
    asset: str
    amount: Decimal
    instrument: str | None = None
    ts_ns: Nanos


class VenueAction(Event, frozen=True, kw_only=True):
    """The venue has acted on our position or instrument: ADL, LIQUIDATION, STATUS, FILTERS, MARGIN_CALL."""

    kind: str
    instrument: str
    leg: Leg | None = None
    detail: str = ""


# -------------------------------------------------------------------------------------------------------- venue truth


class VenueLeg(msgspec.Struct, frozen=True, kw_only=True):
    """A leg as the venue reports it; quantity is never negative."""

    instrument: str
    leg: Leg
    qty: Decimal
    entry_price: Decimal
    mark: Decimal
    unrealized_usdt: Decimal
    liquidation_price: Decimal | None = None


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An open order as the venue reports it; `algo` orders rest in the algo service."""

    instrument: str
    client_order_id: str
    venue_order_id: str
    leg: Leg
    side: Side
    kind: str
    qty: Decimal
    filled_qty: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    close_position: bool = False
    algo: bool = False
    ts_ns: Nanos = 0


class VenueAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account's own figures in USDT."""

    wallet_usdt: Decimal
    margin_balance_usdt: Decimal
    maint_margin_usdt: Decimal
    initial_margin_usdt: Decimal
    available_usdt: Decimal
    unrealized_usdt: Decimal


class ReadTruth(Command, frozen=True, kw_only=True):
    """Ask the venue for account, legs, orders and algo orders, and (`history`) for what happened since the cursors.

    Trades after `trades_from[instrument]` and income after `income_from_ms` that the stream did not bring are published
    as `Fill` and `IncomeBooked` *before* the `VenueTruth`. Without a cursor nothing is fetched, the answer sets it.
    """

    token: str
    instruments: tuple[str, ...]
    history: bool = True
    trades_from: dict[str, int] = {}
    income_from_ms: int | None = None
    funding_from_ms: int | None = None  # FUNDING_FEE apart: in a replay it is on the market's clock


class VenueTruth(Event, frozen=True, kw_only=True):
    """What the venue reported, all of it asked after `asked_ns`; `in_flight` are ids of ours whose fate is open."""

    token: str
    instruments: tuple[str, ...]
    account: VenueAccount
    legs: tuple[VenueLeg, ...]
    orders: tuple[VenueOrder, ...]
    in_flight: tuple[str, ...] = ()
    trade_cursor: dict[str, int] = {}  # per instrument: the newest trade id that has been told
    income_cursor_ms: int | None = None
    funding_cursor_ms: int | None = None
    asked_ns: Nanos
    asked_mono_ns: int
    answered_ns: Nanos


class VenueFailed(Event, frozen=True, kw_only=True):
    """A venue call of `token` failed. `ambiguous`: it may have been processed. `code`: the venue's, or 0."""

    token: str
    ambiguous: bool
    code: int
    reason: str
    retry_after_s: float = 0.0


class CancelRaw(Command, frozen=True, kw_only=True):
    """Cancel through the signed client, outside the strategy's ways. `all_orders`: the whole symbol's ordinary ones."""

    token: str
    instrument: str
    client_order_ids: tuple[str, ...] = ()
    algo: bool = False
    all_orders: bool = False


class CloseRaw(Command, frozen=True, kw_only=True):
    """Close `qty` of a leg at market through the signed client."""

    token: str
    instrument: str
    leg: Leg
    qty: Decimal
    client_order_id: str


class AskOrder(Command, frozen=True, kw_only=True):
    """Ask the venue for one order by client order id (resolves an ambiguous answer)."""

    token: str
    instrument: str
    client_order_id: str
    algo: bool = False


class VenueDone(Event, frozen=True, kw_only=True):
    """A venue call of `token` succeeded; `status` and `filled_qty` where the call was about one order."""

    token: str
    status: str = ""
    filled_qty: Decimal | None = None
    average_price: Decimal | None = None


# ------------------------------------------------------------------------------------- connection, reconciling, stages


class InstrumentReady(Event, frozen=True, kw_only=True):
    """The venue's rules of an instrument have been read (at start and hourly)."""

    instrument: Instrument


class FeedChanged(Event, frozen=True, kw_only=True):
    """A channel (`market`, `user`, `rest`) was lost or is back."""

    channel: str
    up: bool
    detail: str = ""


class Reconciled(Event, frozen=True, kw_only=True):
    """The outcome of one comparison of our books with the venue, per leg and order."""

    ok: bool
    cause: str
    orders_adopted: int = 0
    fills_applied: int = 0
    differences: tuple[str, ...] = ()
    asked_ns: Nanos = 0


class Reconcile(Command, frozen=True, kw_only=True):
    """Compare our books with the venue now."""

    cause: str


class StageReached(Event, frozen=True, kw_only=True):
    """A part says that start-up is at its stage and what keeps it there."""

    stage: str
    waits_for: str = ""


class StageChanged(Event, frozen=True, kw_only=True):
    """Start-up or shutdown has reached a stage; `waits_for` says what keeps it there."""

    stage: str
    number: int
    of: int
    waits_for: str = ""


class VenueUp(Event, frozen=True, kw_only=True):
    """The venue answers: unfinished trips and flattens go on from here."""


class StartChecked(Event, frozen=True, kw_only=True):
    """All start-up checks have passed: trading may begin unless something is latched."""


class Stopping(Event, frozen=True, kw_only=True):
    """The daemon is going down: no entry may be placed any more."""

    reason: str


# ------------------------------------------------------------------------------------------------ operator's commands


class SetThrottle(Command, frozen=True, kw_only=True):
    """Multiply the quantity of new entries by `throttle` in [0, 1]; all instruments when None."""

    throttle: Decimal
    instrument: str | None = None


class PauseEntries(Command, frozen=True, kw_only=True):
    """Hold entries (exits and stops stay); answered when the venue has confirmed that none rests."""

    instrument: str | None = None
    reason: str = ""


class ResumeEntries(Command, frozen=True, kw_only=True):
    """End a pause and the latch that a flatten left on legs."""

    instrument: str | None = None
    reason: str = ""


class StartTrading(Command, frozen=True, kw_only=True):
    """Trade an instrument; answered once its entries rest (or why none can)."""

    instrument: str | None = None


class StopTrading(Command, frozen=True, kw_only=True):
    """Stop trading an instrument: entries go, exits and stops stay; answered when they are gone."""

    instrument: str | None = None


class SetMode(Command, frozen=True, kw_only=True):
    """Set the run-time mode of a leg (both when None)."""

    leg: Leg | None
    mode: LegMode
    instrument: str | None = None


class Flatten(Command, frozen=True, kw_only=True):
    """Remove all orders and inventory of the legs; answered when the venue reports nothing, or at the deadline."""

    legs: tuple[Leg, ...]
    instrument: str | None = None
    reason: str
    deadline_s: float = 10.0
    origin: str = ""  # the trip that asked


class Kill(Command, frozen=True, kw_only=True):
    """Trip the kill switch: `action` "flatten" or "halt"; None is the configured one."""

    reason: str
    action: str | None = None
    deadline_s: float = 10.0


class Rearm(Command, frozen=True, kw_only=True):
    """Leave HALTED after checks; needs a reason."""

    reason: str


# -------------------------------------------------------------------------------------------------- safety's events


class LegsLatched(Event, frozen=True, kw_only=True):
    """From this message on entries of these legs are refused; the flatten owns their orders and inventory."""

    instrument: str
    legs: tuple[Leg, ...]
    flatten_id: str


class LegsUnlatched(Event, frozen=True, kw_only=True):
    """Entries of these legs are allowed again."""

    instrument: str
    legs: tuple[Leg, ...]


class FlattenProgress(Event, frozen=True, kw_only=True):
    """One step of a running flatten, in words, seconds after its start."""

    flatten_id: str
    instrument: str
    leg: Leg | None
    after_s: Decimal
    what: str


class LegFlat(Event, frozen=True, kw_only=True):
    """The venue reports nothing on the leg, twice or by stream and query; `proof` are its figures and times."""

    flatten_id: str
    instrument: str
    leg: Leg
    proof: tuple[str, ...]


class FlattenFinished(Event, frozen=True, kw_only=True):
    """A flatten has verified all its legs; `origin` is the trip that asked for it."""

    flatten_id: str
    origin: str = ""
    after_s: Decimal


class KillStateChanged(Event, frozen=True, kw_only=True):
    """The kill switch has moved; `trip_id` and `cause` of the trip that latched it."""

    state: KillState
    previous: KillState
    trip_id: str = ""
    cause: str = ""
    since_ns: Nanos = 0


class HaltEntries(Event, frozen=True, kw_only=True):
    """A trip with action `halt`: entries are cancelled, exits and stops stay; latched until rearm."""

    trip_id: str
    cause: str


class EntriesGone(Event, frozen=True, kw_only=True):
    """No entry of ours rests at the venue any more (confirmed), after a halt, a pause or a stop."""

    cause: str


# -------------------------------------------------------------------------------------- strategy's events (for people)


class Recentred(Event, frozen=True, kw_only=True):
    """The grid's centre moved to `centre`."""

    instrument: str
    previous: Decimal | None
    centre: Decimal
    market_ns: Nanos


class RegimeChanged(Event, frozen=True, kw_only=True):
    """The market's direction as the strategy reads it has changed."""

    instrument: str
    regime: Regime
    previous: Regime


class RungDropped(Event, frozen=True, kw_only=True):
    """A rung is not placed, and why (minimum notional, occupancy, cap, would cross, collar)."""

    instrument: str
    leg: Leg
    level: int
    reason: str


# ------------------------------------------------------------------------------------------------------------ queries


class GetStatus(Query, frozen=True, kw_only=True):
    """State of the desk: instruments, legs, orders, PnL, feeds, holds."""


class GetLadders(Query, frozen=True, kw_only=True):
    """Rungs of each instrument with their state."""


class GetOrders(Query, frozen=True, kw_only=True):
    """All open orders, exits included."""


class GetPositions(Query, frozen=True, kw_only=True):
    """Legs and open lots."""


class GetKillSwitch(Query, frozen=True, kw_only=True):
    """State, cause and since of the kill switch."""


class GetFlattens(Query, frozen=True, kw_only=True):
    """Running flattens with what is left."""


class GetVenue(Query, frozen=True, kw_only=True):
    """The venue's last account figures, connection state, ages of the feeds, calls and weights."""


class GetBoot(Query, frozen=True, kw_only=True):
    """Stages of start-up and shutdown."""


# ------------------------------------------------------------------------------------------------------------ answers


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One rung as shown to people; `state` is resting, pending, filled (occupied), dropped or off."""

    leg: Leg
    level: int
    side: Side
    price: Decimal
    qty: Decimal
    state: str
    reason: str = ""
    client_order_id: str = ""


class LadderView(msgspec.Struct, frozen=True, kw_only=True):
    """Both ladders of an instrument."""

    instrument: str
    mid_price: Decimal | None
    centre: Decimal | None
    long_ladder: tuple[Rung, ...]
    short_ladder: tuple[Rung, ...]


class LaddersAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetLadders`."""

    ladders: tuple[LadderView, ...]


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One live order as we believe it to be; `stop_price` of stops, `created_ns` wall clock."""

    instrument: str
    client_order_id: str
    leg: Leg
    purpose: Purpose
    level: int
    side: Side
    kind: OrderKind
    price: Decimal | None
    stop_price: Decimal | None
    qty: Decimal | None
    filled_qty: Decimal
    status: OrderStatus
    algo: bool
    created_ns: Nanos


class OrdersAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetOrders`."""

    orders: tuple[OrderView, ...]


class LotView(msgspec.Struct, frozen=True, kw_only=True):
    """One open lot: what an entry order filled and has not been closed yet."""

    lot_id: str
    level: int
    qty: Decimal
    price: Decimal
    take_profit: Decimal
    stop: Decimal
    opened_ns: Nanos


class LegView(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in our books. Money in USDT; fees and funding are signed as the wallet sees them."""

    leg: Leg
    mode: LegMode
    latched: bool
    qty: Decimal
    average_entry: Decimal | None
    inventory_usdt: Decimal
    realized_usdt: Decimal
    unrealized_usdt: Decimal | None
    fees_usdt: Decimal
    funding_usdt: Decimal
    take_profit_qty: Decimal
    stop_price: Decimal | None
    stop_resting: bool
    liquidation_price: Decimal | None
    lots: tuple[LotView, ...]
    peak_lots: int


class InstrumentView(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument in our books; ages are left to the reader: `*_ns` say when."""

    instrument: str
    trading: bool
    paused: bool
    throttle: Decimal
    why_no_entries: tuple[str, ...]
    regime: Regime
    warm: bool
    centre: Decimal | None
    mid: Decimal | None
    mark: Decimal | None
    legs: tuple[LegView, ...]
    open_orders: int
    rungs_resting_long: int
    rungs_resting_short: int
    funding_rate: Decimal | None
    next_funding_ns: Nanos | None
    last_bar_ns: Nanos | None
    mark_ns: Nanos | None
    recentres: int
    fills: int
    maker_fills: int
    entries_dropped: int


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """The account in our books, in USDT. `realized` is net of fees and funding; `total` adds unrealised.

    `day` since the trading day began, `session` since start, `inception` since the state folder began.
    `wallet` = opening wallet + realised + transfers; None until the venue has been read once.
    """

    wallet_usdt: Decimal | None
    equity_usdt: Decimal | None
    peak_equity_usdt: Decimal | None
    realized_usdt: Decimal
    gross_realized_usdt: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    transfers_usdt: Decimal
    unrealized_usdt: Decimal | None
    total_usdt: Decimal | None
    day_usdt: Decimal | None
    session_usdt: Decimal | None
    inception_usdt: Decimal | None
    residual_usdt: Decimal | None


class DeskView(Event, frozen=True, kw_only=True):
    """The desk's whole state for people and metrics; published at most twice a second, latest counts."""

    lane: ClassVar[str] = "data"
    instruments: tuple[InstrumentView, ...]
    ledger: LedgerView
    reconciled: bool
    settled: bool  # no order in flight, no cover missing, nothing waiting to be decided
    stopping: bool

    @property
    def conflate_key(self) -> str | None:
        """Only the latest view counts."""
        return "desk"


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetStatus` and `GetPositions`: the desk's view, made when asked."""

    view: DeskView


class KillSwitchAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetKillSwitch`."""

    state: KillState
    trip_id: str = ""
    cause: str = ""
    action: str = ""
    since_ns: Nanos = 0
    accepted: tuple[str, ...] = ()


class FlattenView(msgspec.Struct, frozen=True, kw_only=True):
    """A running or finished flatten of one leg."""

    flatten_id: str
    instrument: str
    leg: Leg
    state: str
    attempts: int
    residual_qty: Decimal | None
    residual_orders: int | None
    since_ns: Nanos


class FlattensAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetFlattens`."""

    flattens: tuple[FlattenView, ...]


class FlattenAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `Flatten`: verified or not (then the work goes on), what was done, what is left, the proof."""

    flatten_id: str
    verified: bool
    after_s: Decimal
    cancelled_orders: int
    closed: dict[str, str]
    residuals: dict[str, str]
    residual_orders: int
    proof: tuple[str, ...]
    journal_late: bool = False


class VenueAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetVenue`; ages in seconds of the monotonic clock, None: never seen."""

    environment: str
    connected: bool
    account: VenueAccount | None
    account_age_s: float | None
    user_stream_age_s: float | None
    market_age_s: dict[str, float | None]
    in_flight: int
    calls: int
    calls_failed: int
    used_weight_1m: int | None
    clock_offset_ms: int | None


class BootAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetBoot`."""

    ready: bool
    stage: str
    number: int
    of: int
    waits_for: str
    since_ns: Nanos
    stopping: bool


def _leaves(base: type[Message]) -> list[type[Message]]:
    found: list[type[Message]] = []
    for kind in base.__subclasses__():
        found.extend(_leaves(kind) or [kind])
    return found


COMMANDS = tuple(_leaves(Command))
EVENTS = tuple(_leaves(Event))
QUERIES = tuple(_leaves(Query))
ANSWERS = tuple(_leaves(Answer))
ALL = (*COMMANDS, *EVENTS, *QUERIES, *ANSWERS, WakeAt)

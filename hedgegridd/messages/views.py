"""Queries and their answers: the state as shown to people."""

from decimal import Decimal
from typing import ClassVar

import msgspec

from hedgegridd.messages.base import Answer, Event, Query
from hedgegridd.messages.risk import GuardVerdict, Hold, Trip
from hedgegridd.messages.truth import VenueAccount
from hedgegridd.model import KillState, Leg, LegMode, Nanos, OrderKind, OrderStatus, Purpose, Regime, Side


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


class GetGuards(Query, frozen=True, kw_only=True):
    """What each guard says now, and the holds that the guards have in force."""


class GetKpi(Query, frozen=True, kw_only=True):
    """The windows of the key figures of operations."""


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
    tick: Decimal | None = None
    step: Decimal | None = None


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
    trip_id: str = (
        ""  # the trip or planned pause whose flatten latched it; "": an operator's, if it is latched
    )
    entries_under_way: int = 0  # sent and not confirmed yet
    no_rungs: tuple[str, ...] = ()  # no entry of this leg rests or is under way: why its rungs do not


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
    exits_resting: int
    funding_rate: Decimal | None
    next_funding_ns: Nanos | None
    last_bar_ns: Nanos | None
    mark_ns: Nanos | None
    recentres: int
    fills: int
    maker_fills: int
    entries_dropped: int
    tick: Decimal | None = None  # of prices, None: the venue's rules are not known yet
    step: Decimal | None = None  # of quantities


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


class LimitView(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of the pre-trade gate that was changed at run time; None: not configured."""

    name: str
    value: Decimal
    configured: Decimal | None
    reason: str
    since_ns: Nanos


class DeskView(Event, frozen=True, kw_only=True):
    """The desk's whole state for people and metrics; published at most twice a second, latest counts.

    `reconciled`: the books have been compared since start; `reconciled_ns`: wall time of the last comparison that
    agreed, None: none has; `feeds_down`: channels to the venue that are lost (market, rest, user).
    """

    lane: ClassVar[str] = "data"
    instruments: tuple[InstrumentView, ...]
    ledger: LedgerView
    reconciled: bool
    reconciled_ns: Nanos | None = None
    feeds_down: tuple[str, ...] = ()
    unsettled: tuple[
        str, ...
    ]  # orders in flight, covers missing, what waits to be decided; () when all rests
    stopping: bool
    holds: tuple[Hold, ...] = ()  # in force, of every source
    silent_sources: tuple[str, ...] = ()  # who must say what it holds before anything is traded, and has not
    limits: tuple[LimitView, ...] = ()

    @property
    def conflate_key(self) -> str | None:
        """Only the latest view counts."""
        return "desk"


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetStatus` and `GetPositions`: the desk's view, made when asked."""

    view: DeskView


class KillSwitchAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetKillSwitch`: the account's own trip, and those of instruments and legs beside it.

    `rearm_from_ns`: wall time from which rearm is allowed (0: nothing to wait for); `guards`: those that refuse it.
    """

    state: KillState
    trip_id: str = ""
    cause: str = ""
    action: str = ""
    guard: str = ""
    since_ns: Nanos = 0
    rearm_from_ns: Nanos = 0
    trips: tuple[Trip, ...] = ()
    guards: tuple[str, ...] = ()
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
    failed_in_a_row: int = 0  # calls since the venue last answered one
    limited_s: float = 0.0  # for which the venue asks us to send nothing (429, 418)


class GetDeadMan(Query, frozen=True, kw_only=True):
    """The dead-man switch."""


class CountdownView(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's countdown for one instrument.

    `until_ns`: wall time at which it cancels the ordinary orders unless it is renewed, None: it does not run;
    `renewed_ns`: when the venue last confirmed it; `problem`: why the last call failed.
    """

    instrument: str
    until_ns: Nanos | None
    renewed_ns: Nanos | None
    problem: str = ""


class DeadManAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetDeadMan`. `state`: off, waiting, armed, arming, withdrawing, disarming, disarmed; `why` in words."""

    enabled: bool
    state: str
    why: tuple[str, ...]
    countdown_s: Decimal
    renew_s: Decimal
    countdowns: tuple[CountdownView, ...]


class BootAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetBoot`."""

    ready: bool
    stage: str
    number: int
    of: int
    waits_for: str
    since_ns: Nanos
    stopping: bool


class GuardsAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetGuards`: the confirmed verdicts, the holds in force, and the types of guards that are off."""

    verdicts: tuple[GuardVerdict, ...]
    holds: tuple[Hold, ...]
    off: tuple[str, ...] = ()


class KpiAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetKpi`: figures of 60 s and 300 s, None: not known; `thresholds` warn and critical by name."""

    requests_per_minute: int | None
    error_rate_pct: Decimal | None
    healthy_pct: Decimal | None
    thresholds: dict[str, tuple[Decimal, Decimal]]

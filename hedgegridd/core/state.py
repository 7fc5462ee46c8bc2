"""What the desk remembers: plain mutable Structs, JSON-able, so that a snapshot is a copy and a restore an assignment.

Times: `*_ns` wall or market nanoseconds, `*_mono` monotonic nanoseconds of the process that runs.
"""

from decimal import Decimal

import msgspec

from hedgegridd.config import Pretrade
from hedgegridd.core.pretrade import Recent
from hedgegridd.core.regime import RegimeState
from hedgegridd.messages import Hold, Trip, VenueAccount
from hedgegridd.model import (
    LEGS,
    ZERO,
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

ONE = Decimal(1)


class Order(msgspec.Struct, kw_only=True):
    """One order of ours. `filled` counts the fills we were told, `final` what it has filled by its closing report.

    `rung_price` is where an entry was meant to rest (its `price` may be ticks further after post-only rejects),
    `part` its number within a split rung, `step` the grid's step when it was placed, `lot` the lot an exit closes.
    """

    client_order_id: str
    leg: Leg
    purpose: Purpose
    level: int
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce = TimeInForce.GTC
    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    close_position: bool = False
    algo: bool = False
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = ZERO
    final: Decimal | None = None
    triggered: bool = False
    created_ns: Nanos
    touched_mono: int
    no_cancel_before: int = 0
    part: int = 0
    rung_price: Decimal = ZERO
    step: Decimal = ZERO
    generation: int = 0
    lot: str = ""

    @property
    def remaining(self) -> Decimal:
        """What it may still fill; 0 for orders without quantity."""
        return ZERO if self.qty is None else max(ZERO, self.qty - self.filled)


class Lot(msgspec.Struct, kw_only=True):
    """What one entry order filled and has not been closed yet; `price` is the weighted price of its fills."""

    lot_id: str
    level: int
    qty: Decimal
    price: Decimal
    step: Decimal
    opened_ns: Nanos
    bought: Decimal = ZERO
    cost: Decimal = ZERO
    generation: int = 0  # number of the centre under which its entry rested
    combine: bool = False  # its take-profits are too small one by one: cancel them, place one
    stopping_since: int | None = None  # monotonic; its stop was crossed: it is being closed at market
    trim: Decimal | None = None  # being closed, but no more of it than this: a trim asked for it


class RungWait(msgspec.Struct, kw_only=True):
    """A rung whose entry was rejected: `ticks` further at `at_mono`, or (None) not before the next bar."""

    ticks: int
    at_mono: int | None
    reason: str = ""
    wake: bool = True  # False: whatever pass comes after `at_mono` is soon enough


class Backoff(msgspec.Struct, kw_only=True):
    """A refused exit is tried again at `until_mono`, each time after twice the delay."""

    delay_ns: int
    until_mono: int
    reason: str = ""


class LegState(msgspec.Struct, kw_only=True):
    """One leg of one instrument. `owned`: a flatten has its orders and inventory; we see to its leg stop only."""

    mode: LegMode = LegMode.NORMAL
    latched: bool = False
    owned: bool = False
    flat_told: bool = False  # the flatten is done, its last fills have not all come yet
    flatten_id: str = ""
    trip_id: str = ""  # the trip or planned pause whose flatten latched it
    lots: dict[str, Lot] = {}
    waits: dict[str, RungWait] = {}
    backoffs: dict[str, Backoff] = {}
    dropped: dict[int, str] = {}
    closing: bool = False  # its stop was refused or passed: everything goes at market
    stop_needs_position: bool = False  # the venue refused the leg stop while the leg was flat
    exits_need_notional: bool = False  # the venue refused a take-profit for its notional (-4164)
    one_stop_only: bool = False  # the venue refused a second closePosition stop (-4130)
    peak_lots: int = 0
    liquidation_price: Decimal | None = None


class BookState(msgspec.Struct, kw_only=True):
    """Orders of an instrument: live ones, the latest closed ones (late fills), and trade ids already booked."""

    live: dict[str, Order] = {}
    closed: dict[str, Order] = {}
    trades: dict[str, bool] = {}


class Trial(msgspec.Struct, kw_only=True):
    """A test order, wanted until it has rested; `told`: whoever asked has been answered. Times are monotonic."""

    leg: Leg
    price: Decimal
    qty: Decimal
    keep: bool
    asked_mono: int
    order_id: str = ""
    wanted: bool = True
    closing: bool = False  # what of it has filled is being closed at market
    told: bool = False
    placed_mono: int | None = None
    accepted_mono: int | None = None
    cancel_mono: int | None = None
    closed_mono: int | None = None


class GridState(msgspec.Struct, kw_only=True):
    """One instrument. `recentres` numbers the centre: the generation of entries and lots."""

    trading: bool = True
    paused: str | None = None  # why
    halted: str | None = None  # by the venue's act on our position
    refused: str | None = None  # inventory that is not ours
    throttle: Decimal = ONE
    instrument: Instrument | None = None
    legs: dict[Leg, LegState] = {}
    book: BookState = msgspec.field(default_factory=BookState)
    regime: RegimeState = RegimeState()
    shown_regime: Regime = Regime.SIDEWAYS
    centre: Decimal | None = None
    close: Decimal | None = None
    bar_ns: Nanos | None = None
    bar_mono: int | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    book_ns: Nanos = 0
    mark: Decimal | None = None
    mark_ns: Nanos | None = None
    funding_rate: Decimal | None = None
    next_funding_ns: Nanos | None = None
    watching: tuple[tuple[Decimal, ...], tuple[Decimal, ...]] = ((), ())
    spent: list[Decimal] = []
    wake_mono: int | None = None
    recentres: int = 0
    fills: int = 0
    maker_fills: int = 0
    entries_dropped: int = 0
    trial: Trial | None = None

    @property
    def mid(self) -> Decimal | None:
        """The last close, or the book's mid when that is fresher (market's clock)."""
        if self.bid is not None and self.ask is not None and self.book_ns >= (self.bar_ns or 0):
            return (self.bid + self.ask) / 2
        return self.close

    @property
    def market_ns(self) -> Nanos:
        """The latest time the market has told."""
        return max(self.mark_ns or 0, self.bar_ns or 0, self.book_ns)


def new_grid_state() -> GridState:
    """An instrument of which nothing is known yet."""
    return GridState(legs={leg: LegState() for leg in LEGS})


class LegAccount(msgspec.Struct, kw_only=True):
    """A leg in our ledger: base quantity (never negative), average entry as the venue computes it, USDT sums.

    `early_*`: quantity and quote of closes that reached us before the entries they closed.
    """

    qty: Decimal = ZERO
    average: Decimal = ZERO
    early_qty: Decimal = ZERO
    early_quote: Decimal = ZERO
    gross: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO


class LedgerState(msgspec.Struct, kw_only=True):
    """The account in our books, USDT. `*_base` is what `total` was when that period began."""

    legs: dict[str, dict[Leg, LegAccount]] = {}
    marks: dict[str, Decimal] = {}
    opening: Decimal | None = None
    transfers: Decimal = ZERO
    other_assets: dict[str, Decimal] = {}
    incomes: dict[str, bool] = {}
    peak: Decimal | None = None
    session_peak: Decimal | None = None
    residual: Decimal | None = None
    day: str = ""
    day_base: Decimal | None = None
    session_base: Decimal | None = None
    inception_base: Decimal | None = None
    money_mono: int = 0  # when the last fill or income was booked
    gap: Decimal = ZERO  # the venue's wallet minus ours, as far down as two comparisons agree
    gap_seen: Decimal | None = None  # a larger loss that one comparison has shown
    gap_mono: int = 0  # and when
    elsewhere: Decimal = ZERO  # unrealised of positions that are not traded here, at the last comparison
    session_outside: Decimal | None = None  # what was outside our books when that period began
    day_outside: Decimal | None = None


class Waiter(msgspec.Struct, kw_only=True):
    """An asker (or a listener of `EntriesGone`) whose outcome is not true yet."""

    to: int  # 0: publish EntriesGone(cause) instead of answering
    kind: str  # "gone", "flat", "start", "reconcile"
    instruments: tuple[str, ...]
    legs: tuple[Leg, ...] = LEGS
    cause: str = ""
    detail: dict[str, str] = {}
    since_mono: int = 0
    open_legs: list[tuple[str, Leg]] = []  # "flat": those the venue has not yet reported flat


class TruthState(msgspec.Struct, kw_only=True):
    """The comparison with the venue: `asked` is the token under way, `again_mono` when to ask (again)."""

    asked: str | None = None
    count: int = 0
    cause: str = ""
    wanted: str | None = None  # cause of the comparison that must follow the running one
    again_mono: int | None = None
    asked_mono: int = 0
    wake_mono: int | None = None
    fills: int = 0  # booked while the comparison ran
    delay_ns: int = 0
    backoff_mono: int = (
        0  # after failures: nobody asks before the first; only what is urgent before the second
    )
    patience_mono: int = 0
    trade_cursor: dict[str, int] = {}
    income_cursor_ms: int | None = None
    funding_cursor_ms: int | None = None
    account: VenueAccount | None = None
    account_ns: Nanos | None = None  # wall time of that report
    differences: tuple[str, ...] = ()  # of the last comparison; () when it agreed
    ok_ns: Nanos | None = None  # wall time of the question whose answer last agreed with our books


class LimitChange(msgspec.Struct, kw_only=True):
    """A limit of `[pretrade]` that was changed at run time, and what the config said then (None: nothing)."""

    value: Decimal
    configured: Decimal | None
    reason: str
    since_ns: Nanos


class WeightChange(msgspec.Struct, kw_only=True):
    """Weights of the enabled grids, by id, that were set at run time, and what the config said then."""

    values: dict[str, Decimal]
    configured: dict[str, Decimal]
    reason: str
    since_ns: Nanos


class HoldState(msgspec.Struct, kw_only=True):
    """What keeps entries away: holds by source, trips of legs and instruments (the account's own is `DeskState.kill`).

    `silent`: sources of holds that this process has not heard: nothing is traded before.
    """

    holds: dict[str, tuple[Hold, ...]] = {}
    silent: list[str] = []
    trips: tuple[Trip, ...] = ()


class DeskState(msgspec.Struct, kw_only=True):
    """All of it."""

    next_order: int = 1
    grids: dict[str, GridState] = {}
    ledger: LedgerState = msgspec.field(default_factory=LedgerState)
    kill: KillState = KillState.STARTING
    halt: str | None = None  # trip that latched a halt
    stopping: str | None = None
    reconciled: bool = False
    feeds_down: dict[str, str] = {}
    waiters: list[Waiter] = []
    truth: TruthState = msgspec.field(default_factory=TruthState)
    recent: list[Recent] = []  # approved orders of the last 10 s
    held: HoldState = msgspec.field(default_factory=HoldState)
    limits: dict[str, LimitChange] = {}
    weights: WeightChange | None = None
    trims: list[str] = []  # the last episodes of guards that were taken, the newest last
    reloaded: Pretrade | None = None  # limits that this process has read again; None: those of its start
    view_due: bool = False
    view_mono: int | None = None

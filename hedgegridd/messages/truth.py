"""Venue truth: what is asked of the venue past the strategy's ways, and its reports."""

from decimal import Decimal

import msgspec

from hedgegridd.messages.base import Command, Event
from hedgegridd.model import ZERO, Leg, Nanos, Side


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
    elsewhere_usdt: Decimal = ZERO  # unrealised result of positions of other instruments
    in_flight: tuple[str, ...] = ()
    trade_cursor: dict[str, int] = {}  # per instrument: the newest trade id that has been told
    income_cursor_ms: int | None = None
    funding_cursor_ms: int | None = None
    asked_ns: Nanos
    asked_mono_ns: int
    answered_ns: Nanos


class AccountRead(Event, frozen=True, kw_only=True):
    """The account's figures as they were read between two comparisons (`[venue] account_poll_s`)."""

    account: VenueAccount


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


class SetCountdown(Command, frozen=True, kw_only=True):
    """Let the venue cancel the instrument's ordinary orders `countdown_ms` from when it gets this; 0: it does not."""

    token: str
    instrument: str
    countdown_ms: int


class SweepEntries(Command, frozen=True, kw_only=True):
    """Refuse entries until a countdown is set again, cancel those that rest; done when the venue reports none."""

    token: str


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

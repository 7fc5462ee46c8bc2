"""Orders: our intents, and what the venue said of them."""

from decimal import Decimal

from hedgegridd.messages.base import Command, Event
from hedgegridd.model import Leg, Nanos, OrderKind, Purpose, Side, TimeInForce


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

"""The nouns of the domain: legs, instruments, orders and their identities, valid by construction.

Prices, quantities and money are `Decimal`, times are integer nanoseconds (`Nanos`); units are in the names.
"""

import enum
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

import msgspec

type Nanos = int

ZERO = Decimal(0)
BPS = Decimal(10_000)
KEY_CODES = frozenset(
    {-2014, -2015, -1022}
)  # the venue's: no API key, unknown or without the right, a wrong secret
NOT_ALLOWED_CODES = KEY_CODES | {-4061}  # or not in hedge mode: account or key are not set up as they must be
ACCOUNT_KEY = "account"  # of the hold of an account or key that is not set up as it must be
JOURNAL_KEY = "journal"  # of the hold of a journal that cannot be written
NEEDS_YOU = (
    "only you can mend this: "  # before what the connection waits for when waiting alone does not help
)
NOT_TRADING_CODES = frozenset({-1121, -4140, -4141})  # the venue's: unknown symbol, opens nothing now, closed


class Side(enum.StrEnum):
    """Side of an order at the venue."""

    BUY = "BUY"
    SELL = "SELL"


class Leg(enum.StrEnum):
    """One of the two independent positions of a hedge-mode account (`positionSide` at the venue)."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for LONG, -1 for SHORT."""
        return 1 if self is Leg.LONG else -1

    @property
    def opposite(self) -> "Leg":
        """The other leg."""
        return Leg.SHORT if self is Leg.LONG else Leg.LONG

    @property
    def entry_side(self) -> Side:
        """The side that grows the leg."""
        return Side.BUY if self is Leg.LONG else Side.SELL

    @property
    def exit_side(self) -> Side:
        """The side that shrinks the leg."""
        return Side.SELL if self is Leg.LONG else Side.BUY


LEGS = (Leg.LONG, Leg.SHORT)


class Purpose(enum.StrEnum):
    """What an order is for; the letter is carried in its client order id."""

    ENTRY = "E"
    TAKE_PROFIT = "T"
    STOP = "S"
    CLOSE = "C"

    @property
    def reduces(self) -> bool:
        """True when the order can only shrink its leg."""
        return self is not Purpose.ENTRY


class OrderKind(enum.StrEnum):
    """Type of an order at the venue."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"


class TimeInForce(enum.StrEnum):
    """How long an order works; GTX is post-only."""

    GTC = "GTC"
    GTX = "GTX"
    IOC = "IOC"


class LegMode(enum.StrEnum):
    """What the strategy may do with a leg at run time (spec/2-strategy.md, leg modes)."""

    NORMAL = "normal"
    TP_ONLY = "tp_only"
    GRACEFUL_STOP = "graceful_stop"
    MANUAL = "manual"
    PANIC = "panic"


class Regime(enum.StrEnum):
    """Direction of the market as the strategy reads it."""

    SIDEWAYS = "SIDEWAYS"
    UP = "UP"
    DOWN = "DOWN"


class KillState(enum.StrEnum):
    """States of the kill switch (spec/3-safety.md)."""

    STARTING = "STARTING"
    ARMED = "ARMED"
    TRIPPED = "TRIPPED"
    HALTED = "HALTED"
    REARMING = "REARMING"


class OrderStatus(enum.StrEnum):
    """Our belief of an order. PENDING and UNKNOWN count as live: the venue may have it."""

    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"
    WORKING = "WORKING"
    CANCELING = "CANCELING"
    CLOSED = "CLOSED"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A perpetual and its filters as the venue tells them. Quantities in base currency, notional in USDT."""

    id: str
    symbol: str
    tick: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    min_notional: Decimal
    percent_up: Decimal = Decimal("1.05")
    percent_down: Decimal = Decimal("0.95")
    max_orders: int = 200
    max_algo_orders: int = 10
    maint_margin_rate: Decimal = Decimal("0.004")
    status: str = "TRADING"

    def floor_price(self, price: Decimal) -> Decimal:
        """The nearest price on the tick, not above."""
        return (price / self.tick).to_integral_value(ROUND_FLOOR) * self.tick

    def ceil_price(self, price: Decimal) -> Decimal:
        """The nearest price on the tick, not below."""
        return (price / self.tick).to_integral_value(ROUND_CEILING) * self.tick

    def away_price(self, leg: Leg, price: Decimal) -> Decimal:
        """To the tick away from the market for an entry of `leg`: down for LONG, up for SHORT."""
        return self.floor_price(price) if leg is Leg.LONG else self.ceil_price(price)

    def floor_qty(self, qty: Decimal) -> Decimal:
        """The largest quantity on the lot step, not above."""
        return (qty / self.step).to_integral_value(ROUND_FLOOR) * self.step


def position_id(instrument_id: str, leg: Leg) -> str:
    """NautilusTrader's position id of a leg, such as `BTCUSDT-PERP.BINANCE-LONG`."""
    return f"{instrument_id}-{leg.value}"


_B36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"^([A-Z0-9]{2,14})-([LS])(\d{3})([ETSC])-([0-9a-z]{1,6})-([0-9a-z]{1,7})$")


def base36(number: int) -> str:
    """A non-negative number in base 36, lower case."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _B36[rest] + digits
        if number == 0:
            return digits


class OrderTag(NamedTuple):
    """What a client order id says of its order."""

    symbol: str
    leg: Leg
    level: int
    purpose: Purpose
    epoch: str
    seq: int


def client_order_id(tag: OrderTag) -> str:
    """At most 36 characters: symbol, leg, level, purpose, epoch of the state folder, sequence.

    `BTCUSDT-L003E-k3f9a-1z`: entry of the third LONG rung. Level 0 is the leg itself (its stop, its close).

    Raises:
        ValueError: a part is out of its range, so that the id could not be read back.
    """
    text = (
        f"{tag.symbol}-{'L' if tag.leg is Leg.LONG else 'S'}{tag.level:03d}{tag.purpose.value}"
        f"-{tag.epoch}-{base36(tag.seq)}"
    )
    if len(text) > 36 or not _ID.match(text):
        raise ValueError(f"client order id {text!r} is not of the form symbol-leg/level/purpose-epoch-seq")
    return text


def parse_client_order_id(text: str) -> OrderTag | None:
    """The tag in a client order id, or None when the order is not one of ours."""
    match = _ID.match(text)
    if match is None:
        return None
    symbol, leg, level, purpose, epoch, seq = match.groups()
    return OrderTag(
        symbol, Leg.LONG if leg == "L" else Leg.SHORT, int(level), Purpose(purpose), epoch, int(seq, 36)
    )

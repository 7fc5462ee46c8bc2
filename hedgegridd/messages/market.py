"""Market data as machines see it: closed bars, marks, crossed levels."""

from decimal import Decimal
from typing import ClassVar

from hedgegridd.messages.base import Command, Event
from hedgegridd.model import Nanos


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

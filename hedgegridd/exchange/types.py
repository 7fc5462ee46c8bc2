"""What the parts of the paper exchange say to each other: rules, ticks, klines, errors, requests.

Three rooms meet here and only here:
    markets  (market.py, synthetic.py, replay.py, klines.py)  make `Tick`s on the market's clock,
    engine   (engine.py and what it uses)                     matches orders, keeps the account, sync and pure,
    server   (server.py, rest.py, streams.py, admin.py)       speaks the venue's wire protocol.
All figures are Decimal; times are integer milliseconds. `wall_ms` is wall clock, `ts_ms` the market's clock.
"""

from decimal import Decimal
from typing import Any, Protocol

import msgspec


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True):
    """Filters and fees of one perpetual, as `exchangeInfo` tells them. Quantities in base, notional in USDT."""

    symbol: str = "BTCUSDT"
    base: str = "BTC"
    quote: str = "USDT"
    tick: Decimal = Decimal("0.1")
    step: Decimal = Decimal("0.001")
    min_qty: Decimal = Decimal("0.001")
    max_qty: Decimal = Decimal(1000)
    market_max_qty: Decimal = Decimal(120)
    min_notional: Decimal = Decimal(100)
    percent_up: Decimal = Decimal("1.05")
    percent_down: Decimal = Decimal("0.95")
    max_orders: int = 200
    max_algo_orders: int = 10
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    maint_margin_rate: Decimal = Decimal("0.004")
    max_leverage: int = 125
    status: str = "TRADING"


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """The market of one symbol at `ts_ms`: what traded since the tick before, and the displayed book.

    `low`/`high` bound every price that traded in (previous tick, this tick]; a gap is a tick whose range does
    not touch the previous one. `volume` is base traded in that time. `bids`/`asks` are best first, (price, qty).
    """

    symbol: str
    ts_ms: int
    last: Decimal
    low: Decimal
    high: Decimal
    volume: Decimal
    mark: Decimal
    index: Decimal
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """One candle on the market's clock. `volume` in base, `quote_volume` in USDT; `closed` as the venue's `x`."""

    symbol: str
    interval: str
    open_ms: int
    close_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    closed: bool


class Market(Protocol):
    """A source of ticks for one symbol; deterministic under its seed."""

    symbol: str

    def history(self) -> list[Kline]:
        """Closed 1m klines that lie before the first tick (for warm-up), oldest first."""
        ...

    def next_ts_ms(self) -> int | None:
        """Market time of the next tick, or None when the market has ended."""
        ...

    def next(self) -> Tick:
        """The next tick. Raises StopIteration when the market has ended."""
        ...

    def save(self) -> bytes:
        """Where the market stands, to be given to `restore` of a market made alike."""
        ...

    def restore(self, data: bytes) -> None:
        """Stand where the market that gave `data` stood: the same ticks follow."""
        ...

    def pass_over(self, ms: int) -> None:
        """Let `ms` of market time go by without a tick; nothing for a recording, whose times are its own."""
        ...

    def jump(self, factor: Decimal) -> None:
        """Multiply the price level from the next tick on (a fault: price jump)."""
        ...


class VenueError(Exception):
    """An answer the venue refuses with: `code` and `msg` are its own, `status` the HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status


class UserEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One user-stream message, ready to be sent (`body["e"]` is its kind); `seq` orders them."""

    seq: int
    body: dict[str, Any]

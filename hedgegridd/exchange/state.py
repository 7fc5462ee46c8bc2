"""All the paper exchange remembers about one user: orders, algo orders, trades, legs, money.

Plain data with no behaviour beyond trivial properties, so that a snapshot is one encode of `State`.
Quantities are in base, prices and money in USDT; `*_ms` are milliseconds (wall clock unless a comment says market).
"""

from decimal import Decimal

import msgspec

ZERO = Decimal(0)
OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED"})
OPEN_ALGO_STATUSES = frozenset({"NEW", "TRIGGERING"})
FIRST_ORDER_ID = 1_000_001
LEGS = ("LONG", "SHORT")


class Leg(msgspec.Struct, kw_only=True):
    """One side of a hedged position: `qty` is never negative, `entry` is the average entry price."""

    symbol: str
    side: str
    qty: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    update_ms: int = 0

    def unrealised(self, mark: Decimal) -> Decimal:
        """Profit in USDT were the leg valued at `mark`."""
        if not self.qty:
            return ZERO
        move = mark - self.entry if self.side == "LONG" else self.entry - mark
        return move * self.qty


class Order(msgspec.Struct, kw_only=True):
    """An ordinary order.

    `queue` is the displayed size that still stands before it at its price, `rank` its place among our own: it grows with
    each order that comes to rest, anew after an amendment that loses its place.
    """

    id: int
    client_id: str
    symbol: str
    side: str
    leg: str
    type: str
    tif: str
    price: Decimal
    qty: Decimal
    time_ms: int
    update_ms: int
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    status: str = "NEW"
    gtd_ms: int = 0
    queue: Decimal = ZERO
    orig_type: str = ""
    stop_price: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    close_position: bool = False
    algo_id: int = 0
    rank: int = 0
    stp: str = "EXPIRE_MAKER"

    @property
    def open(self) -> bool:
        """Whether it can still fill."""
        return self.status in OPEN_STATUSES

    @property
    def remaining(self) -> Decimal:
        """Base quantity not filled yet."""
        return self.qty - self.filled

    @property
    def closes(self) -> bool:
        """Whether it reduces its leg (SELL of LONG, BUY of SHORT)."""
        return (self.side == "SELL") == (self.leg == "LONG")


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one order."""

    id: int
    order_id: int
    symbol: str
    side: str
    leg: str
    price: Decimal
    qty: Decimal
    realised: Decimal
    commission: Decimal
    maker: bool
    time_ms: int


class Algo(msgspec.Struct, kw_only=True):
    """A conditional order of the algo service; `order_id` is the ordinary order it turned into (0: none)."""

    id: int
    client_id: str
    symbol: str
    side: str
    leg: str
    type: str
    tif: str
    qty: Decimal
    trigger: Decimal
    price: Decimal
    working_type: str
    close_position: bool
    price_protect: bool
    create_ms: int
    update_ms: int
    status: str = "NEW"
    trigger_ms: int = 0
    gtd_ms: int = 0
    order_id: int = 0
    reason: str = ""
    stp: str = "EXPIRE_MAKER"

    @property
    def open(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.status in OPEN_ALGO_STATUSES

    @property
    def closes(self) -> bool:
        """Whether it would reduce its leg."""
        return (self.side == "SELL") == (self.leg == "LONG")

    @property
    def fires_up(self) -> bool:
        """Whether it fires when the price rises to the trigger (else when it falls to it)."""
        return (self.side == "BUY") == self.type.startswith("STOP")


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the income history; `time_ms` is market time for FUNDING_FEE, wall time for the rest."""

    tran_id: int
    kind: str
    symbol: str
    amount: Decimal
    time_ms: int
    trade_id: int = 0


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """One funding settlement of a symbol; `time_ms` is market time, `rate` the fraction paid by LONG."""

    time_ms: int
    rate: Decimal
    mark: Decimal


class Market(msgspec.Struct, kw_only=True):
    """What the engine last saw of one symbol and its funding state; `ts_ms` and funding times are market time."""

    symbol: str
    status: str
    leverage: int = 20
    isolated: bool = False
    ts_ms: int = 0
    last: Decimal = ZERO
    mark: Decimal = ZERO
    index: Decimal = ZERO
    bids: list[tuple[Decimal, Decimal]] = []
    asks: list[tuple[Decimal, Decimal]] = []
    next_funding_ms: int = 0
    funding_hours: int = 8
    settlements: list[Settled] = []
    premium_sum: Decimal = ZERO
    premium_count: int = 0
    rate_override: Decimal | None = None
    countdown_ms: int = 0


class Settings(msgspec.Struct, kw_only=True):
    """What an account or a key can be set to wrongly; the admin port changes it, hedge mode can be put right by REST."""

    hedge_mode: bool = True
    can_trade: bool = True
    key_futures: bool = True
    key_withdraw: bool = False
    key_bound: bool = True  # to addresses


class State(msgspec.Struct, kw_only=True):
    """Everything of the engine that a restart must keep. Orders and algo orders are in id order."""

    wallet: Decimal
    deposits: Decimal
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    insurance: Decimal = ZERO
    markets: dict[str, Market]
    legs: dict[str, Leg]
    orders: dict[int, Order] = {}
    algos: dict[int, Algo] = {}
    trades: list[Trade] = []
    income: dict[str, list[Income]] = {}  # by kind: times ascend within one kind only (two clocks)
    next_order_id: int = FIRST_ORDER_ID
    next_trade_id: int = 500_001
    next_rank: int = 1
    next_algo_id: int = 2_000_001
    next_tran_id: int = 9_000_001
    next_event_seq: int = 1
    forgotten_trades: int = 0
    margin_called: bool = False
    multi_assets: bool = False
    settings: Settings = msgspec.field(default_factory=Settings)
    update_ms: int = 0

    def leg(self, symbol: str, side: str) -> Leg:
        """The leg `side` (LONG or SHORT) of `symbol`; raises KeyError when the symbol is not listed."""
        return self.legs[f"{symbol}:{side}"]

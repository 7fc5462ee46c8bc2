"""The figures that metrics show, and no more of the desk's state than that: cheap with fifty instruments."""

from decimal import Decimal

import msgspec

from hedgegridd.messages.base import Answer, Query
from hedgegridd.model import Leg, Nanos


class GetFigures(Query, frozen=True, kw_only=True):
    """The desk's figures for metrics."""


class LegMetrics(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A leg in our books, in USDT: inventory at mark, realised net of fees and funding; None: not known."""

    leg: Leg
    qty: Decimal
    inventory_usdt: Decimal
    realized_usdt: Decimal
    unrealized_usdt: Decimal | None
    rungs_resting: int
    liquidation_price: Decimal | None


class InstrumentMetrics(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An instrument in our books; `last_bar_ns` on the market's clock."""

    instrument: str
    long: LegMetrics
    short: LegMetrics
    mark: Decimal | None
    funding_rate: Decimal | None
    last_bar_ns: Nanos | None
    open_orders: int
    fills: int
    maker_fills: int


class FiguresAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetFigures`; money in USDT, None: not known. `reconciled_ns`: when the books last agreed, wall clock."""

    instruments: tuple[InstrumentMetrics, ...]
    wallet_usdt: Decimal | None
    unrealized_usdt: Decimal | None
    peak_equity_usdt: Decimal | None
    residual_usdt: Decimal | None
    reconciled: bool
    reconciled_ns: Nanos | None

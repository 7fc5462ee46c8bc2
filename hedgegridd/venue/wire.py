"""The venue's JSON answers as Structs, and what they mean in our words.

Field names are the venue's (camelCase); only the fields we read are named, others are ignored.
"""
# ruff: noqa: N815

from collections.abc import Container, Iterable
from decimal import Decimal

import msgspec

from hedgegridd.messages import VenueAccount, VenueLeg, VenueOrder
from hedgegridd.model import LEGS, Instrument, Leg, Side

ZERO = Decimal(0)
NS_PER_MS = 1_000_000
_SECONDS = {"SECOND": 1, "MINUTE": 60}


class Account(msgspec.Struct):
    """`GET /fapi/v3/account`."""

    totalWalletBalance: Decimal
    totalMarginBalance: Decimal
    totalMaintMargin: Decimal
    totalInitialMargin: Decimal
    availableBalance: Decimal
    totalUnrealizedProfit: Decimal

    def ours(self) -> VenueAccount:
        """The same figures under our names."""
        return VenueAccount(
            wallet_usdt=self.totalWalletBalance,
            margin_balance_usdt=self.totalMarginBalance,
            maint_margin_usdt=self.totalMaintMargin,
            initial_margin_usdt=self.totalInitialMargin,
            available_usdt=self.availableBalance,
            unrealized_usdt=self.totalUnrealizedProfit,
        )


class PositionRisk(msgspec.Struct):
    """A row of `GET /fapi/v3/positionRisk`."""

    symbol: str
    positionSide: str
    positionAmt: Decimal
    entryPrice: Decimal
    markPrice: Decimal
    unRealizedProfit: Decimal
    liquidationPrice: Decimal = ZERO


class OpenOrder(msgspec.Struct):
    """A row of `GET /fapi/v1/openOrders`, and the answer of `GET /fapi/v1/order`."""

    symbol: str
    orderId: int
    clientOrderId: str
    status: str
    side: str
    positionSide: str
    type: str
    origQty: Decimal
    executedQty: Decimal
    price: Decimal
    stopPrice: Decimal = ZERO
    avgPrice: Decimal = ZERO
    closePosition: bool = False
    time: int = 0
    updateTime: int = 0


class AlgoOrder(msgspec.Struct):
    """A row of `GET /fapi/v1/openAlgoOrders`, and the answer of `GET` and `POST /fapi/v1/algoOrder`."""

    symbol: str
    algoId: int
    clientAlgoId: str
    algoStatus: str
    side: str
    positionSide: str
    orderType: str
    triggerPrice: Decimal
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    closePosition: bool = False
    actualOrderId: str | int | None = ""
    createTime: int = 0
    updateTime: int = 0


class Placed(msgspec.Struct):
    """What we read of the answer to `POST /fapi/v1/order` and `POST /fapi/v1/algoOrder`."""

    orderId: int = 0
    algoId: int = 0
    status: str = ""
    executedQty: Decimal = ZERO
    avgPrice: Decimal = ZERO


class UserTrade(msgspec.Struct):
    """A row of `GET /fapi/v1/userTrades`."""

    symbol: str
    id: int
    orderId: int
    side: str
    positionSide: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str
    maker: bool
    time: int


class Income(msgspec.Struct):
    """A row of `GET /fapi/v1/income`."""

    incomeType: str
    income: Decimal
    asset: str
    time: int
    tranId: int
    symbol: str = ""


class CancelResult(msgspec.Struct):
    """One answer of `DELETE /fapi/v1/batchOrders`: an order, or `code` and `msg`."""

    code: int = 0
    msg: str = ""
    clientOrderId: str = ""
    status: str = ""


class Code(msgspec.Struct):
    """An answer of which only the success counts."""

    code: int = 200
    msg: str = ""


class DualSide(msgspec.Struct):
    """`GET /fapi/v1/positionSide/dual`."""

    dualSidePosition: bool


class MultiAssets(msgspec.Struct):
    """`GET /fapi/v1/multiAssetsMargin`."""

    multiAssetsMargin: bool


class AccountConfig(msgspec.Struct):
    """`GET /fapi/v1/accountConfig`. `canTrade` is of the account, not of the key; None: the venue does not tell."""

    dualSidePosition: bool
    multiAssetsMargin: bool
    canTrade: bool | None = None


class KeyRights(msgspec.Struct):
    """`GET /sapi/v1/account/apiRestrictions`: what the API key may do; None: the venue does not tell."""

    enableFutures: bool
    enableWithdrawals: bool
    ipRestrict: bool | None = None
    enableInternalTransfer: bool | None = None
    permitsUniversalTransfer: bool | None = None


class SymbolConfig(msgspec.Struct):
    """A row of `GET /fapi/v1/symbolConfig`."""

    symbol: str
    marginType: str
    leverage: int


class PremiumIndex(msgspec.Struct):
    """`GET /fapi/v1/premiumIndex` of one symbol; `time` is the market's clock."""

    symbol: str
    markPrice: Decimal
    time: int


class Depth(msgspec.Struct):
    """`GET /fapi/v1/depth`: (price, quantity), the best first."""

    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


class PriceTicker(msgspec.Struct):
    """A row of `GET /fapi/v1/ticker/price`."""

    symbol: str
    price: Decimal


class ListenKey(msgspec.Struct):
    """`POST /fapi/v1/listenKey`."""

    listenKey: str


class RateLimit(msgspec.Struct):
    """A limit of exchangeInfo."""

    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class Filter(msgspec.Struct):
    """A filter of a symbol; which fields it has depends on `filterType`."""

    filterType: str
    tickSize: Decimal = ZERO
    stepSize: Decimal = ZERO
    minQty: Decimal = ZERO
    maxQty: Decimal = ZERO
    notional: Decimal = ZERO
    multiplierUp: Decimal = ZERO
    multiplierDown: Decimal = ZERO
    limit: int = 0


class Symbol(msgspec.Struct):
    """A symbol of exchangeInfo."""

    symbol: str
    status: str = ""
    filters: list[Filter] = []
    maintMarginPercent: Decimal = Decimal("2.5")


class ExchangeInfo(msgspec.Struct):
    """`GET /fapi/v1/exchangeInfo`."""

    symbols: list[Symbol]
    rateLimits: list[RateLimit] = []

    def weight_per_minute(self) -> int | None:
        """The request-weight budget of a minute, where the venue tells it."""
        for limit in self.rateLimits:
            if (
                limit.rateLimitType == "REQUEST_WEIGHT"
                and limit.interval == "MINUTE"
                and limit.intervalNum == 1
            ):
                return limit.limit
        return None

    def order_counts(self) -> tuple[tuple[int, int], ...]:
        """Orders allowed in each window: (seconds, orders); empty where the venue does not tell."""
        return tuple(
            (limit.intervalNum * _SECONDS[limit.interval], limit.limit)
            for limit in self.rateLimits
            if limit.rateLimitType == "ORDERS" and limit.interval in _SECONDS and limit.limit > 0
        )


class Bracket(msgspec.Struct):
    """One leverage bracket."""

    maintMarginRatio: Decimal


class Brackets(msgspec.Struct):
    """`GET /fapi/v1/leverageBracket` of one symbol."""

    symbol: str
    brackets: list[Bracket]


class NoLeg(ValueError):  # noqa: N818  # reads as the event it is
    """An order or inventory is on neither leg: the account is not in hedge mode."""


class FilterError(ValueError):
    """The venue's rules of a symbol lack something we need."""


def instrument(symbol: Symbol, instrument_id: str, maint_rate: Decimal) -> Instrument:
    """Rules of a symbol as our `Instrument`.

    Raises:
        FilterError: PRICE_FILTER or LOT_SIZE is missing or zero.
    """
    found = {item.filterType: item for item in symbol.filters}
    none = Filter(filterType="")
    price, lot = found.get("PRICE_FILTER", none), found.get("LOT_SIZE", none)
    if price.tickSize <= 0 or lot.stepSize <= 0:
        raise FilterError(f"{symbol.symbol}: exchangeInfo has no tick or lot step")
    percent = found.get("PERCENT_PRICE", none)
    return Instrument(
        id=instrument_id,
        symbol=symbol.symbol,
        tick=price.tickSize.normalize() + 0,
        step=lot.stepSize.normalize() + 0,
        min_qty=lot.minQty,
        max_qty=lot.maxQty,
        market_max_qty=found.get("MARKET_LOT_SIZE", lot).maxQty,
        min_notional=found.get("MIN_NOTIONAL", none).notional,
        percent_up=percent.multiplierUp or Decimal("1.05"),
        percent_down=percent.multiplierDown or Decimal("0.95"),
        max_orders=found.get("MAX_NUM_ORDERS", none).limit or 200,
        max_algo_orders=found.get("MAX_NUM_ALGO_ORDERS", none).limit or 10,
        maint_margin_rate=maint_rate,
        status=symbol.status,
    )


def legs(
    rows: Iterable[PositionRisk], ids: dict[str, str], marks: dict[str, Decimal]
) -> tuple[VenueLeg, ...]:
    """Both legs of every instrument in `ids` (symbol to id); the venue leaves flat ones out, so they are added.

    A flat leg that was left out carries the mark in `marks` (by id), 0 when none is known.
    """
    told: dict[tuple[str, Leg], PositionRisk] = {}
    for row in rows:
        if row.symbol in ids and row.positionSide in Leg:
            told[row.symbol, Leg(row.positionSide)] = row
    out = []
    for symbol, instrument_id in ids.items():
        for leg in LEGS:
            row_or_none = told.get((symbol, leg))
            if row_or_none is None:
                mark = marks.get(instrument_id, ZERO)
                flat = VenueLeg(
                    instrument=instrument_id,
                    leg=leg,
                    qty=ZERO,
                    entry_price=ZERO,
                    mark=mark,
                    unrealized_usdt=ZERO,
                )
                out.append(flat)
            else:
                out.append(_leg(row_or_none, instrument_id, leg))
    return tuple(out)


def unrealized_elsewhere(rows: Iterable[PositionRisk], traded: Container[str]) -> Decimal:
    """USDT that positions of symbols that are not traded here have won or lost so far."""
    return sum((row.unRealizedProfit for row in rows if row.symbol not in traded), ZERO)


def on_no_leg(rows: Iterable[PositionRisk], ids: dict[str, str]) -> str:
    """Inventory of the symbols in `ids` that is on neither leg, in words; empty when there is none.

    It is there when the account is not in hedge mode, and must never be taken for flat legs.
    """
    found = [row for row in rows if row.symbol in ids and row.positionSide not in LEGS and row.positionAmt]
    if not found:
        return ""
    held = ", ".join(f"{row.positionAmt} {row.symbol}" for row in found)
    return f"not in hedge mode: {held} on no leg; close it in the venue's app"


def _leg(row: PositionRisk, instrument_id: str, leg: Leg) -> VenueLeg:
    return VenueLeg(
        instrument=instrument_id,
        leg=leg,
        qty=abs(row.positionAmt),
        entry_price=row.entryPrice,
        mark=row.markPrice,
        unrealized_usdt=row.unRealizedProfit,
        liquidation_price=row.liquidationPrice if row.liquidationPrice > 0 else None,
    )


def _leg_of(side: str, client_order_id: str) -> Leg:
    if side not in LEGS:
        raise NoLeg(f"not in hedge mode: order {client_order_id} is on no leg; cancel it in the venue's app")
    return Leg(side)


def open_order(row: OpenOrder, instrument_id: str) -> VenueOrder:
    """An ordinary order in our words. Raises NoLeg."""
    return VenueOrder(
        instrument=instrument_id,
        client_order_id=row.clientOrderId,
        venue_order_id=str(row.orderId),
        leg=_leg_of(row.positionSide, row.clientOrderId),
        side=Side(row.side),
        kind=row.type,
        qty=row.origQty,
        filled_qty=row.executedQty,
        price=row.price or None,
        stop_price=row.stopPrice or None,
        close_position=row.closePosition,
        ts_ns=row.time * NS_PER_MS,
    )


def algo_order(row: AlgoOrder, instrument_id: str) -> VenueOrder:
    """A conditional order in our words. Raises NoLeg."""
    return VenueOrder(
        instrument=instrument_id,
        client_order_id=row.clientAlgoId,
        venue_order_id=str(row.algoId),
        leg=_leg_of(row.positionSide, row.clientAlgoId),
        side=Side(row.side),
        kind=row.orderType,
        qty=row.quantity,
        filled_qty=ZERO,
        price=row.price or None,
        stop_price=row.triggerPrice,
        close_position=row.closePosition,
        algo=True,
        ts_ns=row.createTime * NS_PER_MS,
    )

"""`GET /fapi/v1/exchangeInfo`: what the venue lists, with filters and limits."""

from collections.abc import Iterable, Mapping
from typing import Any

from hedgegridd.exchange.filters import TRIGGER_PROTECT, max_price
from hedgegridd.exchange.numbers import decimals, text
from hedgegridd.exchange.state import Market
from hedgegridd.exchange.types import SymbolRules

ONBOARD_MS = 1_569_398_400_000  # the venue's listing date of BTCUSDT
DELIVERY_MS = 4_133_404_800_000  # "never", as the venue writes it for perpetuals

RATE_LIMITS: tuple[dict[str, Any], ...] = (
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
)


def exchange_info(rules: Iterable[SymbolRules], markets: Mapping[str, Market], now_ms: int) -> dict[str, Any]:
    """The answer as of `now_ms` (wall)."""
    listed = list(rules)
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": list(RATE_LIMITS),
        "exchangeFilters": [],
        "assets": [
            {"asset": quote, "marginAvailable": True, "autoAssetExchange": "-10000"}
            for quote in sorted({r.quote for r in listed})
        ],
        "symbols": [symbol_info(r, markets[r.symbol].status) for r in listed],
    }


def symbol_info(rules: SymbolRules, status: str) -> dict[str, Any]:
    """One symbol's entry."""
    return {
        "symbol": rules.symbol,
        "pair": rules.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.quote,
        "pricePrecision": decimals(rules.tick),
        "quantityPrecision": decimals(rules.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if rules.base == "BTC" else [],
        "settlePlan": 0,
        "triggerProtect": f"{TRIGGER_PROTECT:.4f}",
        "liquidationFee": text(rules.taker_fee),
        "marketTakeBound": text(rules.percent_up - 1),
        "maxMoveOrderLimit": 10000,
        "filters": filters_of(rules),
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def filters_of(rules: SymbolRules) -> list[dict[str, Any]]:
    """The filters that filters.py enforces, as the venue names them."""
    tick, step = text(rules.tick), text(rules.step)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": text(max_price(rules)),
            "tickSize": tick,
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(rules.min_qty),
            "maxQty": text(rules.max_qty),
            "stepSize": step,
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": text(rules.min_qty),
            "maxQty": text(rules.market_max_qty),
            "stepSize": step,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": rules.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": rules.max_algo_orders},
        {"filterType": "MIN_NOTIONAL", "notional": text(rules.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": text(rules.percent_up),
            "multiplierDown": text(rules.percent_down),
            "multiplierDecimal": str(decimals(rules.percent_up)),
        },
    ]

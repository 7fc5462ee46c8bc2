"""What traded lately: the trades of a symbol as the venue lists them, and the figures of its last 24 hours."""

from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd.exchange.klines import MINUTE_MS, KlineBook
from hedgegridd.exchange.numbers import fixed, text
from hedgegridd.exchange.types import Tick

TRADES_KEPT = 1_000  # the venue's most rows of trades and aggTrades
DAY_MINUTES = 1_440
_CENT8 = Decimal("1E-8")
_PERCENT = Decimal("0.001")


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The last 1,440 minutes of a symbol up to `close_ms` (market time); quantities in base, `quote` in USDT."""

    symbol: str
    open_ms: int
    close_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    last_qty: str
    volume: Decimal
    quote: Decimal
    trades: int
    last_id: int


def day_of(tick: Tick, klines: KlineBook, trade: dict[str, Any] | None) -> Day:
    """The figures as of `tick`, from the minutes that are known; `trade` is the last one, as `aggTrade` has it."""
    start_ms = tick.ts_ms - tick.ts_ms % MINUTE_MS - (DAY_MINUTES - 1) * MINUTE_MS
    minutes = klines.query(tick.symbol, "1m", start_ms, tick.ts_ms, DAY_MINUTES)
    return Day(
        symbol=tick.symbol,
        open_ms=minutes[0].open_ms if minutes else tick.ts_ms,
        close_ms=tick.ts_ms,
        open=minutes[0].open if minutes else tick.last,
        high=max((k.high for k in minutes), default=tick.last),
        low=min((k.low for k in minutes), default=tick.last),
        last=tick.last,
        last_qty=str(trade["q"]) if trade else "0",
        volume=sum((k.volume for k in minutes), Decimal(0)),
        quote=sum((k.quote_volume for k in minutes), Decimal(0)),
        trades=sum(k.trades for k in minutes),
        last_id=int(trade["l"]) if trade else 0,
    )


def _change(day: Day) -> tuple[str, str, str]:
    """(price change, change in percent, volume-weighted mean price) as the venue writes them."""
    change = day.last - day.open
    mean = day.quote / day.volume if day.volume else day.last
    return text(change), fixed(change / day.open * 100, _PERCENT), fixed(mean, _CENT8)


def day_row(day: Day) -> dict[str, Any]:
    """A row of `GET /fapi/v1/ticker/24hr`."""
    change, percent, mean = _change(day)
    return {
        "symbol": day.symbol, "priceChange": change, "priceChangePercent": percent, "weightedAvgPrice": mean,
        "lastPrice": text(day.last), "lastQty": day.last_qty, "openPrice": text(day.open),
        "highPrice": text(day.high), "lowPrice": text(day.low), "volume": text(day.volume),
        "quoteVolume": text(day.quote), "openTime": day.open_ms, "closeTime": day.close_ms,
        "firstId": max(0, day.last_id - day.trades + 1), "lastId": day.last_id, "count": day.trades,
    }  # fmt: skip


def day_message(day: Day) -> dict[str, Any]:
    """A `<symbol>@ticker` message."""
    change, percent, mean = _change(day)
    return {
        "e": "24hrTicker", "E": day.close_ms, "s": day.symbol, "p": change, "P": percent, "w": mean,
        "c": text(day.last), "Q": day.last_qty, "o": text(day.open), "h": text(day.high), "l": text(day.low),
        "v": text(day.volume), "q": text(day.quote), "O": day.open_ms, "C": day.close_ms,
        "F": max(0, day.last_id - day.trades + 1), "L": day.last_id, "n": day.trades,
    }  # fmt: skip


def mini_message(day: Day) -> dict[str, Any]:
    """A `<symbol>@miniTicker` message."""
    return {
        "e": "24hrMiniTicker", "E": day.close_ms, "s": day.symbol, "c": text(day.last), "o": text(day.open),
        "h": text(day.high), "l": text(day.low), "v": text(day.volume), "q": text(day.quote),
    }  # fmt: skip


def trade_message(trade: dict[str, Any]) -> dict[str, Any]:
    """A `<symbol>@trade` message of a trade that is given as `aggTrade` has it."""
    return {
        "e": "trade", "E": trade["E"], "T": trade["T"], "s": trade["s"], "t": trade["l"],
        "p": trade["p"], "q": trade["q"], "X": "MARKET", "m": trade["m"],
    }  # fmt: skip


def trade_row(trade: dict[str, Any]) -> dict[str, Any]:
    """A row of `GET /fapi/v1/trades`."""
    return {
        "id": trade["l"], "price": trade["p"], "qty": trade["q"],
        "quoteQty": text(Decimal(trade["p"]) * Decimal(trade["q"])), "time": trade["T"],
        "isBuyerMaker": trade["m"],
    }  # fmt: skip


def aggregate_row(trade: dict[str, Any]) -> dict[str, Any]:
    """A row of `GET /fapi/v1/aggTrades`."""
    return {name: trade[name] for name in ("a", "p", "q", "f", "l", "T", "m")}


def force_order_message(event: dict[str, Any]) -> dict[str, Any]:
    """A `<symbol>@forceOrder` message of a liquidation's ORDER_TRADE_UPDATE."""
    order = event["o"]
    names = ("s", "S", "o", "f", "q", "p", "ap", "X", "l", "z", "T")
    return {"e": "forceOrder", "E": event["E"], "o": {**{name: order[name] for name in names}, "o": "LIMIT"}}

"""Public REST answers: time, rules, klines, book and prices."""

from typing import Any

from hedgegridd.exchange.numbers import text as plain
from hedgegridd.exchange.params import missing
from hedgegridd.exchange.streams import SymbolStreams, kline_row, levels_json
from hedgegridd.exchange.tape import TRADES_KEPT, aggregate_row, day_of, day_row, trade_row
from hedgegridd.exchange.types import Tick, VenueError
from hedgegridd.exchange.venue import Venue

Params = dict[str, str]
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
MAX_KLINES = 1_500
UNLIMITED = 1_000_000_000  # what `--no-rate-limits` tells for each limit


def integer(params: Params, name: str, default: int | None = None) -> int | None:
    """An optional whole number. Raises VenueError -1102 when it is not one."""
    text = params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise missing(name)
    return int(text)


def limit_of(params: Params, default: int, most: int) -> int:
    """`limit` within 1 to `most`. Raises VenueError -1102 or -1130."""
    limit = integer(params, "limit", default)
    if limit is None or not 1 <= limit <= most:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def ping(_venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/ping`."""
    return {}


def server_time(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/time`: wall clock."""
    return {"serverTime": venue.wall.now_ms()}


def exchange_info(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/exchangeInfo`: the engine's rules, stamped with the wall clock; limits as they are enforced."""
    info = venue.engine.exchange_info(venue.wall.now_ms())
    if not venue.limiter.enforced:
        info["rateLimits"] = [limit | {"limit": UNLIMITED} for limit in info["rateLimits"]]
    return info


def klines(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/klines`: on the market's clock, the open one last."""
    limit = limit_of(params, 500, MAX_KLINES)
    start, end = integer(params, "startTime"), integer(params, "endTime")
    return [
        kline_row(kline)
        for kline in venue.klines.query(params["symbol"], params["interval"], start, end, limit)
    ]


def depth(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/depth`: the displayed book; `lastUpdateId` fits the diff stream."""
    tick = venue.tick_of(params["symbol"])
    limit = integer(params, "limit", 500)
    if limit not in DEPTH_LIMITS:
        raise VenueError(-4021, f"{params['limit']} is not valid depth limit.")
    return {
        "lastUpdateId": venue.streams[tick.symbol].update_id,
        "E": tick.ts_ms, "T": tick.ts_ms,
        "bids": levels_json(tick.bids, limit), "asks": levels_json(tick.asks, limit),
    }  # fmt: skip


def premium_index(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/premiumIndex`: mark, index and funding, on the market's clock."""

    def row(tick: Tick) -> dict[str, Any]:
        rate, next_ms = venue.engine.funding(tick.symbol)
        return {
            "symbol": tick.symbol, "markPrice": plain(tick.mark), "indexPrice": plain(tick.index),
            "estimatedSettlePrice": plain(tick.mark), "lastFundingRate": plain(rate),
            "interestRate": "0.00010000", "nextFundingTime": next_ms, "time": tick.ts_ms,
        }  # fmt: skip

    return _one_or_all(venue, params, row)


def book_ticker(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/ticker/bookTicker`."""

    def row(tick: Tick) -> dict[str, Any]:
        return {
            "symbol": tick.symbol, "bidPrice": plain(tick.bids[0][0]), "bidQty": plain(tick.bids[0][1]),
            "askPrice": plain(tick.asks[0][0]), "askQty": plain(tick.asks[0][1]), "time": tick.ts_ms,
            "lastUpdateId": venue.streams[tick.symbol].update_id,
        }  # fmt: skip

    return _one_or_all(venue, params, row)


def price_ticker(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/ticker/price`."""
    return _one_or_all(
        venue, params, lambda tick: {"symbol": tick.symbol, "price": plain(tick.last), "time": tick.ts_ms}
    )


def day_ticker(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/ticker/24hr`: the last 24 hours of the market's clock."""

    def row(tick: Tick) -> dict[str, Any]:
        trades = venue.streams[tick.symbol].trades
        return day_row(day_of(tick, venue.klines, trades[-1] if trades else None))

    return _one_or_all(venue, params, row)


def _streams(venue: Venue, params: Params) -> SymbolStreams:
    return venue.streams[venue.tick_of(params["symbol"]).symbol]


def trades(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/trades`: the newest trades, oldest of them first."""
    limit = limit_of(params, 500, TRADES_KEPT)
    return [trade_row(trade) for trade in list(_streams(venue, params).trades)[-limit:]]


def aggregate_trades(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/aggTrades`: by `fromId`, or `startTime` and `endTime` (market time), or the newest."""
    limit = limit_of(params, 500, TRADES_KEPT)
    first, start, end = (integer(params, name) for name in ("fromId", "startTime", "endTime"))
    rows = [
        trade
        for trade in _streams(venue, params).trades
        if (first is None or trade["a"] >= first)
        and (start is None or trade["T"] >= start)
        and (end is None or trade["T"] <= end)
    ]
    chosen = rows[-limit:] if first is None and start is None else rows[:limit]
    return [aggregate_row(trade) for trade in chosen]


def funding_info(venue: Venue, _params: Params) -> Any:
    """`GET /fapi/v1/fundingInfo`: symbols whose funding differs from the usual 8 h."""
    return venue.engine.funding_info()


def funding_rates(venue: Venue, params: Params) -> Any:
    """`GET /fapi/v1/fundingRate`: settlements so far, on the market's clock."""
    return venue.engine.funding_rates(params)


def _one_or_all(venue: Venue, params: Params, row: Any) -> Any:
    if "symbol" in params:
        return row(venue.tick_of(params["symbol"]))
    return [row(tick) for tick in venue.ticks.values()]

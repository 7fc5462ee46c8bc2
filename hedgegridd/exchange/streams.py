"""The market streams of one symbol: from ticks and klines to the venue's messages, only where somebody listens.

All times in them are the market's clock. Throttled streams (depth, mark price, open klines) are timed by ticks,
so that a stepped market sends the same messages at any speed.
"""

import re
from collections import deque
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any, Literal

import msgspec

from hedgegridd.exchange.klines import INTERVALS_MS, KlineBook
from hedgegridd.exchange.numbers import text as plain
from hedgegridd.exchange.tape import TRADES_KEPT, day_message, day_of, mini_message, trade_message
from hedgegridd.exchange.types import Kline, Tick

KLINE_UPDATE_MS = 250
DEPTH_DEFAULT_MS = 250
MARK_DEFAULT_MS = 3_000
TICKER_EVERY_MS = 1_000

StreamKind = Literal["book", "diff", "partial", "trade", "print", "mark", "kline", "ticker", "mini", "force"]
_PATTERN = re.compile(
    r"(?P<symbol>[a-z0-9_]{1,40})@(?:"
    r"(?P<book>bookTicker)|(?P<trade>aggTrade)|(?P<print>trade)|(?P<ticker>ticker)|(?P<mini>miniTicker)|"
    r"(?P<force>forceOrder)|"
    r"depth(?P<levels>5|10|20)?(?:@(?P<depth_ms>0|100|250|500)ms)?|"
    r"markPrice(?P<mark>)(?:@(?P<mark_s>1|3)s)?|"
    r"kline_(?P<interval>\d{1,2}[mhdwM]))",
)


class StreamSpec(msgspec.Struct, frozen=True):
    """What a stream name asks for. `every_ms` is the least market time between two messages."""

    name: str
    symbol: str
    kind: StreamKind
    every_ms: int = 0
    levels: int = 0
    interval: str = ""


def parse_stream(name: str) -> StreamSpec | None:
    """The stream behind a name, or None where the venue would stay silent too."""
    match = _PATTERN.fullmatch(name)
    if match is None:
        return None
    symbol = match["symbol"].upper()
    if match["book"]:
        return StreamSpec(name, symbol, "book")
    if match["trade"]:
        return StreamSpec(name, symbol, "trade")
    if match["print"]:
        return StreamSpec(name, symbol, "print")
    if match["ticker"]:
        return StreamSpec(name, symbol, "ticker", TICKER_EVERY_MS)
    if match["mini"]:
        return StreamSpec(name, symbol, "mini", TICKER_EVERY_MS)
    if match["force"]:
        return StreamSpec(name, symbol, "force")
    if match["interval"]:
        if match["interval"] not in INTERVALS_MS:
            return None
        return StreamSpec(name, symbol, "kline", KLINE_UPDATE_MS, interval=match["interval"])
    if match["mark"] is not None:
        return StreamSpec(
            name, symbol, "mark", int(match["mark_s"]) * 1000 if match["mark_s"] else MARK_DEFAULT_MS
        )
    every_ms = int(match["depth_ms"]) if match["depth_ms"] else DEPTH_DEFAULT_MS
    if match["levels"]:
        return StreamSpec(name, symbol, "partial", every_ms, levels=int(match["levels"]))
    return StreamSpec(name, symbol, "diff", every_ms)


def levels_json(levels: tuple[tuple[Decimal, Decimal], ...], limit: int) -> list[list[str]]:
    """Book levels as `[price, quantity]` strings, best first."""
    return [[plain(price), plain(qty)] for price, qty in levels[:limit]]


class _Sent(msgspec.Struct):
    """What a throttled stream sent last: when, the open of its kline, the book a diff left its listeners with."""

    ts_ms: int
    update_id: int
    open_ms: int | None = None
    bids: tuple[tuple[Decimal, Decimal], ...] = ()
    asks: tuple[tuple[Decimal, Decimal], ...] = ()


class SymbolStreams:
    """Numbers updates and trades of one symbol and writes its stream messages."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.update_id = 1_000
        self.trade_id = 1_000
        self._sent: dict[str, _Sent] = {}
        self.last_price: Decimal | None = None
        self._trade: dict[str, Any] | None = None
        self.trades: deque[dict[str, Any]] = deque(maxlen=TRADES_KEPT)

    def on_tick(self, tick: Tick) -> None:
        """Count the tick: one book update, and a trade when something traded."""
        self.update_id += 1
        self._trade = None
        if tick.volume > 0:
            self.trade_id += 1
            fell = self.last_price is not None and tick.last < self.last_price
            self._trade = {
                "e": "aggTrade", "E": tick.ts_ms, "a": self.trade_id, "s": self.symbol,
                "p": plain(tick.last), "q": plain(tick.volume), "f": self.trade_id, "l": self.trade_id,
                "T": tick.ts_ms, "m": fell,
            }  # fmt: skip
            self.trades.append(self._trade)
        self.last_price = tick.last

    def restore(self, update_id: int, trade_id: int, last_price: Decimal | None) -> None:
        """Go on numbering where a venue that was restarted had come to."""
        self.update_id, self.trade_id, self.last_price = update_id, trade_id, last_price

    def messages(
        self, spec: StreamSpec, tick: Tick, klines: KlineBook, funding: Callable[[str], tuple[Decimal, int]]
    ) -> list[dict[str, Any]]:
        """What this stream says at this tick; mostly nothing or one message. `funding` gives rate and next time."""
        match spec.kind:
            case "book":
                return [self._book_ticker(tick)]
            case "trade":
                return [] if self._trade is None else [self._trade]
            case "print":
                return [] if self._trade is None else [trade_message(self._trade)]
            case "ticker" | "mini":
                return self._day(spec, tick, klines) if self._due(spec, tick) else []
            case "force":
                return []  # not the market's: the venue sends it when it liquidates
            case "kline":
                return self._klines(spec, tick, klines)
            case "mark":
                return self._mark(spec, tick, *funding(tick.symbol)) if self._due(spec, tick) else []
            case "partial":
                return self._partial(spec, tick) if self._due(spec, tick) else []
            case "diff":
                return self._diff(spec, tick)

    def forget(self, wanted: set[str]) -> None:
        """Drop the memory of streams nobody listens to any more."""
        for name in [name for name in self._sent if name not in wanted]:
            del self._sent[name]

    def _due(self, spec: StreamSpec, tick: Tick) -> bool:
        sent = self._sent.get(spec.name)
        return sent is None or tick.ts_ms - sent.ts_ms >= spec.every_ms

    def _book_ticker(self, tick: Tick) -> dict[str, Any]:
        bid, ask = tick.bids[0], tick.asks[0]
        return {
            "e": "bookTicker", "u": self.update_id, "s": self.symbol, "b": plain(bid[0]), "B": plain(bid[1]),
            "a": plain(ask[0]), "A": plain(ask[1]), "T": tick.ts_ms, "E": tick.ts_ms,
        }  # fmt: skip

    def _klines(self, spec: StreamSpec, tick: Tick, klines: KlineBook) -> list[dict[str, Any]]:
        """Every kline that closed since the last message, and the open one when it is due."""
        now = klines.current(self.symbol, spec.interval)
        sent = self._sent.get(spec.name)
        shown: list[Kline] = []
        if sent is not None and sent.open_ms is not None and (now is None or now.open_ms != sent.open_ms):
            since = klines.query(self.symbol, spec.interval, sent.open_ms, None, 1500)
            shown = [kline for kline in since if kline.closed]
        if now is not None and (shown or self._due(spec, tick)):
            shown.append(now)
        if shown:
            open_ms = now.open_ms if now is not None else shown[-1].close_ms + 1
            self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id, open_ms)
        return [kline_message(kline, tick.ts_ms, self.trade_id) for kline in shown]

    def _mark(self, spec: StreamSpec, tick: Tick, rate: Decimal, next_ms: int) -> list[dict[str, Any]]:
        self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id)
        return [
            {
                "e": "markPriceUpdate", "E": tick.ts_ms, "s": self.symbol, "p": plain(tick.mark),
                "P": plain(tick.mark), "i": plain(tick.index), "r": plain(rate), "T": next_ms,
            }
        ]  # fmt: skip

    def _day(self, spec: StreamSpec, tick: Tick, klines: KlineBook) -> list[dict[str, Any]]:
        self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id)
        day = day_of(tick, klines, self.trades[-1] if self.trades else None)
        return [day_message(day) if spec.kind == "ticker" else mini_message(day)]

    def _partial(self, spec: StreamSpec, tick: Tick) -> list[dict[str, Any]]:
        before = self._sent.get(spec.name)
        self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id)
        pu = before.update_id if before else self.update_id - 1
        bids, asks = levels_json(tick.bids, spec.levels), levels_json(tick.asks, spec.levels)
        return [self._depth(tick, pu, bids, asks)]

    def _diff(self, spec: StreamSpec, tick: Tick) -> list[dict[str, Any]]:
        before = self._sent.get(spec.name)
        if before is None:
            # The first tick only sets the base: a listener takes the book itself from GET /fapi/v1/depth.
            self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id, bids=tick.bids, asks=tick.asks)
            return []
        if tick.ts_ms - before.ts_ms < spec.every_ms:
            return []
        bids, asks = _changed(before.bids, tick.bids), _changed(before.asks, tick.asks)
        if not bids and not asks:
            return []
        self._sent[spec.name] = _Sent(tick.ts_ms, self.update_id, bids=tick.bids, asks=tick.asks)
        return [self._depth(tick, before.update_id, bids, asks)]

    def _depth(self, tick: Tick, pu: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
        return {
            "e": "depthUpdate", "E": tick.ts_ms, "T": tick.ts_ms, "s": self.symbol,
            "U": pu + 1, "u": self.update_id, "pu": pu, "b": bids, "a": asks,
        }  # fmt: skip


def _changed(
    old: tuple[tuple[Decimal, Decimal], ...], new: tuple[tuple[Decimal, Decimal], ...]
) -> list[list[str]]:
    before, after = dict(old), dict(new)
    gone = [[plain(price), plain(qty * 0)] for price, qty in old if price not in after]
    return gone + [[plain(price), plain(qty)] for price, qty in new if before.get(price) != qty]


def halved(value: Decimal) -> Decimal:
    """Half of a figure with as many decimals as it has itself, rounded down."""
    return (value / 2).quantize(value, ROUND_DOWN)


def kline_message(kline: Kline, event_ms: int, trade_id: int) -> dict[str, Any]:
    """A `kline` stream message. Half of the volume is shown as taken by buyers: ticks do not tell."""
    half, quote_half = halved(kline.volume), halved(kline.quote_volume)
    return {
        "e": "kline", "E": event_ms, "s": kline.symbol,
        "k": {
            "t": kline.open_ms, "T": kline.close_ms, "s": kline.symbol, "i": kline.interval,
            "f": max(1, trade_id - kline.trades + 1), "L": trade_id,
            "o": plain(kline.open), "c": plain(kline.close), "h": plain(kline.high), "l": plain(kline.low),
            "v": plain(kline.volume), "n": kline.trades, "x": kline.closed, "q": plain(kline.quote_volume),
            "V": plain(half), "Q": plain(quote_half), "B": "0",
        },
    }  # fmt: skip


def kline_row(kline: Kline) -> list[Any]:
    """A row of `GET /fapi/v1/klines`."""
    return [
        kline.open_ms, plain(kline.open), plain(kline.high), plain(kline.low), plain(kline.close),
        plain(kline.volume), kline.close_ms, plain(kline.quote_volume), kline.trades,
        plain(halved(kline.volume)), plain(halved(kline.quote_volume)), "0",
    ]  # fmt: skip

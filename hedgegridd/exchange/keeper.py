"""What of a venue outlives its process: written after each change, before anyone hears of it, and read at the start.

Kept are money, legs, orders, algo orders, trades, income, settlements, leverage, countdowns, filters and statuses, the
listenKey, the clock's skew, the market where it stands (random numbers included), candles, API key and secret. Not kept are
rate limits, faults, sockets and the list of the market's own last trades.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.klines import KlineBook
from hedgegridd.exchange.state import Algo, Income, Order, Settled, State, Trade
from hedgegridd.exchange.store import Batch, Store, StoreError
from hedgegridd.exchange.types import Kline, SymbolRules, Tick
from hedgegridd.exchange.venue import Venue

_encode = msgspec.msgpack.encode
_PRUNE_EVERY = 10_000  # closed minutes between two prunings of the file


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a state file is of; another setup cannot go on with it."""

    market: str
    symbols: tuple[str, ...]
    seed: int
    regime: str
    tick_rate: Decimal
    data: str


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of the account."""

    key: str
    secret: str


class _Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The venue around the engine: listenKey (end in wall ms), skew, numbering and last trade price of the streams."""

    listen_key: str | None
    listen_key_ends_ms: int
    skew_ms: int
    numbering: dict[str, tuple[int, int, Decimal | None]]
    ticks: dict[str, Tick]
    rules: dict[str, SymbolRules]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes go wrong while it is read is a StoreError that names it."""
    try:
        yield
    except StoreError:
        raise
    # A byte may be wrong anywhere: in a page, in an encoded value, or only in what the values say of each other.
    except (sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, AssertionError) as error:
        raise StoreError(f"state: {path} is broken: {type(error).__name__}: {error}") from error


def open_store(path: Path, setup: Setup) -> Store:
    """The store at `path`, new or of the same setup. Raises StoreError naming what differs."""
    store = Store(path)
    try:
        with reading(path):
            _agree(store, path, setup)
    except StoreError:
        store.close()
        raise
    return store


def _agree(store: Store, path: Path, setup: Setup) -> None:
    known = store.part("setup")
    if known is None:
        batch = Batch()
        batch.parts["setup"] = _encode(setup)
        store.write(batch)
        return
    before = msgspec.msgpack.decode(known, type=Setup)
    for name in setup.__struct_fields__:
        if getattr(before, name) != getattr(setup, name):
            raise StoreError(
                f"state: {path} is of {name} {getattr(before, name)!r}, asked for is {getattr(setup, name)!r}"
            )


def credentials(store: Store, key: str, secret: str) -> Key:
    """The credentials of the account: those given, else those kept, else new ones; kept from now on."""
    known = store.part("key")
    before = msgspec.msgpack.decode(known, type=Key) if known else Key(key="", secret="")
    now = Key(
        key=key or before.key or secrets.token_hex(32),
        secret=secret or before.secret or secrets.token_hex(32),
    )
    if now != before:
        batch = Batch()
        batch.parts["key"] = _encode(now)
        store.write(batch)
    return now


def begun(store: Store) -> bool:
    """Whether a venue has been kept in the file: one that ended before its first tick has not."""
    return store.part("account") is not None and store.part("around") is not None


def kept_minutes(store: Store) -> list[Kline]:
    """The closed minutes, oldest first per symbol."""
    return [msgspec.msgpack.decode(data, type=Kline) for _, data in store.rows("minute")]


def restore(store: Store, venue: Venue) -> None:
    """Puts a new venue where the kept one was; for a store that has `begun`."""
    state = msgspec.msgpack.decode(store.part("account") or b"", type=State)
    state.orders = {o.id: o for _, data in store.rows("order") for o in [_order(data)]}
    state.algos = {a.id: a for _, d in store.rows("algo") for a in [msgspec.msgpack.decode(d, type=Algo)]}
    state.trades = [msgspec.msgpack.decode(data, type=Trade) for _, data in store.rows("trade")]
    for kind, data in store.rows("income"):
        state.income.setdefault(kind, []).append(msgspec.msgpack.decode(data, type=Income))
    for symbol, data in store.rows("settled"):
        state.markets[symbol].settlements.append(msgspec.msgpack.decode(data, type=Settled))
    queues = msgspec.msgpack.decode(store.part("queues") or _encode({}), type=dict[int, Decimal])
    for order_id, queue in queues.items():
        state.orders[order_id].queue = queue
    surroundings = msgspec.msgpack.decode(store.part("around") or b"", type=_Surroundings)
    venue.engine.restore_state(state, surroundings.rules)
    venue.user.restore(surroundings.listen_key, surroundings.listen_key_ends_ms)
    venue.wall.skew_ms = surroundings.skew_ms
    venue.ticks = surroundings.ticks
    for symbol, numbers in surroundings.numbering.items():
        venue.streams[symbol].restore(*numbers)
    for symbol, market in venue.markets.items():
        where, candle = store.part(f"market:{symbol}"), store.part(f"candle:{symbol}")
        if where is not None:
            market.restore(where)
        if candle is not None:
            venue.klines.resume(msgspec.msgpack.decode(candle, type=Kline))


def _order(data: bytes) -> Order:
    return msgspec.msgpack.decode(data, type=Order)


class Keeper:
    """Writes what has changed since it last did; `venue.flush` calls it before a frame or an answer leaves."""

    def __init__(self, store: Store, venue: Venue) -> None:
        """All of `venue` is written at the first `save`, unless it was just restored from `store`."""
        self._store = store
        self._venue = venue
        self._parts: dict[str, bytes] = {}
        self._changes = -1
        self._minutes: dict[str, int] = {}
        self._minutes_written = 0
        self._trade_id = self._tran_id = 0
        self._settled: dict[str, int] = {}
        self._first: dict[tuple[str, str], int] = {}
        venue.engine.keep_track()

    def known(self) -> None:
        """Takes all that the venue holds now as written: it was just restored."""
        self._venue.engine.take_touched()
        state = self._venue.engine.state
        self._trade_id, self._tran_id = state.next_trade_id, state.next_tran_id
        for symbol, market in state.markets.items():
            self._settled[symbol] = market.settlements[-1].time_ms if market.settlements else 0
            self._minutes[symbol] = self._venue.klines.last_closed_ms(symbol)

    def save(self) -> None:
        """Commit the changes, if any. Raises sqlite3.Error."""
        changes = self._venue.changes
        if changes == self._changes:
            return
        batch = Batch()
        self._rows(batch)
        self._minutes_of(batch)
        parts = self._current()
        batch.parts = {name: data for name, data in parts.items() if self._parts.get(name) != data}
        if batch:
            self._store.write(batch)
        self._parts = parts
        self._changes = changes

    def _current(self) -> dict[str, bytes]:
        venue = self._venue
        engine = venue.engine
        queues = {o.id: o.queue for o in engine.resting()}
        around = _Surroundings(
            listen_key=venue.user.key,
            listen_key_ends_ms=venue.user.ends_ms,
            skew_ms=venue.wall.skew_ms,
            numbering={s: (x.update_id, x.trade_id, x.last_price) for s, x in venue.streams.items()},
            ticks=venue.ticks,
            rules=dict(engine.rules),
        )
        parts = {"account": _encode(_light(engine)), "queues": _encode(queues), "around": _encode(around)}
        for symbol, market in venue.markets.items():
            parts[f"market:{symbol}"] = market.save()
            candle = venue.klines.current(symbol, "1m")
            if candle is not None:
                parts[f"candle:{symbol}"] = _encode(candle)
        return parts

    def _rows(self, batch: Batch) -> None:
        engine = self._venue.engine
        state = engine.state
        orders, algos = engine.take_touched()
        for order_id in orders:
            self._put_or_forget(batch, "order", order_id, state.orders.get(order_id))
        for algo_id in algos:
            self._put_or_forget(batch, "algo", algo_id, state.algos.get(algo_id))
        for trade in reversed(state.trades):
            if trade.id < self._trade_id:
                break
            batch.put("trade", trade.id, _encode(trade))
        self._trade_id = state.next_trade_id
        self._begins(batch, "trade", "", state.trades[0].id if state.trades else 0)
        for kind, rows in state.income.items():
            for row in reversed(rows):
                if row.tran_id < self._tran_id:
                    break
                batch.put("income", row.tran_id, _encode(row), sub=kind)
            self._begins(batch, "income", kind, rows[0].tran_id)
        self._tran_id = state.next_tran_id
        for symbol, market in state.markets.items():
            for settled in reversed(market.settlements):
                if settled.time_ms <= self._settled.get(symbol, 0):
                    break
                batch.put("settled", settled.time_ms, _encode(settled), sub=symbol)
            if market.settlements:
                self._settled[symbol] = market.settlements[-1].time_ms
                self._begins(batch, "settled", symbol, market.settlements[0].time_ms)

    @staticmethod
    def _put_or_forget(batch: Batch, kind: str, row_id: int, item: Order | Algo | None) -> None:
        if item is None:
            batch.forget(kind, row_id)
        else:
            batch.put(kind, row_id, _encode(item))

    def _begins(self, batch: Batch, kind: str, sub: str, first: int) -> None:
        """Drops from the file what memory has forgotten at the old end."""
        before = self._first.get((kind, sub))
        self._first[kind, sub] = first
        if before is not None and first > before:
            batch.forget_before(kind, first, sub=sub)

    def _minutes_of(self, batch: Batch) -> None:
        klines: KlineBook = self._venue.klines
        for symbol in self._venue.markets:
            since = self._minutes.get(symbol, -1)
            fresh = klines.closed_after(symbol, since)
            for kline in fresh:
                batch.put("minute", kline.open_ms, _encode(kline), sub=symbol)
            if fresh:
                self._minutes[symbol] = fresh[-1].open_ms
            self._minutes_written += len(fresh)
        if self._minutes_written > _PRUNE_EVERY:
            self._minutes_written = 0
            for symbol in self._venue.markets:
                oldest = klines.closed_after(symbol, -1)[:1]
                if oldest:
                    batch.forget_before("minute", oldest[0].open_ms, sub=symbol)


def _light(engine: Engine) -> State:
    """The state without what is written row by row."""
    state = engine.state
    markets = {s: msgspec.structs.replace(m, settlements=[]) for s, m in state.markets.items()}
    return msgspec.structs.replace(state, orders={}, algos={}, trades=[], income={}, markets=markets)

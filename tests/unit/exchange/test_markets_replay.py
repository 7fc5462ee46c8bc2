"""Replayed markets: bars reproduced exactly along a path, trades and quotes as they were, bad files named."""

import gzip
import random
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd.exchange.klines import MINUTE_MS, KlineBook
from hedgegridd.exchange.markets import build
from hedgegridd.exchange.recorded import Bar, DataError, Quote, Trade, read
from hedgegridd.exchange.replay import ReplayMarket, path_of, split_lots
from hedgegridd.exchange.types import Kline, SymbolRules
from tests.support.ticks import drain, on_grid, take

RULES = SymbolRules()
HEAD = "timestamp,open,high,low,close,volume\n"


bars = st.builds(
    lambda low, spans, lots: Bar(
        60_000, low + spans[0], low + max(spans), low + min(spans), low + spans[1], lots
    ),
    st.integers(1, 10**7),
    st.lists(st.integers(0, 5_000), min_size=4, max_size=4),
    st.integers(0, 10**8),
)


@given(bars, st.integers(4, 60), st.randoms(use_true_random=False))
def test_a_path_has_the_bar_s_four_prices_and_never_leaves_it(bar: Bar, points: int, rng: object) -> None:
    path = path_of(bar, points, rng)  # type: ignore[arg-type]
    assert len(path) == points
    assert (path[0], path[-1], max(path), min(path)) == (bar.open, bar.close, bar.high, bar.low)
    turns = [a for a, b, c in zip(path, path[1:], path[2:], strict=False) if (b - a) * (c - b) < 0]
    assert len(turns) <= 2


@given(st.integers(0, 10**9), st.integers(2, 60), st.randoms(use_true_random=False))
def test_lots_are_split_without_loss(lots: int, points: int, rng: object) -> None:
    parts = split_lots(lots, points, rng)  # type: ignore[arg-type]
    assert len(parts) == points
    assert sum(parts) == lots
    assert min(parts) >= 0


def test_the_nearer_extreme_comes_first() -> None:
    _, first, second, _ = path_of(Bar(0, 100, 110, 95, 105, 1), 4, random.Random(1))
    assert (first, second) == (95, 110)
    _, first, second, _ = path_of(Bar(0, 100, 104, 90, 95, 1), 4, random.Random(1))
    assert (first, second) == (104, 90)


@settings(max_examples=40, deadline=None)
@given(st.lists(bars, min_size=1, max_size=6), st.integers(4, 20), st.integers(0, 2**32))
def test_a_replay_reproduces_its_bars_and_skips_nothing_inside(
    found: list[Bar], points: int, seed: int
) -> None:
    recorded = [Bar(i * MINUTE_MS, b.open, b.high, b.low, b.close, b.lots) for i, b in enumerate(found)]
    market = ReplayMarket(RULES, recorded, seed=seed, points_per_bar=points)
    ticks = drain(market)
    book = KlineBook()
    closed = [k for t in ticks for k in book.on_tick(t) if k.closed]
    closed += book.on_time(RULES.symbol, ticks[-1].ts_ms + 1)
    assert [to_bar(k) for k in closed] == recorded
    for before, tick in pairwise(ticks):
        assert before.ts_ms < tick.ts_ms
        if before.ts_ms // MINUTE_MS == tick.ts_ms // MINUTE_MS:
            assert tick.low <= before.last <= tick.high
    assert ticks == drain(ReplayMarket(RULES, recorded, seed=seed, points_per_bar=points))
    with pytest.raises(StopIteration):
        market.next()


def to_bar(k: Kline) -> Bar:
    prices = [int(p / RULES.tick) for p in (k.open, k.high, k.low, k.close)]
    return Bar(k.open_ms, *prices, int(k.volume / RULES.step))


def write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz"])
def test_bars_are_read_rounded_and_counted_in_base(tmp_path: Path, name: str) -> None:
    text = HEAD + (
        "2022-01-01 00:00:00.000000,46319.04,46385.0,46319.0,46377.0,2300413.7295\n"
        "2022-01-01T00:01:00+00:00,46377,46380,46377,46380,0\n"
    )
    first, second = read(write(tmp_path / name, text), RULES)
    assert first == Bar(1_640_995_200_000, 463_190, 463_850, 463_190, 463_770, 49_602)
    assert second == Bar(1_640_995_260_000, 463_770, 463_800, 463_770, 463_800, 0)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "no bars"),
        ("2022-01-01 00:00,1,2,0.5,x,1", "line 2: column close: 'x' is not a number"),
        ("2022-01-01 00:00,1,2,0.5,NaN,1", "line 2: column close"),
        ("2022-01-01 00:00,1,2,0.5,1", "line 2: column volume"),
        ("yesterday,1,2,0.5,1,1", "line 2: column timestamp"),
        ("2022-01-01 00:00:30,1,2,0.5,1,1", "line 2: column timestamp"),
        ("2022-01-01 00:00,1,2,0.5,3,1", "line 2: open and close"),
        ("2022-01-01 00:00,0,2,0,1,1", "line 2: column open: 0 is below one tick"),
        ("2022-01-01 00:00,1,2,0.5,1,1\n2022-01-01 00:00,1,2,0.5,1,1", "line 3: column timestamp"),
    ],
)
def test_a_bad_file_is_named_by_line_and_column(tmp_path: Path, lines: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(write(tmp_path / "bars.csv", HEAD + lines), RULES)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read"):
        read(tmp_path / "nothing.csv", RULES)
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(HEAD.encode())[:-4])
    with pytest.raises(DataError, match=r"torn\.csv\.gz: cannot be read"):
        read(tmp_path / "torn.csv.gz", RULES)
    with pytest.raises(DataError, match="columns timestamp, open, high, low are none of bars: "):
        read(write(tmp_path / "short.csv", "timestamp,open,high,low\n"), RULES)


def test_replay_history_points_and_jump(tmp_path: Path) -> None:
    text = HEAD + "".join(f"2022-01-01 00:0{m}:00,100,101,99,100,50000\n" for m in range(4))
    path = write(tmp_path / "bars.csv", text)
    (market,) = build("replay", symbols=[RULES], data=path, history_bars=2, points_per_bar=5)
    assert [k.open_ms % 3_600_000 for k in market.history()] == [0, MINUTE_MS]
    assert market.next_ts_ms() == market.history()[-1].close_ms + 1
    ticks = take(market, 5)
    assert [t.ts_ms - ticks[0].ts_ms for t in ticks] == [0, 14_999, 29_999, 44_999, 59_999]
    market.jump(Decimal("1.1"))
    jumped = drain(market)
    assert jumped[0].last == jumped[0].low == jumped[0].high == Decimal("110.0")
    assert {max(t.high for t in jumped), min(t.low for t in jumped)} == {Decimal("111.1"), Decimal("108.9")}
    for change, field in (({"points_per_bar": 3}, "points_per_bar"), ({"history_bars": 4}, "history_bars")):
        with pytest.raises(ValueError, match=field):
            build("replay", symbols=[RULES], data=path, **change)  # type: ignore[arg-type]


# --- trades and quotes


def test_trades_become_ticks_and_the_first_is_a_gap(tmp_path: Path) -> None:
    text = "timestamp,price,quantity,side\n1640995200,100,1.5,buy\n1640995200250,98,0.0004,sell\n1640995200250000,99,2,x\n"
    recording = read(write(tmp_path / "trades.csv", text), RULES)
    base = 1_640_995_200_000
    assert recording == [Trade(base, 1000, 1500), Trade(base + 250, 980, 0), Trade(base + 250, 990, 2000)]
    ticks = drain(ReplayMarket(RULES, recording, seed=1))
    assert [(int(t.low), int(t.high), int(t.last)) for t in ticks] == [
        (100, 100, 100),
        (98, 100, 98),
        (98, 99, 99),
    ]
    assert [t.volume for t in ticks] == [Decimal("1.5"), Decimal(0), Decimal(2)]
    assert on_grid(ticks[1])


def test_quotes_show_their_own_best_prices_and_drag_last_along(tmp_path: Path) -> None:
    text = "timestamp,bid,ask\n1640995200000000000,99,101\n2022-01-01 00:00:01,99.5,100\n2022-01-01 00:00:02Z,100.5,101\n"
    recording = read(write(tmp_path / "quotes.csv", text), RULES)
    assert recording[1] == Quote(1_640_995_201_000, 995, 1000)
    ticks = drain(ReplayMarket(RULES, recording, seed=1))
    assert [(t.bids[0][0], t.asks[0][0]) for t in ticks] == [
        (99, 101),
        (Decimal("99.5"), 100),
        (Decimal("100.5"), 101),
    ]
    assert [t.last for t in ticks] == [100, 100, Decimal("100.5")]
    assert (ticks[2].low, ticks[2].high) == (100, Decimal("100.5"))
    with pytest.raises(DataError, match=r"line 2: bid 5 is not below ask 5\.04"):
        read(write(tmp_path / "crossed.csv", "timestamp,bid,ask\n0,5,5.04\n"), RULES)


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    moments = [datetime(2022, 1, 1, 0, minute, tzinfo=UTC) for minute in range(3)]
    columns = {name: [100.1, 100.2, 100.3] for name in ("open", "high", "low", "close")}
    parquet.write_table(
        Table.from_pydict({"timestamp": moments, **columns, "volume": [1000.0, 0.0, 5000.5]}),
        tmp_path / "b.parquet",
    )
    bars = read(tmp_path / "b.parquet", RULES)
    assert bars[2] == Bar(1_640_995_320_000, 1003, 1003, 1003, 1003, 49_855)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read"):
        read(tmp_path / "bad.parquet", RULES)
    parquet.write_table(
        Table.from_pydict({"timestamp": [0], "price": [None], "quantity": [1]}), tmp_path / "n.parquet"
    )
    with pytest.raises(DataError, match="row 1: column price: None is not a number"):
        read(tmp_path / "n.parquet", RULES)


@given(
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 500), st.integers(0, 9)), min_size=2),
    st.integers(0, 4),
)
def test_history_and_ticks_together_are_the_recording(
    steps: list[tuple[int, int, int]], minutes: int
) -> None:
    now, trades = 0, []
    for wait, price, lots in steps:
        now += wait
        trades.append(Trade(now, price, lots))
    whole = KlineBook()
    for t in drain(ReplayMarket(RULES, trades, seed=1)):
        whole.on_tick(t)
    if now < minutes * MINUTE_MS or trades[0].ts_ms // MINUTE_MS + minutes > now // MINUTE_MS:
        return
    market = ReplayMarket(RULES, trades, seed=1, history_bars=minutes)
    assert len(market.history()) == minutes
    parts = KlineBook(market.history())
    for t in drain(market):
        parts.on_tick(t)
    assert parts.query(RULES.symbol, "1m", limit=1500) == whole.query(RULES.symbol, "1m", limit=1500)

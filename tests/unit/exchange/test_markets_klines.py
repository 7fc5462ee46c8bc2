"""Candles: booked from ticks, folded into longer intervals, asked for as at the venue."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.exchange.klines import FLAT_MINUTES_MAX, INTERVALS_MS, MINUTE_MS, KlineBook
from hedgegridd.exchange.types import Kline, Tick, VenueError

SYMBOL = "BTCUSDT"
DAY_MS = 86_400_000
T0 = 19_000 * DAY_MS


def tick(ts_ms: int, last: int, low: int | None = None, high: int | None = None, volume: str = "1") -> Tick:
    price = Decimal(last)
    return Tick(
        symbol=SYMBOL,
        ts_ms=ts_ms,
        last=price,
        low=Decimal(low if low is not None else last),
        high=Decimal(high if high is not None else last),
        volume=Decimal(volume),
        mark=price,
        index=price,
        bids=(),
        asks=(),
    )


def figures(k: Kline) -> tuple[int, ...]:
    return tuple(map(int, (k.open, k.high, k.low, k.close, k.volume, k.quote_volume, k.trades)))


def test_a_candle_opens_grows_and_closes() -> None:
    book = KlineBook()
    (first,) = book.on_tick(tick(T0 + 5, 100))
    assert (first.open_ms, first.close_ms, first.closed) == (T0, T0 + 59_999, False)
    book.on_tick(tick(T0 + 100, 103, 99, 105))
    (grown,) = book.on_tick(tick(T0 + 59_999, 101, 101, 103, volume="0"))
    assert figures(grown) == (100, 105, 99, 101, 2, 203, 2)
    closed, opened = book.on_tick(tick(T0 + 60_000, 102))
    assert closed.closed
    assert figures(closed) == figures(grown)
    assert (opened.open_ms, opened.closed, figures(opened)) == (
        T0 + 60_000,
        False,
        (102, 102, 102, 102, 1, 102, 1),
    )


def test_silent_minutes_are_flat_and_long_silence_is_a_hole() -> None:
    book = KlineBook()
    book.on_tick(tick(T0, 100))
    changed = book.on_tick(tick(T0 + 3 * MINUTE_MS, 90))
    assert [k.open_ms - T0 for k in changed] == [0, MINUTE_MS, 2 * MINUTE_MS, 3 * MINUTE_MS]
    assert figures(changed[2]) == (100, 100, 100, 100, 0, 0, 0)
    far = T0 + (FLAT_MINUTES_MAX + 10) * MINUTE_MS
    assert [k.open_ms for k in book.on_tick(tick(far, 80))] == [T0 + 3 * MINUTE_MS, far]
    days = book.query(SYMBOL, "1d")
    assert [(k.open_ms, k.closed) for k in days] == [(T0, True), (T0 + DAY_MS, False)]
    assert int(days[0].close) == 90


def test_time_alone_closes_candles() -> None:
    book = KlineBook()
    book.on_tick(tick(T0, 100))
    assert book.on_time(SYMBOL, T0 + 59_999) == []
    assert [k.open_ms for k in book.on_time(SYMBOL, T0 + 2 * MINUTE_MS)] == [T0, T0 + MINUTE_MS]
    assert book.on_time(SYMBOL, T0 + 2 * MINUTE_MS) == []
    assert book.current(SYMBOL, "1m") is None
    assert [k.closed for k in book.query(SYMBOL, "1m")] == [True, True]
    with pytest.raises(ValueError, match="closed"):
        book.on_tick(tick(T0 + 5, 100))
    book.on_tick(tick(T0 + 2 * MINUTE_MS, 100))
    with pytest.raises(ValueError, match="older than its candle"):
        book.on_tick(tick(T0 + 2 * MINUTE_MS - 1, 100))


def filled(minutes: int) -> KlineBook:
    book = KlineBook()
    for minute in range(minutes):
        book.on_tick(tick(T0 + minute * MINUTE_MS, 1_000 + minute))
    return book


def test_query_limits_and_windows_as_the_venue() -> None:
    book = filled(1_700)
    last = T0 + 1_699 * MINUTE_MS

    def opens(*args: int | None) -> tuple[int, int, int]:
        found = book.query(SYMBOL, "1m", *args)
        return len(found), found[0].open_ms, found[-1].open_ms

    assert opens() == (500, last - 499 * MINUTE_MS, last)
    assert opens(None, None, 1500) == (1500, last - 1499 * MINUTE_MS, last)
    assert opens(T0 + 1, None, 10) == (10, T0 + MINUTE_MS, T0 + 10 * MINUTE_MS)
    assert opens(None, T0 + 20 * MINUTE_MS, 10) == (10, T0 + 11 * MINUTE_MS, T0 + 20 * MINUTE_MS)
    assert opens(T0, T0 + 3 * MINUTE_MS, 1500) == (4, T0, T0 + 3 * MINUTE_MS)
    assert opens(last, last, 5) == (1, last, last)
    assert book.query(SYMBOL, "1m", last + 1, None, 5) == []
    assert [k.closed for k in book.query(SYMBOL, "1m", limit=2)] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("NOPE", "1m"), -1121),
        ((SYMBOL, "7m"), -1120),
        ((SYMBOL, "1m", None, None, 0), -1130),
        ((SYMBOL, "1m", None, None, 1501), -1130),
        ((SYMBOL, "1m", 2, 1, 5), -1023),
    ],
)
def test_what_the_venue_refuses_is_refused_with_its_code(arguments: tuple[str, str], code: int) -> None:
    with pytest.raises(VenueError) as refused:
        filled(3).query(*arguments)
    assert refused.value.code == code


def test_the_venues_intervals_up_to_a_day_are_there() -> None:
    book = filled(3)
    for interval in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"):
        assert book.query(SYMBOL, interval)[-1].volume > 0


@given(
    st.lists(
        st.tuples(st.integers(1, 200_000), st.integers(1, 500), st.integers(0, 5)), min_size=1, max_size=200
    ),
    st.sampled_from(sorted(INTERVALS_MS)),
    st.integers(0, 20),
)
def test_every_interval_is_the_fold_of_its_ticks(
    steps: list[tuple[int, int, int]], interval: str, cut: int
) -> None:
    """Whatever the interval, and whether the past came as history or as ticks, a candle is what its ticks make."""
    size = INTERVALS_MS[interval]
    ticks, now = [], T0
    for wait, price, volume in steps:
        now += wait
        ticks.append(tick(now, price, max(1, price - 2), price + 3, str(volume)))
    whole = KlineBook()
    closed = [k for t in ticks for k in whole.on_tick(t) if k.closed]
    resumed = KlineBook(closed[:cut])
    for t in ticks:
        if len(closed[:cut]) == 0 or t.ts_ms > closed[:cut][-1].close_ms:
            resumed.on_tick(t)
    shown = whole.query(SYMBOL, interval, limit=1500)
    assert resumed.query(SYMBOL, interval, limit=1500) == shown
    by_open = {k.open_ms: k for k in shown}
    for open_ms in {t.ts_ms - t.ts_ms % size for t in ticks}:
        mine = [t for t in ticks if open_ms <= t.ts_ms < open_ms + size]
        k = by_open[open_ms]
        assert k.close_ms == open_ms + size - 1
        assert k.closed == (ticks[-1].ts_ms >= open_ms + size)
        assert k.close == mine[-1].last
        assert k.volume == sum((t.volume for t in mine), Decimal(0))
        assert k.quote_volume == sum((t.volume * t.last for t in mine), Decimal(0))
        assert k.high >= max(t.high for t in mine)
        assert k.low <= min(t.low for t in mine)
    assert [k.open_ms for k in shown] == sorted(by_open)


def test_history_must_be_closed_minutes_in_order() -> None:
    minutes = filled(4).query(SYMBOL, "1m")
    with pytest.raises(ValueError, match="closed"):
        KlineBook(minutes)
    with pytest.raises(ValueError, match="order"):
        KlineBook([minutes[1], minutes[0]])
    with pytest.raises(ValueError, match="1m"):
        KlineBook([filled(10).query(SYMBOL, "3m")[0]])

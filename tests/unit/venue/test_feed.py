"""From ticks to what machines see."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.venue.feed import SCALE, BarSequence, Feed, TooManyWatches, to_decimal, to_raw

IID = "BTCUSDT-PERP.BINANCE"
TICK = Decimal("0.1")
S = 1_000_000_000
MIN = 60 * S


def feed() -> Feed:
    return Feed(IID, TICK)


def raw(price: str) -> int:
    return to_raw(Decimal(price))


def test_marks_come_at_most_once_a_second_of_market_time() -> None:
    f = feed()
    times = [0, S // 2, S - 1, S, S + 1, 2 * S, 60 * S]
    told = [
        at for at in times if any(isinstance(e, m.MarkPrice) for e in f.on_mark(raw("1"), at, None, None))
    ]
    assert told == [0, S, 2 * S, 60 * S]


def test_a_market_clock_that_steps_back_is_followed() -> None:
    f = feed()
    f.on_mark(raw("1"), 100 * S, None, None)
    assert f.on_mark(raw("1"), 10 * S, None, None)


def test_a_mark_carries_book_and_funding() -> None:
    f = feed()
    assert f.book() == (None, None)
    f.on_book(raw("64999.9"), raw("65000.1"), S)
    (event,) = f.on_mark(raw("65000.04"), S, Decimal("0.0001"), 8 * S)
    assert event == m.MarkPrice(
        instrument=IID, market_ns=S, mark=Decimal("65000.0"), bid=Decimal("64999.9"), ask=Decimal("65000.1"),
        funding_rate=Decimal("0.0001"), next_funding_ns=8 * S,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bid", "ask", "levels"),
    [
        ("99", "100", []),  # mid 99.5
        ("99", "101", ["100"]),  # exactly reached
        ("103", "105", ["100", "104"]),
        ("120", "121", ["100", "104", "110"]),
        ("89", "91", ["90"]),
        ("84", "86", ["90", "85"]),
    ],
)
def test_the_mid_wakes_at_what_it_reaches(bid: str, ask: str, levels: list[str]) -> None:
    f = feed()
    assert f.watch([Decimal(110), Decimal(100), Decimal(104)], [Decimal(85), Decimal(90)]) == []
    told = f.on_book(raw(bid), raw(ask), 5)
    assert [event.level for event in told if isinstance(event, m.PriceCrossed)] == [
        Decimal(x) for x in levels
    ]
    assert f.on_book(raw(bid), raw(ask), 6) == (), "a level is spent when it has been told"


def test_the_mark_wakes_too_and_a_new_set_replaces_the_old_one() -> None:
    f = feed()
    f.watch([Decimal(100)], [])
    f.watch([Decimal(200)], [Decimal(50)])
    told = f.on_mark(raw("100"), S, None, None)
    assert [type(event) for event in told] == [m.MarkPrice]
    told = f.on_mark(raw("49"), S + 1, None, None)
    assert [event.level for event in told if isinstance(event, m.PriceCrossed)] == [Decimal(50)]


def test_a_level_that_is_reached_when_it_is_asked_for_is_told_at_once() -> None:
    f = feed()
    f.on_book(raw("99"), raw("101"), 1)
    (event,) = f.watch([Decimal(100)], [])
    assert isinstance(event, m.PriceCrossed)
    assert (event.level, event.mark) == (Decimal(100), Decimal(100))
    f.on_mark(raw("80"), 2, None, None)
    (event,) = f.watch([], [Decimal(80)])
    assert isinstance(event, m.PriceCrossed)
    assert event.mark == Decimal(80)


def test_watches_are_bounded() -> None:
    with pytest.raises(TooManyWatches):
        feed().watch([Decimal(n) for n in range(1, 1_002)], [])


@given(st.decimals(min_value=0, max_value=10**9, places=10))
def test_scaled_prices_are_exact(price: Decimal) -> None:
    assert Decimal(to_raw(price)) / SCALE == price
    assert to_decimal(to_raw(price.quantize(TICK)), TICK) == price.quantize(TICK)


def test_more_digits_than_the_scale_are_refused() -> None:
    with pytest.raises(ValueError, match="16 decimals"):
        to_raw(Decimal("0.12345678901234567"))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.sets(st.integers(1, 400), max_size=10))
def test_every_level_is_told_once_when_it_is_first_reached(mids: list[int], levels: set[int]) -> None:
    f = feed()
    f.on_book(raw("0.1"), raw("0.1"), 0)
    f.watch([Decimal(level) for level in levels], [])
    told = [e.level for mid in mids for e in f.on_book(raw(str(mid)), raw(str(mid)), 1)]
    assert sorted(told) == [level for level in sorted(levels) if level <= max(mids)]


def bar(minute: int, *, warmup: bool = False) -> m.BarClosed:
    one = Decimal(1)
    return m.BarClosed(
        instrument=IID, open_ns=minute * MIN, close_ns=(minute + 1) * MIN - 1_000_000,
        open=one, high=one, low=one, close=one, volume=one, warmup=warmup,
    )  # fmt: skip


def minutes(bars: list[m.BarClosed]) -> list[int]:
    return [b.open_ns // MIN for b in bars]


def test_history_then_live_without_doubles_or_gaps() -> None:
    bars = BarSequence()
    assert bars.live(bar(10)) == [], "held until the history is there"
    assert bars.live(bar(11)) == []
    assert minutes(bars.history([bar(n, warmup=True) for n in (8, 9, 10)])) == [8, 9, 10, 11]
    assert not bars.wants_history
    assert bars.live(bar(11)) == []
    assert minutes(bars.live(bar(12))) == [12]
    assert bars.live(bar(14)) == [], "13 is missing"
    assert bars.wants_history
    assert bars.history([]) == []
    assert bars.wants_history, "the venue did not have it yet"
    assert minutes(bars.history([bar(13, warmup=True)])) == [13, 14]


def test_a_gap_that_cannot_be_filled_is_given_up() -> None:
    bars = BarSequence()
    bars.history([bar(1)])
    bars.live(bar(5))
    bars.live(bar(6))
    assert minutes(bars.give_up()) == [5, 6]
    assert minutes(bars.live(bar(7))) == [7]


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(0, 30))
def test_bars_never_go_back(stream: list[int], history_end: int) -> None:
    bars = BarSequence()
    out = bars.history([bar(n) for n in range(history_end)])
    for minute in stream:
        out += bars.live(bar(minute))
        if bars.wants_history:
            out += bars.history([bar(n) for n in range(minute)])
    seen = minutes(out)
    first = seen[0] if seen else 0
    assert seen == list(range(first, first + len(seen))), "every bar once, in order, none missing"

"""Quotes that the loop is too late for are overtaken; nothing else is."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.venue.intake import Intake

BTC = b'{"stream":"btcusdt@bookTicker","data":{"u":%d}}'
ETH = b'{"stream":"ethusdt@bookTicker","data":{"u":%d}}'
MARK = b'{"stream":"btcusdt@markPrice@1s","data":{"E":%d}}'
KLINE = b'{"stream":"btcusdt@kline_1m","data":{"E":%d}}'


class Loop:
    """Turns on demand."""

    def __init__(self) -> None:
        self.next: list[Callable[[], None]] = []
        self.handled: list[bytes] = []
        self.overtaken = 0
        self.intake = Intake(self.handled.append, self.next.append, self._overtake)

    def _overtake(self) -> None:
        self.overtaken += 1

    def turn(self) -> None:
        due = self.next[:]
        self.next.clear()
        for run in due:
            run()


def test_a_quote_alone_in_its_turn_is_handled_at_once() -> None:
    loop = Loop()
    for number in range(3):
        loop.intake(BTC % number)
        assert loop.handled[-1] == BTC % number
        loop.turn()
    assert loop.overtaken == 0
    assert not loop.next


def test_of_those_that_come_in_one_turn_the_first_and_each_symbols_last_are_handled() -> None:
    loop = Loop()
    for number in range(5):
        loop.intake(BTC % number)
        loop.intake(ETH % number)
    assert loop.handled == [BTC % 0]
    loop.turn()
    assert loop.handled == [BTC % 0, ETH % 4, BTC % 4]
    assert loop.overtaken == 7


def test_a_busy_loop_handles_one_quote_of_a_symbol_a_turn() -> None:
    loop = Loop()
    for turn in range(4):
        for number in range(1000):
            loop.intake(BTC % (turn * 1000 + number))
        loop.turn()
    assert loop.handled == [BTC % each for each in (0, 999, 1999, 2999, 3999)]
    assert loop.overtaken == 4000 - 5


def test_other_messages_are_all_handled_after_the_quotes_before_them() -> None:
    loop = Loop()
    for number in range(3):
        loop.intake(BTC % number)
    loop.intake(KLINE % 7)
    loop.intake(BTC % 3)
    loop.intake(MARK % 8)
    assert loop.handled == [BTC % 0, BTC % 2, KLINE % 7, BTC % 3, MARK % 8]


@given(st.lists(st.sampled_from([BTC, ETH, MARK, KLINE, None]), max_size=60))
def test_nothing_but_overtaken_quotes_is_ever_lost(kinds: list[bytes | None]) -> None:
    loop = Loop()
    sent = []
    for number, kind in enumerate(kinds):
        if kind is None:
            loop.turn()
        else:
            sent.append(kind % number)
            loop.intake(sent[-1])
    while loop.next:
        loop.turn()
    assert [raw for raw in loop.handled if b"bookTicker" not in raw] == [
        raw for raw in sent if b"bookTicker" not in raw
    ]
    for symbol in (b"btc", b"eth"):
        heard = [raw for raw in loop.handled if symbol in raw]
        told = [raw for raw in sent if symbol in raw]
        assert heard[-1:] == told[-1:]
        assert heard == [raw for raw in told if raw in heard]  # never a newer one before an older one
    assert len(loop.handled) + loop.overtaken == len(sent)

"""Bars of the venue's history fill the guards' memories at a start, once, and move nothing by themselves."""

from decimal import Decimal as D  # noqa: N817  # as in the tables of the guards

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import KillState
from hedgegridd.risk.state import RiskState
from tests.support.envelopes import Feeder, of
from tests.support.guard_bench import BTC, ETH, SECOND_NS, START_NS, bar, figures, instrument_figures
from tests.unit.risk.test_machine import machine

MINUTE_NS = 60 * SECOND_NS
WAVE = (1.0, 1.01, 1.005, 1.02, 0.99, 1.015, 1.0)
ARMED = m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING)


def history(feed: Feeder, begin: int = 0, end: int = 400) -> list[m.Message]:
    """Minutes of both instruments, which move together."""
    out = []
    for name, price in ((BTC, 50_000), (ETH, 3_000)):
        for minute in range(begin, end):
            close = price * WAVE[minute // 15 % 7] * (1 + minute / 100_000)
            made = bar(name, START_NS + minute * MINUTE_NS - 1, f"{close:.4f}")
            out += feed(msgspec.structs.replace(made, warmup=True))
    return out


def paused(feed: Feeder) -> list[str]:
    long_btc = instrument_figures(long="0.1", market_ns=feed.seq)
    feed(figures(long_btc, instrument_figures(ETH, mark=D(3_000), market_ns=feed.seq)))
    return sorted(hold.key for hold in feed(m.GetGuards())[0].holds)


def test_history_makes_the_correlation_known():
    feed = Feeder(machine(("correlation", {}), names=(BTC, ETH)))
    feed(ARMED)
    keys = [f"guard:correlation:{ETH}:LONG", f"guard:correlation:{ETH}:SHORT"]
    assert paused(feed) == keys, "nothing is known"
    assert of(m.GuardChanged, history(feed)) == [], "history is no news"
    feed.advance(31)
    assert paused(feed) == keys, "clearing"
    feed.advance(31)
    assert paused(feed) == keys[:1]


def test_history_that_is_known_already_is_not_kept_twice():
    one = machine(("correlation", {}), names=(BTC, ETH))
    feed = Feeder(one)
    feed(ARMED)
    history(feed)
    kept = len(one.snapshot().history)
    assert kept == 2 * 28
    again = machine(("correlation", {}), names=(BTC, ETH))
    again.restore(msgspec.json.decode(msgspec.json.encode(one.snapshot()), type=RiskState))
    again.new_session()
    history(Feeder(again), 10, 460)
    closes = [msgspec.json.decode(fact.message) for fact in again.snapshot().history]
    for name in (BTC, ETH):
        times = [each["close_ns"] for each in closes if each["instrument"] == name]
        assert times == sorted(times)
        assert len(times) == 28 + 4

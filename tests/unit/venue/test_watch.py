"""Channels lost and back, and changed rules, on a hand-moved clock."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.model import Instrument
from hedgegridd.venue.inflight import IN_FLIGHT_MAX, InFlight, Seen, TooManyInFlight
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.told import Teller
from hedgegridd.venue.watch import Channels, rule_changes

S = 1_000_000_000
IID = "BTCUSDT-PERP.BINANCE"


def look(
    channels: Channels, at_s: float, *, user_up: bool = True, rest_failures: int = 0
) -> list[tuple[str, bool]]:
    down = "" if user_up else "its socket is closed"
    changes = channels.look(int(at_s * S), user_down=down, rest_failures=rest_failures)
    return [(change.channel, change.up) for change in changes]


def test_a_silent_market_is_lost_after_five_seconds_and_back_with_a_tick() -> None:
    channels = Channels(["A", "B"])
    assert look(channels, 100) == []
    assert look(channels, 105) == []
    assert look(channels, 105.5) == [("market", False)]
    channels.market_heard("A", 106 * S)
    assert look(channels, 106) == [], "B is still silent"
    channels.market_heard("B", 107 * S)
    assert look(channels, 107) == [("market", True)]
    assert look(channels, 111.5) == [("market", False)]
    assert channels.market_ages_s(112 * S) == {"A": 6.0, "B": 5.0}


def test_a_change_is_told_once() -> None:
    channels = Channels([])
    assert look(channels, 1, user_up=False) == [("user", False)]
    assert look(channels, 2, user_up=False) == []
    assert look(channels, 3) == [("user", True)]


def test_rest_is_lost_after_three_failures_and_back_with_an_answer() -> None:
    channels = Channels([])
    assert look(channels, 1, rest_failures=2) == []
    assert look(channels, 2, rest_failures=3) == [("rest", False)]
    assert look(channels, 3, rest_failures=1) == []
    assert look(channels, 4) == [("rest", True)]


def test_ages_are_none_before_the_first_word() -> None:
    channels = Channels(["A"])
    assert channels.user_age_s(5) is None
    assert channels.market_ages_s(5) == {"A": None}
    channels.user_heard(2 * S)
    assert channels.user_age_s(3 * S) == 1.0


RULES = Instrument(
    id=IID, symbol="BTCUSDT", tick=Decimal("0.1"), step=Decimal("0.001"), min_qty=Decimal("0.001"),
    max_qty=Decimal(1000), market_max_qty=Decimal(120), min_notional=Decimal(100),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"status": "SETTLING"}, ["STATUS"]),
        ({"min_notional": Decimal(50)}, ["FILTERS"]),
        ({"status": "BREAK", "tick": Decimal("0.5")}, ["STATUS", "FILTERS"]),
    ],
)
def test_changed_rules_are_actions_of_the_venue(changes: dict[str, object], kinds: list[str]) -> None:
    after = msgspec.structs.replace(RULES, **changes)
    ready, *actions = rule_changes(RULES, after)
    assert ready == m.InstrumentReady(instrument=after)
    assert [action.kind for action in actions if isinstance(action, m.VenueAction)] == kinds


def test_memory_of_what_was_told_is_bounded() -> None:
    seen: Seen[int] = Seen(3)
    assert [seen.add(n) for n in (1, 2, 1, 3, 4)] == [True, True, False, True, True]
    assert len(seen) == 3
    assert 1 not in seen


def test_orders_in_flight_are_bounded_and_asked_after_two_seconds() -> None:
    flying = InFlight()
    flying.sent(IID, "a", 0, algo=False)
    flying.cancelling(IID, "a", S, algo=False)
    assert flying.due(2 * S - 1) == []
    assert [(item.client_order_id, item.cancel) for item in flying.due(2 * S)] == [("a", False)]
    assert [item.cancel for item in flying.due(3 * S)] == [False, True]
    flying.due(3 * S)[0].asking = True
    assert [item.cancel for item in flying.due(3 * S)] == [True]
    flying.ended("a")
    assert len(flying) == 0
    for n in range(IN_FLIGHT_MAX):
        flying.sent(IID, str(n), 0, algo=False)
    with pytest.raises(TooManyInFlight):
        flying.sent(IID, "one more", 0, algo=False)


def accepted(coid: str = "a") -> m.OrderAccepted:
    return m.OrderAccepted(instrument=IID, client_order_id=coid, venue_order_id="1", ts_ns=0)


def closed(how: str = "CANCELED") -> m.OrderClosed:
    return m.OrderClosed(instrument=IID, client_order_id="a", how=how)


def rejected(code: int) -> m.OrderRejected:
    return m.OrderRejected(instrument=IID, client_order_id="a", code=code, reason="")


@pytest.mark.parametrize(
    ("events", "news"),
    [
        ([accepted(), accepted()], [True, False]),
        ([closed(), accepted()], [True, False]),
        ([accepted(), closed(), closed("FILLED")], [True, True, False]),
        ([rejected(-2013), accepted(), closed()], [True, True, True]),
        ([closed("NOT_FOUND"), closed("FILLED")], [True, True]),
        ([rejected(-5022), rejected(-5022), accepted()], [True, False, False]),
    ],
)
def test_each_fact_is_told_once_and_only_sure_ends_are_final(events: list[m.Event], news: list[bool]) -> None:
    out: list[tuple[m.Event, int]] = []
    flying = InFlight()
    flying.sent(IID, "a", 0, algo=False)
    teller = Teller(lambda event, cause: out.append((event, cause)), flying, Stats(), lambda: 5)
    teller.caused("a", 42)
    assert [teller.tell(event) for event in events] == news
    assert out == [(event, 42) for event, new in zip(events, news, strict=True) if new]
    assert len(flying) == 0

"""Fault rules: which request they hit, how often, and what a bad rule is told."""

import pytest

from hedgegridd.exchange.faults import MAX_RULES, FaultBook


def test_a_rule_hits_its_path_and_method_so_many_times() -> None:
    book = FaultBook()
    book.add(
        {
            "target": "rest",
            "kind": "status_after",
            "method": "POST",
            "path": "/fapi/v1/*rder",
            "skip": 1,
            "count": 2,
        }
    )
    assert book.take_rest("GET", "/fapi/v1/order", {}) is None
    assert book.take_rest("POST", "/fapi/v1/listenKey", {}) is None
    hits = [
        book.take_rest("POST", path, {}) is not None for path in ("/fapi/v1/order", "/fapi/v1/algoOrder") * 2
    ]
    assert hits == [False, True, True, False]
    assert book.rules()[0].hits == 3


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"kind": "delay"}, "target"),
        ({"target": "rest", "kind": "freeze"}, "freeze"),
        ({"target": "rest", "kind": "delay"}, "delay_ms"),
        ({"target": "rest", "kind": "hang", "delay_ms": 0}, "delay_ms"),
        ({"target": "rest", "kind": "hang", "count": 0}, "count"),
        ({"target": "rest", "kind": "hang", "skip": -1}, "skip"),
        ({"target": "rest", "kind": "status_before", "status": 200}, "status"),
        ({"target": "user", "kind": "freeze", "count": 1}, "freeze"),
        ({"target": "rest", "kind": "hang", "id": 7}, "id"),
        ({"target": "rest", "kind": "hang", "body": "<html>"}, "body"),
        ({"target": "rest", "kind": "hang", "colour": "red"}, "colour"),
    ],
)
def test_a_bad_rule_is_named_and_not_taken(raw: dict[str, object], word: str) -> None:
    book = FaultBook()
    with pytest.raises(ValueError, match=word):
        book.add(raw)
    assert book.rules() == []


def test_rules_are_bounded_and_cleared() -> None:
    book = FaultBook()
    for _ in range(MAX_RULES):
        last = book.add({"target": "rest", "kind": "hang"})
    with pytest.raises(ValueError, match="clear"):
        book.add({"target": "rest", "kind": "hang"})
    assert book.clear(last.id) == 1
    assert not book.active(last.id)
    assert book.clear() == MAX_RULES - 1
    assert book.take_rest("GET", "/fapi/v1/ping", {}) is None


def test_freezing_follows_the_names_of_streams() -> None:
    book = FaultBook()
    rule = book.add({"target": "market", "kind": "freeze", "stream": "*@bookTicker"})
    assert book.frozen("market", ["btcusdt@aggTrade", "btcusdt@bookTicker"])
    assert not book.frozen("market", ["btcusdt@aggTrade"])
    assert not book.frozen("user", ["btcusdt@bookTicker"])
    book.clear(rule.id)
    assert not book.frozen("market", ["btcusdt@bookTicker"])


def test_user_event_faults_are_counted() -> None:
    book = FaultBook()
    book.add({"target": "user", "kind": "mute", "event": "ORDER_*", "count": 1})
    kinds = [
        book.take_event(event) for event in ("ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE")
    ]
    assert kinds == [None, "mute", None]


def test_parameters_narrow_a_rest_rule() -> None:
    book = FaultBook()
    book.add({"target": "rest", "kind": "status_before", "params": {"type": "MARKET"}, "count": 1})
    path = "/fapi/v1/order"
    assert book.take_rest("POST", path, {"type": "LIMIT"}) is None
    assert book.take_rest("POST", path, {}) is None
    assert book.take_rest("POST", path, {"type": "MARKET", "side": "SELL"}) is not None
    assert book.take_rest("POST", path, {"type": "MARKET"}) is None
    with pytest.raises(ValueError, match="params"):
        book.add({"target": "user", "kind": "mute", "params": {"type": "MARKET"}})

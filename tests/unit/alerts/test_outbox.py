"""What waits for a channel: bounded, CRITICAL first, nothing without a word."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.alerts.outbox import Outbox, Waiting
from hedgegridd.alerts.text import Identity, letter
from hedgegridd.messages import Alert

WHO = Identity(account="acct1", environment="live", runbook_url="https://desk.example/runbook")


def waiting(key: str = "k", severity: str = "INFO", kind: str = "kind", title: str = "T") -> Waiting:
    alert = Alert(alert_id="A-1", kind=kind, key=key, severity=severity, title=title, time_ns=1)  # type: ignore[arg-type]
    return Waiting(alert=alert, heard_ns=0)


def drained(box: Outbox) -> list[Waiting]:
    out = []
    while (item := box.next(0)) is not None:
        box.remove(item)
        out.append(item)
    return out


def test_critical_overtakes_and_the_rest_keeps_its_order() -> None:
    box = Outbox(8)
    for key, severity in (
        ("a", "INFO"),
        ("b", "WARNING"),
        ("c", "CRITICAL"),
        ("d", "INFO"),
        ("e", "CRITICAL"),
    ):
        assert not box.put(waiting(key, severity))
    assert [item.alert.key for item in drained(box)] == ["c", "e", "a", "b", "d"]


def test_a_full_one_folds_repeats_by_key_then_by_kind_and_says_how_many() -> None:
    box = Outbox(2)
    box.put(waiting("a", kind="feed", title="FEED LOST"))
    box.put(waiting("b", kind="guard", title="GUARD"))
    assert box.put(waiting("b", kind="guard", title="GUARD"))
    assert box.put(waiting("x", kind="feed", title="FEED LOST user"))
    assert box.put(waiting("y", kind="feed", title="FEED LOST user"))
    assert box.put(waiting("z", kind="auth", title="TURNED AWAY"))
    first, second = drained(box)
    assert (first.folded, second.folded) == (2, 2)
    assert "and 2 more that found no room in the queue: FEED LOST user" in letter(first, WHO).plain
    assert "TURNED AWAY" in letter(second, WHO).plain


def test_a_flood_of_other_alerts_takes_no_room_from_criticals() -> None:
    box = Outbox(16)
    for number in range(10_000):
        box.put(waiting(f"n{number}", kind=f"kind{number % 7}"))
        if number % 1_000 == 0:
            box.put(waiting(f"c{number}", "CRITICAL"))
    assert len(box) == 16 + 10
    out = drained(box)
    assert [item.alert.severity for item in out[:10]] == ["CRITICAL"] * 10
    assert len({item.alert.key for item in out[:10]}) == 10


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["INFO", "WARNING", "CRITICAL"]))))
def test_every_alert_is_in_a_message_and_there_are_never_too_many(put: list[tuple[str, str]]) -> None:
    box = Outbox(3)
    for key, severity in put:
        box.put(waiting(key, severity))
        assert len(box) <= 6
    out = drained(box)
    lanes = Counter(item.alert.severity == "CRITICAL" for item in out for _ in range(1 + item.folded))
    assert lanes == Counter(severity == "CRITICAL" for _, severity in put)


def test_what_may_not_be_tried_yet_lets_others_by() -> None:
    box = Outbox(4)
    late, ready = waiting("late"), waiting("ready")
    late.not_before_ns = 50
    box.put(late)
    box.put(ready)
    assert box.next(0) is ready
    assert box.earliest_ns() == 0
    box.remove(ready)
    assert (box.next(49), box.next(50), box.earliest_ns()) == (None, late, 50)
    box.remove(late)
    box.back(late)
    assert box.next(50) is late

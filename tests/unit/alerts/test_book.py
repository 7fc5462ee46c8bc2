"""Which findings are told, and when again."""

import pytest

from hedgegridd.alerts import book as book_module
from hedgegridd.alerts.book import Book, Told
from hedgegridd.alerts.found import Clear, Raise

S = 1_000_000_000
WALL = 1_700_000_000 * S


class Told1:
    """A book with a clock: `raises` and `clears` return what is told, as (stage, severity, title, count)."""

    def __init__(self, tiers: int = 0) -> None:
        self.book = Book(repeat_s=300, escalate_s=300, tiers=tiers)
        self.now = 0.0
        self.seq = 0

    def _of(self, told: list[Told]) -> list[tuple[str, str, str, int]]:
        return [(each.alert.stage, each.alert.severity, each.alert.title, each.alert.count) for each in told]

    def take(self, *found: Raise | Clear) -> list[Told]:
        self.seq += 1
        mono = int(self.now * S)
        return self.book.take(found, seq=self.seq, time_ns=WALL + mono, mono_ns=mono)

    def raises(
        self, severity: str = "WARNING", title: str = "T", **kw: object
    ) -> list[tuple[str, str, str, int]]:
        fields = {"kind": "k", "key": "key", "severity": severity, "title": title} | kw
        return self._of(self.take(Raise(**fields)))  # type: ignore[arg-type]

    def clears(self, title: str = "OVER", key: str = "key", **kw: bool) -> list[tuple[str, str, str, int]]:
        return self._of(self.take(Clear(key=key, title=title, **kw)))

    def later(self, seconds: float) -> list[tuple[str, str, str, int]]:
        self.now += seconds
        mono = int(self.now * S)
        return self._of(self.book.tick(WALL + mono, mono))


def test_the_same_within_its_window_is_counted_and_the_count_told_when_it_has_passed() -> None:
    it = Told1()
    assert it.raises() == [("raised", "WARNING", "T", 1)]
    assert [it.raises() for _ in range(7)] == [[]] * 7
    assert it.later(299) == []
    assert it.later(1) == [("repeated", "WARNING", "T", 7)]
    assert it.later(300) == []
    assert it.raises() == [("raised", "WARNING", "T", 1)], "a window later it is news again"


def test_what_gets_worse_is_told_at_once_what_gets_milder_is_counted() -> None:
    it = Told1()
    it.raises("WARNING", lasting=True)
    assert it.raises("CRITICAL", lasting=True) == [("raised", "CRITICAL", "T", 1)]
    assert it.raises("INFO", lasting=True) == []


def test_changed_words_of_one_key_are_told_at_once_but_not_without_end() -> None:
    it = Told1()
    told = [it.raises(title=f"T{n}", changed=True) for n in range(book_module.TELLS_MAX + 3)]
    assert [len(each) for each in told] == [1] * book_module.TELLS_MAX + [0] * 3
    assert it.later(300) == [("repeated", "WARNING", f"T{book_module.TELLS_MAX + 2}", 3)]
    assert it.raises(title="same", changed=True)
    assert it.raises(title="same", changed=True) == []


def test_recovery_is_told_once_and_only_of_what_was_told() -> None:
    it = Told1()
    assert it.clears() == []
    it.raises(lasting=True)
    it.now += 90
    (told,) = it.take(Clear(key="key", title="OVER", what="all well"))
    assert (told.alert.stage, told.alert.severity, told.severity) == ("recovered", "INFO", "WARNING")
    assert told.alert.what == "all well; after 1 min 30 s"
    assert it.clears() == []
    it.raises(key="moment")
    assert it.clears(key="moment") == [], "what does not last cannot be over"


def test_a_prefix_clears_all_of_its_keys() -> None:
    it = Told1()
    for name in ("f:1:a", "f:1:b", "f:2:a"):
        it.raises(key=name, lasting=True)
    assert len(it.clears(key="f:1:", prefix=True)) == 2
    assert len(it.book.opened()) == 1


def test_what_comes_back_after_its_recovery_is_told_again_and_flapping_is_bounded() -> None:
    it = Told1()
    told = []
    for _ in range(20):
        told += it.raises(lasting=True)
        told += it.clears()
    assert len(told) == book_module.TELLS_MAX
    assert told[:3] == [
        ("raised", "WARNING", "T", 1),
        ("recovered", "INFO", "OVER", 1),
        ("raised", "WARNING", "T", 1),
    ]
    (last,) = it.later(300)
    assert last[0] == "repeated"
    assert last[3] == 17, "so often it came and nobody was told"


def test_a_critical_that_nobody_looks_after_goes_on_ever_slower() -> None:
    it = Told1(tiers=2)
    it.raises("CRITICAL", lasting=True)
    tiers = []
    for _ in range(40):
        it.now += 300
        mono = int(it.now * S)
        tiers += [each.tier for each in it.book.tick(WALL + mono, mono) if each.alert.stage == "escalated"]
    assert tiers[:4] == [1, 2, 3, 4]
    assert len(tiers) == 11, "reminders come ever later: 3 hours and 20 minutes hold 40 times five minutes"


@pytest.mark.parametrize("lasting", [True, False])
def test_an_acknowledged_one_goes_no_further_and_is_not_acknowledged_twice(lasting: bool) -> None:
    it = Told1(tiers=1)
    it.raises("CRITICAL", lasting=lasting)
    (open_one,) = it.book.opened()
    assert it.book.acknowledge("A-99", "ann") == ()
    assert it.book.acknowledge(open_one.alert.alert_id, "ann") == (open_one.alert.alert_id,)
    assert it.book.acknowledge("all", "bob") == ()
    assert it.later(10_000) == []
    assert [item.by for item in it.book.opened()] == (["ann"] if lasting else [])


def test_recovery_ends_escalation_and_coming_back_begins_it_anew() -> None:
    it = Told1(tiers=1)
    it.raises("CRITICAL", lasting=True)
    it.book.acknowledge("all", "ann")
    it.clears()
    it.raises("CRITICAL", lasting=True)
    assert it.later(299) == []
    assert [stage for stage, *_ in it.later(1)] == ["escalated"]
    it.clears()
    assert [stage for stage, *_ in it.later(3_000)] in ([], ["repeated"])


def test_a_moment_that_is_critical_stays_open_until_somebody_has_seen_it() -> None:
    it = Told1()
    it.raises("CRITICAL", key="a")
    it.raises("WARNING", key="b")
    assert [item.alert.key for item in it.book.opened()] == ["a"]
    it.book.acknowledge("all", "ann")
    assert it.book.opened() == ()


def test_one_event_with_several_findings_gives_several_ids() -> None:
    it = Told1()
    found = [Raise(kind="k", key=key, severity="INFO", title=key) for key in "abc"]
    assert [each.alert.alert_id for each in it.take(*found)] == ["A-1", "A-1.1", "A-1.2"]


def test_it_remembers_so_many_and_what_is_open_goes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "ENTRIES_MAX", 5)
    it = Told1()
    it.raises("CRITICAL", key="grave", lasting=True)
    it.raises("WARNING", key="open", lasting=True)
    for number in range(50):
        assert it.raises("INFO", key=f"n{number}")
    assert {item.alert.key for item in it.book.opened()} == {"grave", "open"}
    for number in range(50):
        it.raises("CRITICAL", key=f"c{number}", lasting=True)
    assert len(it.book.opened()) == 5
    assert it.book.forgotten == 47

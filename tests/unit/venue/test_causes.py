"""Tick to order: only orders that the market's word caused, from that word's time."""

from hedgegridd.venue.causes import REMEMBERED_MAX, Causes


def test_an_order_counts_from_the_word_that_caused_it():
    causes = Causes()
    causes.told(7, 1_000)
    causes.told(8, 5_000)
    causes.taken("a", 7)
    assert causes.sent("a", 9_000) == 8_000
    assert causes.sent("a", 9_500) is None, "an order leaves once"


def test_an_order_of_another_cause_does_not_count():
    causes = Causes()
    causes.told(7, 1_000)
    causes.taken("by a fill", 12)
    causes.taken("by nothing", 0)
    assert causes.sent("by a fill", 2_000) is None
    assert causes.sent("by nothing", 2_000) is None


def test_what_is_remembered_is_bounded():
    causes = Causes()
    for n in range(REMEMBERED_MAX + 1):
        causes.told(n, n)
    causes.taken("old", 0)
    causes.taken("new", REMEMBERED_MAX)
    assert causes.sent("old", 10_000) is None
    assert causes.sent("new", 10_000) == 10_000 - REMEMBERED_MAX
    for n in range(REMEMBERED_MAX + 1):
        causes.taken(str(n), REMEMBERED_MAX)
    assert causes.sent("0", 10_000) is None
    assert causes.sent("1", 10_000) is not None

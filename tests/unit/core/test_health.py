"""Health over time: worse at once, better after ten seconds, and nothing that came and went is lost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.core.health import DEGRADED, HALTED, OK, STANDS_NS, Change, Health

S = 1_000_000_000


def told(looks: list[tuple[float, int]]) -> list[tuple[float, int, int]]:
    """(second, state, previous) of each change that follows from looks at (second, state)."""
    health = Health()
    found = []
    for second, state in looks:
        change = health.observe(state, (), int(second * S))
        if change is not None:
            found.append((second, change.state, change.previous))
    return found


@pytest.mark.parametrize(
    ("looks", "changes"),
    [
        ([(0, OK)], []),
        ([(0, DEGRADED)], [(0, DEGRADED, OK)]),
        ([(0, OK), (1, HALTED)], [(1, HALTED, OK)]),
        ([(0, DEGRADED), (1, HALTED)], [(0, DEGRADED, OK), (1, HALTED, DEGRADED)]),
        ([(0, DEGRADED), (5, OK), (14, OK)], [(0, DEGRADED, OK)]),
        ([(0, DEGRADED), (5, OK), (15, OK)], [(0, DEGRADED, OK), (15, OK, DEGRADED)]),
        # Back within the ten seconds: better is awaited from the beginning.
        ([(0, DEGRADED), (5, OK), (9, DEGRADED), (10, OK), (19, OK)], [(0, DEGRADED, OK)]),
        # The worst of the ten seconds is what is told; a second wait begins with the look after that.
        (
            [(0, HALTED), (1, DEGRADED), (5, OK), (11, OK), (12, OK), (21, OK), (22, OK)],
            [(0, HALTED, OK), (11, DEGRADED, HALTED), (22, OK, DEGRADED)],
        ),
    ],
)
def test_what_is_told(looks, changes):
    assert told(looks) == changes


def test_what_came_and_went_is_told_with_the_next_change():
    health = Health()
    for second, state in enumerate([OK, DEGRADED, OK, DEGRADED, OK]):
        health.observe(state, ("feed",), second * S)
    change = health.observe(OK, (), 4 * S + STANDS_NS)
    assert change == Change(OK, DEGRADED, (), {"OK": 1, "DEGRADED": 1})
    assert health.transitions == {OK: 3, DEGRADED: 2}


@given(st.lists(st.sampled_from([OK, DEGRADED, HALTED]), min_size=1, max_size=60))
def test_no_worsening_is_ever_lost(states):
    """Whatever is seen, what is in force is at least as bad, and every transition is counted."""
    health = Health()
    for second, state in enumerate(states):
        health.observe(state, (), second * S)
        assert health.state is not None
        assert health.state >= state
    changes = 1 + sum(a != b for a, b in pairwise(states))
    assert sum(health.transitions.values()) == changes

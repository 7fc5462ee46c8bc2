"""How soon a channel may be asked again."""

import pytest

from hedgegridd.alerts.pace import BACK_OFF_MAX_S, RETRY_AFTER_MAX_S, Limit, Pace

S = 1_000_000_000


def sends(pace: Pace, seconds: float, *, urgent: bool = False) -> int:
    """How many calls leave in so long, when as many wait as there is room for."""
    now, count = 0, 0
    while now < seconds * S:
        wait = pace.wait_ns(now, urgent=urgent)
        now += wait
        if now >= seconds * S:
            break
        pace.sent(now)
        count += 1
    return count


@pytest.mark.parametrize(
    ("limits", "seconds", "count"),
    [
        ((Limit(1, 1.0),), 10, 10),
        ((Limit(1, 1.0), Limit(20, 60.0)), 60, 20),
        ((Limit(1, 1.0), Limit(20, 60.0)), 120, 40),
        ((Limit(1, 1.0), Limit(20, 60.0, kept=5)), 60, 15),
    ],
)
def test_no_window_holds_more_calls_than_its_limit(
    limits: tuple[Limit, ...], seconds: int, count: int
) -> None:
    assert sends(Pace(limits), seconds) == count


def test_what_is_kept_for_criticals_is_theirs() -> None:
    pace = Pace((Limit(1, 1.0), Limit(20, 60.0, kept=5)))
    assert sends(pace, 30) == 15
    assert pace.wait_ns(30 * S, urgent=False) > 0
    assert pace.wait_ns(30 * S, urgent=True) == 0


def test_no_limit_never_waits() -> None:
    pace = Pace(())
    pace.sent(0)
    assert pace.wait_ns(0, urgent=False) == 0


def test_failures_back_off_longer_each_time_up_to_a_bound_and_success_forgets_them() -> None:
    pace = Pace(())
    waits = [(pace.failed(0, None)) / S for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, BACK_OFF_MAX_S, BACK_OFF_MAX_S, BACK_OFF_MAX_S]
    assert pace.wait_ns(0, urgent=False) == BACK_OFF_MAX_S * S
    assert pace.wait_ns(0, urgent=True) == 0, "a new CRITICAL is tried at once"
    pace.accepted()
    assert pace.wait_ns(0, urgent=False) == 0
    assert pace.failed(0, None) == S


@pytest.mark.parametrize(("asked", "held_s"), [(7.0, 7.0), (0.0, 0.0), (1e9, RETRY_AFTER_MAX_S)])
def test_what_the_channel_asks_for_holds_everything(asked: float, held_s: float) -> None:
    pace = Pace(())
    assert pace.failed(0, asked) == held_s * S
    assert pace.wait_ns(0, urgent=True) == held_s * S
    assert pace.wait_ns(int(held_s * S), urgent=True) == 0

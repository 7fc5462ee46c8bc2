"""Key figures: windows over the venue's health, thresholds above and below, breakers."""

from decimal import Decimal as D  # noqa: N817  # many literals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.config import Kpi as Config
from hedgegridd.core.kpi import SAMPLES_MAX, Windows, figures, thresholds
from tests.unit.control_fakes import GUARDS

S = 1_000_000_000


def health(calls: int = 60, failed: int = 0, **over: object) -> m.VenueHealth:
    return m.VenueHealth(calls=calls, failed=failed, last_ok=True, **over)  # type: ignore[arg-type]  # a test's shorthand


def test_nothing_told_is_nothing_known() -> None:
    windows = Windows()
    assert (windows.requests_per_minute(S), windows.error_rate_pct(S), windows.healthy_pct(S)) == (
        None,
        None,
        None,
    )


def test_the_error_rate_is_of_five_minutes_each_call_counted_once() -> None:
    windows = Windows()
    for second in range(1_000, 1_400):
        # Ten calls a minute; those of one minute, long ago, all failed.
        windows.heard(health(10, 10 if 1_150 <= second < 1_210 else 0), second * S)
    now_ns = 1_399 * S
    assert windows.requests_per_minute(now_ns) == 10
    assert windows.error_rate_pct(now_ns) == D("20.00")
    assert windows.error_rate_pct(now_ns + 8 * S) == D("20.00")
    assert windows.requests_per_minute(now_ns + 11 * S) is None, "health is not told any more"
    assert windows.error_rate_pct(now_ns + 300 * S) is None


def test_a_venue_that_is_not_heard_of_bans_us_or_failed_is_not_healthy() -> None:
    windows = Windows()
    windows.heard(health(), 100 * S)
    assert windows.healthy_pct(100 * S) == 100
    assert windows.healthy_pct(111 * S) == 0
    windows.heard(health(banned_until_ns=130 * S), 112 * S)
    assert (windows.healthy_pct(112 * S), windows.healthy_pct(121 * S)) == (0, 0)
    windows.heard(health(banned_until_ns=130 * S), 131 * S)
    assert windows.healthy_pct(131 * S) == 100
    windows.heard(m.VenueHealth(calls=3, failed=1, last_ok=False), 131 * S)
    assert windows.healthy_pct(131 * S) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 500), st.integers(0, 500)), max_size=600))
def test_windows_are_bounded_and_a_rate_is_a_share(reports: list[tuple[int, int, int]]) -> None:
    windows, now_ns = Windows(), 10_000 * S
    for step, calls, failed in reports:
        now_ns += step * S // 2
        windows.heard(health(max(calls, failed), min(calls, failed)), now_ns)
        rate = windows.error_rate_pct(now_ns)
        assert rate is None or 0 <= rate <= 100
    assert len(windows._samples) <= SAMPLES_MAX


def answer(**over: object) -> m.KpiAnswer:
    facts: dict[str, object] = {
        "to": 0, "requests_per_minute": 10, "error_rate_pct": D(0), "healthy_pct": D(100),
        "thresholds": thresholds(Config()),
    }  # fmt: skip
    return m.KpiAnswer(**(facts | over))  # type: ignore[arg-type]  # a test's shorthand


def breaker(level: str, value: D | None = D(60)) -> m.GuardsAnswer:
    verdict = m.GuardVerdict(guard="venue_errors", level=level, value=value, limit=D(50))  # type: ignore[arg-type]  # as above
    return m.GuardsAnswer(to=0, verdicts=(verdict,), holds=())


@pytest.mark.parametrize(
    ("over", "name", "status"),
    [
        ({"requests_per_minute": 100}, "requests_per_minute", "OK"),
        ({"requests_per_minute": 101}, "requests_per_minute", "WARN"),
        ({"requests_per_minute": 201}, "requests_per_minute", "CRITICAL"),
        ({"requests_per_minute": None}, "requests_per_minute", "NO DATA"),
        ({"error_rate_pct": D(5)}, "error_rate", "OK"),
        ({"error_rate_pct": D("5.1")}, "error_rate", "WARN"),
        ({"error_rate_pct": D("15.1")}, "error_rate", "CRITICAL"),
        ({"healthy_pct": D(80)}, "healthy_venues", "OK"),
        ({"healthy_pct": D(79)}, "healthy_venues", "WARN"),
        ({"healthy_pct": D(49)}, "healthy_venues", "CRITICAL"),
        ({"healthy_pct": None}, "healthy_venues", "NO DATA"),
        ({}, "cache_hit_rate", "NO DATA"),
    ],
)
def test_thresholds_of_the_spec(over: dict[str, object], name: str, status: str) -> None:
    found = {each.name: each for each in figures(answer(**over), GUARDS)}
    assert found[name].status == status


@pytest.mark.parametrize(
    ("guards", "value", "status"),
    [
        (breaker("OK"), 0, "OK"),
        (breaker("WARN"), 0, "OK"),
        (breaker("BLOCK"), 1, "WARN"),
        (breaker("CRITICAL"), 1, "WARN"),
        (breaker("BLOCK", None), None, "NO DATA"),
        (m.GuardsAnswer(to=0, verdicts=(), holds=(), off=("venue_errors",)), None, "NO DATA"),
    ],
)
def test_breakers_that_are_open(guards: m.GuardsAnswer, value: int | None, status: str) -> None:
    found = {each.name: each for each in figures(answer(), guards)}["open_breakers"]
    assert (found.value, found.status) == (value, status)


def test_every_threshold_is_the_configs() -> None:
    config = Config(
        requests_per_min_warn=D(1), requests_per_min_critical=D(2), error_rate_warn_pct=D(3), error_rate_critical_pct=D(4),
        open_breakers_warn=D(5), open_breakers_critical=D(6), healthy_venues_warn_pct=D(8), healthy_venues_critical_pct=D(7),
    )  # fmt: skip
    found = figures(answer(thresholds=thresholds(config)), GUARDS)
    assert [(each.warn, each.critical) for each in found] == [(1, 2), (3, 4), (None, None), (5, 6), (8, 7)]

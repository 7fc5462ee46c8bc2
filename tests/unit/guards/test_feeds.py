"""Guards of the venue, the clock, the loop and the feeds: at and around their limits, missing, old, each parameter."""

from decimal import Decimal
from typing import Any

import pytest

from hedgegridd import messages as m
from hedgegridd.core.guard import Now
from tests.support.guard_rig import IID, START_NS, Eyes, Held, S

D = Decimal
OTHER = "ETHUSDT-PERP.BINANCE"


def health(**figures: Any) -> m.VenueHealth:
    """A venue that is well, but for what is given; numbers as text are exact."""
    well: dict[str, Any] = {
        "calls": 40, "failed": 0, "last_ok": True, "last_call_age_ms": 0, "uptime_pct": "100",
        "latency_p95_ms": "12", "weight_used": "0.1", "orders_used": "0.05", "clock_offset_ms": 3,
        "clock_age_s": "5", "user_stream_age_s": "1",
    }  # fmt: skip
    given = well | figures
    return m.VenueHealth(
        **{name: D(value) if isinstance(value, str) else value for name, value in given.items()}
    )


# -------------------------------------------------------------------------------- old or missing data, whoever looks

NEEDS: list[tuple[str, m.Event, dict[str, Any]]] = [
    ("venue_errors", health(), {}),
    ("venue_health", health(), {}),
    ("stale_account", health(), {}),
    ("loop_lag", m.LoopLagged(lag_ms=D(1)), {}),
    ("clock_skew", health(), {}),
    ("rate_budget", health(), {}),
    ("call_quota", m.CallsCounted(provider="p", burst=1, minute=1, hour=1), {}),
    ("spread_depth", m.BookDepth(instrument=IID, spread_bps=D(1), depth_usdt=D(10**6)), {}),
]


@pytest.mark.parametrize(("kind", "event", "table"), NEEDS, ids=[each[0] for each in NEEDS])
def test_data_that_is_missing_or_old_holds_entries(kind: str, event: m.Event, table: dict[str, Any]) -> None:
    eyes = Eyes(kind, max_age_s=D(7), **table)
    assert eyes.missing()
    eyes.take(event)
    assert eyes.level() == "OK"
    assert eyes.wait(7).level() == "OK"
    assert eyes.wait(D("0.001")).missing()
    assert eyes.take(event).level() == "OK"


@pytest.mark.parametrize(("kind", "event", "table"), NEEDS, ids=[each[0] for each in NEEDS])
def test_on_missing_can_be_a_warning_alone(kind: str, event: m.Event, table: dict[str, Any]) -> None:
    assert Eyes(kind, on_missing="WARN", **table).level() == "WARN"


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        ("venue_health", "uptime_pct"),
        ("venue_health", "latency_p95_ms"),
        ("clock_skew", "clock_offset_ms"),
        ("clock_skew", "clock_age_s"),
        ("rate_budget", "weight_used"),
        ("rate_budget", "orders_used"),
    ],
)
def test_a_figure_that_is_not_known_is_never_zero(kind: str, figure: str) -> None:
    assert Eyes(kind).take(health(**{figure: None})).missing()


@pytest.mark.parametrize(("kind", "event", "table"), NEEDS, ids=[each[0] for each in NEEDS])
def test_silence_pauses_by_itself_and_the_first_word_after_it_clears(
    kind: str, event: m.Event, table: dict[str, Any]
) -> None:
    held = Held(kind, max_age_s=D(5), clear_s=D(2), **table).take(event)
    assert not held.paused
    held.wait(5.1)
    assert held.paused, "no event came: a timer found it"
    held.take(event).wait(1.9)
    assert held.paused
    held.take(event).wait(0.2)
    assert not held.paused


DEFAULTS: dict[str, dict[str, Any]] = {
    "order_errors": {"trip_count": 10, "window_s": D(60), "cooldown_s": D(300), "clear_s": D(0)},
    "venue_errors": {"trip_pct": D(50), "min_calls": 20, "pause_s": D(30), "clear_s": D(0)},
    "venue_health": {"min_uptime_pct": D(95), "warn_uptime_pct": D(98), "trip_latency_ms": D(5000)},
    "stale_market": {"trip_mark_s": D(5), "trip_bar_s": D(300), "clear_s": D(5)},
    "stale_account": {"trip_silent_s": D(60), "clear_s": D(5)},
    "loop_lag": {"warn_ms": D(250), "trip_ms": D(2000), "clear_s": D(10)},
    "clock_skew": {"warn_ms": D(300), "trip_ms": D(800), "max_reading_age_s": D(180), "clear_s": D(0)},
    "rate_budget": {"warn_pct": D(80), "trip_pct": D(95), "clear_s": D(5)},
    "call_quota": {"per_minute": 1_200, "per_10s": 100, "per_hour": 3_600, "warn_pct": D(80), "trip_pct": D(95)},
    "spread_depth": {"trip_spread_bps": D(100), "min_depth_usdt": D(50_000), "max_age_s": D(40)},
    "depeg": {"trip_pct": D("0.5"), "samples": 3, "every_s": D(60), "exit": False, "clear_s": D(300), "max_age_s": D(35)},
}  # fmt: skip


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_defaults_are_the_specified_ones_and_all_pause(kind: str) -> None:
    params = Eyes(kind).setting.params
    assert {name: getattr(params, name) for name in DEFAULTS[kind]} == DEFAULTS[kind]
    assert params.action == "pause"


# ------------------------------------------------------------------------------------------------------ order_errors


def rejected(code: int = -4003, coid: str = "a") -> m.OrderRejected:
    return m.OrderRejected(instrument=IID, client_order_id=coid, code=code, reason="no")


def cancel_rejected(code: int) -> m.CancelRejected:
    return m.CancelRejected(instrument=IID, client_order_id="a", code=code, reason="no")


@pytest.mark.parametrize(
    ("count", "level"), [(0, "OK"), (7, "OK"), (8, "WARN"), (9, "WARN"), (10, "BLOCK"), (30, "BLOCK")]
)
def test_order_errors_counts_refusals(count: int, level: str) -> None:
    eyes = Eyes("order_errors").take(*[rejected() for _ in range(count)])
    verdict = eyes.one()
    assert (verdict.level, verdict.value, verdict.limit) == (level, count, 10)


@pytest.mark.parametrize("code", [-5022, -2011, -2013, -2022])
def test_refusals_that_a_grid_lives_with_are_no_errors(code: int) -> None:
    eyes = Eyes("order_errors")
    eyes.take(*[rejected(code) for _ in range(20)], *[cancel_rejected(code) for _ in range(20)])
    assert (eyes.level(), eyes.one().value) == ("OK", 0)


def test_an_instrument_that_does_not_trade_is_one_error_however_many_orders_it_refuses() -> None:
    eyes = Eyes("order_errors").take(*[rejected(-4140) for _ in range(30)])
    assert (eyes.level(), eyes.one().value) == ("OK", 1)
    assert eyes.take(*[rejected() for _ in range(9)]).level() == "BLOCK"


def test_refused_cancels_and_denials_count_with_the_orders() -> None:
    eyes = Eyes("order_errors").take(
        *[rejected(0) for _ in range(5)], *[cancel_rejected(-1001) for _ in range(5)]
    )
    assert eyes.level() == "BLOCK"
    assert "-1001 no" in eyes.one().words()


def test_cancels_that_had_no_answer_are_no_refusals() -> None:
    """An outage of seconds must not hold entries for the cool-down of five minutes."""
    eyes = Eyes("order_errors").take(*[cancel_rejected(0) for _ in range(30)])
    assert (eyes.level(), eyes.one().value) == ("OK", 0)


def test_errors_of_a_minute_ago_are_forgotten() -> None:
    eyes = Eyes("order_errors").take(*[rejected() for _ in range(5)]).wait(30)
    eyes.take(*[rejected() for _ in range(5)])
    assert eyes.wait(D("29.999")).level() == "BLOCK"
    assert (eyes.wait(D("0.001")).level(), eyes.one().value) == ("OK", 5)


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"trip_count": 3}, "BLOCK"),
        ({"trip_count": 4, "warn_count": 3}, "WARN"),
        ({"trip_count": 4, "warn_count": 4}, "OK"),
        ({"window_s": D(10)}, "OK"),
        ({"trip_count": 3, "expected_codes": [-4003]}, "OK"),
        ({"trip_count": 3, "action": "halt"}, "CRITICAL"),
    ],
)
def test_order_errors_follows_its_table(table: dict[str, Any], level: str) -> None:
    eyes = Eyes("order_errors", **{"window_s": D(60), **table}).take(*[rejected() for _ in range(3)])
    assert eyes.wait(11).level() == level


def test_the_pause_for_order_errors_lasts_its_cool_down() -> None:
    held = Held("order_errors", cooldown_s=D(300))
    held.take(*[rejected() for _ in range(9)])
    assert not held.paused
    held.take(rejected())
    assert held.paused
    held.wait(299)
    assert held.paused, "the errors are over since four minutes"
    held.wait(2)
    assert not held.paused


# ------------------------------------------------------------------------------------------------------ venue_errors


@pytest.mark.parametrize(
    ("calls", "failed", "level"),
    [
        (19, 19, "OK"),
        (20, 7, "OK"),
        (20, 8, "WARN"),
        (20, 9, "WARN"),
        (20, 10, "BLOCK"),
        (200, 99, "WARN"),
        (200, 100, "BLOCK"),
        (400, 199, "WARN"),
    ],
)
def test_venue_errors_needs_half_of_at_least_twenty_calls(calls: int, failed: int, level: str) -> None:
    assert Eyes("venue_errors").take(health(calls=calls, failed=failed, last_ok=False)).level() == level


@pytest.mark.parametrize(
    ("table", "level"),
    [({"trip_pct": D(31)}, "WARN"), ({"trip_pct": D(30)}, "BLOCK"), ({"min_calls": 31, "trip_pct": D(30)}, "OK"),
     ({"trip_pct": D(60), "warn_pct": D(30)}, "WARN"), ({"trip_pct": D(60), "warn_pct": D(31)}, "OK")],
)  # fmt: skip
def test_venue_errors_follows_its_table(table: dict[str, Any], level: str) -> None:
    assert Eyes("venue_errors", **table).take(health(calls=30, failed=9, last_ok=False)).level() == level


BAD = {"calls": 40, "failed": 30}


def test_after_the_pause_one_answered_call_closes_the_breaker() -> None:
    eyes = Eyes("venue_errors", pause_s=D(30)).take(health(**BAD, last_ok=False))
    for _ in range(29):
        assert eyes.wait(1).take(health(**BAD, last_ok=True)).level() == "BLOCK", (
            "within the pause no call decides"
        )
    eyes.wait(1).take(health(**BAD, last_ok=True, last_call_age_ms=500))
    assert eyes.level() == "BLOCK", "this call was over before the pause was"
    eyes.wait(1).take(health(**BAD, last_ok=True, last_call_age_ms=500))
    assert eyes.level() == "WARN", "half of the minute's calls still failed, the probe did not"


def test_a_failed_probe_pauses_anew_and_a_failure_after_a_good_one_as_well() -> None:
    eyes = Eyes("venue_errors", pause_s=D(10)).take(health(**BAD, last_ok=False))
    assert eyes.wait(10).take(health(**BAD, last_ok=False)).level() == "BLOCK"
    assert eyes.wait(9).take(health(**BAD, last_ok=True)).level() == "BLOCK", (
        "nine seconds after the failed probe"
    )
    assert eyes.wait(1).take(health(**BAD, last_ok=True)).level() == "WARN"
    assert eyes.wait(1).take(health(**BAD, last_ok=True)).level() == "WARN"
    assert eyes.wait(1).take(health(**BAD, last_ok=False)).level() == "BLOCK", "open again"
    assert eyes.wait(5).take(health(**BAD, last_ok=True)).level() == "BLOCK"


def test_the_breaker_closes_when_few_failures_are_left() -> None:
    eyes = Eyes("venue_errors").take(health(**BAD, last_ok=False))
    assert eyes.wait(1).take(health(calls=40, failed=2)).level() == "OK"
    assert eyes.wait(1).take(health(**BAD, last_ok=False)).level() == "BLOCK"


def test_the_pause_ends_with_the_probe() -> None:
    held = Held("venue_errors", pause_s=D(3)).take(health(**BAD, last_ok=False))
    assert held.paused
    assert held.wait(2).take(health(**BAD)).paused
    assert not held.wait(1).take(health(**BAD)).paused


# ------------------------------------------------------------------------------------------------------ venue_health


@pytest.mark.parametrize(
    ("uptime", "latency", "level", "unit"),
    [
        ("98", "4000", "OK", "%"),
        ("97.99", "4000", "WARN", "%"),
        ("95", "1", "WARN", "%"),
        ("94.99", "1", "BLOCK", "%"),
        ("100", "4000.1", "WARN", "ms"),
        ("100", "5000", "WARN", "ms"),
        ("100", "5000.1", "BLOCK", "ms"),
        ("97", "5000.1", "BLOCK", "ms"),
        ("94", "6000", "BLOCK", "%"),
    ],
)
def test_venue_health_judges_uptime_and_latency(uptime: str, latency: str, level: str, unit: str) -> None:
    verdict = Eyes("venue_health").take(health(uptime_pct=uptime, latency_p95_ms=latency)).one()
    assert (verdict.level, verdict.unit) == (level, unit)


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"min_uptime_pct": D(90)}, "WARN"),
        ({"min_uptime_pct": D(90), "warn_uptime_pct": D(91)}, "WARN"),
        ({"min_uptime_pct": D(90), "warn_uptime_pct": D(91), "trip_latency_ms": D(6000)}, "OK"),
        ({"min_uptime_pct": D(90), "warn_uptime_pct": D(91), "warn_latency_ms": D(4800)}, "OK"),
        ({"trip_latency_ms": D(4700)}, "BLOCK"),
    ],
)
def test_venue_health_follows_its_table(table: dict[str, Any], level: str) -> None:
    sick = health(uptime_pct="94" if "trip_latency_ms" not in table else "96", latency_p95_ms="4750")
    assert Eyes("venue_health", **table).take(sick).level() == level


# ----------------------------------------------------------------------------------------------------- stale_account


def user(up: bool, detail: str = "") -> m.FeedChanged:
    return m.FeedChanged(channel="user", up=up, detail=detail)


def compared(ok: bool) -> m.Reconciled:
    return m.Reconciled(ok=ok, cause="test")


def test_a_lost_user_stream_blocks_until_it_is_back() -> None:
    eyes = Eyes("stale_account").take(health(), user(False, "it does not tell of a"))
    assert eyes.level() == "BLOCK"
    assert "it does not tell of a" in eyes.one().words()
    assert eyes.wait(3).one().value == 3
    assert eyes.take(user(True), health()).level() == "OK"


def test_another_channel_is_none_of_its_business() -> None:
    lost = m.FeedChanged(channel="market", up=False, detail="")
    assert Eyes("stale_account").take(health(), lost).level() == "OK"


@pytest.mark.parametrize(
    ("age", "level"),
    [("0", "OK"), ("47.9", "OK"), ("48", "WARN"), ("59.9", "WARN"), ("60", "BLOCK"), ("500", "BLOCK")],
)
def test_a_stream_that_is_silent_and_not_verified_blocks(age: str, level: str) -> None:
    assert Eyes("stale_account").take(health(user_stream_age_s=age)).level() == level


def test_a_comparison_that_agrees_verifies_a_silent_stream_and_one_that_does_not_does_not() -> None:
    eyes = Eyes("stale_account").take(health(user_stream_age_s="100"), compared(False))
    assert eyes.level() == "BLOCK"
    assert eyes.take(compared(True)).level() == "OK"
    assert eyes.wait(30).take(compared(False), health(user_stream_age_s="130")).one().value == 30
    assert eyes.wait(30).take(health(user_stream_age_s="160")).level() == "BLOCK"


def test_a_step_back_of_the_wall_clock_makes_no_comparison_younger() -> None:
    eyes = Eyes("stale_account").take(compared(True)).wait(61).take(health(user_stream_age_s="161"))
    an_hour_ago = Now(eyes.now_ns, START_NS + eyes.now_ns - 3_600 * S)
    (verdict,) = eyes.setting.guard.check(eyes.view, an_hour_ago, eyes.setting.params)
    assert verdict.level == "BLOCK"


def test_a_stream_that_never_spoke_is_as_old_as_the_last_comparison() -> None:
    eyes = Eyes("stale_account").take(health(user_stream_age_s=None))
    assert eyes.missing()
    assert eyes.take(compared(True)).level() == "OK"


def test_its_age_grows_between_two_reports_and_a_timer_looks() -> None:
    held = Held("stale_account", trip_silent_s=D(8)).take(health(user_stream_age_s="1"))
    held.wait(6.9)
    assert not held.paused
    held.wait(0.2)
    assert held.paused


@pytest.mark.parametrize(
    ("table", "level"),
    [({"trip_silent_s": D(50)}, "BLOCK"), ({"trip_silent_s": D(100)}, "OK"), ({"trip_silent_s": D(100), "warn_silent_s": D(50)}, "WARN")],
)  # fmt: skip
def test_stale_account_follows_its_table(table: dict[str, Any], level: str) -> None:
    assert Eyes("stale_account", **table).take(health(user_stream_age_s="50")).level() == level


# ------------------------------------------------------------------------------------ loop_lag, clock_skew, rate_budget


@pytest.mark.parametrize(
    ("lag", "level"),
    [("249.9", "OK"), ("250", "WARN"), ("1999.9", "WARN"), ("2000", "BLOCK"), ("9000", "BLOCK")],
)
def test_loop_lag(lag: str, level: str) -> None:
    assert Eyes("loop_lag").take(m.LoopLagged(lag_ms=D(lag))).level() == level
    wider = Eyes("loop_lag", warn_ms=D(9001), trip_ms=D(9001)).take(m.LoopLagged(lag_ms=D(lag)))
    assert wider.level() == "OK"


@pytest.mark.parametrize(
    ("offset", "level"),
    [
        (299, "OK"),
        (-299, "OK"),
        (300, "WARN"),
        (-300, "WARN"),
        (799, "WARN"),
        (800, "BLOCK"),
        (-800, "BLOCK"),
        (10_000, "BLOCK"),
    ],
)
def test_clock_skew_in_either_direction(offset: int, level: str) -> None:
    assert Eyes("clock_skew").take(health(clock_offset_ms=offset)).level() == level
    wider = Eyes("clock_skew", warn_ms=D(10_001), trip_ms=D(10_001)).take(health(clock_offset_ms=offset))
    assert wider.level() == "OK"


def test_who_is_ahead_is_told() -> None:
    assert "behind the venue" in Eyes("clock_skew").take(health(clock_offset_ms=900)).one().words()
    assert "ahead of the venue" in Eyes("clock_skew").take(health(clock_offset_ms=-900)).one().words()


@pytest.mark.parametrize(("age", "missing"), [("180", False), ("180.001", True)])
def test_a_clock_that_was_read_long_ago_is_not_known(age: str, missing: bool) -> None:
    assert Eyes("clock_skew").take(health(clock_age_s=age)).missing() is missing
    assert not Eyes("clock_skew", max_reading_age_s=D(200)).take(health(clock_age_s=age)).missing()


@pytest.mark.parametrize(
    ("weight", "orders", "level", "what"),
    [
        ("0.799", "0.1", "OK", "request weight"),
        ("0.8", "0.1", "WARN", "request weight"),
        ("0.1", "0.8", "WARN", "orders"),
        ("0.949", "0.949", "WARN", "request weight"),
        ("0.95", "0", "BLOCK", "request weight"),
        ("0", "0.95", "BLOCK", "orders"),
        ("1", "0", "BLOCK", "request weight"),
    ],
)
def test_rate_budget_judges_the_limit_of_which_most_is_used(
    weight: str, orders: str, level: str, what: str
) -> None:
    verdict = Eyes("rate_budget").take(health(weight_used=weight, orders_used=orders)).one()
    assert verdict.level == level
    assert verdict.words().startswith(what)
    wider = Eyes("rate_budget", warn_pct=D(100), trip_pct=D(100)).take(
        health(weight_used=weight, orders_used=orders)
    )
    assert (wider.level() == "OK") is (weight != "1")


def test_a_ban_is_all_of_the_budget_until_it_ends() -> None:
    eyes = Eyes("rate_budget")
    eyes.take(health(weight_used=None, banned_until_ns=START_NS + eyes.now_ns + 5 * S))
    assert (eyes.level(), eyes.one().value) == ("BLOCK", 100)
    assert "send nothing" in eyes.one().words()
    assert eyes.wait(5).missing()


# -------------------------------------------------------------------------------------------------------- call_quota


def counted(burst: int = 1, minute: int = 1, hour: int = 1, provider: str = "p") -> m.CallsCounted:
    return m.CallsCounted(provider=provider, burst=burst, minute=minute, hour=hour)


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        ({"burst": 79}, "OK"), ({"burst": 80}, "WARN"), ({"burst": 94}, "WARN"), ({"burst": 95}, "BLOCK"),
        ({"minute": 959}, "OK"), ({"minute": 960}, "WARN"), ({"minute": 1139}, "WARN"), ({"minute": 1140}, "BLOCK"),
        ({"hour": 2879}, "OK"), ({"hour": 2880}, "WARN"), ({"hour": 3419}, "WARN"), ({"hour": 3420}, "BLOCK"),
    ],
)  # fmt: skip
def test_call_quota_judges_each_window(counts: dict[str, int], level: str) -> None:
    assert Eyes("call_quota").take(counted(**counts)).level() == level


@pytest.mark.parametrize(
    ("table", "level"),
    [
        ({"per_10s": 10}, "BLOCK"), ({"per_minute": 20}, "BLOCK"), ({"per_hour": 30}, "BLOCK"), ({}, "OK"),
        ({"per_10s": 11}, "WARN"), ({"per_10s": 11, "warn_pct": D(91)}, "OK"), ({"per_10s": 11, "trip_pct": D(90)}, "BLOCK"),
    ],
)  # fmt: skip
def test_call_quota_follows_its_table(table: dict[str, Any], level: str) -> None:
    assert Eyes("call_quota", **table).take(counted(10, 20, 30)).level() == level


def test_of_several_providers_the_worst_counts_and_one_that_is_not_counted_is_missing() -> None:
    eyes = Eyes("call_quota").take(counted(provider="a"), counted(burst=99, provider="b"))
    assert eyes.level() == "BLOCK"
    assert eyes.one().words().startswith("b: 99 of 100")
    assert eyes.wait(8).take(counted(provider="b")).level() == "OK"
    assert eyes.wait(8).missing()

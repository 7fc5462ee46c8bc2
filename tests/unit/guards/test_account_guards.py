"""Guards of equity and margin: around warn and trip, with missing and with old data, and each of their parameters."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from tests.support.guard_bench import Bench, figures, instrument_figures

ACCOUNT = ("session_drawdown", "peak_drawdown", "daily_loss", "session_loss", "equity_floor", "leverage")
LEVELS = {"daily_loss": {"trip_usdt": D(200)}}

# guard, parameters, figures, level
TABLE = [
    ("session_drawdown", {}, {"equity_usdt": D(9601)}, "OK"),
    ("session_drawdown", {}, {"equity_usdt": D(9600)}, "WARN"),
    ("session_drawdown", {}, {"equity_usdt": D("9500.01")}, "WARN"),
    ("session_drawdown", {}, {"equity_usdt": D(9500)}, "CRITICAL"),
    ("session_drawdown", {}, {"equity_usdt": D(10), "session_peak_usdt": D(0)}, "CRITICAL"),
    ("session_drawdown", {"trip_pct": D(6)}, {"equity_usdt": D(9500)}, "WARN"),
    ("session_drawdown", {"warn_pct": D(1)}, {"equity_usdt": D(9890)}, "WARN"),
    ("session_drawdown", {"action": "pause"}, {"equity_usdt": D(9500)}, "BLOCK"),
    ("session_drawdown", {}, {"equity_usdt": D(9500), "session_peak_usdt": D(9600), "peak_usdt": D(20000)}, "OK"),
    ("peak_drawdown", {}, {"equity_usdt": D("8400.01")}, "OK"),
    ("peak_drawdown", {}, {"equity_usdt": D(8400)}, "WARN"),
    ("peak_drawdown", {}, {"equity_usdt": D(8000)}, "CRITICAL"),
    ("peak_drawdown", {"trip_pct": D(10)}, {"equity_usdt": D(9000)}, "CRITICAL"),
    ("peak_drawdown", {"warn_pct": D(2)}, {"equity_usdt": D(9800)}, "WARN"),
    ("peak_drawdown", {}, {"equity_usdt": D(9500), "session_peak_usdt": D(20000)}, "OK"),
    ("daily_loss", {"trip_usdt": D(200)}, {"day_usdt": D("-159.99")}, "OK"),
    ("daily_loss", {"trip_usdt": D(200)}, {"day_usdt": D(-160)}, "WARN"),
    ("daily_loss", {"trip_usdt": D(200)}, {"day_usdt": D(-200)}, "BLOCK"),
    ("daily_loss", {"trip_usdt": D(200), "warn_usdt": D(10)}, {"day_usdt": D(-10)}, "WARN"),
    ("daily_loss", {"trip_usdt": D(200), "action": "flatten"}, {"day_usdt": D(-200)}, "CRITICAL"),
    ("session_loss", {}, {"session_usdt": D(-799)}, "OK"),
    ("session_loss", {}, {"session_usdt": D(-800)}, "WARN"),
    ("session_loss", {}, {"session_usdt": D(-1000)}, "CRITICAL"),
    ("session_loss", {"trip_usdt": D(50)}, {"session_usdt": D(-50)}, "CRITICAL"),
    ("session_loss", {"warn_usdt": D(5)}, {"session_usdt": D(-5)}, "WARN"),
    ("session_loss", {}, {"session_usdt": D(5000)}, "OK"),
    ("equity_floor", {}, {"equity_usdt": D("625.01")}, "OK"),
    ("equity_floor", {}, {"equity_usdt": D(625)}, "WARN"),
    ("equity_floor", {}, {"equity_usdt": D(500)}, "CRITICAL"),
    ("equity_floor", {"trip_usdt": D(9000)}, {"equity_usdt": D(9000)}, "CRITICAL"),
    ("equity_floor", {"warn_usdt": D(5000)}, {"equity_usdt": D(5000)}, "WARN"),
    ("margin_ratio", {}, {"maint_margin_usdt": D(5999)}, "OK"),
    ("margin_ratio", {}, {"maint_margin_usdt": D(6000)}, "WARN"),
    ("margin_ratio", {}, {"maint_margin_usdt": D(8000)}, "CRITICAL"),
    ("margin_ratio", {"trip_ratio": D("0.5")}, {"maint_margin_usdt": D(5000)}, "CRITICAL"),
    ("margin_ratio", {"warn_ratio": D("0.1")}, {"maint_margin_usdt": D(1000)}, "WARN"),
    ("margin_ratio", {}, {"maint_margin_usdt": D(1), "margin_balance_usdt": D(0)}, "CRITICAL"),
    ("margin_ratio", {}, {"maint_margin_usdt": D(0), "margin_balance_usdt": D(0)}, "OK"),
]  # fmt: skip


@pytest.mark.parametrize(("guard", "params", "fields", "level"), TABLE)
def test_levels(guard, params, fields, level):
    verdict = Bench(guard, **params)(figures(**fields)).only()
    assert verdict.level == level
    assert (verdict.words() != "") is (level != "OK") or level == "OK"


@pytest.mark.parametrize("guard", [*ACCOUNT, "margin_ratio"])
def test_what_is_not_known_is_a_breach_and_never_zero(guard):
    bench = Bench(guard, **LEVELS.get(guard, {}))
    unknown = dict.fromkeys(
        ("equity_usdt", "session_peak_usdt", "peak_usdt", "session_usdt", "day_usdt", "maint_margin_usdt")
    )
    for told in ((), (figures(**unknown),)):
        verdict = bench(*told).only()
        assert (verdict.level, verdict.value, str(verdict.action)) == ("BLOCK", None, "pause")
    lenient = Bench(guard, on_missing="WARN", **LEVELS.get(guard, {})).only()
    assert (lenient.level, lenient.value, str(lenient.action)) == ("WARN", None, "notify")


@pytest.mark.parametrize("guard", ACCOUNT)
def test_equity_behind_which_a_mark_is_old_is_not_known(guard):
    bench = Bench(guard, max_age_s=D(3), **LEVELS.get(guard, {}))
    bench(figures(instrument_figures(long=1)))
    assert bench.wait(3).only().value is not None
    assert bench.wait("0.1").only().level == "BLOCK"
    # The same mark told again is no younger; a new one is.
    assert bench(figures(instrument_figures(long=1))).only().level == "BLOCK"
    assert bench(figures(instrument_figures(long=1, market_ns=2))).only().value is not None


def test_without_inventory_equity_needs_no_mark():
    bench = Bench("session_drawdown", max_age_s=D(3))(figures(instrument_figures()))
    assert bench.wait(1000).only().level == "OK"


def test_margins_are_as_old_as_the_venues_report():
    bench = Bench("margin_ratio", max_age_s=D(10))(figures())
    bench(figures(), after_s=10)  # told again, of the same report
    assert bench.only().level == "OK"
    assert bench.wait("0.1").only().level == "BLOCK"
    assert bench(figures(margin_ns=2)).only().level == "OK"


LEVERAGE = [
    ({}, 0, 0, "OK"),
    ({}, "0.7", 0, "OK"),
    ({}, "0.4", "0.4", "WARN"),
    ({}, "0.5", "0.5", "BLOCK"),
    ({"trip_ratio": D(2)}, "0.4", 0, "BLOCK"),
    ({"warn_ratio": D(1)}, "0.2", 0, "WARN"),
    ({"action": "flatten"}, 1, 0, "CRITICAL"),
]


@pytest.mark.parametrize(("params", "long", "short", "level"), LEVERAGE)
def test_leverage_counts_both_legs(params, long, short, level):
    assert (
        Bench("leverage", **params)(figures(instrument_figures(long=long, short=short))).only().level == level
    )


def test_leverage_without_equity_is_a_breach():
    bench = Bench("leverage")(figures(instrument_figures(long="0.001"), equity_usdt=D(0)))
    assert bench.only().level == "BLOCK"
    assert Bench("leverage")(figures(instrument_figures(), equity_usdt=D(-5))).only().level == "OK"


def test_the_message_has_its_numbers():
    verdict = Bench("session_drawdown")(figures(equity_usdt=D("9475.5"))).only()
    assert verdict.words() == "fall from the peak since start 5.245 %, limit 5"
    assert (verdict.value, verdict.warn, verdict.limit, verdict.unit) == (D("5.245"), D("4.0"), D(5), "%")
    assert (
        Bench("margin_ratio")(figures(maint_margin_usdt=D(8100))).only().words()
        == "margin ratio 0.81, limit 0.8"
    )
    floor = Bench("equity_floor")(figures(equity_usdt=D(400))).only()
    assert floor.words() == "equity 400 USDT, not below 500"

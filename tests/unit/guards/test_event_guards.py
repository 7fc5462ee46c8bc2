"""Guards of what happens: losses of a rung, slippage, comparisons, acts of the venue, signals from outside."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.model import Instrument, Leg, Purpose
from tests.support.guard_bench import BTC, ETH, Bench, figures, fill, instrument_figures

LONG, SHORT = Leg.LONG, Leg.SHORT
ENTRY, PROFIT, CLOSE, STOP = Purpose.ENTRY, Purpose.TAKE_PROFIT, Purpose.CLOSE, Purpose.STOP


# --------------------------------------------------------------------------------------------- repeated execution


def losses(bench: Bench, count: int, *, leg: Leg = LONG, level: int = 2, after_s=1, profit=False) -> Bench:
    for number in range(count):
        worse = 99 if (leg is LONG) is not profit else 101
        bench(
            fill(leg, ENTRY, 100, level=level, seq=2 * number + 1),
            fill(leg, CLOSE, worse, level=level, seq=2 * number + 2),
            after_s=after_s,
        )
    return bench


@pytest.mark.parametrize(
    ("params", "count", "level"),
    [
        ({}, 7, "OK"),
        ({}, 8, "WARN"),
        ({}, 10, "CRITICAL"),
        ({"trip_count": 3}, 3, "CRITICAL"),
        ({"action": "pause"}, 10, "BLOCK"),
    ],
)
def test_losses_of_one_rung(params, count, level):
    bench = losses(Bench("repeated_execution", **params), count)
    assert bench.of(BTC, LONG).level == level
    assert bench.of(BTC, SHORT).level == "OK"


def test_only_losses_of_the_window_count_though_their_entries_are_older():
    bench = losses(Bench("repeated_execution"), 10, after_s=10)
    assert bench.of(BTC, LONG).value == 10
    assert bench.wait(150).of(BTC, LONG).value == 8
    assert losses(Bench("repeated_execution", window_s=D(30)), 10, after_s=10).of(BTC, LONG).value == 2
    old = Bench("repeated_execution")(fill(LONG, ENTRY, 100))
    assert old(fill(LONG, CLOSE, 99, seq=2), after_s=1000).of(BTC, LONG).value == 1


def test_profits_parts_of_one_order_and_other_rungs_do_not_add_up():
    assert losses(Bench("repeated_execution"), 10, profit=True).of(BTC, LONG).value == 0
    assert losses(Bench("repeated_execution"), 10, leg=SHORT).of(BTC, SHORT).value == 10
    parts = Bench("repeated_execution")(fill(LONG, ENTRY, 100), *[fill(LONG, CLOSE, 99, seq=2)] * 10)
    assert parts.of(BTC, LONG).value == 1
    spread = Bench("repeated_execution")
    for level in range(1, 11):
        losses(spread, 1, level=level)
    assert spread.of(BTC, LONG).value == 1


def test_a_stop_of_the_leg_is_a_loss_of_each_rung_it_closes():
    bench = Bench("repeated_execution")
    bench(fill(LONG, ENTRY, 100, level=1), fill(LONG, ENTRY, 90, level=2, seq=2))
    bench(fill(LONG, STOP, 95, level=0, seq=3))
    assert bench.of(BTC, LONG).value == 1, "rung 2 was closed at a profit"


# ----------------------------------------------------------------------------------------------------- slippage


def closing(
    bench: Bench, price: object, *, purpose: Purpose = CLOSE, level: int = 1, leg: Leg = LONG
) -> Bench:
    legs = {LONG: {"stop_price": D(49_000)}}
    bench(figures(instrument_figures(long=1, short=1, legs=legs)))
    return bench(fill(leg, purpose, price, level=level, qty="0.1"))


@pytest.mark.parametrize(
    ("params", "price", "level"),
    [
        ({}, 49_941, "OK"),  # 11.8 bps under the mark
        ({}, 49_940, "WARN"),
        ({}, 49_925, "CRITICAL"),
        ({}, 50_500, "OK"),  # better than the mark
        ({"trip_bps": D(5)}, 49_975, "CRITICAL"),
        ({"warn_bps": D(1)}, 49_995, "WARN"),
        ({"min_fills": 2}, 49_000, "OK"),
    ],
)
def test_a_close_against_the_mark(params, price, level):
    assert closing(Bench("slippage", **params), price).only().level == level


def test_a_leg_stop_is_measured_against_its_own_price():
    assert closing(Bench("slippage"), 48_990, purpose=STOP, level=0).only().value < 3
    assert closing(Bench("slippage"), 48_900, purpose=STOP, level=0).only().level == "CRITICAL"


def test_what_is_no_close_costs_no_slippage():
    for purpose in (ENTRY, PROFIT):
        assert closing(Bench("slippage"), 40_000, purpose=purpose).only().value == 0
    assert closing(Bench("slippage"), 50_100, leg=SHORT).only().level == "CRITICAL", (
        "a SHORT buys back dearer"
    )


def test_the_mean_is_weighted_over_the_window_and_what_leaves_it_is_looked_for():
    bench = closing(Bench("slippage"), 49_900)  # 20 bps
    assert bench.only().again_s is not None
    closing(bench, 50_000)
    assert bench.only().value == 10
    assert bench.wait(300).only().value == 0
    assert bench.only().again_s is None
    short = closing(Bench("slippage", window_s=D(10)), 49_900)
    assert short.wait(11).only().value == 0


def test_it_throttles_for_an_hour():
    params = Bench("slippage").params
    assert (params.action, params.cooldown_s) == ("throttle:0.5", 3600)


# --------------------------------------------------------------------------------------------------- comparison


def compared(**fields: object) -> m.Reconciled:
    return m.Reconciled(**{"ok": True, "cause": "interval", **fields})


@pytest.mark.parametrize(
    ("params", "held", "level", "again"),
    [
        ({}, "0", "WARN", "10"),
        ({}, "9.9", "WARN", "0.1"),
        ({}, "10", "BLOCK", "50"),
        ({}, "60", "CRITICAL", None),
        ({"trip_s": D(3)}, "3", "BLOCK", "57"),
        ({"critical_s": D(20)}, "20", "CRITICAL", None),
        ({"action": "halt"}, "10", "CRITICAL", "50"),
    ],
)
def test_books_that_differ(params, held, level, again):
    bench = Bench("reconcile_mismatch", **params)
    bench(compared(ok=False), figures(differences=("LONG is 1, ours 2",))).holds_since("", held)
    verdict = bench.only()
    assert (verdict.level, verdict.again_s) == (level, None if again is None else D(again))
    assert "LONG is 1, ours 2" in verdict.words()


def test_books_that_agree_and_books_that_were_not_compared():
    bench = Bench("reconcile_mismatch")
    assert bench.only().level == "BLOCK"
    assert bench(figures(), compared()).only().level == "OK"
    assert bench.wait(120).only().level == "OK"
    assert bench.wait(1).only().level == "BLOCK"
    assert bench(compared()).only().level == "OK"
    assert Bench("reconcile_mismatch", max_age_s=D(5))(figures(), compared()).wait(6).only().level == "BLOCK"


# ------------------------------------------------------------------------------------------------- venue's acts

RULES = Instrument(
    id=BTC, symbol="BTCUSDT", tick=D("0.1"), step=D("0.001"), min_qty=D("0.001"), max_qty=D(1000),
    market_max_qty=D(120), min_notional=D(100),
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "detail", "level"),
    [
        ("ADL", "0.004", "CRITICAL"),
        ("LIQUIDATION", "", "CRITICAL"),
        ("STATUS", "SETTLING", "CRITICAL"),
        ("STATUS", "TRADING -> SETTLING", "CRITICAL"),
        ("STATUS", "SETTLING -> TRADING", "OK"),
        ("FILTERS", "tick 0.1 -> 0.5", "CRITICAL"),
        ("MARGIN_CALL", "", "OK"),  # margin_ratio has its own figures
    ],
)
def test_an_act_of_the_venue_halts_its_instrument(kind, detail, level):
    bench = Bench("venue_action", (BTC, ETH))(m.VenueAction(kind=kind, instrument=BTC, detail=detail))
    assert bench.of(BTC).level == level
    assert bench.of(ETH).level == "OK"
    assert bench.wait("1.1").of(BTC).level == "OK", (
        "what it tripped stays tripped; a rearm must not trip again"
    )


def test_the_window_and_the_action_of_acts():
    act = m.VenueAction(kind="ADL", instrument=BTC, leg=LONG)
    assert Bench("venue_action", window_s=D(5))(act).wait(4).only().level == "CRITICAL"
    assert Bench("venue_action", action="pause")(act).only().level == "BLOCK"
    assert "ADL of LONG" in Bench("venue_action")(act).only().words()


def test_rules_that_say_it_does_not_trade():
    bench = Bench("venue_action")(m.InstrumentReady(instrument=RULES))
    assert bench.only().level == "OK"
    bench(m.InstrumentReady(instrument=msgspec.structs.replace(RULES, status="BREAK")))
    assert bench.wait(100).only().level == "CRITICAL"


# ----------------------------------------------------------------------------------------------------- external


def signal(action: str = "pause", **fields: object) -> m.ExternalSignal:
    return m.ExternalSignal(
        **{"event_id": "e1", "source": "news", "action": action, "reason": "CPI", **fields}
    )


@pytest.mark.parametrize(
    ("action", "level", "done"),
    [
        ("notify", "CRITICAL", "notify"),
        ("throttle:0.2", "CRITICAL", "throttle:0.2"),
        ("pause", "BLOCK", "pause"),
        ("halt", "CRITICAL", "halt"),
        ("flatten", "CRITICAL", "flatten"),
        ("resume", "BLOCK", "pause"),  # never to loosen
        ("throttle:1", "BLOCK", "pause"),
    ],
)
def test_a_signal_is_done_as_it_says(action, level, done):
    verdict = Bench("external")(signal(action)).only()
    assert (verdict.level, str(verdict.action)) == (level, done)


def test_a_signal_holds_for_its_time_or_the_usual_one():
    bench = Bench("external")(signal(hold_s=20))
    assert bench.wait(19).only().again_s == 1
    assert bench.wait(1).verdicts() == ()
    assert Bench("external")(signal()).wait(299).only().level == "BLOCK"
    assert Bench("external")(signal()).wait(300).verdicts() == ()
    assert Bench("external", hold_s=D(10))(signal()).wait(10).verdicts() == ()
    assert Bench("external")(signal("flatten", hold_s=500)).wait(2).verdicts() == (), "it has latched by then"


def test_the_strongest_signal_of_a_scope_counts():
    one = m.Scope(instrument=BTC)
    bench = Bench("external")(signal("halt", scope=one), signal("notify", scope=one), signal("notify"))
    assert [(each.scope, str(each.action)) for each in bench.verdicts()] == [
        (one, "halt"),
        (m.Scope(), "notify"),
    ]
    strict = Bench("external", action="flatten")(signal("jump"))
    assert str(strict.only().action) == "flatten", "what nobody understands is as bad as the table says"

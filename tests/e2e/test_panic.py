"""Panic past a daemon that is stopped, dead or busy: flat and verified; and the daemon comes back latched."""

import signal
from pathlib import Path

import pytest

from tests.support.panic import panic
from tests.support.programs import (
    Daemon,
    Exchange,
    RunConfig,
    exchange,
    running,
    until,
    write_config,
)
from tests.support.quiet_market import GRID, SYMBOL, agree, fill_both_legs, quantity, ready, rearmed
from tests.support.truth import LEGS, exchange_books, instrument_of

pytestmark = pytest.mark.e2e
BARS_WATCHED_S = 120  # of the market's time
SPEED = 10
TICKS_PER_S = 15_000
MARKET = ["--regime", "quiet", "--seed", "7", "--speed", str(SPEED), "--no-rate-limits"]


def nothing_left(venue: Exchange) -> None:
    assert exchange_books(venue.truth(), SYMBOL).orders == {}
    assert [quantity(venue, leg) for leg in LEGS] == [0, 0]


def comes_back_latched(venue: Exchange, bot: Daemon, name: str) -> None:
    """HALTED by panic, its books the exchange's, nothing placed for two bars, and trading again after rearm alone."""
    until(lambda: bot.control.ask("status")["kill_switch"]["state"] == "HALTED", "HALTED", 60, bot.program)
    switch = bot.control.ask("status")["kill_switch"]
    assert switch["trip_id"].startswith("T-")
    assert "panic by" in switch["cause"]
    assert name in switch["cause"]
    until(lambda: bot.control.ask("status")["reconciled"], "reconciled", 60, bot.program)
    agree(venue, bot)
    first_bar = instrument_of(bot.control.ask("status"), SYMBOL)["last_bar_timestamp"] or 0

    def bars_pass() -> bool:
        nothing_left(venue)
        status = bot.control.ask("status")
        assert status["kill_switch"]["state"] == "HALTED"
        return bool((instrument_of(status, SYMBOL)["last_bar_timestamp"] or 0) >= first_bar + BARS_WATCHED_S)

    until(bars_pass, "two bars", 60, bot.program)
    state = bot.config.folder / "state"
    assert not (state / "panic.latch").exists()
    assert (state / "panic.latch.obeyed").exists()
    until(lambda: rearmed(bot), "rearm is accepted", 60, bot.program)
    until(lambda: exchange_books(venue.truth(), SYMBOL).orders, "it trades after rearm", 30, bot.program)
    agree(venue, bot)


def test_past_a_stopped_daemon(tmp_path: Path) -> None:
    with exchange(MARKET, tmp_path / "exchange.log") as venue:
        with running(write_config(tmp_path, venue, [GRID])) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            bot.program.process.send_signal(signal.SIGSTOP)
            try:
                done = panic(bot.config, "--reason", "it hangs")
                assert done.passed, done
                nothing_left(venue)
            finally:
                bot.program.process.send_signal(signal.SIGCONT)
            comes_back_latched(venue, bot, "it hangs")


def test_past_a_dead_daemon(tmp_path: Path) -> None:
    with exchange(MARKET, tmp_path / "exchange.log") as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            bot.program.kill()
        done = panic(config, "--reason", "it is dead")
        assert done.passed, done
        nothing_left(venue)
        with running(config, log="second.log") as bot:
            comes_back_latched(venue, bot, "it is dead")


def test_past_a_daemon_in_a_flood_that_places_orders_all_the_while(tmp_path: Path) -> None:
    """From PASS on nothing of the daemon's rests or fills, although nobody has stopped it."""
    flood = ["--tick-rate", str(TICKS_PER_S // SPEED)]  # it counts the market's seconds
    with exchange([*MARKET, *flood], tmp_path / "exchange.log") as venue:
        with running(write_config(tmp_path, venue, [GRID])) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            done = panic(bot.config, "--reason", "it is mad")
            assert done.passed, done
            nothing_left(venue)
            comes_back_latched(venue, bot, "it is mad")


def test_kill_9_right_after_the_latch_was_seen_leaves_it_for_the_next_start(tmp_path: Path) -> None:
    """Closes are refused, so that neither panic nor the trip can end; the daemon is killed in between."""
    refused = {"target": "rest", "kind": "status_before", "method": "POST", "path": "/fapi/v1/order"}
    with exchange(MARKET, tmp_path / "exchange.log") as venue:
        config: RunConfig = write_config(tmp_path, venue, [GRID])
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            fault = {**refused, "params": {"type": "MARKET"}, "status": 400, "code": -4131}
            venue.admin("POST", "/faults", fault)
            done = panic(config, "--deadline-s", "1.5", "--reason", "half done")
            assert (done.code, done.facts["verdict"]) == (1, "FAIL")
            assert any(quantity(venue, leg) for leg in LEGS)
            held = {leg: quantity(venue, leg) for leg in LEGS}
            left = {
                name.removeprefix(f"{SYMBOL}-PERP.BINANCE-"): qty
                for name, qty in done.facts["residuals"].items()
            }
            assert left == {leg: str(qty) for leg, qty in held.items() if qty}
            bot.program.kill()
        venue.admin("DELETE", "/faults")
        with running(config, log="second.log") as bot:
            comes_back_latched(venue, bot, "half done")

"""What survives `kill -9` and a clean stop: throttle, mode, pause, ledger and the kill latch; and who may own a state folder."""

import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import (
    Daemon,
    Program,
    ProgramError,
    running,
    until,
)
from tests.support.quiet_market import (
    SYMBOL,
    agree,
    at_rest,
    fill_both_legs,
    market,
    on_disk,
    quantity,
    ready,
    rearmed,
)
from tests.support.truth import (
    LEGS,
    entries_at,
    exchange_books,
    instrument_of,
    uncovered,
)

pytestmark = pytest.mark.e2e
ENDS = ("kill -9", "clean stop")


def end(bot: Daemon, how: str) -> None:
    """End the daemon and nothing else."""
    if how == "kill -9":
        on_disk(bot)
        bot.program.kill()
    else:
        assert bot.program.stop(30) == 0, bot.program.tail()


def stage_over(bot: Daemon) -> dict[str, Any]:
    """`status` once the venue's orders and legs have been compared with ours."""
    return dict(until(lambda: _reconciled(bot), "reconciled", 60, bot.program))


def _reconciled(bot: Daemon) -> dict[str, Any] | None:
    status = bot.control.ask("status")
    return status if status["reconciled"] and status["settled"] and status["instruments"] else None


@pytest.mark.parametrize("how", ENDS)
def test_throttle_mode_pause_and_ledger_survive(tmp_path: Path, how: str) -> None:
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            agree(venue, bot)
            bot.control.ask("throttle", throttle=0.25)
            bot.control.ask("mode", leg="short", mode="tp_only")
            assert bot.control.ask("pause", reason="test")["entries_resting"] == 0
            # A venue that takes one closePosition stop only has none for the milliseconds in which it is moved.
            until(lambda: at_rest(venue, bot), "stops are where they should be", 10, bot.program)
            trades = len(venue.user_trades(SYMBOL, 1))
            before = instrument_of(bot.control.ask("status"), SYMBOL)
            end(bot, how)
        assert not uncovered(venue.truth(), SYMBOL), "exits and stops stay while the daemon is away"
        with running(config, log="second.log") as bot:
            after = instrument_of(stage_over(bot), SYMBOL)
            assert after["throttle"] == before["throttle"] == Decimal("0.25")
            assert after["paused"] is before["paused"] is True
            for leg in LEGS:
                assert after["legs"][leg]["mode"] == before["legs"][leg]["mode"]
                if len(venue.user_trades(SYMBOL, 1)) == trades:  # or its take-profit filled meanwhile
                    for figure in ("quantity", "average_entry", "realized_usdt", "fees_usdt", "lots"):
                        assert after["legs"][leg][figure] == before["legs"][leg][figure], (leg, figure)
            assert after["legs"]["SHORT"]["mode"] == "tp_only"
            agree(venue, bot)
            assert entries_at(venue.truth(), SYMBOL) == {"LONG": [], "SHORT": []}, "still paused"
            ready(bot)
            bot.control.ask("resume")
            until(
                lambda: entries_at(venue.truth(), SYMBOL)["LONG"],
                "LONG entries after resume",
                30,
                bot.program,
            )
            assert entries_at(venue.truth(), SYMBOL)["SHORT"] == [], "SHORT is tp_only"
            agree(venue, bot)


@pytest.mark.parametrize("how", ENDS)
def test_a_fill_while_the_daemon_is_away_is_booked(tmp_path: Path, how: str) -> None:
    """A take-profit fills while nobody is there; the ledger finds it, and the remaining inventory stays covered."""
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            agree(venue, bot)
            held = {leg: quantity(venue, leg) for leg in LEGS}
            end(bot, how)
        venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "1.0060"})
        until(lambda: {leg: quantity(venue, leg) for leg in LEGS} != held, "a fill while away", 30)
        with running(config, log="second.log") as bot:
            ready(bot)
            agree(venue, bot)
            until(lambda: not uncovered(venue.truth(), SYMBOL), "all inventory covered", 10, bot.program)


@pytest.mark.parametrize("how", ENDS)
def test_a_kill_is_verified_flat_and_latched_until_rearm(tmp_path: Path, how: str) -> None:
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            answer = bot.control.ask("kill", reason="test", deadline_s=15)
            truth = venue.truth()
            assert [Decimal(leg["qty"]) for leg in truth["legs"].values()] == [0, 0], answer
            assert exchange_books(truth, SYMBOL).orders == {}, answer
            assert bot.control.ask("status")["kill_switch"]["state"] == "HALTED"
            end(bot, how)
        with running(config, log="second.log") as bot:
            first_bar = instrument_of(stage_over(bot), SYMBOL)["last_bar_timestamp"] or 0

            def bars_pass() -> bool:
                assert exchange_books(venue.truth(), SYMBOL).orders == {}, "it trades although it is latched"
                status = bot.control.ask("status")
                assert status["kill_switch"]["state"] == "HALTED"
                return (instrument_of(status, SYMBOL)["last_bar_timestamp"] or 0) >= first_bar + 120

            until(bars_pass, "two bars", 60, bot.program)
            with pytest.raises(ProgramError, match="409"):
                bot.control.ask("resume")
            with pytest.raises(ProgramError, match="reason"):
                bot.control.ask("rearm", reason=" ")
            until(lambda: rearmed(bot), "rearm is accepted", 30, bot.program)
            until(
                lambda: all(entries_at(venue.truth(), SYMBOL).values()),
                "it trades after rearm",
                30,
                bot.program,
            )
            agree(venue, bot)


def test_kill_9_in_the_middle_of_a_kill_is_finished_by_the_next_start(tmp_path: Path) -> None:
    """Closes are refused, so that the trip cannot end; the latch is on disk by then."""
    refused = {"target": "rest", "kind": "status_before", "method": "POST", "path": "/fapi/v1/order"}
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            venue.admin(
                "POST", "/faults", {**refused, "params": {"type": "MARKET"}, "status": 400, "code": -4131}
            )
            answer = bot.control.ask("kill", reason="test", deadline_s=0.5)
            assert answer["outcome"] == "working", answer
            assert any(quantity(venue, leg) for leg in LEGS)
            bot.program.kill()
        venue.admin("DELETE", "/faults")
        with running(config, log="second.log") as bot:
            until(
                lambda: not any(quantity(venue, leg) for leg in LEGS), "the trip is finished", 60, bot.program
            )
            until(
                lambda: exchange_books(venue.truth(), SYMBOL).orders == {}, "no order left", 30, bot.program
            )
            until(
                lambda: bot.control.ask("status")["kill_switch"]["state"] == "HALTED",
                "HALTED",
                30,
                bot.program,
            )


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with market(tmp_path) as (_, config), running(config) as bot:
        ready(bot)
        second = Program(["run", "-c", str(config.path)], tmp_path / "second.log", config.environment)
        try:
            code = second.process.wait(30)
        finally:
            second.stop(5, signal.SIGKILL)
        text = second.log.read_text()
        assert code not in (0, -signal.SIGKILL)
        assert f"is in use by process {bot.program.process.pid}" in text
        assert "Traceback" not in text
        assert bot.control.ask("ready")["ready"] is True

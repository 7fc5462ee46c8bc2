"""Holds, scoped trips, rearm, planned pauses and a stop on real processes, judged by the exchange's truth."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Daemon, Exchange, ProgramError, running, until, write_config
from tests.support.quiet_market import GRID, SYMBOL, fill_both_legs, on_disk, quantity, quiet_exchange, ready
from tests.support.truth import LEGS, entries_at, uncovered

pytestmark = pytest.mark.e2e
NONE: dict[str, list[str]] = {"LONG": [], "SHORT": []}


def moment(seconds: float) -> str:
    """A time from now, as `at` takes it."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def entries(venue: Exchange) -> dict[str, list[str]]:
    return entries_at(venue.truth(), SYMBOL)


def both(venue: Exchange) -> bool:
    return all(entries(venue).values())


def held(bot: Daemon) -> list[str]:
    return [hold["key"] for hold in bot.control.ask("status")["holds"] if hold["action"] == "pause"]


def refused(bot: Daemon, verb: str, **fields: Any) -> str:
    with pytest.raises(ProgramError, match="409") as error:
        bot.control.ask(verb, **fields)
    return str(error.value)


def test_a_planned_pause_holds_from_the_start_clears_and_comes_again_with_a_flatten(tmp_path: Path) -> None:
    with quiet_exchange(tmp_path) as venue:
        pauses = {
            "[[pause]]": {"name": "open", "at": moment(-45), "duration_min": 1},
            "[[pause]] # later": {"name": "later", "at": moment(45), "duration_min": 1, "flatten": True},
        }
        config = write_config(tmp_path, venue, [GRID], tables=pauses)
        with running(config) as bot:
            ready(bot)
            status = bot.control.ask("status")
            assert "pause:open" in held(bot), status
            assert status["state"] == "HELD"
            assert any("planned pause later flattens" in text for text in [status["doing"]]), status["doing"]
            assert entries(venue) == NONE, "a process that starts inside a window holds at once"
            until(lambda: both(venue), "entries when the window is over", 40, bot.program)
            fill_both_legs(venue, bot)
            until(lambda: "pause:later" in held(bot), "the second window", 60, bot.program)
            until(lambda: entries(venue) == NONE, "entries are gone", 10, bot.program)
            until(lambda: not any(quantity(venue, leg) for leg in LEGS), "flat", 15, bot.program)
            assert "flattened" in refused(bot, "resume") or entries(venue) == NONE
            until(lambda: "pause:later" not in held(bot), "the window is over", 90, bot.program)
            until(lambda: both(venue), "it trades again without being asked", 40, bot.program)


@pytest.mark.parametrize("action", ["halt", "flatten"])
def test_a_scoped_trip_survives_kill_9_and_is_left_by_rearm_alone(tmp_path: Path, action: str) -> None:
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            answer = bot.control.ask(
                "kill", reason="strange", action=action, instrument=SYMBOL, side="long", deadline_s=15
            )
            assert answer["state"] == "HALTED", answer
            assert entries(venue)["LONG"] == []
            assert bool(quantity(venue, "LONG")) == (action == "halt")
            assert quantity(venue, "SHORT")
            until(lambda: not uncovered(venue.truth(), SYMBOL), "exits and stops stay", 10, bot.program)
            assert entries(venue)["SHORT"], "the other leg trades on"
            trip = answer["trip_id"]
            on_disk(bot)
            bot.program.kill()
        with running(config, log="second.log") as bot:
            ready(bot)
            until(lambda: entries(venue)["SHORT"], "SHORT entries", 30, bot.program)
            (found,) = bot.control.ask("status")["trips"]
            assert (found["trip_id"], found["state"], found["leg"]) == (trip, "HALTED", "LONG")
            assert entries(venue)["LONG"] == []
            assert trip in refused(bot, "resume")
            assert entries(venue)["LONG"] == []
            rearm(bot)
            assert bot.control.ask("status")["trips"] == []
            until(lambda: entries(venue)["LONG"], "LONG entries after rearm", 60, bot.program)


@pytest.mark.parametrize("action", ["halt", "flatten"])
def test_a_trip_that_kill_9_cuts_short_is_finished_by_the_next_process(tmp_path: Path, action: str) -> None:
    refusing = {"target": "rest", "kind": "status_before", "status": 503, "code": -1008}
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            until(lambda: entries(venue)["LONG"], "LONG entries", 30, bot.program)
            venue.admin("POST", "/faults", {**refusing, "method": "DELETE"})
            venue.admin("POST", "/faults", {**refusing, "method": "POST", "params": {"type": "MARKET"}})
            answer = bot.control.ask(
                "kill", reason="strange", action=action, instrument=SYMBOL, side="long", deadline_s=1
            )
            assert (answer["outcome"], answer["state"]) == ("working", "TRIPPED"), answer
            assert bot.control.ask("status")["state"] == "TRIPPED"
            bot.program.kill()
        venue.admin("DELETE", "/faults")
        assert entries(venue)["LONG"], "nothing of it was done"
        assert quantity(venue, "LONG")
        with running(config, log="second.log") as bot:
            until(lambda: _states(bot) == ["HALTED"], "the trip is finished", 60, bot.program)
            assert entries(venue)["LONG"] == []
            assert bool(quantity(venue, "LONG")) == (action == "halt")
            assert quantity(venue, "SHORT")
            ready(bot)
            until(lambda: entries(venue)["SHORT"], "SHORT entries", 30, bot.program)
            assert entries(venue)["LONG"] == []


def _states(bot: Daemon) -> list[str]:
    return [trip["state"] for trip in bot.control.ask("status")["trips"] or []]


def rearm(bot: Daemon) -> None:
    """Ask until the checks pass; what refuses it in the end is told."""
    last: list[str] = []

    def accepted() -> bool:
        try:
            return bot.control.ask("rearm", reason="looked at the account")["outcome"] == "done"
        except ProgramError as error:
            last[:] = [str(error)]
            return False

    try:
        until(accepted, "rearm is accepted", 30)
    except ProgramError as error:
        raise AssertionError(last) from error


def test_a_guards_hold_takes_entries_keeps_exits_clears_and_keeps_rearm_away(tmp_path: Path) -> None:
    with quiet_exchange(tmp_path) as venue:
        guard = {"type": "leverage", "trip_ratio": 0.0001, "clear_s": 1}
        config = write_config(tmp_path, venue, [GRID], tables={"[[guard]]": guard})
        with running(config) as bot:
            ready(bot)
            until(lambda: both(venue), "entries", 30, bot.program)
            venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "0.9975"})
            until(lambda: "guard:leverage" in held(bot), "the guard holds", 20, bot.program)
            until(lambda: entries(venue) == NONE, "entries are gone at the exchange", 10, bot.program)
            until(lambda: not uncovered(venue.truth(), SYMBOL), "exits and stops stay", 10, bot.program)
            status = bot.control.ask("status")
            assert quantity(venue, "LONG")
            assert status["state"] == "HELD"
            assert any("guard:leverage" in text for text in status["wrong"]), status["wrong"]
            health = bot.control.ask("health")
            assert health["health"] == "DEGRADED"

            bot.control.ask("kill", reason="look at it", action="halt", instrument=SYMBOL, deadline_s=15)
            assert "leverage is BLOCK" in refused(bot, "rearm", reason="too early")
            bot.control.ask("flatten", side="both", reason="enough", deadline_s=15)
            until(lambda: held(bot) == [], "the hold clears by itself", 30, bot.program)
            assert entries(venue) == NONE, "the trip and the flatten are still latched"
            rearm(bot)
            assert entries(venue) == NONE, "the operator's flatten is left by resume"
            bot.control.ask("resume")
            until(lambda: both(venue), "entries", 30, bot.program)


def test_flatten_and_kill_are_accepted_while_the_venue_is_not_there_and_a_second_signal_ends_it(
    tmp_path: Path,
) -> None:
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
    with running(config) as bot:
        until(lambda: bot.control.ask("ready")["stage"] == "venue", "the venue stage", 30, bot.program)
        assert bot.control.ask("flatten", side="both", deadline_s=0.5)["verified"] is False
        assert bot.control.ask("kill", reason="test", deadline_s=0.5)["state"] == "TRIPPED"
        assert bot.control.ask("status")["state"] == "TRIPPED"
        bot.program.process.send_signal(signal.SIGTERM)
        bot.program.process.send_signal(signal.SIGTERM)
        assert bot.program.stop(15) == 5, bot.program.tail()

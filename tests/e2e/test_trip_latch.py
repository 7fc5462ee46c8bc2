"""A trip while the journal cannot be written outlives the crash of its process."""

from pathlib import Path

import pytest

from hedgegridd.journal.trip_latch import TripLatch
from tests.e2e.test_journal import fill_up, logged, small_disk
from tests.support.programs import running, until
from tests.support.quiet_market import SYMBOL, entries_on_both_legs, market, ready
from tests.support.truth import entries_at

pytestmark = pytest.mark.e2e
NONE = {"LONG": [], "SHORT": []}


def test_a_kill_on_a_full_disk_is_latched_by_the_next_process(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with small_disk(state), market(tmp_path) as (venue, config):
        with running(config, deadline_s=300) as bot:
            ready(bot)
            entries_on_both_legs(venue, bot)
            filler = fill_up(state)
            until(lambda: logged(bot, "journal_failed"), "the disk is full", 30, bot.program)
            answer = bot.control.ask("kill", reason="walked through", deadline_s=15)
            assert answer["journal_late"] is True
            until(lambda: TripLatch(state).read(), "the trip is in its file", 30, bot.program)
            bot.program.kill()
        filler.unlink()
        with running(config, log="second.log", deadline_s=300) as bot:
            until(
                lambda: bot.control.ask("status")["kill_switch"]["state"] == "HALTED",
                "latched, and verified anew",
                60,
                bot.program,
            )
            assert "walked through" in bot.control.ask("status")["kill_switch"]["cause"]
            assert entries_at(venue.truth(), SYMBOL) == NONE

"""The dead-man switch on real processes: stopped, killed, unwell and cleanly ended, against what the exchange then holds."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import Daemon, Exchange, RunConfig, running, until
from tests.support.quiet_market import SYMBOL, covered, entries_on_both_legs, market, quantity
from tests.support.truth import exchange_books, uncovered

pytestmark = pytest.mark.e2e
COUNTDOWN_S = 6
ALGO = pytest.mark.parametrize("algo", [False, True], ids=["stops stay", "stops go too"])


@contextmanager
def guarded(tmp_path: Path, *options: str) -> Iterator[tuple[Exchange, RunConfig]]:
    """A quiet market that counts calls, and a config with a short countdown."""
    switch = {"countdown_s": COUNTDOWN_S, "renew_s": Decimal("2.5")}
    with market(tmp_path, *options, limits=True, dead_man=switch) as found:
        yield found


def switch(bot: Daemon) -> dict[str, Any]:
    return dict(bot.control.ask("status")["dead_man"])


def trading(venue: Exchange, bot: Daemon) -> None:
    """Until entries rest on both legs and LONG holds something with its exits."""
    entries_on_both_legs(venue, bot)
    venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "0.9975"})
    until(lambda: held(venue), "inventory on LONG", 30, bot.program)
    covered(venue, bot)
    until(lambda: switch(bot)["state"] == "armed", "armed", 10, bot.program)


def held(venue: Exchange) -> Decimal:
    return quantity(venue, "LONG")


def resting(venue: Exchange) -> Counter[Purpose]:
    """How many orders of ours of each purpose rest at the exchange."""
    tags = [parse_client_order_id(name) for name in exchange_books(venue.truth(), SYMBOL).orders]
    return Counter(tag.purpose for tag in tags if tag is not None)


@ALGO
def test_stopped_its_entries_go_and_back_again_it_compares_covers_and_only_then_trades(
    tmp_path: Path, algo: bool
) -> None:
    options = ["--countdown-cancels-algo"] if algo else []
    with guarded(tmp_path, *options) as (venue, config), running(config) as bot:
        trading(venue, bot)
        before = resting(venue)
        assert before[Purpose.ENTRY]
        assert before[Purpose.TAKE_PROFIT]
        assert before[Purpose.STOP]
        bot.program.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: not resting(venue)[Purpose.ENTRY], "entries are gone", COUNTDOWN_S + 3)
            gone = resting(venue)
            assert gone[Purpose.TAKE_PROFIT] == 0, "ordinary exits go as well: the venue knows no difference"
            assert bool(gone[Purpose.STOP]) is not algo
            assert held(venue)
        finally:
            bot.program.process.send_signal(signal.SIGCONT)
        until(lambda: not uncovered(venue.truth(), SYMBOL), "exits are back", 15, bot.program)
        until(lambda: resting(venue)[Purpose.ENTRY], "it trades again", 75, bot.program)
        assert switch(bot)["state"] == "armed"
        assert bot.control.ask("status")["kill_switch"]["state"] == "ARMED"


def test_back_again_nothing_enters_before_the_books_were_compared(tmp_path: Path) -> None:
    with guarded(tmp_path) as (venue, config), running(config) as bot:
        trading(venue, bot)
        bot.program.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: not resting(venue)[Purpose.ENTRY], "entries are gone", COUNTDOWN_S + 3)
            unread = {"target": "rest", "kind": "status_before", "path": "/fapi/v3/positionRisk"}
            venue.admin("POST", "/faults", {**unread, "status": 503})
        finally:
            bot.program.process.send_signal(signal.SIGCONT)
        back = time.monotonic()
        seen: Counter[Purpose] = Counter()

        def ten_seconds() -> bool:  # more than a bar of this market: the desk wants its rungs back
            seen.update(resting(venue))
            return time.monotonic() > back + 10

        until(ten_seconds, "ten seconds", 15, bot.program)
        assert seen[Purpose.ENTRY] == 0
        assert seen[Purpose.STOP], "exits are nobody's to hold back"
        status = bot.control.ask("status")
        assert any("dead-man switch" in str(hold["cause"]) for hold in status["holds"]), status["holds"]
        venue.admin("DELETE", "/faults")
        until(lambda: resting(venue)[Purpose.ENTRY], "it trades again", 75, bot.program)
        assert switch(bot)["state"] == "armed"


def test_unwell_but_alive_its_entries_go_and_exits_are_there_when_the_countdown_has_passed(
    tmp_path: Path,
) -> None:
    with guarded(tmp_path) as (venue, config):
        text = config.path.read_text().replace("[venue]\n", "[venue]\nreconcile_interval_s = 1\n")
        config.path.write_text(text)
        with running(config) as bot:
            trading(venue, bot)
            venue.admin(
                "POST",
                "/faults",
                {"target": "rest", "kind": "status_before", "path": "/fapi/v3/positionRisk", "status": 503},
            )
            until(lambda: switch(bot)["state"] == "withdrawn", "withdrawn", 30, bot.program)
            withdrawn = time.monotonic()
            told = bot.control.ask("status")
            assert any("dead-man switch" in line for line in told["wrong"]), told["wrong"]
            until(lambda: time.monotonic() > withdrawn + COUNTDOWN_S + 1, "the countdown is over", 10)
            left = resting(venue)
            assert left[Purpose.ENTRY] == 0
            assert left[Purpose.TAKE_PROFIT], "exits stay"
            assert left[Purpose.STOP], "the leg stop stays"
            venue.admin("DELETE", "/faults")
            until(lambda: switch(bot)["state"] == "armed", "armed again", 30, bot.program)
            until(lambda: resting(venue)[Purpose.ENTRY], "it trades again", 75, bot.program)


def test_a_clean_stop_that_keeps_inventory_keeps_its_exits(tmp_path: Path) -> None:
    with guarded(tmp_path) as (venue, config):
        with running(config) as bot:
            trading(venue, bot)
            assert bot.program.stop(40) == 0, bot.program.tail()
        ended = time.monotonic()
        until(lambda: time.monotonic() > ended + COUNTDOWN_S + 2, "the countdown would be over", 15)
        left = resting(venue)
        assert left[Purpose.ENTRY] == 0
        assert left[Purpose.TAKE_PROFIT]
        assert left[Purpose.STOP]
        assert not uncovered(venue.truth(), SYMBOL)


def test_a_stop_that_cannot_disarm_says_so_by_its_exit_code(tmp_path: Path) -> None:
    with guarded(tmp_path) as (venue, config), running(config) as bot:
        trading(venue, bot)
        venue.admin(
            "POST",
            "/faults",
            {
                "target": "rest",
                "kind": "status_before",
                "path": "/fapi/v1/countdownCancelAll",
                "status": 503,
            },
        )
        assert bot.program.stop(60) == 5, bot.program.tail()
        assert "dead_man_not_disarmed" in bot.program.log.read_text()


@ALGO
def test_killed_its_entries_go_and_the_next_start_covers_what_is_left(tmp_path: Path, algo: bool) -> None:
    options = ["--countdown-cancels-algo"] if algo else []
    with guarded(tmp_path, *options) as (venue, config):
        with running(config) as bot:
            trading(venue, bot)
            bot.program.kill()
        until(lambda: not resting(venue)[Purpose.ENTRY], "entries are gone", COUNTDOWN_S + 3)
        left = resting(venue)
        assert left[Purpose.TAKE_PROFIT] == 0
        assert bool(left[Purpose.STOP]) is not algo
        with running(config, log="second.log") as bot:
            until(lambda: not uncovered(venue.truth(), SYMBOL), "covered again", 60, bot.program)
            until(lambda: resting(venue)[Purpose.ENTRY], "it trades again", 75, bot.program)
            assert switch(bot)["state"] == "armed"

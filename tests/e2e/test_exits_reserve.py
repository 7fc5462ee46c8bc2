"""A venue where closes that rest count against their leg (-4118): a removal takes them away first, and ends flat all the same."""

from pathlib import Path

import pytest

from tests.support.programs import running
from tests.support.quiet_market import SYMBOL, agree, fill_both_legs, market, quantity, ready
from tests.support.truth import LEGS, exchange_books, uncovered

pytestmark = pytest.mark.e2e


def test_one_leg_and_then_both_are_removed(tmp_path: Path) -> None:
    with market(tmp_path, "--exits-reserve") as (venue, config), running(config) as bot:
        ready(bot)
        fill_both_legs(venue, bot)
        one = bot.control.ask("flatten", side="short", reason="test", deadline_s=20)
        assert one["verified"] is True, one
        assert quantity(venue, "SHORT") == 0
        assert quantity(venue, "LONG") > 0
        assert not [line for line in uncovered(venue.truth(), SYMBOL) if "LONG" in line]
        agree(venue, bot)
        both = bot.control.ask("kill", reason="test", deadline_s=20)
        assert [quantity(venue, leg) for leg in LEGS] == [0, 0], both
        assert exchange_books(venue.truth(), SYMBOL).orders == {}
        assert venue.truth()["invariant"] == "ok"

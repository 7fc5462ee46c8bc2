"""`flatten --drill`: the whole procedure on a paper copy, while the account itself is not touched."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.programs import ROOT, exchange, running, until, write_config
from tests.support.quiet_market import GRID, SYMBOL, at_rest, fill_both_legs, ready
from tests.support.truth import LEGS, Books, Resting, exchange_books

pytestmark = pytest.mark.e2e
MARKET = ["--regime", "quiet", "--seed", "7", "--no-rate-limits"]


def drill(socket: Path, *options: str) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "hedgegridd.ctl.entry", "--socket", str(socket), "--json", "flatten", "--drill", *options],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def plain(books: Books) -> dict[str, Resting]:
    return {name: order for name, order in books.orders.items() if not order.algo}


@pytest.mark.parametrize("side", ["", "long"])
def test_it_times_every_stage_and_touches_nothing(tmp_path: Path, side: str) -> None:
    with exchange(MARKET, tmp_path / "exchange.log") as venue:
        with running(write_config(tmp_path, venue, [GRID])) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            bot.control.ask("pause", reason="drill")
            venue.admin("POST", "/pause")
            until(lambda: at_rest(venue, bot), "all is where it should be", 10, bot.program)
            before = exchange_books(venue.truth(), SYMBOL)
            trades = len(venue.user_trades(SYMBOL, 1))
            code, facts = drill(bot.config.folder / "control.sock", *([side] if side else []))
            after = exchange_books(venue.truth(), SYMBOL)
            assert code == 0, facts
            assert facts["verdict"] == "PASS"
            head, stages = " ".join(facts["copy"]), " ".join(facts["stages"])  # type: ignore[arg-type]
            assert "not copied" not in head, head
            for leg in LEGS:
                qty = before.legs[leg].qty
                assert f"{leg} {qty}" in head
                closes = f"closing {leg} {qty}" in stages
                assert closes == (leg == "LONG" or not side), stages
            stops = sum(order.algo for order in before.orders.values())
            assert f"{len(before.orders) - stops} orders, {stops} stops" in head
            assert len(facts["proof"]) == (2 if side else 4)  # type: ignore[arg-type]
            # The daemon may have moved its own stops meanwhile; a leg without one is a flatten's doing.
            assert after.legs == before.legs
            assert plain(after) == plain(before)
            assert {order.leg for order in after.orders.values() if order.algo} == set(LEGS)
            assert len(venue.user_trades(SYMBOL, 1)) == trades
            assert all(leg.qty > Decimal(0) for leg in after.legs.values())
            assert bot.control.ask("status")["kill_switch"]["state"] == "ARMED"

"""What `status` says when the exchange is gone, and when one with the same key but an empty account stands in its place."""

import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Program, exchange, running, until, write_config
from tests.support.truth import entries_at

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"
GRID = {"instrument": f"{SYMBOL}-PERP", "step_bps": 20, "sl_steps": 50, "policy": {"kind": "symmetric"}}
# One poll of the account (5 s), the time of a refused call, and the same again for a busy machine.
SAID_S = 12


def test_a_venue_that_is_gone_is_not_called_safe_and_an_empty_one_in_its_place_neither(
    tmp_path: Path,
) -> None:
    options = ["--regime", "range", "--seed", "7", "--speed", "60"]
    with exchange(options, tmp_path / "exchange.log") as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config) as bot:
            until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "entries", 60, bot.program)
            until(lambda: bot.control.ask("status")["instruments"][0]["fills"], "a fill", 90, bot.program)
            until(lambda: bot.control.ask("status")["safe"] == "yes", "safe", 60, bot.program)
            venue.program.kill()
            lost = until(lambda: _when(bot.control.ask("status"), "unknown"), "unknown", SAID_S, bot.program)
            assert "reconciled" not in lost["safe_reason"]
            assert lost["do"]

            port = venue.rest.rpartition(":")[2]
            again = [
                "exchange",
                *options,
                "--port",
                port,
                "--api-key",
                venue.key,
                "--api-secret",
                venue.secret,
            ]
            empty = Program(again, tmp_path / "empty.log")
            try:
                said = until(lambda: _when(bot.control.ask("status"), "no"), "no", 60, bot.program)
                assert "the venue's wallet" in said["safe_reason"], said["safe_reason"]
                assert abs(Decimal(said["pnl"]["residual_usdt"])) < 10_000, "the deposit is no gain of ours"
                assert Decimal(said["pnl"]["transfers_usdt"]) == 0
            finally:
                bot.program.stop(40, signal.SIGTERM)
                empty.kill()


def _when(status: dict[str, Any], safe: str) -> dict[str, Any]:
    """The answer once `safe` is so, else nothing."""
    return status if status["safe"] == safe and status["boot"]["ready"] else {}

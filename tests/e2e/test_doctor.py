"""hedgegridctl doctor and ops status against a real daemon: all good, a key that may withdraw, no daemon."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ROOT, RunConfig, exchange, running, until, write_config
from tests.support.quiet_market import GRID, ready

pytestmark = pytest.mark.e2e
MARKET = ["--regime", "quiet", "--seed", "7", "--speed", "10", "--no-rate-limits"]
END_S = 60.0
QUOTA = {"type": "call_quota", "per_10s": 6_000, "per_minute": 72_000, "per_hour": 216_000}


def hedgegridctl(config: RunConfig, *argv: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON."""
    command = [
        sys.executable,
        "-m",
        "hedgegridd.ctl.entry",
        "--socket",
        str(config.folder / "control.sock"),
        *argv,
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **config.environment}
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, timeout=END_S, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def doctor(config: RunConfig, *options: str) -> tuple[int, dict[str, Any], dict[str, tuple[str, str, str]]]:
    code, body = hedgegridctl(config, "doctor", "-c", str(config.path), *options)
    return code, body, {each["name"]: (each["level"], each["text"], each["fix"]) for each in body["findings"]}


def test_the_doctor(tmp_path: Path) -> None:
    with exchange(MARKET, tmp_path / "exchange.log") as venue:
        config = write_config(tmp_path, venue, [GRID], guards=[QUOTA])
        with running(config) as bot:
            ready(bot)

            def calm() -> bool:
                return doctor(config)[0] == 0

            until(calm, "nothing is wrong", 60, bot.program)
            _, body, found = doctor(config)
            assert body["ready"] is True
            good = {
                "config",
                "daemon",
                "clock",
                "dead-man",
                "guards",
                "key",
                "hedge mode",
                "leverage",
                "metrics",
                "state",
                "journal",
            }
            assert {name for name in good if found[name][0] != "ok"} == set()
            assert found["key"][1] == "may trade futures, may not withdraw"
            assert found["leverage"][1] == "BTCUSDT 5x cross"
            assert (found["prometheus"][0], found["alertmanager"][0]) == ("skip", "skip")

            venue.admin("POST", "/account", {"key_withdraw": True})
            code, body, found = doctor(config)
            assert (code, body["ready"]) == (1, False)
            assert found["key"][:2] == ("FAIL", "withdrawals enabled")
            assert "untick Enable Withdrawals" in found["key"][2]
            venue.admin("POST", "/account", {"key_withdraw": False})

            config.folder.joinpath("state").chmod(0o755)
            code, _, found = doctor(config)
            assert (code, found["state"][0]) == (1, "FAIL")
            config.folder.joinpath("state").chmod(0o700)

            backups = tmp_path / "backups"
            assert doctor(config, "--backups", str(backups))[2]["backup"][0] == "FAIL"
            assert hedgegridctl(config, "backup", str(backups))[0] == 0
            assert doctor(config, "--backups", str(backups))[2]["backup"][0] == "ok"

            code, tables = hedgegridctl(config, "ops", "status", "--csv", str(tmp_path / "ops"))
            assert code == 0
            values = {row["name"]: row for row in tables["rows"]}
            assert float(values["requests_per_minute"]["value"]) > 0
            assert values["healthy_venues"]["value"] == "100"
            assert values["error_rate"]["status"] == "OK"

        code, body, found = doctor(config)
        assert code == 3
        assert "hedgegridd is not running" in body["detail"]
        assert found["daemon"][0] == "FAIL"
        assert (found["key"][0], found["leverage"][0]) == ("ok", "ok"), "asked by its own connection"

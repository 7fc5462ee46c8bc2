"""`hedgegridd run` that cannot start: it says which key of the config is at fault, and a stop ends it at once."""

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Program, until

pytestmark = pytest.mark.e2e

CONFIG = """\
[daemon]
state_dir = "{folder}/state"
log_format = "json"

[venue]
environment = "paper"
rest_url = "http://127.0.0.1:9"
market_ws_url = "ws://127.0.0.1:9"
user_ws_url = "ws://127.0.0.1:9"

[[grid]]
instrument = "BTCUSDT-PERP"

[pretrade]
max_order_notional_usdt = 5000
max_leg_notional_usdt = 12000
max_gross_notional_usdt = 24000

[control]
http_port = {http}
socket = "{socket}"

[metrics]
port = {metrics}
"""


def _http_taken(folder: Path, port: int) -> dict[str, Any]:
    return {"http": port, "metrics": 0, "socket": folder / "control.sock"}


def _metrics_taken(folder: Path, port: int) -> dict[str, Any]:
    return {"http": 0, "metrics": port, "socket": folder / "control.sock"}


def _no_folder(folder: Path, port: int) -> dict[str, Any]:
    return {"http": 0, "metrics": 0, "socket": folder / "none" / "control.sock"}


def _no_socket(folder: Path, port: int) -> dict[str, Any]:
    (folder / "control.sock").write_text("not a socket")
    return {"http": 0, "metrics": 0, "socket": folder / "control.sock"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (_http_taken, "[control] http_host, http_port"),
        (_metrics_taken, "[metrics] host, port"),
        (_no_folder, "[control] socket"),
        (_no_socket, "[control] socket"),
    ],
)
def test_an_address_that_cannot_be_had(
    tmp_path: Path, settings: Callable[[Path, int], dict[str, Any]], named: str
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        config = tmp_path / "hedgegridd.toml"
        config.write_text(CONFIG.format(folder=tmp_path, **settings(tmp_path, int(holder.getsockname()[1]))))
        secrets = {"HEDGEGRIDD_VENUE_API_KEY": "k", "HEDGEGRIDD_VENUE_API_SECRET": "s"}
        program = Program(["run", "-c", str(config)], tmp_path / "daemon.log", secrets)
        try:
            code = program.process.wait(30)
        finally:
            program.kill()
    text = program.log.read_text()
    assert code == 1, text
    (said,) = [line for line in map(json.loads, text.splitlines()) if line["level"] == "critical"]
    assert said["event"] == "cannot_start"
    assert named in said["error"]
    assert "Traceback" not in text


def test_a_stop_while_the_venue_cannot_be_reached_ends_at_once_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "hedgegridd.toml"
    config.write_text(CONFIG.format(folder=tmp_path, http=0, metrics=0, socket=tmp_path / "control.sock"))
    secrets = {"HEDGEGRIDD_VENUE_API_KEY": "k", "HEDGEGRIDD_VENUE_API_SECRET": "s"}
    program = Program(["run", "-c", str(config)], tmp_path / "daemon.log", secrets)
    try:
        until(lambda: "venue not up" in program.log.read_text(), "a failed attempt", 30, program)
        began = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        code = program.process.wait(10)
        took_s = time.monotonic() - began
    finally:
        program.kill()
    said = [json.loads(line) for line in program.log.read_text().splitlines()]
    assert code == 5, "the venue has confirmed nothing"
    assert took_s < 3, f"{took_s:.1f} s"
    (stopped,) = [line for line in said if line["event"] == "stopped"]
    assert "never reached" in stopped["venue"]
    assert [line["reason"] for line in said if line["event"] == "stopping"] == ["SIGINT"]

"""Switches, idempotency keys and reload on real processes, judged by the exchange's truth."""

import json
import signal
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hedgegridd.control.keys import fingerprint
from tests.e2e.test_holds import NONE, both, entries, held, refused
from tests.support.programs import Daemon, Exchange, JsonHttp, ProgramError, running, until, write_config
from tests.support.quiet_market import GRID, quiet_exchange, ready

pytestmark = pytest.mark.e2e


def line(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One request over the control socket, whole."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(20)
        wire.connect(str(path))
        wire.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(wire.makefile().readline())
        return answer


def test_a_switch_holds_entries_over_kill_9_and_a_key_has_one_answer(tmp_path: Path) -> None:
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
        asked = {
            "id": 1,
            "verb": "switch",
            "args": {"name": "disable_entries", "enabled": True, "reason": "odd"},
            "idempotency_key": "night-1",
        }
        with running(config) as bot:
            ready(bot)
            until(lambda: both(venue), "entries", 40, bot.program)
            first = line(config.folder / "control.sock", asked)
            assert (first["status"], first["result"]["entries_resting"]) == (200, 0), first
            assert entries(venue) == NONE, "an answer of 200 says that none rests"
            assert line(config.folder / "control.sock", asked) == first
            bot.program.kill()
        with running(config) as bot:
            ready(bot)
            assert line(config.folder / "control.sock", asked) == first, "the same answer after kill -9"
            held_by_it = [
                "switch:disable_entries"
            ]  # a guard may hold as well until its first figures are some seconds old
            until(lambda: held(bot) == held_by_it, "the switch holds, and nothing else", 30, bot.program)
            assert entries(venue) == NONE
            bot.control.ask("switch", name="read_only", enabled=True)
            assert "read_only" in refused(bot, "throttle", throttle=0.5)
            assert bot.control.ask("flatten", side="both")["verified"] is True
            bot.control.ask("switch", name="read_only", enabled=False)
            bot.control.ask("switch", name="disable_entries", enabled=False)
            bot.control.ask("resume")
            until(lambda: both(venue), "it trades again", 40, bot.program)
            one_test_order(bot, venue)
            reload_counts(bot)
            assert bot.program.stop(60, signal.SIGTERM) == 0


def one_test_order(bot: Daemon, venue: Exchange) -> None:
    """It has rested at the exchange and is gone; the same key again sends no other."""
    asked = {
        "id": 2,
        "verb": "test-order",
        "args": {"leg": "long", "notional_usdt": 150},
        "idempotency_key": "try-1",
    }
    first = line(bot.config.folder / "control.sock", asked)
    assert first["status"] == 200, first
    told = first["result"]
    assert told["fate"] == "rested, cancelled"
    assert list(told["stages_ms"]) == ["placed", "accepted", "cancel_asked", "gone"]
    assert line(bot.config.folder / "control.sock", asked) == first
    sent = [order for order in venue.orders_from("BTCUSDT", 1) if "-L999E-" in order["clientOrderId"]]
    assert [(each["clientOrderId"], each["status"], each["timeInForce"]) for each in sent] == [
        (told["client_order_id"], "CANCELED", "GTX")
    ]
    assert Decimal(sent[0]["price"]) == Decimal(told["price"])
    again = line(bot.config.folder / "control.sock", {**asked, "idempotency_key": "try-2"})
    assert (again["status"], again["result"]["fate"]) == (200, "rested, cancelled"), again
    bot.control.ask("pause")
    assert "paused" in refused(bot, "test-order", leg="long", notional_usdt=150)
    bot.control.ask("resume")


def reload_counts(bot: Daemon) -> None:
    """A key of a file read again opens the door, a tighter limit counts; a file with a mistake changes nothing."""
    path, web = bot.config.path, JsonHttp(f"http://127.0.0.1:{bot.config.http_port}")
    key = f'\n[[control.keys]]\nname = "ann"\nrole = "viewer"\nsha256 = "{fingerprint("hgd_ann")}"\n'
    text = path.read_text().replace("max_order_notional_usdt = 20000", "max_order_notional_usdt = 1")
    path.write_text(text + key)
    found = bot.control.ask("reload")
    assert found["applied"] == ["pretrade.max_order_notional_usdt", "control.keys"], found
    assert found["needs_restart"] == []
    path.write_text(text + key + "\n[contrl]\n")
    with pytest.raises(ProgramError, match="422"):
        bot.control.ask("reload")
    head = {"X-API-Key": "hgd_ann"}
    assert web.ask("GET", "/status", headers=head)["state"]
    with pytest.raises(ProgramError, match="401"):
        web.ask("GET", "/status")
    with pytest.raises(ProgramError, match="403"):
        web.ask("POST", "/pause", {}, headers=head)
    web.close()

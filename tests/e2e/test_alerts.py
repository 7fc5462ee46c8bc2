"""Alerts of a real daemon at real HTTP servers: told while other channels fail, acknowledged, measured; no secret gets out."""

from pathlib import Path

import pytest

from tests.support.alert_receiver import receiver
from tests.support.programs import RunConfig, running, until, write_config
from tests.support.quiet_market import GRID, quiet_exchange, ready, rearmed

pytestmark = pytest.mark.e2e
TOKEN, HOOK = "7719:AAHnot-a-real-token", "T0-secret-path"


def secret(config: RunConfig, name: str, value: str) -> None:
    path = config.folder / "credentials" / name
    path.touch(mode=0o600)
    path.write_text(value)


def leaks(folder: Path) -> list[str]:
    """Files in which a secret stands, the credentials themselves left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "credentials"]
    assert len(files) > 5
    found = [path for path in files for word in (TOKEN, HOOK) if word.encode() in path.read_bytes()]
    return [str(path.relative_to(folder)) for path in found]


def test_a_trip_is_told_while_others_fail_then_acknowledged_rearmed_and_stopped(tmp_path: Path) -> None:
    with (
        receiver() as desk,
        receiver("hang") as chat,
        receiver("reset") as slack,
        quiet_exchange(tmp_path) as venue,
    ):
        tables = {
            "[[alert]]": {"type": "webhook", "name": "desk", "url": desk.url},
            "[[alert]] # 2": {
                "type": "telegram",
                "credential": "chat_token",
                "chat_id": "-1001",
                "url": chat.url,
            },
            "[[alert]] # 3": {"type": "slack", "credential": "slack_hook"},
        }
        config = write_config(tmp_path, venue, [GRID], tables=tables)
        secret(config, "chat_token", TOKEN)
        secret(config, "slack_hook", f"{slack.url}/{HOOK}")
        with running(config) as bot:
            ready(bot)
            until(lambda: "STARTED" in desk.titles(), "the start is told", 20, bot.program)
            bot.control.ask("kill", reason="strange fills")
            until(lambda: "TRIPPED" in desk.titles(), "the trip is told", 20, bot.program)
            until(lambda: "HALTED, VERIFIED" in desk.titles(), "its end is told", 30, bot.program)
            (trip,) = [got.body for got in desk.got if got.body["title"] == "TRIPPED"]
            assert (trip["severity"], trip["what"]) == ("CRITICAL", "strange fills")
            assert trip["runbook"] == "docs/runbook.md#kill-switch"
            answer = bot.control.ask("ack", alert_id=trip["alert_id"])
            assert answer["acknowledged"] == [trip["alert_id"]]
            until(lambda: rearmed(bot), "it is rearmed", 40, bot.program)
            until(lambda: "REARMED" in desk.titles(), "the rearm is told", 20, bot.program)
            said = bot.control.ask("test_alert", channel="desk")
            assert said["channels"]["desk"].startswith("accepted after "), said
            alerts = bot.control.ask("alerts")
            taken, hangs, resets = alerts["channels"]
            assert (taken["accepted"] >= 5, taken["trouble"]) == (True, None)
            assert (hangs["accepted"], resets["accepted"]) == (0, 0)
            metrics = bot.metrics()
            accepted = metrics["hedgegrid_alerts_total"][("channel", "desk"), ("outcome", "accepted")]
            assert accepted >= taken["accepted"]
            timed = metrics["hedgegrid_alert_delivery_seconds_count"][(("channel", "desk"),)]
            assert timed == accepted
            (tmp_path / "seen.txt").write_text(f"{alerts} {bot.scrape()} {bot.control.ask('status')}")
            assert bot.program.stop(60) == 0
        assert "STOPPED" in desk.titles()
        assert chat.asked
        assert slack.asked
        assert leaks(tmp_path) == []

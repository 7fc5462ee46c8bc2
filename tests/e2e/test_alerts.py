"""Alerts of a real daemon at real HTTP servers: a trip is told while another channel hangs, acknowledged, and its end told."""

from pathlib import Path

import pytest

from tests.e2e.test_holds import market
from tests.e2e.test_restart import GRID, ready
from tests.support.alert_receiver import receiver
from tests.support.programs import running, until, write_config

pytestmark = pytest.mark.e2e


def test_a_trip_is_told_while_another_channel_hangs_then_acknowledged_rearmed_and_stopped(
    tmp_path: Path,
) -> None:
    with receiver() as desk, receiver("hang") as lost, market(tmp_path) as venue:
        tables = {
            "[[alert]]": {"type": "webhook", "name": "desk", "url": desk.url},
            "[[alert]] # lost": {"type": "webhook", "name": "lost", "url": lost.url},
        }
        config = write_config(tmp_path, venue, [GRID], tables=tables)
        with running(config) as bot:
            ready(bot)
            until(lambda: "STARTED" in desk.titles(), "the start is told", 20, bot.program)
            bot.control.ask("kill", reason="strange fills")
            until(lambda: "TRIPPED" in desk.titles(), "the trip is told", 20, bot.program)
            until(lambda: "HALTED, VERIFIED" in desk.titles(), "its end is told", 30, bot.program)
            (trip,) = [got.body for got in desk.got if got.body["title"] == "TRIPPED"]
            assert (trip["severity"], trip["what"]) == ("CRITICAL", "strange fills")
            assert trip["runbook"] == "docs/runbook.md#kill-switch"
            alerts = bot.control.ask("alerts")
            assert [item["title"] for item in alerts["open"]][:1] == ["TRIPPED"]
            taken, waiting = alerts["channels"]
            assert taken["accepted"] >= 3
            assert (taken["trouble"], waiting["accepted"]) == (None, 0)
            answer = bot.control.ask("ack", alert_id=trip["alert_id"])
            assert answer["acknowledged"] == [trip["alert_id"]]
            bot.control.ask("rearm", reason="looked")
            until(lambda: "REARMED" in desk.titles(), "the rearm is told", 20, bot.program)
            said = bot.control.ask("test_alert", channel="desk")
            assert said["channels"]["desk"].startswith("accepted after "), said
            assert bot.program.stop(60) == 0
        assert desk.titles()[-1] == "STOPPED"

"""How each service is spoken to, at a real HTTP server on loopback."""

import asyncio
import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from hedgegridd.alerts.channels.alertmanager import Alertmanager
from hedgegridd.alerts.channels.base import Channel, Sent
from hedgegridd.alerts.channels.slack import Slack
from hedgegridd.alerts.channels.telegram import Telegram
from hedgegridd.alerts.channels.webhook import SIGNATURE, Webhook
from hedgegridd.alerts.outbox import Waiting
from hedgegridd.alerts.text import Identity, letter
from hedgegridd.messages import Alert
from tests.support.alert_receiver import Receiver, receiver

S = 1_000_000_000
WHO = Identity(account="acct1", environment="live", runbook_url="https://desk.example/runbook")
TRIP = Alert(
    alert_id="A-7",
    kind="trip",
    key="kill",
    severity="CRITICAL",
    title="TRIPPED",
    what="fall 5.24 % <limit 5> & more",
    did="closing_both_legs",
    do="wait",
    section="kill-switch",
    lasting=True,
    time_ns=1_700_000_000 * S,
    since_ns=1_700_000_000 * S,
)


async def sent(channel: Channel, alert: Alert = TRIP) -> Sent:
    await channel.open()
    try:
        async with asyncio.timeout(20):
            return await channel.send(alert, letter(Waiting(alert=alert, heard_ns=0), WHO))
    finally:
        await channel.close()


def changed(**kw: Any) -> Alert:
    return msgspec.structs.replace(TRIP, **kw)


async def test_a_letter_says_who_what_did_do_when_and_where_to_read_on() -> None:
    text = letter(Waiting(alert=TRIP, heard_ns=0), WHO).plain
    assert text.splitlines() == [
        "🛑 CRITICAL TRIPPED · acct1 LIVE",
        "fall 5.24 % <limit 5> & more",
        "Did: closing_both_legs",
        "Do: wait",
        "2023-11-14 22:13:20 UTC · A-7",
        "https://desk.example/runbook#kill-switch",
    ]
    again = letter(Waiting(alert=changed(stage="escalated"), heard_ns=0), WHO).plain
    assert "NOT ACKNOWLEDGED since 2023-11-14 22:13:20 UTC: hedgegridctl ack A-7" in again
    assert "7 times since" in letter(Waiting(alert=changed(stage="repeated", count=7), heard_ns=0), WHO).plain
    assert letter(Waiting(alert=changed(stage="recovered"), heard_ns=0), WHO).head.startswith("✅")
    long = letter(Waiting(alert=changed(what="x" * 100_000), heard_ns=0), WHO).plain
    assert len(long) < 4_000, "no service refuses it for its length"


@pytest.mark.parametrize("mode", ["accept", "429", "500", "400"])
@pytest.mark.parametrize("kind", ["slack", "webhook", "alertmanager", "telegram"])
async def test_what_a_status_means(kind: str, mode: str) -> None:
    with receiver(mode) as server:
        server.retry_after = "7"
        channel: Channel = {
            "slack": lambda: Slack(server.url),
            "webhook": lambda: Webhook(server.url, WHO),
            "alertmanager": lambda: Alertmanager(server.url, WHO),
            "telegram": lambda: Telegram("token", "1", base=server.url),
        }[kind]()
        found = await sent(channel)
    expected = {
        "accept": (True, False, None),
        "429": (False, False, 7.0),
        "500": (False, False, None),
        "400": (False, True, None),
    }[mode]
    assert (found.ok, found.final, found.retry_after_s) == expected


async def test_slack_gets_plain_text_in_which_nothing_is_marked_up() -> None:
    with receiver() as server:
        assert (await sent(Slack(f"{server.url}/services/T/B/x"))).ok
        (got,) = server.got
    assert got.path == "/services/T/B/x"
    assert got.body["mrkdwn"] is False
    assert "fall 5.24 % &lt;limit 5&gt; &amp; more" in got.body["text"]
    assert "closing_both_legs" in got.body["text"]


async def test_a_webhook_is_signed_over_its_very_bytes() -> None:
    with receiver() as server:
        assert (await sent(Webhook(f"{server.url}/hook?a=1", WHO, "s3cret"))).ok
        (got,) = server.got
    raw = msgspec.json.encode(got.body)
    assert got.headers[SIGNATURE] == "sha256=" + hmac.new(b"s3cret", raw, hashlib.sha256).hexdigest()
    assert got.body["time"] == "2023-11-14T22:13:20.000Z"
    assert (got.body["account"], got.body["environment"], got.body["stage"]) == ("acct1", "live", "raised")


async def test_a_redirect_is_not_followed() -> None:
    with receiver("302") as server:
        found = await sent(Webhook(server.url, WHO))
    assert (found.ok, found.final, server.asked) == (False, True, 1)


# ---------------------------------------------------------------------------------------------------- alertmanager


async def posts(server: Receiver, *alerts: Alert) -> list[list[dict[str, Any]]]:
    channel = Alertmanager(server.url, WHO, "bearer-token")
    for alert in alerts:
        assert (await sent(channel, alert)).ok
    assert all(got.path == "/api/v2/alerts" for got in server.got)
    assert all(got.headers["Authorization"] == "Bearer bearer-token" for got in server.got)
    return [got.body for got in server.got]


async def test_alertmanager_gets_labels_that_stay_and_an_end_that_is_resolved() -> None:
    later = TRIP.time_ns + 60 * S
    over = changed(stage="recovered", severity="INFO", title="REARMED", time_ns=later)
    with receiver() as server:
        (fires,), (ends,) = await posts(server, TRIP, over)
    assert fires["labels"] == {
        "alertname": "hedgegridd_trip",
        "severity": "critical",
        "key": "kill",
        "account": "acct1",
        "environment": "live",
    }
    assert (fires["startsAt"], fires["endsAt"]) == ("2023-11-14T22:13:20.000Z", "2023-11-15T22:13:20.000Z")
    assert ends["labels"] == fires["labels"], "only the same labels resolve it"
    assert ends["endsAt"] == "2023-11-14T22:14:20.000Z"
    assert fires["annotations"]["runbook_url"] == "https://desk.example/runbook#kill-switch"


async def test_alertmanager_resolves_the_milder_one_when_it_gets_worse() -> None:
    with receiver() as server:
        first, second = await posts(server, changed(severity="WARNING"), changed(time_ns=TRIP.time_ns + S))
    assert [each["labels"]["severity"] for each in first] == ["warning"]
    assert [(each["labels"]["severity"], each["endsAt"][:10]) for each in second] == [
        ("critical", "2023-11-15"),
        ("warning", "2023-11-14"),
    ]


async def test_alertmanager_after_a_restart_resolves_under_every_severity_and_a_moment_ends_by_itself() -> (
    None
):
    with receiver() as server:
        ends, (moment,) = await posts(
            server, changed(stage="recovered", severity="INFO"), changed(lasting=False, key="x")
        )
    assert [each["labels"]["severity"] for each in ends] == ["warning", "critical"]
    assert moment["endsAt"] == "2023-11-14T22:18:20.000Z"


# -------------------------------------------------------------------------------------------------------- telegram


async def test_telegram_gets_escaped_html_and_a_button_for_what_is_critical() -> None:
    with receiver() as server:
        channel = Telegram("12:tok", "-100", base=server.url)
        assert (await sent(channel)).ok
        assert (await sent(channel, changed(severity="WARNING"))).ok
        critical, warning = server.got
    assert critical.path == "/bot12:tok/sendMessage"
    assert critical.body["chat_id"] == "-100"
    assert "fall 5.24 % &lt;limit 5&gt; &amp; more" in critical.body["text"]
    assert critical.body["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "ack:A-7"
    assert "reply_markup" not in warning.body


async def test_telegram_that_says_ok_without_being_telegram_has_not_taken_it() -> None:
    with receiver() as server:
        server.reply = {"hello": 1}
        assert not (await sent(Telegram("t", "1", base=server.url))).ok


@pytest.mark.parametrize(("chat", "limits"), [("12345", 1), ("-100123", 2), ("@desk", 2)])
def test_a_group_has_its_minute_too(chat: str, limits: int) -> None:
    assert len(Telegram("t", chat).limits) == limits


def press(number: int, data: str, chat: int = -100, user: str = "ann") -> dict[str, Any]:
    query = {"id": f"q{number}", "data": data, "from": {"username": user}, "message": {"chat": {"id": chat}}}
    return {"update_id": number, "callback_query": query}


async def test_the_button_acknowledges_for_those_who_may_in_the_chat_that_is_ours() -> None:
    updates = [
        press(5, "ack:A-7"),
        press(6, "ack:A-8", chat=-999),
        press(7, "ack:A-9", user="mallory"),
        press(8, "other"),
        {"update_id": 9, "message": {}},
    ]
    pressed: list[tuple[str, str]] = []

    async def acknowledge(alert_id: str, by: str) -> str:
        pressed.append((alert_id, by))
        return f"{alert_id} is acknowledged"

    with receiver() as server:
        answers = [{"ok": False, "description": "Conflict"}, {"ok": True, "result": updates}]
        server.answers["/bott/getUpdates"] = [*answers, {"ok": True, "result": []}]
        channel = Telegram("t", "-100", base=server.url, ack_users=["@Ann"])
        await channel.open()
        task = asyncio.create_task(channel.listen(acknowledge))
        await asyncio.to_thread(server.until_asked, 8)  # three polls at least, four answers, and polls again
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await channel.close()
        said = [got.body["text"] for got in server.got if got.path.endswith("answerCallbackQuery")]
        offsets = [got.body["offset"] for got in server.got if got.path.endswith("getUpdates")]
    assert pressed == [("A-7", "telegram:ann")]
    assert said == [
        "A-7 is acknowledged",
        "this chat is not the daemon's",
        "mallory may not acknowledge here",
        "this button is none of the daemon's",
    ]
    assert offsets[:3] == [0, 0, 10], "what was heard is not heard again"

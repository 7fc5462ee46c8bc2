"""Channels from their tables: every key has its effect; what is wrong with them is found with its line."""

from decimal import Decimal
from typing import Any

import pytest

from hedgegridd.alerts.channels.alertmanager import Alertmanager
from hedgegridd.alerts.channels.slack import Slack
from hedgegridd.alerts.channels.telegram import Telegram
from hedgegridd.alerts.channels.webhook import Webhook
from hedgegridd.alerts.setup import channel, credentials, identity
from hedgegridd.config import AlertChannel, Alerts, Config, Grid, Venue
from hedgegridd.core.check_alerts import check_alerts
from tests.support.alert_rig import Rig

SECRETS = {"hook": "https://hooks.slack.com/services/T/B/x", "token": "12:tok", "sign": "s3cret"}


def config(*tables: AlertChannel, **alerts: Any) -> Config:
    return Config(grid=(Grid(),), alert=tables, alerts=Alerts(**alerts))


def test_each_type_gets_what_its_table_says() -> None:
    who = identity(config())
    made = channel(AlertChannel(type="slack", credential="hook"), who, SECRETS)
    assert isinstance(made, Slack)
    assert made._address == SECRETS["hook"]
    table = AlertChannel(type="telegram", credential="token", chat_id="-7", ack_users=("@Ann",))
    chat = channel(table, who, SECRETS)
    assert isinstance(chat, Telegram)
    assert (chat._base, chat._chat_id, chat._ack_users) == (
        "https://api.telegram.org/bot12:tok/",
        "-7",
        {"ann"},
    )
    hook = channel(AlertChannel(type="webhook", url="https://x.example/a", credential="sign"), who, SECRETS)
    assert isinstance(hook, Webhook)
    assert (hook._url, hook._secret) == ("https://x.example/a", b"s3cret")
    manager = channel(AlertChannel(type="alertmanager", url="http://127.0.0.1:9093/"), who, SECRETS)
    assert isinstance(manager, Alertmanager)
    assert (manager._url, manager._headers) == ("http://127.0.0.1:9093/api/v2/alerts", {})


def test_who_speaks_is_the_account_and_the_runbook_where_it_can_be_read() -> None:
    venue = Venue(account="acct7", environment="testnet")
    found = identity(Config(grid=(Grid(),), venue=venue, alerts=Alerts(runbook_url="https://desk.example/r")))
    assert (found.account, found.environment, found.runbook_url) == (
        "acct7",
        "testnet",
        "https://desk.example/r",
    )
    assert identity(config()).runbook_url == "docs/runbook.md"


def test_all_credentials_are_asked_for_once() -> None:
    tables = [
        AlertChannel(type="webhook", url="x", credential="sign"),
        AlertChannel(type="slack", credential="hook"),
    ]
    assert credentials(config(*tables, tables[0], heartbeat="snitch")) == ("sign", "hook", "snitch")


def test_a_sender_has_the_limits_of_its_table() -> None:
    table = AlertChannel(
        type="webhook", name="n", url="http://127.0.0.1:1", min_severity="WARNING", escalation=True,
        timeout_s=Decimal("1.5"), queue=9,
    )  # fmt: skip
    it = Rig([table], Alerts(repeat_s=7, escalate_s=9, digest="6h", heartbeat_s=5))
    (sender,) = it.actor.senders
    view = sender.view()
    assert (view.name, view.type, view.min_severity, view.escalation) == ("n", "webhook", "WARNING", True)
    assert (sender._timeout_s, sender.outbox._limit) == (1.5, 9)
    book = it.actor._book
    assert (book._repeat_ns, book._escalate_ns, book._tiers) == (7_000_000_000, 9_000_000_000, 1)
    assert it.actor._digest_hours == 6


def web(**kw: Any) -> AlertChannel:
    return AlertChannel(**({"type": "webhook", "url": "https://x.example"} | kw))


@pytest.mark.parametrize(
    ("tables", "field", "severity"),
    [
        ([web(), web()], "name", "error"),
        ([AlertChannel(type="slack")], "type", "error"),
        ([AlertChannel(type="telegram", credential="t")], "type", "error"),
        ([AlertChannel(type="webhook")], "type", "error"),
        ([web(escalation=True)], "escalation", "error"),
        ([web(url="nonsense")], "url", "error"),
        ([web(url="https://user:pw@x.example")], "url", "error"),
        ([web(url="http://x.example")], "url", "warning"),
        ([web(type="alertmanager", url="http://x.example", credential="token")], "url", "error"),
        ([web(credential="Not A Name")], "credential", "error"),
        ([web(chat_id="-1")], "chat_id", "warning"),
        ([web(), web(name="b", escalation=True, min_severity="WARNING")], "min_severity", "warning"),
    ],
)
def test_what_is_wrong_with_a_table_is_found(tables: list[AlertChannel], field: str, severity: str) -> None:
    (problem,) = check_alerts(config(*tables))
    assert (problem.field, problem.severity) == (field, severity)


def test_what_is_right_is_not_complained_of() -> None:
    tables = [
        web(),
        web(name="am", type="alertmanager", url="http://127.0.0.1:9093"),
        web(name="n", escalation=True),
    ]
    assert list(check_alerts(config(*tables, heartbeat="snitch", runbook_url="https://desk.example"))) == []
    assert [each.field for each in check_alerts(config(web(), heartbeat="Not A Name", runbook_url="x"))] == [
        "heartbeat",
        "runbook_url",
    ]

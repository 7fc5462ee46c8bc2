"""The alerts actor on a real bus: told, acknowledged by a button, tested, watched, and a burst of ten thousand."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.alerts import actor as actor_module
from hedgegridd.alerts.found import Raise
from hedgegridd.config import AlertChannel, Alerts
from hedgegridd.errors import ConfigError
from tests.support.alert_receiver import Receiver, receiver
from tests.support.alert_rig import Rig, grave, mild, rig
from tests.unit.control_fakes import NOW_NS, desk

ASK_S = 15.0


def webhook(server: Receiver, name: str = "desk", **kw: Any) -> AlertChannel:
    return AlertChannel(type="webhook", name=name, url=server.url, **kw)


async def ask(it: Rig, message: m.Message) -> m.Answer:
    return await it.bus.ask(message, ASK_S, actor="test")


async def test_each_channel_hears_from_its_severity_on_and_recovery_of_what_it_has_heard() -> None:
    with receiver() as all_, receiver() as some:
        tables = [webhook(all_, "all"), webhook(some, "some", min_severity="WARNING")]
        async with rig(tables) as it:
            it.publish(m.ConfigReloaded(config=b"{}"))  # type: ignore[arg-type]
            it.publish(m.FeedChanged(channel="user", up=False, detail="gone"))
            it.publish(m.FeedChanged(channel="user", up=True))
            await it.accepted("all", 3)
            await it.accepted("some", 2)
            titles = ["CONFIG RELOADED", "FEED LOST user", "RECONNECTED user"]
            assert (all_.titles(), some.titles()) == (titles, titles[1:])
            assert it.counts == {("all", "accepted"): 3, ("some", "accepted"): 2}


async def test_a_button_of_telegram_acknowledges_what_is_open() -> None:
    with receiver() as chat:
        chat.answers["/bott/getUpdates"] = [{"ok": True, "result": []}]
        table = AlertChannel(type="telegram", name="chat", credential="token", chat_id="-100", url=chat.url)
        async with rig([table], secrets={"token": "t"}) as it:
            it.publish(grave(1))
            await it.accepted("chat", 1)
            (open_one,) = (await it.alerts()).open
            query = {
                "id": "q",
                "data": f"ack:{open_one.alert.alert_id}",
                "from": {"username": "ann"},
                "message": {"chat": {"id": -100}},
            }
            pressed = {"ok": True, "result": [{"update_id": 1, "callback_query": query}]}
            chat.answers["/bott/getUpdates"] = [pressed, {"ok": True, "result": []}]
            await asyncio.to_thread(
                chat.until_told, f"{open_one.alert.alert_id} is acknowledged by telegram:ann"
            )
            assert (await it.alerts()).open == ()


async def test_what_cannot_be_acknowledged_is_refused_with_what_can() -> None:
    with receiver() as server:
        async with rig([webhook(server)]) as it:
            it.publish(grave(1))
            await it.accepted("desk", 1)
            answer = await ask(it, m.AckAlert(alert_id="A-0", by="ann"))
            assert isinstance(answer, m.Refused)
            (known,) = answer.accepted
            assert isinstance(await ask(it, m.AckAlert(alert_id=known, by="ann")), m.Done)
            assert isinstance(await ask(it, m.AckAlert(alert_id="all", by="ann")), m.Refused)


async def test_a_test_alert_tells_the_outcome_of_every_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_module, "TEST_S", 2.0)
    with receiver() as good, receiver("400") as bad, receiver("hang") as lost:
        tables = [webhook(good, "good"), webhook(bad, "bad", escalation=True), webhook(lost, "lost")]
        async with rig(tables) as it:
            answer = await ask(it, m.SendTestAlert(by="ann"))
            assert isinstance(answer, m.Done)
            said: Any = answer.detail["channels"]
            assert said["good"].startswith("accepted after ")
            assert said["bad"].startswith("rejected: HTTP 400")
            assert said["lost"].startswith("not accepted yet: ")
            assert isinstance(await ask(it, m.SendTestAlert(channel="none")), m.Refused)
    async with rig([]) as it:
        assert isinstance(await ask(it, m.SendTestAlert()), m.Refused)


async def test_a_channel_that_fails_is_told_to_the_others_and_in_what_is_wrong() -> None:
    with receiver() as good, receiver("400") as bad:
        async with rig([webhook(good, "good"), webhook(bad, "bad")]) as it:
            it.publish(mild(1))
            await asyncio.to_thread(good.until_told, "ALERT CHANNEL FAILS bad")
            (trouble,) = it.actor.troubles()
            assert trouble.startswith("alert channel bad fails: refuses: HTTP 400")
            assert bad.asked == 1, "not to itself"


async def test_an_unacknowledged_critical_goes_to_the_escalation_channel() -> None:
    with receiver() as desk, receiver() as night:
        tables = [webhook(desk), webhook(night, "night", escalation=True)]
        async with rig(tables, Alerts(escalate_s=1)) as it:
            it.publish(mild(1))
            it.publish(grave(1))
            await asyncio.to_thread(night.until_told, "NOT ACKNOWLEDGED")
            assert [got.body["stage"] for got in night.got] == ["escalated"]


async def test_what_was_told_before_a_stop_is_given_time_to_be_accepted() -> None:
    with receiver() as server:
        async with rig([webhook(server)]) as it:
            for number in range(20):
                it.publish(mild(number))
            it.publish(m.Stopped(reason="SIGTERM", confirmed={"entries_gone": True}))
            await it.accepted("desk", 1)
        assert len(server.got) == 21
        assert server.titles()[-1] == "STOPPED"


async def test_ten_thousand_at_once_hold_up_nobody_and_lose_no_critical() -> None:
    with receiver() as good, receiver("hang") as lost:
        async with rig([webhook(good, "good", queue=64), webhook(lost, "lost", queue=64)]) as it:
            for number in range(10_000):
                it.publish(grave(number) if number % 250 == 0 else mild(number))
            answer = await it.alerts()  # behind them all, in the same mailbox
            assert {view.name for view in answer.channels if view.waiting > 64 + 40 + 1} == set()
            sender = it.actor.senders[0]
            async with asyncio.timeout(60):
                await sender.drained()
            told = [got.body for got in good.got if got.body["kind"] != "channel"]
            assert len({body["key"] for body in told if body["severity"] == "CRITICAL"}) == 40
            assert len(told) + it.counts["good", "folded"] == 10_000


async def test_our_heartbeat_beats_while_the_trading_parts_answer() -> None:
    with receiver() as snitch:
        alerts = Alerts(heartbeat="snitch", heartbeat_s=1)
        async with rig([], alerts, {"snitch": f"{snitch.url}/beat"}):
            await asyncio.to_thread(snitch.until_asked, 2)
        assert {got.path for got in snitch.got} == {"/beat"}


@pytest.mark.parametrize("address", ["http://hooks.example/x", "nonsense", ""])
def test_an_address_that_is_a_secret_leaves_this_machine_encrypted_only(address: str) -> None:
    with pytest.raises(ConfigError) as error:
        Rig([AlertChannel(type="slack", credential="hook")], Alerts(), {"hook": address})
    assert not address or address not in str(error.value)


def test_limits_of_the_watch_are_the_configs() -> None:
    it = Rig([], Alerts(large_loss_usdt=Decimal(7), funding_bps=Decimal(3)))
    assert (it.actor._watch._large_loss_usdt, it.actor._watch._funding_bps) == (7, 3)


async def test_a_digest_is_told_when_it_is_due_and_counts_from_the_one_before() -> None:
    async with rig([], Alerts(digest="6h")) as it:
        view = msgspec.structs.replace(desk(), reconciled=True)
        first = await it.actor._digest(view, NOW_NS)
        assert first == [], "nothing to count from yet"
        it.publish(mild(1))
        await it.alerts()
        due_ns = it.actor._digest_due_ns
        assert await it.actor._digest(view, due_ns - 1) == []
        (found,) = await it.actor._digest(view, due_ns)
        assert isinstance(found, Raise)
        assert "incidents: 1 auth" in found.what
        assert it.actor._digest_due_ns == due_ns + 6 * 3600 * 10**9
        (again,) = await it.actor._digest(view, due_ns + 6 * 3600 * 10**9)
        assert isinstance(again, Raise)
        assert "incidents: none" in again.what

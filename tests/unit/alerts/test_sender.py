"""A channel's way out, at real HTTP servers on loopback: accepted, 429, hang, reset, refusal, and what a CRITICAL does to them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hedgegridd.alerts import sender as sender_module
from hedgegridd.alerts.channels.base import Channel, Sent
from hedgegridd.alerts.channels.webhook import Webhook
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.sender import Sender
from hedgegridd.alerts.text import Identity, Letter
from hedgegridd.messages import Alert
from tests.support.alert_receiver import Receiver, receiver

WHO = Identity(account="acct1", environment="paper")
DEADLINE_S = 20.0


def alert(number: int = 1, severity: str = "INFO", title: str = "") -> Alert:
    return Alert(
        alert_id=f"A-{number}",
        kind="kind",
        key=f"key{number}",
        severity=severity,  # type: ignore[arg-type]
        title=title or f"T{number}",
        time_ns=1,
    )


class Ends:
    """What a sender told of its messages."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []  # alert id, outcome
        self.changes: list[str] = []
        self.more = asyncio.Event()

    def end(self, _sender: Sender, item: Any, outcome: str, _detail: str) -> None:
        self.ended.append((item.alert.alert_id, outcome))
        self.more.set()

    def change(self, sender: Sender) -> None:
        self.changes.append(sender.trouble)
        self.more.set()

    async def until(self, look: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not look():
                self.more.clear()
                await self.more.wait()


@asynccontextmanager
async def sending(channel: Channel, **kw: Any) -> AsyncIterator[tuple[Sender, Ends]]:
    ends = Ends()
    made = Sender("desk", channel, WHO, mono_ns=time.monotonic_ns, ended=ends.end, changed=ends.change, **kw)
    await channel.open()
    task = asyncio.create_task(made.run())
    try:
        yield made, ends
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await channel.close()


def hook(server: Receiver) -> Webhook:
    return Webhook(server.url, WHO)


async def test_what_is_accepted_is_told_in_order_criticals_first() -> None:
    with receiver() as server:
        ends = Ends()
        made = Sender(
            "desk", hook(server), WHO, mono_ns=time.monotonic_ns, ended=ends.end, changed=ends.change
        )
        for number, severity in ((1, "INFO"), (2, "WARNING"), (3, "CRITICAL")):
            made.offer(alert(number, severity), time.monotonic_ns())
        await made.channel.open()
        task = asyncio.create_task(made.run())
        async with asyncio.timeout(DEADLINE_S):
            await made.drained()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.channel.close()
        assert ends.ended == [("A-3", "accepted"), ("A-1", "accepted"), ("A-2", "accepted")]
        assert [got.body["alert_id"] for got in server.got] == ["A-3", "A-1", "A-2"]
        assert made.view().accepted == 3


async def test_429_is_obeyed_to_what_it_asks_for() -> None:
    with receiver("429") as server:
        server.retry_after = "0.4"
        async with sending(hook(server)) as (made, ends):
            made.offer(alert(1, "CRITICAL"), time.monotonic_ns())
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.to_thread(server.until_asked, 1)
            refused_ns = time.monotonic_ns()
            server.mode = "accept"
            made.offer(alert(2, "CRITICAL"), time.monotonic_ns())
            await ends.until(lambda: len(ends.ended) == 2)
            assert server.got[0].mono_ns - refused_ns > 300_000_000, "a new CRITICAL waits as well"
            assert server.asked == 3


@pytest.mark.parametrize("mode", ["500", "reset", "hang"])
async def test_what_fails_is_tried_again_and_makes_trouble_that_ends(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedgegridd.alerts.pace.BACK_OFF_FIRST_S", 0.02)
    with receiver(mode) as server:
        timeout_s = 0.2 if mode == "hang" else 10.0
        async with sending(hook(server), timeout_s=timeout_s) as (made, ends):
            made.offer(alert(), time.monotonic_ns())
            await ends.until(lambda: ends.changes)
            assert made.trouble
            assert made.counts["failed"] == sender_module.TROUBLE_AFTER
            assert ends.ended == []
            made._timeout_s = 10.0  # a loaded machine takes its time to accept
            server.mode = "accept"
            await ends.until(lambda: ends.ended)
            assert ends.ended == [("A-1", "accepted")]
            assert ends.changes[-1] == ""
            said = {
                "500": ("HTTP 500",),
                "hang": ("no answer within 0.2 s",),
                "reset": ("Disconnected", "reset"),
            }
            assert any(words in ends.changes[0] for words in said[mode]), ends.changes


async def test_a_refusal_is_final_and_said() -> None:
    with receiver("400") as server:
        async with sending(hook(server)) as (made, ends):
            made.offer(alert(), time.monotonic_ns())
            await ends.until(lambda: ends.ended)
            assert ends.ended == [("A-1", "rejected")]
            assert "HTTP 400" in made.trouble
            assert server.asked == 1


async def test_an_attempt_that_hangs_makes_way_for_a_critical() -> None:
    with receiver("hang") as server:
        async with sending(hook(server), timeout_s=30.0) as (made, ends):
            made.offer(alert(1), time.monotonic_ns())
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.to_thread(server.until_asked, 1)
            server.mode = "accept"
            made.offer(alert(2, "CRITICAL"), time.monotonic_ns())
            await ends.until(lambda: len(ends.ended) == 2)
            assert ends.ended == [("A-2", "accepted"), ("A-1", "accepted")], "and then the other, after all"


async def test_what_nobody_took_while_it_was_of_use_expires_and_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sender_module.OF_USE_S, "INFO", 0.0)
    with receiver("500") as server:
        async with sending(hook(server)) as (made, ends):
            made.offer(alert(), time.monotonic_ns())
            await ends.until(lambda: ends.ended)
            assert ends.ended == [("A-1", "expired")]


class Buggy:
    """A channel with a bug, once."""

    limits: tuple[Limit, ...] = ()

    def __init__(self) -> None:
        self.calls = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        self.calls += 1
        if self.calls == 1:
            raise KeyError("https://secret.example/token")
        return Sent(ok=True)


async def test_a_bug_in_a_channel_stays_there_and_tells_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    async with sending(Buggy()) as (made, ends):
        made.offer(alert(), time.monotonic_ns())
        await ends.until(lambda: ends.ended)
        assert ends.ended == [("A-1", "accepted")]
    said = capsys.readouterr().out
    assert "KeyError" in said
    assert "secret.example" not in said


async def test_ten_thousand_at_once_are_bounded_lose_no_critical_and_fold_what_repeats() -> None:
    with receiver() as server:
        ends = Ends()
        made = Sender(
            "desk",
            hook(server),
            WHO,
            mono_ns=time.monotonic_ns,
            ended=ends.end,
            changed=ends.change,
            limit=64,
        )
        for number in range(10_000):
            critical = number % 500 == 0
            made.offer(
                alert(number, "CRITICAL" if critical else "INFO", "grave" if critical else "flood"),
                time.monotonic_ns(),
            )
        assert len(made.outbox) == 64 + 20
        await made.channel.open()
        task = asyncio.create_task(made.run())
        async with asyncio.timeout(DEADLINE_S):
            await made.drained()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.channel.close()
        bodies = [got.body for got in server.got]
        assert [body["title"] for body in bodies] == ["grave"] * 20 + ["flood"] * 64
        assert len({body["alert_id"] for body in bodies[:20]}) == 20
        assert made.counts["folded"] == 10_000 - 84
        more = sum(
            int(line.split()[1])
            for body in bodies
            for line in body["text"].splitlines()
            if line.startswith("and ")
        )
        assert more == 10_000 - 84, "every one is in a message's count"

"""E-mail and the rest through apprise, at real servers on loopback; runs where the extra `alerts` is installed."""

import asyncio
import sys
import time
from typing import Any

import pytest

from hedgegridd.alerts.channels.library import Library
from hedgegridd.alerts.outbox import Waiting
from hedgegridd.alerts.text import Identity, letter
from hedgegridd.errors import ConfigError
from hedgegridd.messages import Alert
from tests.support.alert_receiver import receiver

WHO = Identity(account="acct1", environment="live")
TRIP = Alert(
    alert_id="A-7", kind="trip", key="kill", severity="CRITICAL", title="TRIPPED", what="5 %", time_ns=10**18
)


async def taken(channel: Library, seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        return await channel.send(TRIP, letter(Waiting(alert=TRIP, heard_ns=0), WHO))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match="extra 'alerts'"):
        Library("mailto://x")


def test_an_address_that_it_does_not_know_is_refused_and_not_shown() -> None:
    pytest.importorskip("apprise", reason="the extra `alerts` is not installed")
    with pytest.raises(ConfigError) as error:
        Library("nonsense-s3cret")
    assert "s3cret" not in str(error.value)


async def test_a_service_gets_it_and_one_that_refuses_is_tried_again() -> None:
    pytest.importorskip("apprise", reason="the extra `alerts` is not installed")
    with receiver() as server:
        channel = Library(server.url.replace("http://", "json://"))
        await channel.open()
        assert (await taken(channel)).ok
        assert server.got[0].body["title"].startswith("🛑 CRITICAL TRIPPED · acct1 LIVE")
        server.mode = "500"
        sent = await taken(channel)
        assert (sent.ok, sent.final) == (False, False)
        await channel.close()


async def test_one_that_hangs_holds_up_nobody_and_is_not_asked_twice_at_a_time() -> None:
    pytest.importorskip("apprise", reason="the extra `alerts` is not installed")
    with receiver("hang") as server:
        channel = Library(f"{server.url.replace('http://', 'json://')}?rto=20&cto=20")
        await channel.open()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await taken(channel, 0.5)
        assert time.monotonic() - began < 15
        assert (await taken(channel)).detail == "an earlier attempt still hangs"
        assert server.asked <= 1
        await channel.close()


class Mail:
    """An SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.text = ""
        self.to: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        in_data = False
        while line := (await reader.readline()).decode():
            word = line.strip().upper()
            if in_data:
                self.text += line
                in_data = line != ".\r\n"
                if not in_data:
                    writer.write(b"250 taken\r\n")
            elif word == "DATA":
                in_data = True
                writer.write(b"354 go on\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                if word.startswith("RCPT"):
                    self.to.append(line.strip())
                writer.write(b"250 mail.test\r\n")
        writer.close()


async def test_an_email_arrives() -> None:
    pytest.importorskip("apprise", reason="the extra `alerts` is not installed")
    mail = Mail()
    server = await asyncio.start_server(mail.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = Library(f"mailto://127.0.0.1:{port}?from=bot@desk.test&to=ann@desk.test&mode=insecure")
    await channel.open()
    assert (await taken(channel)).ok
    await channel.close()
    server.close()
    assert "ann@desk.test" in mail.to[0]
    assert "Subject:" in mail.text

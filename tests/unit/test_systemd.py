"""What systemd hears: READY, STOPPING, a status line, and a watchdog that an actor which hangs starves."""

import asyncio
import socket
from contextlib import asynccontextmanager

import anyio
import pytest
from structlog.testing import capture_logs

from hedgegridd import systemd
from hedgegridd.control.verdict import Verdict
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.systemd import Notifier, Systemd, in_one_line
from tests.unit.runtime.vocab import VOCABULARY, Do, Log, Look


class Listener:
    """systemd's end: what was said, message by message."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    async def hears(self, wanted: str) -> list[str]:
        """All messages up to one with this line in it."""
        found: list[str] = []
        with anyio.fail_after(20):
            while not any(wanted in each.splitlines() for each in found):
                await anyio.sleep(0.005)
                found += self.heard()
        return found


@pytest.fixture
def listener(tmp_path):
    made = Listener(str(tmp_path / "notify"))
    yield made
    made._socket.close()


@asynccontextmanager
async def running(tmp_path, usec="40000", line="TRADING"):
    bus = Bus(RealClock(), VOCABULARY)
    bus.register("one", handler=Log(), commands=(Do,), queries=(Look,))
    bus.register("other", handler=Log())
    bus.start(asyncio.get_running_loop())

    async def told() -> str:
        return line

    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": usec}, 7)
    made = Systemd(notifier, bus, told)
    async with anyio.create_task_group() as group:
        group.start_soon(made.run)
        yield bus, made
        group.cancel_scope.cancel()


async def test_the_watchdog_is_fed_while_pings_come_through_and_starves_when_one_actor_hangs(
    tmp_path, listener, monkeypatch
):
    monkeypatch.setattr(systemd, "LOOK_S", 0.01)
    async with running(tmp_path) as (bus, made):
        made.ready()
        for _ in range(3):
            await listener.hears("WATCHDOG=1")
        with capture_logs() as logs:
            bus.pause("other")
            with anyio.fail_after(20):
                while not [each for each in logs if each["event"] == "mailbox_late"]:  # noqa: ASYNC110  # a log has no event
                    await anyio.sleep(0.005)
        assert logs[0]["actors"] == ["other"]
        listener.heard()  # it was fed before
        await bus_turns()
        assert not [each for each in listener.heard() if "WATCHDOG=1" in each]
        bus.resume("other")
        await listener.hears("WATCHDOG=1")


async def bus_turns() -> None:
    """Several times the interval of the feeds."""
    with anyio.move_on_after(0.09):
        await anyio.sleep_forever()


async def test_a_start_that_lasts_gets_more_time_and_none_once_it_is_ready(tmp_path, listener):
    async with running(tmp_path) as (_, made):
        await listener.hears("EXTEND_TIMEOUT_USEC=90000000")
        made.ready()
        heard = await listener.hears("READY=1")
        heard = await listener.hears("WATCHDOG=1")
        assert heard[-1] == "WATCHDOG=1"


async def test_the_status_is_told_and_a_word_that_did_not_arrive_is_said_again(
    tmp_path, monkeypatch, listener
):
    monkeypatch.setattr(systemd, "LOOK_S", 0.01)
    async with running(tmp_path, line="STARTING, safe: unknown") as (_, made):
        assert "STATUS=STARTING, safe: unknown" in await listener.hears("STATUS=STARTING, safe: unknown")
        monkeypatch.setattr(made._notifier, "_address", str(tmp_path / "nobody"))
        made.stopping()
        monkeypatch.setattr(made._notifier, "_address", str(tmp_path / "notify"))
        await listener.hears("STOPPING=1")


async def test_without_systemd_nothing_is_done_and_nothing_is_said():
    made = Systemd(Notifier({}, 1), Bus(RealClock(), VOCABULARY), anyio.sleep_forever)
    with anyio.fail_after(20):
        await made.run()
    made.ready()
    made.stopping()


@pytest.mark.parametrize(
    ("env", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_the_one_that_is_meant_for_us(env, watchdog_s):
    assert Notifier(env, 7).watchdog_s == watchdog_s


def test_an_abstract_socket_is_reached_and_one_of_another_kind_is_said_to_be_none():
    there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    there.bind("\0hedgegridd-test-notify")
    assert Notifier({"NOTIFY_SOCKET": "@hedgegridd-test-notify"}, 1).send("READY=1", "STATUS=up")
    assert there.recv(100) == b"READY=1\nSTATUS=up"
    there.close()
    with capture_logs() as logs:
        assert not Notifier({"NOTIFY_SOCKET": "vsock:2:9"}, 1).listens
    assert logs[0]["address"] == "vsock:2:9"


def test_the_status_is_one_bounded_line():
    verdict = Verdict("HELD", "no", "why", "BTCUSDT:\n6 entries", ("w" * 1000, "second"), ())
    line = in_one_line(verdict)
    assert line.startswith("HELD, safe: no; BTCUSDT: 6 entries; www")
    assert len(line) == systemd.STATUS_MAX
    assert "www" not in in_one_line(Verdict("STARTING", "no", "", "stage 3", ("www",), ()))

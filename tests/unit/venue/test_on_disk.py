"""A flatten is on disk before its first call leaves; a hung journal costs it 100 ms once, a broken one nothing."""

import asyncio

import pytest

from hedgegridd import messages as m
from hedgegridd.errors import JournalFailed
from hedgegridd.model import KillState, Leg
from hedgegridd.venue.on_disk import SAFETY_WAIT_S, OnDisk
from hedgegridd.venue.port import Listener
from hedgegridd.venue.rest import Credentials
from tests.support.fake_rest import answer, fake_rest
from tests.support.venue_rig import IID, Rig, config_for, rig

CANCEL_ALL = "DELETE /fapi/v1/allOpenOrders"


class NoTrading:
    """A connection that is down: all goes by the signed client."""

    connected = False

    def __init__(self, _listener: Listener) -> None:
        pass

    async def disconnect(self) -> None:
        pass

    def cancel(self, _client_order_id: str) -> bool:
        return False


class Journal:
    def __init__(self) -> None:
        self.asked = 0
        self.written = asyncio.Event()
        self.broken = False

    async def durable(self) -> None:
        self.asked += 1
        if self.broken:
            raise JournalFailed("disk full")
        await self.written.wait()


def cancel_all(r: Rig, token: str) -> None:
    r.bus.tell(m.CancelRaw(token=token, instrument=IID, all_orders=True), actor="test")


async def done(r: Rig, token: str) -> None:
    await r.ear.until(m.VenueDone, lambda event: event.token == token)


async def spin() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_first_calls_of_a_flatten_wait_for_its_record_and_later_ones_do_not() -> None:
    journal = Journal()
    async with fake_rest() as fake:
        fake.on("DELETE", "/fapi/v1/allOpenOrders", answer({"code": 200}))
        config = config_for(fake.url, fake.url)
        async with rig(config, Credentials("k", "s"), NoTrading, journal.durable) as r:
            cancel_all(r, "F-1|a")
            cancel_all(r, "F-1|b")
            await spin()
            assert fake.paths() == []
            journal.written.set()
            await done(r, "F-1|a")
            await done(r, "F-1|b")
            assert journal.asked == 1
            journal.written.clear()
            cancel_all(r, "F-1|c")
            await done(r, "F-1|c")
            assert (journal.asked, fake.paths()) == (1, [CANCEL_ALL] * 3)
            assert r.ear.of(m.JournalLate) == []


async def test_a_hung_journal_delays_a_flatten_by_a_tenth_of_a_second_which_is_said() -> None:
    async with fake_rest() as fake:
        fake.on("DELETE", "/fapi/v1/allOpenOrders", answer({"code": 200}))
        config = config_for(fake.url, fake.url)
        async with rig(config, Credentials("k", "s"), NoTrading, Journal().durable) as r:
            cancel_all(r, "F-1|a")
            late = await r.ear.until(m.JournalLate)
            assert (late.action_id, late.detail) == ("F-1", "late")
            await done(r, "F-1|a")
    assert SAFETY_WAIT_S == 0.1


async def test_a_broken_journal_delays_nothing() -> None:
    journal = Journal()
    journal.broken = True
    on_disk = OnDisk(journal.durable, wait_s=60)
    async with asyncio.timeout(1):
        assert await on_disk.before("F-1") == "broken: disk full"
        assert await on_disk.before("F-1") == ""


async def test_a_close_waits_as_well() -> None:
    journal = Journal()
    async with fake_rest() as fake:
        config = config_for(fake.url, fake.url)
        async with rig(config, Credentials("k", "s"), NoTrading, journal.durable) as r:
            close = m.CloseRaw(token="F-1|c", instrument=IID, leg=Leg.LONG, qty=1, client_order_id="x")
            r.bus.tell(close, actor="test")
            await spin()
            assert fake.paths() == []
            journal.written.set()
            await r.ear.until(m.VenueFailed)
            assert fake.paths() == ["POST /fapi/v1/order"]


SCOPED = m.Trip(trip_id="T-9", scope=m.Scope(instrument=IID, leg=Leg.LONG), action="halt", cause="losses")


@pytest.mark.parametrize(
    "tripped",
    [
        m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED, trip_id="T-9"),
        m.TripsChanged(trips=(SCOPED,)),
    ],
    ids=["account", "leg"],
)
async def test_a_trip_is_on_disk_before_its_first_cancel_and_joins_a_running_flatten_so(
    tripped: m.Event,
) -> None:
    journal = Journal()
    journal.written.set()
    async with fake_rest() as fake:
        fake.on("DELETE", "/fapi/v1/allOpenOrders", answer({"code": 200}))
        fake.on("DELETE", "/fapi/v1/order", answer({}))
        config = config_for(fake.url, fake.url)
        async with rig(config, Credentials("k", "s"), NoTrading, journal.durable) as r:
            cancel_all(r, "F-1|a")
            await done(r, "F-1|a")
            journal.written.clear()
            fake.asked.clear()
            r.bus.publish(tripped, 0, "test")
            r.bus.tell(m.CancelOrder(instrument=IID, client_order_id="resting"), actor="test")
            cancel_all(r, "F-1|b")
            await spin()
            assert fake.paths() == []
            journal.written.set()
            await done(r, "F-1|b")
            await fake.until_asked(2)
            assert sorted(fake.paths()) == [CANCEL_ALL, "DELETE /fapi/v1/order"]

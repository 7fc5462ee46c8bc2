"""The health actor: what moved between two looks is not lost, and the answer is what metrics show."""

import asyncio

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.control.health_actor import HealthActor, bad_news
from hedgegridd.control.operation import Services
from hedgegridd.model import KillState
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from tests.unit.control_fakes import NOW_NS, FakeBus

BTC = "BTCUSDT-PERP.BINANCE"
PAUSE = m.Hold(key="guard:spread_depth", action="pause", cause="wide", since_ns=1)


def killed(state: KillState) -> m.KillStateChanged:
    return m.KillStateChanged(state=state, previous=KillState.ARMED, cause="c")


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (killed(KillState.TRIPPED), 2),
        (killed(KillState.HALTED), 2),
        (killed(KillState.ARMED), None),
        (m.FeedChanged(channel="user", up=False), 1),
        (m.FeedChanged(channel="user", up=True), None),
        (m.HoldsChanged(source="guards", holds=(PAUSE,)), 1),
        (m.HoldsChanged(source="guards", holds=(msgspec.structs.replace(PAUSE, action="notify"),)), None),
        (m.Reconciled(ok=False, cause="timer", differences=("x",)), 1),
        (m.Reconciled(ok=False, cause="timer"), None),  # overtaken by news: nothing is known to differ
        (m.Reconciled(ok=True, cause="timer"), None),
    ],
)
def test_what_an_event_alone_proves(event, state):
    told = bad_news(event)
    assert (told and told[0]) == state


def services(bus: FakeBus) -> Services:
    async def durable(_timeout_s: float) -> None:
        return None

    return Services(
        bus=bus, instruments=(BTC,), time_ns=lambda: NOW_NS, durable=durable, recent=list, environment="paper"
    )


class Bench:
    """The actor on a real bus; it asks a fake one, whose parts are all well."""

    def __init__(self) -> None:
        self.parts = FakeBus()
        self.told: list[m.HealthChanged] = []
        self.actor = HealthActor(services(self.parts))
        self.bus = Bus(RealClock(), (*HealthActor.events, m.GetHealth, m.HealthChanged, *m.ANSWERS))
        self.actor.register(self.bus)
        self.bus.register("ear", handler=self._hear, events=(m.HealthChanged,))
        self.bus.start(asyncio.get_running_loop())

    def _hear(self, env: m.Envelope) -> list[m.Message]:
        assert isinstance(env.message, m.HealthChanged)
        self.told.append(env.message)
        return []

    async def answer(self) -> m.HealthAnswer:
        answer = await self.bus.ask(m.GetHealth(), 5.0)
        assert isinstance(answer, m.HealthAnswer)
        return answer


async def test_a_feed_that_is_back_before_the_next_look_was_seen():
    bench = Bench()
    unread = await bench.answer()
    assert (unread.state, unread.trading_enabled) == (None, None)
    await bench.actor.look()
    before = await bench.answer()
    bench.bus.publish(m.FeedChanged(channel="user", up=False, detail="its socket is closed"))
    bench.bus.publish(m.FeedChanged(channel="user", up=True))
    during = await bench.answer()
    await bench.actor.look()
    after = await bench.answer()
    bench.bus.stop()
    assert before.state == 0
    assert before.trading_enabled is True
    assert (during.state, during.reasons) == (1, ("user feed is down: its socket is closed",))
    assert after.state == 1, "better counts after ten seconds of it"
    assert after.transitions == {"ok": 2, "degraded": 1}
    assert [(told.previous, told.state) for told in bench.told] == [(0, 1)]


async def test_a_part_that_does_not_answer_is_health_2():
    bench = Bench()
    bench.parts.table[m.GetStatus] = m.Refused(to=0, reason="down")
    await bench.actor.look()
    answer = await bench.answer()
    bench.bus.stop()
    assert answer.state == 2
    assert answer.trading_enabled is None

"""The alerts actor on a real bus, with channels that lead where the caller says."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from hedgegridd import messages as m
from hedgegridd.alerts.actor import AlertsActor
from hedgegridd.config import AlertChannel, Alerts, Config, Grid
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.supervisor import Supervisor

VOCABULARY = (*m.EVENTS, *m.ANSWERS, m.AckAlert, m.SendTestAlert, m.GetAlerts)


class Rig:
    """`publish` events; `seconds` by channel is how long each accepted alert took from its event."""

    def __init__(
        self, channels: Sequence[AlertChannel], alerts: Alerts, secrets: Mapping[str, str] | None = None
    ) -> None:
        clock = RealClock()
        self.bus = Bus(clock, VOCABULARY)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, list[float]] = {channel.label: [] for channel in channels}
        config = Config(grid=(Grid(),), alert=tuple(channels), alerts=alerts)
        self.actor = AlertsActor(
            config, secrets or {}, clock.mono_ns, counts=self.counts, observe=self._accepted
        )
        self._more = asyncio.Event()

    def _accepted(self, channel: str, seconds: float) -> None:
        self.seconds[channel].append(seconds)
        self._more.set()

    def publish(self, event: m.Event) -> None:
        self.bus.publish(event, actor="test")

    async def accepted(self, channel: str, count: int, within_s: float = 30.0) -> None:
        """Return when the channel has accepted so many."""
        async with asyncio.timeout(within_s):
            while len(self.seconds[channel]) < count:
                self._more.clear()
                await self._more.wait()

    async def alerts(self) -> m.AlertsAnswer:
        answer = await self.bus.ask(m.GetAlerts(), 60.0, actor="test")
        assert isinstance(answer, m.AlertsAnswer)
        return answer


@asynccontextmanager
async def rig(
    channels: Sequence[AlertChannel],
    alerts: Alerts | None = None,
    secrets: Mapping[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """One under way; what still waits at the end is given up after the actor's own time for it."""
    made = Rig(channels, alerts or Alerts(), secrets)
    supervisor = Supervisor(made.bus, [made.actor])
    made.bus.start(asyncio.get_running_loop())
    try:
        async with anyio.create_task_group() as group:
            await group.start(lambda *, task_status: supervisor.run(task_status=task_status))
            try:
                yield made
            finally:
                supervisor.request_stop()
    finally:
        made.bus.stop()


def grave(number: int) -> m.Event:
    """A CRITICAL that is none before."""
    return m.VenueAction(kind="LIQUIDATION", instrument=f"X{number}USDT-PERP.BINANCE", detail=f"{number}")


def mild(number: int) -> m.Event:
    """A WARNING that is none before."""
    return m.AuthFailed(address=f"10.{number >> 8}.{number & 255}.1", what="key", count=number)

"""A bus with the real gateway on it and an ear that hears every event; for tests against an exchange or a fake."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio

from hedgegridd import messages as m
from hedgegridd.config import Config, Daemon, DeadMan, Grid, Venue
from hedgegridd.model import KillState, Leg, OrderKind, OrderTag, Purpose, TimeInForce, client_order_id
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.supervisor import Supervisor
from hedgegridd.venue.gateway import Gateway
from hedgegridd.venue.port import Listener, Trading
from hedgegridd.venue.rest import Credentials

IID = "BTCUSDT-PERP.BINANCE"


class Ear(Actor):
    """Hears every event and lets a test wait for one."""

    name = "ear"
    events = m.EVENTS
    control_max = 100_000
    data_max = 100_000

    def __init__(self) -> None:
        self.heard: list[m.Message] = []
        self.last_seq: dict[type[m.Message], int] = {}
        self._changed = asyncio.Event()

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        self.heard.append(envelope.message)
        self.last_seq[type(envelope.message)] = envelope.seq
        self._changed.set()
        return ()

    def of[T: m.Message](self, kind: type[T]) -> list[T]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def until[T: m.Message](
        self, kind: type[T], where: Callable[[T], bool] = lambda _message: True, within_s: float = 10.0
    ) -> T:
        """The first event of the kind that fits, heard already or to come."""
        async with asyncio.timeout(within_s):
            while True:
                for message in self.of(kind):
                    if where(message):
                        return message
                self._changed.clear()
                await self._changed.wait()


class Rig:
    """What a test works with."""

    def __init__(self, bus: Bus, gateway: Gateway, ear: Ear) -> None:
        self.bus = bus
        self.gateway = gateway
        self.ear = ear
        self._seq = 0

    def order(self, leg: Leg, purpose: Purpose, level: int = 1, **fields: object) -> m.PlaceOrder:
        """An intent with an id of its own; LIMIT unless told otherwise."""
        self._seq += 1
        tag = OrderTag("BTCUSDT", leg, level, purpose, "t1", self._seq)
        shape: dict[str, object] = {
            "instrument": IID,
            "leg": leg,
            "purpose": purpose,
            "level": level,
            "client_order_id": client_order_id(tag),
            "side": leg.exit_side if purpose.reduces else leg.entry_side,
            "kind": OrderKind.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "qty": Decimal("0.01"),
        } | fields
        return m.PlaceOrder(**shape)

    def stop_order(self, leg: Leg, price: Decimal) -> m.PlaceOrder:
        """A leg stop."""
        return self.order(
            leg,
            Purpose.STOP,
            level=0,
            kind=OrderKind.STOP_MARKET,
            qty=None,
            stop_price=price,
            close_position=True,
        )

    def place(self, order: m.PlaceOrder, cause: int = 0) -> str:
        self.bus.tell(order, cause, actor="test")
        return order.client_order_id

    async def closed(self, coid: str, within_s: float = 10.0) -> m.OrderClosed:
        return await self.ear.until(m.OrderClosed, lambda e: e.client_order_id == coid, within_s)

    async def accepted(self, coid: str, within_s: float = 10.0) -> m.OrderAccepted:
        return await self.ear.until(m.OrderAccepted, lambda e: e.client_order_id == coid, within_s)

    async def truth(self, token: str, **fields: object) -> m.VenueTruth:
        self.bus.tell(m.ReadTruth(token=token, instruments=(IID,), **fields), actor="test")
        return await self.ear.until(m.VenueTruth, lambda e: e.token == token)


def config_for(base_url: str, ws_url: str) -> Config:
    """One grid on a paper venue."""
    venue = Venue(
        recv_window_ms=1_000,
        rest_url=base_url,
        market_ws_url=ws_url,
        user_ws_url=ws_url,
        account_poll_s=Decimal(1),
        request_timeout_s=Decimal(1),
    )
    return Config(
        daemon=Daemon(start_deadline_s=60),
        venue=venue,
        grid=(Grid(),),
        dead_man=DeadMan(enabled=False),
    )


async def always_durable() -> None:
    """A journal that is always up to date."""


@asynccontextmanager
async def rig(
    config: Config,
    credentials: Credentials,
    make_trading: Callable[[Listener], Trading],
    durable: Callable[[], object] = always_durable,
) -> AsyncIterator[Rig]:
    """Gateway and ear on a running bus; `gateway.connect` is left to the test."""
    clock = RealClock()
    gateway = Gateway(
        config,
        credentials,
        make_trading=make_trading,
        durable=durable,
        wall_ns=time.time_ns,
        mono_ns=time.monotonic_ns,
    )
    vocabulary = (*gateway.commands, *gateway.queries, *m.EVENTS, *m.ANSWERS, m.WakeAt)
    bus = Bus(clock, vocabulary)
    ear = Ear()
    incidents: list[object] = []
    supervisor = Supervisor(bus, [ear, gateway], on_incident=incidents.append)
    bus.start(asyncio.get_running_loop())
    try:
        async with anyio.create_task_group() as group:
            await group.start(supervisor.run)
            armed = m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING)
            bus.publish(armed, 0, "test")
            yield Rig(bus, gateway, ear)
            supervisor.request_stop()
    finally:
        bus.stop()
    assert incidents == []

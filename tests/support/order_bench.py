"""The way of orders out on a bench: a connection that only records, a REST server of its own, a journal to be late."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from hedgegridd import messages as m
from hedgegridd.errors import VenueError
from hedgegridd.model import KillState, Leg, OrderKind, Purpose
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.orders import Bounds, Orders
from hedgegridd.venue.pace import Pace
from hedgegridd.venue.resolver import Resolver
from hedgegridd.venue.rest import Credentials, RestClient
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.told import Teller
from tests.support.fake_rest import FakeRest, answer, fake_rest

IID = "BTCUSDT-PERP.BINANCE"
IID = "BTCUSDT-PERP.BINANCE"
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"


class FakeTrading:
    """Records what it is given."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.connected = True
        self.holds: set[str] = set()
        self.broken = ""
        self.sent = asyncio.Event()

    def submit(self, order: m.PlaceOrder) -> None:
        if self.broken:
            raise VenueError(self.broken)
        self.log.append(order.client_order_id)
        self.holds.add(order.client_order_id)
        self.sent.set()

    def cancel(self, client_order_id: str) -> bool:
        if client_order_id in self.holds:
            self.log.append(f"cancel {client_order_id}")
            return True
        return False

    def remember(self, order: m.PlaceOrder) -> None:
        self.log.append(f"remember {order.client_order_id}")


class Bench:
    def __init__(
        self,
        fake: FakeRest,
        rest: RestClient,
        bounds: Bounds,
        *,
        interlock: bool = False,
        most: int | None = None,
    ) -> None:
        self.fake = fake
        self.log: list[str] = []
        self.calls_10s = 0
        self.told: list[m.Event] = []
        self.causes: list[int] = []
        self.changed = asyncio.Event()
        self.now_ns = 0
        self.journal: Callable[[], Any] = self.durable_at_once
        self.tasks: set[asyncio.Task[None]] = set()
        self.trading = FakeTrading(self.log)
        self.inflight = InFlight()
        stats = Stats()
        teller = Teller(self.tell, self.inflight, stats, lambda: self.now_ns)
        calls = self.calls = VenueCalls(rest)
        symbols = {IID: "BTCUSDT"}
        resolver = Resolver(
            calls,
            symbols,
            inflight=self.inflight,
            teller=teller,
            mono_ns=lambda: self.now_ns,
            sleep=self.sleep,
        )
        self.resolver = resolver
        self.interlock = Interlock(
            symbols, enabled=interlock, wall_ns=lambda: self.now_ns, mono_ns=lambda: self.now_ns
        )
        self.orders = Orders(
            calls, symbols, trading=self.trading, inflight=self.inflight, teller=teller, resolver=resolver,
            stats=stats, durable=self.durable, bounds=bounds, mono_ns=lambda: self.now_ns, spawn=self.spawn, interlock=self.interlock,
            pace=Pace(most, lambda: self.calls_10s + len(self.inflight.order_ids)),
        )  # fmt: skip
        self.orders.kill_switch(KillState.ARMED)
        self.teller = teller

    def tell(self, event: m.Event, cause: int) -> None:
        self.told.append(event)
        self.causes.append(cause)
        self.changed.set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
        await asyncio.sleep(0)

    async def durable(self) -> None:
        await self.journal()

    async def durable_at_once(self) -> None:
        pass

    async def settle(self) -> None:
        async with asyncio.timeout(5):
            while self.tasks:
                await asyncio.gather(*self.tasks)
                await asyncio.sleep(0)  # the tasks that are done leave the set

    def of[T: m.Event](self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]

    def place(self, *orders: m.PlaceOrder) -> None:
        for order in orders:
            self.orders.place(order, 7)


@asynccontextmanager
async def bench(*, interlock: bool = False, most: int | None = None, **bounds: Any) -> AsyncIterator[Bench]:
    async with (
        fake_rest() as fake,
        RestClient(
            fake.url,
            Credentials("k", "s"),
            wall_ns=lambda: 0,
            mono_ns=lambda: 0,
            recv_window_ms=1_000,
            timeout_s=2,
        ) as rest,
    ):
        fake.on("POST", ALGO, answer({"algoId": 5}))
        yield Bench(fake, rest, Bounds(**bounds), interlock=interlock, most=most)


def order(name: str, purpose: Purpose = Purpose.ENTRY, leg: Leg = Leg.LONG, **fields: Any) -> m.PlaceOrder:
    shape: dict[str, Any] = {
        "instrument": IID, "leg": leg, "purpose": purpose, "level": 1, "client_order_id": name,
        "side": leg.exit_side if purpose.reduces else leg.entry_side, "kind": OrderKind.LIMIT,
        "qty": Decimal("0.01"), "price": Decimal(65000),
    }  # fmt: skip
    return m.PlaceOrder(**(shape | fields))


def stop(name: str) -> m.PlaceOrder:
    return order(name, Purpose.STOP, kind=OrderKind.STOP_MARKET, qty=None, price=None, stop_price=Decimal(60000),
                 close_position=True)  # fmt: skip


STOP_RESTING = {
    "symbol": "BTCUSDT", "algoId": 5, "clientAlgoId": "S1", "algoStatus": "NEW", "side": "SELL",
    "positionSide": "LONG", "orderType": "STOP_MARKET", "triggerPrice": "60000", "closePosition": True,
}  # fmt: skip

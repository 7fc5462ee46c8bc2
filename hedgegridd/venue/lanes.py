"""Orders of one instrument that wait to leave, in two lanes: those that reduce never stand behind entries."""

import asyncio
from dataclasses import dataclass, field

from hedgegridd.messages import PlaceOrder
from hedgegridd.model import OrderKind


@dataclass(slots=True)
class Waiting:
    """An order taken at `since_s` (loop time); an entry leaves after the answers to the stops taken before it."""

    order: PlaceOrder
    since_s: float
    after: tuple[asyncio.Event, ...] = ()


@dataclass(slots=True)
class Lane:
    """What waits, by client order id in the order it came; `draining` while a task sends it."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    draining: bool = False


class Lanes:
    """Both lanes of an instrument, and the stops whose answer is awaited."""

    def __init__(self) -> None:
        self.reducing = Lane()
        self.entries = Lane()
        self._unanswered: dict[str, asyncio.Event] = {}  # stops, by client order id

    def lane(self, order: PlaceOrder) -> Lane:
        """The lane the order belongs to."""
        return self.reducing if order.purpose.reduces else self.entries

    def add(self, order: PlaceOrder, now_s: float) -> None:
        """The order waits from now on."""
        if order.kind is OrderKind.STOP_MARKET:
            self._unanswered[order.client_order_id] = asyncio.Event()
        after = () if order.purpose.reduces else tuple(self._unanswered.values())
        self.lane(order).waiting[order.client_order_id] = Waiting(order, now_s, after)

    def take(self, client_order_id: str) -> PlaceOrder | None:
        """Remove an order that has not left; None when it does not wait."""
        for lane in (self.reducing, self.entries):
            if (waiting := lane.waiting.pop(client_order_id, None)) is not None:
                return waiting.order
        return None

    def answered(self, client_order_id: str) -> None:
        """Nobody needs to wait for this stop's answer any more: it is there, or will never be."""
        if (event := self._unanswered.pop(client_order_id, None)) is not None:
            event.set()


async def stops_answered(entry: Waiting, limit_s: float) -> None:
    """Wait until the stops taken before this entry have their answers, at most `limit_s` for each stop of all entries."""
    try:
        async with asyncio.timeout(limit_s):
            for answered in entry.after:
                await answered.wait()
    except TimeoutError:
        for answered in entry.after:
            answered.set()  # the next entry does not wait for it once more

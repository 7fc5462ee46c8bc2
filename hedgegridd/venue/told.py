"""One way out for what the venue said: each fact is told once, whichever of stream, answers and history brings it."""

from collections import OrderedDict
from collections.abc import Callable

from hedgegridd.messages import (
    CancelRejected,
    Event,
    Fill,
    IncomeBooked,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderUnknown,
)
from hedgegridd.venue.inflight import InFlight, Seen
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.stream_doubt import StreamDoubt

CAUSES_MAX = 20_000
NOT_FOUND = "NOT_FOUND"
NO_SUCH_ORDER = -2013


class Teller:
    """Dedups events, keeps the in-flight table true, and publishes with the command that caused them.

    `publish(event, cause)` puts an event on the bus.
    """

    def __init__(
        self,
        publish: Callable[[Event, int], object],
        inflight: InFlight,
        stats: Stats,
        mono_ns: Callable[[], int],
        doubt: StreamDoubt | None = None,
    ) -> None:
        self._publish = publish
        self._inflight = inflight
        self._stats = stats
        self._mono_ns = mono_ns
        self._doubt = StreamDoubt() if doubt is None else doubt
        self._fills: Seen[tuple[str, str]] = Seen()
        self._incomes: Seen[str] = Seen()
        self._accepted: Seen[str] = Seen()
        self._closed: Seen[str] = Seen()
        self._causes: OrderedDict[str, int] = OrderedDict()

    def caused(self, client_order_id: str, seq: int) -> None:
        """Events of this order follow from the envelope `seq`."""
        self._causes[client_order_id] = seq
        if len(self._causes) > CAUSES_MAX:
            self._causes.popitem(last=False)

    def knows_fill(self, instrument: str, trade_id: str) -> bool:
        """Whether this trade has been told."""
        return (instrument, trade_id) in self._fills

    def skip_income(self, income_id: str) -> None:
        """A movement of the time before our books: never to be told."""
        self._incomes.add(income_id)

    def is_over(self, client_order_id: str) -> bool:
        """Whether the order's end has been told."""
        return client_order_id in self._closed

    def tell(self, event: Event, *, by_stream: bool = False) -> bool:
        """Publish the event unless it has been told; True when it was news."""
        coid = getattr(event, "client_order_id", "")
        cause = self._causes.get(coid, 0)
        sent = self._inflight.order(coid)
        asked = sent or self._inflight.cancel(coid)
        if by_stream:
            self._doubt.told(event)
        if not self._is_news(event):
            return False
        # That an order rests which was sent long ago (adopted, say) is no news that the stream owes us.
        if not by_stream and (sent is not None or not isinstance(event, OrderAccepted)):
            self._doubt.told_elsewhere(event, asked.sent_ns if asked else None, self._mono_ns())
        self._publish(event, cause)
        return True

    def _is_news(self, event: Event) -> bool:
        match event:
            case Fill():
                if not self._fills.add((event.instrument, event.trade_id)):
                    return False
                self._has_arrived(event.client_order_id)
            case OrderAccepted():
                # Late news of an order that is over would revive it in our books.
                if event.client_order_id in self._closed or not self._accepted.add(event.client_order_id):
                    self._inflight.ordered(event.client_order_id)
                    return False
                self._has_arrived(event.client_order_id)
            case OrderClosed():
                return self._ends(event.client_order_id, sure=event.how != NOT_FOUND)
            case OrderRejected():
                if not self._ends(event.client_order_id, sure=event.code != NO_SUCH_ORDER):
                    return False
                self._stats.orders_rejected[str(event.code)] += 1
            case OrderUnknown():
                self._stats.orders_unknown_total += 1
            case CancelRejected():
                self._inflight.cancelled(event.client_order_id)
            case IncomeBooked():
                return self._incomes.add(event.income_id)
            case _:
                pass
        return True

    def _ends(self, client_order_id: str, *, sure: bool) -> bool:
        self._inflight.ended(client_order_id)
        if client_order_id in self._closed:
            return False
        # "Not found" is our conclusion, not the venue's word: should the order appear after all, it must be heard.
        if sure:
            self._closed.add(client_order_id)
        return True

    def _has_arrived(self, client_order_id: str) -> None:
        item = self._inflight.order(client_order_id)
        if item is not None:
            self._stats.submit_to_ack_ns.append(self._mono_ns() - item.sent_ns)
            self._inflight.ordered(client_order_id)

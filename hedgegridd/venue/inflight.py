"""Which of our orders and cancels have no outcome yet, and which must be asked for; pure, time is an argument."""

from collections import OrderedDict
from collections.abc import Hashable

import msgspec

ASK_AFTER_NS = 2_000_000_000
IN_FLIGHT_MAX = 10_000
SEEN_MAX = 100_000


class TooManyInFlight(Exception):  # noqa: N818  # reads as the event it is
    """More orders without an outcome than the bound: nothing more is sent."""


class Seen[T: Hashable]:
    """A bounded memory of what was told: the oldest is forgotten first."""

    def __init__(self, most: int = SEEN_MAX) -> None:
        self._most = most
        self._keys: OrderedDict[T, None] = OrderedDict()

    def add(self, key: T) -> bool:
        """Remember it; True when it is new."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)
        return True

    def __contains__(self, key: T) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)


class Flying(msgspec.Struct):
    """One order or cancel under way. `sent_ns` is monotonic; `asking` while a question for it runs."""

    instrument: str
    client_order_id: str
    algo: bool
    cancel: bool
    sent_ns: int
    asking: bool = False
    unanswered: bool = True  # no answer at all yet, as opposed to an ambiguous one


class InFlight:
    """Orders sent without an outcome, and cancels sent without one; an id can be in both."""

    def __init__(self) -> None:
        self._orders: dict[str, Flying] = {}
        self._cancels: dict[str, Flying] = {}

    def __len__(self) -> int:
        return len(self._orders) + len(self._cancels)

    @property
    def order_ids(self) -> tuple[str, ...]:
        """Client order ids whose fate is open."""
        return tuple(self._orders)

    def order(self, client_order_id: str) -> Flying | None:
        """The order's entry while it has no outcome."""
        return self._orders.get(client_order_id)

    def cancel(self, client_order_id: str) -> Flying | None:
        """The cancel's entry while it has no outcome."""
        return self._cancels.get(client_order_id)

    def sent(self, instrument: str, client_order_id: str, now_ns: int, *, algo: bool) -> None:
        """An order leaves.

        Raises:
            TooManyInFlight: `IN_FLIGHT_MAX` are under way.
        """
        if len(self._orders) >= IN_FLIGHT_MAX:
            raise TooManyInFlight(f"{IN_FLIGHT_MAX} orders have no outcome")
        self._orders[client_order_id] = Flying(
            instrument, client_order_id, algo, cancel=False, sent_ns=now_ns
        )

    def cancelling(self, instrument: str, client_order_id: str, now_ns: int, *, algo: bool) -> None:
        """A cancel leaves.

        Raises:
            TooManyInFlight: `IN_FLIGHT_MAX` are under way.
        """
        if len(self._cancels) >= IN_FLIGHT_MAX:
            raise TooManyInFlight(f"{IN_FLIGHT_MAX} cancels have no outcome")
        self._cancels[client_order_id] = Flying(
            instrument, client_order_id, algo, cancel=True, sent_ns=now_ns
        )

    def ordered(self, client_order_id: str) -> bool:
        """The venue has the order, or refused it: its fate is known. True when it was open."""
        return self._orders.pop(client_order_id, None) is not None

    def cancelled(self, client_order_id: str) -> bool:
        """The cancel has its outcome. True when it was open."""
        return self._cancels.pop(client_order_id, None) is not None

    def ended(self, client_order_id: str) -> None:
        """The order is over: nothing of it is open any more."""
        self._orders.pop(client_order_id, None)
        self._cancels.pop(client_order_id, None)

    def due(self, now_ns: int) -> list[Flying]:
        """What has had no outcome for 2 s and is not being asked for."""
        return [
            item
            for table in (self._orders, self._cancels)
            for item in table.values()
            if not item.asking and now_ns - item.sent_ns >= ASK_AFTER_NS
        ]

"""What we need of a venue's trading connection; NautilusTrader is behind it live and on paper, a fake in tests."""

from decimal import Decimal
from typing import Protocol

from hedgegridd.errors import VenueError
from hedgegridd.messages import BarClosed, PlaceOrder


class ConnectFailed(VenueError):  # noqa: N818  # reads as the event it is
    """The connection did not come up within its deadline; it has been taken down and may be tried again."""


class Listener(Protocol):
    """Who hears what the connection brings; all calls come in the loop's thread and must not block."""

    def venue_ms(self) -> int:
        """The venue's clock in milliseconds as we have measured it: what signatures are stamped with."""
        ...

    def on_user_message(self, raw: bytes) -> None:
        """A raw message of the account's user stream."""
        ...

    def on_user_renewed(self) -> None:
        """The user stream runs on a new socket; messages may have been lost in between."""
        ...

    def on_quote(self, instrument: str, bid: int, ask: int, market_ns: int) -> None:
        """Best bid and ask, scaled as `feed.SCALE`; `market_ns` 0 where the venue gave no time."""
        ...

    def on_quote_overtaken(self) -> None:
        """A quote was overtaken by a newer one of its instrument before it was handled."""
        ...

    def on_mark(
        self,
        instrument: str,
        mark: int,
        market_ns: int,
        funding_rate: Decimal | None,
        next_funding_ns: int | None,
    ) -> None:
        """Mark price (scaled) and funding."""
        ...

    def on_bar(self, bar: BarClosed) -> None:
        """A closed bar, without the book."""
        ...

    def on_order_refused(self, instrument: str, client_order_id: str, reason: str) -> None:
        """The connection says that an order was refused; `reason` in its words, to be classified."""
        ...

    def on_cancel_refused(self, instrument: str, client_order_id: str, reason: str) -> None:
        """The connection says that a cancel was refused."""
        ...

    def on_fault(self, error: Exception) -> None:
        """Handling something that came in has failed: a bug, to be told to the supervisor."""
        ...


class Trading(Protocol):
    """A connection that carries orders and market data of the instruments it was made for."""

    @property
    def connected(self) -> bool:
        """True from `connect` to `disconnect`, however the sockets are."""
        ...

    async def connect(self, deadline_s: float) -> None:
        """Come up, subscribed to everything.

        Raises:
            ConnectFailed: not within the deadline; nothing is left running.
        """
        ...

    async def disconnect(self) -> None:
        """Go down, leaving no task behind. Orders at the venue stay as they are."""
        ...

    def submit(self, order: PlaceOrder) -> None:
        """Send a LIMIT or MARKET order; what comes of it is heard by the listener."""
        ...

    def cancel(self, client_order_id: str) -> bool:
        """Cancel an order that this connection holds as working; False when it does not hold it so."""
        ...

    def remember(self, order: PlaceOrder) -> None:
        """Put an order that goes another way into the connection's books, with its leg."""
        ...

    def user_stream_up(self) -> bool:
        """Whether the user stream's socket works."""
        ...

    async def revive_user_stream(self) -> None:
        """Open the user stream anew.

        Raises:
            VenueError: it could not be opened.
        """
        ...

"""Whether the user stream, open as it may be, still tells what happens; pure, monotonic time is an argument.

Facts about our orders that came another way (REST answers, history) must be told by the stream within 2 s. A stream
that has said nothing for 60 s is verified by a comparison with the venue: when books and venue agree it is just quiet.
"""

from collections import OrderedDict

from hedgegridd.messages import Event, Fill, OrderAccepted, OrderClosed

LATE_NS = 2_000_000_000
SETTLE_NS = 5_000_000_000  # what history brings just after the stream was opened happened before
SILENT_NS = 60_000_000_000
SUSPICIOUS_NS = 20_000_000_000  # a difference after such a silence is the stream's
WAITING_MAX = 10_000
_NS_PER_S = 1_000_000_000


class StreamDoubt:
    """What the stream still owes us, and since when it is silent."""

    def __init__(self) -> None:
        self._owed: OrderedDict[str, int] = OrderedDict()
        self._opened_ns: int | None = None
        self._heard_ns = 0
        self._verified_ns = 0
        self._differs = ""

    def opened(self, now_ns: int) -> None:
        """The stream has a new socket: what was owed before is read from the venue."""
        self._owed.clear()
        self._differs = ""
        self._opened_ns = self._heard_ns = self._verified_ns = now_ns

    def heard(self, now_ns: int) -> None:
        """It said something, whatever it was."""
        self._heard_ns = now_ns
        self._differs = ""

    def told(self, event: Event) -> None:
        """It told this: the order's news are not owed any more."""
        self._owed.pop(getattr(event, "client_order_id", ""), None)
        if isinstance(event, Fill):
            self._owed.pop(_trade(event), None)

    def told_elsewhere(self, event: Event, sent_ns: int | None, now_ns: int) -> None:
        """Something new came another way. `sent_ns` is when the order or cancel left that it answers, if it does."""
        if self._opened_ns is None:
            return
        before = now_ns < self._opened_ns + SETTLE_NS if sent_ns is None else sent_ns < self._opened_ns
        if before:
            return
        match event:
            case Fill():
                key = _trade(event)
            case OrderAccepted(algo=False) | OrderClosed(how="FILLED" | "CANCELED" | "EXPIRED"):
                key = event.client_order_id
            case _:
                return
        self._owed.setdefault(key, now_ns if sent_ns is None else sent_ns)
        if len(self._owed) > WAITING_MAX:
            self._owed.popitem(last=False)

    def compared(self, now_ns: int, *, ok: bool) -> None:
        """Our books were compared with the venue."""
        if ok:
            self._verified_ns = now_ns
        elif now_ns - self._heard_ns >= SUSPICIOUS_NS:
            silent_s = (now_ns - self._heard_ns) // _NS_PER_S
            self._differs = f"silent for {silent_s} s, and the venue differs from our books"

    def must_verify(self, now_ns: int) -> bool:
        """Silent and not compared for 60 s; True once per 60 s."""
        if self._opened_ns is None or now_ns - max(self._heard_ns, self._verified_ns) < SILENT_NS:
            return False
        self._verified_ns = now_ns
        return True

    def why(self, now_ns: int) -> str:
        """Why it is not believed any more; empty while it is."""
        late = [key for key, since_ns in self._owed.items() if now_ns - since_ns >= LATE_NS]
        if late:
            return f"it does not tell of {late[0]}" + (f" and {len(late) - 1} more" if len(late) > 1 else "")
        return self._differs


def _trade(fill: Fill) -> str:
    return f"trade {fill.trade_id} of {fill.instrument}"

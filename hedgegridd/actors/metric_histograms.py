"""The histograms: durations of what the daemon does, fed while it works by whoever does it."""

from collections import OrderedDict
from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.core import Metric

from hedgegridd import messages as m

LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHORT_S = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
FLAT_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0)
SLIPPAGE = (0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.005, 0.01)
OPEN_MAX = 1_024  # commands and trips that are followed at a time


def _histogram(name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
    return Histogram(f"hedgegrid_{name}", text, labels, buckets=buckets, registry=None)


class Histograms:
    """Observe seconds; any thread may. Made before everything that feeds them."""

    def __init__(self) -> None:
        self.loop_lag = _histogram("loop_lag_seconds", "How late the event loop runs what is due.", LATENCY_S)
        self.tick_to_order = _histogram(
            "tick_to_order_seconds",
            "From the arrival of the market data that caused an order to its sending.",
            LATENCY_S,
        )
        self.submit_to_ack = _histogram(
            "submit_to_ack_seconds", "From the sending of an order to the venue's word of it.", LATENCY_S
        )
        self.command_to_venue = _histogram(
            "command_to_venue_seconds",
            "From a command to the first cancel or close that leaves for the venue because of it.",
            LATENCY_S,
        )
        self.trip_to_flat = _histogram(
            "trip_to_flat_seconds", "From a trip to the venue's confirmation that its legs are flat.", FLAT_S
        )
        self.alert_delivery = _histogram(
            "alert_delivery_seconds", "From the event to the channel's acceptance.", LATENCY_S, ("channel",)
        )
        self.queue_wait = _histogram(
            "bus_queue_wait_seconds", "How long a message waited in its mailbox, sampled.", SHORT_S
        )
        self.round_trip = _histogram(
            "venue_round_trip_seconds", "From the sending of a call to the venue's answer.", LATENCY_S
        )
        self.journal_commit = _histogram(
            "journal_commit_seconds", "A group of records written and synced to disk.", LATENCY_S
        )
        self.slippage = _histogram(
            "slippage_ratio",
            "What closes and stops cost against their reference, over it; a gain counts as 0.",
            SLIPPAGE,
            ("instrument",),
        )

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for histogram in vars(self).values():
            yield from histogram.collect()

    def journaled(self, _records: int, seconds: float) -> None:
        """The journal's hook, called in its own thread."""
        self.journal_commit.observe(seconds)


class Followed:
    """Times of beginnings by id, the oldest forgotten beyond `OPEN_MAX`."""

    def __init__(self) -> None:
        self._began: OrderedDict[object, int] = OrderedDict()

    def begin(self, key: object, mono_ns: int) -> None:
        """It begins, unless it has begun already."""
        self._began.setdefault(key, mono_ns)
        if len(self._began) > OPEN_MAX:
            self._began.popitem(last=False)

    def end(self, key: object, mono_ns: int) -> float | None:
        """Seconds since it began; None: it has not, or has ended."""
        began = self._began.pop(key, None)
        return None if began is None else max(0, mono_ns - began) / 1e9


class CommandTimes:
    """Follows commands of people and guards through the bus to the venue.

    `handed` hears of everything that is journaled, in order; a message that a followed command has caused is followed in
    its stead. `left` is told by the gateway when a cancel or close leaves.
    """

    ROOTS = frozenset(
        (m.Flatten, m.Kill, m.PauseEntries, m.SetThrottle, m.StopTrading, m.SetMode, m.SetSwitch)
    )
    CARRIERS = frozenset((m.Flatten, m.CancelRaw, m.CloseRaw, m.CancelOrder))

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._roots: OrderedDict[int, int] = OrderedDict()  # sequence -> that of its root
        self._began = Followed()

    def handed(self, envelope: m.Envelope) -> None:
        """An actor gets a message."""
        kind = type(envelope.message)
        root = self._roots.get(envelope.cause)
        if root is None:
            if kind not in self.ROOTS:
                return
            root = envelope.seq
            self._began.begin(root, envelope.mono_ns)
        elif kind not in self.CARRIERS:
            return
        self._roots[envelope.seq] = root
        if len(self._roots) > OPEN_MAX:
            self._roots.popitem(last=False)

    def left(self, seq: int, mono_ns: int) -> None:
        """The call that the command `seq` asked for leaves; only the first one of its root counts."""
        root = self._roots.pop(seq, None)
        seconds = None if root is None else self._began.end(root, mono_ns)
        if seconds is not None:
            self._histogram.observe(seconds)

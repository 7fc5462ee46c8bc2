"""What the metrics actor counts as events pass: trades, refusals, stops, comparisons, trips, words from outside."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.actors.exposition import Family, counter, gauge
from hedgegridd.actors.metric_histograms import Followed, Histograms
from hedgegridd.core.reconcile import KINDS, kind_of
from hedgegridd.core.slippage import cost_of
from hedgegridd.model import KillState

LABELS_MAX = (
    32  # values of a label that comes from outside; what comes after is "other": cardinality is bounded
)
OTHER = "other"
STOP_GUARD = "stop_missing"

EVENTS: tuple[type[m.Event], ...] = (
    m.Fill,
    m.OrderRejected,
    m.OrderRefused,
    m.VenueHealth,
    m.RiskFigures,
    m.GuardChanged,
    m.Reconciled,
    m.ExternalSignal,
    m.KillStateChanged,
    m.TripsChanged,
    m.FlattenFinished,
)


class EventCounts:
    """Counts since the process began."""

    def __init__(self, histograms: Histograms) -> None:
        self._histograms = histograms
        self.fills: Counter[tuple[str, ...]] = Counter()  # instrument, liquidity
        self.rejected: Counter[tuple[str, ...]] = Counter()  # instrument, reason
        self.refused: Counter[tuple[str, ...]] = Counter()  # instrument, reason
        self.stop_missing: Counter[tuple[str, ...]] = Counter()  # instrument, leg
        self.stop_repaired: Counter[tuple[str, ...]] = Counter()
        self.external: Counter[tuple[str, ...]] = Counter()  # source
        self.external_last_ns: dict[str, int] = {}
        self.differences: dict[str, int] | None = None  # of the last comparison, by kind
        self.health: m.VenueHealth | None = None
        self._books: dict[str, m.InstrumentFigures] = {}
        self._naked: set[tuple[str, ...]] = set()
        self._trips = Followed()

    def take(self, envelope: m.Envelope) -> None:
        """Count one event."""
        match envelope.message:
            case m.Fill() as fill:
                self._fill(fill)
            case m.OrderRejected() as rejected:
                self._bounded(self.rejected, (rejected.instrument,), str(rejected.code))
            case m.OrderRefused() as refused:
                reason = refused.reason.partition(":")[0].strip() or "unknown"
                self._bounded(self.refused, (refused.instrument,), reason)
            case m.VenueHealth() as health:
                self.health = health
            case m.RiskFigures() as figures:
                self._books.update((item.instrument, item) for item in figures.instruments)
            case m.GuardChanged(verdict=verdict) if verdict.guard == STOP_GUARD:
                self._stop(verdict)
            case m.Reconciled() as compared:
                self.differences = dict.fromkeys(KINDS, 0)
                for text in compared.differences:
                    kind = kind_of(text)
                    if kind is not None:
                        self.differences[kind] += 1
            case m.ExternalSignal() as signal:
                source = self._bounded(self.external, (), signal.source)
                self.external_last_ns[source] = envelope.time_ns
            case _:
                self._trip(envelope)

    @staticmethod
    def _bounded(counts: Counter[tuple[str, ...]], of: tuple[str, ...], value: str) -> str:
        """Count under `value`, or under "other" when there are too many values already; which it was."""
        known = {key[-1] for key in counts}
        shown = value if value in known or len(known) < LABELS_MAX else OTHER
        counts[*of, shown] += 1
        return shown

    def _fill(self, fill: m.Fill) -> None:
        self.fills[fill.instrument, "maker" if fill.maker else "taker"] += 1
        cost = cost_of(fill, self._books.get(fill.instrument))
        if cost is not None and cost.notional_usdt:
            # A histogram's sum is a counter: it must not fall.
            ratio = max(0.0, float(cost.lost_usdt / cost.notional_usdt))
            self._histograms.slippage.labels(fill.instrument).observe(ratio)

    def _stop(self, verdict: m.GuardVerdict) -> None:
        scope = verdict.scope
        if scope.instrument is None or scope.leg is None:
            return  # "positions are not known": no leg is without its stop for sure
        key = (scope.instrument, scope.leg.value)
        if verdict.level != "OK" and key not in self._naked:
            self._naked.add(key)
            self.stop_missing[key] += 1
        elif verdict.level == "OK" and key in self._naked:
            self._naked.discard(key)
            self.stop_repaired[key] += 1

    def _trip(self, envelope: m.Envelope) -> None:
        match envelope.message:
            case m.KillStateChanged(state=KillState.TRIPPED) as change:
                self._trips.begin(change.trip_id, envelope.mono_ns)
            case m.TripsChanged() as change:
                for trip in change.trips:
                    if trip.state is KillState.TRIPPED:
                        self._trips.begin(trip.trip_id, envelope.mono_ns)
            case m.FlattenFinished() as finished:
                seconds = self._trips.end(finished.origin, envelope.mono_ns)
                if seconds is not None:
                    self._histograms.trip_to_flat.observe(seconds)

    def families(self) -> Iterator[Family]:
        """All of them."""
        of_one = ("instrument",)
        legs = ("instrument", "leg")
        yield from counter("fills", "Trades of the account.", (*of_one, "liquidity"), self.fills)
        yield from counter(
            "orders_rejected", "Orders refused by the venue, by its code.", (*of_one, "reason"), self.rejected
        )
        yield from counter(
            "orders_refused", "Orders refused before sending.", (*of_one, "reason"), self.refused
        )
        yield from counter(
            "stop_missing", "Times a leg's inventory was without its stop.", legs, self.stop_missing
        )
        yield from counter(
            "stop_repaired", "Times such a leg had its stop again, or was closed.", legs, self.stop_repaired
        )
        yield from counter("external_events", "Events from outside.", ("source",), self.external)
        yield from gauge(
            "external_event_last_timestamp_seconds",
            "When the last event of a source came.",
            [
                ({"source": source}, Decimal(at) / 1_000_000_000)
                for source, at in self.external_last_ns.items()
            ],
        )
        if self.differences is not None:
            yield from gauge(
                "reconcile_differences",
                "Differences that the last comparison with the venue found and repaired.",
                [({"kind": kind}, number) for kind, number in self.differences.items()],
            )

"""What is counted and timed from events: stops, comparisons, sources, trips, slippage, commands on their way to the venue."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.actors.exposition import Family, Row, labels
from hedgegridd.actors.metric_counts import LABELS_MAX, EventCounts
from hedgegridd.actors.metric_histograms import OPEN_MAX, CommandTimes, Histograms
from hedgegridd.core import reconcile
from hedgegridd.model import KillState, Leg, OrderTag, Purpose, Side, client_order_id

BTC = "BTCUSDT-PERP.BINANCE"
MS = 1_000_000


def env(message, mono_ms: int = 0, *, seq: int = 1, cause: int = 0) -> m.Envelope:
    return m.Envelope(
        seq=seq, time_ns=7_000 * MS, mono_ns=mono_ms * MS, cause=cause, actor="t", message=message
    )


def observed(histogram, *labels_) -> tuple[float, float]:
    """How many, and their sum."""
    samples = {
        sample.name.rpartition("_")[2]: sample.value
        for family in histogram.collect()
        for sample in family.samples
        if tuple(sample.labels.values()) == labels_
    }
    return samples.get("count", 0.0), round(samples.get("sum", 0.0), 9)


class Bench:
    def __init__(self) -> None:
        self.times = Histograms()
        self.counts = EventCounts(self.times)

    def take(self, *messages, mono_ms: int = 0) -> None:
        for message in messages:
            self.counts.take(env(message, mono_ms))


def stop(level: str, leg: Leg | None = Leg.LONG) -> m.GuardChanged:
    scope = m.Scope(instrument=BTC, leg=leg)
    verdict = m.GuardVerdict(guard="stop_missing", scope=scope, level=level, value=Decimal(3))
    return m.GuardChanged(verdict=verdict, previous="OK")


def test_a_missing_stop_counts_once_until_it_is_back():
    bench = Bench()
    bench.take(stop("CRITICAL"), stop("CRITICAL"), stop("CRITICAL", Leg.SHORT), stop("OK"), stop("CRITICAL"))
    bench.take(stop("OK", None))  # "positions are not known" is over: of no leg
    assert bench.counts.stop_missing == {(BTC, "LONG"): 2, (BTC, "SHORT"): 1}
    assert bench.counts.stop_repaired == {(BTC, "LONG"): 1}


def test_a_stop_that_never_missed_is_not_repaired():
    bench = Bench()
    bench.take(stop("OK"))
    assert bench.counts.stop_repaired == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{BTC} order X {reconcile.UNKNOWN_ORDER}", "order_unknown"),
        (f"{BTC} order X {reconcile.LOST_ORDER}", "order_lost"),
        (f"{BTC} order X filled 2, {reconcile.FILLED} 1", "order_filled"),
        (f"{BTC} LONG is 2 at the venue, 1 {reconcile.IN_OUR_BOOKS}", "leg_quantity"),
        (f"{BTC} LONG entry is 2 at the venue, 1 {reconcile.IN_OUR_BOOKS}", None),
        (f"{BTC}: not ours, so not traded: LONG inventory of 0.002", None),
        ("0.1 BNB booked outside the USDT figures", None),
    ],
)
def test_the_kind_of_a_difference(text, kind):
    assert reconcile.kind_of(text) == kind


def test_differences_are_of_the_last_comparison():
    bench = Bench()
    assert bench.counts.differences is None
    lost = f"{BTC} order X {reconcile.LOST_ORDER}"
    bench.take(m.Reconciled(ok=False, cause="timer", differences=(lost, lost, "a note")))
    assert bench.counts.differences == {**dict.fromkeys(reconcile.KINDS, 0), "order_lost": 2}
    bench.take(m.Reconciled(ok=True, cause="timer"))
    assert bench.counts.differences == dict.fromkeys(reconcile.KINDS, 0)


def test_sources_are_counted_and_bounded():
    bench = Bench()
    for number in range(LABELS_MAX + 5):
        bench.take(m.ExternalSignal(event_id="1", source=f"s{number}", action="notify", reason=""))
    bench.take(m.ExternalSignal(event_id="1", source="s0", action="notify", reason=""))
    assert bench.counts.external["s0",] == 2
    assert bench.counts.external["other",] == 5
    assert bench.counts.external_last_ns["other"] == 7_000 * MS


def test_from_a_trip_to_flat():
    bench = Bench()
    tripped = m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED, trip_id="T-1")
    bench.take(tripped, mono_ms=100)
    scoped = m.Trip(trip_id="T-2", scope=m.Scope(instrument=BTC), action="flatten", cause="c")
    bench.take(m.TripsChanged(trips=(scoped,)), mono_ms=200)
    bench.take(m.TripsChanged(trips=(scoped,)), mono_ms=400)  # told again: it began when it was told first
    for origin, at in (("T-1", 600), ("T-2", 1200), ("T-2", 5000), ("", 9000)):
        done = m.FlattenFinished(flatten_id="F", origin=origin, after_s=Decimal(1))
        bench.take(done, mono_ms=at)
    assert observed(bench.times.trip_to_flat) == (2, 1.5)


def fill(purpose: Purpose, price: str) -> m.Fill:
    tag = OrderTag(symbol="BTCUSDT", leg=Leg.LONG, level=0, purpose=purpose, epoch=1, seq=1)
    return m.Fill(
        instrument=BTC,
        leg=Leg.LONG,
        client_order_id=client_order_id(tag),
        venue_order_id="1",
        trade_id="1",
        side=Side.SELL,
        price=Decimal(price),
        qty=Decimal("0.5"),
        commission=Decimal(0),
        commission_asset="USDT",
        maker=False,
        ts_ns=1,
    )


def test_slippage_is_what_a_close_or_a_stop_lost_against_its_reference():
    bench = Bench()
    bench.take(fill(Purpose.CLOSE, "99"))  # nothing is known of the market yet
    leg = m.LegFigures(
        leg=Leg.LONG,
        qty=Decimal(1),
        notional_usdt=None,
        entries_usdt=Decimal(0),
        stop_resting=True,
        stop_price=Decimal(80),
    )
    books = m.InstrumentFigures(instrument=BTC, mark=Decimal(100), legs=(leg,))
    figures = m.RiskFigures(
        equity_usdt=None,
        session_peak_usdt=None,
        peak_usdt=None,
        session_usdt=None,
        day_usdt=None,
        maint_margin_usdt=None,
        margin_balance_usdt=None,
        instruments=(books,),
    )
    bench.take(figures, fill(Purpose.CLOSE, "99"), fill(Purpose.STOP, "79.2"), fill(Purpose.ENTRY, "50"))
    assert observed(bench.times.slippage, BTC) == (2, 0.02)  # 1 % each: of the mark, of the stop's price
    bench.take(fill(Purpose.CLOSE, "105"))
    assert observed(bench.times.slippage, BTC) == (3, 0.02), "a gain adds nothing"


def flatten() -> m.Flatten:
    return m.Flatten(legs=(Leg.LONG,), instrument=None, reason="r")


def cancel() -> m.CancelRaw:
    return m.CancelRaw(token="F-1|A|1", instrument=BTC, all_orders=True)


def test_a_command_is_followed_to_the_first_call_that_leaves():
    times = Histograms()
    commands = CommandTimes(times.command_to_venue)
    commands.handed(env(m.Kill(reason="r"), 100, seq=5))
    commands.handed(env(flatten(), 101, seq=6, cause=5))
    for seq in (7, 8):
        commands.handed(env(cancel(), 102, seq=seq, cause=6))
    commands.left(7, 130 * MS)
    commands.left(8, 900 * MS)  # not the first
    commands.left(99, 900 * MS)  # of nothing that is followed
    assert observed(times.command_to_venue) == (1, 0.03)


def test_what_the_machines_do_of_themselves_is_no_command():
    times = Histograms()
    commands = CommandTimes(times.command_to_venue)
    commands.handed(env(cancel(), 102, seq=7, cause=3))
    commands.handed(env(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING), 1, seq=8))
    commands.left(7, 130 * MS)
    assert observed(times.command_to_venue) == (0, 0.0)


def test_what_is_followed_is_bounded():
    commands = CommandTimes(Histograms().command_to_venue)
    for seq in range(3 * OPEN_MAX):
        commands.handed(env(flatten(), 1, seq=seq + 1))
    assert len(commands._roots) <= OPEN_MAX
    assert len(commands._began._began) <= OPEN_MAX


def test_labels_are_escaped():
    row = Row("_total", labels({"reason": 'a"b\\c\nd'}), 1)
    text = Family("hedgegrid_x", "counter", "X.", [row]).lines()
    assert text.splitlines()[2] == r'hedgegrid_x_total{reason="a\"b\\c\nd"} 1'

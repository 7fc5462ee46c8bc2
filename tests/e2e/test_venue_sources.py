"""Real adapter, real paper exchange: clocks far apart, the book, the health of the calls, changed rules."""

import pytest

from hedgegridd import messages as m
from hedgegridd.model import Leg
from hedgegridd.venue import watch as watching
from tests.e2e.test_venue_faults import bench
from tests.support.venue_rig import IID

pytestmark = pytest.mark.e2e


async def test_a_venue_ten_seconds_ahead_takes_the_adapters_orders() -> None:
    """Its receive window is 1 s: with our own clock every signed call would be refused (-1021)."""
    async with bench(connect=False) as b:
        await b.post("/skew", ms=10_000)
        await b.venue.gateway.connect()
        await b.venue.ear.until(m.MarkPrice)
        coid = b.venue.place(await b.far_entry())
        await b.venue.accepted(coid, 5)
        b.venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id=coid))
        assert (await b.venue.closed(coid)).how == "CANCELED"
        assert b.venue.ear.of(m.OrderRejected) == []
        health = await b.venue.ear.until(m.VenueHealth)
        assert health.clock_offset_ms is not None
        assert abs(health.clock_offset_ms - 10_000) < 500


async def test_a_clock_that_jumps_is_measured_anew_after_the_first_refusal() -> None:
    async with bench() as b:
        await b.post("/skew", ms=-10_000)
        first = b.venue.place(await b.far_entry())
        refused = await b.venue.ear.until(m.OrderRejected)
        assert (refused.client_order_id, refused.code) == (first, -1021)
        await b.venue.ear.until(m.VenueHealth, lambda e: (e.clock_offset_ms or 0) < -9_000)
        second = b.venue.place(await b.far_entry(Leg.SHORT))
        await b.venue.accepted(second, 5)


async def test_health_and_books_are_told_and_a_failure_at_once() -> None:
    async with bench() as b:
        health = await b.venue.ear.until(
            m.VenueHealth, lambda e: e.user_stream_age_s is not None or e.calls > 5
        )
        assert health.failed == 0
        assert health.last_ok
        assert health.weight_used is not None
        assert 0 < health.weight_used < 1
        book = await b.venue.ear.until(m.BookDepth)
        assert book.instrument == IID
        assert 0 < book.spread_bps < 100
        assert book.depth_usdt > 0
        counts = await b.venue.ear.until(m.CallsCounted)
        assert 0 < counts.burst <= counts.minute <= counts.hour
        await b.fault(target="rest", kind="status_before", path="/fapi/v3/account", status=502, count=1)
        failed = await b.venue.ear.until(m.VenueHealth, lambda e: e.failed == 1)
        assert failed.last_ok is False


async def test_rules_that_the_venue_changes_are_told_as_its_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RULES_S", 0.2)  # an hour
    async with bench() as b:
        await b.post("/filters", symbol="BTCUSDT", min_notional="7")
        await b.post("/status", symbol="BTCUSDT", status="TRADING_HALT")
        said = await b.venue.ear.until(m.VenueAction, lambda e: e.kind == "STATUS")
        assert said.instrument == IID
        assert "TRADING_HALT" in said.detail
        changed = await b.venue.ear.until(m.VenueAction, lambda e: e.kind == "FILTERS")
        assert "min_notional" in changed.detail
        await b.venue.ear.until(m.InstrumentReady, lambda e: e.instrument.status == "TRADING_HALT")


async def test_an_order_refused_because_nothing_trades_has_the_status_read_at_once_and_until_it_trades_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "RULES_AGAIN_S", 0.2)  # ten seconds
    async with bench() as b:
        await b.post("/status", symbol="BTCUSDT", status="TRADING_HALT")
        b.venue.gateway.on_order_refused(IID, "x", "{'code': -4140, 'msg': 'Invalid symbol status.'}")
        said = await b.venue.ear.until(m.VenueAction)
        assert (said.kind, said.detail) == ("STATUS", "TRADING -> TRADING_HALT")
        await b.post("/status", symbol="BTCUSDT", status="TRADING")
        await b.venue.ear.until(m.VenueAction, lambda e: e.detail == "TRADING_HALT -> TRADING")


async def test_a_start_on_an_instrument_that_does_not_trade_finds_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "RULES_AGAIN_S", 0.2)  # ten seconds
    async with bench(connect=False) as b:
        await b.post("/status", symbol="BTCUSDT", status="TRADING_HALT")
        await b.venue.gateway.connect()
        await b.venue.ear.until(m.InstrumentReady, lambda e: e.instrument.status == "TRADING_HALT")
        await b.post("/status", symbol="BTCUSDT", status="TRADING")
        await b.venue.ear.until(m.VenueAction, lambda e: e.detail == "TRADING_HALT -> TRADING")

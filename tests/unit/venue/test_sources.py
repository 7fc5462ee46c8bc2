"""What the sources tell of a venue whose answers are scripted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.runtime.clock import VirtualClock
from hedgegridd.runtime.lag import LagReport
from hedgegridd.venue import sources
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import of_text
from hedgegridd.venue.feed import SCALE, Feed
from hedgegridd.venue.rest import RestClient, VenueCallError
from hedgegridd.venue.sources import Sources
from tests.support.fake_rest import FakeRest, answer, fake_rest

IID = "BTCUSDT-PERP.BINANCE"
S = 1_000_000_000
DEPTH = "/fapi/v1/depth"


class Bench:
    def __init__(
        self, fake: FakeRest, http: RestClient, clock: VirtualClock, references: tuple[str, ...]
    ) -> None:
        self.fake = fake
        self.http = http
        self.clock = clock
        self.told: list[m.Event] = []
        self.heard = asyncio.Event()
        self.feed = Feed(IID, Decimal("0.1"))
        self.calls = VenueCalls(http)
        self.sources = Sources(
            self.calls,
            {IID: "BTCUSDT"},
            {IID: self.feed},
            references=references,
            user_age_s=lambda _now_ns: 1.5,
            mono_ns=clock.mono_ns,
            publish=self.hear,
        )
        self._works = self.sources.loops()

    def hear(self, event: m.Event) -> None:
        self.told.append(event)
        self.heard.set()

    def of[T: m.Event](self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]

    async def fails(self) -> None:
        with pytest.raises(VenueCallError):
            await self.http.call("GET", "/x", kind=msgspec.Raw)

    def close(self) -> None:
        for work in self._works:
            work.close()


@asynccontextmanager
async def bench(references: tuple[str, ...] = ()) -> AsyncIterator[Bench]:
    clock = VirtualClock(1_700_000_000 * S)
    async with (
        fake_rest() as fake,
        RestClient(fake.url, None, wall_ns=clock.wall_ns, mono_ns=clock.mono_ns) as http,
    ):
        made = Bench(fake, http, clock, references)
        try:
            yield made
        finally:
            made.close()


async def test_a_failed_call_is_told_at_once_and_an_answered_one_waits() -> None:
    async with bench() as b:
        b.fake.on("GET", "/x", answer({}), answer({"code": -2013, "msg": "no"}, 400), answer({}, 500))
        await b.http.call("GET", "/x", kind=msgspec.Raw)
        await b.fails()
        assert b.told == [], "a refusal is an answer"
        await b.fails()
        (health,) = b.of(m.VenueHealth)
        assert (health.calls, health.failed, health.last_ok, health.last_call_age_ms) == (3, 1, False, 0)
        assert b.of(m.CallsCounted) == [], "these are told each second"


async def test_each_second_health_and_calls_are_told() -> None:
    async with bench() as b:
        b.fake.on("GET", "/x", answer({}))
        await b.http.call("GET", "/x", kind=msgspec.Raw)
        task = asyncio.create_task(b.sources._health_loop())
        async with asyncio.timeout(3):
            while len(b.of(m.CallsCounted)) < 2:
                await b.heard.wait()
                b.heard.clear()
        task.cancel()
        counts = b.of(m.CallsCounted)[-1]
        assert (counts.provider, counts.burst, counts.minute, counts.hour) == ("binance_usdm", 1, 1, 1)
        assert len(b.of(m.VenueHealth)) == 2


async def test_the_figures_are_those_of_client_stream_and_budget() -> None:
    async with bench() as b:
        b.fake.on("GET", "/x", answer({}, X_MBX_USED_WEIGHT_1M="600"))
        b.sources.tell_health()
        empty = b.of(m.VenueHealth)[-1]
        assert (empty.calls, empty.last_ok, empty.weight_used, empty.uptime_pct) == (0, None, None, None)
        await b.http.call("GET", "/x", kind=msgspec.Raw)
        b.http.clock_offset_ms = -40
        b.calls.orders.sent(b.clock.mono_ns())
        b.sources.tell_health()
        health = b.of(m.VenueHealth)[-1]
        assert health.weight_used == Decimal("0.25")
        assert health.orders_used == Decimal(1) / 300
        assert (health.clock_offset_ms, health.user_stream_age_s) == (-40, Decimal("1.500"))
        assert (health.uptime_pct, health.last_ok, health.banned_until_ns) == (100, True, None)
        b.clock.advance(60 * S)
        b.sources.tell_health()
        assert b.of(m.VenueHealth)[-1].weight_used == 0, "a new minute"
        b.http.used_weight_1m = None  # the client has seen that the minute is over
        assert b.http.weight_used() == 0


async def test_a_ban_is_told_until_when() -> None:
    async with bench() as b:
        b.fake.on("GET", "/x", answer({"code": -1003, "msg": "ban"}, 418, Retry_After="120"))
        await b.fails()
        assert b.of(m.VenueHealth)[-1].banned_until_ns == b.clock.wall_ns() + 120 * S
        await b.fails()
        assert len(b.of(m.VenueHealth)) == 1, "what was not sent is no call"


async def test_calls_of_the_trading_connection_count_as_well() -> None:
    async with bench() as b:
        b.sources.by_connection("POST order", None)
        b.sources.by_connection("POST order", of_text("{'code': -2022, 'msg': 'rejected'}"))
        b.sources.by_connection("POST order", of_text("connection reset"))
        health = b.of(m.VenueHealth)[-1]
        assert (health.calls, health.failed, health.latency_p95_ms) == (3, 1, None)
        assert b.http.stats.calls == {
            ("POST order", "ok"): 1, ("POST order", "refused"): 1, ("POST order", "ambiguous"): 1,
        }  # fmt: skip


def book(best: str, qty: str, levels: int) -> Any:
    price = Decimal(best)
    side = [[str(price - n), qty] for n in range(levels)]
    return answer({"bids": side, "asks": [[str(price + 1 + n), qty] for n in range(levels)]})


async def test_more_levels_are_asked_for_only_while_they_are_needed() -> None:
    async with bench() as b:
        b.fake.on("GET", DEPTH, book("100000", "0.01", 50), book("100000", "0.04", 100))
        await b.sources._read_depth(IID)
        assert [request.query["limit"] for request in b.fake.asked] == ["50", "100"]
        (told,) = b.of(m.BookDepth)
        assert told.spread_bps == Decimal("0.10")
        assert told.depth_usdt == sum(100_000 - Decimal(n) for n in range(100)) * Decimal("0.04")
        b.fake.on("GET", DEPTH, book("100000", "0.01", 49))
        await b.sources._read_depth(IID)
        assert len(b.fake.asked) == 3, "there is no more of it"


async def test_a_book_that_cannot_be_read_or_has_one_side_is_not_told() -> None:
    async with bench() as b:
        b.fake.on(
            "GET", DEPTH, book("1000", "1", 3), answer({}, 500), answer({"bids": [["1", "1"]], "asks": []})
        )
        await b.sources._read_depth(IID)
        await b.sources._read_depth(IID)
        await b.sources._read_depth(IID)
        assert len(b.of(m.BookDepth)) == 1
        b.feed.on_book(1000 * SCALE, 1020 * SCALE, 0)
        b.sources._look_at_spread(IID)
        assert len(b.of(m.BookDepth)) == 1, "without its depth the spread alone is not told"


async def test_a_spread_that_moves_is_told_between_the_readings() -> None:
    async with bench() as b:
        b.fake.on("GET", DEPTH, book("10000", "1", 3))
        await b.sources._read_depth(IID)
        for ask in (10_001, 10_004):
            b.feed.on_book(10_000 * SCALE, ask * SCALE, 0)
            b.sources._look_at_spread(IID)
        assert len(b.of(m.BookDepth)) == 1
        b.feed.on_book(10_000 * SCALE, 10_101 * SCALE, 0)
        b.sources._look_at_spread(IID)
        b.sources._look_at_spread(IID)
        first, wide = b.of(m.BookDepth)
        assert (first.spread_bps, wide.spread_bps) == (Decimal("1.00"), Decimal("100.49"))
        assert wide.depth_usdt == first.depth_usdt


async def test_reference_prices_are_told_of_those_that_the_venue_has() -> None:
    async with bench(("USDCUSDT", "BTCUSDC")) as b:
        rows = [{"symbol": name, "price": "64000.1", "time": 1} for name in ("BTCUSDT", "BTCUSDC")]
        b.fake.on("GET", "/fapi/v1/ticker/price", answer(rows))
        task = asyncio.create_task(b.sources._reference_loop())
        async with asyncio.timeout(2):
            while not b.of(m.ReferencePrice):
                await b.heard.wait()
                b.heard.clear()
        task.cancel()
        assert b.of(m.ReferencePrice) == [m.ReferencePrice(symbol="BTCUSDC", price=Decimal("64000.1"))]
        assert len(b.fake.asked) == 1


async def test_prices_that_cannot_be_read_are_not_told_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "REFERENCE_EVERY_S", 0.01)
    async with bench(("BTCUSDC",)) as b:
        good = answer([{"symbol": "BTCUSDC", "price": "1", "time": 1}])
        b.fake.on("GET", "/fapi/v1/ticker/price", answer({}, 500), good)
        task = asyncio.create_task(b.sources._reference_loop())
        async with asyncio.timeout(2):
            while not b.of(m.ReferencePrice):
                await b.heard.wait()
                b.heard.clear()
        task.cancel()


async def test_without_references_none_is_asked_for() -> None:
    async with bench() as b:
        assert [work.__name__ for work in b._works] == ["_health_loop", "_depth_loop"]


def test_lag_is_told_once_a_second_by_its_worst_and_at_once_when_long() -> None:
    clock = VirtualClock()
    told: list[Decimal] = []
    seen: list[float] = []
    report = LagReport(clock, seen.append, told.append)
    for lag_s in (0.001, 0.02, 0.003):
        report.sample(lag_s)
    assert told == [Decimal("1.0")]
    clock.advance(S)
    report.sample(0.005)
    assert told == [Decimal("1.0"), Decimal("20.0")]
    report.sample(0.1)
    report.sample(2.5)
    assert told[2:] == [Decimal("100.0"), Decimal("2500.0")]
    assert seen == [0.001, 0.02, 0.003, 0.005, 0.1, 2.5]

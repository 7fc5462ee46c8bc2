"""The gateway with the real adapter while the paper exchange misbehaves: every fact is told, once and rightly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from hedgegridd import messages as m
from hedgegridd.exchange.server import Options, PaperExchange
from hedgegridd.model import Leg, OrderKind, Purpose
from hedgegridd.venue.nautilus import for_config
from hedgegridd.venue.rest import Credentials
from tests.support.venue_rig import IID, Rig, config_for, rig

pytestmark = pytest.mark.e2e
TICK = Decimal("0.1")


class Bench:
    """The rig and the exchange's admin port."""

    def __init__(self, venue: Rig, admin: aiohttp.ClientSession, url: str) -> None:
        self.venue = venue
        self._admin = admin
        self._url = url

    async def post(self, path: str, /, **body: Any) -> None:
        async with self._admin.post(self._url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def fault(self, **rule: Any) -> None:
        await self.post("/faults", **rule)

    async def clear(self) -> None:
        async with self._admin.delete(self._url + "/faults") as answer:
            assert answer.status == 200

    async def far_entry(self, leg: Leg = Leg.LONG) -> m.PlaceOrder:
        mark = self.venue.ear.of(m.MarkPrice)[-1].mark
        price = (mark * (1 - leg.sign * Decimal("0.03"))).quantize(TICK)
        return self.venue.order(leg, Purpose.ENTRY, price=price)


@asynccontextmanager
async def bench(*, connect: bool = True, start_deadline_s: int = 60) -> AsyncIterator[Bench]:
    async with PaperExchange(Options(speed=Decimal(5), seed=4)) as exchange, aiohttp.ClientSession() as admin:
        config = config_for(exchange.base_url, exchange.ws_url, start_deadline_s)
        credentials = Credentials(exchange.api_key, exchange.api_secret)
        async with rig(config, credentials, for_config(config, credentials)) as venue:
            if connect:
                await asyncio.wait_for(venue.gateway.connect(), 30)
                await venue.ear.until(m.MarkPrice)
            yield Bench(venue, admin, exchange.admin_url)


async def test_processed_but_answered_503_and_the_stream_silent_is_asked_for() -> None:
    async with bench() as b:
        await b.fault(target="user", kind="mute", event="ORDER_TRADE_UPDATE", count=1)
        await b.fault(
            target="rest", kind="status_after", method="POST", path="/fapi/v1/order", count=1,
            status=503, code=-1007, msg="Timeout waiting for response from backend server.",
        )  # fmt: skip
        coid = b.venue.place(await b.far_entry())
        unknown = await b.venue.ear.until(m.OrderUnknown)
        assert unknown.client_order_id == coid
        await b.venue.accepted(coid, 5)
        assert b.venue.ear.of(m.OrderRejected) == []
        truth = await b.venue.truth("t")
        assert [order.client_order_id for order in truth.orders] == [coid]
        # NautilusTrader holds it for rejected: the cancel must still reach the venue.
        b.venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id=coid))
        assert (await b.venue.closed(coid)).how == "CANCELED"


async def test_an_order_that_never_arrived_is_rejected_only_when_it_cannot_arrive_any_more() -> None:
    async with bench() as b:
        await b.fault(target="rest", kind="drop_before", method="POST", path="/fapi/v1/order", count=1)
        coid = b.venue.place(await b.far_entry())
        rejected = await b.venue.ear.until(m.OrderRejected)
        assert (rejected.client_order_id, rejected.code) == (coid, -2013)
        assert (await b.venue.truth("t")).in_flight == ()


async def test_a_fill_the_stream_did_not_bring_is_fetched() -> None:
    async with bench() as b:
        await b.fault(target="user", kind="mute", event="ORDER_TRADE_UPDATE", count=10)
        coid = b.venue.place(b.venue.order(Leg.SHORT, Purpose.ENTRY, kind=OrderKind.MARKET))
        fill = await b.venue.ear.until(m.Fill)
        assert (fill.client_order_id, fill.leg, fill.qty) == (coid, Leg.SHORT, Decimal("0.01"))
        assert fill.commission > 0
        assert (await b.venue.closed(coid)).how == "FILLED"
        assert len(b.venue.ear.of(m.Fill)) == 1


async def test_a_fill_while_the_stream_was_away_comes_with_the_truth() -> None:
    async with bench() as b:
        first = await b.venue.truth("t0")
        await b.fault(target="user", kind="mute", event="ORDER_TRADE_UPDATE", count=10)
        mark = b.venue.ear.of(m.MarkPrice)[-1].mark
        await b.post(
            "/manual", symbol="BTCUSDT", side="BUY", positionSide="LONG", type="MARKET", quantity="0.02",
            newClientOrderId="by-hand",
        )  # fmt: skip
        truth = await b.venue.truth(
            "t1", trades_from=first.trade_cursor, income_from_ms=first.income_cursor_ms
        )
        fills = b.venue.ear.of(m.Fill)
        assert [(fill.client_order_id, fill.qty) for fill in fills] == [("by-hand", Decimal("0.02"))]
        assert truth.trade_cursor[IID] == int(fills[-1].trade_id)
        assert abs(truth.legs[0].entry_price - mark) < mark / 20
        heard = b.venue.ear.heard
        assert heard.index(fills[0]) < heard.index(truth), "fills come before the truth that contains them"


async def test_a_user_stream_that_the_adapter_has_given_up_is_revived() -> None:
    async with bench() as b:
        await b.fault(
            target="rest", kind="status_before", method="POST", path="/fapi/v1/listenKey", count=2, status=503
        )
        await b.fault(target="user", kind="cut")
        down = await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and not e.up)
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and e.up, 10)
        assert down.detail
        assert b.venue.gateway.stats.revivals_total >= 1
        coid = b.venue.place(b.venue.order(Leg.LONG, Purpose.ENTRY, kind=OrderKind.MARKET))
        await b.venue.ear.until(m.Fill, lambda e: e.client_order_id == coid)


async def test_an_open_user_stream_that_says_nothing_is_found_and_revived() -> None:
    async with bench() as b:
        await b.fault(target="user", kind="freeze")
        coid = b.venue.place(await b.far_entry())
        await b.venue.accepted(coid, 10)  # asked for
        down = await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and not e.up)
        assert down.detail == f"it does not tell of {coid}"
        await b.clear()
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and e.up)
        assert b.venue.gateway.stats.revivals_total >= 1
        coid = b.venue.place(b.venue.order(Leg.LONG, Purpose.ENTRY, kind=OrderKind.MARKET))
        await b.venue.ear.until(m.Fill, lambda e: e.client_order_id == coid)


async def test_a_dropped_stream_that_comes_back_by_itself_is_told_too() -> None:
    async with bench() as b:
        await b.fault(target="user", kind="cut")
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and not e.up)
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and e.up)


async def test_a_cancel_of_an_order_that_is_gone_ends_with_the_true_outcome() -> None:
    async with bench() as b:
        coid = b.venue.place(await b.far_entry())
        accepted = await b.venue.accepted(coid)
        await b.fault(target="user", kind="mute", event="ORDER_TRADE_UPDATE", count=1)
        await b.post("/expire", symbol="BTCUSDT", order_id=int(accepted.venue_order_id))
        b.venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id=coid))
        assert (await b.venue.closed(coid)).how == "EXPIRED"


async def test_a_leg_stop_that_triggers_closes_the_leg_under_its_own_id() -> None:
    async with bench() as b:
        mark = b.venue.ear.of(m.MarkPrice)[-1].mark
        entry = b.venue.place(
            b.venue.order(Leg.LONG, Purpose.ENTRY, kind=OrderKind.MARKET, qty=Decimal("0.03"))
        )
        stop = b.venue.place(b.venue.stop_order(Leg.LONG, (mark * Decimal("0.98")).quantize(TICK)))
        await b.venue.closed(entry)
        await b.venue.accepted(stop)
        await b.post("/jump", symbol="BTCUSDT", factor="0.95")
        await b.venue.ear.until(m.OrderTriggered, lambda e: e.client_order_id == stop)
        ended = await b.venue.closed(stop)
        assert (ended.how, ended.filled_qty) == ("FILLED", Decimal("0.03"))
        fills = [fill for fill in b.venue.ear.of(m.Fill) if fill.client_order_id == stop]
        assert sum(fill.qty for fill in fills) == Decimal("0.03")
        assert all(leg.qty == 0 for leg in (await b.venue.truth("t")).legs)


async def test_money_in_is_booked_once_with_the_venues_id() -> None:
    async with bench() as b:
        first = await b.venue.truth("t0")
        await b.post("/transfer", amount="250")
        booked = await b.venue.ear.until(m.IncomeBooked)
        assert (booked.kind, booked.amount, booked.asset) == ("TRANSFER", Decimal(250), "USDT")
        await b.venue.truth("t1", income_from_ms=first.income_cursor_ms)
        assert len(b.venue.ear.of(m.IncomeBooked)) == 1


async def test_limits_are_honoured_and_safety_still_says_why() -> None:
    async with bench() as b:
        await b.fault(
            target="rest", kind="status_before", path="/fapi/v3/account", count=1,
            status=429, code=-1003, msg="Too many requests", retry_after_s=2,
        )  # fmt: skip
        b.venue.bus.tell(m.ReadTruth(token="t", instruments=(IID,)))
        failed = await b.venue.ear.until(m.VenueFailed, lambda e: e.token == "t")
        assert (failed.ambiguous, failed.retry_after_s) == (False, 2.0)
        b.venue.bus.tell(m.ReadTruth(token="t2", instruments=(IID,)))
        again = await b.venue.ear.until(m.VenueFailed, lambda e: e.token == "t2")
        assert 0 < again.retry_after_s <= 2


async def test_start_goes_on_until_the_venue_is_up_and_says_what_it_waits_for() -> None:
    async with bench(connect=False, start_deadline_s=5) as b:
        await b.fault(target="rest", kind="status_before", path="/fapi/v1/time", count=1, status=503)
        # Then the adapter's own connect: one 503 there, and upstream would never start.
        await b.fault(
            target="rest", kind="status_before", method="POST", path="/fapi/v1/listenKey", count=1, status=503
        )
        await asyncio.wait_for(b.venue.gateway.connect(), 30)
        waits = [event.waits_for for event in b.venue.ear.of(m.StageReached)]
        assert any("/fapi/v1/time" in text for text in waits), waits
        assert any("not connected within 5 s" in text for text in waits), waits
        await b.venue.ear.until(m.MarkPrice)
        await b.venue.truth("t")


async def test_a_trading_node_that_ends_is_built_anew() -> None:
    async with bench() as b:
        b.venue.gateway._trading._run.cancel()
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and not e.up)
        await b.venue.ear.until(m.FeedChanged, lambda e: e.channel == "user" and e.up)
        coid = b.venue.place(b.venue.order(Leg.LONG, Purpose.ENTRY, kind=OrderKind.MARKET))
        await b.venue.ear.until(m.Fill, lambda e: e.client_order_id == coid)
        last_ns = b.venue.ear.of(m.MarkPrice)[-1].market_ns
        await b.venue.ear.until(m.MarkPrice, lambda e: e.market_ns > last_ns)


async def test_a_deleveraging_is_an_action_of_the_venue_and_a_fill() -> None:
    async with bench() as b:
        entry = b.venue.place(b.venue.order(Leg.LONG, Purpose.ENTRY, kind=OrderKind.MARKET))
        await b.venue.closed(entry)
        await b.post("/deleverage", symbol="BTCUSDT", leg="LONG", qty="0.004")
        action = await b.venue.ear.until(m.VenueAction)
        assert (action.kind, action.leg) == ("ADL", Leg.LONG)
        fill = await b.venue.ear.until(m.Fill, lambda e: e.client_order_id != entry)
        assert (fill.leg, fill.side, fill.qty) == (Leg.LONG, Leg.LONG.exit_side, Decimal("0.004"))
        assert (await b.venue.truth("t")).legs[0].qty == Decimal("0.006")


async def test_one_refused_listen_key_at_the_start_costs_a_try_and_not_the_deadline() -> None:
    async with bench(connect=False) as b:
        await b.fault(
            target="rest", kind="status_before", method="POST", path="/fapi/v1/listenKey", status=503, count=1
        )
        async with asyncio.timeout(20):  # the deadline of a try is 60 s
            await b.venue.gateway.connect()
        waits = [e.waits_for for e in b.venue.ear.of(m.StageReached)]
        assert any("the adapter could not connect" in text for text in waits), waits

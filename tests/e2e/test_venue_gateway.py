"""The gateway with the real adapter against the real paper exchange: everything the daemon asks of a venue."""

import asyncio
import itertools
from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.exchange.server import Options, PaperExchange
from hedgegridd.model import Leg, OrderKind, Purpose, TimeInForce
from hedgegridd.venue import nautilus_hooks
from hedgegridd.venue.nautilus import NautilusTrading, for_config, purge
from hedgegridd.venue.nautilus_log import process_pipe
from hedgegridd.venue.rest import Credentials
from tests.support.venue_rig import IID, Rig, config_for, rig

pytestmark = pytest.mark.e2e
TICK = Decimal("0.1")


async def test_a_whole_life_on_paper() -> None:
    async with PaperExchange(Options(speed=Decimal(20), seed=3)) as exchange:
        config = config_for(exchange.base_url, exchange.ws_url)
        credentials = Credentials(exchange.api_key, exchange.api_secret)
        async with rig(config, credentials, for_config(config, credentials)) as venue:
            await asyncio.wait_for(venue.gateway.connect(), 30)
            await _comes_up(venue)
            mark = (await venue.ear.until(m.MarkPrice)).mark
            await _truth_is_empty(venue)
            await _orders_rest_on_both_legs(venue, mark)
            await _refusals_have_codes(venue, mark)
            await _fills_and_closes(venue)
            answer = await venue.bus.ask(m.GetVenue(), 1)
            assert isinstance(answer, m.VenueAnswer)
            assert answer.connected
            assert answer.in_flight == 0
            assert answer.calls_failed == 0
            assert answer.account is not None
            _log_and_cache_are_bounded(venue)
        assert nautilus_hooks.leaked_tasks() == []


def _log_and_cache_are_bounded(venue: Rig) -> None:
    trading = venue.gateway._trading
    assert isinstance(trading, NautilusTrading)
    assert [path.is_fifo() for path in process_pipe().directory.iterdir()] == [True], (
        "a file would grow for ever"
    )
    cache = trading._node.kernel.cache
    assert cache.orders_closed()
    purge(trading._node.kernel)
    assert cache.orders_closed(), "late messages may still speak of them"
    cache.purge_closed_orders(trading._node.kernel.clock.timestamp_ns() + 10**12, 600)
    assert not cache.orders_closed()


async def _comes_up(venue: Rig) -> None:
    await venue.ear.until(m.VenueUp)
    ready = await venue.ear.until(m.InstrumentReady)
    assert ready.instrument.tick == TICK
    await venue.ear.until(m.BarClosed, lambda bar: not bar.warmup)
    assert len([bar for bar in venue.ear.of(m.BarClosed) if bar.warmup]) >= 70
    every = venue.ear.of(m.BarClosed)
    for earlier, later in itertools.pairwise(every):
        assert later.open_ns == earlier.open_ns + 60_000_000_000, "no bar missing, none twice"


async def _truth_is_empty(venue: Rig) -> None:
    truth = await venue.truth("t0")
    assert truth.orders == ()
    assert [(leg.leg, leg.qty) for leg in truth.legs] == [(Leg.LONG, 0), (Leg.SHORT, 0)]
    assert truth.account.wallet_usdt == 100_000
    assert truth.trade_cursor == {IID: 0}


async def _orders_rest_on_both_legs(venue: Rig, mark: Decimal) -> None:
    sent = []
    for leg in Leg:
        away = (mark * (1 - leg.sign * Decimal("0.02"))).quantize(TICK)
        beyond = (mark * (1 - leg.sign * Decimal("0.04"))).quantize(TICK)
        stop = venue.stop_order(leg, beyond)
        entry = venue.order(leg, Purpose.ENTRY, price=away, time_in_force=TimeInForce.GTX)
        sent += [venue.place(stop), venue.place(entry, cause=venue.ear.last_seq[m.MarkPrice])]
    for coid in sent:
        await venue.accepted(coid)
    observed = venue.gateway.stats.tick_to_order_ns
    assert len(observed) == len(Leg), "the entries were caused by a mark, the stops by nothing of the market"
    assert all(0 < took_ns < 10**10 for took_ns in observed)
    truth = await venue.truth("t1")
    assert sorted(order.client_order_id for order in truth.orders) == sorted(sent)
    assert {order.leg for order in truth.orders if order.algo} == set(Leg)
    stop_long, entry_long, stop_short, entry_short = sent
    venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id=entry_long))
    venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id=stop_long, algo=True))
    assert (await venue.closed(entry_long)).how == "CANCELED"
    assert (await venue.closed(stop_long)).how == "CANCELED"
    venue.bus.tell(m.CancelRaw(token="x1", instrument=IID, client_order_ids=(entry_short,)))
    venue.bus.tell(m.CancelRaw(token="x2", instrument=IID, client_order_ids=(stop_short,), algo=True))
    for token in ("x1", "x2"):
        await venue.ear.until(m.VenueDone, lambda e, token=token: e.token == token)
    assert (await venue.truth("t2")).orders == ()


async def _refusals_have_codes(venue: Rig, mark: Decimal) -> None:
    crossing = (mark * Decimal("1.02")).quantize(TICK)
    maker = venue.place(venue.order(Leg.LONG, Purpose.ENTRY, price=crossing, time_in_force=TimeInForce.GTX))
    through = venue.place(venue.stop_order(Leg.LONG, crossing))
    for coid, code in ((maker, -5022), (through, -2021)):
        refused = await venue.ear.until(m.OrderRejected, lambda e, coid=coid: e.client_order_id == coid)
        assert refused.code == code
    venue.bus.tell(m.CancelOrder(instrument=IID, client_order_id="BTCUSDT-L009E-t1-zz"))
    gone = await venue.closed("BTCUSDT-L009E-t1-zz", 15)
    assert gone.how == "NOT_FOUND"


async def _fills_and_closes(venue: Rig) -> None:
    for leg in Leg:
        coid = venue.place(venue.order(leg, Purpose.ENTRY, kind=OrderKind.MARKET))
        fill = await venue.ear.until(m.Fill, lambda e, coid=coid: e.client_order_id == coid)
        assert (fill.leg, fill.qty, fill.maker) == (leg, Decimal("0.01"), False)
        assert fill.commission > 0
        assert (await venue.closed(coid)).how == "FILLED"
    truth = await venue.truth("t3")
    assert [(leg.leg, leg.qty) for leg in truth.legs] == [(leg, Decimal("0.01")) for leg in Leg]
    fills = len(venue.ear.of(m.Fill))
    again = await venue.truth("t4", trades_from=truth.trade_cursor)
    assert len(venue.ear.of(m.Fill)) == fills, "what the stream told is not told again by the history"
    assert again.trade_cursor[IID] >= truth.trade_cursor[IID] > 0
    for leg in Leg:
        token = f"close-{leg}"
        venue.bus.tell(
            m.CloseRaw(
                token=token,
                instrument=IID,
                leg=leg,
                qty=Decimal("0.01"),
                client_order_id=venue.order(leg, Purpose.CLOSE, level=0).client_order_id,
            )
        )
        done = await venue.ear.until(m.VenueDone, lambda e, token=token: e.token == token)
        assert (done.status, done.filled_qty) == ("FILLED", Decimal("0.010"))
    assert all(leg.qty == 0 for leg in (await venue.truth("t5")).legs)


async def test_orders_of_an_earlier_life_are_recognised_cancelled_and_filled() -> None:
    async with PaperExchange(Options(speed=Decimal(5), seed=3)) as exchange:
        config = config_for(exchange.base_url, exchange.ws_url)
        credentials = Credentials(exchange.api_key, exchange.api_secret)
        make = for_config(config, credentials)
        async with rig(config, credentials, make) as first:
            await asyncio.wait_for(first.gateway.connect(), 30)
            mark = (await first.ear.until(m.MarkPrice)).mark
            for leg in Leg:
                entry = first.place(first.order(leg, Purpose.ENTRY, kind=OrderKind.MARKET))
                await first.closed(entry)
            far = first.order(Leg.SHORT, Purpose.TAKE_PROFIT, price=(mark * Decimal("0.9")).quantize(TICK))
            near = first.order(Leg.LONG, Purpose.TAKE_PROFIT, price=(mark * Decimal("1.03")).quantize(TICK))
            stop = first.stop_order(Leg.LONG, (mark * Decimal("0.8")).quantize(TICK))
            for order in (far, near, stop):
                first.place(order)
                await first.accepted(order.client_order_id)
            before = await first.truth("t")
        async with rig(config, credentials, make) as second:
            await asyncio.wait_for(second.gateway.connect(), 30)
            truth = await second.truth(
                "t", trades_from=before.trade_cursor, income_from_ms=before.income_cursor_ms
            )
            assert {order.client_order_id for order in truth.orders} == {
                order.client_order_id for order in (far, near, stop)
            }
            exchange.venue.markets["BTCUSDT"].jump(Decimal("1.05"))
            fill = await second.ear.until(m.Fill)
            assert (fill.client_order_id, fill.leg) == (near.client_order_id, Leg.LONG)
            assert (await second.closed(near.client_order_id)).how == "FILLED"
            second.bus.tell(m.CancelOrder(instrument=IID, client_order_id=far.client_order_id))
            second.bus.tell(m.CancelOrder(instrument=IID, client_order_id=stop.client_order_id, algo=True))
            assert (await second.closed(far.client_order_id)).how == "CANCELED"
            assert (await second.closed(stop.client_order_id)).how == "CANCELED"
            assert (await second.truth("t9")).orders == ()
        assert nautilus_hooks.leaked_tasks() == []

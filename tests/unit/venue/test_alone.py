"""The calls of a flatten without a daemon: what each answer of the venue becomes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.model import Leg
from hedgegridd.venue.alone import RawVenue, Run
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import Credentials, RestClient
from hedgegridd.venue.transport_plain import PlainTransport
from tests.support.fake_rest import FakeRest, answer, fake_rest

IID = "BTCUSDT-PERP.BINANCE"
SYMBOLS = {IID: "BTCUSDT"}
READ = m.ReadTruth(token="t", instruments=(IID,), history=False)
LATE_MS = 90_000


@asynccontextmanager
async def raw() -> AsyncIterator[tuple[FakeRest, RawVenue, RestClient]]:
    async with fake_rest() as fake:
        client = RestClient(
            fake.url, Credentials("k", "s"), wall_ns=time.time_ns, mono_ns=time.monotonic_ns,
            timeout_s=2.0, make_transport=PlainTransport,
        )  # fmt: skip
        fake.on("GET", "/fapi/v3/positionRisk", answer([]))
        fake.on("GET", "/fapi/v1/openOrders", answer([]))
        fake.on("GET", "/fapi/v1/openAlgoOrders", answer([]))
        async with client:
            yield fake, RawVenue(VenueCalls(client), SYMBOLS), client


def position(side: str, amount: str) -> dict[str, str]:
    return {
        "symbol": "BTCUSDT", "positionSide": side, "positionAmt": amount, "entryPrice": "1", "markPrice": "1",
        "unRealizedProfit": "0",
    }  # fmt: skip


async def test_a_flat_account_is_read_as_both_legs_with_nothing() -> None:
    async with raw() as (_, venue, _client):
        truth = await venue.do(READ)
        assert isinstance(truth, m.VenueTruth)
        assert [(leg.leg, leg.qty) for leg in truth.legs] == [(Leg.LONG, 0), (Leg.SHORT, 0)]
        assert truth.orders == ()


async def test_a_refusal_for_our_clock_is_mended_and_repeated_once() -> None:
    async with raw() as (fake, venue, client):
        skewed = answer(
            {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, 400
        )
        fake.on("DELETE", "/fapi/v1/allOpenOrders", skewed, answer({"code": 200}))
        fake.on("GET", "/fapi/v1/time", answer({"serverTime": time.time_ns() // 1_000_000 + LATE_MS}))
        done = await venue.do(m.CancelRaw(token="t", instrument=IID, all_orders=True))
        assert isinstance(done, m.VenueDone)
        assert abs((client.clock_offset_ms or 0) - LATE_MS) < 5_000
        fake.on("DELETE", "/fapi/v1/allOpenOrders", skewed)
        failed = await venue.do(m.CancelRaw(token="t", instrument=IID, all_orders=True))
        assert isinstance(failed, m.VenueFailed)
        assert failed.code == -1021


async def test_a_position_on_no_leg_is_never_taken_for_flat() -> None:
    async with raw() as (fake, venue, _client):
        fake.on("GET", "/fapi/v3/positionRisk", answer([position("BOTH", "0.5")]))
        failed = await venue.do(READ)
        assert isinstance(failed, m.VenueFailed)
        assert "not in hedge mode: 0.5 BTCUSDT" in failed.reason
        fake.on("GET", "/fapi/v3/positionRisk", answer([position("BOTH", "0")]))
        assert isinstance(await venue.do(READ), m.VenueTruth)


async def test_a_bug_in_a_call_is_told_as_an_open_outcome_and_ends_nothing() -> None:
    async with raw() as (_, venue, _client):
        failed = await venue.do(m.CancelRaw(token="t", instrument="unknown", all_orders=True))
        assert isinstance(failed, m.VenueFailed)
        assert failed.ambiguous
        assert "KeyError" in failed.reason


async def test_an_order_is_asked_for_by_its_client_order_id() -> None:
    order = {
        "symbol": "BTCUSDT", "orderId": 5, "clientOrderId": "c", "status": "EXPIRED_IN_MATCH", "side": "SELL",
        "positionSide": "LONG", "type": "MARKET", "origQty": "2", "executedQty": "1.5", "price": "0",
        "avgPrice": "7",
    }  # fmt: skip
    async with raw() as (fake, venue, _client):
        fake.on("GET", "/fapi/v1/order", answer(order), answer({"code": -2013, "msg": "none"}, 400))
        ask = m.AskOrder(token="t", instrument=IID, client_order_id="c")
        done = await venue.do(ask)
        assert done == m.VenueDone(
            token="t", status="EXPIRED", filled_qty=Decimal("1.5"), average_price=Decimal(7)
        )
        failed = await venue.do(ask)
        assert isinstance(failed, m.VenueFailed)
        assert (failed.code, failed.ambiguous) == (-2013, False)


async def test_at_the_deadline_it_says_what_is_left_and_what_stood_in_the_way() -> None:
    async with raw() as (fake, venue, _client):
        refused = answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)
        for method, path in (
            ("DELETE", "allOpenOrders"), ("GET", "openOrders"), ("GET", "openAlgoOrders"),
        ):  # fmt: skip
            fake.on(method, f"/fapi/v1/{path}", refused)
        fake.on("GET", "/fapi/v3/positionRisk", refused)
        lines: list[str] = []
        done = await Run(venue, SYMBOLS, epoch="panic", say=lines.append).run("test", 0.3)
        assert not done.verified
        assert done.residuals == {f"{IID}-LONG": "unknown", f"{IID}-SHORT": "unknown"}
        assert any("-2015" in line for line in lines)
        assert any("lot sizes not read" in line for line in lines)


async def test_a_bug_of_the_machine_ends_it_at_once_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw() as (_, venue, _client):
        run = Run(venue, SYMBOLS, epoch="panic", say=lambda _line: None)

        def broken(*_arguments: object) -> list[m.Message]:
            raise ZeroDivisionError

        monkeypatch.setattr(run._flatten, "take", broken)
        with pytest.raises(ZeroDivisionError):
            await run.run("test", 5.0)

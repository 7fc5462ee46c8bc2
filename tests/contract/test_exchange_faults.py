"""Every row of the table of faults in docs/exchange.md, made by the calls that stand there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Answer, Client
from tests.contract.test_exchange_rest import below, bid

MANUAL = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text()
OPTIONS = Options(start_paused=True, seed=3, rate_limits=False)


async def drill(client: Client, call: str, **values: str) -> Answer:
    """Do a call of the manual; `N` and the like in it are replaced by `values`."""
    assert call in MANUAL, "the manual has another call"
    path, _, body = call.partition(" ")
    for name, value in values.items():
        body = body.replace(name, value)
    answer = await client.admin("POST", path, json.loads(body))
    assert answer.status == 200, answer
    return answer


@asynccontextmanager
async def venue() -> AsyncIterator[Client]:
    async with PaperExchange(OPTIONS) as exchange, Client(exchange) as client:
        yield client


async def resting(client: Client) -> Answer:
    return await client.order("BUY", "LONG", below(await bid(client), "0.97"), newClientOrderId="mine")


async def open_orders(client: Client) -> list[Any]:
    rows: list[Any] = (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")).body
    return rows


async def heard(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next event of a kind."""
    while (event := await asyncio.wait_for(socket.receive_json(), 5))["e"] != kind:
        continue
    return dict(event)


async def is_cut(socket: aiohttp.ClientWebSocketResponse) -> bool:
    kinds = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
    return (await asyncio.wait_for(socket.receive(), 5)).type in kinds


async def test_user_stream_drops_alone() -> None:
    async with venue() as client:
        user, market = await client.user_socket(), await client.socket("/ws/btcusdt@bookTicker")
        await drill(client, '/faults {"target": "user", "kind": "cut"}')
        assert await is_cut(user)
        await client.admin("POST", "/step", {"ms": 100})
        assert (await heard(market, "bookTicker"))["s"] == "BTCUSDT"
        again = await client.user_socket()
        await resting(client)
        assert (await heard(again, "ORDER_TRADE_UPDATE"))["o"]["c"] == "mine"


async def test_user_stream_drops_and_one_listen_key_fails() -> None:
    async with venue() as client:
        user = await client.user_socket()
        call = (
            '/faults {"target": "rest", "kind": "status_before", "method": "POST", '
            '"path": "/fapi/v1/listenKey", "count": 1}'
        )
        await drill(client, call)
        await drill(client, '/faults {"target": "user", "kind": "cut"}')
        assert await is_cut(user)
        assert (await client.key("POST", "/fapi/v1/listenKey")).status == 503
        assert (await client.key("POST", "/fapi/v1/listenKey")).status == 200


async def test_market_stream_drops_alone() -> None:
    async with venue() as client:
        user, market = await client.user_socket(), await client.socket("/ws/btcusdt@bookTicker")
        await drill(client, '/faults {"target": "market", "kind": "cut"}')
        assert await is_cut(market)
        await resting(client)
        assert (await heard(user, "ORDER_TRADE_UPDATE"))["o"]["X"] == "NEW"


@pytest.mark.parametrize("target", ["user", "market"])
async def test_silence_on_an_open_socket(target: str) -> None:
    async with venue() as client:
        sockets = {
            "user": await client.user_socket(),
            "market": await client.socket("/ws/btcusdt@bookTicker"),
        }
        rule = (await drill(client, f'/faults {{"target": "{target}", "kind": "freeze"}}')).body["id"]
        await resting(client)
        frozen = (await client.admin("POST", "/step", {"ms": 1_000})).body
        await client.admin("DELETE", f"/faults?id={rule}")
        await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine")
        await client.admin("POST", "/step", {"ms": 100})
        # What was said meanwhile is lost; the socket was open all the time.
        if target == "user":
            assert (await heard(sockets["user"], "ORDER_TRADE_UPDATE"))["o"]["X"] == "CANCELED"
        else:
            assert (await heard(sockets["market"], "bookTicker"))["T"] == frozen["market_ms"] + 100


@pytest.mark.parametrize(
    ("status", "code", "wait"),
    [(429, -1015, 7), (418, -1003, 120), (503, -1008, 0), (400, -1021, 0), (400, -2022, 0), (400, -4061, 0)],
)
async def test_a_submit_is_refused(status: int, code: int, wait: int) -> None:
    async with venue() as client:
        more = f', "retry_after_s": {wait}' if wait else ""
        call = (
            '/faults {"target": "rest", "kind": "status_before", "method": "POST", "path": "/fapi/v1/order", '
            f'"count": 1, "status": {status}, "code": {code}{more}}}'
        )
        await drill(client, call)
        answer = await resting(client)
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers.get("Retry-After") == (str(wait) if wait else None)
        assert await open_orders(client) == []
        assert (await resting(client)).status == 200


async def test_a_clock_that_is_wrong_refuses_what_is_signed() -> None:
    async with venue() as client:
        await drill(client, '/skew {"ms": 90000}')
        assert (await resting(client)).code == -1021
        await client.admin("POST", "/skew", {"ms": 0})
        assert (await resting(client)).status == 200


@pytest.mark.parametrize("code", [-1000, -1007])
async def test_processed_yet_answered_503(code: int) -> None:
    async with venue() as client:
        call = (
            '/faults {"target": "rest", "kind": "status_after", "method": "POST", "path": "/fapi/v1/order", '
            f'"count": 1, "code": {code}}}'
        )
        await drill(client, call)
        answer = await resting(client)
        assert (answer.status, answer.code) == (503, code)
        assert [order["clientOrderId"] for order in await open_orders(client)] == ["mine"]


async def test_processed_yet_answered_by_a_proxy() -> None:
    async with venue() as client:
        call = (
            '/faults {"target": "rest", "kind": "status_after", "method": "POST", "path": "/fapi/v1/order", '
            '"count": 1, "status": 502, "body": "<html>502 Bad Gateway</html>"}'
        )
        await drill(client, call)
        price = below(await bid(client), "0.97")
        with pytest.raises(msgspec.DecodeError):
            await client.order("BUY", "LONG", price, newClientOrderId="mine")
        assert [order["clientOrderId"] for order in await open_orders(client)] == ["mine"]


@pytest.mark.parametrize(("kind", "left"), [("drop_after", 1), ("drop_before", 0)])
async def test_answer_lost_or_request_never_arrived(kind: str, left: int) -> None:
    async with venue() as client:
        call = (
            f'/faults {{"target": "rest", "kind": "{kind}", "method": "POST", '
            '"path": "/fapi/v1/order", "count": 1}'
        )
        await drill(client, call)
        with pytest.raises(aiohttp.ClientError):
            await resting(client)
        assert len(await open_orders(client)) == left


async def test_a_late_answer_to_what_is_done_at_once() -> None:
    async with venue() as client:
        user = await client.user_socket()
        call = '/faults {"target": "rest", "kind": "delay_after", "method": "POST", "path": "/fapi/v1/order", "delay_ms": 400}'
        await drill(client, call)
        placing = asyncio.create_task(resting(client))
        assert (await heard(user, "ORDER_TRADE_UPDATE"))["o"]["c"] == "mine"
        assert not placing.done()
        assert (await placing).status == 200


async def test_a_request_hangs() -> None:
    async with venue() as client:
        call = '/faults {"target": "rest", "kind": "hang", "method": "POST", "path": "/fapi/v1/order"}'
        rule = (await drill(client, call)).body["id"]
        placing = asyncio.create_task(resting(client))
        while (await client.admin("GET", "/faults")).body[0]["hits"] == 0:
            continue  # it is on its way; the client's own deadline ends this loop
        assert not placing.done()
        await client.admin("DELETE", f"/faults?id={rule}")
        with pytest.raises(aiohttp.ClientError):
            await placing
        assert await open_orders(client) == []


async def test_rest_is_down_while_a_cancel_is_pending() -> None:
    async with venue() as client:
        await resting(client)
        await drill(client, '/faults {"target": "rest", "kind": "drop_before", "path": "/fapi/*"}')
        for method in ("DELETE", "GET"):
            with pytest.raises(aiohttp.ClientError):
                await client.signed(method, "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine")
        await client.admin("DELETE", "/faults")
        assert [order["clientOrderId"] for order in await open_orders(client)] == ["mine"]


async def test_a_cancel_of_what_has_gone_unheard() -> None:
    async with venue() as client:
        user = await client.user_socket()
        order = (await resting(client)).body
        assert (await heard(user, "ORDER_TRADE_UPDATE"))["o"]["X"] == "NEW"
        await drill(
            client, '/faults {"target": "user", "kind": "mute", "event": "ORDER_TRADE_UPDATE", "count": 1}'
        )
        await drill(client, '/expire {"symbol": "BTCUSDT", "order_id": N}', N=str(order["orderId"]))
        gone = await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine")
        assert (gone.status, gone.code) == (400, -2011)
        await client.order("BUY", "LONG", below(await bid(client), "0.96"), newClientOrderId="next")
        assert (await heard(user, "ORDER_TRADE_UPDATE"))["o"]["c"] == "next"  # of the expiry nothing was said


async def test_one_503_during_connect() -> None:
    async with venue() as client:
        await drill(
            client,
            '/faults {"target": "rest", "kind": "status_before", "path": "/fapi/v1/exchangeInfo", "count": 1}',
        )
        assert (await client.public("/fapi/v1/exchangeInfo")).status == 503
        assert (await client.public("/fapi/v1/exchangeInfo")).status == 200


async def test_margin_call_then_liquidation_by_the_price() -> None:
    async with venue() as client:
        user = await client.user_socket()
        forced = await client.socket("/ws/btcusdt@forceOrder")
        opened = await client.signed(
            "POST", "/fapi/v1/order",
            symbol="BTCUSDT", side="BUY", positionSide="LONG", type="MARKET", quantity="0.010",
        )  # fmt: skip
        assert opened.status == 200
        await drill(client, '/transfer {"amount": "-99950"}')
        await drill(client, '/jump {"symbol": "BTCUSDT", "factor": "0.9"}')
        await client.admin("POST", "/step", {"ms": 60_000})
        called = await heard(user, "MARGIN_CALL")
        assert [row["ps"] for row in called["p"]] == ["LONG"]
        while not (event := (await heard(user, "ORDER_TRADE_UPDATE"))["o"])["c"].startswith("autoclose-"):
            continue
        assert event["o"] == "LIQUIDATION"
        assert (await heard(forced, "forceOrder"))["o"]["S"] == "SELL"
        rows = (await client.signed("GET", "/fapi/v1/forceOrders", symbol="BTCUSDT")).body
        assert [row["side"] for row in rows] == ["SELL"]
        truth = (await client.admin("GET", "/truth")).body
        assert (Decimal(truth["legs"]["BTCUSDT:LONG"]["qty"]), truth["invariant"]) == (0, "ok")


async def test_an_event_that_the_exchange_has_no_cause_for() -> None:
    async with venue() as client:
        user = await client.user_socket()
        call = '/event {"e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "E": 1, "T": 1, "or": {"s": "BTCUSDT", "i": 1, "r": "-2019"}}'
        assert (await drill(client, call)).body == {"heard_by": 1}
        assert (await heard(user, "CONDITIONAL_ORDER_TRIGGER_REJECT"))["or"]["s"] == "BTCUSDT"
        assert "e" in (await client.admin("POST", "/event", {"E": 1})).body["error"]


async def test_a_full_outage_and_its_end() -> None:
    async with venue() as client:
        user, market = await client.user_socket(), await client.socket("/ws/btcusdt@bookTicker")
        for call in (
            '/faults {"target": "rest", "kind": "drop_before"}',
            '/faults {"target": "user", "kind": "refuse"}',
            '/faults {"target": "market", "kind": "refuse"}',
            '/faults {"target": "user", "kind": "cut"}',
            '/faults {"target": "market", "kind": "cut"}',
        ):
            await drill(client, call)
        assert await is_cut(user)
        assert await is_cut(market)
        with pytest.raises(aiohttp.ClientError):
            await client.public("/fapi/v1/ping")
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.socket("/ws/btcusdt@bookTicker")
        await client.admin("DELETE", "/faults")
        assert (await client.public("/fapi/v1/ping")).status == 200
        await (await client.user_socket()).close()

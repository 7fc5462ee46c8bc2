"""The REST side of the paper exchange as a client sees it: refusals with the venue's codes, counts, answers."""

import asyncio
import itertools
import random
from decimal import Decimal

import pytest

from hedgegridd.exchange.routes import ROUTES
from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client

PAUSED = Options(start_paused=True, seed=3)


def below(price: str, factor: str) -> str:
    """A price on the tick of BTCUSDT at `factor` of `price`."""
    return str((Decimal(price) * Decimal(factor)).quantize(Decimal("0.1")))


async def bid(client: Client) -> str:
    return (await client.public("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")).body["bidPrice"]


async def test_public_answers_have_the_shapes_of_the_venue() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        assert (await client.public("/fapi/v1/ping")).body == {}
        assert (await client.public("/fapi/v1/time")).body["serverTime"] > 1_700_000_000_000
        info = (await client.public("/fapi/v1/exchangeInfo")).body
        assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT"]
        rows = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="70")).body
        assert len(rows) == 70
        assert all(len(row) == 12 for row in rows)
        assert all(later[0] - row[0] == 60_000 for row, later in itertools.pairwise(rows))
        book = (await client.public("/fapi/v1/depth", symbol="BTCUSDT", limit="5")).body
        assert len(book["bids"]) == len(book["asks"]) == 5
        assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])
        premium = (await client.public("/fapi/v1/premiumIndex", symbol="BTCUSDT")).body
        assert premium["nextFundingTime"] % (8 * 3_600_000) == 0
        assert Decimal(premium["markPrice"]) > 0
        assert (await client.public("/fapi/v1/ticker/price")).body[0]["symbol"] == "BTCUSDT"


async def test_unknown_paths_and_malformed_requests_are_refused() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        unknown = await client.public("/fapi/v1/nothing")
        assert (unknown.status, unknown.code) == (404, -5000)
        assert (await client.public("/fapi/v1/ping", method="DELETE")).status == 404
        assert (await client.public("/fapi/v1/klines", symbol="BTCUSDT")).code == -1102
        assert (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="7m")).code == -1120
        assert (await client.public("/fapi/v1/depth", symbol="NOPE")).code == -1121
        assert (await client.public("/fapi/v1/depth", symbol="BTCUSDT", limit="6")).code == -4021
        assert (
            await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="x")
        ).code == -1102


async def test_every_route_that_needs_a_key_or_signature_refuses_without() -> None:
    async with (
        PaperExchange(Options(start_paused=True, rate_limits=False)) as exchange,
        Client(exchange) as client,
    ):
        before = exchange.venue.engine.truth()
        for route in ROUTES:
            answer = await client.public(route.path, method=route.method)
            if route.security != "none":
                assert (answer.status, answer.code) == (401, -2014), route.path
            if route.security == "signed":
                answer = await client.key(route.method, route.path)
                assert (answer.status, answer.code) == (400, -1102), route.path
        assert exchange.venue.engine.truth() == before


async def test_filters_and_hedge_rules_speak_through_rest() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        price = below(await bid(client), "0.99")
        for expected, more in (
            (-4061, {"positionSide": "BOTH"}),
            (-1106, {"reduceOnly": "true"}),
            (-4164, {"quantity": "0.001"}),
            (-1111, {"quantity": "0.0100001"}),
            (-2022, {"side": "SELL"}),
            (-4120, {"type": "STOP_MARKET", "stopPrice": "1"}),
            (-5022, {"timeInForce": "GTX", "price": below(await bid(client), "1.01")}),
        ):
            answer = await client.order(**{"side": "BUY", "leg": "LONG", "price": price, **more})
            assert (answer.status, answer.code) == (400, expected), more
        assert (await client.signed("GET", "/fapi/v1/openOrders")).body == []


async def test_an_order_lives_and_is_cancelled_and_counted() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        price = below(await bid(client), "0.99")
        placed = await client.order("BUY", "LONG", price, newClientOrderId="mine-1")
        assert (placed.status, placed.body["status"], placed.body["clientOrderId"]) == (200, "NEW", "mine-1")
        assert placed.headers["X-MBX-ORDER-COUNT-10S"] == "1"
        assert placed.headers["X-MBX-ORDER-COUNT-1M"] == "1"
        used = int(placed.headers["X-MBX-USED-WEIGHT-1M"])
        listed = await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
        assert [order["clientOrderId"] for order in listed.body] == ["mine-1"]
        assert int(listed.headers["X-MBX-USED-WEIGHT-1M"]) == used + 1
        gone = await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine-1")
        assert gone.body["status"] == "CANCELED"
        again = await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine-1")
        assert again.code == -2011
        closed = await client.signed(
            "GET", "/fapi/v1/openOrder", symbol="BTCUSDT", origClientOrderId="mine-1"
        )
        assert closed.code == -2013


async def test_batches_answer_each_order_by_itself() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        price = below(await bid(client), "0.99")
        good = (
            '{"symbol":"BTCUSDT","side":"BUY","positionSide":"LONG","type":"LIMIT","timeInForce":"GTC",'
            f'"quantity":"0.010","price":"{price}","newClientOrderId":"b1"}}'
        )
        bad = good.replace("0.010", "0.001").replace("b1", "b2")
        answers = (await client.signed("POST", "/fapi/v1/batchOrders", batchOrders=f"[{good},{bad}]")).body
        assert answers[0]["status"] == "NEW"
        assert answers[1]["code"] == -4164
        names = '["b1","b2"]'
        answers = (
            await client.signed(
                "DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", origClientOrderIdList=names
            )
        ).body
        assert answers[0]["status"] == "CANCELED"
        assert answers[1]["code"] == -2011
        assert (await client.signed("POST", "/fapi/v1/batchOrders", batchOrders="{}")).code == -1102
        for method in ("POST", "PUT"):
            six = f"[{','.join([good] * 6)}]"
            assert (await client.signed(method, "/fapi/v1/batchOrders", batchOrders=six)).code == -4082
            assert (await client.signed(method, "/fapi/v1/batchOrders", batchOrders="[]")).code == -4082
        assert (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")).body == []


async def test_limits_answer_429_with_the_time_to_wait_and_then_418() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        exchange.venue.limiter.weight.roll(exchange.venue.wall.now_ms())
        exchange.venue.limiter.weight.used = 2_400
        answer = await client.public("/fapi/v1/ping")
        if answer.status == 200:  # the minute ended between the two lines above
            pytest.skip("a new minute began during the test")
        assert (answer.status, answer.code) == (429, -1003)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 2_400
        statuses = [(await client.public("/fapi/v1/ping")).status for _ in range(12)]
        assert statuses[-1] == 418


async def test_account_calls_answer() -> None:
    async with (
        PaperExchange(Options(start_paused=True, rate_limits=False)) as exchange,
        Client(exchange) as client,
    ):
        for version in ("v2", "v3"):
            account = (await client.signed("GET", f"/fapi/{version}/account")).body
            assert Decimal(account["totalWalletBalance"]) == 100_000
            rows = (await client.signed("GET", f"/fapi/{version}/positionRisk", symbol="BTCUSDT")).body
            assert isinstance(rows, list)
        assert (await client.signed("GET", "/fapi/v1/positionSide/dual")).body == {"dualSidePosition": True}
        assert (await client.signed("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="7")).body[
            "leverage"
        ] == 7
        config = (await client.signed("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")).body
        assert config[0]["leverage"] == 7
        brackets = (await client.signed("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")).body
        assert brackets[0]["brackets"]
        rate = (await client.signed("GET", "/fapi/v1/commissionRate", symbol="BTCUSDT")).body
        assert Decimal(rate["makerCommissionRate"]) == Decimal("0.0002")
        assert (await client.signed("GET", "/fapi/v1/multiAssetsMargin")).body == {"multiAssetsMargin": False}
        assert Decimal((await client.signed("GET", "/fapi/v2/balance")).body[0]["balance"]) == 100_000
        assert isinstance((await client.signed("GET", "/fapi/v1/income")).body, list)


async def test_random_requests_get_clear_answers_and_break_nothing() -> None:
    values = (
        "", "0", "-1", "0.01", "1e5", "NaN", "abc", "BTCUSDT", "ETHUSDT", "BUY", "SELL", "LONG", "BOTH", "LIMIT",
        "MARKET", "STOP_MARKET", "GTX", "true", "60000", "99000.5", "9" * 30, "[1,2]", "{}", "null", "\u00e9", "\x00",
    )  # fmt: skip
    names = (
        "symbol", "side", "type", "positionSide", "quantity", "price", "timeInForce", "newClientOrderId", "orderId",
        "triggerPrice", "closePosition", "algoType", "algoId", "limit", "startTime", "endTime", "fromId", "interval",
        "leverage", "marginType", "countdownTime", "batchOrders", "orderIdList", "recvWindow", "dualSidePosition",
    )  # fmt: skip
    chance = random.Random(11)
    async with (
        PaperExchange(Options(start_paused=True, rate_limits=False)) as exchange,
        Client(exchange) as client,
    ):
        for _ in range(1_500):
            route = chance.choice(ROUTES)
            params = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(6))}
            params.setdefault("symbol", "BTCUSDT")
            if route.security == "signed":
                answer = await client.signed(route.method, route.path, **params)
            else:
                answer = await client.public(route.path, method=route.method, **params)
            assert answer.status in (200, 400, 401), (route.path, params, answer)
            if answer.status != 200:
                assert answer.body["code"] < 0
                assert answer.body["msg"]
        assert exchange.venue.engine.truth()["invariant"] == "ok"


async def test_limits_are_told_as_they_are_enforced() -> None:
    for enforced, weight, orders in ((True, 2_400, 300), (False, 1_000_000_000, 1_000_000_000)):
        async with PaperExchange(Options(rate_limits=enforced)) as exchange, Client(exchange) as client:
            told = (await client.public("/fapi/v1/exchangeInfo")).body["rateLimits"]
            limits = {(each["rateLimitType"], each["interval"]): each["limit"] for each in told}
            assert limits["REQUEST_WEIGHT", "MINUTE"] == weight
            assert limits["ORDERS", "SECOND"] == orders


@pytest.mark.parametrize("path", ["/fapi/v1/time?x=" + "y" * 9_000, "/" + "z" * 9_000])
async def test_what_cannot_be_read_as_http_is_refused_without_a_traceback(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with PaperExchange(PAUSED) as exchange:
        for port in (exchange.base_url, exchange.admin_url):
            host, _, number = port.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(number))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
            writer.close()
    assert [record.getMessage() for record in caplog.records] == ["not answered as HTTP: LineTooLong"] * 2
    assert not any(record.exc_info for record in caplog.records)

"""The admin port: stepping a paused market until all is quiet, truth, and faults that do what they say."""

import asyncio
import itertools
from decimal import Decimal

import aiohttp
import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client
from tests.contract.test_exchange_rest import below, bid

PAUSED = Options(start_paused=True, seed=3, rate_limits=False)


async def test_a_step_feeds_every_tick_and_settles_after_the_clients_answer() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        socket = await client.socket("/ws/btcusdt@bookTicker")
        before = (await client.admin("GET", "/health")).body
        step = (await client.admin("POST", "/step", {"ms": 2_000})).body
        assert step["settled"] is True
        assert step["market_ms"] == before["market_ms"] + 2_000
        assert step["ticks"] == 20
        quotes = [await socket.receive_json() for _ in range(20)]
        assert [quote["u"] for quote in quotes] == sorted(quote["u"] for quote in quotes)
        assert quotes[-1]["T"] <= step["market_ms"]

        # A client that keeps asking keeps the step from settling, and it says so.
        async def pester() -> None:
            while True:
                await client.public("/fapi/v1/ping")

        task = asyncio.create_task(pester())
        step = (await client.admin("POST", "/step", {"ms": 100, "quiet_ms": 200, "timeout_ms": 400})).body
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert step["settled"] is False
        assert step["requests"] > 0
        await socket.close()


async def test_a_running_market_is_not_stepped_and_bad_requests_change_nothing() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        for path, body, word in (
            ("/step", {"ms": -1}, "ms"),
            ("/step", {"ms": 1, "quiet": 2}, "quiet"),
            ("/step", {"ms": "x"}, "ms"),
            ("/jump", {"symbol": "BTCUSDT", "factor": "0"}, "factor"),
            ("/jump", {"symbol": "NOPE", "factor": "1.1"}, "NOPE"),
            ("/jump", {"symbol": "BTCUSDT", "factor": "NaN"}, "factor"),
            ("/transfer", {"amount": "NaN"}, "amount"),
            ("/deleverage", {"symbol": "BTCUSDT", "leg": "LONG", "qty": "-Infinity"}, "qty"),
            ("/funding", {"symbol": "BTCUSDT", "rate": "0.5"}, "rate"),
            ("/funding", {"symbol": "BTCUSDT"}, "rate or hours"),
            ("/funding", {"symbol": "BTCUSDT", "hours": 3}, "hours"),
            ("/book", {"symbol": "BTCUSDT", "spread_bps": "NaN"}, "spread_bps"),
            ("/book", {"symbol": "BTCUSDT", "size_pct": 101}, "size_pct"),
            ("/faults", {"target": "rest", "kind": "nope"}, "kind"),
            ("/faults", {"target": "rest", "kind": "cut"}, "cut"),
        ):
            answer = await client.admin("POST", path, body)
            assert answer.status == 400, path
            assert word in answer.body["error"], answer.body
        assert (await client.admin("GET", "/faults")).body == []
        assert (await client.admin("GET", "/health")).body["ticks"] == 1
        assert (await client.admin("POST", "/resume")).body["paused"] is False
        assert "pause" in (await client.admin("POST", "/step", {"ms": 1})).body["error"]
        assert (await client.admin("POST", "/pause")).body["paused"] is True


async def test_truth_is_what_the_client_did_by_steps() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        stream = await client.user_socket()
        market = await client.signed(
            "POST", "/fapi/v1/order",
            symbol="BTCUSDT", side="BUY", positionSide="LONG", type="MARKET", quantity="0.010",
        )  # fmt: skip
        assert market.status == 200
        kinds = []
        while "ACCOUNT_UPDATE" not in kinds or kinds.count("ORDER_TRADE_UPDATE") < 2:
            kinds.append((await asyncio.wait_for(stream.receive_json(), 5))["e"])
        row = next(
            row
            for row in (await client.signed("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")).body
            if row["positionSide"] == "LONG"
        )
        assert Decimal(row["positionAmt"]) == Decimal("0.010")
        truth = (await client.admin("GET", "/truth")).body
        wallet = (await client.signed("GET", "/fapi/v2/account")).body["totalWalletBalance"]
        assert Decimal(truth["wallet"]) == Decimal(wallet)
        await stream.close()


async def test_price_jump_funding_transfer_and_manual_order() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        before = Decimal(await bid(client))
        assert (await client.admin("POST", "/jump", {"symbol": "BTCUSDT", "factor": "0.9"})).status == 200
        await client.admin("POST", "/step", {"ms": 1_000})
        assert Decimal(await bid(client)) / before == pytest.approx(Decimal("0.9"), abs=Decimal("0.02"))
        await client.admin("POST", "/funding", {"symbol": "BTCUSDT", "rate": "0.0123"})
        premium = (await client.public("/fapi/v1/premiumIndex", symbol="BTCUSDT")).body
        assert Decimal(premium["lastFundingRate"]) == Decimal("0.0123")
        await client.admin("POST", "/funding", {"symbol": "BTCUSDT", "hours": 1})
        hourly = (await client.public("/fapi/v1/premiumIndex", symbol="BTCUSDT")).body
        assert 0 < hourly["nextFundingTime"] - hourly["time"] <= 3_600_000
        assert (await client.public("/fapi/v1/fundingInfo")).body[0]["fundingIntervalHours"] == 1
        await client.admin("POST", "/transfer", {"amount": "-1000.5"})
        account = (await client.signed("GET", "/fapi/v2/account")).body
        assert Decimal(account["totalWalletBalance"]) == Decimal("98999.5")
        manual = {
            "symbol": "BTCUSDT", "side": "BUY", "positionSide": "LONG", "type": "LIMIT",
            "timeInForce": "GTC", "quantity": "0.010", "price": below(str(before), "0.88"),
        }  # fmt: skip
        assert (await client.admin("POST", "/manual", manual)).body["status"] == "NEW"
        assert len((await client.signed("GET", "/fapi/v1/openOrders")).body) == 1


@pytest.mark.parametrize(("kind", "processed"), [("status_before", 0), ("status_after", 1)])
async def test_a_status_fault_before_or_after_processing(kind: str, processed: int) -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        price = below(await bid(client), "0.99")
        rule = {
            "target": "rest", "kind": kind, "method": "POST", "path": "/fapi/v1/order", "count": 1,
            "status": 503, "code": -1007, "msg": "Timeout waiting for response from backend server.",
        }  # fmt: skip
        assert (await client.admin("POST", "/faults", rule)).body["id"] == 1
        answer = await client.order("BUY", "LONG", price)
        assert (answer.status, answer.code) == (503, -1007)
        assert len((await client.signed("GET", "/fapi/v1/openOrders")).body) == processed
        assert (await client.order("BUY", "LONG", price)).status == 200
        assert (await client.admin("GET", "/faults")).body[0]["hits"] == 1


@pytest.mark.parametrize(("kind", "processed"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_dropped_answer_before_or_after_processing(kind: str, processed: int) -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        price = below(await bid(client), "0.99")
        rule = {"target": "rest", "kind": kind, "method": "POST", "path": "/fapi/v1/order", "count": 1}
        await client.admin("POST", "/faults", rule)
        with pytest.raises(aiohttp.ClientError):
            await client.order("BUY", "LONG", price)
        assert len((await client.signed("GET", "/fapi/v1/openOrders")).body) == processed


async def test_a_hanging_request_ends_when_its_rule_is_cleared() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        await client.admin(
            "POST", "/faults", {"target": "rest", "kind": "hang", "path": "/fapi/v1/listenKey"}
        )
        hanging = asyncio.create_task(client.key("POST", "/fapi/v1/listenKey"))
        while (await client.admin("GET", "/faults")).body[0]["hits"] == 0:
            continue  # it is on its way; the client's own deadline ends this loop
        # It is no work under way: a step settles meanwhile.
        assert (await client.admin("POST", "/step", {"ms": 100, "timeout_ms": 2_000})).body["settled"] is True
        assert not hanging.done()
        assert (await client.admin("DELETE", "/faults?id=1")).body == {"cleared": 1}
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(hanging, 5)


async def test_sockets_are_cut_frozen_and_refused() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        market = await client.socket("/ws/btcusdt@bookTicker")
        user = await client.user_socket()
        assert (await client.admin("POST", "/faults", {"target": "user", "kind": "cut"})).body["hits"] == 1
        closed = await asyncio.wait_for(user.receive(), 5)
        assert closed.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
        frozen = (await client.admin("POST", "/faults", {"target": "market", "kind": "freeze"})).body["id"]
        step = (await client.admin("POST", "/step", {"ms": 1_000})).body
        assert step["ticks"] == 10
        await client.admin("DELETE", f"/faults?id={frozen}")
        await client.admin("POST", "/step", {"ms": 100})
        quote = await asyncio.wait_for(market.receive_json(), 5)
        assert quote["T"] == step["market_ms"] + 100  # the first thing heard is after the freeze
        await client.admin("POST", "/faults", {"target": "user", "kind": "refuse", "count": 1})
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.user_socket()
        await (await client.user_socket()).close()
        await market.close()


async def test_an_expired_listen_key_says_so_and_falls_silent() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        first = (await client.key("POST", "/fapi/v1/listenKey")).body["listenKey"]
        assert (await client.key("POST", "/fapi/v1/listenKey")).body["listenKey"] == first
        stream = await client.socket(f"/ws/{first}")
        assert (await client.admin("POST", "/faults", {"target": "user", "kind": "expire"})).body["hits"] == 1
        message = await asyncio.wait_for(stream.receive_json(), 5)
        assert (message["e"], message["listenKey"]) == ("listenKeyExpired", first)
        assert (await client.key("PUT", "/fapi/v1/listenKey")).code == -1125
        assert (await client.key("POST", "/fapi/v1/listenKey")).body["listenKey"] != first
        await stream.close()


async def order_events(stream: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    """The order statuses of the next `count` order events."""
    statuses: list[str] = []
    while len(statuses) < count:
        event = await asyncio.wait_for(stream.receive_json(), 5)
        if event["e"] == "ORDER_TRADE_UPDATE":
            statuses.append(event["o"]["X"])
    return statuses


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mute", ["CANCELED"]),
        ("duplicate", ["NEW", "NEW", "CANCELED"]),
        ("swap", ["CANCELED", "NEW"]),
    ],
)
async def test_user_events_are_muted_doubled_and_swapped(kind: str, expected: list[str]) -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        stream = await client.user_socket()
        rule = {"target": "user", "kind": kind, "event": "ORDER_TRADE_UPDATE", "count": 1}
        await client.admin("POST", "/faults", rule)
        order = (await client.order("BUY", "LONG", below(await bid(client), "0.99"))).body
        await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=str(order["orderId"]))
        assert await order_events(stream, len(expected)) == expected
        await stream.close()


async def test_the_venue_expires_deleverages_and_halts_by_itself() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        stream = await client.user_socket()
        price = below(await bid(client), "0.99")
        order = (await client.order("BUY", "LONG", price)).body
        asked = {"symbol": "BTCUSDT", "order_id": order["orderId"]}
        assert (await client.admin("POST", "/expire", asked)).status == 200
        assert (await client.admin("POST", "/expire", asked)).body["code"] == -2011
        assert await order_events(stream, 2) == ["NEW", "EXPIRED"]
        assert (await client.order("BUY", "LONG", below(await bid(client), "1.01"))).status == 200
        adl = {"symbol": "BTCUSDT", "leg": "LONG", "qty": "0.004"}
        assert (await client.admin("POST", "/deleverage", adl)).status == 200
        truth = (await client.admin("GET", "/truth")).body
        assert Decimal(truth["legs"]["BTCUSDT:LONG"]["qty"]) == Decimal("0.006")
        assert truth["invariant"] == "ok"
        halt = {"symbol": "BTCUSDT", "status": "TRADING_HALT"}
        assert (await client.admin("POST", "/status", halt)).status == 200
        assert (await client.order("BUY", "LONG", price)).code == -4140
        await stream.close()


async def test_a_skewed_venue_refuses_the_clients_clock() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        for skew_ms, code in ((-5_000, -1021), (60_000, -1021), (0, None)):
            await client.admin("POST", "/skew", {"ms": skew_ms})
            answer = await client.signed("GET", "/fapi/v1/openAlgoOrders")
            assert (answer.code if isinstance(answer.body, dict) else None) == code


async def test_a_market_too_fast_for_the_machine_loses_time_not_ticks() -> None:
    options = Options(speed=Decimal(1_000_000), seed=3, rate_limits=False)
    async with PaperExchange(options) as exchange, Client(exchange) as client:
        async with asyncio.timeout(20):
            while (health := (await client.admin("GET", "/health")).body)["slips"] < 2:
                continue
        assert health["ticks"] > 25
        rows = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="1000")).body
        assert all(later[0] - row[0] == 60_000 for row, later in itertools.pairwise(rows))


async def test_latency_is_paid_each_way() -> None:
    loop = asyncio.get_running_loop()
    options = Options(start_paused=True, latency_ms=20, jitter_ms=5)
    async with PaperExchange(options) as exchange, Client(exchange) as client:
        start = loop.time()
        assert (await client.public("/fapi/v1/ping")).status == 200
        assert loop.time() - start >= 0.04
        socket = await client.socket("/ws/btcusdt@bookTicker")
        start = loop.time()
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await asyncio.wait_for(socket.receive_json(), 5)
        assert loop.time() - start >= 0.04
        assert (await client.admin("POST", "/step", {"ms": 1_000})).body["settled"] is True
        assert [(await asyncio.wait_for(socket.receive_json(), 5))["e"] for _ in range(10)]
        await socket.close()
    with pytest.raises(ValueError, match="latency_ms"):
        PaperExchange(Options(latency_ms=-1))


@pytest.mark.parametrize("cancels_algo", [False, True])
async def test_the_countdown_may_or_may_not_take_stops(cancels_algo: bool) -> None:
    options = Options(start_paused=True, countdown_cancels_algo=cancels_algo)
    async with PaperExchange(options) as exchange, Client(exchange) as client:
        price = await bid(client)
        await client.order("BUY", "LONG", below(price, "0.99"))
        stop = await client.signed(
            "POST", "/fapi/v1/algoOrder",
            symbol="BTCUSDT", side="SELL", positionSide="LONG", type="STOP_MARKET", algoType="CONDITIONAL",
            triggerPrice=below(price, "0.9"), closePosition="true", workingType="MARK_PRICE",
        )  # fmt: skip
        assert stop.status == 200
        await client.signed("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime="10")
        async with asyncio.timeout(5):
            while (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")).body:
                continue
        left = (await client.signed("GET", "/fapi/v1/openAlgoOrders", symbol="BTCUSDT")).body
        assert len(left) == (0 if cancels_algo else 1)


async def test_a_book_is_drawn_apart_and_thinned_until_it_is_given_back() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:

        async def shown() -> tuple[Decimal, Decimal]:
            """Spread in bps and the size of the best bid, after the next tick."""
            await client.admin("POST", "/step", {"ms": 100})
            book = (await client.public("/fapi/v1/depth?symbol=BTCUSDT&limit=50")).body
            (price, qty), (ask, _) = book["bids"][0], book["asks"][0]
            assert len(book["bids"]) == len(book["asks"]) == 20
            return (Decimal(ask) - Decimal(price)) * 10_000 / Decimal(price), Decimal(qty)

        spread, size = await shown()
        assert spread < 2
        await client.admin("POST", "/book", {"symbol": "BTCUSDT", "spread_bps": "150", "size_pct": 0})
        wide, thin = await shown()
        assert 150 <= wide < 155
        assert thin == Decimal("0.001") < size
        await client.admin("POST", "/book", {"symbol": "BTCUSDT"})
        assert (await shown())[0] < 2
        assert (await client.admin("POST", "/book", {"symbol": "NOPE"})).status == 400

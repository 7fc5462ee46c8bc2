"""What the venue does and lets be done beyond plain orders, over the wire: acts of its own, batches, modes, codes."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client
from tests.contract.test_exchange_faults import heard, open_orders, venue
from tests.contract.test_exchange_rest import below, bid


async def enter_both(client: Client) -> None:
    for side, leg in (("BUY", "LONG"), ("SELL", "SHORT")):
        answer = await client.signed(
            "POST", "/fapi/v1/order",
            symbol="BTCUSDT", side=side, positionSide=leg, type="MARKET", quantity="0.010",
        )  # fmt: skip
        assert answer.status == 200


async def place_stop(client: Client, kind: str, trigger: str, **more: str) -> Any:
    asked = {
        "symbol": "BTCUSDT", "side": "SELL", "positionSide": "LONG", "type": kind, "algoType": "CONDITIONAL",
        "triggerPrice": trigger, "quantity": "0.010", "clientAlgoId": "algo",
    }  # fmt: skip
    return await client.signed("POST", "/fapi/v1/algoOrder", **{**asked, **more})


async def test_a_leg_is_liquidated_and_a_symbol_settled() -> None:
    async with venue() as client:
        user = await client.user_socket()
        await enter_both(client)
        await client.order("BUY", "LONG", below(await bid(client), "0.97"))
        await place_stop(client, "STOP_MARKET", below(await bid(client), "0.9"))
        await client.admin("POST", "/liquidate", {"symbol": "BTCUSDT", "leg": "LONG"})
        while not (event := (await heard(user, "ORDER_TRADE_UPDATE"))["o"])["c"].startswith("autoclose-"):
            continue
        assert (event["o"], event["ps"]) == ("LIQUIDATION", "LONG")
        await client.admin("POST", "/settle", {"symbol": "BTCUSDT"})
        while not (event := (await heard(user, "ORDER_TRADE_UPDATE"))["o"])["c"].startswith("settlement_"):
            continue
        truth = (await client.admin("GET", "/truth")).body
        assert [Decimal(leg["qty"]) for leg in truth["legs"].values()] == [0, 0]
        assert (truth["open_orders"], truth["algo_orders"], truth["invariant"]) == ([], [], "ok")
        assert (await client.order("BUY", "LONG", below(await bid(client), "0.97"))).code == -4140
        assert (await client.admin("POST", "/liquidate", {"symbol": "BTCUSDT", "leg": "LONG"})).status == 400


async def test_filters_change_and_are_told() -> None:
    async with venue() as client:
        answer = await client.admin("POST", "/filters", {"symbol": "BTCUSDT", "min_notional": "900"})
        assert answer.body["min_notional"] == "900"
        assert (await client.order("BUY", "LONG", below(await bid(client), "0.97"))).code == -4164
        info = (await client.public("/fapi/v1/exchangeInfo")).body["symbols"][0]["filters"]
        assert {"filterType": "MIN_NOTIONAL", "notional": "900"} in info
        for body, word in (
            ({"symbol": "BTCUSDT"}, "nothing"),
            ({"symbol": "BTCUSDT", "tick": "7"}, "tick"),
            ({"symbol": "BTCUSDT", "status": "CLOSE"}, "status"),
        ):
            refused = await client.admin("POST", "/filters", body)
            assert refused.status == 400
            assert word in refused.body["error"]


async def test_orders_are_amended_and_tested_in_batches() -> None:
    async with venue() as client:
        price = await bid(client)
        for name in ("a", "b"):
            await client.order("BUY", "LONG", below(price, "0.97"), newClientOrderId=name)
        rows = [
            {"symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": name, "quantity": qty, "price": below(price, "0.96")}
            for name, qty in (("a", "0.020"), ("b", "0.001"), ("none", "0.010"))
        ]  # fmt: skip
        answers = (await client.signed("PUT", "/fapi/v1/batchOrders", batchOrders=json.dumps(rows))).body
        assert [row.get("code", row.get("price")) for row in answers] == [below(price, "0.96"), -4164, -2013]
        assert sorted(order["origQty"] for order in await open_orders(client)) == ["0.010", "0.020"]
        good = {"symbol": "BTCUSDT", "side": "BUY", "positionSide": "LONG", "type": "MARKET"}
        assert (await client.signed("POST", "/fapi/v1/order/test", **good, quantity="0.010")).body == {}
        assert (await client.signed("POST", "/fapi/v1/order/test", **good, quantity="0.001")).code == -4164
        assert len(await open_orders(client)) == 2


async def test_multi_assets_mode_is_switched_and_told() -> None:
    async with venue() as client:
        user = await client.user_socket()
        for wanted, code in (("false", -4171), ("true", None)):
            answer = await client.signed("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin=wanted)
            assert answer.code == (code or 200)
        assert (await heard(user, "ACCOUNT_CONFIG_UPDATE"))["ai"] == {"j": True}
        assert (await client.signed("GET", "/fapi/v1/accountConfig")).body["multiAssetsMargin"] is True
        await client.order("BUY", "LONG", below(await bid(client), "0.97"))
        back = await client.signed("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")
        assert back.code == -4168


async def test_a_listen_key_ends_after_its_hour_unless_it_is_kept() -> None:
    async with venue() as client:
        user = await client.user_socket()
        await client.admin("POST", "/skew", {"ms": 3_500_000})
        key = (await client.key("PUT", "/fapi/v1/listenKey")).body["listenKey"]
        await client.admin("POST", "/skew", {"ms": 3_700_000})
        assert (await client.key("PUT", "/fapi/v1/listenKey")).status == 200
        await client.admin("POST", "/skew", {"ms": 7_400_000})
        assert (await heard(user, "listenKeyExpired"))["listenKey"] == key
        assert (await client.key("PUT", "/fapi/v1/listenKey")).code == -1125


@pytest.mark.parametrize("working", ["MARK_PRICE", "CONTRACT_PRICE"])
@pytest.mark.parametrize("kind", ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"])
async def test_every_kind_of_conditional_order_closes_its_leg(kind: str, working: str) -> None:
    async with venue() as client:
        user = await client.user_socket()
        await enter_both(client)
        price, stops = await bid(client), kind.startswith("STOP")
        # A limit beyond the trigger: it takes at once when it fires.
        limit = {} if kind.endswith("_MARKET") else {"price": below(price, "0.96")}
        trigger = below(price, "0.99" if stops else "1.01")
        assert (await place_stop(client, kind, trigger, workingType=working, **limit)).status == 200
        await client.admin("POST", "/jump", {"symbol": "BTCUSDT", "factor": "0.98" if stops else "1.02"})
        await client.admin("POST", "/step", {"ms": 60_000})
        states = []
        while not states or states[-1] != "FINISHED":
            states.append((await heard(user, "ALGO_UPDATE"))["o"]["X"])
        assert states == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
        truth = (await client.admin("GET", "/truth")).body
        legs = {name: Decimal(leg["qty"]) for name, leg in truth["legs"].items()}
        assert legs == {"BTCUSDT:LONG": 0, "BTCUSDT:SHORT": Decimal("0.010")}


async def test_order_counts_answer_429_with_their_own_code() -> None:
    async with PaperExchange(Options(start_paused=True, seed=3)) as exchange, Client(exchange) as client:
        limiter = exchange.venue.limiter
        limiter.orders_10s.roll(exchange.venue.wall.now_ms())
        limiter.orders_10s.used = 300
        answer = await client.order("BUY", "LONG", below(await bid(client), "0.97"))
        if answer.status == 200:  # the ten seconds ended between the lines above
            pytest.skip("a new window began during the test")
        assert (answer.status, answer.code) == (429, -1015)
        assert 1 <= int(answer.headers["Retry-After"]) <= 10
        # Cancels and questions are no orders: they still pass.
        assert (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")).body == []


async def test_public_market_answers_of_the_last_trades_and_the_day() -> None:
    async with venue() as client:
        socket = await client.socket("/ws/btcusdt@ticker/btcusdt@miniTicker/btcusdt@trade")
        await client.admin("POST", "/step", {"ms": 60_000})
        day = (await client.public("/fapi/v1/ticker/24hr", symbol="BTCUSDT")).body
        minutes = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="1440")).body
        assert Decimal(day["volume"]) == sum(Decimal(row[5]) for row in minutes)
        assert Decimal(day["highPrice"]) == max(Decimal(row[2]) for row in minutes)
        change = Decimal(day["lastPrice"]) - Decimal(minutes[0][1])
        assert Decimal(day["priceChange"]) == change
        assert Decimal(day["priceChangePercent"]) == pytest.approx(
            change / Decimal(minutes[0][1]) * 100, abs=Decimal("0.001")
        )
        trades = (await client.public("/fapi/v1/trades", symbol="BTCUSDT", limit="5")).body
        sums = (await client.public("/fapi/v1/aggTrades", symbol="BTCUSDT", limit="5")).body
        assert [row["id"] for row in trades] == [row["l"] for row in sums]
        one = (
            await client.public("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=str(sums[1]["a"]), limit="2")
        ).body
        assert one == sums[1:3]
        kinds: set[str] = set()
        async with asyncio.timeout(5):
            while kinds != {"24hrTicker", "24hrMiniTicker", "trade"}:
                kinds.add((await socket.receive_json())["e"])


async def test_codes_of_refusals_that_need_something_there_already() -> None:
    async with venue() as client:
        price = below(await bid(client), "0.97")
        assert (await client.order("BUY", "LONG", price, newClientOrderId="mine")).status == 200
        assert (await client.order("BUY", "LONG", price, newClientOrderId="mine")).code == -4116
        same = {"symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": "mine", "quantity": "0.010"}
        assert (await client.signed("PUT", "/fapi/v1/order", **same, price=price)).code == -5027
        await enter_both(client)
        passed = await place_stop(client, "STOP_MARKET", below(await bid(client), "1.01"))
        assert passed.code == -2021
        huge = await client.order("BUY", "LONG", price, quantity="60")
        assert huge.code == -2019
        await client.signed("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="125")
        assert (await client.order("BUY", "LONG", price, quantity="6")).code == -2027
        clash = await client.order("BUY", "LONG", price, selfTradePreventionMode="NONE")
        assert clash.code == -4402
        known = await client.signed("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="never")
        assert known.code == -2013
        client.exchange.api_secret += "x"
        assert (await client.signed("GET", "/fapi/v3/account")).code == -1022
        client.exchange.api_key += "x"
        assert (await client.signed("GET", "/fapi/v3/account")).code == -2015

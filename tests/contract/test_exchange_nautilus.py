"""The unmodified Nautilus Binance adapter on the paper exchange, in a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client
from tests.contract.test_exchange_rest import below, bid

CLIENT = Path(__file__).with_name("nautilus_client.py")
DEADLINE_S = 90
QTY = Decimal("0.010")
LONG, SHORT = "BTCUSDT-PERP.BINANCE-LONG", "BTCUSDT-PERP.BINANCE-SHORT"


@asynccontextmanager
async def node(mode: str, exchange: PaperExchange) -> AsyncIterator[asyncio.subprocess.Process]:
    """The node's process, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CLIENT), mode,
        exchange.base_url, exchange.ws_url, exchange.api_key, exchange.api_secret,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def result(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What the node saw, after it has ended by itself with code 0."""
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    log = out.decode() + err.decode()
    assert process.returncode == 0, log
    seen: dict[str, Any] = msgspec.json.decode(out.splitlines()[-1])
    assert "timeout" not in seen, log
    return seen


async def nautilus(mode: str, exchange: PaperExchange) -> dict[str, Any]:
    async with node(mode, exchange) as process:
        return await result(process)


def figures(values: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in values.items()}


@pytest.mark.e2e
async def test_adapter_connects_trades_both_legs_and_stops() -> None:
    async with PaperExchange(Options(speed=Decimal(20), seed=7)) as exchange:
        seen = await nautilus("trade", exchange)
        engine = exchange.venue.engine
        assert min(seen["quotes"], seen["bars"], seen["marks"]) > 0
        assert set(seen["events"]) == {"stop accepted", "stop canceled", "limit accepted", "limit canceled"}
        assert set(seen["fills"]) == {"LONG", "SHORT"}
        assert [Decimal(fill["qty"]) for fill in seen["fills"].values()] == [QTY, QTY]
        maker = 1
        assert all(side == maker for fill in seen["fills"].values() for side in fill["liquidity"])
        # What the adapter believes is what the exchange knows.
        rows = {row["positionSide"]: Decimal(row["positionAmt"]) for row in engine.position_risk("BTCUSDT")}
        assert (rows["LONG"], rows["SHORT"]) == (QTY, -QTY)
        assert figures(seen["positions"]) == {LONG: QTY, SHORT: QTY}
        assert engine.open_orders(None) == []
        assert engine.open_algo_orders(None) == []
        fees = sum(Decimal(trade["commission"]) for trade in engine.user_trades({"symbol": "BTCUSDT"}))
        assert sum(Decimal(fill["commission"]) for fill in seen["fills"].values()) == fees


@pytest.mark.e2e
async def test_adapter_adopts_what_it_finds_amends_cancels_and_closes() -> None:
    async with PaperExchange(Options(seed=7)) as exchange, Client(exchange) as client:
        price = await bid(client)
        market = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.010"}
        for side, leg in (("BUY", "LONG"), ("SELL", "SHORT")):
            opened = await client.signed("POST", "/fapi/v1/order", side=side, positionSide=leg, **market)
            assert opened.status == 200, opened
        await client.order("BUY", "LONG", below(price, "0.98"), newClientOrderId="resting")
        stop = await client.signed(
            "POST", "/fapi/v1/algoOrder",
            symbol="BTCUSDT", side="SELL", positionSide="LONG", type="STOP_MARKET", algoType="CONDITIONAL",
            triggerPrice=below(price, "0.9"), quantity="0.010", workingType="MARK_PRICE", clientAlgoId="stop",
        )  # fmt: skip
        assert stop.status == 200, stop
        wallet = Decimal((await client.admin("GET", "/truth")).body["wallet"])
        seen = await nautilus("adopt", exchange)
        assert figures(seen["adopted"]) == {LONG: QTY, SHORT: QTY}
        assert seen["orders"] == ["resting", "stop"]
        assert Decimal(seen["leverage"]) == 7
        assert abs(Decimal(seen["balance"]) - wallet) < Decimal("0.00000001")
        assert seen["history"] >= 1
        assert Decimal(seen["price"]) == Decimal(below(below(price, "0.98"), "0.99"))
        assert {"canceled resting", "canceled stop", f"closed {LONG}", f"closed {SHORT}"} <= set(
            seen["events"]
        )
        truth = (await client.admin("GET", "/truth")).body
        assert [Decimal(leg["qty"]) for leg in truth["legs"].values()] == [0, 0]
        assert (truth["open_orders"], truth["algo_orders"], truth["invariant"]) == ([], [], "ok")


@pytest.mark.e2e
async def test_adapter_comes_back_after_cut_streams_and_learns_of_the_fill_it_missed() -> None:
    async with PaperExchange(Options(seed=7)) as exchange, Client(exchange) as client:
        async with node("survive", exchange) as process:
            assert process.stdout is not None
            assert (
                await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
            ).decode().strip() == "RESTING"
            # The user stream goes, and stays away while the price falls through the order.
            refuse = {"target": "user", "kind": "refuse"}
            rule = (await client.admin("POST", "/faults", refuse)).body["id"]
            for target in ("user", "market"):
                assert (await client.admin("POST", "/faults", {"target": target, "kind": "cut"})).body[
                    "hits"
                ] > 0
            await client.admin("POST", "/jump", {"symbol": "BTCUSDT", "factor": "0.95"})
            async with asyncio.timeout(20):
                while (
                    Decimal((await client.admin("GET", "/truth")).body["legs"]["BTCUSDT:LONG"]["qty"]) != QTY
                ):
                    continue
                while (await client.admin("GET", "/faults")).body[0]["hits"] == 0:
                    continue
            await client.admin("DELETE", f"/faults?id={rule}")
            seen = await result(process)
        assert Decimal(seen["filled"]) == QTY
        assert seen["quotes_after_fill"] > 0
        assert figures(seen["positions"]) == {LONG: QTY}

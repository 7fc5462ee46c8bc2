"""The unmodified Nautilus Binance adapter trades both legs on the paper exchange, in a process of its own."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from hedgegridd.exchange.server import Options, PaperExchange

CLIENT = Path(__file__).with_name("nautilus_client.py")
DEADLINE_S = 90


@pytest.mark.e2e
async def test_adapter_connects_trades_both_legs_and_stops() -> None:
    options = Options(speed=Decimal(20), seed=7)
    async with PaperExchange(options) as exchange:
        client = await asyncio.create_subprocess_exec(
            sys.executable, str(CLIENT),
            exchange.base_url, exchange.ws_url, exchange.api_key, exchange.api_secret,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(client.communicate(), DEADLINE_S)
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()
        log = out.decode() + err.decode()
        assert client.returncode == 0, log
        seen = msgspec.json.decode(out.splitlines()[-1])
        assert "timeout" not in seen, log
        assert seen["quotes"] > 0
        assert seen["bars"] > 0
        assert seen["marks"] > 0
        assert set(seen["events"]) == {"stop accepted", "stop canceled", "limit accepted", "limit canceled"}
        assert set(seen["fills"]) == {"LONG", "SHORT"}
        qty = Decimal("0.010")
        assert [Decimal(fill["qty"]) for fill in seen["fills"].values()] == [qty, qty], seen
        maker = 1
        assert all(side == maker for fill in seen["fills"].values() for side in fill["liquidity"])
        # What the adapter believes is what the exchange knows.
        rows = {row["positionSide"]: row for row in exchange.venue.engine.position_risk("BTCUSDT")}
        assert Decimal(rows["LONG"]["positionAmt"]) == qty
        assert Decimal(rows["SHORT"]["positionAmt"]) == -qty
        positions = {name: Decimal(size) for name, size in seen["positions"].items()}
        assert positions == {"BTCUSDT-PERP.BINANCE-LONG": qty, "BTCUSDT-PERP.BINANCE-SHORT": qty}
        assert exchange.venue.engine.open_orders(None) == []
        assert exchange.venue.engine.open_algo_orders(None) == []
        fees = sum(
            Decimal(trade["commission"]) for trade in exchange.venue.engine.user_trades({"symbol": "BTCUSDT"})
        )
        assert sum(Decimal(fill["commission"]) for fill in seen["fills"].values()) == fees

"""A venue whose books are wrong stops, loudly, instead of trading on."""

import asyncio

import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client
from tests.contract.test_exchange_rest import below, bid


async def test_a_broken_invariant_ends_the_exchange() -> None:
    exchange = PaperExchange(Options(start_paused=True))
    await exchange.start()
    async with Client(exchange) as client:
        price = below(await bid(client), "0.99")
        resting = (await client.order("BUY", "LONG", price)).body
        exchange.venue.engine._state.orders[resting["orderId"]].filled += 1
        answer = await client.order("BUY", "LONG", price)
        assert (answer.status, answer.code) == (500, -1000)
        with pytest.raises(AssertionError, match="rests as"):
            await asyncio.wait_for(exchange.wait(), 5)
    with pytest.raises(AssertionError, match="rests as"):
        await exchange.stop()

"""One suite, three clients: ours, the Nautilus adapter and a public library play the same round on the exchange."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec
import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.round_clients import QTY, TOLD, CcxtClient, OurClient, Seen, play
from tests.contract.test_exchange_nautilus import nautilus


async def ours(exchange: PaperExchange) -> Seen:
    async with OurClient.connected(exchange) as client:
        return await play(client)


async def ccxt(exchange: PaperExchange) -> Seen:
    pytest.importorskip("ccxt", reason="ccxt comes with requirements-dev.txt: not installed here")
    async with CcxtClient.connected(exchange) as client:
        return await play(client)


async def adapter(exchange: PaperExchange) -> Seen:
    return msgspec.convert(await nautilus("round", exchange), Seen)


@pytest.mark.e2e
@pytest.mark.parametrize("client", [ours, ccxt, adapter], ids=lambda client: client.__name__)
async def test_a_client_plays_its_round_and_believes_what_the_exchange_knows(
    client: Callable[[PaperExchange], Awaitable[Seen]],
) -> None:
    async with PaperExchange(Options(speed=Decimal(20), seed=7)) as exchange:
        seen = await client(exchange)
        engine = exchange.venue.engine
        truth = engine.truth()
        trades = engine.user_trades({"symbol": "BTCUSDT"})
        orders = engine.all_orders({"symbol": "BTCUSDT"})
    assert seen.legs == {"LONG": QTY, "SHORT": QTY}
    assert seen.legs_after == {"LONG": 0, "SHORT": 0}
    assert [Decimal(leg["qty"]) for leg in truth["legs"].values()] == [0, 0]
    assert (seen.resting, seen.stops) == (1, 1)
    assert "-2022" in seen.refused
    limit = next(order for order in orders if order["status"] == "CANCELED")
    assert seen.amended == Decimal(limit["price"])
    assert (truth["open_orders"], truth["algo_orders"], truth["invariant"]) == ([], [], "ok")
    assert seen.filled == sum(Decimal(trade["qty"]) for trade in trades) == QTY * 4
    assert seen.commission == sum(Decimal(trade["commission"]) for trade in trades) > 0
    assert seen.wallet == Decimal(truth["wallet"])
    assert seen.market == {"quotes", "bars", "marks"}
    assert seen.orders >= TOLD

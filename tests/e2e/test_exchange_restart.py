"""The exchange is killed and started again on its state file: nothing it has acknowledged is lost, and it goes on."""

import asyncio
import itertools
import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client
from tests.contract.test_exchange_main import started
from tests.contract.test_exchange_rest import below, bid

KEPT = (
    "/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders", "/fapi/v1/allOrders", "/fapi/v1/allAlgoOrders",
    "/fapi/v1/userTrades", "/fapi/v1/income", "/fapi/v3/account", "/fapi/v3/positionRisk", "/fapi/v1/symbolConfig",
)  # fmt: skip


async def picture(client: Client) -> dict[str, Any]:
    """All that the account's owner can read, and what the admin port knows; without the running clocks."""
    told = {path: (await client.signed("GET", path, symbol="BTCUSDT")).body for path in KEPT}
    truth = (await client.admin("GET", "/truth")).body
    klines = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="300")).body
    hours = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit="300")).body
    depth = (await client.public("/fapi/v1/depth", symbol="BTCUSDT")).body
    return {**told, "truth": truth, "klines": klines, "hours": hours, "depth": depth}


async def trade_a_little(client: Client) -> None:
    """Both legs, a resting order, an amended one, a cancelled one, stops, funding to come and a new leverage."""
    price = await bid(client)
    market = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.010"}
    for side, leg in (("BUY", "LONG"), ("SELL", "SHORT")):
        assert (
            await client.signed("POST", "/fapi/v1/order", side=side, positionSide=leg, **market)
        ).status == 200
    await client.order("BUY", "LONG", below(price, "0.98"), newClientOrderId="resting")
    await client.order("BUY", "LONG", below(price, "0.97"), newClientOrderId="gone")
    await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="gone")
    stop = await client.signed(
        "POST", "/fapi/v1/algoOrder",
        symbol="BTCUSDT", side="SELL", positionSide="LONG", type="STOP_MARKET", algoType="CONDITIONAL",
        triggerPrice=below(price, "0.9"), closePosition="true", workingType="MARK_PRICE", clientAlgoId="stop",
    )  # fmt: skip
    assert stop.status == 200
    await client.signed("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="9")
    await client.admin("POST", "/funding", {"symbol": "BTCUSDT", "rate": "0.0042"})


def options(path: Path, **more: Any) -> Options:
    return Options(
        **{
            "start_paused": True,
            "seed": 3,
            "rate_limits": False,
            "state": path,
            "start_ms": 1_700_000_000_000,
            **more,
        }
    )


async def test_all_that_can_be_read_is_the_same_after_a_restart_and_the_market_goes_on_alike(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    async with PaperExchange(options(path)) as exchange, Client(exchange) as client:
        await trade_a_little(client)
        await client.admin("POST", "/step", {"ms": 150_000})
        before, key = await picture(client), exchange.api_key
        listen_key = (await client.key("POST", "/fapi/v1/listenKey")).body["listenKey"]
    async with PaperExchange(options(path)) as exchange, Client(exchange) as client:
        assert exchange.api_key == key
        assert await picture(client) == before
        assert (await client.key("POST", "/fapi/v1/listenKey")).body["listenKey"] == listen_key
        await client.admin("POST", "/step", {"ms": 120_000})
        after = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="300")).body
    async with PaperExchange(options(tmp_path / "other.db")) as whole, Client(whole) as client:
        await client.admin("POST", "/step", {"ms": 270_000})
        unbroken = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="300")).body
    assert after == unbroken


async def test_a_replay_goes_on_with_the_recorded_prices(tmp_path: Path) -> None:
    data = tmp_path / "bars.csv"
    rows = [f"2022-01-01 00:{m:02}:00,{1000 + m},{1003 + m},{998 + m},{1001 + m},50000" for m in range(30)]
    data.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    replay = options(tmp_path / "s.db", market="replay", data=data, start_ms=None)
    whole = options(tmp_path / "other.db", market="replay", data=data, start_ms=None)
    seen = []
    for setup, steps in ((replay, (610_000,)), (replay, (600_000,)), (whole, (1_210_000,))):
        async with PaperExchange(setup) as exchange, Client(exchange) as client:
            for ms in steps:
                await client.admin("POST", "/step", {"ms": ms})
            answer = await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="300")
            tick = exchange.venue.ticks["BTCUSDT"]
            seen.append(([row[:6] for row in answer.body], tick.last, tick.bids))
    assert len(seen[0][0]) == 11
    assert len(seen[1][0]) >= 20
    # Clocks start at the last tick, which lies a little before the end of a step: the open minute may differ.
    shared = min(len(seen[1][0]), len(seen[2][0])) - 1
    assert seen[1][0][:shared] == seen[2][0][:shared]


async def test_a_file_of_another_market_in_use_or_broken_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with PaperExchange(options(path)):
        with pytest.raises(ValueError, match="used by another exchange"):
            PaperExchange(options(path))
    with pytest.raises(ValueError, match="seed 3, asked for is 4"):
        PaperExchange(options(path, seed=4))
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ValueError, match=r"state: .*bad\.db cannot be used"):
        PaperExchange(options(bad))
    assert oct(path.stat().st_mode & 0o777) == "0o600"


async def test_a_file_whose_last_writes_are_missing_is_refused_and_named(tmp_path: Path) -> None:
    """What a killed exchange wrote last stands in the -wal alone: without it the account would silently be an older one."""
    path, copy = tmp_path / "state.db", tmp_path / "copy" / "state.db"
    copy.parent.mkdir()
    async with PaperExchange(options(path)) as exchange, Client(exchange) as client:
        await client.order("BUY", "LONG", below(await bid(client), "0.98"), newClientOrderId="resting")
        for suffix in ("", "-wal"):  # as `kill -9` would leave them
            copy.with_name(f"state.db{suffix}").write_bytes(path.with_name(f"state.db{suffix}").read_bytes())
    log = copy.with_name("state.db-wal")
    kept = log.read_bytes()
    log.unlink()
    with pytest.raises(ValueError, match=r"state: .*state\.db was in use .* state\.db-wal, which is missing"):
        PaperExchange(options(copy))
    log.write_bytes(kept)
    async with PaperExchange(options(copy)) as exchange, Client(exchange) as client:
        orders = (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")).body
        assert [order["clientOrderId"] for order in orders] == ["resting"]
    assert not log.exists()
    async with PaperExchange(options(copy)):
        pass  # closed in order, it needs no -wal


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE part SET data = x'c1' WHERE name = 'around'",
        "UPDATE part SET data = x'c1' WHERE name = 'setup'",
        "UPDATE part SET data = x'80' WHERE name = 'key'",
        "UPDATE row SET data = x'93010203' WHERE kind = 'minute'",
        "DELETE FROM row WHERE kind = 'order'",
        None,
    ],
)
async def test_a_file_damaged_within_is_refused_and_named(tmp_path: Path, damage: str | None) -> None:
    path = tmp_path / "state.db"
    async with PaperExchange(options(path)) as exchange, Client(exchange) as client:
        price = (await client.public("/fapi/v1/ticker/price", symbol="BTCUSDT")).body["price"]
        await client.order("BUY", "LONG", below(price, "0.98"))
    if damage is None:  # a page that the disk has lost
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    else:
        with closing(sqlite3.connect(path)) as db:
            assert db.execute(damage).rowcount > 0
            db.commit()
    with pytest.raises(ValueError, match=r"state: .*state\.db is broken: "):
        PaperExchange(options(path))


async def test_what_cannot_be_written_is_not_acknowledged_and_ends_the_exchange(tmp_path: Path) -> None:
    exchange = PaperExchange(options(tmp_path / "state.db"))
    await exchange.start()
    async with Client(exchange) as client:
        price = below(await bid(client), "0.99")
        assert exchange._store is not None
        exchange._store._db.execute("DROP TABLE row")
        answer = await client.order("BUY", "LONG", price)
        assert (answer.status, answer.code) == (500, -1000)
        with pytest.raises(Exception, match="no such table"):
            await asyncio.wait_for(exchange.wait(), 5)
    with pytest.raises(Exception, match="no such table"):
        await exchange.stop()


async def orders_until_killed(client: Client, prefix: str, price: str, acknowledged: dict[str, str]) -> str:
    """Places orders and cancels every second one until the exchange dies; returns the name it died over."""
    name = ""
    for number in itertools.count():
        name = f"{prefix}-{number}"
        try:
            if (await client.order("BUY", "LONG", price, newClientOrderId=name)).status == 200:
                acknowledged[name] = "NEW"
            if (
                number % 2
                and (
                    await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId=name)
                ).status
                == 200
            ):
                acknowledged[name] = "CANCELED"
        except aiohttp.ClientError:
            break
    return name


@pytest.mark.e2e
async def test_killed_at_any_moment_it_has_every_order_it_acknowledged(tmp_path: Path) -> None:
    """`kill -9` in the middle of a stream of orders, on the same ports, three times."""
    ports: tuple[str, ...] = ()
    acknowledged: dict[str, str] = {}
    for round_number in range(3):
        process, said = await started("--state", str(tmp_path / "s.db"), "--no-rate-limits", *ports)
        try:
            rest, admin = said["rest"], said["admin"]
            ports = ("--port", rest.rpartition(":")[2], "--admin-port", admin.rpartition(":")[2])
            where = SimpleNamespace(
                base_url=rest, admin_url=admin, api_key=said["api key"], api_secret=said["api secret"]
            )
            async with Client(where) as client:  # type: ignore[arg-type]  # only the addresses and keys are read
                orders = (
                    await client.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", limit="1000")
                ).body
                known = {order["clientOrderId"]: order["status"] for order in orders}
                assert {name: known.get(name) for name in acknowledged} == acknowledged
                assert len(orders) <= len(acknowledged) + round_number  # one unanswered order a kill, at most
                assert (await client.admin("GET", "/truth")).body["invariant"] == "ok"
                price = below(await bid(client), "0.9")
                killer = asyncio.get_running_loop().call_later(
                    0.15 + 0.05 * round_number, process.send_signal, signal.SIGKILL
                )
                name = await orders_until_killed(client, f"r{round_number}", price, acknowledged)
                killer.cancel()
                acknowledged.pop(name, None)  # its last request was not answered: either way is right
            assert len(acknowledged) > 5 * (round_number + 1)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_at_lifes_speed_the_market_is_up_to_date_after_an_outage(tmp_path: Path) -> None:
    live = Options(seed=3, rate_limits=False, state=tmp_path / "s.db", symbols=("BTCUSDT", "ETHUSDT"))
    async with PaperExchange(live) as exchange:
        first = exchange.venue.ticks["BTCUSDT"]
    exchange = PaperExchange(live)
    exchange.venue.wall.skew_ms = 3_600_000  # an hour later
    async with exchange, Client(exchange) as client:
        socket = await client.socket("/ws/btcusdt@bookTicker")
        quote = await asyncio.wait_for(socket.receive_json(), 5)
        assert abs(quote["E"] - exchange.venue.wall.now_ms()) < 1_000
        assert quote["E"] - first.ts_ms > 3_500_000
        minutes = (await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit="62")).body
        assert [b[0] - a[0] for a, b in itertools.pairwise(minutes)] == [60_000] * 61
        assert Decimal(minutes[30][5]) == 0
        await socket.close()

"""The WebSocket side of the paper exchange: subscriptions, and messages of the shape the venue sends."""

import asyncio
import gzip
import json
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse

from hedgegridd.exchange.server import Options, PaperExchange
from tests.contract.exchange_client import Client

PAUSED = Options(start_paused=True, seed=3, rate_limits=False)
DATA = Path(os.environ.get("HEDGEGRIDD_DATA", Path(__file__).parents[3] / "shared" / "data"))
INFO = DATA / "binance-futures-exchangeinfo-capture-2021-07-21.txt.gz"
CAPTURE = DATA / "binance-futures-ws-capture-2021-07-22.txt.gz"
ALL = [
    "btcusdt@bookTicker",
    "btcusdt@aggTrade",
    "btcusdt@depth@100ms",
    "btcusdt@kline_1m",
    "btcusdt@markPrice@1s",
]


async def drain(socket: ClientWebSocketResponse, last_id: int) -> list[Any]:
    """Everything sent before the answer to a request with `last_id`."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": last_id})
    messages: list[Any] = []
    while True:
        message = await asyncio.wait_for(socket.receive_json(), 5)
        if message.get("id") == last_id:
            return messages
        messages.append(message)


async def test_subscribing_listing_and_unsubscribing() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        socket = await client.socket("/stream?streams=btcusdt@bookTicker")
        for request, answer in (
            ({"method": "SUBSCRIBE", "params": ALL[1:3], "id": 1}, {"result": None, "id": 1}),
            ({"method": "LIST_SUBSCRIPTIONS", "id": 2}, {"result": ALL[:3], "id": 2}),
            ({"method": "UNSUBSCRIBE", "params": ALL[1:3], "id": 3}, {"result": None, "id": 3}),
            ({"method": "LIST_SUBSCRIPTIONS", "id": 4}, {"result": ALL[:1], "id": 4}),
        ):
            await socket.send_json(request)
            assert await socket.receive_json() == answer
        for bad in (
            "nonsense",
            '{"method":"DANCE","id":9}',
            '{"method":"SUBSCRIBE","params":[1],"id":9}',
            "[]",
        ):
            await socket.send_str(bad)
            assert (await socket.receive_json())["error"]["code"] == 2
        await client.admin("POST", "/step", {"ms": 1_000})
        heard = await drain(socket, 5)
        assert {message["stream"] for message in heard} == {"btcusdt@bookTicker"}
        await socket.close()


async def test_raw_sockets_carry_bare_messages_and_unknown_streams_stay_silent() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        raw = await client.socket(
            "/ws/btcusdt@bookTicker/btcusdt@nonsense/ethusdt@bookTicker/btcusdt@kline_9m"
        )
        routed = await client.socket("/market/stream?streams=btcusdt@bookTicker")
        await client.admin("POST", "/step", {"ms": 500})
        heard = await drain(raw, 1)
        assert [message["e"] for message in heard] == ["bookTicker"] * 5
        wrapped = [message["data"] for message in await drain(routed, 1)]
        assert wrapped == heard
        await raw.close()
        await routed.close()


async def test_throttled_streams_keep_their_pace_on_the_markets_clock() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        streams = (
            "btcusdt@markPrice@1s/btcusdt@markPrice/btcusdt@kline_1m/btcusdt@kline_5m/btcusdt@depth5@500ms"
        )
        socket = await client.socket(f"/stream?streams={streams}")
        for _ in range(12):
            await client.admin("POST", "/step", {"ms": 60_000})
        heard: dict[str, list[Any]] = {}
        for message in await drain(socket, 1):
            heard.setdefault(message["stream"].partition("@")[2], []).append(message["data"])
        assert len(heard["markPrice@1s"]) == pytest.approx(720, abs=2)
        assert len(heard["markPrice"]) == pytest.approx(240, abs=2)
        for name, count in (("kline_1m", 12), ("kline_5m", 2)):
            closed = [message["k"] for message in heard[name] if message["k"]["x"]]
            assert len(closed) in (count, count + 1), name
            assert [k["t"] for k in closed] == sorted({k["t"] for k in closed})
            rows = (
                await client.public("/fapi/v1/klines", symbol="BTCUSDT", interval=name[-2:], limit="100")
            ).body
            by_open = {row[0]: row for row in rows}
            for k in closed:
                assert [k[field] for field in "ohlcv"] == by_open[k["t"]][1:6]
        book = heard["depth5@500ms"][-1]
        assert len(book["b"]) == len(book["a"]) == 5
        await socket.close()


async def test_the_diff_stream_keeps_a_local_book_equal_to_the_venues() -> None:
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        socket = await client.socket("/stream?streams=btcusdt@depth@100ms")
        await client.admin("POST", "/step", {"ms": 1_000})
        await drain(socket, 1)
        snapshot = (await client.public("/fapi/v1/depth", symbol="BTCUSDT", limit="1000")).body
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        await client.admin("POST", "/step", {"ms": 30_000})
        previous = None
        for message in await drain(socket, 2):
            event = message["data"]
            if event["u"] < snapshot["lastUpdateId"]:
                continue
            assert previous is None or event["pu"] == previous
            previous = event["u"]
            for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                for price, qty in changes:
                    if Decimal(qty) == 0:
                        book[side].pop(price, None)
                    else:
                        book[side][price] = qty
        after = (await client.public("/fapi/v1/depth", symbol="BTCUSDT", limit="1000")).body
        assert {side: dict(after[side]) for side in ("bids", "asks")} == book
        await socket.close()


async def test_two_symbols_trade_side_by_side() -> None:
    options = Options(start_paused=True, seed=3, symbols=("BTCUSDT", "ETHUSDT"), rate_limits=False)
    async with PaperExchange(options) as exchange, Client(exchange) as client:
        socket = await client.socket("/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker")
        await client.admin("POST", "/step", {"ms": 1_000})
        heard = [message["data"] for message in await drain(socket, 1)]
        times = [message["T"] for message in heard]
        assert times == sorted(times)
        assert {symbol: sum(m["s"] == symbol for m in heard) for symbol in options.symbols} == {
            "BTCUSDT": 10,
            "ETHUSDT": 10,
        }
        prices = {
            row["symbol"]: Decimal(row["price"])
            for row in (await client.public("/fapi/v1/ticker/price")).body
        }
        await client.admin("POST", "/jump", {"symbol": "ETHUSDT", "factor": "2"})
        await client.admin("POST", "/step", {"ms": 1_000})
        later = {
            row["symbol"]: Decimal(row["price"])
            for row in (await client.public("/fapi/v1/ticker/price")).body
        }
        assert later["ETHUSDT"] / prices["ETHUSDT"] > Decimal("1.9")
        assert abs(later["BTCUSDT"] / prices["BTCUSDT"] - 1) < Decimal("0.02")
        await socket.close()


async def test_the_same_seed_start_and_steps_give_the_same_messages() -> None:
    async def run(seed: int) -> list[Any]:
        options = Options(start_paused=True, seed=seed, start_ms=1_700_000_000_000)
        async with PaperExchange(options) as exchange, Client(exchange) as client:
            socket = await client.socket("/stream?streams=" + "/".join(ALL))
            for _ in range(3):
                await client.admin("POST", "/step", {"ms": 30_000})
            heard = await drain(socket, 1)
            await socket.close()
            return heard

    first = await run(5)
    assert len(first) > 900
    assert await run(5) == first
    assert await run(6) != first


async def test_a_reader_that_falls_behind_is_dropped() -> None:
    options = Options(start_paused=True, rate_limits=False, backlog_bytes=64 * 1024)
    async with PaperExchange(options) as exchange, Client(exchange) as client:
        socket = await client.socket("/ws/btcusdt@bookTicker/btcusdt@depth20@100ms")
        transport = socket._response.connection.transport
        transport.pause_reading()
        for _ in range(60):
            await client.admin("POST", "/step", {"ms": 60_000, "quiet_ms": 0, "timeout_ms": 1})
            if not exchange.venue.hub.sockets:
                break
        assert not exchange.venue.hub.sockets
        transport.resume_reading()
        await socket.close()


def captured() -> Iterator[dict[str, Any]]:
    with gzip.open(CAPTURE, "rt") as lines:
        next(lines)
        for line in lines:
            yield json.loads(line.partition(": ")[2])["data"]


def shape(value: Any) -> Any:
    """Names and types of a message, without its figures."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def lacking(real: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """What the venue's message has and ours has not, or has with another type."""
    return {
        name: (kind, ours.get(name))
        for name, kind in real.items()
        if ours.get(name) != kind and not (kind == [] and isinstance(ours.get(name), list))
    }


@pytest.mark.skipif(
    not CAPTURE.exists(), reason="the captured traffic of the venue lies beside the project: absent"
)
async def test_messages_have_the_shape_of_the_captured_ones() -> None:
    real: dict[str, Any] = {}
    for message in captured():
        kind = message["e"]
        if kind not in real or (kind == "depthUpdate" and message["b"] and message["a"]):
            real[kind] = shape(message)
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        socket = await client.socket("/stream?streams=" + "/".join(ALL))
        await client.admin("POST", "/step", {"ms": 5_000})
        ours: dict[str, Any] = {}
        for message in await drain(socket, 1):
            data = message["data"]
            if data["e"] not in ours or (data["e"] == "depthUpdate" and data["b"] and data["a"]):
                ours[data["e"]] = shape(data)
        assert set(real) == {"bookTicker", "aggTrade", "depthUpdate", "kline"}
        assert {kind: ours[kind] for kind in real} == real
        await socket.close()


def figures(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(field, figure) of all numbers sent as text; book levels are `b.price` and `b.quantity`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from figures(item, f"{path}.{name}")
    elif isinstance(value, list):
        for price, quantity in value:
            yield f"{path}.price", price
            yield f"{path}.quantity", quantity
    elif isinstance(value, str) and re.fullmatch(r"-?[0-9.]+(?:[eE][+-]?[0-9]+)?", value):
        yield path, value


def decimals_of(figure: str) -> int:
    assert re.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", figure), (
        f"not written as the venue does: {figure}"
    )
    return len(figure.partition(".")[2])


def precision(symbol: dict[str, Any]) -> tuple[int, int]:
    return symbol["pricePrecision"], symbol["quantityPrecision"]


@pytest.mark.skipif(
    not (CAPTURE.exists() and INFO.exists()), reason="the captured traffic lies beside the project: absent"
)
async def test_figures_are_written_as_in_the_captured_messages() -> None:
    """Each field has as many decimals as the symbol's price, its quantity or both have: which, the capture says."""
    with gzip.open(INFO, "rt") as lines:
        listed = json.loads(next(lines).partition(": ")[2])["symbols"]
    known = {symbol["symbol"]: precision(symbol) for symbol in listed}
    units = {
        "price": lambda price, _: price,
        "quantity": lambda _, quantity: quantity,
        "both": lambda price, quantity: price + quantity,
        "none": lambda _, __: 0,
    }
    real: dict[str, set[str]] = {}
    for message in captured():
        price, quantity = known[message["s"]]
        for field, figure in figures(message, message["e"]):
            fitting = {unit for unit, of in units.items() if of(price, quantity) == decimals_of(figure)}
            real[field] = real.get(field, set(units)) & fitting
    assert len(real) == 19
    assert all(real.values()), "some field is written in another way at each symbol"
    async with PaperExchange(PAUSED) as exchange, Client(exchange) as client:
        told = (await client.public("/fapi/v1/exchangeInfo")).body["symbols"]
        listed_here = {symbol["symbol"]: precision(symbol) for symbol in told}
        socket = await client.socket("/stream?streams=" + "/".join(ALL))
        await client.admin("POST", "/step", {"ms": 65_000})
        ours: dict[str, set[str]] = {}
        for message in await drain(socket, 1):
            data = message["data"]
            price, quantity = listed_here[data["s"]]
            for field, figure in figures(data, data["e"]):
                if field not in real:
                    continue
                fitting = {unit for unit, of in units.items() if of(price, quantity) == decimals_of(figure)}
                ours[field] = ours.get(field, real[field]) & fitting
                assert ours[field], f"{field} {figure}: the venue writes {real[field]}"
        assert ours.keys() == real.keys()
        await socket.close()


@pytest.mark.skipif(
    not INFO.exists(), reason="the captured exchangeInfo of the venue lies beside the project: absent"
)
async def test_exchange_info_has_all_that_the_captured_one_has() -> None:
    with gzip.open(INFO, "rt") as lines:
        real = json.loads(next(lines).partition(": ")[2])
    limited = Options(start_paused=True, seed=3)  # without its limits the exchange tells none that count
    async with PaperExchange(limited) as exchange, Client(exchange) as client:
        ours = (await client.public("/fapi/v1/exchangeInfo")).body
    symbols = [next(row for row in info["symbols"] if row["symbol"] == "BTCUSDT") for info in (real, ours)]
    filters = [{row["filterType"]: shape(row) for row in symbol.pop("filters")} for symbol in symbols]
    assert set(filters[0]) <= set(filters[1])
    for kind, fields in filters[0].items():
        assert lacking(fields, filters[1][kind]) == {}, kind
    assert lacking(shape(symbols[0]), shape(symbols[1])) == {}
    assert ours["rateLimits"] == real["rateLimits"]
    del real["symbols"], ours["symbols"]
    assert lacking(shape(real), shape(ours)) == {}

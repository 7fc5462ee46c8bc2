"""A small signed client for the tests of the paper exchange, written from the venue's documentation alone."""

import hashlib
import hmac
import time
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
import yarl

from hedgegridd.exchange.server import PaperExchange


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> int | None:
        return self.body.get("code") if isinstance(self.body, dict) else None


class Client:
    def __init__(self, exchange: PaperExchange) -> None:
        self.exchange = exchange
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self.sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in self.sockets:
            await socket.close()
        await self.http.close()

    async def send(self, method: str, url: str | yarl.URL, **more: Any) -> Answer:
        async with self.http.request(method, url, **more) as response:
            return Answer(response.status, msgspec.json.decode(await response.read()), response.headers)

    async def public(self, path: str, method: str = "GET", **params: str) -> Answer:
        return await self.send(method, self.exchange.base_url + path, params=params)

    async def key(self, method: str, path: str) -> Answer:
        headers = {"X-MBX-APIKEY": self.exchange.api_key}
        return await self.send(method, self.exchange.base_url + path, headers=headers)

    async def signed(self, method: str, path: str, **params: str) -> Answer:
        query = urlencode({**params, "timestamp": str(int(time.time() * 1000))})
        signature = hmac.new(self.exchange.api_secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.exchange.base_url}{path}?{query}&signature={signature}"
        # encoded: aiohttp would otherwise rewrite escapes that the signature has covered.
        return await self.send(
            method, yarl.URL(url, encoded=True), headers={"X-MBX-APIKEY": self.exchange.api_key}
        )

    async def order(self, side: str, leg: str, price: str, **more: str) -> Answer:
        params = {
            "symbol": "BTCUSDT", "side": side, "positionSide": leg, "type": "LIMIT",
            "timeInForce": "GTC", "quantity": "0.010", "price": price,
        }  # fmt: skip
        return await self.signed("POST", "/fapi/v1/order", **{**params, **more})

    async def admin(self, method: str, path: str, body: Any = None) -> Answer:
        data = None if body is None else msgspec.json.encode(body)
        return await self.send(method, self.exchange.admin_url + path, data=data)

    async def socket(self, path: str) -> aiohttp.ClientWebSocketResponse:
        self.sockets.append(await self.http.ws_connect(self.exchange.ws_url + path))
        return self.sockets[-1]

    async def user_socket(self) -> aiohttp.ClientWebSocketResponse:
        key = (await self.key("POST", "/fapi/v1/listenKey")).body["listenKey"]
        return await self.socket(f"/ws?listenKey={key}")

"""The same round of trading by any client: the steps, and the two clients that play them in this process.

A round: hear the market and the account, enter both legs, rest and amend and cancel a limit, place and cancel a
closePosition stop, be refused a close above the leg, close both legs. `play` returns what the client believes
it saw; test_exchange_clients.py compares that with the exchange. The Nautilus adapter plays its round in
nautilus_round.py, in a process of its own.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Protocol

import aiohttp
import msgspec

from hedgegridd.exchange.server import PaperExchange
from hedgegridd.messages import CloseRaw, PlaceOrder
from hedgegridd.model import Leg, OrderKind, Purpose, Side, TimeInForce
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import Credentials, RestClient

SYMBOL = "BTCUSDT"
QTY = Decimal("0.010")
HEARD_WITHIN_S = 15
TOLD = {"limit NEW", "limit AMENDMENT", "limit CANCELED", "fill"}  # by the user stream, in every round


class Seen(msgspec.Struct, kw_only=True):
    """What a client believes after its round; quantities in base, money in USDT."""

    legs: dict[str, Decimal] = {}  # after both entries, never negative
    legs_after: dict[str, Decimal] = {}
    resting: int = 0  # ordinary orders it read while one rested
    stops: int = 0  # conditional orders it read while one rested
    amended: Decimal = Decimal(0)  # price of the amended limit as the venue told it
    refused: str = ""  # how the close above the leg was refused
    commission: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)
    wallet: Decimal = Decimal(0)
    market: set[str] = set()  # kinds of market data that came: quotes, bars, marks
    orders: set[str] = set()  # what the user stream told of the limit, the stop and the fills


class RoundClient(Protocol):
    """One client of the venue, connected."""

    async def quotes(self) -> tuple[Decimal, Decimal]: ...
    async def enter(self, leg: str) -> None: ...
    async def rest_limit(self, price: Decimal) -> str: ...
    async def amend_limit(self, order_id: str, price: Decimal) -> Decimal: ...
    async def cancel_limit(self, order_id: str) -> None: ...
    async def place_stop(self, trigger: Decimal) -> str: ...
    async def cancel_stop(self, order_id: str) -> None: ...
    async def open_counts(self) -> tuple[int, int]: ...
    async def close(self, leg: str, qty: Decimal) -> None: ...
    async def legs(self) -> dict[str, Decimal]: ...
    async def trades(self) -> tuple[Decimal, Decimal]: ...
    async def wallet(self) -> Decimal: ...
    async def hear(self, market: set[str], orders: set[str]) -> None: ...


def at(price: Decimal, factor: str) -> Decimal:
    return (price * Decimal(factor)).quantize(Decimal("0.1"))


async def play(client: RoundClient) -> Seen:
    seen = Seen()
    bid, _ = await client.quotes()
    for leg in ("LONG", "SHORT"):
        await client.enter(leg)
    seen.legs = await client.legs()
    limit = await client.rest_limit(at(bid, "0.97"))
    stop = await client.place_stop(at(bid, "0.90"))
    seen.resting, seen.stops = await client.open_counts()
    seen.amended = await client.amend_limit(limit, at(bid, "0.96"))
    await client.cancel_limit(limit)
    await client.cancel_stop(stop)
    try:
        await client.close("LONG", QTY * 2)
    except Exception as error:  # each client has its own; the test looks into it
        seen.refused = str(error)
    for leg in ("LONG", "SHORT"):
        await client.close(leg, QTY)
    seen.legs_after = await client.legs()
    seen.filled, seen.commission = await client.trades()
    seen.wallet = await client.wallet()
    await client.hear(seen.market, seen.orders)
    return seen


class OurClient:
    """Our signed client: hedgegridd/venue/rest.py and calls.py, with plain sockets for the streams."""

    def __init__(self, calls: VenueCalls, http: aiohttp.ClientSession, exchange: PaperExchange) -> None:
        self._calls, self._http, self._exchange = calls, http, exchange
        self._market: Any = None
        self._user: Any = None

    @classmethod
    @asynccontextmanager
    async def connected(cls, exchange: PaperExchange) -> AsyncIterator["OurClient"]:
        credentials = Credentials(exchange.api_key, exchange.api_secret)
        rest = RestClient(
            exchange.base_url, credentials, wall_ns=time.time_ns, mono_ns=time.monotonic_ns, timeout_s=10
        )
        async with rest, aiohttp.ClientSession() as http:
            await rest.sync_clock()
            client = cls(VenueCalls(rest), http, exchange)
            headers = {"X-MBX-APIKEY": exchange.api_key}
            async with http.post(exchange.base_url + "/fapi/v1/listenKey", headers=headers) as answer:
                key = (await answer.json())["listenKey"]
            names = "btcusdt@bookTicker/btcusdt@kline_1m/btcusdt@markPrice@1s"
            client._market = await http.ws_connect(exchange.ws_url + "/stream?streams=" + names)
            client._user = await http.ws_connect(exchange.ws_url + "/ws?listenKey=" + key)
            yield client

    def _order(self, leg: Leg, kind: OrderKind, name: str, **more: Any) -> PlaceOrder:
        return PlaceOrder(
            instrument=SYMBOL, leg=leg, level=0, client_order_id=name, kind=kind,
            **{"purpose": Purpose.ENTRY, "side": Side.BUY if leg is Leg.LONG else Side.SELL, **more},
        )  # fmt: skip

    async def quotes(self) -> tuple[Decimal, Decimal]:
        async with self._http.get(
            self._exchange.base_url + "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT"
        ) as row:
            book = await row.json()
        return Decimal(book["bidPrice"]), Decimal(book["askPrice"])

    async def enter(self, leg: str) -> None:
        await self._calls.place(SYMBOL, self._order(Leg(leg), OrderKind.MARKET, f"enter-{leg}", qty=QTY))

    async def rest_limit(self, price: Decimal) -> str:
        order = self._order(
            Leg.LONG, OrderKind.LIMIT, "limit", qty=QTY, price=price, time_in_force=TimeInForce.GTX
        )
        await self._calls.place(SYMBOL, order)
        return "limit"

    async def amend_limit(self, order_id: str, price: Decimal) -> Decimal:
        params = {
            "symbol": SYMBOL,
            "side": "BUY",
            "origClientOrderId": order_id,
            "quantity": QTY,
            "price": price,
        }
        answer = await self._calls.http.call(
            "PUT", "/fapi/v1/order", params, kind=dict[str, Any], signed=True
        )
        return Decimal(answer["price"])

    async def cancel_limit(self, order_id: str) -> None:
        await self._calls.cancel(SYMBOL, order_id)

    async def place_stop(self, trigger: Decimal) -> str:
        order = self._order(
            Leg.LONG, OrderKind.STOP_MARKET, "stop",
            stop_price=trigger, close_position=True, purpose=Purpose.STOP, side=Side.SELL,
        )  # fmt: skip
        await self._calls.place(SYMBOL, order)
        return "stop"

    async def cancel_stop(self, order_id: str) -> None:
        await self._calls.cancel_algo(order_id)

    async def open_counts(self) -> tuple[int, int]:
        return len(await self._calls.open_orders(SYMBOL)), len(await self._calls.open_algos(SYMBOL))

    async def close(self, leg: str, qty: Decimal) -> None:
        name = f"close-{leg}-{qty}"
        await self._calls.close_leg(
            SYMBOL, CloseRaw(token="round", instrument=SYMBOL, leg=Leg(leg), qty=qty, client_order_id=name)
        )

    async def legs(self) -> dict[str, Decimal]:
        rows = await self._calls.positions()
        held = {row.positionSide: abs(row.positionAmt) for row in rows if row.symbol == SYMBOL}
        return {leg: held.get(leg, Decimal(0)) for leg in ("LONG", "SHORT")}

    async def trades(self) -> tuple[Decimal, Decimal]:
        rows = await self._calls.trades(SYMBOL)
        return sum((r.qty for r in rows), Decimal(0)), sum((r.commission for r in rows), Decimal(0))

    async def wallet(self) -> Decimal:
        return (await self._calls.account()).totalWalletBalance

    async def hear(self, market: set[str], orders: set[str]) -> None:
        kinds = {"bookTicker": "quotes", "kline": "bars", "markPriceUpdate": "marks"}
        async with asyncio.timeout(HEARD_WITHIN_S):
            while len(market) < len(kinds):
                market.add(kinds[(await self._market.receive_json())["data"]["e"]])
            while not {*TOLD, "stop NEW", "stop CANCELED"} <= orders:
                told = await self._user.receive_json()
                if told["e"] == "ORDER_TRADE_UPDATE":
                    kind = "fill" if told["o"]["t"] else f"limit {told['o']['x']}"
                    orders |= {kind} if told["o"]["t"] or told["o"]["c"] == "limit" else set()
                elif told["e"] == "ALGO_UPDATE":
                    orders.add(f"stop {told['o']['X']}")


class CcxtClient:
    """The public library ccxt, which knows this venue; only its addresses are set, as its users do for a proxy."""

    SYMBOL = "BTC/USDT:USDT"

    def __init__(self, exchange: Any) -> None:
        self._x = exchange
        self._heard: dict[str, asyncio.Task[Any]] = {}
        self._orders: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def connected(cls, exchange: PaperExchange) -> AsyncIterator["CcxtClient"]:
        import ccxt.pro

        public = ccxt.pro.binanceusdm(
            {"apiKey": exchange.api_key, "secret": exchange.api_secret, "options": {"fetchCurrencies": False}}
        )
        api = public.urls["api"]
        for name, url in api.items():
            if isinstance(url, str) and "fapi.binance.com/fapi" in url:
                api[name] = exchange.base_url + "/fapi" + url.partition("/fapi/")[2].join(("/", ""))
        api["ws"]["linear"] = exchange.ws_url + "/ws"
        client = cls(public)
        try:
            await public.load_markets()
            watch = {
                "quotes": public.watch_bids_asks([cls.SYMBOL]),
                "bars": public.watch_ohlcv(cls.SYMBOL),
                "marks": public.watch_mark_price(cls.SYMBOL),
            }
            client._heard = {name: asyncio.ensure_future(coro) for name, coro in watch.items()}
            client._heard["user"] = asyncio.ensure_future(client._listen())
            await client._user_connected()
            yield client
        finally:
            for task in client._heard.values():
                task.cancel()
            await asyncio.gather(*client._heard.values(), return_exceptions=True)
            await public.close()

    async def _user_connected(self) -> None:
        async with asyncio.timeout(HEARD_WITHIN_S):
            while not (sockets := [s for url, s in self._x.clients.items() if "listenKey=" in url]):  # noqa: ASYNC110  # it tells nobody when it begins to connect
                await asyncio.sleep(0.01)
            await sockets[0].connected

    async def _listen(self) -> None:
        while True:
            for order in await self._x.watch_orders(self.SYMBOL):
                raw = order["info"]
                if raw.get("x") == "TRADE":
                    self._orders.add("fill")
                elif raw.get("c") == "limit":
                    self._orders.add(f"limit {raw['x']}")

    async def quotes(self) -> tuple[Decimal, Decimal]:
        row = (await self._x.fetch_bids_asks([self.SYMBOL]))[self.SYMBOL]
        return Decimal(str(row["bid"])), Decimal(str(row["ask"]))

    async def _place(
        self, kind: str, side: str, qty: Decimal | None, price: Decimal | None, **more: Any
    ) -> Any:
        return await self._x.create_order(
            self.SYMBOL,
            kind,
            side,
            None if qty is None else str(qty),
            None if price is None else str(price),
            more,
        )

    async def enter(self, leg: str) -> None:
        await self._place("market", "buy" if leg == "LONG" else "sell", QTY, None, positionSide=leg)

    async def rest_limit(self, price: Decimal) -> str:
        order = await self._place(
            "limit", "buy", QTY, price, positionSide="LONG", postOnly=True, newClientOrderId="limit"
        )
        return str(order["id"])

    async def amend_limit(self, order_id: str, price: Decimal) -> Decimal:
        order = await self._x.edit_order(order_id, self.SYMBOL, "limit", "buy", str(QTY), str(price))
        return Decimal(str(order["price"]))

    async def cancel_limit(self, order_id: str) -> None:
        await self._x.cancel_order(order_id, self.SYMBOL)

    async def place_stop(self, trigger: Decimal) -> str:
        order = await self._place(
            "market", "sell", None, None, positionSide="LONG", stopLossPrice=str(trigger), closePosition=True
        )
        return str(order["id"])

    async def cancel_stop(self, order_id: str) -> None:
        await self._x.cancel_order(order_id, self.SYMBOL, {"trigger": True})

    async def open_counts(self) -> tuple[int, int]:
        ordinary = await self._x.fetch_open_orders(self.SYMBOL)
        return len(ordinary), len(await self._x.fetch_open_orders(self.SYMBOL, params={"trigger": True}))

    async def close(self, leg: str, qty: Decimal) -> None:
        await self._place("market", "sell" if leg == "LONG" else "buy", qty, None, positionSide=leg)

    async def legs(self) -> dict[str, Decimal]:
        rows = await self._x.fetch_positions([self.SYMBOL])
        held = {row["side"].upper(): Decimal(str(row["contracts"])) for row in rows}
        return {leg: held.get(leg, Decimal(0)) for leg in ("LONG", "SHORT")}

    async def trades(self) -> tuple[Decimal, Decimal]:
        rows = await self._x.fetch_my_trades(self.SYMBOL)
        return (
            sum((Decimal(str(row["amount"])) for row in rows), Decimal(0)),
            sum((Decimal(row["info"]["commission"]) for row in rows), Decimal(0)),
        )

    async def wallet(self) -> Decimal:
        return Decimal((await self._x.fetch_balance())["info"]["totalWalletBalance"])

    async def hear(self, market: set[str], orders: set[str]) -> None:
        async with asyncio.timeout(HEARD_WITHIN_S):
            for name in ("quotes", "bars", "marks"):
                assert await self._heard[name]
                market.add(name)
            while not self._orders >= TOLD:  # noqa: ASYNC110  # filled by another task of ccxt's own
                await asyncio.sleep(0.01)
        orders |= self._orders

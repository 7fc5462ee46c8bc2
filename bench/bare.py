"""A bare NautilusTrader strategy: the daemon's node, adapter and process layout, and nothing of the daemon on it.

    python -m bench.bare REST_URL WS_URL KEY SECRET ORDERS SOCKET

Subscribes to quotes, bars and marks as the daemon does, rests ORDERS post-only orders far from the market, counts quotes.
Echoes on the unix socket, so that its loop can be asked. Prints the address of its `/metrics`, which has
`hedgegrid_ticks_total` and `hedgegrid_open_orders` as the daemon's has.
"""

import asyncio
import gc
import sys
from decimal import Decimal
from typing import Any

import uvloop
from aiohttp import web
from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ClientId, InstrumentId, PositionId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from bench.idle import echo_back
from hedgegridd.run import SWITCH_INTERVAL_S
from hedgegridd.venue import nautilus_hooks
from hedgegridd.venue.nautilus import NautilusOptions, node_config
from hedgegridd.venue.nautilus_log import process_pipe
from hedgegridd.venue.nautilus_strategy import Subscription
from hedgegridd.venue.rest import Credentials

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
QTY = Decimal("0.002")
NEAREST, APART = Decimal("0.02"), Decimal("0.001")  # of the price


class Counter(Strategy):
    """Counts quotes; rests its orders at the first."""

    def __init__(self, orders: int) -> None:
        super().__init__(StrategyConfig(strategy_id="BARE-1", oms_type="HEDGING"))
        self.quotes = 0
        self.accepted = 0
        self._orders = orders

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL"))
        mark = DataType(BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": INSTRUMENT})
        self.subscribe_data(mark, client_id=ClientId(BINANCE))

    def on_quote_tick(self, tick: Any) -> None:
        self.quotes += 1
        if self.quotes == 1:
            self._rest(tick)

    def on_order_accepted(self, _event: Any) -> None:
        self.accepted += 1

    def _rest(self, tick: Any) -> None:
        instrument = self.cache.instrument(INSTRUMENT)
        for n in range(self._orders):
            away = NEAREST + APART * (n // 2)
            leg, side, sign = ("LONG", OrderSide.BUY, -1) if n % 2 else ("SHORT", OrderSide.SELL, 1)
            price = instrument.make_price(tick.bid_price.as_decimal() * (1 + sign * away))
            order = self.order_factory.limit(
                INSTRUMENT, side, instrument.make_qty(QTY), price, post_only=True
            )
            self.submit_order(order, position_id=PositionId(f"{INSTRUMENT}-{leg}"))


def exposition(strategy: Counter) -> str:
    return f"hedgegrid_ticks_total {strategy.quotes}\nhedgegrid_open_orders {strategy.accepted}\n"


async def run(rest: str, ws: str, credentials: Credentials, orders: int, path: str) -> None:
    nautilus_hooks.keep_our_signals()
    process_pipe().start(asyncio.get_running_loop())
    options = NautilusOptions(
        environment="paper",
        instruments=((str(INSTRUMENT), "1m"),),
        rest_url=rest,
        market_ws_url=ws,
        user_ws_url=ws,
        recv_window_ms=5_000,
    )
    subscriptions = [Subscription(str(INSTRUMENT), "1m")]
    directory = str(process_pipe().directory)
    config = node_config(options, credentials, subscriptions, directory, 30.0)
    node = TradingNode(config=config, loop=asyncio.get_running_loop())
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    strategy = Counter(orders)
    node.trader.add_strategy(strategy)
    node.build()

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=exposition(strategy))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    echo = await asyncio.start_unix_server(echo_back, path)
    running = asyncio.ensure_future(node.run_async())
    while not strategy.quotes:  # noqa: ASYNC110  # a start, once
        await asyncio.sleep(0.05)
    gc.collect()
    gc.freeze()
    host, port = runner.addresses[0][:2]
    print(f"metrics http://{host}:{port}/metrics", flush=True)
    await running
    echo.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _, rest_url, ws_url, api_key, api_secret, count, socket_path = sys.argv
    uvloop.run(run(rest_url, ws_url, Credentials(key=api_key, secret=api_secret), int(count), socket_path))

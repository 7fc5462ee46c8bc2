"""A TradingNode with the unmodified Binance adapter that trades on the exchange and says what it saw.

Run by test_exchange_nautilus.py in a process of its own (one node per process is what upstream supports):
`python nautilus_client.py trade|adopt|survive|round REST_URL WS_URL KEY SECRET`. The last line of stdout is a JSON object;
`survive` says RESTING on a line before, when its order rests and quotes come in.
"""

import asyncio
import json
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_round import Round
from nautilus_trader.adapters.binance import BINANCE
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.config import (
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceInstrumentProviderConfig,
)
from nautilus_trader.adapters.binance.factories import (
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.futures.enums import BinanceFuturesMarginType
from nautilus_trader.adapters.binance.futures.types import BinanceFuturesMarkPriceUpdate
from nautilus_trader.config import LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.enums import OrderSide, TimeInForce, TriggerType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, PositionId, TraderId
from nautilus_trader.system.kernel import NautilusKernel
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
QTY = Decimal("0.010")
DEADLINE_S = 45.0
MAX_TRIES = 40


class Probe(Strategy):
    """Enters both legs post-only, protects the long one with a closePosition stop, cancels it."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__(StrategyConfig(strategy_id="PROBE-1", oms_type="HEDGING"))
        self._done = done
        self._legs: dict[str, Any] = {}
        self._guard: Any = None
        self._deep: Any = None
        self._tries = 0
        self.seen: dict[str, Any] = {
            "quotes": 0, "bars": 0, "marks": 0, "accepted": 0, "fills": {}, "rejected": [], "events": [],
        }  # fmt: skip

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL"))
        kind = DataType(BinanceFuturesMarkPriceUpdate, metadata={"instrument_id": INSTRUMENT})
        self.subscribe_data(kind, client_id=ClientId("BINANCE"))

    def on_bar(self, _bar: Any) -> None:
        self.seen["bars"] += 1
        self._check()

    def on_data(self, data: Any) -> None:
        self.seen["marks"] += 1
        self.seen["funding_rate"] = str(data.funding_rate)
        self._check()

    def on_quote_tick(self, quote: Any) -> None:
        self.seen["quotes"] += 1
        for leg in ("LONG", "SHORT"):
            if leg not in self._legs and self._tries < MAX_TRIES:
                self._enter(leg, quote)
        self._check()

    def on_order_accepted(self, event: Any) -> None:
        self.seen["accepted"] += 1
        if self._guard is not None and event.client_order_id == self._guard.client_order_id:
            self.seen["events"].append("stop accepted")
            self.cancel_order(self._guard)
        if self._deep is not None and event.client_order_id == self._deep.client_order_id:
            self.seen["events"].append("limit accepted")
            self.cancel_order(self._deep)

    def on_order_rejected(self, event: Any) -> None:
        self.seen["rejected"].append(event.reason)
        self._legs = {
            leg: order for leg, order in self._legs.items() if order.client_order_id != event.client_order_id
        }

    def on_order_filled(self, event: Any) -> None:
        leg = str(event.position_id).rpartition("-")[2]
        fills = self.seen["fills"].setdefault(leg, {"qty": "0", "liquidity": [], "commission": "0"})
        fills["qty"] = str(Decimal(fills["qty"]) + event.last_qty.as_decimal())
        fills["commission"] = str(Decimal(fills["commission"]) + event.commission.as_decimal())
        fills["liquidity"].append(int(event.liquidity_side))
        both = all(Decimal(self.seen["fills"].get(leg, {}).get("qty", 0)) == QTY for leg in ("LONG", "SHORT"))
        if both and self._guard is None:
            self._protect(event.last_px.as_decimal())

    def on_order_canceled(self, event: Any) -> None:
        if self._guard is not None and event.client_order_id == self._guard.client_order_id:
            self.seen["events"].append("stop canceled")
        if self._deep is not None and event.client_order_id == self._deep.client_order_id:
            self.seen["events"].append("limit canceled")
        self._check()

    def _enter(self, leg: str, quote: Any) -> None:
        self._tries += 1
        side = OrderSide.BUY if leg == "LONG" else OrderSide.SELL
        order = self.order_factory.limit(
            INSTRUMENT,
            side,
            self.cache.instrument(INSTRUMENT).make_qty(QTY),
            quote.bid_price if leg == "LONG" else quote.ask_price,
            time_in_force=TimeInForce.GTC,
            post_only=True,
        )
        self._legs[leg] = order
        self.submit_order(order, position_id=PositionId(f"{INSTRUMENT}-{leg}"))

    def _protect(self, price: Decimal) -> None:
        instrument = self.cache.instrument(INSTRUMENT)
        self._guard = self.order_factory.stop_market(
            INSTRUMENT,
            OrderSide.SELL,
            instrument.make_qty(QTY),
            instrument.make_price(price * Decimal("0.9")),
            trigger_type=TriggerType.MARK_PRICE,
        )
        position_id = PositionId(f"{INSTRUMENT}-LONG")
        self.submit_order(self._guard, position_id=position_id, params={"close_position": True})
        self._deep = self.order_factory.limit(
            INSTRUMENT,
            OrderSide.BUY,
            instrument.make_qty(QTY),
            instrument.make_price(price * Decimal("0.97")),
            post_only=True,
        )
        self.submit_order(self._deep, position_id=position_id)

    def _check(self) -> None:
        cancelled = {"stop canceled", "limit canceled"} <= set(self.seen["events"])
        if cancelled and self.seen["bars"] and self.seen["marks"]:
            self._done.set()


class Adopter(Strategy):
    """Starts on an account that already holds legs and orders: amends, cancels all, closes both legs."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__(
            StrategyConfig(strategy_id="ADOPT-1", oms_type="HEDGING", external_order_claims=[INSTRUMENT])
        )
        self._done = done
        self.seen: dict[str, Any] = {"history": 0, "events": []}

    def on_start(self) -> None:
        self.seen["adopted"] = {
            str(position.id): str(position.quantity) for position in self.cache.positions_open()
        }
        self.seen["orders"] = sorted(str(order.client_order_id) for order in self.cache.orders_open())
        account = self.cache.accounts()[0]
        self.seen["leverage"] = str(account.leverage(INSTRUMENT))
        self.seen["balance"] = str(account.balance_total(USDT).as_decimal())
        bars = BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL")
        self.request_bars(bars, start=self.clock.utc_now() - timedelta(minutes=30))
        order = next(order for order in self.cache.orders_open() if str(order.client_order_id) == "resting")
        self.modify_order(
            order, price=self.cache.instrument(INSTRUMENT).make_price(order.price * Decimal("0.99"))
        )

    def on_historical_data(self, data: Any) -> None:
        self.seen["history"] += 1
        self._check()

    def on_order_updated(self, event: Any) -> None:
        self.seen["events"].append("updated")
        self.seen["price"] = str(event.price)
        self.cancel_all_orders(INSTRUMENT)

    def on_order_canceled(self, event: Any) -> None:
        self.seen["events"].append(f"canceled {event.client_order_id}")
        if self.cache.orders_open_count() == 0:
            for position in self.cache.positions_open():
                order = self.order_factory.market(
                    INSTRUMENT, position.closing_order_side(), position.quantity
                )
                self.submit_order(order, position_id=position.id)

    def on_position_closed(self, event: Any) -> None:
        self.seen["events"].append(f"closed {event.position_id}")
        self._check()

    def _check(self) -> None:
        if (
            self.cache.positions_open_count() == 0
            and self.seen["history"]
            and "updated" in self.seen["events"]
        ):
            self._done.set()


class Survivor(Strategy):
    """Rests one order and waits for its fill and for quotes, whatever happens to the connections meanwhile."""

    def __init__(self, done: asyncio.Event) -> None:
        super().__init__(StrategyConfig(strategy_id="SURVIVE-1", oms_type="HEDGING"))
        self._done = done
        self._order: Any = None
        self.seen: dict[str, Any] = {"quotes": 0, "quotes_after_fill": 0, "filled": "0"}

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT)

    def on_quote_tick(self, quote: Any) -> None:
        self.seen["quotes"] += 1
        if self._order is None:
            instrument = self.cache.instrument(INSTRUMENT)
            price = instrument.make_price(quote.bid_price.as_decimal() * Decimal("0.97"))
            self._order = self.order_factory.limit(INSTRUMENT, OrderSide.BUY, instrument.make_qty(QTY), price)
            self.submit_order(self._order, position_id=PositionId(f"{INSTRUMENT}-LONG"))
        if Decimal(self.seen["filled"]) == QTY:
            self.seen["quotes_after_fill"] += 1
            self._done.set()

    def on_order_accepted(self, event: Any) -> None:
        print("RESTING", flush=True)

    def on_order_filled(self, event: Any) -> None:
        self.seen["filled"] = str(Decimal(self.seen["filled"]) + event.last_qty.as_decimal())


PROBES = {"trade": Probe, "adopt": Adopter, "survive": Survivor, "round": Round}


async def run(mode: str, rest: str, ws: str, key: str, secret: str) -> dict[str, Any]:
    NautilusKernel._setup_loop = lambda self: None  # type: ignore[method-assign]  # the signals stay ours
    common: dict[str, Any] = {
        "account_type": BinanceAccountType.USDT_FUTURES,
        "api_key": key,
        "api_secret": secret,
        "base_url_http": rest,
        "base_url_ws": ws,
        "instrument_provider": BinanceInstrumentProviderConfig(load_all=True, query_commission_rates=True),
    }
    symbol = BinanceSymbol("BTCUSDT")
    execution = BinanceExecClientConfig(
        **common,
        base_url_ws_stream=ws,
        use_reduce_only=False,
        futures_leverages={symbol: 7},
        futures_margin_types={symbol: BinanceFuturesMarginType.CROSS},
    )
    config = TradingNodeConfig(
        trader_id=TraderId("PROBE-001"),
        logging=LoggingConfig(log_level="WARNING", log_colors=False),
        data_clients={BINANCE: BinanceDataClientConfig(**common)},
        exec_clients={BINANCE: execution},
        timeout_connection=15.0,
        timeout_reconciliation=10.0,
        timeout_portfolio=10.0,
        timeout_disconnection=5.0,
        timeout_post_stop=0.5,
    )
    node = TradingNode(config=config, loop=asyncio.get_running_loop())
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    done = asyncio.Event()
    probe = PROBES[mode](done)
    node.trader.add_strategy(probe)
    node.build()
    running = asyncio.create_task(node.run_async())
    try:
        await asyncio.wait_for(done.wait(), DEADLINE_S)
    except TimeoutError:
        probe.seen["timeout"] = True
    probe.seen["positions"] = {
        str(position.id): str(position.quantity) for position in node.cache.positions_open()
    }
    await node.stop_async()
    await asyncio.gather(running, return_exceptions=True)
    node.kernel.dispose()
    node.kernel.executor.shutdown()
    return probe.seen


def main() -> int:
    seen = asyncio.run(run(*sys.argv[1:6]))
    print(json.dumps(seen), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

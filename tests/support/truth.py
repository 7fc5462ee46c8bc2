"""Beliefs against truth: what the daemon says of its account, orders and metrics beside what the exchange knows.

Pure: JSON answers in, differences out as sentences. Money and average entries must agree to the cent (half a cent of
tolerance), quantities, prices and orders exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

CENT = Decimal("0.005")
RATIO = Decimal("0.0000001")
LEGS = ("LONG", "SHORT")
ENTRY_SIDE = {"LONG": "BUY", "SHORT": "SELL"}
MINUTE_MS = 60_000
MATCHED_STATUSES = ("WORKING",)

type Json = Mapping[str, Any]
type Metrics = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]

METRICS = (
    "hedgegrid_long_inventory_usdt",
    "hedgegrid_short_inventory_usdt",
    "hedgegrid_net_inventory_usdt",
    "hedgegrid_active_rungs_long",
    "hedgegrid_active_rungs_short",
    "hedgegrid_open_orders",
    "hedgegrid_margin_ratio",
    "hedgegrid_maker_ratio",
    "hedgegrid_funding_rate_current",
    "hedgegrid_funding_cost_1h_projected_usdt",
    "hedgegrid_realized_pnl_usdt",
    "hedgegrid_unrealized_pnl_usdt",
    "hedgegrid_total_pnl_usdt",
    "hedgegrid_uptime_seconds",
    "hedgegrid_last_bar_timestamp",
)


class LegState(msgspec.Struct, frozen=True):
    """A leg: base quantity and average entry in USDT (0 when flat)."""

    qty: Decimal
    entry: Decimal


class Resting(msgspec.Struct, frozen=True):
    """A resting order. `price` is the trigger of an algo order, `qty` 0 when it closes the whole position."""

    leg: str
    side: str
    price: Decimal
    qty: Decimal
    filled: Decimal
    algo: bool


class Books(msgspec.Struct, frozen=True):
    """An account as one side sees it: wallet in USDT, legs of one symbol, resting orders by client order id."""

    wallet: Decimal
    legs: dict[str, LegState]
    orders: dict[str, Resting]


def exchange_books(truth: Json, symbol: str) -> Books:
    """The books of `GET /truth`."""
    orders = {
        order["clientOrderId"]: Resting(
            order["positionSide"],
            order["side"],
            Decimal(order["price"]),
            Decimal(order["origQty"]),
            Decimal(order["executedQty"]),
            algo=False,
        )
        for order in truth["open_orders"]
        if order["symbol"] == symbol
    }
    for algo in truth["algo_orders"]:
        if algo["symbol"] == symbol:
            orders[algo["clientAlgoId"]] = Resting(
                algo["positionSide"],
                algo["side"],
                Decimal(algo["triggerPrice"]),
                Decimal(0) if algo["closePosition"] else Decimal(algo["quantity"]),
                Decimal(0),
                algo=True,
            )
    legs = {}
    for name in LEGS:
        leg = truth["legs"][f"{symbol}:{name}"]
        legs[name] = LegState(Decimal(leg["qty"]), Decimal(leg["entry"]))
    return Books(Decimal(truth["wallet"]), legs, orders)


def daemon_books(status: Json, orders: Json, symbol: str) -> Books:
    """The books of the answers to `status` and `orders`; a figure the daemon does not know raises TypeError."""
    resting = {}
    for order in orders["orders"]:
        if not order["instrument"].startswith(f"{symbol}-"):
            continue
        known = order["status"] in MATCHED_STATUSES
        price = order["stop_price"] if order["algo"] else order["price"]
        resting[order["client_order_id"] + ("" if known else f" ({order['status']})")] = Resting(
            order["leg"],
            order["side"],
            Decimal(price),
            Decimal(order["quantity"] or 0),
            Decimal(order["filled"]),
            algo=order["algo"],
        )
    view = instrument_of(status, symbol)
    legs = {}
    for name in LEGS:
        leg = view["legs"][name]
        legs[name] = LegState(Decimal(leg["quantity"]), Decimal(leg["average_entry"] or 0))
    return Books(Decimal(status["pnl"]["ledger_wallet_usdt"]), legs, resting)


def instrument_of(status: Json, symbol: str) -> Json:
    """The entry of `symbol` in an answer to `status`. Raises KeyError when there is none."""
    for view in status["instruments"]:
        if view["instrument"].startswith(f"{symbol}-"):
            return dict(view)
    raise KeyError(f"status has no instrument {symbol}")


def differences(truth: Books, belief: Books) -> list[str]:
    """Where the daemon's books are not the exchange's, in words."""
    found = []
    if abs(truth.wallet - belief.wallet) > CENT:
        found.append(f"wallet: exchange {truth.wallet}, daemon {belief.wallet}")
    for name in LEGS:
        real, believed = truth.legs[name], belief.legs[name]
        if real.qty != believed.qty:
            found.append(f"{name} quantity: exchange {real.qty}, daemon {believed.qty}")
        if abs(real.entry - believed.entry) > CENT:
            found.append(f"{name} average entry: exchange {real.entry}, daemon {believed.entry}")
    for order_id in sorted(truth.orders.keys() | belief.orders.keys()):
        rests, thought = truth.orders.get(order_id), belief.orders.get(order_id)
        if rests != thought:
            found.append(f"order {order_id}: exchange {_words(rests)}, daemon {_words(thought)}")
    return found


def _words(order: Resting | None) -> str:
    if order is None:
        return "has none"
    kind = "algo" if order.algo else "limit"
    return f"{kind} {order.side} {order.leg} {order.qty} at {order.price}, filled {order.filled}"


def uncovered(truth: Json, symbol: str) -> list[str]:
    """Legs whose inventory lacks its stop or its take-profits at the exchange, and exits a flat leg still has."""
    books = exchange_books(truth, symbol)
    found = []
    for name, leg in books.legs.items():
        exits = [o for o in books.orders.values() if o.leg == name and o.side != ENTRY_SIDE[name]]
        stops = [o for o in exits if o.algo and o.qty == 0]
        profits = sum((o.qty - o.filled for o in exits if not o.algo), Decimal(0))
        if leg.qty and not stops:
            found.append(f"{name} holds {leg.qty} without a stop")
        if profits != leg.qty:
            found.append(f"{name} holds {leg.qty}, its take-profits cover {profits}")
    return found


def entries_at(truth: Json, symbol: str) -> dict[str, list[str]]:
    """Client order ids of the entries that rest at the exchange, by leg; whoever placed them."""
    books = exchange_books(truth, symbol)
    return {
        name: sorted(
            order_id
            for order_id, order in books.orders.items()
            if order.leg == name and order.side == ENTRY_SIDE[name]
        )
        for name in LEGS
    }


class Coverage:
    """Inventory must have its exits at all times: `uncovered` looked at repeatedly, each gap at most `settle_s`."""

    def __init__(self, symbol: str, settle_s: float) -> None:
        self._symbol = symbol
        self._settle_s = settle_s
        self._since: float | None = None
        self.looks = 0
        self.with_inventory = 0
        self.longest_s = 0.0

    def look(self, truth: Json, now_s: float) -> None:
        """Take one reading of `GET /truth`. Raises AssertionError when a gap lasts longer than allowed."""
        self.looks += 1
        self.with_inventory += any(
            Decimal(truth["legs"][f"{self._symbol}:{name}"]["qty"]) != 0 for name in LEGS
        )
        missing = uncovered(truth, self._symbol)
        if not missing:
            self._since = None
            return
        self._since = now_s if self._since is None else self._since
        self.longest_s = max(self.longest_s, now_s - self._since)
        assert now_s - self._since <= self._settle_s, f"for {now_s - self._since:.2f} s: {missing}"


class Trades(msgspec.Struct):
    """Fills counted from `userTrades`, read on from the last id."""

    fills: int = 0
    maker: int = 0
    last_id: int = 0

    def add(self, rows: Iterable[Json]) -> None:
        """Count further rows, oldest first."""
        for row in rows:
            self.fills += 1
            self.maker += bool(row["maker"])
            self.last_id = int(row["id"])


def expected_metrics(
    truth: Json, symbol: str, funding_rate: Decimal, trades: Trades
) -> dict[str, Decimal | None]:
    """What each metric but uptime must say; None: it must be absent, there being nothing to tell."""
    books = exchange_books(truth, symbol)
    mark = Decimal(truth["marks"][symbol])
    long_usdt, short_usdt = (books.legs[name].qty * mark for name in LEGS)
    entries = {
        name: sum(o.leg == name and o.side == ENTRY_SIDE[name] and not o.algo for o in books.orders.values())
        for name in LEGS
    }
    realized = Decimal(truth["realised"]) - Decimal(truth["fees"]) + Decimal(truth["funding"])
    unrealized = Decimal(truth["unrealised"])
    values: tuple[Decimal | None, ...] = (
        long_usdt,
        short_usdt,
        long_usdt - short_usdt,
        Decimal(entries["LONG"]),
        Decimal(entries["SHORT"]),
        Decimal(len(books.orders)),
        Decimal(truth["maintenance_margin"]) / Decimal(truth["margin_balance"]),
        Decimal(trades.maker) / trades.fills if trades.fills else None,
        funding_rate,
        funding_rate * (long_usdt - short_usdt) / 8,
        realized,
        unrealized,
        realized + unrealized,
        None,  # uptime: see metric_differences
        Decimal(truth["market_ms"] // MINUTE_MS * MINUTE_MS) / 1000,
    )
    return dict(zip(METRICS, values, strict=True))


def metric_differences(
    metrics: Metrics, expected: Mapping[str, Decimal | None], symbol: str, uptime_s_max: float
) -> list[str]:
    """Where a scrape is not what `expected_metrics` says, in words."""
    found = []
    for name, value in expected.items():
        samples = [
            sample
            for labels, sample in metrics.get(name, {}).items()
            if dict(labels).get("instrument", f"{symbol}-").startswith(f"{symbol}-")
        ]
        if name == "hedgegrid_uptime_seconds":
            if len(samples) != 1 or not 0 < samples[0] <= uptime_s_max:
                found.append(f"{name}: {samples}, expected one above 0 and at most {uptime_s_max:.1f}")
        elif value is None:
            if samples:
                found.append(f"{name}: {samples}, expected to be absent")
        elif len(samples) != 1 or abs(Decimal(samples[0]) - value) > _tolerance(name):
            found.append(f"{name}: {samples}, expected {value:.8f}")
    return found


def _tolerance(name: str) -> Decimal:
    if name == "hedgegrid_funding_cost_1h_projected_usdt":
        return CENT / 50  # itself often below a cent
    if name.endswith("_usdt"):
        return CENT
    if name.endswith("_timestamp"):
        return Decimal(1)  # a bar closes at the last millisecond of its minute
    return RATIO


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Two columns for people."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

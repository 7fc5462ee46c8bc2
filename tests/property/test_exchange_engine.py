"""Random orders and ticks against the engine: its books never contradict themselves, and it is deterministic."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.types import SymbolRules, Tick, VenueError

D = Decimal
TICK = D("0.5")
RULES = SymbolRules(tick=TICK, min_notional=D(5), max_orders=12, max_algo_orders=4)

sides = st.sampled_from(["BUY", "SELL"])
legs = st.sampled_from(["LONG", "SHORT"])
quantities = st.integers(1, 400).map(lambda n: str(D(n) / 1000))
offsets = st.integers(-60, 60)
names = st.sampled_from([f"id{n}" for n in range(6)])

orders = st.tuples(
    st.just("new"), sides, legs, quantities, offsets, st.sampled_from(["GTC", "IOC", "FOK", "GTX", ""]), names
)
stops = st.tuples(
    st.just("algo"),
    sides,
    legs,
    st.one_of(st.none(), quantities),
    offsets,
    st.sampled_from(["STOP_MARKET", "TAKE_PROFIT_MARKET"]),
    names,
)
ticks = st.tuples(
    st.just("tick"),
    st.integers(-400, 400),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 3_000),
    st.integers(0, 5),
    st.integers(1, 9 * 3_600_000),
)
cancels = st.tuples(st.just("cancel"), names)
amends = st.tuples(st.just("amend"), names, quantities, offsets)
others = st.sampled_from([("cancel_all",), ("cancel_algo",), ("wall",), ("deposit",), ("withdraw",)])
steps = st.lists(st.one_of(orders, orders, stops, ticks, ticks, cancels, amends, others), max_size=60)


class Run:
    """Plays steps against an engine on a price that starts at 2,000."""

    def __init__(self, *, partial_fills: bool) -> None:
        self.engine = Engine([RULES], deposit=D(3_000), partial_fills=partial_fills)
        self.last, self.ts_ms, self.wall_ms = D(2_000), 1, 1
        self.events: list[dict[str, Any]] = []
        self.refused = 0
        self.play(("tick", 0, 0, 0, 1_000, 5, 1))

    def price(self, offset: int) -> str:
        return str(self.last + TICK * offset)

    def play(self, step: tuple[Any, ...]) -> None:
        self.wall_ms += 10
        before = self.engine.snapshot()
        try:
            getattr(self, f"do_{step[0]}")(*step[1:])
        except VenueError:
            self.refused += 1
            assert self.engine.snapshot() == before, step
        self.events += [event.body for event in self.engine.take_events()]
        self.check()

    def do_new(self, *step: Any) -> None:
        side, leg, qty, offset, tif, name = step
        kind = (
            {"type": "LIMIT", "timeInForce": tif, "price": self.price(offset)} if tif else {"type": "MARKET"}
        )
        request = {
            "symbol": "BTCUSDT",
            "side": side,
            "positionSide": leg,
            "quantity": qty,
            "newClientOrderId": name,
        }
        self.engine.new_order({**request, **kind}, self.wall_ms)

    def do_algo(self, *step: Any) -> None:
        side, leg, qty, offset, kind, name = step
        request = {"symbol": "BTCUSDT", "algoType": "CONDITIONAL", "type": kind, "side": side}
        size = {"closePosition": "true"} if qty is None else {"quantity": qty}
        rest = {"positionSide": leg, "triggerPrice": self.price(offset), "clientAlgoId": name}
        self.engine.new_algo_order({**request, **size, **rest, "workingType": "MARK_PRICE"}, self.wall_ms)

    def do_tick(self, *step: Any) -> None:
        move, down, up, volume, levels, ms = step
        self.last = max(TICK * 400, self.last + TICK * move)
        self.ts_ms += ms
        book = [(TICK * n, D(n) / 10) for n in range(1, levels + 1)]
        self.engine.on_tick(
            Tick(
                symbol="BTCUSDT",
                ts_ms=self.ts_ms,
                last=self.last,
                low=self.last - TICK * down,
                high=self.last + TICK * up,
                volume=D(volume) / 1000,
                mark=self.last + TICK,
                index=self.last,
                bids=tuple((self.last - away, qty) for away, qty in book),
                asks=tuple((self.last + away, qty) for away, qty in book),
            ),
            self.wall_ms,
        )

    def do_cancel(self, name: str) -> None:
        self.engine.cancel_order({"symbol": "BTCUSDT", "origClientOrderId": name}, self.wall_ms)

    def do_amend(self, name: str, qty: str, offset: int) -> None:
        request = {"symbol": "BTCUSDT", "origClientOrderId": name, "quantity": qty}
        side = self.engine.query_order(request)["side"]
        self.engine.modify_order({**request, "side": side, "price": self.price(offset)}, self.wall_ms)

    def do_cancel_all(self) -> None:
        self.engine.cancel_all("BTCUSDT", self.wall_ms)

    def do_cancel_algo(self) -> None:
        self.engine.cancel_all_algo("BTCUSDT", self.wall_ms)

    def do_wall(self) -> None:
        self.engine.on_wall(self.wall_ms)

    def do_deposit(self) -> None:
        self.engine.transfer(D("12.34"), self.wall_ms)

    def do_withdraw(self) -> None:
        self.engine.transfer(D("-500"), self.wall_ms)

    def check(self) -> None:
        """The account as a reader of the answers sees it agrees with itself."""
        truth = self.engine.truth()
        assert truth["invariant"] == "ok"
        signed = D(0)
        for row in self.engine._state.income.values():
            signed += sum(
                (r.amount for r in row),
                D(0),
            )
        assert signed == D(truth["wallet"])
        for leg in ("LONG", "SHORT"):
            opens = "BUY" if leg == "LONG" else "SELL"
            trades = [t for t in self.engine._state.trades if t.leg == leg]
            held = sum(((t.qty if t.side == opens else -t.qty) for t in trades), D(0))
            assert held == D(truth["legs"][f"BTCUSDT:{leg}"]["qty"])


@settings(max_examples=120, deadline=None)
@given(steps=steps, partial_fills=st.booleans())
def test_books_never_contradict_themselves(steps: list[tuple[Any, ...]], partial_fills: bool) -> None:
    run = Run(partial_fills=partial_fills)
    for step in steps:
        run.play(step)


@settings(max_examples=300, deadline=None)  # most orders are refused: a fill in every sixth run
@given(steps=steps)
def test_fills_keep_their_limits_and_the_stream_tells_every_change(steps: list[tuple[Any, ...]]) -> None:
    run = Run(partial_fills=True)
    for step in steps:
        run.play(step)
    orders = run.engine._state.orders
    for trade in run.engine._state.trades:
        order = orders[trade.order_id]
        if trade.maker:
            assert order.type == "LIMIT"
    told: dict[int, dict[str, Any]] = {}
    for body in run.events:
        if body["e"] == "ORDER_TRADE_UPDATE":
            told[body["o"]["i"]] = body["o"]
    assert set(told) == set(orders)
    for order_id, order in orders.items():
        assert (told[order_id]["X"], D(told[order_id]["z"])) == (order.status, order.filled)
    traded = [b["o"] for b in run.events if b["e"] == "ORDER_TRADE_UPDATE" and b["o"]["t"]]
    assert [o["t"] for o in traded] == [t.id for t in run.engine._state.trades]
    for o in traded:
        if o["o"] == "LIMIT":  # its price when it traded: it may be amended later
            better = D(o["p"]) - D(o["L"]) if o["S"] == "BUY" else D(o["L"]) - D(o["p"])
            assert better >= 0, o
            assert better == 0 or not o["m"], "a resting order fills at its own price"
    balances = [D(b["a"]["B"][0]["wb"]) for b in run.events if b["e"] == "ACCOUNT_UPDATE"]
    if balances:
        assert balances[-1] == D(run.engine.truth()["wallet"])


@settings(max_examples=40, deadline=None)
@given(steps=steps, cut=st.integers(0, 60))
def test_the_same_steps_give_the_same_bytes_also_over_a_restart(
    steps: list[tuple[Any, ...]], cut: int
) -> None:
    first, second = Run(partial_fills=True), Run(partial_fills=True)
    for number, step in enumerate(steps):
        if number == cut:
            second.engine.restore(second.engine.snapshot())
        first.play(step)
        second.play(step)
    assert first.engine.snapshot() == second.engine.snapshot()
    assert first.events == second.events


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(st.integers(1, 80), min_size=1, max_size=12, unique=True),
    drop=st.integers(1, 120),
    buys=st.booleans(),
)
def test_a_gap_fills_exactly_the_rungs_it_passes_best_first(prices: list[int], drop: int, buys: bool) -> None:
    run = Run(partial_fills=True)
    sign = -1 if buys else 1
    side, leg = ("BUY", "LONG") if buys else ("SELL", "SHORT")
    rungs = [run.last + sign * (TICK * (4 + n)) for n in prices]
    for rung in rungs:
        request = {"symbol": "BTCUSDT", "side": side, "positionSide": leg, "quantity": "0.003"}
        run.engine.new_order(
            {**request, "type": "LIMIT", "timeInForce": "GTX", "price": str(rung)}, run.wall_ms
        )
    run.play(("tick", sign * drop, 0, 0, 0, 2, 1))
    facing = run.last - sign * TICK  # where the other side of the book now stands
    passed = [rung for rung in rungs if (facing < rung if buys else facing > rung)]
    filled = [t.price for t in run.engine._state.trades]
    assert filled[: len(passed)] == sorted(passed, reverse=buys)
    beyond = [p for p in filled[len(passed) :] if p not in (run.last, facing)]
    assert beyond == []


FIELDS = st.sampled_from(
    [
        *("symbol", "side", "type", "positionSide", "quantity", "price", "timeInForce", "orderId"),
        *(
            "origClientOrderId",
            "newClientOrderId",
            "algoType",
            "triggerPrice",
            "closePosition",
            "clientAlgoId",
        ),
        *(
            "algoId",
            "workingType",
            "countdownTime",
            "leverage",
            "limit",
            "startTime",
            "endTime",
            "fromId",
            "page",
        ),
        *("goodTillDate", "incomeType", "dualSidePosition", "marginType", "priceProtect", "reduceOnly"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                "BTCUSDT",
                "BUY",
                "SELL",
                "LONG",
                "SHORT",
                "LIMIT",
                "MARKET",
                "STOP",
                "STOP_MARKET",
                "GTC",
                "GTD",
            ),
            *(
                "CONDITIONAL",
                "true",
                "false",
                "2000",
                "0.1",
                "1",
                "-1",
                "0",
                "1e9",
                "NaN",
                "",
                "id1",
                "CROSSED",
            ),
            *("99999999999999999999999999", "0.000000000000000000001", "\u0663", "\x00"),
        ]
    ),
    st.text(max_size=12),
)
MUTATIONS = (
    *("new_order", "modify_order", "cancel_order", "new_algo_order", "cancel_algo_order", "countdown_cancel"),
    *("set_leverage", "set_margin_type", "set_position_mode"),
)
QUERIES = (
    "query_order",
    "all_orders",
    "user_trades",
    "query_algo_order",
    "all_algo_orders",
    "income",
    "funding_rates",
)


BASES: tuple[dict[str, str], ...] = (
    {},
    {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "positionSide": "LONG",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "1990",
        "quantity": "0.1",
    },
    {
        "symbol": "BTCUSDT",
        "algoType": "CONDITIONAL",
        "type": "STOP_MARKET",
        "side": "SELL",
        "positionSide": "LONG",
        "triggerPrice": "1900",
        "closePosition": "true",
    },
)


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(MUTATIONS + QUERIES),
    base=st.sampled_from(BASES),
    change=st.dictionaries(FIELDS, VALUES, max_size=6),
)
def test_any_request_is_answered_or_refused_with_a_code(
    method: str, base: dict[str, str], change: dict[str, str]
) -> None:
    run = Run(partial_fills=True)
    run.play(("new", "BUY", "LONG", "0.1", 2, "", "id1"))
    before = run.engine.snapshot()
    call = getattr(run.engine, method)
    request = {**base, **change}
    refusal: VenueError | None = None
    try:
        call(request, run.wall_ms) if method in MUTATIONS else call(request)
    except VenueError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code < 0 < len(refusal.msg)
    if refusal is not None or method in QUERIES:
        assert run.engine.snapshot() == before
    run.check()

"""The exchange's invariants under random orders and ticks: wallet, margin, price and queue order, legs.

`make properties` plays 10,000 runs of each (HEDGEGRIDD_EXAMPLES=N: any number); the test suite plays its share.
"""

import os
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgegridd.exchange.state import Order, Trade
from hedgegridd.exchange.types import VenueError
from tests.property.test_exchange_engine import (
    TICK,
    D,
    Run,
    orders,
    others,
    stops,
    ticks,
)

EXAMPLES = int(os.environ.get("HEDGEGRIDD_EXAMPLES", "100"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# A few prices close together, so that orders meet at the same one, and ticks that just reach them.
away = st.integers(0, 9)
small = st.integers(3, 250).map(lambda n: str(D(n) / 1000))
rungs = st.tuples(
    st.sampled_from(["LONG", "SHORT"]),
    st.sampled_from([True, True, True, False]),  # exits are refused while there is nothing to close
    small,
    away,
    st.sampled_from(["GTC", "GTX"]),
)
ladders = st.tuples(st.just("ladder"), st.lists(rungs, min_size=2, max_size=6))
nudges = st.tuples(
    st.just("tick"), st.integers(-3, 3), st.integers(0, 9), st.integers(0, 9), st.integers(0, 400),
    st.integers(0, 3), st.integers(1, 60_000),
)  # fmt: skip
shifts = st.tuples(st.just("shift"), st.integers(0, 11), small, away)
drops = st.tuples(st.just("drop"), st.integers(0, 11))
steps = st.lists(
    st.one_of(ladders, ladders, ladders, nudges, nudges, nudges, shifts, drops, orders, stops, ticks, others),
    min_size=6,
    max_size=30,
)


class Watched(Run):
    """A run that looks at every step from outside: at the trades it made and the orders it left."""

    def play(self, step: tuple[Any, ...]) -> None:
        if not hasattr(self, "held"):
            self.held = {"LONG": D(0), "SHORT": D(0)}
            self.seen = 0
        self.wall_ms += 10
        state = self.engine.state
        before = {o.id: (o.price, o.side, o.rank) for o in self.engine.resting()}
        available = D(self.engine.truth()["available"])
        try:
            getattr(self, f"do_{step[0]}")(*step[1:])
        except VenueError:
            self.refused += 1
        trades = state.trades[self.seen :]
        self.seen = len(state.trades)
        for trade in trades:
            self.no_close_above_the_leg(trade)
        makers = [t for t in trades if t.maker]
        if step[0] == "tick":
            self.limits_are_kept_and_the_best_and_oldest_go_first(before, makers)
            self.margin_is_enforced()
        else:
            assert not makers, "nothing of ours trades as maker without a tick: not even with our own orders"
        self.takers_walk_the_book(
            [t for t in trades if not t.maker and state.orders[t.order_id].type in {"LIMIT", "MARKET"}]
        )
        if step[0] in {"new", "ladder", "amend", "shift"} and not trades:
            self.entries_have_their_margin(available)
        self.wallet_is_the_sum_of_its_parts()

    def no_close_above_the_leg(self, trade: Trade) -> None:
        opens = (trade.side == "BUY") == (trade.leg == "LONG")
        self.held[trade.leg] += trade.qty if opens else -trade.qty
        assert self.held[trade.leg] >= 0, "closed more than the leg held"

    def limits_are_kept_and_the_best_and_oldest_go_first(
        self, before: dict[int, tuple[Decimal, str, int]], makers: list[Trade]
    ) -> None:
        state = self.engine.state
        market = state.markets["BTCUSDT"]
        for trade in makers:
            order_id = trade.order_id
            price, side, rank = before[order_id]
            assert trade.price == price, "a resting order fills at its own price"
            buys = side == "BUY"
            facing = market.asks if buys else market.bids
            reached = [self.low if buys else self.high, *(level[0] for level in facing[:1])]
            assert min(reached) <= price if buys else max(reached) >= price, "the market never came there"
            for other_id, (other_price, other_side, other_rank) in before.items():
                if other_side != side or not state.orders[other_id].open:
                    continue
                better = other_price > price if buys else other_price < price
                assert not better, f"{order_id} at {price} filled past {other_id} at {other_price}"
                assert other_price != price or other_rank >= rank, (
                    f"{order_id} filled before the older {other_id}"
                )

    def takers_walk_the_book(self, trades: list[Trade]) -> None:
        state = self.engine.state
        by_order: dict[int, list[Trade]] = {}
        for trade in trades:
            by_order.setdefault(trade.order_id, []).append(trade)
        for order_id, fills in by_order.items():
            order: Order = state.orders[order_id]
            prices = [fill.price for fill in fills]
            buys = order.side == "BUY"
            assert prices == sorted(prices, reverse=not buys), "a taker takes the best price first"
            if order.type == "LIMIT":
                assert all(p <= order.price if buys else p >= order.price for p in prices)
            left = state.markets["BTCUSDT"].asks if buys else state.markets["BTCUSDT"].bids
            if left and len(by_order) == 1:
                assert left[0][0] >= prices[-1] if buys else left[0][0] <= prices[-1], (
                    "a better price was left"
                )

    def margin_is_enforced(self) -> None:
        truth = self.engine.truth()
        if any(D(leg["qty"]) for leg in truth["legs"].values()):
            assert D(truth["margin_balance"]) >= D(truth["maintenance_margin"]), (
                "a leg lives below its margin"
            )
        assert D(truth["wallet"]) >= 0 or any(D(leg["qty"]) for leg in truth["legs"].values())

    def entries_have_their_margin(self, available: Decimal) -> None:
        account = self.engine.account_v3()
        held = D(account["totalInitialMargin"])
        balance = D(account["totalMarginBalance"])
        assert held <= balance or D(account["availableBalance"]) >= available, "an entry rests without margin"
        assert D(account["availableBalance"]) == max(D(0), balance - held)

    def wallet_is_the_sum_of_its_parts(self) -> None:
        state = self.engine.state
        booked = sum((row.amount for rows in state.income.values() for row in rows), D(0))
        assert booked == state.wallet
        realised = sum((t.realised for t in state.trades), D(0))
        fees = sum((t.commission for t in state.trades), D(0))
        assert (realised, fees) == (state.realised, state.fees)
        for leg, qty in self.held.items():
            assert state.leg("BTCUSDT", leg).qty == qty
        assert self.engine.truth()["invariant"] == "ok"

    def do_ladder(self, rungs: list[tuple[str, bool, str, int, str]]) -> None:
        """Entries and exits of the legs, each on the side of the price where it rests."""
        for leg, entry, qty, ticks_away, tif in rungs:
            side = "BUY" if (leg == "LONG") == entry else "SELL"
            price = self.price(-ticks_away if side == "BUY" else ticks_away)
            request = {
                "symbol": "BTCUSDT",
                "side": side,
                "positionSide": leg,
                "quantity": qty,
                "price": price,
            }
            try:
                self.engine.new_order({**request, "type": "LIMIT", "timeInForce": tif}, self.wall_ms)
            except VenueError:
                self.refused += 1

    def do_shift(self, index: int, qty: str, ticks_away: int) -> None:
        """Amend one of the resting orders."""
        resting = self.engine.resting()
        if resting:
            order = resting[index % len(resting)]
            price = self.price(-ticks_away if order.side == "BUY" else ticks_away)
            request = {"symbol": "BTCUSDT", "orderId": str(order.id), "side": order.side, "quantity": qty}
            self.engine.modify_order({**request, "price": price}, self.wall_ms)

    def do_drop(self, index: int) -> None:
        """Cancel one of the resting orders."""
        resting = self.engine.resting()
        if resting:
            asked = {"symbol": "BTCUSDT", "orderId": str(resting[index % len(resting)].id)}
            self.engine.cancel_order(asked, self.wall_ms)

    def do_tick(self, *step: Any) -> None:
        _move, down, up, *_ = step
        super().do_tick(*step)
        self.low, self.high = self.last - TICK * down, self.last + TICK * up


@SETTINGS
@given(steps=steps, partial_fills=st.booleans())
def test_the_invariants_hold_after_every_step(steps: list[tuple[Any, ...]], partial_fills: bool) -> None:
    run = Watched(partial_fills=partial_fills)
    for step in steps:
        run.play(step)
        run.engine.take_events()

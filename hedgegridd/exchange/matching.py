"""Our resting orders of one symbol against its market: who fills, how much, at what price.

A resting order fills at its own price when the market traded or stands through it, or when the volume traded at its
price has passed the displayed size that stood before it. Takers walk the displayed depth, which they use up until
the next tick shows a new one. Both sides are kept sorted best first, so that a tick looks only at what can fill.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from decimal import Decimal

from hedgegridd.exchange.state import ZERO, Market, Order
from hedgegridd.exchange.types import SymbolRules, Tick

# (price key, rank, order id): the key is negated for buys, so that the best comes first, and of these the oldest.
Rung = tuple[Decimal, int, int]


class Book:
    """Resting orders and displayed depth of one symbol; `market` is the part of it that is kept over restarts."""

    def __init__(self, rules: SymbolRules, market: Market, *, partial_fills: bool) -> None:
        self.rules = rules
        self.market = market
        self.orders: dict[int, Order] = {}
        self._partial = partial_fills
        self._sides: dict[str, list[Rung]] = {"BUY": [], "SELL": []}

    def add(self, order: Order) -> None:
        """Rests an order behind the displayed size at its price (and behind our own older ones)."""
        self.orders[order.id] = order
        insort(self._sides[order.side], self._rung(order))

    def remove(self, order: Order) -> None:
        """Takes a resting order away; no effect when it does not rest."""
        if self.orders.pop(order.id, None) is None:
            return
        side = self._sides[order.side]
        del side[bisect_left(side, self._rung(order))]

    @staticmethod
    def _rung(order: Order) -> Rung:
        return (-order.price if order.side == "BUY" else order.price, order.rank, order.id)

    def notional(self, side: str) -> Decimal:
        """Notional of our resting orders on `side`, USDT."""
        return sum((o.price * o.remaining for o in self.orders.values() if o.side == side), ZERO)

    def queue_at(self, side: str, price: Decimal) -> Decimal:
        """What stands before a new order at `price`: the displayed size on our side, or what our older ones wait for."""
        shown = (size for level, size in self.market.bids if level == price)
        if side == "SELL":
            shown = (size for level, size in self.market.asks if level == price)
        own = (o.queue for o in self.orders.values() if o.price == price and o.side == side)
        return max(*shown, *own, ZERO, ZERO)

    def best(self, side: str) -> Decimal | None:
        """The best displayed price on `side` of the book (BUY: bids)."""
        levels = self.market.bids if side == "BUY" else self.market.asks
        return levels[0][0] if levels else None

    def crosses(self, side: str, price: Decimal) -> bool:
        """Whether an order at `price` would take from the displayed book."""
        best = self.best("SELL" if side == "BUY" else "BUY")
        return best is not None and (price >= best if side == "BUY" else price <= best)

    def own_facing(self, side: str, bound: Decimal) -> Order | None:
        """Our best resting order that a taker on `side` would meet at `bound` or better, if any."""
        rungs = self._sides["SELL" if side == "BUY" else "BUY"]
        if not rungs:
            return None
        own = self.orders[rungs[0][2]]
        return own if (own.price <= bound if side == "BUY" else own.price >= bound) else None

    def takeable(self, side: str, bound: Decimal) -> Decimal:
        """Displayed size that a taker on `side` can reach at `bound` or better."""
        levels = self.market.asks if side == "BUY" else self.market.bids
        return sum((q for p, q in levels if (p <= bound if side == "BUY" else p >= bound)), ZERO)

    def take(self, side: str, qty: Decimal, bound: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Walks the displayed depth for up to `qty`, no worse than `bound`; uses it up. Returns (price, qty)."""
        levels = self.market.asks if side == "BUY" else self.market.bids
        taken: list[tuple[Decimal, Decimal]] = []
        while levels and qty > 0:
            price, size = levels[0]
            if (price > bound) if side == "BUY" else (price < bound):
                break
            part = min(size, qty)
            qty -= part
            taken.append((price, part))
            if part == size:
                del levels[0]
            else:
                levels[0] = (price, size - part)
        return taken

    def move(self, tick: Tick) -> Iterator[tuple[Order, Decimal]]:
        """Shows the new tick and yields (order, quantity) for what it fills, best price first on each side.

        The side whose extreme came first goes first: with the last price near the low, the high was before it. An
        order that was closed while the caller handled an earlier fill is passed over.
        """
        market = self.market
        market.ts_ms, market.last, market.mark, market.index = tick.ts_ms, tick.last, tick.mark, tick.index
        market.bids, market.asks = list(tick.bids), list(tick.asks)
        sides = self._sides
        if not sides["BUY"] and not sides["SELL"]:
            return
        for side in ("SELL", "BUY") if tick.last - tick.low < tick.high - tick.last else ("BUY", "SELL"):
            if sides[side]:
                yield from self._side_fills(side, tick)

    def _side_fills(self, side: str, tick: Tick) -> Iterator[tuple[Order, Decimal]]:
        """Fills of one side, in keys (larger is further towards our orders' far end).

        `extreme` is how far trades went, `stands` where the facing side of the book now is, `reach` the further.
        """
        buys = side == "BUY"
        facing = tick.asks if buys else tick.bids
        extreme = -tick.low if buys else tick.high
        stands = (-facing[0][0] if buys else facing[0][0]) if facing else extreme
        reach = max(extreme, stands)
        candidates = self._reached(side, reach)
        left = tick.volume
        at_touch = self._touch_volume(tick, facing, reach, extreme)
        for key, _, order_id in candidates:
            order = self.orders.get(order_id)
            if order is None:
                continue
            if key == reach:
                if reach == extreme:
                    at_touch = min(at_touch, left)  # better prices of ours were served first
                qty, at_touch = self._touched(order, at_touch)
            elif not self._partial or key < stands:
                qty = order.remaining  # the book now stands beyond it: all of it must have traded
            else:
                qty = min(order.remaining, self._whole_steps(left))
                order.queue = ZERO
                left -= qty
            if qty > 0:
                yield order, qty

    def _reached(self, side: str, reach: Decimal) -> list[Rung]:
        """The rungs at `reach` or better, best first."""
        rungs = self._sides[side]
        if rungs[0][0] > reach:
            return []
        return rungs[: bisect_left(rungs, (reach, 1 << 62))]

    def _touch_volume(
        self,
        tick: Tick,
        facing: tuple[tuple[Decimal, Decimal], ...],
        reach: Decimal,
        extreme: Decimal,
    ) -> Decimal:
        """Volume that traded exactly at the furthest price reached.

        Trades are taken as spread evenly over the prices of the tick's range; a book that came to stand at our price
        would have traded its size with us.
        """
        if reach == extreme:
            return tick.volume / (1 + (tick.high - tick.low) / self.rules.tick)
        return facing[0][1]

    def _touched(self, order: Order, volume: Decimal) -> tuple[Decimal, Decimal]:
        """What `volume` at its price gives an order after its queue: (quantity, volume left for the next)."""
        ahead = min(order.queue, volume)
        order.queue -= ahead
        after = volume - ahead
        if after <= 0:
            return ZERO, volume
        if not self._partial:
            return order.remaining, volume
        qty = min(order.remaining, self._whole_steps(after))
        return qty, volume - qty

    def _whole_steps(self, qty: Decimal) -> Decimal:
        return qty // self.rules.step * self.rules.step

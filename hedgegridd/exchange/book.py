"""The displayed book of a paper market: a deterministic depth around the last price, cheap enough for every tick.

Prices and sizes are integers here (ticks, lots); what leaves is Decimal, exact to the tick and the step. What
a side shows depends on its best price and the size factor alone, so what was laid out once is kept.
"""

from decimal import Decimal

from hedgegridd.exchange.types import SymbolRules

LEVELS = 20
_KEEP_SIDES = 8_192
_KEEP_DECIMALS = 65_536
_MIX = 2_654_435_761  # Knuth's multiplicative hash: sizes differ by price, and are the same each time

type Side = tuple[tuple[Decimal, Decimal], ...]


class DecimalCache:
    """Multiples of a unit as Decimal; the same few thousand prices are asked for again and again."""

    def __init__(self, unit: Decimal) -> None:
        self._unit = unit
        self._known: dict[int, Decimal] = {}

    def of(self, count: int) -> Decimal:
        """`count` x unit, exact."""
        value = self._known.get(count)
        if value is None:
            if len(self._known) >= _KEEP_DECIMALS:
                self._known.clear()
            value = self._known[count] = self._unit * count
        return value


class DepthModel:
    """Depth for one symbol.

    `reference_ticks` is the price at which sizes and distances are laid out, `level_usdt` the mean notional of
    the best level there. Levels stand `level_bps` apart; level k shows up to (1 + k/4) x as much as the best
    one, and 0.5 to 1.5 of that by price.
    """

    def __init__(
        self,
        rules: SymbolRules,
        reference_ticks: int,
        *,
        level_usdt: int = 60_000,
        level_bps: Decimal = Decimal(1),
    ) -> None:
        self._price = DecimalCache(rules.tick)
        self._lots = DecimalCache(rules.step)
        self._gap = max(1, round(reference_ticks * level_bps / 10_000))
        self._best_lots = max(2, int(level_usdt / (rules.tick * reference_ticks) / rules.step))
        self._rests: dict[tuple[int, int, int], Side] = {}

    def around(self, last_ticks: int, spread_bps: float, size_pct: int) -> tuple[Side, Side]:
        """Bids and asks, best first: `last` lies within the spread, which is at least one tick.

        `size_pct` scales all displayed sizes (100 = as laid out).
        """
        spread = max(1, round(last_ticks * spread_bps / 10_000))
        best_bid = max(1, last_ticks - spread // 2)
        return self.between(best_bid, best_bid + spread, size_pct)

    def between(self, bid_ticks: int, ask_ticks: int, size_pct: int) -> tuple[Side, Side]:
        """Bids and asks, best first, around a known best bid and ask."""
        return self._side(bid_ticks, -1, size_pct), self._side(ask_ticks, 1, size_pct)

    def _side(self, best: int, sign: int, size_pct: int) -> Side:
        # Behind the best price orders stand at multiples of the gap, as they cluster at round prices; so the rest
        # of a side changes only when the best price crosses such a multiple.
        first = (best - 1) // self._gap if sign < 0 else best // self._gap + 1
        key = (first, sign, size_pct)
        rest = self._rests.get(key)
        if rest is None:
            if len(self._rests) >= _KEEP_SIDES:
                self._rests.clear()
            rest = self._rests[key] = tuple(
                self._level(price, level, size_pct)
                for level in range(1, LEVELS)
                if (price := (first + sign * (level - 1)) * self._gap) > 0
            )
        return (self._level(best, 0, size_pct), *rest)

    def _level(self, price: int, level: int, size_pct: int) -> tuple[Decimal, Decimal]:
        share_pct = 50 + (price * _MIX >> 7) % 101
        lots = max(1, self._best_lots * size_pct * share_pct * (4 + level) // 40_000)
        return self._price.of(price), self._lots.of(lots)

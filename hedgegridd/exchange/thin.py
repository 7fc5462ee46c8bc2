"""A book that is drawn apart and thinned out on purpose, for drills: what a market shows in a panic."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from hedgegridd.exchange.types import SymbolRules, Tick

_BPS = Decimal(10_000)


class Thin(msgspec.Struct, frozen=True, kw_only=True):
    """Each side `spread_bps` / 2 further from the price, sizes at `size_pct` per cent, at least one step."""

    rules: SymbolRules
    spread_bps: Decimal
    size_pct: int

    def of(self, tick: Tick) -> Tick:
        """The tick with its book so; price and volume are untouched."""
        half = tick.last * self.spread_bps / 2 / _BPS
        move = self._whole(half, self.rules.tick, up=True)
        return msgspec.structs.replace(
            tick,
            bids=tuple((price - move, self._size(qty)) for price, qty in tick.bids if price > move),
            asks=tuple((price + move, self._size(qty)) for price, qty in tick.asks),
        )

    def _size(self, qty: Decimal) -> Decimal:
        return max(self._whole(qty * self.size_pct / 100, self.rules.step, up=False), self.rules.step)

    @staticmethod
    def _whole(value: Decimal, unit: Decimal, *, up: bool) -> Decimal:
        rounding = ROUND_CEILING if up else ROUND_FLOOR
        return (value / unit).to_integral_value(rounding) * unit

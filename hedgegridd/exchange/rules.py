"""The symbols the paper exchange can list, with the filters, fees and margins the venue had for them."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from hedgegridd.exchange.types import SymbolRules


def _rules(
    base: str, tick: str, step: str, min_notional: int, *, max_qty: int, market_max: int, leverage: int
) -> SymbolRules:
    return SymbolRules(
        symbol=f"{base}USDT",
        base=base,
        tick=Decimal(tick),
        step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(max_qty),
        market_max_qty=Decimal(market_max),
        min_notional=Decimal(min_notional),
        max_leverage=leverage,
    )


LISTED: dict[str, SymbolRules] = {
    rules.symbol: rules
    for rules in (
        _rules("BTC", "0.1", "0.001", 100, max_qty=1_000, market_max=120, leverage=125),
        _rules("ETH", "0.01", "0.001", 20, max_qty=10_000, market_max=2_000, leverage=125),
        _rules("SOL", "0.01", "0.01", 5, max_qty=1_000_000, market_max=5_000, leverage=100),
        _rules("XRP", "0.0001", "0.1", 5, max_qty=10_000_000, market_max=2_000_000, leverage=100),
        _rules("USDC", "0.000001", "1", 5, max_qty=10_000_000, market_max=2_000_000, leverage=75),
    )
}


def rules_of(symbol: str) -> SymbolRules:
    """The rules of `symbol`. Raises ValueError for one that is not listed here."""
    rules = LISTED.get(symbol)
    if rules is None:
        raise ValueError(f"symbols: {symbol!r} is not listed here; there are {', '.join(LISTED)}")
    return rules


MAX_FEE = Decimal("0.01")  # of the notional; the venue's own are below a tenth of a percent
PERCENT_MOST = Decimal(2)  # a price at most twice, and at least a tenth, of mark
PERCENT_LEAST = Decimal("0.1")
MAX_ORDERS = 1_000
CHANGEABLE = (
    "tick", "step", "min_qty", "max_qty", "market_max_qty", "min_notional", "percent_up", "percent_down",
    "max_orders", "max_algo_orders", "maker_fee", "taker_fee",
)  # fmt: skip


def changed_rules(rules: SymbolRules, changes: Mapping[str, Decimal | int], resting: int) -> SymbolRules:
    """`rules` with some of `CHANGEABLE` set anew, while `resting` orders rest.

    Tick and step may only become finer, by a whole fraction: what is open lies on the old ones. Raises ValueError that
    names the field.
    """
    if not changes:
        raise ValueError(f"nothing to change: name one of {', '.join(CHANGEABLE)}")
    for name, value in changes.items():
        if name not in CHANGEABLE:
            raise ValueError(f"{name} cannot be changed: only {', '.join(CHANGEABLE)}")
        if not Decimal(value).is_finite() or value <= 0:
            raise ValueError(f"{name} must be above 0, not {value}")
    new: SymbolRules = msgspec.structs.replace(rules, **changes)
    for name in ("tick", "step"):
        if getattr(rules, name) % getattr(new, name):
            raise ValueError(f"{name} may only become a whole fraction of {getattr(rules, name)}")
    if not new.min_qty <= new.max_qty or not new.min_qty <= new.market_max_qty:
        raise ValueError(f"min_qty {new.min_qty} must not be above max_qty and market_max_qty")
    if not PERCENT_LEAST <= new.percent_down < 1 < new.percent_up <= PERCENT_MOST:
        raise ValueError(
            f"percent_down must be {PERCENT_LEAST} to below 1, percent_up above 1 to {PERCENT_MOST}, "
            f"not {new.percent_down} and {new.percent_up}"
        )
    for name in ("maker_fee", "taker_fee"):
        if getattr(new, name) > MAX_FEE:
            raise ValueError(f"{name} must be at most {MAX_FEE} of the notional, not {getattr(new, name)}")
    for name in ("max_orders", "max_algo_orders"):
        if getattr(new, name) > MAX_ORDERS:
            raise ValueError(f"{name} must be at most {MAX_ORDERS}, not {getattr(new, name)}")
    if new.max_orders < resting:
        raise ValueError(f"max_orders must not be below the {resting} orders that rest")
    return new

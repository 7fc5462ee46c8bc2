"""The symbols the paper exchange can list, with the filters, fees and margins the venue had for them."""

from decimal import Decimal

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
    )
}


def rules_of(symbol: str) -> SymbolRules:
    """The rules of `symbol`. Raises ValueError for one that is not listed here."""
    rules = LISTED.get(symbol)
    if rules is None:
        raise ValueError(f"symbols: {symbol!r} is not listed here; there are {', '.join(LISTED)}")
    return rules

"""The filters of `exchangeInfo` applied to one order, refusing with the venue's codes."""

from decimal import Decimal

from hedgegridd.exchange.numbers import decimals, text
from hedgegridd.exchange.types import SymbolRules, VenueError

TRIGGER_PROTECT = Decimal("0.05")  # how far mark and last may be apart when a priceProtect order triggers
MAX_PRICE_FACTOR = 10_000_000  # PRICE_FILTER's maxPrice in ticks


def max_price(rules: SymbolRules) -> Decimal:
    """The highest price PRICE_FILTER lets through."""
    return rules.tick * MAX_PRICE_FACTOR


def check_price(rules: SymbolRules, price: Decimal, *, trigger: bool = False) -> None:
    """Refuses a price (or trigger price) that is not positive, too large, too fine or off the tick."""
    if price <= 0:
        code, msg = (-4006, "Stop price less than zero.") if trigger else (-4001, "Price less than 0.")
        raise VenueError(code, msg)
    if price > max_price(rules):
        code = -4007 if trigger else -4002
        raise VenueError(code, "Price greater than max price.")
    if decimals(price) > decimals(rules.tick):
        raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
    if price % rules.tick:
        raise VenueError(-4014, "Price not increased by tick size.")


def check_qty(rules: SymbolRules, qty: Decimal, *, market: bool) -> None:
    """Refuses a quantity outside LOT_SIZE (or MARKET_LOT_SIZE), too fine, or off the step."""
    if qty <= 0:
        raise VenueError(-4003, "Quantity less than or equal to zero.")
    if decimals(qty) > decimals(rules.step):
        raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
    if qty < rules.min_qty:
        raise VenueError(-4004, "Quantity less than min quantity.")
    if qty > (rules.market_max_qty if market else rules.max_qty):
        raise VenueError(-4005, "Quantity greater than max quantity.")
    if qty % rules.step:
        raise VenueError(-4023, "Quantity not increased by step size.")


def check_notional(rules: SymbolRules, price: Decimal, qty: Decimal) -> None:
    """Refuses an opening order below MIN_NOTIONAL."""
    if price * qty < rules.min_notional:
        least = text(rules.min_notional)
        raise VenueError(
            -4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
        )


def check_percent_price(rules: SymbolRules, side: str, price: Decimal, mark: Decimal) -> None:
    """Refuses a limit price too far through the mark (PERCENT_PRICE); nothing to compare with: passes."""
    if not mark:
        return
    highest, lowest = mark * rules.percent_up, mark * rules.percent_down
    if side == "BUY" and price > highest:
        raise VenueError(
            -4016, f"Limit price can't be higher than {text(highest // rules.tick * rules.tick)}."
        )
    if side == "SELL" and price < lowest:
        raise VenueError(-4024, f"Limit price can't be lower than {text(lowest // rules.tick * rules.tick)}.")


def protected(mark: Decimal, last: Decimal) -> bool:
    """Whether mark and last are too far apart for a priceProtect order to trigger."""
    return mark > 0 and abs(last - mark) > mark * TRIGGER_PROTECT


def market_bound(rules: SymbolRules, side: str, mark: Decimal) -> Decimal:
    """The worst price a market order may take, by PERCENT_PRICE around the mark."""
    return mark * (rules.percent_up if side == "BUY" else rules.percent_down)

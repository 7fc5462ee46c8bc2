"""How figures of the paper exchange become the venue's text, and how money is rounded."""

from decimal import ROUND_HALF_EVEN, Decimal

CENT8 = Decimal("1E-8")


def text(value: Decimal) -> str:
    """`value` without exponent, digits as they are."""
    return format(value, "f")


def fixed(value: Decimal, unit: Decimal) -> str:
    """`value` with as many decimals as `unit` has, half-even."""
    return format(value.quantize(unit, ROUND_HALF_EVEN), "f")


def money(value: Decimal) -> Decimal:
    """`value` in USDT rounded to the venue's eight decimals, half-even."""
    return value.quantize(CENT8, ROUND_HALF_EVEN)


def money_text(value: Decimal) -> str:
    """`value` as the venue writes money: eight decimals, and never a negative zero."""
    rounded = value.quantize(CENT8, ROUND_HALF_EVEN)
    return format(rounded or abs(rounded), "f")


def decimals(value: Decimal) -> int:
    """Decimals of `value` that are not trailing zeros, e.g. 0.100 has one."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

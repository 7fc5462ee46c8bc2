"""Figures for people: on the instrument's own grid of prices and quantities, without the digits that say nothing."""

from decimal import ROUND_HALF_EVEN, Decimal

COUNTING = 8  # digits that count, where no grid is known


def on_grid(value: Decimal, grain: Decimal | None) -> str:
    """`value` to the nearest multiple of `grain` (tick or step) with its decimals and thousands.

    Without a grain: eight digits that count, no zeros behind the last of them.
    """
    if grain is None or grain <= 0:
        places = max(0, COUNTING - 1 - value.adjusted()) if value else 0
        text = f"{round(value, places):,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    steps = (value / grain).to_integral_value(ROUND_HALF_EVEN)
    exponent = grain.normalize().as_tuple().exponent
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    return f"{steps * grain:,.{places}f}"


def counted(number: int, one: str, many: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"

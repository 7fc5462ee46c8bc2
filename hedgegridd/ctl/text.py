"""Figures and words for a terminal: signs, thousands, ages, unknown as a dash, colour for the abnormal only."""

import os
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TextIO

from hedgegridd.control.figures import on_grid

DASH = "—"
FAR = 10
MINUS = "−"  # noqa: RUF001  # a real minus, as wide as the plus
MARKS = {
    "TRADING": "●",
    "HELD": "◆",
    "TRIPPED": "▲",
    "HALTED": "■",
    "STARTING": "○",
    "STOPPING": "○",
    "UNKNOWN": "⊘",
    "NO CONTACT": "⊘",
}
AMBER, RED, DIM = "33", "31", "2"
STATE_COLOURS = {"HELD": AMBER, "TRIPPED": RED, "HALTED": RED, "UNKNOWN": DIM, "NO CONTACT": DIM}
LEVEL_COLOURS = {"WARN": AMBER, "CRITICAL": RED, "BLOCK": RED}
SAFE_COLOURS = {"no": RED, "not yet": AMBER, "unknown": AMBER}


class Paint:
    """Colours text when the stream is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO | None = None, *, on: bool | None = None) -> None:
        where = sys.stdout if stream is None else stream
        self.on = (where.isatty() and not os.environ.get("NO_COLOR")) if on is None else on

    def __call__(self, text: str, code: str | None) -> str:
        """`text` in the colour `code` (an SGR parameter), plain when there is none."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and code else text


def _decimal(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def money(value: Any, *, sign: bool = False) -> str:
    """USDT with two decimals and thousands; with its sign when asked."""
    amount = _decimal(value)
    if amount is None:
        return DASH
    return f"{amount:{'+' if sign else ''},.2f}".replace("-", MINUS)


def price(value: Any, tick: Any = None) -> str:
    """A price on its tick; where that is not known eight digits that count."""
    amount = _decimal(value)
    return DASH if amount is None else on_grid(amount, _decimal(tick)).replace("-", MINUS)


def quantity(value: Any, step: Any = None) -> str:
    """A quantity on its step; where that is not known eight digits that count."""
    return price(value, step)


def average(value: Any) -> str:
    """An average price, which has as many digits as a division gives: eight that count."""
    return price(value)


def liquidation(value: Any, mark: Any, tick: Any = None) -> str:
    """A liquidation price, unless it is so far off (ten times the mark, a tenth of it) that it says nothing."""
    amount, at = _decimal(value), _decimal(mark)
    if amount is None or amount <= 0 or (at is not None and not at / FAR <= amount <= at * FAR):
        return DASH
    return price(amount, tick)


def percent(value: float | None) -> str:
    """A ratio as a percentage with one decimal."""
    return DASH if value is None else f"{value * 100:.1f} %"


def age(value: float | None) -> str:
    """Seconds in words."""
    if value is None:
        return DASH
    seconds = max(0.0, float(value))
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def measure(value: str | None) -> str:
    """A figure with at most four digits behind the point."""
    if value is None:
        return DASH
    text = f"{float(value):.4f}".rstrip("0").rstrip(".")
    return text or "0"


def short(instrument: str) -> str:
    """`BTCUSDT` of `BTCUSDT-PERP.BINANCE`."""
    return instrument.partition(".")[0].removesuffix("-PERP")


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, every column as wide as its widest cell; figures to the right."""
    table = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    right = [all(_is_figure(row[at]) for row in rows) for at in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in table
    ]


def _is_figure(text: str) -> bool:
    return text == DASH or text.lstrip(f"+-{MINUS}").replace(",", "").replace(".", "", 1).isdigit()

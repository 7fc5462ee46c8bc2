"""Leverage brackets: how much notional each leverage allows and what maintenance margin it needs."""

from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd.exchange.types import SymbolRules

# (notional cap in USDT, highest leverage, maintenance rate as a multiple of the first bracket's): the shape of
# the venue's BTCUSDT table. A symbol's own first rate and highest leverage come from its SymbolRules.
_SHAPE = (
    (Decimal(300_000), 125, Decimal(1)),
    (Decimal(800_000), 100, Decimal("1.25")),
    (Decimal(3_000_000), 75, Decimal("1.625")),
    (Decimal(12_000_000), 50, Decimal("2.5")),
    (Decimal(70_000_000), 25, Decimal(5)),
    (Decimal(100_000_000), 20, Decimal("6.25")),
    (Decimal(230_000_000), 10, Decimal("12.5")),
    (Decimal(480_000_000), 5, Decimal(25)),
    (Decimal(600_000_000), 4, Decimal("31.25")),
    (Decimal(800_000_000), 3, Decimal("37.5")),
    (Decimal(1_200_000_000), 2, Decimal("62.5")),
    (Decimal(1_800_000_000), 1, Decimal(125)),
)


class Bracket(msgspec.Struct, frozen=True, kw_only=True):
    """One bracket: notional in (`floor`, `cap`] USDT; maintenance = notional * `rate` - `cum`."""

    number: int
    floor: Decimal
    cap: Decimal
    leverage: int
    rate: Decimal
    cum: Decimal


def brackets_of(rules: SymbolRules) -> tuple[Bracket, ...]:
    """The brackets of a symbol, smallest notional first; continuous where they meet."""
    out: list[Bracket] = []
    floor, cum, rate_before = Decimal(0), Decimal(0), Decimal(0)
    for number, (cap, leverage, multiple) in enumerate(_SHAPE, start=1):
        rate = min(rules.maint_margin_rate * multiple, Decimal("0.5"))
        cum += floor * (rate - rate_before) if out else Decimal(0)
        bounded = min(leverage, rules.max_leverage)
        out.append(Bracket(number=number, floor=floor, cap=cap, leverage=bounded, rate=rate, cum=cum))
        floor, rate_before = cap, rate
    return tuple(out)


def maintenance(brackets: tuple[Bracket, ...], notional: Decimal) -> Decimal:
    """Maintenance margin in USDT of a leg of this notional."""
    for bracket in brackets:
        if notional <= bracket.cap:
            return notional * bracket.rate - bracket.cum
    last = brackets[-1]
    return notional * last.rate - last.cum


def max_notional(brackets: tuple[Bracket, ...], leverage: int) -> Decimal:
    """The largest notional of a leg that this leverage allows, USDT."""
    return max((b.cap for b in brackets if b.leverage >= leverage), default=Decimal(0))


def brackets_json(rules: SymbolRules) -> dict[str, Any]:
    """One symbol's row of `GET /fapi/v1/leverageBracket`; ratio and cum are JSON numbers, as the venue's."""
    rows = [
        {
            "bracket": b.number,
            "initialLeverage": b.leverage,
            "notionalCap": int(b.cap),
            "notionalFloor": int(b.floor),
            "maintMarginRatio": float(b.rate),  # on the wire only: the venue sends a JSON number here
            "cum": float(b.cum),
        }
        for b in brackets_of(rules)
    ]
    return {"symbol": rules.symbol, "notionalCoef": "1.00", "brackets": rows}

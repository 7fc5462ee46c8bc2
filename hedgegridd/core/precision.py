"""Fits rungs and closes to the venue's filters: tick, lot step, minima and maxima (spec/2-strategy.md, Precision)."""

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal

from hedgegridd.core.ladder import Dropped, RungTarget
from hedgegridd.model import ZERO, Instrument, Leg


def fit(rungs: Iterable[RungTarget], instrument: Instrument) -> tuple[tuple[RungTarget, ...], Dropped]:
    """Rungs as the venue takes them, and those it would not take, with the reason.

    Prices go to the tick away from the market, quantities down to the lot step. Below the minimum quantity or notional
    a rung is dropped; above the maximum quantity it becomes several targets of its (leg, level) with `part` 0, 1, ...
    """
    kept: list[RungTarget] = []
    dropped: list[tuple[RungTarget, str]] = []
    for rung in rungs:
        price = instrument.away_price(rung.leg, rung.price)
        qty = instrument.floor_qty(rung.qty)
        if price <= ZERO:
            dropped.append((rung, f"price {rung.price} is below one tick"))
        elif qty < instrument.min_qty or qty <= ZERO:
            dropped.append((rung, f"quantity {qty} is below the venue's minimum {instrument.min_qty}"))
        elif price * qty < instrument.min_notional:
            notional = price * qty
            dropped.append(
                (rung, f"notional {notional} is below the venue's minimum {instrument.min_notional}")
            )
        else:
            parts = split_qty(qty, instrument.max_qty, instrument.step)
            kept.extend(
                RungTarget(rung.leg, rung.level, price, each, part) for part, each in enumerate(parts)
            )
    return tuple(kept), tuple(dropped)


def split_qty(qty: Decimal, max_qty: Decimal, step: Decimal) -> tuple[Decimal, ...]:
    """`qty`, floored to `step`, as the fewest orders of at most `max_qty`; empty when it is below one step.

    The orders are as equal as the step allows, so that none falls below a minimum that the others pass.

    Raises:
        ValueError: `max_qty` is below one step: no order is possible.
    """
    units = int((qty / step).to_integral_value(ROUND_FLOOR))
    most = int((max_qty / step).to_integral_value(ROUND_FLOOR))
    if most < 1:
        raise ValueError(f"maximum quantity {max_qty} is below the lot step {step}")
    if units < 1:
        return ()
    orders = -(-units // most)
    each, rest = divmod(units, orders)
    return tuple(step * (each + 1 if index < rest else each) for index in range(orders))


def drop_crossing(
    rungs: Iterable[RungTarget], bid: Decimal | None, ask: Decimal | None
) -> tuple[tuple[RungTarget, ...], Dropped]:
    """Rungs that would rest, and those that would take: a buy at or above the ask, a sell at or below the bid.

    An unknown side of the book drops nothing: post-only is the venue's own check, this one saves the rejects.
    """
    kept: list[RungTarget] = []
    dropped: list[tuple[RungTarget, str]] = []
    for rung in rungs:
        if rung.leg is Leg.LONG and ask is not None and rung.price >= ask:
            dropped.append((rung, f"would cross the ask {ask}"))
        elif rung.leg is Leg.SHORT and bid is not None and rung.price <= bid:
            dropped.append((rung, f"would cross the bid {bid}"))
        else:
            kept.append(rung)
    return tuple(kept), tuple(dropped)

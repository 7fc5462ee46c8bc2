"""Shrinks new entries of the side that pays before a dear funding settlement (spec/2-strategy.md, Funding)."""

from decimal import Decimal

from hedgegridd import config
from hedgegridd.model import BPS, ZERO, Leg

ONE = Decimal(1)
_SETTLEMENT_MIN = Decimal(480)  # a funding rate is per 8 hours


def cost_bps(rate: Decimal, long_notional: Decimal, short_notional: Decimal, window_min: int) -> Decimal:
    """Net funding cost of both legs in bps of their gross notional over the window; positive when we pay.

    `rate` is the fraction per 8 hours, notionals are USDT, never negative. Without inventory it is 0.
    """
    gross = long_notional + short_notional
    if gross == ZERO:
        return ZERO
    return rate * (long_notional - short_notional) / gross * BPS * window_min / _SETTLEMENT_MIN


def entry_scale(
    leg: Leg,
    *,
    rate: Decimal | None,
    minutes_to_funding: Decimal | None,
    long_notional: Decimal,
    short_notional: Decimal,
    cfg: config.Funding,
) -> Decimal:
    """Factor in [0, 1] for the quantity of new entries of `leg`.

    Below 1 only within the window before settlement, when the net cost exceeds `max_cost_bps`, and only for the side
    that pays (LONG when the rate is positive). A balanced hedge has net cost 0 and is never made directional. An
    unknown rate or settlement time limits nothing: staleness is a guard's matter.
    """
    if rate is None or minutes_to_funding is None or minutes_to_funding >= cfg.window_min:
        return ONE
    paying = Leg.LONG if rate > ZERO else Leg.SHORT
    if leg is not paying:
        return ONE
    if cost_bps(rate, long_notional, short_notional, cfg.window_min) <= cfg.max_cost_bps:
        return ONE
    # A settlement that has just passed (negative minutes) is the end of the window, not a reason to grow.
    return max(ZERO, minutes_to_funding / cfg.window_min)

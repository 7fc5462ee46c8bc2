"""What a trend does to the two ladders (spec/2-strategy.md, Policy)."""

import msgspec

from hedgegridd import config
from hedgegridd.core.ladder import RungTarget
from hedgegridd.model import ZERO, Leg, Regime


def apply_policy(
    regime: Regime, ladders: dict[Leg, tuple[RungTarget, ...]], policy: config.Policy
) -> dict[Leg, tuple[RungTarget, ...]]:
    """The ladders that the policy allows in this regime.

    SIDEWAYS and "symmetric" change nothing. The counter side is SHORT in UP and LONG in DOWN: it keeps its nearest
    `counter_levels` rungs with quantities times `counter_qty_scale` (a rung scaled to nothing is left out).
    "core-and-scalp" cuts the other side to `counter_levels` as well, without scaling it.
    """
    if regime is Regime.SIDEWAYS or policy.kind == "symmetric":
        return dict(ladders)
    counter = Leg.SHORT if regime is Regime.UP else Leg.LONG
    result = {}
    for leg, rungs in ladders.items():
        if leg is counter:
            result[leg] = _scale(_nearest(rungs, policy.counter_levels), policy)
        elif policy.kind == "core-and-scalp":
            result[leg] = _nearest(rungs, policy.counter_levels)
        else:
            result[leg] = rungs
    return result


def _nearest(rungs: tuple[RungTarget, ...], levels: int) -> tuple[RungTarget, ...]:
    return tuple(rung for rung in rungs if rung.level <= levels)


def _scale(rungs: tuple[RungTarget, ...], policy: config.Policy) -> tuple[RungTarget, ...]:
    if policy.counter_qty_scale == ZERO:
        return ()
    return tuple(msgspec.structs.replace(rung, qty=rung.qty * policy.counter_qty_scale) for rung in rungs)

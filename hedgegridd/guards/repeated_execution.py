"""A rung that is entered and closed at a loss again and again: something is wrong with the grid or the market."""

from collections import Counter
from decimal import Decimal
from typing import Annotated

from hedgegridd.config import between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict, at_or_above, leg_scope, warn_level
from hedgegridd.messages import Fill
from hedgegridd.model import LEGS, ZERO, Leg, parse_client_order_id

TYPE = "repeated_execution"
INPUTS = (Fill,)
ENTRY_AGE = 12  # windows back in which the entry of a loss may lie


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_count` losses of one rung within `window_s`; WARN at 80 % of it."""

    trip_count: Annotated[int, between("2", "1000")] = 10
    window_s: Annotated[Decimal, between("1", "86400")] = Decimal(300)
    action: str = "halt"


def history(params: Table) -> tuple[Keep, ...]:
    """Fills of the window, and further back for the entries that they close."""
    return (Keep(kind=Fill, seconds=params.window_s * ENTRY_AGE),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each leg: the losses of its worst rung."""
    worst: dict[tuple[str, Leg], int] = {(name, leg): 0 for name in view.names for leg in LEGS}
    since_ns = now.time_ns - int(params.window_s * 1_000_000_000)
    for (name, leg, _), count in _losses(view, since_ns).items():
        if (name, leg) in worst:
            worst[name, leg] = max(worst[name, leg], count)
    limit = Decimal(params.trip_count)
    return tuple(
        at_or_above(
            params,
            Decimal(count),
            warn=warn_level(None, limit),
            limit=limit,
            unit="times",
            what=f"a rung closed at a loss within {params.window_s} s:",
            scope=leg_scope(name, leg),
        )
        for (name, leg), count in worst.items()
    )


def _losses(view: View, since_ns: int) -> Counter[tuple[str, Leg, int]]:
    """Closing orders at a loss by rung; an exit of the whole leg (level 0) counts for each rung that is open."""
    entered: dict[tuple[str, Leg, int], Decimal] = {}
    counted: set[tuple[str, int]] = set()
    losses: Counter[tuple[str, Leg, int]] = Counter()
    for fact in view.kept(Fill):
        fill = fact.message
        tag = parse_client_order_id(fill.client_order_id)
        if tag is None:
            continue
        if fill.side is fill.leg.entry_side:
            entered[fill.instrument, fill.leg, tag.level] = fill.price
            continue
        for rung in _closed_by(fill, tag.level, entered):
            entry = entered[rung]
            lost = (fill.price - entry) * fill.leg.sign < ZERO
            if lost and fact.time_ns > since_ns and (fill.client_order_id, rung[2]) not in counted:
                counted.add((fill.client_order_id, rung[2]))
                losses[rung] += 1
    return losses


def _closed_by(
    fill: Fill, level: int, entered: dict[tuple[str, Leg, int], Decimal]
) -> list[tuple[str, Leg, int]]:
    if level:
        rung = (fill.instrument, fill.leg, level)
        return [rung] if rung in entered else []
    return [rung for rung in entered if rung[:2] == (fill.instrument, fill.leg)]

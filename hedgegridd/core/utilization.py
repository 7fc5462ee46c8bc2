"""How much of a guard's limit is used up, for people; apart from guard.py, which a command line need not load."""

from decimal import Decimal

from hedgegridd.messages import GuardVerdict
from hedgegridd.model import ZERO


def utilization(verdict: GuardVerdict) -> Decimal | None:
    """How much of a guard's limit is used up, 1 at the limit; None: not known, or nothing is measured."""
    value, limit = verdict.value, verdict.limit
    if value is None or not limit:
        return None
    if verdict.warn is not None and verdict.warn > limit:  # a floor or a distance
        return limit / value if value > ZERO else None
    return max(value / limit, ZERO)

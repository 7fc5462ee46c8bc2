"""How much of a guard's limit is used up, for people; apart from guard.py, which a command line need not load."""

from decimal import Decimal

from hedgegridd.messages import GuardVerdict
from hedgegridd.model import ZERO


def utilization(verdict: GuardVerdict) -> Decimal | None:
    """How much of a guard's limit is used up, 1 at the limit; None: not known, or nothing is measured."""
    value, limit = verdict.value, verdict.limit
    if value is None or not limit:
        return None
    if _is_floor(verdict, value, limit):
        return limit / value if value > ZERO else None
    return max(value / limit, ZERO)


def _is_floor(verdict: GuardVerdict, value: Decimal, limit: Decimal) -> bool:
    """Whether the value must stay above its limit: by the warn level, and where there is none by what is OK now."""
    if verdict.warn is not None:
        return verdict.warn > limit
    reached = verdict.level in ("CRITICAL", "BLOCK")
    return value < limit if reached else value > limit

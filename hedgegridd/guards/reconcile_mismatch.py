"""The venue and our books differ, in a leg or an order, for longer than a moment."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, level_of, missing, shown
from hedgegridd.messages import Level, Reconciled, RiskFigures, Scope
from hedgegridd.model import ZERO

TYPE = "reconcile_mismatch"
INPUTS = (RiskFigures, Reconciled)
SHOWN_MAX = 3


class Table(GuardTable, frozen=True, kw_only=True):
    """`action` after `trip_s`, CRITICAL after `critical_s`. `max_age_s`: of the last comparison, whatever it found."""

    trip_s: Annotated[Decimal, between("0.1", "3600")] = Decimal(10)
    critical_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(60)
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = ZERO
    max_age_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(120)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account."""
    told, compared = view.last(RiskFigures), view.last(Reconciled)
    if told is None or compared is None or compared.age_s(now) > params.max_age_s:
        what = "never compared" if compared is None else f"last compared {compared.age_s(now):.0f} s ago"
        return (missing(params, f"books and venue: {what}", limit=params.trip_s, unit="s"),)
    differences = told.message.differences
    if not differences:
        return (Verdict(level="OK", value=ZERO, warn=ZERO, limit=params.trip_s, unit="s"),)
    held = view.held_s(Scope(), now)
    level: Level = "WARN"
    again: Decimal | None = params.trip_s - held
    if held >= params.trip_s:
        level, again = level_of(params.act), params.critical_s - held
    if held >= params.critical_s:
        level, again = "CRITICAL", None
    return (
        Verdict(
            level=level,
            value=held,
            warn=ZERO,
            limit=params.trip_s,
            unit="s",
            words=lambda: f"books and venue differ for {shown(held)} s: {'; '.join(differences[:SHOWN_MAX])}",
            again_s=again,
        ),
    )

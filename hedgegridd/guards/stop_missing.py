"""Inventory without its leg stop at the venue: the stop is placed anew, and when that does not help the leg is closed."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import between
from hedgegridd.core.actions import Action
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Now, Verdict, leg_scope, missing, shown
from hedgegridd.messages import LegFigures, RiskFigures, Scope
from hedgegridd.model import ZERO

TYPE = "stop_missing"
INPUTS = (RiskFigures,)
RESTOP = Action("restop")
EVERY_S = 5  # the stop is placed anew that often while it stays away


class Table(GuardTable, frozen=True, kw_only=True):
    """After `restop_s` the stop is placed anew, after `trip_s` `action` follows."""

    restop_s: Annotated[Decimal, between("0.1", "3600")] = Decimal(2)
    trip_s: Annotated[Decimal, between("0.1", "3600")] = Decimal(30)
    action: str = "flatten"
    clear_s: Annotated[Decimal, between("0", "86400")] = ZERO


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each leg; a leg that is left to a hand, or whose inventory is not ours, is not judged."""
    told = view.last(RiskFigures)
    if told is None or not told.message.reconciled:
        return (missing(params, "positions are not known", limit=params.trip_s, unit="s"),)
    verdicts = []
    for name in view.names:
        books = view.books(name)
        if books is None:
            what = "positions are not known"
            verdicts.append(
                missing(params, what, scope=Scope(instrument=name), limit=params.trip_s, unit="s")
            )
            continue
        verdicts += [_leg(view, now, params, name, leg) for leg in books.legs]
    return tuple(verdicts)


def _leg(view: View, now: Now, params: Table, name: str, leg: LegFigures) -> Verdict:
    scope = leg_scope(name, leg.leg)
    if leg.qty == ZERO or leg.stop_resting or leg.hands_off:
        return Verdict(level="OK", value=ZERO, scope=scope, limit=params.trip_s, unit="s")
    held = view.held_s(scope, now)
    late, trips = held >= params.restop_s, held >= params.trip_s
    if trips:
        again = None
    else:
        again = (params.trip_s if late else params.restop_s) - held
        again = min(again, Decimal(EVERY_S)) if late else again
    return Verdict(
        level="CRITICAL" if late else "OK",
        value=held,
        scope=scope,
        warn=params.restop_s,
        limit=params.trip_s,
        unit="s",
        words=lambda: f"{leg.qty:f} without a stop at the venue for {shown(held)} s",
        action=None if trips else RESTOP,
        held=True,
        again_s=again,
        once=str(int(held) // EVERY_S),
    )

"""The venue has acted on our position or changed the instrument: ADL, liquidation, trading status, filters."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import between
from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict, level_of
from hedgegridd.messages import InstrumentReady, Scope, VenueAction

TYPE = "venue_action"
INPUTS = (VenueAction, InstrumentReady)
KINDS = frozenset({"ADL", "LIQUIDATION", "STATUS", "FILTERS"})
TRADING = "TRADING"


class Table(GuardTable, frozen=True, kw_only=True):
    """The instrument is halted until somebody rearms it. `window_s`: how long such an act counts as happening."""

    action: str = "halt"
    window_s: Annotated[Decimal, between("0.1", "3600")] = Decimal(1)


def history(params: Table) -> tuple[Keep, ...]:
    """What the venue did in the window."""
    return (Keep(kind=VenueAction, seconds=params.window_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for each instrument."""
    said: dict[str, list[str]] = {name: [] for name in view.names}
    for fact in view.recent(VenueAction, now, params.window_s):
        act = fact.message
        if act.kind in KINDS and act.instrument in said and not _back(act):
            leg = "" if act.leg is None else f" of {act.leg}"
            said[act.instrument].append(f"{act.kind}{leg} {act.detail}".rstrip())
    for name, ready in view.each(InstrumentReady).items():
        if name in said and ready.message.instrument.status != TRADING:
            said[name].append(f"trading status {ready.message.instrument.status}")
    level = level_of(params.act)
    return tuple(
        Verdict(
            level=level if what else "OK",
            value=Decimal(len(what)),
            scope=Scope(instrument=name),
            limit=Decimal(1),
            unit="acts",
            words=lambda w=what: f"by the venue: {'; '.join(w)}",  # type: ignore[misc]
            again_s=params.window_s if what else None,
        )
        for name, what in said.items()
    )


def _back(act: VenueAction) -> bool:
    """The instrument trades again: news, but no reason to halt it."""
    return act.kind == "STATUS" and act.detail.rpartition(" ")[2] == TRADING

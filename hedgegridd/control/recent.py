"""The newest things that happened, as one line each for people; bounded, oldest out."""

from collections import deque
from collections.abc import Callable
from typing import Any

from hedgegridd import messages as m
from hedgegridd.control.verdict import short
from hedgegridd.control.views import utc

LINES_MAX = 50

_WORDS: dict[type[m.Event], Callable[[Any], str]] = {
    m.Fill: lambda e: (
        f"{e.leg.value} {short(e.instrument)} {'bought' if e.side.value == 'BUY' else 'sold'} {e.qty:f} @{e.price:,f}"
        f"{' maker' if e.maker else ''}  {e.client_order_id}"
    ),
    m.Recentred: lambda e: f"{short(e.instrument)} recentred at {e.centre:,f}",
    m.RegimeChanged: lambda e: f"{short(e.instrument)} regime {e.previous.value} → {e.regime.value}",
    m.OrderRejected: lambda e: (
        f"{short(e.instrument)} order {e.client_order_id} rejected: {e.code} {e.reason}"
    ),
    m.OrderRefused: lambda e: f"{e.leg.value} {short(e.instrument)} order refused: {e.reason}",
    m.FeedChanged: lambda e: f"{e.channel} feed {'is back' if e.up else 'LOST'} {e.detail}".rstrip(),
    m.StageChanged: lambda e: f"stage {e.number} of {e.of}: {e.stage}",
    m.KillStateChanged: lambda e: f"kill switch {e.previous.value} → {e.state.value} {e.cause}".rstrip(),
    m.LegsLatched: lambda e: (
        f"{short(e.instrument)} {' and '.join(leg.value for leg in e.legs)} latched by {e.flatten_id}"
    ),
    m.LegsUnlatched: lambda e: (
        f"{short(e.instrument)} {' and '.join(leg.value for leg in e.legs)} may enter again"
    ),
    m.FlattenProgress: lambda e: f"{e.flatten_id} {e.after_s:f} s {e.leg.value if e.leg else ''} {e.what}",
    m.LegFlat: lambda e: f"{e.leg.value} {short(e.instrument)} FLAT, VERIFIED ({e.flatten_id})",
    m.FlattenFinished: lambda e: f"{e.flatten_id} verified after {e.after_s:f} s",
    m.VenueAction: lambda e: f"{short(e.instrument)} the venue acted: {e.kind} {e.detail}".rstrip(),
    m.EntriesGone: lambda e: f"no entry rests any more ({e.cause})",
    m.IncomeBooked: lambda e: f"{e.kind} {e.amount:+f} {e.asset}",
    m.Stopping: lambda e: f"stopping: {e.reason}",
}

EVENTS: tuple[type[m.Event], ...] = tuple(_WORDS)
"""The events to hand to `Recent.note`."""


class Recent:
    """A ring of lines; `note` is a listener for the bus, `lines` is `Services.recent`."""

    def __init__(self, time_ns: Callable[[], int], lines_max: int = LINES_MAX) -> None:
        self._time_ns = time_ns
        self._lines: deque[dict[str, object]] = deque(maxlen=lines_max)

    def note(self, event: m.Message) -> None:
        """Keep an event's line; kinds without words are left out."""
        words = _WORDS.get(type(event)) if isinstance(event, m.Event) else None
        if words is not None:
            self._lines.append({"time": utc(self._time_ns()), "what": words(event)})

    def lines(self) -> list[dict[str, object]]:
        """All lines, oldest first."""
        return list(self._lines)

"""Puts into the journal what was decided and no machine consumes: guard verdicts, holds, rungs left out, stages."""

from collections.abc import Iterable, Sequence

from hedgegridd import messages as m
from hedgegridd.runtime.actor import Actor

# They are told many times a minute, and judged by machines; what is judged of them is a decision.
FIGURES = (m.RiskFigures, m.VenueHealth, m.LoopLagged, m.BookDepth, m.ReferencePrice)
OWN = (m.Woke, m.SessionBegan, m.StateKept)  # recorded where they happen


def decisions(others: Iterable[Actor]) -> tuple[type[m.Message], ...]:
    """The events that no journaled actor of these hears."""
    consumed = {event for actor in others if actor.journaled for event in actor.wanted()}
    return tuple(
        event
        for event in m.EVENTS
        if event not in consumed
        and event not in (*FIGURES, *OWN)
        and event.lane == "control"
        and getattr(event, "journaled", True)
    )


class DecisionsActor(Actor):
    """Hears every event that no journaled actor hears, so that its record is written; does nothing with it.

    Market data and views (lane "data"), figures, and what says `journaled = False` of itself stay out.
    """

    name = "journal"
    journaled = True

    def __init__(self, others: Iterable[Actor]) -> None:
        self._decisions = decisions(others)

    def wanted(self) -> tuple[type[m.Message], ...]:
        """Which events are left depends on who else is there."""
        return self._decisions

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:  # noqa: ARG002  # the interface of all actors
        """It has been recorded when it gets here."""
        return ()

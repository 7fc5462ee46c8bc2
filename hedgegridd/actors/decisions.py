"""Puts into the journal what was decided and no machine consumes: guard verdicts, holds, rungs left out, stages."""

from collections.abc import Iterable, Sequence

from hedgegridd import messages as m
from hedgegridd.runtime.actor import Actor


class DecisionsActor(Actor):
    """Hears every event that no journaled actor hears, so that its record is written; does nothing with it.

    Market data and views (lane "data") and what says `journaled = False` of itself stay out.
    """

    name = "journal"
    journaled = True

    def __init__(self, others: Iterable[Actor]) -> None:
        consumed = {event for actor in others if actor.journaled for event in actor.events}
        # The instance's own: which events are left depends on who else is there.
        self.__dict__["events"] = tuple(
            event
            for event in m.EVENTS
            if event not in consumed
            and event not in (m.Woke, m.SessionBegan, m.StateKept)
            and event.lane == "control"
            and getattr(event, "journaled", True)
        )

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:  # noqa: ARG002  # the interface of all actors
        """It has been recorded when it gets here."""
        return ()

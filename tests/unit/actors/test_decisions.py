"""What was decided is in the journal though no machine consumes it; what a machine consumes is there once."""

from hedgegridd import messages as m
from hedgegridd.actors.decisions import FIGURES, DecisionsActor
from hedgegridd.actors.recent import RecentActor
from hedgegridd.runtime.actor import Actor


class Machine(Actor):
    """Consumes one decision."""

    name = "machine"
    journaled = True
    events = (m.LegFlat,)


def test_it_hears_every_decision_that_no_journaled_actor_hears() -> None:
    heard = set(DecisionsActor([Machine(), RecentActor()]).wanted())
    assert {
        m.GuardChanged,
        m.HoldsChanged,
        m.RungDropped,
        m.Recentred,
        m.FlattenProgress,
        m.StageChanged,
    } <= heard
    assert m.LegFlat not in heard, "the machine's own record is enough"
    assert m.KillStateChanged in heard, "what only an actor without journal hears is recorded here"
    assert m.LegFlat in DecisionsActor([]).wanted()


def test_figures_views_and_market_data_are_no_decisions() -> None:
    heard = set(DecisionsActor([]).wanted())
    assert not heard & {*FIGURES, m.DeskView, m.MarkPrice, m.BarClosed, m.Woke, m.SessionBegan, m.StateKept}
    assert not [event for event in heard if getattr(event, "journaled", True) is False]


def test_it_answers_nothing() -> None:
    envelope = m.Envelope(seq=1, time_ns=0, mono_ns=0, cause=0, actor="", message=m.VenueUp())
    assert DecisionsActor([]).handle(envelope) == ()
    assert DecisionsActor.journaled is True
    assert DecisionsActor.essential is False

"""The command that an event goes back to."""

from hedgegridd import messages as m
from hedgegridd.runtime.roots import KEPT, Roots


def env(seq: int, cause: int, message: m.Message) -> m.Envelope:
    return m.Envelope(seq=seq, time_ns=0, mono_ns=0, cause=cause, actor="", message=message)


KILL = m.Kill(reason="r")
UP = m.VenueUp()


def test_everything_that_a_command_has_caused_names_it():
    roots = Roots()
    for seq, cause, message in ((5, 0, KILL), (6, 5, m.CancelRaw(token="t", instrument="x")), (7, 6, UP)):
        roots.handed(env(seq, cause, message))
    assert roots.of(env(8, 7, UP)) == 5
    assert roots.of(env(8, 5, UP)) == 5


def test_what_no_command_has_caused_names_none():
    roots = Roots()
    roots.handed(env(5, 0, UP))
    roots.handed(env(6, 5, KILL))  # a guard's: it goes back to what the guard has seen
    assert roots.of(env(7, 6, UP)) is None
    assert roots.of(env(7, 0, UP)) is None


def test_what_is_remembered_is_bounded():
    roots = Roots()
    for seq in range(1, KEPT + 100):
        roots.handed(env(seq, 0, KILL))
    assert len(roots._roots) == KEPT
    assert roots.of(env(1, 1, UP)) is None

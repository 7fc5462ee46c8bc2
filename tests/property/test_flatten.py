"""Flatten under random lies: it ends flat, never closes more than the leg, never sends an id twice."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.model import Leg
from tests.unit.core.test_flatten import BTC, CALLS, NOTHING, Play, left

LIES = st.dictionaries(
    st.tuples(st.sampled_from(CALLS), st.integers(1, 12)),
    st.sampled_from(["lost", "unsent", "refused", "limited"]),
    max_size=25,
)


@given(
    LIES, st.integers(0, 400), st.integers(0, 400), st.booleans(), st.sets(st.sampled_from(Leg), min_size=1)
)
def test_it_always_ends_flat(lies, long, short, stream, legs):
    play = Play(lies, stream=stream).stock(long=str(long), short=str(short))
    others = {leg: rest for leg, rest in left(play).items() if leg not in legs}
    asked = play.run(seconds=300, instrument=BTC, legs=tuple(sorted(legs)))
    for leg in legs:
        assert left(play)[leg] == NOTHING[leg]
    for leg, rest in others.items():
        assert left(play)[leg] == rest
    answers = [x for x in play.answers() if x.to == asked]
    assert len(answers) == 1
    assert sum((x.qty for x in play.venue.closes), Decimal(0)) == sum(
        Decimal(q) for leg, q in ((Leg.LONG, long), (Leg.SHORT, short)) if leg in legs
    )
    assert len([x for x in play.feed.log if isinstance(x, m.FlattenFinished)]) == 1

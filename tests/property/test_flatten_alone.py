"""A flatten without a daemon, under random lies of the venue: it ends with an answer that is true."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.core.flatten_alone import FlattenAlone, Now
from hedgegridd.model import LEGS, Leg
from tests.support.flatten_venue import SYMBOLS, FlattenVenue
from tests.unit.core.test_flatten import CALLS, RULES

BTC, ETH = SYMBOLS
DEADLINE_S = 600
LIES = st.dictionaries(
    st.tuples(st.sampled_from(CALLS), st.integers(1, 12)),
    st.sampled_from(["lost", "unsent", "refused", "limited"]),
    max_size=25,
)


class Clock:
    mono_ns = 1_000_000_000

    def now(self) -> Now:
        return Now(1_700_000_000_000_000_000 + self.mono_ns, self.mono_ns)


class Play:
    """The driver and the venue; `lies` maps (call type, nth) to a lie, nth 0 to all of the type."""

    def __init__(self, lies, *, symbols=SYMBOLS):
        self.clock = Clock()
        self.venue = FlattenVenue(self.clock, stream=False)
        self.alone = FlattenAlone(symbols, "panic")
        self.lies = lies
        self.counts = {}
        self.naked = []  # moments at which a leg had inventory and no stop

    def stock(self, instrument, long, short):
        for leg, qty in ((Leg.LONG, long), (Leg.SHORT, short)):
            self.venue.legs[(instrument, leg)] = Decimal(qty)
            self.venue.order(instrument, leg, f"{instrument}-{leg}-entry")
            self.venue.order(instrument, leg, f"{instrument}-{leg}-stop", algo=True)
        return self

    def run(self):
        calls = self.alone.begin(m.Flatten(legs=LEGS, reason="test", deadline_s=DEADLINE_S), self.clock.now())
        calls += self.alone.take(m.InstrumentReady(instrument=RULES), self.clock.now())
        for _ in range(20_000):
            if self.alone.answer is not None:
                return self.alone.answer
            if calls:
                call = calls.pop(0)
                self.clock.mono_ns += 1_000_000
                for event in self.venue.answer(call, self._lie(call)):
                    if not isinstance(event, m.Fill):  # there is no user stream
                        calls += self.alone.take(event, self.clock.now())
                self._look()
            else:
                assert self.alone.next_mono_ns is not None, "nothing under way and nothing waited for"
                self.clock.mono_ns = max(self.clock.mono_ns, self.alone.next_mono_ns)
                calls = self.alone.woke(self.clock.now())
        raise AssertionError("no end")

    def _lie(self, call):
        nth = self.counts[type(call)] = self.counts.get(type(call), 0) + 1
        return self.lies.get((type(call), nth)) or self.lies.get((type(call), 0))

    def _look(self):
        for (instrument, leg), qty in self.venue.legs.items():
            if qty and not any(
                o.algo and o.leg is leg and o.instrument == instrument for o in self.venue.orders.values()
            ):
                self.naked.append((instrument, leg, qty))


@given(LIES, st.lists(st.integers(0, 400), min_size=4, max_size=4))
def test_it_ends_flat_whatever_the_venue_says_for_a_while(lies, quantities):
    play = Play(lies)
    for instrument, at in ((BTC, 0), (ETH, 2)):
        play.stock(instrument, *quantities[at : at + 2])
    answer = play.run()
    assert answer.verified, answer
    assert not answer.residuals
    assert not any(play.venue.legs.values())
    assert not play.venue.orders
    assert not play.naked, "stops go last"
    assert sum((close.qty for close in play.venue.closes), Decimal(0)) == sum(quantities)
    assert all(close.qty <= RULES.market_max_qty for close in play.venue.closes if close.instrument == BTC)
    assert all("-panic-" in close.client_order_id for close in play.venue.closes)


@given(
    st.sampled_from([m.ReadTruth, m.CloseRaw, m.CancelRaw]), st.sampled_from(["unsent", "refused", "limited"])
)
def test_what_never_works_is_told_as_not_verified_at_the_deadline_and_not_before(kind, lie):
    play = Play({(kind, 0): lie}, symbols={BTC: "BTCUSDT"}).stock(BTC, 3, 2)
    began_ns = play.clock.mono_ns
    answer = play.run()
    assert not answer.verified
    assert play.clock.mono_ns - began_ns >= DEADLINE_S * 10**9
    left = {f"{BTC}-{leg}": str(play.venue.legs[(BTC, leg)]) for leg in LEGS}
    if kind is m.ReadTruth:
        assert answer.residuals == dict.fromkeys(left, "unknown")
    else:
        assert answer.residuals == left
    assert not answer.proof

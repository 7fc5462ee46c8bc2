"""Random holds, trips, trims and limits over a random market that refuses, splits and delays: nothing held is entered.

Always: no entry of a leg is sent while a hold or a trip covers it. Whenever all has settled: none rests there, exits cover
what is left, the books are the venue's, and every trim is answered.
"""

import random
from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core.scopes import covers, stops_entries
from hedgegridd.model import LEGS, KillState, Leg, Purpose
from tests.support.desk_rig import rig, walk
from tests.support.fake_venue import BTC, FakeVenue, Faults

D = Decimal
ETH = "ETHUSDT-PERP.BINANCE"
SCOPES = [m.Scope(instrument=instrument, leg=leg) for instrument in (None, BTC, ETH) for leg in (None, *LEGS)]
HARD = {
    "quiet": Faults(),
    "partial fills, refusals": Faults(partial=0.4, refuse_entry=0.05, refuse_exit=0.15),
    "slow": Faults(delay_ns=300_000_000, partial=0.3),
    "one stop only": Faults(partial=0.3, one_stop_only=True),
    "lost fills": Faults(partial=0.3, lose_fill=0.05),
}


class Meddler:
    """Changes what holds, now and then, and looks at what was sent since."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue
        self.random = random.Random(venue.seed + 1)
        self.holds: dict[str, tuple[m.Hold, ...]] = {}
        self.trips: tuple[m.Trip, ...] = ()
        self.seen = 0
        self.asked: list[int] = []
        self.count = dict.fromkeys(("holds", "trips", "trims", "limits", "held entries looked for"), 0)

    def covered(self, leg: Leg) -> bool:
        """Whether nothing of the leg may be entered."""
        scopes = [x.scope for holds in self.holds.values() for x in holds if stops_entries(x)]
        return any(covers(scope, BTC, leg) for scope in (*scopes, *(trip.scope for trip in self.trips)))

    def look(self) -> None:
        """Nothing that is covered has been sent since the last look; call it before what holds is changed."""
        for order in self.venue.places[self.seen :]:
            assert order.purpose is not Purpose.ENTRY or not self.covered(order.leg), order
        self.seen = len(self.venue.places)

    def __call__(self, number: int) -> None:
        self.look()
        draw = self.random.random()
        if draw < 0.25:
            self._hold()
        elif draw < 0.30:
            self._trip()
        elif draw < 0.38:
            leg = self.random.choice(LEGS)
            share = D(self.random.randint(1, 100)) / 100
            self.asked.append(self.venue.feed(m.TrimLeg(instrument=BTC, leg=leg, share=share, reason="x")))
            self.count["trims"] += 1
        elif draw < 0.41:
            limit = D(self.random.choice((430, 5000, 5000)))
            values = {"max_order_notional_usdt": limit}
            command = m.SetLimits(values=values, may_loosen=True, reason="x")
            self.asked.append(self.venue.feed(command))
            self.count["limits"] += 1
        if number % 10 == 8:
            self.venue.settle()
            self.look()
            for leg in LEGS:
                if self.covered(leg):
                    self.count["held entries looked for"] += 1
                    assert not self.venue.of(leg, Purpose.ENTRY)

    def _hold(self) -> None:
        source = self.random.choice(("guards", "pauses"))
        holds = tuple(
            m.Hold(
                key=f"{source}-{at}",
                action=self.random.choice(("notify", "throttle", "throttle", "pause")),
                scope=self.random.choice(SCOPES),
                factor=D(self.random.choice(("0", "0.5", "0.7", "1"))),
                cause="x",
                since_ns=1,
            )
            for at in range(self.random.randint(0, 2))
        )
        self.holds[source] = holds
        self.venue.feed(m.HoldsChanged(source=source, holds=holds))
        self.count["holds"] += 1

    def _trip(self) -> None:
        trips = [
            m.Trip(trip_id=f"T-{at}", scope=scope, action="halt", cause="x", state=KillState.HALTED)
            for at, scope in enumerate(self.random.sample(SCOPES[1:], self.random.randint(0, 1)))
        ]
        self.trips = tuple(trips)
        self.venue.feed(m.TripsChanged(trips=self.trips))
        self.count["trips"] += 1


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_that_is_held_is_entered_and_the_books_agree(name, seed):
    venue = rig(seed=seed, faults=HARD[name])
    meddler = Meddler(venue)
    walk(venue, 150, commands=True, each=meddler)
    meddler.look()
    venue.settle()
    venue.check()
    assert all(seq in venue.answers for seq in meddler.asked), "every command is answered"
    assert venue.trades
    assert all(meddler.count.values()), meddler.count

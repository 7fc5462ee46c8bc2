"""The desk against a venue that refuses, splits, cancels by hand and loses: whatever happens, the books agree.

After every settled step: orders, legs, average entries and wallet are the venue's; take-profits cover the leg exactly;
one leg stop under every inventory. Always: no id twice, at most one close in flight per leg, one answer per ask.
"""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.model import Leg, Purpose
from tests.support.desk_rig import EPOCH, config, rig, walk
from tests.support.fake_venue import RULES, SECOND, Faults

HARD = {
    "quiet": (Faults(), {}),
    "partial fills, refusals, hands": (
        Faults(partial=0.4, refuse_entry=0.05, refuse_exit=0.15, by_hand=0.03),
        {},
    ),
    "stop needs a position": (Faults(partial=0.3, refuse_exit=0.1, stop_needs_position=True), {}),
    "one stop only": (Faults(partial=0.3, refuse_exit=0.1, one_stop_only=True), {}),
    "both": (Faults(partial=0.3, one_stop_only=True, stop_needs_position=True), {}),
    "lost fills": (Faults(partial=0.3, lose_fill=0.05), {}),
    "lot stops rest too": (Faults(partial=0.3, refuse_exit=0.1), {"stops": "leg+lots"}),
    "slow venue": (Faults(delay_ns=300_000_000, partial=0.3), {}),
    "wide take-profit": (Faults(partial=0.2), {"tp_steps": Decimal(9), "sl_steps": Decimal(3)}),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_books_agree_whenever_all_has_settled(name, seed):
    faults, grid = HARD[name]
    venue = rig(seed=seed, faults=faults, **grid)
    walk(venue, 150, commands=True)
    assert venue.trades, "the walk trades"
    if not (faults.refuse_exit or faults.lose_fill):
        assert venue.worst_naked < 2 * SECOND, "no inventory is without its leg stop"


@pytest.mark.parametrize("seed", [3, 4])
def test_fills_below_the_minimum_notional_are_covered_with_their_neighbours(seed):
    rules = msgspec.structs.replace(RULES, min_notional=Decimal(100))
    venue = rig(seed=seed, faults=Faults(partial=0.5, min_notional=Decimal(100)), venue={"rules": rules})
    walk(venue, 200)
    assert any(isinstance(x, m.Fill) and x.qty < Decimal("0.002") for x in (fill for fill, _ in venue.trades))


def test_caps_hold_at_every_moment():
    venue = rig(seed=5, faults=Faults(partial=0.3, delay_ns=50_000_000), position=_position(Decimal("0.05")))
    worst = {leg: Decimal(0) for leg in Leg}

    def each(_number):
        for leg in Leg:
            rests = sum((r.order.qty - r.filled for r in venue.of(leg, Purpose.ENTRY)), Decimal(0))
            worst[leg] = max(worst[leg], rests + venue.legs[leg].qty)

    walk(venue, 200, each=each)
    assert all(Decimal(0) < qty <= Decimal("0.05") for qty in worst.values())


def _position(max_qty):
    return config().grid[0].position.__class__(max_qty=max_qty)


class _Twins:
    """Two desks that must say the same; the second began from the first's snapshot."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def handle(self, env):
        out = self.first.handle(env)
        assert msgspec.json.encode(out) == msgspec.json.encode(self.second.handle(env))
        return out

    def snapshot(self):
        return self.first.snapshot()


def test_same_envelopes_same_messages_also_from_a_snapshot():
    venue = rig(seed=6, faults=Faults(partial=0.3, refuse_exit=0.1, by_hand=0.03))
    walk(venue, 40, commands=True)
    copy = Desk(config(), EPOCH)
    copy.restore(venue.desk.snapshot())
    venue.desk = _Twins(venue.desk, copy)
    walk(venue, 60, commands=True)
    assert msgspec.json.encode(venue.desk.first.snapshot()) == msgspec.json.encode(copy.snapshot())


def test_a_replay_of_all_envelopes_says_the_same():
    venue = rig(seed=7, faults=Faults(partial=0.3, refuse_exit=0.1))
    walk(venue, 60, commands=True)
    again = Desk(config(), EPOCH)
    said = [message for env in venue.envelopes for message in again.handle(env)]
    assert msgspec.json.encode(said) == msgspec.json.encode(venue.said)


@pytest.mark.parametrize("seed", [8, 9, 10])
def test_restarts_lose_nothing(seed):
    venue = rig(seed=seed, faults=Faults(partial=0.3, by_hand=0.02, delay_ns=200_000_000))

    def each(number):
        if number % 7 == 3:
            venue.restart(Desk(config(), EPOCH))

    walk(venue, 120, each=each)
    assert venue.trades

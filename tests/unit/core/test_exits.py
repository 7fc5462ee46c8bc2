"""Exits of a leg, each rule against the fake venue: take-profits, leg stop, lot stops, refusals."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.core.exits import BACKOFF_MAX_NS, BACKOFF_MIN_NS, FORGET_NS, back_off, leg_stop_price
from hedgegridd.core.state import LegState
from hedgegridd.model import Leg, OrderKind, OrderStatus, Purpose, TimeInForce
from tests.support.desk_rig import config, rig
from tests.support.fake_venue import BTC, MINUTE, RULES, SECOND, Faults
from tests.unit.core.test_lots import book, lot

D = Decimal
MS = 1_000_000


def go(venue, price, seconds=1):
    venue.move(D(price))
    venue.run(venue.mono + seconds * SECOND)


def placed(venue, purpose, leg=Leg.LONG):
    return [x for x in venue.places if x.purpose is purpose and x.leg is leg]


def leg_of(venue, leg=Leg.LONG):
    return next(x for x in venue.view().instruments[0].legs if x.leg is leg)


# ------------------------------------------------------------------------------------------------- take-profits


@pytest.mark.parametrize(
    ("leg", "touch", "at"), [(Leg.LONG, "39800", "40400.0"), (Leg.SHORT, "40200", "39600.0")]
)
def test_a_filled_entry_gets_a_plain_limit_three_steps_away(leg, touch, at):
    venue = rig()
    go(venue, touch)
    (order,) = placed(venue, Purpose.TAKE_PROFIT, leg)
    assert (order.kind, order.time_in_force) == (OrderKind.LIMIT, TimeInForce.GTC)
    assert (order.price, order.qty, order.level, order.side) == (D(at), D("0.010"), 1, leg.exit_side)
    go(venue, at)
    assert leg_of(venue, leg).qty == 0
    assert leg_of(venue, leg).realized_usdt > D("5.8"), "600 x 0.01, less fees"
    venue.settle()
    venue.check()


@pytest.mark.parametrize("leg", list(Leg))
def test_take_profits_are_on_the_tick_and_never_worse_than_asked(leg):
    rules = msgspec.structs.replace(RULES, tick=D(7))
    venue = rig(venue={"rules": rules, "price": D(40003)})
    go(venue, 40003 - leg.sign * 250)
    (order,) = placed(venue, Purpose.TAKE_PROFIT, leg)
    entry = leg_of(venue, leg).lots[0].price
    asked = entry + leg.sign * 3 * D("200.015")
    assert order.price % 7 == 0
    assert 0 <= (order.price - asked) * leg.sign < 7


def test_every_partial_fill_is_covered_at_once():
    venue = rig(faults=Faults(partial=1.0), seed=3)
    for _ in range(4):
        go(venue, 39800)
        view = leg_of(venue)
        assert view.take_profit_qty == view.qty > 0
    assert all(x.level == 1 for x in placed(venue, Purpose.TAKE_PROFIT))


def test_a_take_profit_larger_than_the_venue_takes_is_split():
    rules = msgspec.structs.replace(RULES, max_qty=D("0.004"))
    venue = rig(venue={"rules": rules})
    go(venue, 39800)
    assert len(venue.of(Leg.LONG, Purpose.TAKE_PROFIT)) >= 3
    assert leg_of(venue).take_profit_qty == leg_of(venue).qty == D("0.010")


def test_a_take_profit_cancelled_by_hand_is_covered_again():
    venue = rig()
    go(venue, 39800)
    (rest,) = venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    del venue.resting[rest.order.client_order_id]
    venue._report(rest, "CANCELED")
    venue.run(venue.mono + 50 * MS)
    assert leg_of(venue).take_profit_qty == D("0.010")
    venue.settle()
    venue.check()


def test_refused_take_profits_back_off_and_are_never_given_up():
    venue = rig()
    venue.refuse_next = [(Purpose.TAKE_PROFIT, -1001)] * 8
    go(venue, 39800, seconds=10)
    tries = len(placed(venue, Purpose.TAKE_PROFIT))
    assert 4 < tries < 8, "0.2, 0.4, 0.8, 1.6, 3.2, 5 s: no hot loop"
    venue.run(venue.mono + 30 * SECOND)
    assert leg_of(venue).take_profit_qty == D("0.010")


def test_closes_by_hand_shrink_the_cover():
    venue = rig()
    go(venue, 39800)
    go(venue, 39600)
    venue.hand(Leg.LONG, D("0.015"))
    venue.settle()
    venue.check()
    assert leg_of(venue).qty == D("0.005")


# ----------------------------------------------------------------------------------------------------- leg stop


def test_the_leg_stop_is_asked_for_before_the_entries_that_need_it():
    venue = rig()
    first = venue.places[0]
    assert (first.purpose, first.kind, first.close_position, first.qty) == (
        Purpose.STOP,
        OrderKind.STOP_MARKET,
        True,
        None,
    )
    # six rungs of 200, five steps, one beyond: 40000 - 12 * 200
    assert first.stop_price == D("37600.0")
    assert placed(venue, Purpose.STOP, Leg.SHORT)[0].stop_price == D("42400.0")


def test_its_price_follows_the_outermost_of_lots_and_entries():
    grid = config().grid[0]
    lots = book(lot("a", 100, step=10), lot("b", 90, step=1))
    assert leg_stop_price(Leg.LONG, lots, [], grid, RULES) == D(40)
    assert leg_stop_price(Leg.LONG, lots, [(D(95), D(10))], grid, RULES) == D(35)
    assert leg_stop_price(Leg.SHORT, lots, [(D(95), D(10))], grid, RULES) == D(160)
    assert leg_stop_price(Leg.LONG, {}, [], grid, RULES) is None
    assert leg_stop_price(Leg.LONG, {}, [(D(1), D(10))], grid, RULES) == RULES.tick


def test_a_stop_that_fires_takes_the_leg_and_nothing_is_left():
    venue = rig(recenter_trigger_bps=D(10000))
    go(venue, 38700)
    assert leg_of(venue).qty > 0
    go(venue, 37500, seconds=3)
    venue.settle()
    view = venue.check()
    long = view.instruments[0].legs[0]
    assert long.qty == 0
    assert not venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    assert not venue.of(Leg.LONG, Purpose.ENTRY), "the market is below all rungs: they would cross"
    assert not venue.of(Leg.LONG, Purpose.STOP), "no entry needs it"


def test_a_stop_gone_missing_is_placed_again_at_once():
    venue = rig()
    go(venue, 39800)
    (rest,) = venue.of(Leg.LONG, Purpose.STOP)
    del venue.resting[rest.order.client_order_id]
    venue._report(rest, "EXPIRED")
    venue.run(venue.mono + 20 * MS)
    assert leg_of(venue).stop_resting
    assert len(venue.of(Leg.LONG, Purpose.STOP)) == 1


def test_a_stop_that_keeps_dying_is_not_placed_in_a_hot_loop():
    venue = rig()
    go(venue, 39800)
    venue.faults.by_hand = 1.0
    (rest,) = venue.of(Leg.LONG, Purpose.STOP)
    del venue.resting[rest.order.client_order_id]
    venue._report(rest, "EXPIRED")
    before = len(placed(venue, Purpose.STOP))
    venue.run(venue.mono + 10 * SECOND)
    assert 3 < len(placed(venue, Purpose.STOP)) - before < 9


def test_moving_it_places_the_replacement_first():
    venue = rig()
    go(venue, 38350)  # a recentre downwards: rungs further out
    venue.settle()
    stops = [x for x in venue.said if isinstance(x, m.PlaceOrder | m.CancelOrder)]
    ids = [x.client_order_id for x in placed(venue, Purpose.STOP)]
    assert len(ids) >= 2
    order = [(type(x).__name__, x.client_order_id) for x in stops if x.client_order_id in ids]
    first = order.index(("CancelOrder", ids[0]))
    assert order.index(("PlaceOrder", ids[1])) < first
    assert venue.worst_naked < SECOND
    venue.check()


@pytest.mark.parametrize("code", [-4130, -4045])
def test_where_one_stop_only_may_rest_the_old_one_goes_first(code):
    venue = rig(faults=Faults(one_stop_only=True, second_stop_code=code))
    go(venue, 38350)
    venue.settle()
    venue.check()
    assert len(venue.of(Leg.LONG, Purpose.STOP)) == 1
    refusals = len(placed(venue, Purpose.STOP))
    go(venue, 36700)
    venue.settle()
    venue.check()
    assert len(placed(venue, Purpose.STOP)) - refusals <= 3, "it has learned: no second refusal"


@pytest.mark.parametrize(
    ("price", "one_stop", "moves"), [(38950, True, 0), (38950, False, 1), (39750, True, 0)]
)
def test_a_lone_stop_is_not_drawn_in_because_entries_are_kept_away(price, one_stop, moves):
    """It could stand nearer, by one step after five fills, by five after one: where only one stop may rest, the move would
    leave the leg without one for a moment, at every hold and every end of one, and for good when we die in it."""
    venue = rig(faults=Faults(one_stop_only=one_stop))
    legs = venue.desk._state.grids["BTCUSDT-PERP.BINANCE"].legs
    legs[Leg.LONG].one_stop_only = one_stop
    go(venue, price)
    venue.settle()
    before = len([x for x in placed(venue, Purpose.STOP) if x.leg is Leg.LONG])
    venue.ask(m.SetThrottle(throttle=D(0)))
    venue.settle()
    venue.check()
    assert not venue.of(Leg.LONG, Purpose.ENTRY)
    after = len([x for x in placed(venue, Purpose.STOP) if x.leg is Leg.LONG])
    assert after - before == moves


@pytest.mark.parametrize("code", [-4509, -2021, -2022])
def test_a_venue_that_wants_a_position_first_gets_the_stop_with_the_first_fill(code):
    venue = rig(faults=Faults(stop_needs_position=True, flat_stop_code=code))
    assert len(placed(venue, Purpose.STOP)) == 1
    assert len(venue.of(Leg.LONG, Purpose.ENTRY)) == 6, "entries rest all the same"
    go(venue, 39800)
    assert leg_of(venue).stop_resting
    assert venue.worst_naked < SECOND
    venue.check()


@pytest.mark.parametrize("code", [0, -1003, -1008, -1021, -2015, -2013, -2019, -4061])
def test_a_stop_refused_for_something_else_does_not_say_that_a_stop_needs_a_position(code):
    venue = rig(start=False)
    venue.refuse_next.append((Purpose.STOP, code or -1, Leg.LONG))
    venue.start(bars=79)
    state = venue.desk.snapshot().grids["BTCUSDT-PERP.BINANCE"].legs[Leg.LONG]
    assert not state.stop_needs_position, "believed once, entries would rest before their stop for good"
    venue.settle()
    assert len(venue.of(Leg.LONG, Purpose.STOP)) == 1, "it is tried again"
    assert len(venue.of(Leg.LONG, Purpose.ENTRY)) == 6


def test_what_delayed_the_stop_of_a_flat_leg_does_not_delay_that_of_its_inventory():
    venue = rig(start=False)
    venue.refuse_next = [(Purpose.STOP, -1008, Leg.LONG)] * 5
    venue.start(bars=79)
    venue.run(venue.mono + 4 * SECOND)  # 0.2, 0.4, 0.8, 1.6 and now 3.2 s
    assert not venue.refuse_next
    assert not venue.of(Leg.LONG, Purpose.STOP)
    go(venue, 39800)
    assert leg_of(venue).stop_resting
    assert venue.worst_naked < SECOND


def test_a_small_move_of_the_want_moves_nothing():
    venue = rig()
    before = len(placed(venue, Purpose.STOP))
    go(venue, 39800)
    go(venue, 40400)
    venue.settle()
    assert len(placed(venue, Purpose.STOP)) == before


@pytest.mark.parametrize("leg", list(Leg))
def test_a_stop_that_is_through_already_closes_the_leg_at_market_at_once(leg):
    venue = rig()
    go(venue, 40000 - leg.sign * 200)
    (rest,) = venue.of(leg, Purpose.STOP)
    del venue.resting[rest.order.client_order_id]
    venue.price = D(40000) - leg.sign * 5000  # the venue's mark, which we have not been told
    venue._report(rest, "EXPIRED")
    venue.run(venue.mono + 100 * MS)
    closes = placed(venue, Purpose.CLOSE, leg)
    assert [(x.kind, x.level, x.qty) for x in closes] == [(OrderKind.MARKET, 0, D("0.010"))]
    assert len(placed(venue, Purpose.STOP, leg)) <= 3, "one try with inventory, one for the next entries"
    assert venue.legs[leg].qty == 0


def test_entries_wait_while_their_stop_is_refused():
    venue = rig()
    go(venue, 39800)
    (rest,) = venue.of(Leg.LONG, Purpose.STOP)
    del venue.resting[rest.order.client_order_id]
    venue.refuse_next = [(Purpose.STOP, -1001, Leg.LONG)] * 5
    venue._report(rest, "EXPIRED")
    venue.feed(m.SetThrottle(throttle=D("0.5")))
    before = len(placed(venue, Purpose.ENTRY))
    venue.run(venue.mono + SECOND)
    assert len(placed(venue, Purpose.ENTRY)) == before
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0].long_ladder
    assert "leg stop does not rest" in ladder[1].reason
    venue.run(venue.mono + 20 * SECOND)
    venue.settle()
    assert len(venue.of(Leg.LONG, Purpose.STOP)) == 1
    assert {r.order.qty for r in venue.of(Leg.LONG, Purpose.ENTRY)} == {D("0.005"), D("0.006")}


# ----------------------------------------------------------------------------------------------------- lot stops


@pytest.mark.parametrize("leg", list(Leg))
def test_a_lot_beyond_its_stop_is_closed_at_market_after_its_take_profit_went(leg):
    venue = rig(levels_long=2, levels_short=2)
    go(venue, 40000 - leg.sign * 200)
    go(venue, 40000 - leg.sign * 1200)
    (close,) = placed(venue, Purpose.CLOSE, leg)
    assert (close.qty, close.level, close.kind) == (D("0.010"), 1, OrderKind.MARKET)
    said = [x for x in venue.said if isinstance(x, m.PlaceOrder | m.CancelOrder)]
    cancelled = {x.client_order_id for x in said[: said.index(close)] if isinstance(x, m.CancelOrder)}
    assert {x.client_order_id for x in placed(venue, Purpose.TAKE_PROFIT, leg) if x.level == 1} <= cancelled
    venue.settle()
    venue.check()


def test_a_take_profit_whose_cancel_hangs_delays_the_close_by_a_second_at_most():
    venue = rig(levels_long=1)
    go(venue, 39800)
    venue.deaf = (m.CancelOrder,)
    venue.move(D(38790))
    venue.run(venue.mono + 900 * MS)
    assert not placed(venue, Purpose.CLOSE)
    venue.run(venue.mono + 200 * MS)
    assert len(placed(venue, Purpose.CLOSE)) == 1


def test_closes_above_the_market_maximum_go_one_after_the_other():
    rules = msgspec.structs.replace(RULES, market_max_qty=D("0.004"))
    venue = rig(levels_long=1, venue={"rules": rules})
    go(venue, 39800)
    go(venue, 38790, seconds=5)
    assert [x.qty for x in placed(venue, Purpose.CLOSE)] == [D("0.004"), D("0.004"), D("0.002")]
    venue.check()


def test_a_refused_close_is_tried_again_with_what_the_venue_says_is_left():
    venue = rig(levels_long=1)
    go(venue, 39800)
    venue.legs[Leg.LONG].qty = D("0.004")  # closed behind our back, never told
    go(venue, 38790, seconds=5)
    qtys = [x.qty for x in placed(venue, Purpose.CLOSE)]
    assert qtys[0] == D("0.010")
    assert qtys[-1] == D("0.004")
    assert venue.legs[Leg.LONG].qty == 0


def test_lot_stops_rest_at_the_venue_when_asked_and_shrink_with_the_lot():
    venue = rig(stops="leg+lots", faults=Faults(partial=0.0))
    go(venue, 39800)
    lot_stops = [r for r in venue.of(Leg.LONG, Purpose.STOP) if not r.order.close_position]
    assert [(r.order.qty, r.order.stop_price, r.order.level) for r in lot_stops] == [
        (D("0.010"), D("38800.0"), 1)
    ]
    venue.hand(Leg.LONG, D("0.004"))
    venue.settle()
    lot_stops = [r for r in venue.of(Leg.LONG, Purpose.STOP) if not r.order.close_position]
    assert [r.order.qty for r in lot_stops] == [D("0.006")]
    go(venue, 38790)
    venue.settle()
    venue.check()
    assert not placed(venue, Purpose.CLOSE), "the venue did it"


def test_lot_stops_leave_room_for_leg_stops_in_a_short_algo_book():
    rules = msgspec.structs.replace(RULES, max_algo_orders=6)
    venue = rig(stops="leg+lots", venue={"rules": rules})
    go(venue, 39200)
    assert len([r for r in venue.resting.values() if r.order.kind is OrderKind.STOP_MARKET]) <= 4
    venue.check()


def test_a_lot_stop_that_is_through_already_closes_its_lot():
    venue = rig(stops="leg+lots", levels_long=1)
    go(venue, 39810)
    venue.refuse_next = [(Purpose.STOP, -2021)]
    go(venue, 39800)
    assert [x.qty for x in placed(venue, Purpose.CLOSE)] == [D("0.010")]


# -------------------------------------------------------------------------------------------------------- back-off


def test_back_off_doubles_is_bounded_and_forgets():
    state = LegState()
    waits = []
    now = 0
    for _ in range(8):
        back_off(state, "k", now, "no")
        waits.append(state.backoffs["k"].until_mono - now)
        now = state.backoffs["k"].until_mono
    assert waits[0] == BACKOFF_MIN_NS
    assert waits[1] == 2 * BACKOFF_MIN_NS
    assert waits[-1] == BACKOFF_MAX_NS
    back_off(state, "k", now + FORGET_NS + 1, "no", at_once=True)
    assert state.backoffs["k"].until_mono == now + FORGET_NS + 1
    back_off(state, "k", now + FORGET_NS + 1, "no", at_once=True)
    assert state.backoffs["k"].until_mono > now + FORGET_NS + 1


def test_an_order_that_is_pending_or_fired_is_not_cancelled():
    venue = rig()
    venue.deaf = (m.PlaceOrder,)
    go(venue, 39800)
    snapshot = venue.desk.snapshot().grids[BTC]
    pending = [o for o in snapshot.book.live.values() if o.status is OrderStatus.PENDING]
    assert [o.purpose for o in pending] == [Purpose.TAKE_PROFIT]
    venue.hand(Leg.LONG, D("0.010"))
    venue.run(venue.mono + MINUTE)
    cancels = {x.client_order_id for x in venue.said if isinstance(x, m.CancelOrder)}
    assert not cancels & {o.client_order_id for o in pending}

"""The test order: through every gate, far from the market, away again; what of it fills is closed, unless it is to be kept."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.core.trial import LEVEL
from hedgegridd.model import KillState, Leg, LegMode, Purpose, TimeInForce
from tests.support.desk_rig import EPOCH, LIMITS, config, rig
from tests.support.fake_venue import BTC, SECOND

D = Decimal
MS = 1_000_000


def trial(leg=Leg.LONG, usdt="60", *, keep=False):
    return m.TryOrder(instrument=BTC, leg=leg, notional_usdt=D(usdt), keep=keep, reason="go-live")


def placed(venue):
    return [order for order in venue.places if order.level == LEVEL and order.purpose is Purpose.ENTRY]


def resting(venue):
    return [rest for rest in venue.resting.values() if rest.order.level == LEVEL]


@pytest.mark.parametrize(("leg", "price"), [(Leg.LONG, 38800), (Leg.SHORT, 41200)])
def test_it_rests_on_the_outermost_rung_and_is_cancelled_with_its_stages_told(leg, price):
    venue = rig()
    ladder, stops = set(venue.resting), len(venue.of(leg, Purpose.STOP))
    answer = venue.ask(trial(leg))
    (order,) = placed(venue)
    assert (order.leg, order.price, order.qty) == (leg, D(price), D("0.001"))
    assert order.time_in_force is TimeInForce.GTX
    assert isinstance(answer, m.Done)
    facts = dict(answer.detail)
    stages = facts.pop("stages_ms")
    assert facts == {
        "verified": True,
        "fate": "rested, cancelled",
        "instrument": BTC,
        "leg": leg.value,
        "client_order_id": order.client_order_id,
        "price": f"{price}.0",
        "quantity": "0.001",
        "filled": "0",
    }
    assert list(stages) == ["placed", "accepted", "cancel_asked", "gone"]
    assert list(stages.values()) == sorted(stages.values())
    assert stages["placed"] < stages["accepted"] < stages["gone"]
    assert set(venue.resting) == ladder, "neither a rung nor a stop has moved for it"
    assert len(venue.of(leg, Purpose.STOP)) == stops == 1
    again = venue.feed(trial(leg))  # the gate holds a duplicate back for a moment
    venue.run(venue.mono + 5 * SECOND)
    assert isinstance(venue.answers[again], m.Done)
    venue.settle()
    venue.check()


def test_it_is_post_only_where_entries_are_not():
    venue = rig(execution=msgspec.convert({"maker_only": False}, type(config().grid[0].execution)))
    venue.ask(trial())
    assert placed(venue)[0].time_in_force is TimeInForce.GTX


def test_kept_it_rests_until_a_pause_and_does_not_come_back():
    venue = rig()
    answer = venue.ask(trial(keep=True))
    assert answer.detail["fate"] == "resting"
    assert len(resting(venue)) == 1
    refused = venue.ask(trial())
    assert "a test order is kept" in refused.reason
    venue.ask(m.PauseEntries(reason="done"))
    assert not resting(venue)
    venue.ask(m.ResumeEntries())
    venue.settle()
    assert len(placed(venue)) == 1
    assert isinstance(venue.ask(trial(usdt="90")), m.Done)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (m.PauseEntries(reason="news"), "paused: news"),
        (m.SetThrottle(throttle=D(0)), "throttle is 0"),
        (m.StopTrading(), "trading is stopped"),
        (m.SetMode(leg=Leg.LONG, mode=LegMode.TP_ONLY), "LONG mode is tp_only"),
        (m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED), "kill switch is HALTED"),
        (m.Stopping(reason="SIGTERM"), "stopping: SIGTERM"),
        (
            m.HoldsChanged(
                source="guards",
                holds=(m.Hold(key="g", action="pause", cause="spread 132 bps", since_ns=1),),
            ),
            "spread 132 bps",
        ),
        (
            m.TripsChanged(
                trips=(
                    m.Trip(
                        trip_id="T-1",
                        scope=m.Scope(instrument=BTC, leg=Leg.LONG),
                        action="halt",
                        cause="strange fills",
                    ),
                )
            ),
            "strange fills",
        ),
    ],
)
def test_where_no_entry_may_rest_it_is_refused_and_nothing_is_sent(before, reason):
    venue = rig()
    venue.feed(before)
    venue.run(venue.mono + SECOND)
    answer = venue.ask(trial())
    assert isinstance(answer, m.Refused)
    assert reason in answer.reason
    assert "nothing changed" in answer.reason
    assert not placed(venue)


@pytest.mark.parametrize(
    ("usdt", "over", "reason"),
    [
        ("4", {}, "the venue takes no order below 38.80 USDT at 38800.0"),
        ("90", {"max_inventory_usdt": D(830), "levels_long": 2}, "max_inventory_usdt is 830"),
        ("-1", {}, "notional_usdt must be above 0"),
        ("NaN", {}, "notional_usdt must be above 0"),
        (
            "600",
            {"pretrade": msgspec.structs.replace(LIMITS, max_order_notional_usdt=D(500))},
            "pre-trade gate, max_order_notional_usdt",
        ),
    ],
)
def test_a_size_that_does_not_fit_names_its_limit(usdt, over, reason):
    venue = rig(**over)
    answer = venue.ask(trial(usdt=usdt))
    assert isinstance(answer, m.Refused)
    assert reason in answer.reason
    assert not placed(venue)
    venue.settle()
    assert venue.desk.snapshot().grids[BTC].trial is None


def test_what_the_venue_refuses_is_told_with_its_code_and_not_tried_again():
    venue = rig()
    venue.refuse_next.append((Purpose.ENTRY, -2019))
    answer = venue.ask(trial())
    assert isinstance(answer, m.Refused)
    assert "-2019" in answer.reason
    venue.run(venue.mono + 5 * SECOND)
    assert len(placed(venue)) == 1
    assert isinstance(venue.ask(trial(usdt="90")), m.Done), "the next one is not held back by it"


def test_one_that_would_take_goes_a_tick_further():
    venue = rig()
    venue.refuse_next.append((Purpose.ENTRY, -5022))
    answer = venue.ask(trial())
    venue.run(venue.mono + 2 * SECOND)
    answer = answer or venue.answers[max(venue.answers)]
    assert [order.price for order in placed(venue)] == [D(38800), D("38799.9")]
    assert answer.detail["price"] == "38799.9"


def during(venue, command, until):
    """Feed it and stop the venue's time as soon as `until` is true."""
    seq = venue.feed(command)
    for _ in range(2_000):
        if until():
            return seq
        venue.run(venue.mono + MS)
    raise AssertionError("never so")


@pytest.mark.parametrize("keep", [False, True])
def test_what_fills_is_closed_at_market_unless_it_is_to_be_kept(keep):
    venue = rig(sl_steps=D(20))
    venue.faults.delay_ns = 50 * MS
    seq = during(venue, trial(keep=keep), lambda: resting(venue))
    (order,) = placed(venue)
    venue.move(D(38790))
    venue.run(venue.mono + 8 * SECOND)
    lots = venue.desk.snapshot().grids[BTC].legs[Leg.LONG].lots
    assert (order.client_order_id in lots) is keep
    if not keep:
        assert venue.answers[seq].detail["fate"] == "filled, closed again"
        assert [x.qty for x in venue.places if x.purpose is Purpose.CLOSE] == [D("0.001")]
    venue.settle()
    venue.check()


def test_a_second_one_waits_for_nobody():
    venue = rig()
    venue.faults.delay_ns = 50 * MS
    first = venue.feed(trial())
    second = venue.feed(trial(Leg.SHORT))
    assert "under way" in venue.answers[second].reason
    venue.run(venue.mono + 2 * SECOND)
    assert venue.answers[first].detail["fate"] == "rested, cancelled"


def test_at_the_deadline_it_says_what_is_known_and_goes_on_taking_it_away():
    venue = rig()
    venue.deaf = (m.CancelOrder,)
    seq = venue.feed(trial())
    venue.run(venue.mono + 11 * SECOND)
    facts = venue.answers[seq].detail
    assert facts["verified"] is False
    assert "accepted" in facts["stages_ms"]
    assert "gone" not in facts["stages_ms"]
    venue.deaf = ()
    venue.feed(m.Reconcile(cause="timer"))
    venue.run(venue.mono + 10 * SECOND)
    assert not resting(venue)
    assert isinstance(venue.ask(trial(usdt="90")), m.Done)


@pytest.mark.parametrize("keep", [False, True])
def test_the_next_process_takes_it_away_and_waits_for_nobody(keep):
    venue = rig()
    venue.faults.delay_ns = 50 * MS
    during(venue, trial(keep=keep), lambda: resting(venue))
    venue.restart(Desk(config(LIMITS), EPOCH))
    venue.settle()
    assert not resting(venue)
    venue.bar()
    venue.run(venue.mono + SECOND)
    again = venue.feed(trial(usdt="90"))
    venue.run(venue.mono + 5 * SECOND)
    answer = venue.answers[again]
    assert isinstance(answer, m.Done), answer

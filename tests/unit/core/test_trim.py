"""TrimLeg: a share of a leg is closed at market, outermost lots first; exits shrink with it; answered when it is true."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.core import lots as lot_book
from hedgegridd.core import operator
from hedgegridd.core.state import Lot
from hedgegridd.model import LEGS, Leg, LegMode, Purpose
from tests.support.desk_rig import rig
from tests.support.fake_venue import BTC, SECOND, Faults
from tests.unit.core.test_grid import go

D = Decimal
MS = 1_000_000


def trim(leg=Leg.LONG, share="0.5"):
    return m.TrimLeg(instrument=BTC, leg=leg, share=D(share), reason="funding")


def filled(**over):
    """Three lots on LONG: 0.010 @ 39800, 0.010 @ 39600, 0.011 @ 39400."""
    venue = rig(sl_steps=D(20), **over)
    go(venue, 39390)
    assert venue.legs[Leg.LONG].qty == D("0.031")
    return venue


def lots(venue, leg=Leg.LONG):
    return {lot.price: lot.qty for lot in venue.desk.snapshot().grids[BTC].legs[leg].lots.values()}


def closes(venue):
    return [order.qty for order in venue.places if order.purpose is Purpose.CLOSE]


def take_profits(venue, leg=Leg.LONG):
    return sum(r.order.qty - r.filled for r in venue.of(leg, Purpose.TAKE_PROFIT))


def test_the_outermost_lots_go_first_and_exits_shrink_with_them():
    venue = filled()
    answer = venue.ask(trim())
    assert answer.detail == {
        "asked": "0.016",  # half of 0.031, up to the lot step
        "before": "0.031",
        "quantity": "0.015",
        "reason": "funding",
        "verified": True,
    }
    assert closes(venue) == [D("0.011"), D("0.005")]
    assert lots(venue) == {D(39600): D("0.005"), D(39800): D("0.010")}
    venue.settle()
    assert take_profits(venue) == D("0.015")
    assert venue.of(Leg.LONG, Purpose.STOP)
    venue.check()


def test_it_is_answered_when_the_venue_has_told_the_fills_and_not_before():
    venue = filled()
    venue.faults.delay_ns = 200 * MS
    seq = venue.feed(trim())
    venue.run(venue.mono + 300 * MS)
    assert seq not in venue.answers
    venue.run(venue.mono + 5 * SECOND)
    assert venue.answers[seq].detail["quantity"] == "0.015"


def test_a_second_one_asks_for_the_larger_of_the_two():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    first, second = venue.feed(trim(share="0.5")), venue.feed(trim(share="0.3"))
    venue.run(venue.mono + 5 * SECOND)
    assert venue.legs[Leg.LONG].qty == D("0.015")
    assert venue.answers[first].detail["quantity"] == venue.answers[second].detail["quantity"] == "0.015"


def test_a_take_profit_that_fills_meanwhile_counts():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    venue.feed(trim(share="0.3"))
    venue.move(D(40410))  # all three lots take profit before their cancels arrive
    venue.run(venue.mono + 5 * SECOND)
    venue.settle()
    assert not lots(venue)
    assert venue.legs[Leg.LONG].qty == 0
    venue.check()


def test_a_leg_is_never_closed_beyond_what_it_holds():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    venue.feed(trim(share="1"))
    venue.hand(Leg.LONG, D("0.020"))
    venue.run(venue.mono + 10 * SECOND)
    venue.settle()
    assert venue.legs[Leg.LONG].qty == 0
    venue.check()


def test_a_stop_that_is_crossed_meanwhile_takes_the_whole_lot():
    venue = filled()
    venue.deaf = (m.CancelOrder,)
    venue.feed(trim(share="0.1"))
    venue.deaf = ()
    venue.move(D(35300))
    venue.run(venue.mono + 10 * SECOND)
    venue.settle()
    assert D(39400) not in lots(venue)
    venue.check()


def test_a_close_that_is_too_small_for_the_venue_takes_its_lot_or_spares_it():
    venue = filled()
    venue.refuse_next.append((Purpose.CLOSE, -4164))
    answer = venue.ask(trim(share="0.1"))
    assert closes(venue) == [D("0.004"), D("0.011")]
    assert answer.detail["quantity"] == "0.020"
    venue.refuse_next += [(Purpose.CLOSE, -4164), (Purpose.CLOSE, -4164)]
    answer = venue.ask(trim(share="0.1"))
    assert answer.detail["quantity"] == "0.020"
    venue.settle()
    assert take_profits(venue) == D("0.020")
    venue.check()


def test_a_flatten_takes_over():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    seq = venue.feed(trim())
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    venue.run(venue.mono + SECOND)
    venue.flatten(Leg.LONG)
    venue.tell(m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=()))
    venue.run(venue.mono + 2 * SECOND)
    assert D(venue.answers[seq].detail["quantity"]) == 0


def test_a_restart_goes_on_with_it():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    venue.feed(trim())
    venue.restart(rig(start=False, sl_steps=D(20)).desk)
    venue.settle()
    assert lots(venue) == {D(39600): D("0.005"), D(39800): D("0.010")}
    venue.check()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (trim(share="0"), "share must be above 0"),
        (trim(share="1.01"), "share must be above 0"),
        (trim(share="NaN"), "share must be above 0"),
        (
            m.TrimLeg(instrument="ETHUSDT-PERP.BINANCE", leg=Leg.LONG, share=D(1), reason=""),
            "not traded here",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(command, says):
    venue = filled()
    before = lots(venue)
    refused = venue.ask(command)
    assert isinstance(refused, m.Refused)
    assert says in refused.reason
    assert lots(venue) == before
    assert not closes(venue)


def test_hands_off_a_manual_leg_and_one_that_is_being_flattened():
    venue = filled()
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))
    assert "in mode manual" in venue.ask(trim()).reason
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.NORMAL))
    venue.feed(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1"))
    assert "being flattened by F-1" in venue.ask(trim()).reason


def test_a_trim_ends_when_the_leg_becomes_manual_and_does_not_come_back_with_it():
    venue = filled()
    venue.faults.delay_ns = 100 * MS
    seq = venue.feed(trim())
    venue.feed(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))
    venue.run(venue.mono + 5 * SECOND)
    held = venue.legs[Leg.LONG].qty
    assert D(venue.answers[seq].detail["quantity"]) == held
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.NORMAL))
    venue.settle()
    assert venue.legs[Leg.LONG].qty == held
    venue.check()


def test_an_episode_is_trimmed_once_over_a_restart_too():
    """A guard that does not know whether it was heard asks again: 30 % of what is left would be too much."""
    venue = filled()
    command = msgspec.structs.replace(trim(), episode="funding_cost BTC settlement 5")
    assert venue.ask(command).detail["quantity"] == "0.015"
    venue.settle()
    venue.desk.restore(venue.desk.snapshot())
    answer = venue.ask(msgspec.structs.replace(command, leg=Leg.SHORT))
    assert answer.detail == {"known": True, "quantity": "0", "reason": "funding"}
    assert venue.ask(command).detail == {"known": True, "quantity": "0.015", "reason": "funding"}
    assert venue.ask(msgspec.structs.replace(command, episode="the next")).detail["quantity"] == "0.007"
    assert venue.ask(trim()).detail["quantity"] == "0.003", "a person's has none"


def test_an_episode_that_was_refused_may_come_again_and_few_are_kept(monkeypatch):
    venue = filled()
    named = msgspec.structs.replace(trim(), episode="a")
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))
    assert isinstance(venue.ask(named), m.Refused)
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.NORMAL))
    assert "known" not in venue.ask(named).detail
    monkeypatch.setattr(operator, "EPISODES_KEPT", 2)
    for name in ("b", "c"):
        venue.ask(msgspec.structs.replace(trim(Leg.SHORT), episode=name))
    assert venue.desk.snapshot().trims == ["b", "c"]


def test_a_flat_leg_is_trimmed_already():
    venue = rig()
    assert venue.ask(trim()).detail["quantity"] == "0"


def test_before_the_first_comparison_it_is_refused():
    venue = rig(start=False)
    assert "not compared" in venue.ask(trim()).reason


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.decimals("0.01", "1", places=2),
    leg=st.sampled_from(LEGS),
    faults=st.builds(
        Faults,
        partial=st.sampled_from([0.0, 0.5]),
        refuse_exit=st.sampled_from([0.0, 0.3]),
        delay_ns=st.sampled_from([2 * MS, 100 * MS]),
    ),
)
def test_it_closes_that_share_and_the_books_agree(seed, share, leg, faults):
    venue = rig(seed=seed, faults=faults, sl_steps=D(20))
    for price in (39390, 40610):  # fills on both legs, take-profits of LONG on the way up
        go(venue, price, seconds=3)
    venue.settle()
    venue.feed(m.PauseEntries())
    venue.settle()
    before = venue.legs[leg].qty
    seq = venue.feed(m.TrimLeg(instrument=BTC, leg=leg, share=share, reason="x"))
    venue.run(venue.mono + 30 * SECOND)
    venue.settle()
    venue.check()
    assert seq in venue.answers
    asked = -floored(-before * share)
    assert venue.legs[leg].qty == before - asked
    assert take_profits(venue, leg) <= venue.legs[leg].qty


def floored(qty):
    return (qty / D("0.001")).to_integral_value("ROUND_FLOOR") * D("0.001")


def test_marks_count_what_is_being_closed_already():
    def lot(name, price, qty, since=None):
        return Lot(
            lot_id=name, level=1, qty=D(qty), price=D(price), step=D(1), opened_ns=0, stopping_since=since
        )

    book = {"a": lot("a", 10, 2, since=5), "b": lot("b", 11, 2), "c": lot("c", 12, 2)}
    lot_book.mark_for_trim(book, Leg.LONG, D(3), 9)
    assert (book["a"].trim, book["b"].trim, book["c"].trim) == (None, D(1), None)
    assert lot_book.trimming(book) == 1
    lot_book.mark_for_trim(book, Leg.LONG, D(3), 9)
    assert lot_book.trimming(book) == 1
    lot_book.take(book, Leg.LONG, D(1), first="b")
    assert (book["b"].qty, book["b"].trim, book["b"].stopping_since) == (D(1), None, None)

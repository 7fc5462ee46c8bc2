"""Flatten against a venue that answers, loses answers, refuses and limits."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core import flatten as flatten_module
from hedgegridd.core.flatten import Flattener
from hedgegridd.model import LEGS, Instrument, Leg
from tests.support.envelopes import Feeder, of
from tests.support.flatten_venue import SYMBOLS, FlattenVenue

BTC, ETH = SYMBOLS
CALLS = (m.ReadTruth, m.CancelRaw, m.CloseRaw, m.AskOrder)
RULES = Instrument(
    id=BTC,
    symbol="BTCUSDT",
    tick=Decimal("0.1"),
    step=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(1000),
    market_max_qty=Decimal(120),
    min_notional=Decimal(5),
)


class Play:
    """The machine and the venue, played until nothing is left to do; `lies` maps (call type, nth) to a lie."""

    def __init__(self, lies=None, *, stream=True, epoch="e1"):
        self.machine = Flattener(SYMBOLS, epoch)
        self.feed = Feeder(self.machine)
        self.venue = FlattenVenue(self.feed, stream=stream)
        self.lies = lies or {}
        self.counts: dict[type, int] = {}
        self.feed(m.InstrumentReady(instrument=RULES))

    def stock(self, instrument=BTC, long="3", short="2"):
        for leg, qty in ((Leg.LONG, long), (Leg.SHORT, short)):
            self.venue.legs[(instrument, leg)] = Decimal(qty)
            prefix = f"{SYMBOLS[instrument]}-{leg.value[0]}"
            self.venue.order(instrument, leg, f"{prefix}001E-e-1")
            self.venue.order(instrument, leg, f"{prefix}001T-e-2")
            self.venue.order(instrument, leg, f"{prefix}000S-e-3", algo=True)
        return self

    def start(self, **fields):
        fields.setdefault("legs", LEGS)
        fields.setdefault("reason", "test")
        out = self.feed(m.Flatten(**fields))
        return self.feed.seq, out

    def settle(self, messages):
        """Answer calls, one by one in order, until there are none."""
        queue = [x for x in messages if isinstance(x, CALLS)]
        steps = 0
        while queue:
            steps += 1
            assert steps < 5000
            call = queue.pop(0)
            nth = self.counts[type(call)] = self.counts.get(type(call), 0) + 1
            lie = self.lies.get((type(call), nth)) or self.lies.get((type(call), 0))
            self.feed.mono_ns += 1_000_000
            for event in self.venue.answer(call, lie):
                queue += [x for x in self.feed(event) if isinstance(x, CALLS)]

    def run(self, seconds=60, until=None, **fields):
        asked, out = self.start(**fields)
        self.settle(out)
        self.go(seconds)
        return asked

    def go(self, seconds):
        end = self.feed.mono_ns + int(seconds * 1e9)
        while self.feed.mono_ns < end and self.feed.timers:
            nearest = min(self.feed.timers.values())
            step = max(0, nearest - self.feed.mono_ns) / 1e9
            if self.feed.mono_ns + step * 1e9 > end:
                break
            self.settle(self.feed.advance(step))

    def answers(self):
        return of(m.FlattenAnswer, self.feed.log)


def left(play, instrument=BTC, legs=LEGS):
    return {
        leg: (
            play.venue.legs[(instrument, leg)],
            sorted(
                o.client_order_id
                for o in play.venue.orders.values()
                if o.leg is leg and o.instrument == instrument
            ),
        )
        for leg in legs
    }


NOTHING = {leg: (Decimal(0), []) for leg in LEGS}


@pytest.mark.parametrize("stream", [True, False])
def test_both_legs_are_removed_and_proven(stream):
    play = Play(stream=stream).stock()
    asked = play.run()
    assert left(play) == NOTHING
    answer = next(x for x in play.answers() if x.to == asked)
    assert answer.verified
    assert answer.residuals == {}
    assert len(of(m.LegFlat, play.feed.log)) == 4  # two legs of two instruments
    assert sum("query" in line for line in answer.proof) == (6 if stream else 8)
    assert any("user stream" in line for line in answer.proof) == stream
    if stream:
        assert answer.closed == {f"{BTC}-LONG": "3", f"{BTC}-SHORT": "2"} | {
            f"{ETH}-LONG": "0",
            f"{ETH}-SHORT": "0",
        }


def test_the_latch_goes_out_before_anything_else():
    play = Play().stock()
    _, out = play.start(instrument=BTC)
    assert isinstance(out[0], m.LegsLatched)
    assert set(out[0].legs) == set(LEGS)


def test_one_leg_leaves_the_other_alone():
    play = Play().stock()
    before = left(play, legs=(Leg.SHORT,))
    play.run(legs=(Leg.LONG,), instrument=BTC)
    assert left(play, legs=(Leg.LONG,)) == {Leg.LONG: (Decimal(0), [])}
    assert left(play, legs=(Leg.SHORT,)) == before
    assert not any(x.all_orders for x in of(m.CancelRaw, play.venue.calls))
    assert all(x.legs == (Leg.LONG,) for x in of(m.LegsLatched, play.feed.log))


def test_other_instruments_are_left_alone():
    play = Play().stock(BTC).stock(ETH)
    before = left(play, ETH)
    play.run(instrument=BTC)
    assert left(play, BTC) == NOTHING
    assert left(play, ETH) == before
    play.run()
    assert left(play, ETH) == NOTHING


def test_the_stop_stays_while_a_close_is_refused():
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock()
    play.run(seconds=5)
    assert play.venue.legs[(BTC, Leg.LONG)] == 3
    assert "BTCUSDT-L000S-e-3" in play.venue.orders
    assert not any(x.algo for x in of(m.CancelRaw, play.venue.calls))
    play.lies = {}
    play.go(30)
    assert left(play) == NOTHING


def test_the_stop_goes_after_the_leg():
    play = Play().stock()
    play.run(instrument=BTC)
    calls = play.venue.calls
    stops = [n for n, x in enumerate(calls) if isinstance(x, m.CancelRaw) and x.algo]
    closes = [n for n, x in enumerate(calls) if isinstance(x, m.CloseRaw)]
    assert min(stops) > max(closes)


@pytest.mark.parametrize("lie", ["lost", "unsent"])
def test_a_lost_answer_is_resolved_before_anything_is_sent_again(lie):
    play = Play(lies={(m.CloseRaw, 1): lie, (m.CloseRaw, 2): lie}).stock()
    play.run()
    assert left(play) == NOTHING
    assert of(m.AskOrder, play.venue.calls)
    closed = {x.leg: x.qty for x in play.venue.closes}
    assert closed == {Leg.LONG: 3, Leg.SHORT: 2}  # the venue asserts that no id is sent twice
    asks = of(m.AskOrder, play.venue.calls)
    assert len(asks) == (2 if lie == "lost" else 4)  # not found is believed the second time only


def test_a_market_order_that_still_works_is_asked_for_again():
    play = Play().stock()
    _, out = play.start(instrument=BTC)
    (read,) = of(m.ReadTruth, out)
    (cancel,) = of(m.CancelRaw, out)
    out = [x for e in play.venue.answer(read) for x in play.feed(e)]
    close = of(m.CloseRaw, out)[0]
    assert not of(m.CloseRaw, play.feed(m.VenueDone(token=close.token, status="NEW")))
    play.venue._process(close)
    (ask,) = of(m.AskOrder, play.feed.advance(0.2))
    assert ask.client_order_id == close.client_order_id
    assert cancel.all_orders


def test_an_ask_that_fails_is_asked_again():
    play = Play(lies={(m.CloseRaw, 1): "lost", (m.AskOrder, 1): "limited", (m.AskOrder, 2): "lost"}).stock()
    play.run()
    assert left(play) == NOTHING
    assert len(of(m.AskOrder, play.venue.calls)) >= 3


def test_retry_after_is_waited_for():
    play = Play(lies={(m.ReadTruth, 1): "limited"}).stock()
    _, out = play.start(instrument=BTC)
    play.settle(out)
    at = play.feed.mono_ns
    play.go(2.5)
    assert not play.venue.closes
    play.go(60)
    assert left(play) == NOTHING
    assert play.feed.mono_ns - at >= 3_000_000_000


def test_a_failed_cancel_is_tried_again():
    play = Play(lies={(m.CancelRaw, 1): "refused", (m.CancelRaw, 2): "lost"}).stock()
    play.run()
    assert left(play) == NOTHING


def test_a_large_leg_is_closed_in_pieces_one_in_flight():
    play = Play().stock(long="300", short="0")
    play.run(instrument=BTC)
    assert [x.qty for x in play.venue.closes] == [120, 120, 60]
    assert left(play) == NOTHING


def test_the_deadline_answers_and_the_work_goes_on():
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock()
    asked = play.run(seconds=12, instrument=BTC, deadline_s=10.0)
    (answer,) = play.answers()
    assert answer.to == asked
    assert not answer.verified
    assert answer.residuals == {f"{BTC}-LONG": "3", f"{BTC}-SHORT": "2"}
    assert answer.residual_orders == 2
    assert answer.proof == ()
    attempts = len(of(m.CloseRaw, play.venue.calls))
    play.lies = {}
    play.go(60)
    assert left(play) == NOTHING
    assert of(m.FlattenFinished, play.feed.log)
    assert len(play.answers()) == 1  # exactly one answer
    assert 4 < attempts < 60  # it kept trying and backed off


def test_a_second_flatten_joins_the_running_one():
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock()
    first, out = play.start(instrument=BTC, legs=(Leg.LONG,))
    play.settle(out)
    second, out = play.start(instrument=BTC, legs=LEGS, origin="T-1")
    assert [x.legs for x in of(m.LegsLatched, out)] == [(Leg.SHORT,), (Leg.LONG,)]
    play.settle(out)
    play.lies = {}
    play.go(60)
    assert {x.to for x in play.answers()} == {first, second}
    assert all(x.verified for x in play.answers())
    assert {x.origin for x in of(m.FlattenFinished, play.feed.log)} == {"", "T-1"}


def test_an_order_in_flight_keeps_the_leg_from_being_called_flat():
    play = Play().stock(long="0", short="0")
    play.venue.orders.clear()
    play.venue.in_flight = ("BTCUSDT-L004E-e-9",)
    play.run(seconds=5, instrument=BTC)
    flat = {x.leg for x in of(m.LegFlat, play.feed.log)}
    assert flat == {Leg.SHORT}
    assert len(of(m.ReadTruth, play.venue.calls)) < 40  # looks, but does not hammer
    play.venue.in_flight = ()
    play.venue.legs[(BTC, Leg.LONG)] = Decimal(1)  # it filled
    play.go(60)
    assert left(play) == NOTHING
    assert {x.leg for x in of(m.LegFlat, play.feed.log)} == set(LEGS)


STRATEGYS = "BTCUSDT-L004C-e-9"  # a close of a lot


def test_a_close_of_the_strategys_that_is_under_way_is_waited_for():
    play = Play().stock(long="3", short="2")
    play.venue.in_flight = (STRATEGYS,)
    play.run(seconds=3, instrument=BTC)
    assert {x.leg for x in play.venue.closes} == {Leg.SHORT}, "one close in flight per leg"
    play.venue.in_flight = ()
    play.venue.legs[(BTC, Leg.LONG)] = Decimal(1)  # it has filled
    play.go(10)
    assert [x.qty for x in play.venue.closes if x.leg is Leg.LONG] == [1]
    assert left(play) == NOTHING


def test_it_is_not_waited_for_for_ever():
    play = Play().stock(long="3", short="0")
    play.venue.in_flight = (STRATEGYS,)
    play.run(seconds=20, instrument=BTC)
    assert [x.qty for x in play.venue.closes] == [3]
    assert play.venue.legs[(BTC, Leg.LONG)] == 0


def late_fill(leg, qty):
    return m.Fill(
        instrument=BTC,
        leg=leg,
        client_order_id="c",
        venue_order_id="1",
        trade_id=f"late-{leg}-{qty}",
        side=leg.exit_side,
        price=Decimal(100),
        qty=Decimal(qty),
        commission=Decimal(0),
        commission_asset="USDT",
        maker=False,
        ts_ns=1,
    )


def test_a_stream_that_is_later_than_the_query_completes_the_proof_at_once():
    play = Play(stream=False).stock(long="3", short="2")
    asked, out = play.start(instrument=BTC)
    play.settle(out)
    assert not play.answers(), "one query alone is no proof"
    before_ns = play.feed.mono_ns
    play.feed(late_fill(Leg.LONG, "3"))
    play.feed(late_fill(Leg.SHORT, "2"))
    assert play.feed.mono_ns == before_ns
    (answer,) = play.answers()
    assert (answer.to, answer.verified) == (asked, True)
    assert ["stream" in line for line in answer.proof] == [True, False, True, False]


@pytest.mark.parametrize(("leg", "qty"), [(Leg.LONG, "2.9"), (Leg.SHORT, "0.1")])
def test_a_late_fill_that_does_not_close_the_leg_proves_nothing(leg, qty):
    play = Play(stream=False).stock(long="3", short="2")
    _, out = play.start(instrument=BTC)
    play.settle(out)
    play.feed(late_fill(leg, qty))
    assert not of(m.LegFlat, play.feed.log)


def test_a_fill_of_a_leg_that_never_showed_inventory_proves_nothing():
    play = Play(stream=False).stock(long="0", short="0")
    _, out = play.start(instrument=BTC)
    play.settle(out)
    play.feed(late_fill(Leg.LONG, "1"))
    assert not of(m.LegFlat, play.feed.log)


def test_without_the_stream_two_queries_half_a_second_apart_are_needed():
    play = Play(stream=False).stock(long="0", short="0")
    play.venue.orders.clear()
    _, out = play.start(instrument=BTC)
    play.settle(out)
    assert not of(m.LegFlat, play.feed.log)
    play.go(2)
    assert len(of(m.LegFlat, play.feed.log)) == 2
    reads = [x for x in play.venue.calls if isinstance(x, m.ReadTruth)]
    assert len(reads) == 2


def test_a_leg_that_the_venue_does_not_report_is_not_flat():
    play = Play().stock(long="0", short="0")
    play.venue.orders.clear()
    del play.venue.legs[(BTC, Leg.LONG)]
    play.run(seconds=5, instrument=BTC)
    assert {x.leg for x in of(m.LegFlat, play.feed.log)} == {Leg.SHORT}


def test_bad_requests_are_refused_and_change_nothing():
    play = Play()
    (refused,) = play.feed(m.Flatten(legs=LEGS, instrument="XRPUSDT-PERP.BINANCE", reason="x"))
    assert "XRPUSDT" in refused.reason
    (refused,) = play.feed(m.Flatten(legs=(), reason="x"))
    assert "legs" in refused.reason
    assert play.machine.snapshot().running == []


def test_a_restart_takes_up_what_was_not_verified():
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock()
    play.run(seconds=2, instrument=BTC, origin="T-7")
    kept = play.machine.snapshot()
    assert kept.running == [(kept.running[0][0], BTC, LEGS, "T-7")]
    after = Play(epoch="e1").stock()
    after.machine.restore(kept)
    assert after.machine.snapshot() == kept
    after.feed.mono_ns += 50_000_000_000
    after.settle(after.feed(m.VenueUp()))
    after.go(60)
    assert left(after) == NOTHING
    (finished,) = of(m.FlattenFinished, after.feed.log)
    assert finished.origin == "T-7"
    assert not after.answers()  # its asker is gone
    assert after.machine.snapshot().running == []


def test_the_view_tells_what_is_left():
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock()
    play.run(seconds=2, instrument=BTC)
    (answer,) = play.feed(m.GetFlattens())
    assert {(x.leg, x.state, x.residual_qty) for x in answer.flattens} == {
        (Leg.LONG, "removing", 3),
        (Leg.SHORT, "removing", 2),
    }


def test_strangers_are_ignored_and_unknown_messages_are_faults():
    play = Play().stock()
    truth = play.venue._truth(m.ReadTruth(token="desk-1", instruments=(BTC,)))
    assert play.feed(truth) == []
    assert play.feed(m.VenueDone(token="desk-1")) == []
    assert play.feed(m.VenueFailed(token="F-1|nobody|R1", ambiguous=False, code=0, reason="")) == []
    assert play.feed(m.Woke(token="flatten|nobody|read")) == []
    with pytest.raises(TypeError, match="no row"):
        play.feed(m.Stopping(reason="x"))


def test_the_latch_names_the_trip_that_asked():
    play = Play().stock()
    _, out = play.start(instrument=BTC, origin="T-5")
    assert of(m.LegsLatched, out)[0].origin == "T-5"


def test_a_machine_replayed_from_the_journal_does_not_wait_for_answers_of_a_dead_process():
    play = Play().stock()
    play.start(instrument=BTC, origin="T-7")  # its first calls are never answered
    play.machine.restore(play.machine.snapshot())
    play.feed.mono_ns += 5_000_000_000
    play.settle(play.feed(m.VenueUp()))
    play.go(60)
    assert left(play) == NOTHING
    (finished,) = of(m.FlattenFinished, play.feed.log)
    assert finished.origin == "T-7"


def test_a_flatten_that_acts_before_it_is_on_disk_says_so_in_its_steps_and_its_answer():
    play = Play().stock()
    asked, out = play.start(instrument=BTC)
    flatten_id = of(m.LegsLatched, out)[0].flatten_id
    assert play.feed(m.JournalLate(action_id="T-7", detail="late")) == []
    (step,) = play.feed(m.JournalLate(action_id=flatten_id, detail="late"))
    assert step.what == "acting before it is on disk: the journal is late"
    play.settle(out)
    play.go(5)
    (answer,) = play.answers()
    assert (answer.to, answer.verified, answer.journal_late) == (asked, True, True)


def test_very_many_askers_are_told_that_it_runs_and_nothing_that_does_not_run_is_refused(monkeypatch):
    monkeypatch.setattr(flatten_module, "ASKERS_MAX", 3)
    play = Play().stock().stock(ETH)
    first, calls = play.start(instrument=BTC, legs=(Leg.LONG,))
    for _ in range(2):
        play.start(instrument=BTC, legs=(Leg.LONG,))
    _, out = play.start(instrument=BTC, legs=(Leg.LONG,))
    (refused,) = out
    assert f"being flattened by F-{first}, which goes on" in refused.reason
    for fields in ({"instrument": BTC, "legs": LEGS}, {"instrument": ETH, "legs": (Leg.LONG,)}):
        _, out = play.start(**fields)
        assert of(m.LegsLatched, out)
        calls += out
    _, out = play.start(instrument=BTC, legs=(Leg.LONG,), origin="T-1")
    assert of(m.LegsLatched, out)
    play.settle(calls)
    play.go(10)
    assert left(play) == NOTHING
    assert len(play.answers()) == 6
    assert all(answer.verified for answer in play.answers())


def test_legs_of_a_running_flatten_become_the_trips_that_joins_it_and_stay_it():
    play = Play().stock()
    play.start(instrument=BTC, legs=(Leg.LONG,))
    _, out = play.start(instrument=BTC, origin="T-9")
    assert {(leg, x.origin) for x in of(m.LegsLatched, out) for leg in x.legs} == {
        (Leg.LONG, "T-9"),
        (Leg.SHORT, "T-9"),
    }
    _, out = play.start(instrument=BTC)
    assert of(m.LegsLatched, out) == []


def test_a_leg_that_an_operator_adds_to_a_trips_flatten_is_not_the_trips():
    play = Play().stock()
    play.start(instrument=BTC, legs=(Leg.LONG,), origin="T-9")
    _, out = play.start(instrument=BTC)
    (latched,) = of(m.LegsLatched, out)
    assert (latched.legs, latched.origin) == ((Leg.SHORT,), "")


def test_a_trip_is_done_when_all_that_was_asked_for_it_is():
    """After a restart the kill switch asks for the trip again, and the desk for each leg that it finds owned."""
    play = Play(lies={(m.CloseRaw, 0): "refused"}).stock(long="0")
    for legs in (LEGS, (Leg.LONG,)):
        _, out = play.start(instrument=BTC, legs=legs, origin="T-1")
        play.settle(out)
    play.go(10)
    assert [x.origin for x in of(m.FlattenFinished, play.feed.log)] == [""], "SHORT still holds something"
    play.lies = {}
    play.go(30)
    assert [x.origin for x in of(m.FlattenFinished, play.feed.log)] == ["", "T-1"]

"""Comparing with the venue: adoption at start, differences later, what an event overtook, unknown inventory."""

from decimal import Decimal
from itertools import pairwise

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.desk import TRUTH_LOST_NS, Desk
from hedgegridd.model import Leg, OrderKind, Purpose, Side
from tests.support.desk_rig import EPOCH, config, rig
from tests.support.fake_venue import BTC, RULES, SECOND, Resting
from tests.support.fake_venue_truth import truth_of
from tests.unit.core.test_grid import entries, go, why

D = Decimal
MS = 1_000_000


def told(venue):
    return [x for x in venue.said if isinstance(x, m.Reconciled)]


def rest(
    venue, name, *, leg=Leg.LONG, purpose=Purpose.ENTRY, level=2, price="39600.0", qty="0.010", **fields
):
    """An order at the venue that our books do not know."""
    kind = fields.pop("kind", OrderKind.LIMIT)
    side = leg.exit_side if purpose.reduces else leg.entry_side
    order = m.PlaceOrder(
        instrument=BTC,
        leg=leg,
        purpose=purpose,
        level=level,
        client_order_id=name,
        side=side,
        kind=kind,
        price=None if kind is OrderKind.STOP_MARKET else D(price),
        qty=None if fields.get("close_position") else D(qty),
        **fields,
    )
    venue.ids.add(name)
    venue.resting[name] = Resting(order, venue_id=name)


def hold(venue, qty, price="39000", leg=Leg.LONG):
    venue.legs[leg].qty, venue.legs[leg].average = D(qty), D(price)


def reconcile(venue):
    return venue.ask(m.Reconcile(cause="test"))


# --------------------------------------------------------------------------------------------------------- start


def test_the_start_asks_once_all_rules_are_known_and_opens_the_wallet():
    venue = rig()
    (read,) = [x for x in venue.said if isinstance(x, m.ReadTruth)]
    assert read.instruments == (BTC,)
    assert read.income_from_ms is None
    assert read.trades_from == {}
    (first,) = told(venue)
    assert (first.ok, first.cause, first.differences) == (True, "start", ())
    assert venue.view().ledger.wallet_usdt == D(100000)


def test_a_venue_that_fails_is_asked_again_with_growing_patience():
    venue = rig(start=False)
    venue.fail_truth = 4
    venue.start()
    assert not venue.places
    assert "not reconciled" in " ".join(why(venue))
    venue.run(venue.mono + 20 * SECOND)
    reads = [e.mono_ns for e in venue.envelopes if isinstance(e.message, m.VenueFailed)]
    gaps = [round((b - a) / SECOND, 1) for a, b in pairwise(reads)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 0.5
    assert told(venue)[0].ok
    assert len(entries(venue)) == 6


def test_retry_after_is_honoured():
    venue = rig(start=False)
    venue.deaf = (m.ReadTruth,)
    venue.start()
    token = next(x for x in venue.said if isinstance(x, m.ReadTruth)).token
    venue.feed(m.VenueFailed(token=token, ambiguous=False, code=-1003, reason="slow", retry_after_s=7.0))
    venue.feed(m.VenueFailed(token="another", ambiguous=False, code=0, reason=""))
    venue.deaf = ()
    venue.run(venue.mono + 6 * SECOND)
    assert not told(venue)
    venue.run(venue.mono + 2 * SECOND)
    assert told(venue)


def failing(venue):
    """A venue whose readings fail until the desk's patience is at its longest, with the last failure just heard."""
    venue.fail_truth = 1000
    venue.feed(m.Reconcile(cause="test"))
    failed = 0
    while failed < 8:
        venue.run(venue.mono + MS)
        failed = sum(isinstance(e.message, m.VenueFailed) for e in venue.envelopes)


def reads(venue):
    return sum(isinstance(x, m.ReadTruth) for x in venue.said)


def test_a_new_wish_does_not_cut_the_back_off_short():
    venue = rig()
    failing(venue)
    before = reads(venue)
    for _ in range(50):
        venue.feed(m.FeedChanged(channel="user", up=False))
        venue.feed(m.FeedChanged(channel="user", up=True))
        venue.run(venue.mono + 100 * MS)
    assert reads(venue) == before
    venue.run(venue.mono + 6 * SECOND)
    assert reads(venue) == before + 1


def test_an_urgent_wish_waits_half_a_second_after_a_failure():
    venue = rig()
    failing(venue)
    before = reads(venue)
    venue.feed(m.Reconcile(cause="operator"))
    venue.run(venue.mono + 400 * MS)
    assert reads(venue) == before
    venue.run(venue.mono + 200 * MS)
    assert reads(venue) == before + 1


def test_an_urgent_wish_honours_retry_after():
    venue = rig()
    venue.deaf = (m.ReadTruth,)
    venue.feed(m.Reconcile(cause="a"))
    token = [x for x in venue.said if isinstance(x, m.ReadTruth)][-1].token
    venue.feed(m.VenueFailed(token=token, ambiguous=False, code=-1003, reason="slow", retry_after_s=7.0))
    before = reads(venue)
    venue.feed(m.Reconcile(cause="b"))
    venue.run(venue.mono + 6 * SECOND)
    assert reads(venue) == before
    venue.run(venue.mono + 2 * SECOND)
    assert reads(venue) == before + 1


def test_an_answer_that_never_comes_is_asked_for_again():
    venue = rig(start=False)
    venue.deaf = (m.ReadTruth,)
    venue.start()
    venue.deaf = ()
    venue.run(venue.mono + TRUTH_LOST_NS + SECOND)
    venue.feed(venue.mark())
    venue.run(venue.mono + SECOND)
    assert told(venue)


def test_reports_for_others_are_not_ours():
    venue = rig()
    before = venue.desk.snapshot().ledger
    venue.wallet = D(5)
    venue.feed(truth_of(venue, "flatten|x"))
    assert venue.desk.snapshot().ledger.residual == before.residual
    assert len(told(venue)) == 1


def test_lost_books_adopt_their_orders_and_cancel_exits_of_unknown_lots():
    venue = rig(start=False)
    rest(venue, "BTCUSDT-L002E-zzzzz-9")
    rest(venue, "BTCUSDT-L001T-zzzzz-8", purpose=Purpose.TAKE_PROFIT, level=1, price="40500.0")
    rest(
        venue,
        "BTCUSDT-L000S-zzzzz-7",
        purpose=Purpose.STOP,
        level=0,
        kind=OrderKind.STOP_MARKET,
        close_position=True,
        stop_price=D("37600.0"),
    )
    venue.start()
    venue.settle()
    assert told(venue)[0].orders_adopted == 3
    assert told(venue)[0].ok, "at start it is adoption"
    assert "BTCUSDT-L002E-zzzzz-9" in venue.resting, "matched to its rung"
    assert "BTCUSDT-L000S-zzzzz-7" in venue.resting
    assert "BTCUSDT-L001T-zzzzz-8" not in venue.resting
    assert [x[0] for x in entries(venue)] == [1, 2, 3, 4, 5, 6]
    go(venue, 39600)
    venue.settle()
    assert {lot.lot_id for lot in venue.check().instruments[0].legs[0].lots} >= {"BTCUSDT-L002E-zzzzz-9"}


# ------------------------------------------------------------------------------------------------ unknown inventory


def test_refuse_does_not_trade_what_it_did_not_make():
    venue = rig(start=False)
    hold(venue, "0.5")
    venue.start()
    assert not venue.places
    assert any("LONG inventory of 0.5" in reason for reason in why(venue))
    assert venue.view().instruments[0].legs[0].qty == D("0.5")
    hold(venue, "0", "0")
    reconcile(venue)
    assert len(entries(venue)) == 6, "gone: it trades"


def test_refuse_leaves_the_exits_and_the_stop_of_what_it_does_not_trade():
    """A lost state folder: the last run's inventory is unknown, and nothing else protects it."""
    venue = rig(start=False)
    hold(venue, "0.010")
    rest(venue, "BTCUSDT-L001T-zzzzz-8", purpose=Purpose.TAKE_PROFIT, level=1, price="40500.0")
    stop = {"kind": OrderKind.STOP_MARKET, "close_position": True, "stop_price": D("37600.0")}
    rest(venue, "BTCUSDT-L000S-zzzzz-7", purpose=Purpose.STOP, level=0, **stop)
    venue.start()
    venue.settle()
    assert any("LONG inventory of 0.01" in reason for reason in why(venue))
    assert {"BTCUSDT-L001T-zzzzz-8", "BTCUSDT-L000S-zzzzz-7"} <= venue.resting.keys()
    assert venue.view().instruments[0].legs[0].stop_resting
    go(venue, 40500)
    venue.settle()
    assert venue.legs[Leg.LONG].qty == 0, "the old take-profit has closed it"
    reconcile(venue)
    venue.settle()
    assert len(entries(venue)) == 6, "flat again: it trades"
    assert "BTCUSDT-L001T-zzzzz-8" not in venue.resting


def test_adopt_makes_it_a_lot_and_covers_it():
    venue = rig(start=False, manual_position="adopt")
    hold(venue, "0.05", "39900")
    venue.start()
    venue.settle()
    leg = venue.check().instruments[0].legs[0]
    assert [(lot.price, lot.qty) for lot in leg.lots] == [(D(39900), D("0.05"))]
    assert leg.take_profit_qty == D("0.05")
    assert leg.stop_resting


def test_ignore_leaves_it_alone_and_trades_beside_it():
    venue = rig(start=False, manual_position="ignore")
    hold(venue, "0.05")
    venue.start()
    assert entries(venue)
    assert not venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    go(venue, 39800)
    assert sum(r.order.qty for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT)) == D("0.010")


def test_orders_that_are_not_ours_hold_the_instrument_under_refuse():
    venue = rig()
    rest(venue, "web_abc", price="30000.0")
    reconcile(venue)
    assert any("order web_abc" in reason for reason in why(venue))
    assert "web_abc" in venue.resting
    del venue.resting["web_abc"]
    reconcile(venue)
    assert len(entries(venue)) == 6


def test_a_hand_that_buys_on_our_leg_is_found_at_once():
    venue = rig()
    go(venue, 39800)
    order = venue.of(Leg.LONG, Purpose.TAKE_PROFIT)[0].order
    hand = msgspec.structs.replace(
        order, client_order_id="web_1", side=Side.BUY, purpose=Purpose.ENTRY, qty=D("0.5")
    )
    venue._fill(Resting(hand, venue_id="w"), D("0.5"), D(39800), maker=False)
    venue.run(venue.mono + SECOND)
    assert any("LONG inventory of 0.5" in reason for reason in why(venue))
    assert venue.view().instruments[0].legs[0].take_profit_qty == D("0.010"), "ours stays covered"


def test_a_hand_is_adopted_though_a_trade_overtakes_the_report():
    venue = rig(manual_position="adopt")
    go(venue, 39800)
    order = venue.of(Leg.LONG, Purpose.TAKE_PROFIT)[0].order
    hand = msgspec.structs.replace(
        order, client_order_id="web_1", side=Side.BUY, purpose=Purpose.ENTRY, qty=D("0.5")
    )
    venue.deaf = (m.ReadTruth,)
    venue._fill(Resting(hand, venue_id="w"), D("0.5"), D(39800), maker=False)
    venue.run(venue.mono + SECOND)
    asked = [x.token for x in venue.said if isinstance(x, m.ReadTruth)][-1]
    report = msgspec.structs.replace(truth_of(venue, asked), asked_mono_ns=venue.mono - 2 * SECOND)
    venue.deaf = ()
    venue.tell(report)  # asked just before the trade was told, answered with it
    venue.run(venue.mono + 2 * SECOND)
    assert sum(lot.qty for lot in venue.view().instruments[0].legs[0].lots) == D("0.510")


def test_an_entry_of_ours_that_the_books_lost_becomes_a_lot():
    venue = rig()
    order = venue.of(Leg.LONG, Purpose.ENTRY)[0].order
    lost = msgspec.structs.replace(order, client_order_id="BTCUSDT-L001E-zzzzz-5")
    venue._fill(Resting(lost, venue_id="w"), D("0.010"), D(39800), maker=True)
    venue.settle()
    assert venue.view().instruments[0].legs[0].lots[0].lot_id == "BTCUSDT-L001E-zzzzz-5"
    assert venue.view().instruments[0].legs[0].take_profit_qty == D("0.010")


# ---------------------------------------------------------------------------------------------------------- later


def test_a_lost_fill_comes_with_the_history_and_is_no_difference():
    venue = rig()
    venue.faults.lose_fill = 1.0
    go(venue, 39800, seconds=0)
    venue.run(venue.mono + 20 * MS)
    venue.faults.lose_fill = 0.0
    reconcile(venue)
    assert told(venue)[-1].ok
    assert told(venue)[-1].fills_applied == 1
    venue.settle()
    assert venue.check().instruments[0].legs[0].qty == D("0.010")


def test_a_lost_order_is_a_difference_and_comes_back():
    venue = rig()
    go(venue, 39800)
    stop = venue.of(Leg.LONG, Purpose.STOP)[0].order.client_order_id
    del venue.resting[stop]
    answer = reconcile(venue)
    assert answer.detail["ok"] is False
    assert any(stop in text for text in answer.detail["differences"])
    venue.settle()
    assert len(venue.of(Leg.LONG, Purpose.STOP)) == 1
    assert reconcile(venue).detail["ok"] is True


def test_a_leg_that_differs_is_taken_from_the_venue_and_its_lots_shrink():
    venue = rig()
    go(venue, 39800)
    go(venue, 39600)
    hold(venue, "0.008", "39800")
    answer = reconcile(venue)
    assert not answer.detail["ok"]
    assert "LONG is 0.008 at the venue" in answer.detail["differences"][0]
    venue.settle()
    leg = venue.view().instruments[0].legs[0]
    assert leg.qty == leg.take_profit_qty == D("0.008")


def test_an_orphan_of_ours_is_told_of_and_handled():
    venue = rig()
    rest(venue, "BTCUSDT-L001T-k3f9a-zz", purpose=Purpose.TAKE_PROFIT, level=1, price="41000.0")
    assert not reconcile(venue).detail["ok"]
    venue.settle()
    assert "BTCUSDT-L001T-k3f9a-zz" not in venue.resting


def test_what_an_event_overtook_does_not_count():
    venue = rig()
    venue.deaf = (m.ReadTruth,)
    seq = venue.feed(m.Reconcile(cause="test"))
    token = [x for x in venue.said if isinstance(x, m.ReadTruth)][-1].token
    old = truth_of(venue, token)
    venue.run(venue.mono + MS)
    go(venue, 39800)
    venue.feed(old)
    assert seq not in venue.answers, "money has moved since it was asked: once more"
    assert venue.view().instruments[0].legs[0].qty == D("0.010")
    venue.deaf = ()
    venue.run(venue.mono + SECOND)
    assert venue.answers[seq].detail["ok"]
    venue.settle()
    venue.check()
    assert all(not x.differences for x in told(venue))


def test_orders_in_flight_are_not_missing():
    venue = rig(start=False)
    venue.deaf = (m.PlaceOrder,)
    venue.start()
    pending = {x.client_order_id for x in venue.places}
    venue.run(venue.mono + 10 * SECOND)
    truth = [x for x in venue.said if isinstance(x, m.ReadTruth)]
    venue.deaf = (m.PlaceOrder, m.ReadTruth)
    venue.feed(m.Reconcile(cause="test"))
    token = [x for x in venue.said if isinstance(x, m.ReadTruth)][len(truth)].token
    some = tuple(sorted(pending))[:3]
    venue.feed(msgspec.structs.replace(truth_of(venue, token), in_flight=some))
    live = {o.client_order_id for o in venue.answers[venue.feed(m.GetOrders())].orders}
    assert set(some) <= live
    assert not (pending - set(some)) & live, "ten seconds on their way and unknown to the venue: gone"


def test_a_question_that_overtook_an_order_does_not_lose_it():
    venue = rig(start=False)
    venue.deaf = (m.PlaceOrder,)
    venue.start()
    pending = {x.client_order_id for x in venue.places}
    reconcile(venue)
    assert told(venue)[-1].ok
    assert {o.client_order_id for o in venue.answers[venue.feed(m.GetOrders())].orders} == pending


def test_a_question_that_overtook_a_cancel_does_not_undo_it():
    venue = rig(levels_long=1, levels_short=1)
    venue.deaf = (m.CancelOrder,)
    venue.feed(m.PauseEntries())
    venue.run(venue.mono + SECOND)
    reconcile(venue)
    cancels = [x.client_order_id for x in venue.said if isinstance(x, m.CancelOrder)]
    assert len(cancels) == len(set(cancels))


def test_a_cancel_that_left_no_trace_is_asked_for_again():
    venue = rig(levels_long=1, levels_short=1)
    venue.deaf = (m.CancelOrder,)
    seq = venue.feed(m.PauseEntries())
    venue.run(venue.mono + 8 * SECOND)
    venue.deaf = ()
    reconcile(venue)
    venue.run(venue.mono + SECOND)
    assert venue.answers[seq].detail["entries_resting"] == 0


def test_a_partial_fill_known_only_from_the_order_is_a_difference():
    venue = rig()
    each = venue.of(Leg.LONG, Purpose.ENTRY)[0]
    each.filled = D("0.004")
    assert not reconcile(venue).detail["ok"]
    assert "filled 0.004" in told(venue)[-1].differences[0]
    assert each.order.client_order_id not in venue.resting, "what is left of it is no whole rung: replaced"


def test_the_venues_average_is_taken_when_trades_came_out_of_order():
    venue = rig()
    go(venue, 39800)
    venue.legs[Leg.LONG].average = D(39700)
    venue.wallet -= D(1)  # 100 x 0.010
    assert reconcile(venue).detail["ok"]
    assert venue.view().instruments[0].legs[0].average_entry == D(39700)
    venue.settle()
    venue.check()


def test_a_lost_entry_that_a_close_has_overtaken_does_not_leave_the_average_wrong_until_the_next_interval():
    venue = rig()
    go(venue, 39800)
    venue.faults.lose_fill = 1.0
    each = venue.of(Leg.LONG, Purpose.ENTRY)[0]
    venue._fill(each, D("0.005"), each.order.price, maker=True)  # a part of it, and nothing is told
    venue.faults.lose_fill = 0.0
    venue.hand(Leg.LONG, D("0.004"))  # told: our average lacks the second lot here
    venue.run(venue.mono + SECOND)
    assert reconcile(venue).detail["fills_applied"] == 1
    venue.run(venue.mono + 2 * SECOND)
    assert venue.view().instruments[0].legs[0].average_entry == venue.legs[Leg.LONG].average
    venue.settle()
    venue.check()


def test_commands_that_come_while_one_is_running_get_the_next():
    venue = rig()
    venue.faults.delay_ns = 20 * MS
    first = venue.feed(m.Reconcile(cause="rearm"))
    venue.run(venue.mono + MS)
    second = venue.feed(m.Reconcile(cause="timer"))
    venue.run(venue.mono + 2 * SECOND)
    assert {first, second} <= set(venue.answers)
    assert [x.cause for x in told(venue)] == ["start", "rearm", "timer"]


def test_other_assets_are_told_and_no_difference():
    venue = rig()
    venue.tell(m.IncomeBooked(income_id="b", kind="TRANSFER", asset="BNB", amount=D(2), ts_ns=1))
    venue.run(venue.mono + SECOND)
    answer = reconcile(venue)
    assert answer.detail["ok"]
    assert answer.detail["differences"] == ["2 BNB booked outside the USDT figures"]


def test_funding_moves_the_wallet_and_the_cursor_goes_back_with_the_question():
    venue = rig()
    go(venue, 39800)
    venue.fund(D("0.001"))
    venue.run(venue.mono + SECOND)
    reconcile(venue)
    reconcile(venue)
    read = [x for x in venue.said if isinstance(x, m.ReadTruth)][-1]
    assert (read.income_from_ms, read.trades_from) == (1, {BTC: 1})
    venue.settle()
    view = venue.check()
    assert view.ledger.funding_usdt == D("-0.398")
    assert view.ledger.residual_usdt == 0


def test_a_cancel_of_an_order_that_is_gone_asks_what_became_of_it():
    venue = rig(levels_long=1)
    (each,) = venue.of(Leg.LONG, Purpose.ENTRY)
    del venue.resting[each.order.client_order_id]  # and nobody told us
    seq = venue.feed(m.PauseEntries())
    venue.run(venue.mono + 10 * SECOND)
    assert isinstance(venue.answers[seq], m.Done)


def test_a_restarted_desk_waits_for_truth_and_takes_up_its_lots():
    venue = rig()
    go(venue, 39800)
    venue.ask(m.PauseEntries())
    desk = Desk(config(), EPOCH)
    venue.move(D(40400))  # the take-profit fills while we are away
    venue.restart(desk)
    venue.settle()
    assert venue.check().instruments[0].legs[0].qty == 0
    assert told(venue)[-1].ok


def test_the_view_says_when_the_books_last_agreed():
    venue = rig()
    first = venue.check().reconciled_ns
    assert first == told_asked(venue)[-1], "adoption at the start is agreement"
    venue.run(venue.mono + 20 * SECOND)
    del venue.resting[venue.of(Leg.LONG, Purpose.ENTRY)[0].order.client_order_id]  # and nobody told us
    reconcile(venue)
    assert not told(venue)[-1].ok
    assert venue.view().reconciled_ns == first, "a comparison that found a difference does not count"
    venue.settle()
    reconcile(venue)
    assert told(venue)[-1].ok
    assert venue.check().reconciled_ns == told_asked(venue)[-1] > first
    venue.desk.new_session()
    assert venue.desk.snapshot().truth.ok_ns is None


def test_the_view_names_the_channels_that_are_lost():
    venue = rig()
    venue.feed(m.FeedChanged(channel="rest", up=False, detail="3 calls failed in a row"))
    assert venue.view().feeds_down == ("rest",)
    venue.feed(m.FeedChanged(channel="rest", up=True))
    assert venue.view().feeds_down == ()


def told_asked(venue):
    return [x.asked_ns for x in told(venue)]


def test_the_reading_that_the_rules_began_is_the_one_the_reconciler_asks_for_at_start():
    venue = rig(start=False)
    venue.tell(m.InstrumentReady(instrument=RULES), delay=0)
    venue.run(venue.mono)
    seq = venue.feed(m.Reconcile(cause="start"))
    venue.run(venue.mono + SECOND)
    assert len([x for x in venue.said if isinstance(x, m.ReadTruth)]) == 1
    assert [x.cause for x in told(venue)] == ["start"]
    assert venue.answers[seq].detail["ok"] is True
    venue.feed(m.Reconcile(cause="operator"))
    venue.run(venue.mono + SECOND)
    assert len([x for x in venue.said if isinstance(x, m.ReadTruth)]) == 2

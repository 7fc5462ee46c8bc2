"""The figures that the desk tells the guards: when, of what, and that they are the books'."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd import messages as m
from hedgegridd.core.figures import moved
from hedgegridd.model import KillState, Leg, LegMode, Purpose
from tests.support.desk_rig import rig
from tests.support.fake_venue import BTC, SECOND, WALL
from tests.unit.core.test_grid import go

LONG, SHORT = Leg.LONG, Leg.SHORT


def told(venue) -> list[m.RiskFigures]:
    return [x for x in venue.said if isinstance(x, m.RiskFigures)]


def last(venue) -> m.RiskFigures:
    """The account now, with what was last told of the instrument."""
    figures = told(venue)[-1]
    known = next(each for each in reversed(told(venue)) if each.instruments)
    return m.RiskFigures(
        **{**{f: getattr(figures, f) for f in figures.__struct_fields__}, "instruments": known.instruments}
    )


def leg_of(venue, leg: Leg) -> m.LegFigures:
    (btc,) = last(venue).instruments
    return next(each for each in btc.legs if each.leg is leg)


def test_figures_are_the_books():
    venue = rig()
    go(venue, 39800)  # the first LONG rung fills
    view = venue.check()
    figures, (btc,) = last(venue), last(venue).instruments
    assert figures.reconciled
    assert figures.equity_usdt == view.ledger.equity_usdt
    assert (figures.session_usdt, figures.day_usdt) == (view.ledger.session_usdt, view.ledger.day_usdt)
    assert figures.peak_usdt == view.ledger.peak_equity_usdt
    assert btc.mark == view.instruments[0].mark
    assert btc.market_ns == view.instruments[0].mark_ns
    long, shown = leg_of(venue, LONG), view.instruments[0].legs[0]
    assert long.qty == shown.qty > 0
    assert long.notional_usdt == long.qty * btc.mark
    assert (
        (long.stop_resting, long.stop_price)
        == (shown.stop_resting, shown.stop_price)
        == (True, shown.stop_price)
    )
    assert long.entries_usdt == sum(
        rest.order.price * rest.order.qty for rest in venue.of(LONG, Purpose.ENTRY)
    )
    assert not long.hands_off
    assert leg_of(venue, SHORT).qty == 0
    assert leg_of(venue, SHORT).liquidation_price is None


def test_every_mark_and_every_fill_is_told_and_a_bar_alone_is_not():
    venue = rig()
    before = len(told(venue))
    mark = m.MarkPrice(instrument=BTC, market_ns=venue.market + SECOND, mark=D(39999))
    venue.feed(mark)
    assert len(told(venue)) == before + 1
    assert told(venue)[-1].instruments[0].mark == 39999
    go(venue, 39800)
    fills = [x for x in told(venue)[before:] if x.instruments and x.instruments[0].legs[0].qty > 0]
    assert fills
    other = m.MarkPrice(instrument="ETHUSDT-PERP.BINANCE", market_ns=1, mark=D(1))
    count = len(told(venue))
    venue.feed(other)
    assert len(told(venue)) == count


@pytest.mark.parametrize(
    ("message", "instruments"),
    [
        (m.AccountRead(account=None), ()),
        (m.SetMode(leg=LONG, mode=LegMode.MANUAL), (BTC,)),
        (m.KillStateChanged(state=KillState.REARMING, previous=KillState.HALTED), ()),
        (m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED), None),
        (m.OrderAccepted(instrument=BTC, client_order_id="BTCUSDT-L000S-k3f9a-1", venue_order_id="1", ts_ns=1), (BTC,)),
        (m.OrderAccepted(instrument=BTC, client_order_id="BTCUSDT-L001E-k3f9a-1", venue_order_id="1", ts_ns=1), None),
        (m.OrderClosed(instrument=BTC, client_order_id="BTCUSDT-S000S-k3f9a-1", how="CANCELED"), (BTC,)),
        (m.OrderUnknown(instrument=BTC, client_order_id="of-a-hand", reason=""), None),
        (m.FeedChanged(channel="market", up=False), None),
    ],
)  # fmt: skip
def test_what_moves_the_figures(message, instruments):
    assert moved(message, (BTC,)) == instruments


def test_a_stop_that_goes_is_told_at_once_and_placed_anew_when_asked():
    venue = rig()
    go(venue, 39800)
    (stop,) = venue.of(LONG, Purpose.STOP)
    name = stop.order.client_order_id
    venue.faults.delay_ns = 50_000_000
    del venue.resting[name]
    venue.feed(m.OrderClosed(instrument=BTC, client_order_id=name, how="EXPIRED"))
    assert not leg_of(venue, LONG).stop_resting
    seq = venue.feed(m.PlaceStop(instrument=BTC, leg=LONG, reason="stop_missing"))
    assert isinstance(venue.answers[seq], m.Done)
    venue.run(venue.mono + SECOND)
    assert leg_of(venue, LONG).stop_resting
    assert venue.of(LONG, Purpose.STOP)
    seq = venue.feed(m.PlaceStop(instrument="X", leg=LONG, reason="stop_missing"))
    assert isinstance(venue.answers[seq], m.Refused)


def test_a_stop_that_our_books_believe_in_and_the_venue_has_not_is_found_when_asked():
    venue = rig()
    go(venue, 39800)
    (stop,) = venue.of(LONG, Purpose.STOP)
    venue.run(venue.mono + 10 * SECOND)
    del venue.resting[stop.order.client_order_id]  # and nobody told us
    venue.feed(m.PlaceStop(instrument=BTC, leg=LONG, reason="asked"))
    venue.run(venue.mono + SECOND)
    (new,) = venue.of(LONG, Purpose.STOP)
    assert new.order.client_order_id != stop.order.client_order_id


def test_a_leg_that_is_left_to_a_hand_is_told_as_such():
    venue = rig()
    go(venue, 39800)
    venue.feed(m.SetMode(leg=LONG, mode=LegMode.MANUAL))
    assert leg_of(venue, LONG).hands_off
    assert not leg_of(venue, SHORT).hands_off


def test_rearm_begins_the_session_anew():
    venue = rig()
    go(venue, 39800)
    go(venue, 39790)
    before = last(venue)
    assert before.session_peak_usdt > before.equity_usdt
    assert before.session_usdt < 0
    venue.feed(m.KillStateChanged(state=KillState.REARMING, previous=KillState.HALTED))
    after = last(venue)
    assert after.session_peak_usdt == after.equity_usdt == before.equity_usdt
    assert after.session_usdt == 0
    assert after.peak_usdt == before.peak_usdt, "that of inception stays"


def test_transfers_move_the_peaks_and_are_no_loss():
    venue = rig()
    before = last(venue)
    venue.transfer(D(-500))
    venue.settle()
    after = last(venue)
    assert after.equity_usdt == before.equity_usdt - 500
    assert after.session_peak_usdt == before.session_peak_usdt - 500
    assert after.peak_usdt == before.peak_usdt - 500


def test_margins_come_with_their_report():
    venue = rig()
    account = m.VenueAccount(
        wallet_usdt=D(1), margin_balance_usdt=D(900), maint_margin_usdt=D(7), initial_margin_usdt=D(1),
        available_usdt=D(1), unrealized_usdt=D(0),
    )  # fmt: skip
    venue.run(venue.mono + 5 * SECOND)
    venue.feed(m.AccountRead(account=account))
    figures = last(venue)
    assert (figures.maint_margin_usdt, figures.margin_balance_usdt) == (7, 900)
    assert figures.margin_ns == WALL + venue.mono


def test_differences_are_told_until_a_comparison_agrees():
    venue = rig()
    venue.run(venue.mono + 20 * SECOND)
    del venue.resting[venue.of(LONG, Purpose.ENTRY)[0].order.client_order_id]  # and nobody told us
    venue.feed(m.Reconcile(cause="test"))
    venue.run(venue.mono + SECOND)
    assert any("is not at the venue any more" in text for text in last(venue).differences)
    venue.run(venue.mono + 5 * SECOND)
    assert last(venue).differences == (), "it was compared again soon"


def test_liquidation_is_the_nearer_of_the_venues_and_our_own():
    venue = rig()
    go(venue, 39800)
    price = leg_of(venue, LONG).liquidation_price
    state = venue.desk._state.grids[BTC].legs[LONG]
    state.liquidation_price = D(39700)
    venue.feed(m.MarkPrice(instrument=BTC, market_ns=venue.market + SECOND, mark=D(39800)))
    assert leg_of(venue, LONG).liquidation_price == 39700
    assert price is None or price < 39700


def test_a_mark_that_has_jumped_past_the_liquidation_price_is_no_distance_from_it():
    venue = rig()
    go(venue, 39800)
    ledger = venue.desk._state.ledger
    ledger.opening -= last(venue).equity_usdt + 1_000  # far below: the formula's price lies above the mark
    venue.desk._state.grids[BTC].legs[LONG].liquidation_price = None
    go(venue, 39790)
    assert leg_of(venue, LONG).liquidation_price == last(venue).instruments[0].mark

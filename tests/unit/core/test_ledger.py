"""The ledger: averages, fees, funding per leg, transfers, periods, what the venue says."""

from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.core import ledger as ledger_module
from hedgegridd.core.ledger import Ledger
from hedgegridd.core.state import LedgerState
from hedgegridd.model import Leg, Side

D = Decimal
BTC = "BTCUSDT-PERP.BINANCE"
ETH = "ETHUSDT-PERP.BINANCE"
NOON = 1_700_049_600_000_000_000  # 2023-11-15 12:00 UTC
HOUR = 3_600_000_000_000
count = iter(range(10**9))


def ledger(zone=UTC) -> Ledger:
    return Ledger(LedgerState(), (BTC, ETH), zone)


def fill(leg, side, qty, price, *, fee="0", asset="USDT"):
    return m.Fill(
        instrument=BTC,
        leg=leg,
        client_order_id="x",
        venue_order_id="1",
        trade_id=str(next(count)),
        side=side,
        price=D(price),
        qty=D(qty),
        commission=D(fee),
        commission_asset=asset,
        maker=True,
        ts_ns=1,
    )


def income(kind, amount, *, name=None, asset="USDT", instrument=BTC):
    return m.IncomeBooked(
        income_id=name or str(next(count)),
        kind=kind,
        asset=asset,
        amount=D(amount),
        instrument=instrument,
        ts_ns=1,
    )


@pytest.mark.parametrize(("leg", "gain"), [(Leg.LONG, D(5)), (Leg.SHORT, D(-5))])
def test_average_moves_on_adds_and_stays_on_closes(leg, gain):
    books = ledger()
    books.fill(fill(leg, leg.entry_side, 1, 100), 1)
    books.fill(fill(leg, leg.entry_side, 3, 104), 1)
    account = books.leg(BTC, leg)
    assert (account.qty, account.average) == (D(4), D(103))
    assert books.fill(fill(leg, leg.exit_side, 1, 108, fee="0.5"), 1) == 0
    assert (account.qty, account.average, account.gross, account.fees) == (D(3), D(103), gain, D("0.5"))
    assert books.realized == gain - D("0.5")
    books.fill(fill(leg, leg.exit_side, 3, 103), 1)
    assert (account.qty, account.average) == (0, 0)


def test_a_close_of_more_than_the_books_hold_is_told():
    books = ledger()
    books.fill(fill(Leg.LONG, Side.BUY, 1, 100), 1)
    assert books.fill(fill(Leg.LONG, Side.SELL, 3, 110), 1) == D(2)
    assert books.leg(BTC, Leg.LONG).qty == 0
    assert books.realized == D(10)


@pytest.mark.parametrize(("leg", "gain"), [(Leg.LONG, D(30)), (Leg.SHORT, D(-30))])
def test_a_close_that_comes_before_its_entry_is_worth_the_same(leg, gain):
    books = ledger()
    assert books.fill(fill(leg, leg.exit_side, 2, 110), 1) == 2
    assert books.fill(fill(leg, leg.entry_side, 1, 90), 2) == 1
    assert books.fill(fill(leg, leg.entry_side, 3, 100), 3) == 1, "and opens the rest"
    assert books.realized == gain
    assert (books.leg(BTC, leg).qty, books.leg(BTC, leg).average) == (2, 100)


def test_a_close_without_entry_was_not_of_ours_once_all_is_told():
    books = ledger()
    books.fill(fill(Leg.LONG, Side.SELL, 2, 110), 1)
    books.all_told(BTC, Leg.LONG)
    books.fill(fill(Leg.LONG, Side.BUY, 2, 90), 2)
    assert books.leg(BTC, Leg.LONG).qty == 2
    assert books.realized == 0


def test_fees_in_another_asset_are_kept_apart():
    books = ledger()
    books.fill(fill(Leg.LONG, Side.BUY, 1, 100, fee="0.01", asset="BNB"), 1)
    books.income(income("TRANSFER", 3, asset="USDC"), 1)
    assert books.other_assets == {"BNB": D("-0.01"), "USDC": D(3)}
    assert books.realized == 0


def test_wallet_opens_once_and_follows():
    books = ledger()
    assert books.wallet is None
    assert books.equity is None
    books.fill(fill(Leg.LONG, Side.BUY, 1, 100, fee=1), 1)
    books.open_wallet(D(999))
    assert books.opened
    assert books.wallet == D(999)
    books.open_wallet(D(5))
    assert books.wallet == D(999), "only once"
    books.income(income("TRANSFER", 50), 1)
    books.income(income("FUNDING_FEE", -2), 1)
    assert books.wallet == D(1047)
    assert books.compare(D(1000)) == D(47)
    assert books.view().residual_usdt == D(47)


def test_income_is_booked_once_and_trades_are_not_income():
    books = ledger()
    assert books.income(income("TRANSFER", 5, name="a"), 1)
    assert not books.income(income("TRANSFER", 5, name="a"), 1)
    assert books.income(income("COMMISSION", -5), 1)
    assert books.income(income("REALIZED_PNL", 5), 1)
    assert books.view().transfers_usdt == D(5)
    books.income(income("INSURANCE_CLEAR", -3), 1)
    assert books.view().fees_usdt == D(-3)
    books.income(income("FUNDING_FEE", -3, instrument="XRPUSDT-PERP.BINANCE"), 1)
    assert books.view().transfers_usdt == D(2), "not of a grid of ours: it moves the wallet all the same"


def test_incomes_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(ledger_module, "INCOMES_KEPT", 2)
    books = ledger()
    for name in "abc":
        books.income(income("TRANSFER", 1, name=name), 1)
    assert books.income(income("TRANSFER", 1, name="a"), 1)
    assert not books.income(income("TRANSFER", 1, name="c"), 1)


def test_funding_is_shared_as_the_legs_pay_it():
    books = ledger()
    books.fill(fill(Leg.LONG, Side.BUY, 3, 100), 1)
    books.fill(fill(Leg.SHORT, Side.SELL, 1, 100), 1)
    # rate 1 %: LONG pays 3, SHORT gets 1
    books.income(income("FUNDING_FEE", -2), 1)
    assert books.leg(BTC, Leg.LONG).funding == D(-3)
    assert books.leg(BTC, Leg.SHORT).funding == D(1)
    flat = ledger()
    flat.income(income("FUNDING_FEE", -2), 1)
    assert flat.leg(BTC, Leg.LONG).funding == D(-2)


def test_unrealized_needs_a_mark_where_there_is_inventory():
    books = ledger()
    assert books.unrealized == 0
    books.fill(fill(Leg.SHORT, Side.SELL, 2, 100), 1)
    assert books.unrealized is None
    assert books.total is None
    books.tick(NOON)
    assert books.view().day_usdt is None
    books.mark(BTC, D(90))
    assert books.unrealized_of(BTC, Leg.SHORT) == D(20)
    assert books.total == D(20)
    assert books.notional(BTC, D(90)) == D(180)


def test_peak_follows_transfers():
    books = ledger()
    books.open_wallet(D(1000))
    books.tick(NOON)
    books.income(income("TRANSFER", -400), 1)
    books.tick(NOON)
    assert books.view().peak_equity_usdt == D(600), "a withdrawal is no drawdown"
    books.income(income("TRANSFER", 100), 1)
    books.fill(fill(Leg.LONG, Side.BUY, 1, 100, fee=5), 1)
    books.mark(BTC, D(100))
    books.tick(NOON)
    assert books.view().peak_equity_usdt == D(700)
    assert books.equity == D(695)


@pytest.mark.parametrize(("zone", "hours"), [(UTC, 12), (ZoneInfo("Asia/Tokyo"), 3)])
def test_the_day_begins_at_midnight_of_its_zone(zone, hours):
    books = ledger(zone)
    books.open_wallet(D(1000))
    books.tick(NOON)
    books.income(income("FUNDING_FEE", 7), 1)
    books.tick(NOON + hours * HOUR - 1)
    assert books.view().day_usdt == D(7)
    books.tick(NOON + hours * HOUR)
    assert books.view().day_usdt == 0
    assert books.view().session_usdt == D(7)
    books.new_session()
    books.tick(NOON + hours * HOUR)
    assert books.view().session_usdt == 0
    assert books.view().inception_usdt == D(7)


def test_taking_the_venues_average_moves_the_wallet_with_it():
    books = ledger()
    # Bought 1 @100 and 1 @110, sold 1 @120 between: told in the wrong order.
    books.fill(fill(Leg.LONG, Side.BUY, 1, 100), 1)
    books.fill(fill(Leg.LONG, Side.BUY, 1, 110), 1)
    books.fill(fill(Leg.LONG, Side.SELL, 1, 120), 1)
    assert (books.leg(BTC, Leg.LONG).average, books.realized) == (D(105), D(15))
    books.set_average(BTC, Leg.LONG, D(110))
    assert books.realized == D(20), "as in the right order: 120 - 100"


def test_setting_a_leg():
    books = ledger()
    books.set_leg(BTC, Leg.LONG, D(2), D(50))
    assert (books.leg(BTC, Leg.LONG).qty, books.leg(BTC, Leg.LONG).average) == (D(2), D(50))
    books.set_leg(BTC, Leg.LONG, D(0), D(50))
    assert books.leg(BTC, Leg.LONG).average == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Leg)), st.booleans(), st.integers(1, 9), st.integers(50, 150)),
        max_size=25,
    )
)
def test_wallet_and_inventory_equal_the_cash_that_moved(trades):
    """Equity at any price = cash in and out + inventory at that price, whatever the order of trades."""
    books = ledger()
    books.open_wallet(D(0))
    cash = {leg: D(0) for leg in Leg}
    held = {leg: D(0) for leg in Leg}
    for leg, grow, qty, price in trades:
        if not grow and held[leg] < qty:
            continue
        side = leg.entry_side if grow else leg.exit_side
        books.fill(fill(leg, side, qty, price, fee="0.1"), 1)
        cash[leg] += (-1 if grow else 1) * leg.sign * D(qty) * D(price) - D("0.1")
        held[leg] += qty if grow else -qty
    books.mark(BTC, D(77))
    value = sum(cash[leg] + leg.sign * held[leg] * D(77) for leg in Leg)
    assert abs(books.equity - value) < D("1e-15")

"""What the account loses beside our books counts in equity, so in every guard of money; what it gains there does not."""

from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.core.ledger import GAP_NS, Ledger
from hedgegridd.core.state import LedgerState
from hedgegridd.model import KillState
from tests.support.desk_rig import rig
from tests.support.fake_venue import BTC, SECOND
from tests.unit.core.test_ledger import income

D = Decimal
NOON = 1_700_000_000_000_000_000
DAY_NS = 86_400 * SECOND


class Books:
    """A ledger that is compared with a wallet every half minute."""

    def __init__(self, wallet=10_000):
        self.mono = SECOND
        self.ledger = Ledger(LedgerState(), [BTC])
        self.ledger.open_wallet(D(wallet))
        self.ledger.look_outside(D(0), self.mono)
        self.ledger.tick(NOON)

    def look(self, wallet, elsewhere=0, after_s=30):
        self.mono += int(after_s * SECOND)
        self.ledger.compare(D(wallet))
        again = self.ledger.look_outside(D(elsewhere), self.mono)
        self.ledger.tick(NOON)
        return again

    @property
    def figures(self):
        each = self.ledger.periods()
        return tuple(map(int, (each.equity, each.session, each.day)))


def test_money_that_is_missing_at_two_looks_is_lost():
    books = Books()
    assert books.look(8_000), "look again soon"
    assert books.figures == (10_000, 0, 0)
    assert books.look(8_000, after_s=9), "too soon: bookings may be late"
    assert books.figures == (10_000, 0, 0)
    assert not books.look(8_000, after_s=1)
    assert books.figures == (8_000, -2_000, -2_000)
    assert books.ledger.equity == 8_000
    assert (books.ledger.periods().peak, books.ledger.periods().session_peak) == (10_000, 10_000)
    assert not books.look(9_999), "more money counts at once"
    assert books.figures == (9_999, -1, -1)


def test_of_two_looks_the_better_one_counts_and_the_loss_is_followed():
    books = Books()
    books.look(9_000)
    assert books.look(8_500), "and worse again"
    assert books.figures[0] == 9_000
    books.look(8_000)
    assert books.figures[0] == 8_500


def test_what_is_more_than_ours_is_not_ours_and_cents_are_no_loss():
    books = Books()
    for wallet in (15_000, 15_000, D("9999.01"), D("9999.01")):
        assert not books.look(wallet) or wallet < 10_000
        assert books.ledger.periods().equity == 10_000
    assert books.ledger.periods().peak == 10_000


def test_a_position_elsewhere_counts_at_once_as_long_as_its_result_is_open():
    books = Books()
    books.look(10_000, elsewhere=-300)
    assert books.figures == (9_700, -300, -300)
    books.look(10_000, elsewhere=500)
    assert books.figures == (10_000, 0, 0)
    books.look(9_700, elsewhere=300)
    books.look(9_700, elsewhere=300)
    assert books.figures == (10_000, 0, 0), "a hedge: what one loses the other has won"


@pytest.mark.parametrize("late_by_looks", [0, 1, 2, 3])
def test_a_withdrawal_is_no_loss_however_late_it_is_told(late_by_looks):
    """From the moment it is told; before, two looks cannot tell it from a loss."""
    books = Books()
    for _ in range(late_by_looks):
        books.look(9_000)
    books.ledger.income(income("TRANSFER", -1_000), books.mono)
    for _ in range(3):
        each = books.ledger.periods()
        assert (each.equity, each.peak, each.session_peak, each.session) == (9_000, 9_000, 9_000, 0)
        books.look(9_000)


@pytest.mark.parametrize("late_by_looks", [0, 1, 3])
def test_a_deposit_hides_no_loss_that_two_later_looks_see(late_by_looks):
    books = Books()
    for _ in range(late_by_looks):
        books.look(11_000)
    books.ledger.income(income("TRANSFER", 1_000), books.mono)
    for _ in range(3):
        books.look(10_200)
    each = books.ledger.periods()
    assert (each.equity, each.session_peak, each.session) == (10_200, 11_000, -800)


def test_what_a_process_finds_is_where_it_begins_and_rearm_begins_anew():
    books = Books()
    books.look(9_000)
    books.look(9_000)
    books.ledger.new_session()
    books.ledger.tick(NOON)  # a mark comes before the first comparison
    assert books.ledger.periods().session_peak == 9_000
    books.look(7_000, elsewhere=-500)
    each = books.ledger.periods()
    assert (each.equity, each.session_peak, each.session, each.day) == (6_500, 6_500, 0, -3_500)
    assert each.peak == 10_000, "the fall from the highest equity is what it is"
    books.look(7_000, elsewhere=-1_500)
    assert books.ledger.periods().session == -1_000
    books.ledger.restart_session()
    each = books.ledger.periods()
    assert (each.equity, each.session_peak, each.session) == (5_500, 5_500, 0)


def test_a_day_begins_with_what_was_lost_before_it():
    books = Books()
    books.look(10_000, elsewhere=-400)
    books.ledger.tick(NOON + DAY_NS)
    assert books.figures == (9_600, -400, 0)


def test_a_loss_by_hand_in_another_symbol_moves_the_guards_figures_within_two_comparisons():
    venue = rig()
    venue.feed(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
    venue.ask(m.Reconcile(cause="interval"))
    equity = last(venue).equity_usdt
    venue.wallet -= 2_000
    venue.ask(m.Reconcile(cause="interval"))
    assert last(venue).equity_usdt == equity
    venue.run(venue.mono + GAP_NS + 5 * SECOND)  # it looks again by itself
    figures = last(venue)
    assert (figures.equity_usdt, figures.session_usdt) == (equity - 2_000, -2_000)
    assert figures.session_peak_usdt == equity


def last(venue):
    return [each for each in venue.said if isinstance(each, m.RiskFigures)][-1]

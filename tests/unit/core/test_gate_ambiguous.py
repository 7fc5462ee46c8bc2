"""While the venue has not said what became of an order, it counts against every limit of the gate as if it rested."""

import pytest

from hedgegridd.core import gate
from hedgegridd.model import Leg, OrderStatus, Purpose
from tests.support.desk_rig import rig
from tests.support.fake_venue import BTC


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.CANCELING])
def test_an_order_of_open_fate_counts_in_leg_account_and_number(status: OrderStatus) -> None:
    venue = rig(levels_long=2, levels_short=2)
    grid, ctx = venue.desk._grids[BTC], venue.desk._ctx

    def counted() -> tuple[object, ...]:
        account = gate._account(grid.grid, grid.state, grid.book, ctx)
        assert account is not None
        legs = gate._legs(grid.grid, grid.state, grid.book, ctx)
        return {leg: legs[leg].entries_usdt for leg in Leg}, account.working, len(list(grid.book.live()))

    resting = counted()
    assert resting[0][Leg.LONG] > 0
    for order in grid.book.live(purpose=Purpose.ENTRY):
        order.status = status
    assert counted() == resting

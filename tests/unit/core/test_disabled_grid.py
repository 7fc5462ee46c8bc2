"""`enabled = false`: the instrument is watched and its exits are kept, but no entry rests, whatever ran before."""

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.core.weights import weight_share
from hedgegridd.model import KillState, Purpose
from tests.support.desk_rig import EPOCH, D, config, rig


def entries(venue) -> int:
    (view,) = venue.ask(m.GetStatus()).view.instruments
    return view.rungs_resting_long + view.rungs_resting_short


def armed(venue) -> None:
    venue.tell(m.InstrumentReady(instrument=venue.rules))
    venue.tell(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
    venue.tell(venue.mark())
    venue.settle()


def test_a_disabled_grid_rests_no_entry_and_says_why():
    venue = rig(enabled=False)
    (view,) = venue.ask(m.GetStatus()).view.instruments
    assert entries(venue) == 0
    assert not view.trading
    assert "enabled = false in the config" in view.why_no_entries


def test_start_does_not_override_the_config():
    venue = rig(enabled=False)
    answer = venue.ask(m.StartTrading())
    assert isinstance(answer, m.Refused)
    assert "enabled = false" in answer.reason
    assert entries(venue) == 0


def test_a_grid_disabled_over_a_restart_loses_its_entries_and_keeps_its_exits():
    venue = rig()
    venue.minute([venue.price - 800] * 4)
    venue.settle()
    assert entries(venue) > 0
    assert venue.ask(m.GetStatus()).view.instruments[0].legs[0].lots

    venue.restart(Desk(config(enabled=False), EPOCH))
    armed(venue)

    assert entries(venue) == 0
    leg = venue.ask(m.GetStatus()).view.instruments[0].legs[0]
    assert leg.stop_resting
    assert leg.take_profit_qty == leg.qty > 0
    orders = venue.ask(m.GetOrders()).orders
    assert not [order for order in orders if order.purpose is Purpose.ENTRY]

    venue.restart(Desk(config(), EPOCH))
    armed(venue)
    venue.minute([venue.price] * 4)
    venue.settle()
    assert entries(venue) > 0, "enabled again, it trades again"


def test_disabled_grids_take_no_share_of_the_account():
    assert weight_share(D(1), (D(1), D(3))) == D("0.25")
    assert weight_share(D(2), ()) == 1

"""What survives a restart comes back as it was, the order of things included."""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.core.state import Lot
from hedgegridd.model import KillState, Leg
from hedgegridd.state import Machines

BTC = "BTCUSDT-PERP.BINANCE"


def machines() -> Machines:
    config = Config(grid=(Grid(),))
    return Machines.of(config, "k3f9a")


def envelope(seq: int, message: m.Message) -> m.Envelope:
    return m.Envelope(
        seq=seq, time_ns=10**18 + seq, mono_ns=10**9 + seq, cause=0, actor="test", message=message
    )


def test_the_order_of_memories_survives():
    """The oldest trade is forgotten first, lots are gone through as they came: by no sorting of their names."""
    before = machines()
    state = before.desk.snapshot()
    names = ["z", "10", "9", "a"]
    grid = state.grids[BTC]
    for name in names:
        grid.book.trades[name] = True
        grid.legs[Leg.LONG].lots[name] = Lot(lot_id=name, level=1, qty=1, price=1, step=1, opened_ns=0)
    grid.legs[Leg.SHORT].dropped = {12: "x", 3: "y"}
    before.desk.restore(state)
    after = machines()
    after.restore(before.snapshot(), ())
    kept = after.desk.snapshot().grids[BTC]
    assert list(kept.book.trades) == names
    assert list(kept.legs[Leg.LONG].lots) == names
    assert list(kept.legs[Leg.SHORT].dropped) == [12, 3]


def test_a_snapshot_of_a_snapshot_is_the_same():
    first = machines()
    first.restore(None, ())
    again = machines()
    again.restore(first.snapshot(), ())
    left, right = msgspec.json.decode(first.snapshot()), msgspec.json.decode(again.snapshot())
    left["desk"].pop("next_order")  # each start leaves room for orders that no record tells of
    right["desk"].pop("next_order")
    assert left == right
    assert again.books_are_empty()


def test_a_snapshot_amid_a_life_goes_on_as_it_was():
    """A rearm in the records after it must end as it ended: by the state it was asked in, and by what had been heard."""
    before = machines()
    before.kill_switch.handle(envelope(1, m.StartChecked()))
    before.kill_switch.handle(envelope(2, m.FeedChanged(channel="user", up=False, detail="socket closed")))
    assert before.at_rest()
    after = machines()
    after.load(before.snapshot())
    assert after.kill_switch.snapshot().state is KillState.ARMED
    assert after.snapshot() == before.snapshot()
    tail = [m.Kill(reason="x", action="halt", instrument=BTC), m.Rearm(reason="y", instrument=BTC)]
    for number, message in enumerate(tail, 3):
        told = [each.kill_switch.handle(envelope(number, message)) for each in (before, after)]
        assert told[0] == told[1]
    assert after.snapshot() == before.snapshot()
    after.new_session()
    assert after.kill_switch.snapshot().state is KillState.STARTING
    assert after.kill_switch.snapshot().heard is None


def figures(*instruments: m.InstrumentFigures) -> m.RiskFigures:
    return m.RiskFigures(
        equity_usdt=Decimal(1000),
        session_peak_usdt=Decimal(1001),
        peak_usdt=Decimal(1001),
        session_usdt=Decimal(0),
        day_usdt=Decimal(0),
        maint_margin_usdt=Decimal(1),
        margin_balance_usdt=Decimal(1000),
        margin_ns=10**18,
        instruments=instruments,
        reconciled=True,
    )


def test_guards_go_on_amid_a_life_with_what_they_know():
    """Else they would take everything for missing in the records behind a snapshot, and act on that."""
    before = machines()
    legs = tuple(
        m.LegFigures(
            leg=leg,
            qty=Decimal(1),
            notional_usdt=Decimal(100),
            entries_usdt=Decimal(0),
            stop_resting=True,
        )
        for leg in Leg
    )
    mine = m.InstrumentFigures(instrument=BTC, mark=Decimal(100), legs=legs, market_ns=10**18)
    before.risk.handle(envelope(1, figures(mine)))
    after = machines()
    after.load(before.snapshot())
    assert after.snapshot() == before.snapshot()
    counted = m.CallsCounted(provider="binance_usdm", burst=1, minute=1, hour=1)
    for number, message in enumerate((counted, figures()), 2):
        for each in (before, after):
            each.risk.handle(envelope(number, message))
    assert after.snapshot() == before.snapshot()
    after.new_session()
    assert after.risk.snapshot().life is None

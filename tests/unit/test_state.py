"""What survives a restart comes back as it was, the order of things included."""

import msgspec

from hedgegridd.config import Config, Grid
from hedgegridd.core.state import Lot
from hedgegridd.model import Leg
from hedgegridd.state import Machines

BTC = "BTCUSDT-PERP.BINANCE"


def machines() -> Machines:
    config = Config(grid=(Grid(),))
    return Machines.of(config, "k3f9a")


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

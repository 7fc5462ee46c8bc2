"""What the views say that no event does."""

from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.alerts.found import Clear, Finding, Raise
from hedgegridd.alerts.watch import Watch
from hedgegridd.model import Leg
from tests.unit.control_fakes import BTC, NOW_NS, desk

S = 1_000_000_000


def watch() -> Watch:
    return Watch(large_loss_usdt=Decimal(100), funding_bps=Decimal(15))


def flattens(state: str, age_s: float, **kw: Any) -> m.FlattensAnswer:
    fields = {"attempts": 5, "residual_qty": Decimal("0.008"), "residual_orders": 1} | kw
    view = m.FlattenView(
        flatten_id="F-1",
        instrument=BTC,
        leg=Leg.SHORT,
        state=state,
        since_ns=NOW_NS - int(age_s * S),
        **fields,
    )
    return m.FlattensAnswer(to=0, flattens=(view,))


def test_a_leg_that_is_not_flat_after_ten_seconds_is_told_with_what_is_left() -> None:
    it = watch()
    assert it.look(None, flattens("removing", 9.9), NOW_NS) == []
    (found,) = it.look(desk(), flattens("removing", 10), NOW_NS)
    assert isinstance(found, Raise)
    assert (found.severity, found.title) == ("CRITICAL", "NOT FLAT SHORT BTCUSDT")
    assert found.what.startswith("0.008 (")
    assert "1 orders left after more than 10 s, attempt 5" in found.what
    (unknown,) = it.look(None, flattens("removing", 60, residual_qty=None, residual_orders=None), NOW_NS)
    assert isinstance(unknown, Raise)
    assert "quantity not known, orders not known" in unknown.what
    assert it.look(None, flattens("flat", 60), NOW_NS) == []


def losing(day: str | None) -> m.DeskView:
    ledger = msgspec.structs.replace(desk().ledger, day_usdt=None if day is None else Decimal(day))
    return msgspec.structs.replace(desk(), ledger=ledger, instruments=())


def kinds(found: list[Finding]) -> list[str]:
    return ["over" if isinstance(each, Clear) else each.what.partition(" today")[0] for each in found]


def test_each_further_large_loss_of_the_day_is_told_and_that_it_is_made_good() -> None:
    it = watch()
    said = [
        kinds(it.look(losing(day), None, NOW_NS))
        for day in (None, "-99.99", "-100", "-199", "-100", "-548.10", "-600", "-60", "-50", "-49.9", "-100")
    ]
    assert said == [
        [],
        [],
        ["-100.00 USDT"],
        [],
        [],
        ["-548.10 USDT"],
        ["-600.00 USDT"],
        [],
        [],
        ["over"],
        ["-100.00 USDT"],
    ]


def funded(rate: str | None) -> m.DeskView:
    view = desk()
    (item,) = view.instruments[:1]
    item = msgspec.structs.replace(item, funding_rate=None if rate is None else Decimal(rate))
    ledger = msgspec.structs.replace(view.ledger, day_usdt=Decimal(0))
    return msgspec.structs.replace(view, instruments=(item,), ledger=ledger)


def test_dear_funding_either_way_is_told_once_and_again_when_it_is_calm() -> None:
    it = watch()
    said = [
        [type(each).__name__ for each in it.look(funded(rate), None, NOW_NS)]
        for rate in (None, "0.00149", "0.0015", "0.002", "0.0013", "0.00119", "-0.0015")
    ]
    assert said == [[], [], ["Raise"], [], [], ["Clear"], ["Raise"]]

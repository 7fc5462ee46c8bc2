"""What is cancelled, placed, kept and waited for."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd.core.diff import Diff, LiveEntry, diff
from hedgegridd.core.ladder import RungTarget
from hedgegridd.model import Leg, OrderStatus


def live(level: int = 1, price: str = "100", qty: str = "1", **changes: object) -> LiveEntry:
    values: dict[str, object] = {
        "client_order_id": f"id-{level}",
        "leg": Leg.LONG,
        "level": level,
        "price": D(price),
        "qty": D(qty),
        "status": OrderStatus.WORKING,
    }
    return LiveEntry(**(values | changes))  # type: ignore[arg-type]


def want(
    level: int = 1, price: str = "100", qty: str = "1", leg: Leg = Leg.LONG, part: int = 0
) -> RungTarget:
    return RungTarget(leg, level, D(price), D(qty), part)


def run(have: list[LiveEntry], wanted: list[RungTarget], price: str = "1", qty: str = "1") -> Diff:
    return diff(have, wanted, price_tolerance_bps=D(price), qty_tolerance_pct=D(qty))


def test_equal_is_kept() -> None:
    assert run([live()], [want()]) == Diff(keep=(live(),))


def test_missing_is_placed_and_superfluous_cancelled() -> None:
    assert run([live(1)], [want(2)]) == Diff(cancel=(live(1),), place=(want(2),))


@pytest.mark.parametrize(
    ("price", "qty", "kept"),
    [
        ("100.01", "1", True),
        ("99.99", "1", True),
        ("100.011", "1", False),
        ("99.989", "1", False),
        ("100", "1.01", True),
        ("100", "0.99", True),
        ("100", "1.011", False),
        ("100", "0.989", False),
    ],
)
def test_tolerances(price: str, qty: str, kept: bool) -> None:
    got = run([live(price=price, qty=qty)], [want()])
    assert (len(got.keep), len(got.cancel)) == ((1, 0) if kept else (0, 1))
    assert got.place == ()  # the replacement waits for the cancel


def test_tolerances_are_shares_of_the_target() -> None:
    assert run([live(qty="404")], [want(qty="400")]).keep
    assert not run([live(qty="404.1")], [want(qty="400")]).keep
    assert run([live(price="40004")], [want(price="40000")]).keep
    assert not run([live(price="40004.1")], [want(price="40000")]).keep


def test_each_tolerance_has_an_effect() -> None:
    assert run([live(price="100.05")], [want()], price="5").keep
    assert not run([live(price="100.05")], [want()], price="4").keep
    assert run([live(qty="1.05")], [want()], qty="5").keep
    assert not run([live(qty="1.05")], [want()], qty="4").keep


@pytest.mark.parametrize("status", [OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.CANCELING])
def test_an_order_whose_fate_is_open_blocks_its_rung(status: OrderStatus) -> None:
    entry = live(status=status, price="90")
    assert run([entry], [want(), want(2)]) == Diff(place=(want(2),), wait=(entry,))
    assert run([entry], []) == Diff(wait=(entry,))


def test_a_closed_order_does_not_live() -> None:
    assert run([live(status=OrderStatus.CLOSED)], [want()]) == Diff(place=(want(),))


def test_the_key_is_leg_level_and_part() -> None:
    got = run([live()], [want(), want(leg=Leg.SHORT), want(level=2), want(part=1)])
    assert got.keep == (live(),)
    assert set(got.place) == {want(leg=Leg.SHORT), want(level=2), want(part=1)}


def test_a_second_order_of_a_rung_is_cancelled() -> None:
    other = live(client_order_id="twin")
    assert run([live(), other], [want()]) == Diff(keep=(live(),), cancel=(other,))


def test_two_targets_of_one_key_are_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="two targets"):
        run([], [want(), want(price="99")])

"""Occupancy, cap and precision: which rungs may rest, and in what quantities."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import msgspec
import pytest

from hedgegridd.core.ladder import RungTarget
from hedgegridd.core.occupancy import OpenLot, cap, drop_occupied
from hedgegridd.core.precision import drop_crossing, fit, split_qty
from hedgegridd.model import Instrument, Leg


def rung(level: int, price: str, qty: str = "1", leg: Leg = Leg.LONG) -> RungTarget:
    return RungTarget(leg, level, D(price), D(qty))


def lot(
    level: int, price: str, *, generation: int = 1, filled: str = "1", whole: bool = True, leg: Leg = Leg.LONG
) -> OpenLot:
    return OpenLot(
        leg=leg, level=level, price=D(price), filled_qty=D(filled), generation=generation, whole=whole
    )


LADDER = (rung(1, "99"), rung(2, "98"), rung(3, "97"))


def free(*lots: OpenLot, generation: int = 1, step: str = "1") -> list[tuple[int, D]]:
    kept, dropped = drop_occupied(LADDER, lots, generation=generation, step=D(step))
    assert len(kept) + len(dropped) == len(LADDER)
    assert all(reason.startswith("occupied") for _, reason in dropped)
    return [(each.level, each.qty) for each in kept]


def test_without_lots_every_rung_is_free() -> None:
    assert free() == [(1, D(1)), (2, D(1)), (3, D(1))]


def test_a_filled_rung_is_occupied_while_its_lot_is_open() -> None:
    assert free(lot(2, "98")) == [(1, D(1)), (3, D(1))]


def test_it_stays_occupied_in_full_when_its_lot_was_smaller() -> None:
    assert free(lot(2, "98", filled="0.5")) == [(1, D(1)), (3, D(1))]


def test_the_rest_of_a_rung_that_filled_in_part_may_rest() -> None:
    assert free(lot(2, "98", filled="0.4", whole=False)) == [(1, D(1)), (2, D("0.6")), (3, D(1))]
    two = (lot(2, "98", filled="0.4", whole=False), lot(2, "98", filled="0.25", whole=False))
    assert free(*two) == [(1, D(1)), (2, D("0.35")), (3, D(1))]
    assert free(lot(2, "98", filled="1.2", whole=False)) == [(1, D(1)), (3, D(1))]


def test_the_other_leg_occupies_nothing() -> None:
    assert len(free(lot(2, "98", leg=Leg.SHORT), lot(2, "98", leg=Leg.SHORT, generation=0))) == 3


def test_after_a_recentre_the_level_of_an_old_lot_is_free_but_not_its_neighbourhood() -> None:
    assert [level for level, _ in free(lot(2, "90", generation=0))] == [1, 2, 3]
    assert [level for level, _ in free(lot(5, "98.49", generation=0))] == [1, 3]
    assert [level for level, _ in free(lot(5, "97.51", generation=0))] == [1, 3]


def test_exactly_half_a_step_is_far_enough_and_the_step_counts() -> None:
    assert [level for level, _ in free(lot(5, "98.5", generation=0))] == [1, 2, 3]
    assert [level for level, _ in free(lot(5, "98.5", generation=0), step="1.1")] == [3]


def test_a_lot_of_this_generation_occupies_its_level_alone() -> None:
    assert [level for level, _ in free(lot(1, "98.1"))] == [2, 3]


def capped(
    leg_qty: str = "0", usdt: str = "1000", qty: str = "10", mid: str = "100"
) -> tuple[list[int], list[str]]:
    kept, dropped = cap(
        reversed(LADDER), leg_qty=D(leg_qty), mid=D(mid), max_inventory_usdt=D(usdt), max_qty=D(qty)
    )
    return [each.level for each in kept], [reason for _, reason in dropped]


def test_the_outermost_rungs_go_first() -> None:
    assert capped() == ([1, 2, 3], [])
    assert capped(usdt="294")[0] == [1, 2, 3]
    kept, reasons = capped(usdt="293.99")
    assert kept == [1, 2]
    assert "max_inventory_usdt 293.99" in reasons[0]
    kept, reasons = capped(qty="2")
    assert kept == [1, 2]
    assert "max_qty 2" in reasons[0]


def test_inventory_counts_at_mid() -> None:
    assert capped(leg_qty="2", usdt="299")[0] == [1]
    assert capped(leg_qty="2", usdt="298.99")[0] == []
    assert capped(leg_qty="2", usdt="299", mid="101")[0] == []
    assert capped(leg_qty="9", qty="10", usdt="9999")[0] == [1]


def test_a_rung_is_never_shrunk_and_no_far_one_takes_its_place() -> None:
    rungs = (rung(1, "99"), rung(2, "98", "5"), rung(3, "97", "0.1"))
    kept, dropped = cap(rungs, leg_qty=D(0), mid=D(100), max_inventory_usdt=D(200), max_qty=D(100))
    assert kept == rungs[:1]
    assert [each for each, _ in dropped] == list(rungs[1:])


BTC = Instrument(
    id="BTCUSDT-PERP.BINANCE",
    symbol="BTCUSDT",
    tick=D("0.1"),
    step=D("0.001"),
    min_qty=D("0.001"),
    max_qty=D(1),
    market_max_qty=D("0.5"),
    min_notional=D(100),
)


def test_price_goes_away_from_the_market_and_quantity_down() -> None:
    kept, dropped = fit((rung(1, "99.17", "1.9999"), rung(1, "99.17", "1.9999", Leg.SHORT)), BTC)
    assert dropped == ()
    assert {each.price for each in kept if each.leg is Leg.LONG} == {D("99.1")}
    assert {each.price for each in kept if each.leg is Leg.SHORT} == {D("99.2")}
    assert sum(each.qty for each in kept if each.leg is Leg.LONG) == D("1.999")


@pytest.mark.parametrize(
    ("price", "qty", "reason"),
    [
        ("50000", "0.0009", "below the venue's minimum 0.001"),
        ("50000", "0", "below the venue's minimum 0.001"),
        ("50000", "0.00199", "notional 50.000 is below the venue's minimum 100"),
        ("99999.9", "0.001", "is below the venue's minimum 100"),
        ("0.05", "1", "below one tick"),
    ],
)
def test_what_the_venue_would_refuse_is_dropped_with_its_reason(price: str, qty: str, reason: str) -> None:
    kept, dropped = fit((rung(1, price, qty),), BTC)
    assert kept == ()
    assert reason in dropped[0][1]


def test_exactly_the_minimum_is_placed() -> None:
    kept, _ = fit((rung(1, "100000", "0.001"),), BTC)
    assert [(each.price, each.qty) for each in kept] == [(D(100000), D("0.001"))]


def test_nothing_is_never_placed() -> None:
    loose = msgspec.structs.replace(BTC, min_qty=D(0), min_notional=D(0))
    assert fit((rung(1, "50000", "0.0009"),), loose)[0] == ()
    assert len(fit((rung(1, "50000", "0.001"),), loose)[0]) == 1


def test_above_the_maximum_a_rung_becomes_parts() -> None:
    kept, _ = fit((rung(4, "50000", "2.5"),), BTC)
    assert [(each.level, each.part) for each in kept] == [(4, 0), (4, 1), (4, 2)]
    assert sum(each.qty for each in kept) == D("2.5")
    assert all(each.qty <= 1 for each in kept)


@pytest.mark.parametrize(
    ("qty", "most", "step", "parts"),
    [
        ("1", "1", "0.001", ["1"]),
        ("1.001", "1", "0.001", ["0.501", "0.5"]),
        ("2.5", "1", "0.001", ["0.834", "0.833", "0.833"]),
        ("0.0009", "1", "0.001", []),
        ("0.0019", "1", "0.001", ["0.001"]),
        ("7", "2.9", "1", ["2", "2", "2", "1"]),
        ("2", "1.9", "1", ["1", "1"]),
    ],
)
def test_split(qty: str, most: str, step: str, parts: list[str]) -> None:
    assert split_qty(D(qty), D(most), D(step)) == tuple(D(part) for part in parts)


def test_a_maximum_below_the_step_is_refused() -> None:
    with pytest.raises(ValueError, match="below the lot step"):
        split_qty(D(1), D("0.5"), D(1))


@pytest.mark.parametrize(
    ("leg", "price", "bid", "ask", "stays"),
    [
        (Leg.LONG, "99", "98", "100", True),
        (Leg.LONG, "100", "98", "100", False),
        (Leg.LONG, "101", "98", "100", False),
        (Leg.LONG, "101", "98", None, True),
        (Leg.SHORT, "99", "98", "100", True),
        (Leg.SHORT, "98", "98", "100", False),
        (Leg.SHORT, "97", "98", "100", False),
        (Leg.SHORT, "97", None, "100", True),
    ],
)
def test_rungs_that_would_take_are_dropped(
    leg: Leg, price: str, bid: str | None, ask: str | None, stays: bool
) -> None:
    kept, dropped = drop_crossing(
        (rung(1, price, leg=leg),), None if bid is None else D(bid), None if ask is None else D(ask)
    )
    assert len(kept) == int(stays)
    assert all("would cross" in reason for _, reason in dropped)

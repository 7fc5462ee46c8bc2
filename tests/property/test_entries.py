"""Laws of the entry pipeline: caps hold, parts sum up, a diff of a diff is empty, funding never limits a receiver."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import config
from hedgegridd.core.diff import LiveEntry, diff
from hedgegridd.core.funding import cost_bps, entry_scale
from hedgegridd.core.ladder import RungTarget, build_ladder
from hedgegridd.core.occupancy import OpenLot, cap, drop_occupied
from hedgegridd.core.policy import apply_policy
from hedgegridd.core.precision import fit, split_qty
from hedgegridd.core.regime import RegimeFilter
from hedgegridd.model import Instrument, Leg, OrderStatus, Regime

legs = st.sampled_from(list(Leg))
prices = st.decimals("0.01", 100_000, places=2)
quantities = st.decimals("0.001", 50, places=3)
rungs = st.builds(RungTarget, legs, st.integers(1, 8), prices, quantities, st.integers(0, 1))
live_entries = st.builds(
    LiveEntry,
    client_order_id=st.uuids().map(str),
    leg=legs,
    level=st.integers(1, 8),
    part=st.integers(0, 1),
    price=prices,
    qty=quantities,
    status=st.sampled_from(list(OrderStatus)),
)


def key(rung: RungTarget) -> tuple[Leg, int, int]:
    return (rung.leg, rung.level, rung.part)


@given(
    st.lists(live_entries, max_size=20),
    st.lists(rungs, max_size=20, unique_by=key),
    st.decimals(0, 100, places=1),
    st.decimals(0, 50, places=1),
)
def test_a_diff_of_a_diff_is_empty_and_the_target_is_reached(
    live: list[LiveEntry], target: list[RungTarget], price_bps: Decimal, qty_pct: Decimal
) -> None:
    def run(now: list[LiveEntry]):
        return diff(now, target, price_tolerance_bps=price_bps, qty_tolerance_pct=qty_pct)

    first = run(live)
    cancelled = {entry.client_order_id for entry in first.cancel}
    sent = [
        msgspec.structs.replace(entry, status=OrderStatus.CANCELING)
        if entry.client_order_id in cancelled
        else entry
        for entry in live
    ]
    sent += [
        LiveEntry(
            client_order_id=f"new-{index}",
            leg=rung.leg,
            level=rung.level,
            part=rung.part,
            price=rung.price,
            qty=rung.qty,
            status=OrderStatus.PENDING,
        )
        for index, rung in enumerate(first.place)
    ]
    second = run(sent)
    assert (second.cancel, second.place) == ((), ())
    assert not {entry.key for entry in live if entry.status is not OrderStatus.CLOSED} & {
        key(r) for r in first.place
    }

    # The venue answers: cancels are confirmed, the rest works. What is still wrong goes, then what is missing comes.
    now = sent
    for _ in range(3):
        step = run(now)
        gone = {entry.client_order_id for entry in step.cancel}
        now = [
            msgspec.structs.replace(entry, status=OrderStatus.WORKING)
            for entry in now
            if entry.client_order_id not in gone
            and entry.status not in {OrderStatus.CANCELING, OrderStatus.CLOSED}
        ]
        now += [
            LiveEntry(
                client_order_id=f"late-{key(rung)}",
                leg=rung.leg,
                level=rung.level,
                part=rung.part,
                price=rung.price,
                qty=rung.qty,
                status=OrderStatus.WORKING,
            )
            for rung in step.place
        ]
    done = run(now)
    assert (done.cancel, done.place, done.wait) == ((), (), ())
    assert {entry.key for entry in done.keep} == {key(rung) for rung in target}


@given(
    st.lists(st.builds(RungTarget, st.just(Leg.LONG), st.integers(1, 20), prices, quantities), max_size=20),
    st.decimals(0, 100, places=3),
    prices,
    st.decimals(1, 100_000, places=2),
    st.decimals("0.001", 200, places=3),
)
def test_the_ladder_never_exceeds_its_cap(
    target: list[RungTarget], held: Decimal, mid: Decimal, usdt: Decimal, qty: Decimal
) -> None:
    kept, dropped = cap(target, leg_qty=held, mid=mid, max_inventory_usdt=usdt, max_qty=qty)
    if kept:
        assert held * mid + sum(rung.notional_usdt for rung in kept) <= usdt
        assert held + sum(rung.qty for rung in kept) <= qty
    assert sorted(map(key, [*kept, *(rung for rung, _ in dropped)])) == sorted(map(key, target))
    if kept and dropped:
        assert max(rung.level for rung in kept) <= min(rung.level for rung, _ in dropped)
    assert all(rung in target for rung in kept)


@given(
    st.lists(rungs, max_size=12),
    st.lists(
        st.builds(
            OpenLot,
            leg=legs,
            level=st.integers(1, 8),
            price=prices,
            filled_qty=quantities,
            generation=st.integers(0, 2),
            whole=st.booleans(),
        ),
        max_size=8,
    ),
    st.decimals("0.01", 500, places=2),
)
def test_no_rung_rests_where_a_lot_stands(
    target: list[RungTarget], lots: list[OpenLot], step: Decimal
) -> None:
    kept, dropped = drop_occupied(target, lots, generation=1, step=step)
    assert len(kept) + len(dropped) == len(target)
    for rung in kept:
        assert rung.qty > 0
        for lot in lots:
            if lot.leg is rung.leg:
                assert not (lot.generation == 1 and lot.level == rung.level and lot.whole)
                assert lot.generation == 1 or abs(lot.price - rung.price) >= step / 2


@given(
    st.decimals(0, 5000, places=5),
    st.decimals("0.01", 100, places=3),
    st.sampled_from(["1", "0.1", "0.01", "0.001"]).map(Decimal),
)
def test_parts_sum_up_and_none_is_too_large(qty: Decimal, most: Decimal, step: Decimal) -> None:
    most = max(most, step)
    parts = split_qty(qty, most, step)
    assert sum(parts) <= qty < sum(parts) + step
    assert all(0 < part <= most and part % step == 0 for part in parts)
    assert not parts or max(parts) - min(parts) <= step
    assert len(parts) <= qty / ((most // step) * step) + 1


@given(st.lists(rungs, max_size=10), st.decimals("0.01", 10, places=2), st.decimals(1, 500, places=0))
def test_what_fits_passes_every_filter(target: list[RungTarget], most: Decimal, notional: Decimal) -> None:
    instrument = Instrument(
        id="X-PERP.BINANCE",
        symbol="X",
        tick=Decimal("0.05"),
        step=Decimal("0.002"),
        min_qty=Decimal("0.004"),
        max_qty=most,
        market_max_qty=most,
        min_notional=notional,
    )
    kept, _ = fit(target, instrument)
    for rung in kept:
        assert rung.price % instrument.tick == 0
        assert rung.qty % instrument.step == 0
        assert 0 < rung.qty <= most
        origin = [r for r in target if (r.leg, r.level) == (rung.leg, rung.level)]
        assert any(abs(r.price - rung.price) < instrument.tick for r in origin)
        if rung.leg is Leg.LONG:
            assert any(rung.price <= r.price for r in origin)
        else:
            assert any(rung.price >= r.price for r in origin)
    for rung, parts in ((r, fit((r,), instrument)[0]) for r in target):
        assert sum(part.qty for part in parts) <= rung.qty
        if parts:
            assert parts[0].price * sum(part.qty for part in parts) >= notional


@given(
    st.sampled_from(list(Regime)),
    st.sampled_from(["throttled-counter", "core-and-scalp", "symmetric"]),
    st.integers(0, 12),
    st.decimals(0, 1, places=2),
)
def test_a_policy_only_takes_away(regime: Regime, kind: str, levels: int, scale: Decimal) -> None:
    full = {leg: build_ladder(leg, Decimal(40000), config.Grid(levels_long=9, levels_short=7)) for leg in Leg}
    policy = config.Policy(kind=kind, counter_levels=levels, counter_qty_scale=scale)  # type: ignore[arg-type]
    result = apply_policy(regime, full, policy)
    for leg in Leg:
        before = {rung.level: rung for rung in full[leg]}
        for rung in result[leg]:
            assert rung.price == before[rung.level].price
            assert 0 < rung.qty <= before[rung.level].qty


@given(
    st.decimals("-0.01", "0.01", places=5),
    st.decimals(-10, 600, places=1),
    st.decimals(0, 100_000, places=2),
    st.decimals(0, 100_000, places=2),
    st.integers(0, 480),
    st.decimals(0, 100, places=1),
)
def test_funding_limits_only_who_pays(  # noqa: PLR0917  # one argument a strategy
    rate: Decimal, minutes: Decimal, long: Decimal, short: Decimal, window: int, most: Decimal
) -> None:
    cfg = config.Funding(window_min=window, max_cost_bps=most)
    scales = {
        leg: entry_scale(
            leg,
            rate=rate,
            minutes_to_funding=minutes,
            long_notional=long,
            short_notional=short,
            cfg=cfg,
        )
        for leg in Leg
    }
    assert all(0 <= scale <= 1 for scale in scales.values())
    assert scales[Leg.SHORT if rate > 0 else Leg.LONG] == 1
    if cost_bps(rate, long, short, window) <= most:
        assert set(scales.values()) == {Decimal(1)}


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=60))
def test_regime_values_stay_in_their_ranges(data: list[tuple[int, int, int]]) -> None:
    machine = RegimeFilter(config.Regime(adx_len=3, ema_fast=2, ema_slow=5, atr_len=3), 6)
    for low, up, more in data:
        reading = machine.on_bar(Decimal(low + up + more), Decimal(low), Decimal(low + up))
        assert reading.adx is None or 0 <= reading.adx <= 100
        assert reading.atr is None or reading.atr >= 0
        assert reading.ema_fast is None or reading.ema_fast > 0
        assert reading.warm or reading.regime is Regime.SIDEWAYS
        for average in (machine.snapshot().fast, machine.snapshot().plus_dm):
            assert len(average.value.as_tuple().digits) <= 16

"""Laws of the gate: what it approves keeps every limit, a sane reducing order always passes, a tighter limit never opens."""

from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd import config
from hedgegridd.core.margin import AccountFigures, Working, liquidation_distance_pct, liquidation_price
from hedgegridd.core.pretrade import Approved, LegView, PretradeView, Resting, check
from hedgegridd.messages import PlaceOrder
from hedgegridd.model import (
    Instrument,
    KillState,
    Leg,
    LegMode,
    OrderKind,
    Purpose,
    Side,
)

INSTRUMENT = Instrument(
    id="X-PERP.BINANCE",
    symbol="X",
    tick=Decimal("0.1"),
    step=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(100),
    market_max_qty=Decimal(50),
    min_notional=Decimal(5),
)
legs = st.sampled_from(list(Leg))
money = st.decimals(0, 100_000, places=2)
quantities = st.integers(1, 20_000).map(lambda n: n * INSTRUMENT.step)
prices = st.integers(1, 20_000).map(lambda n: n * INSTRUMENT.tick)
optional_money = st.none() | st.decimals("0.01", 100_000, places=2)

limits = st.builds(
    config.Pretrade,
    max_order_notional_usdt=optional_money,
    max_leg_notional_usdt=optional_money,
    max_gross_notional_usdt=optional_money,
    price_collar_bps=st.decimals(1, 5000, places=0),
    max_open_orders=st.integers(1, 20),
    max_leverage=st.decimals("0.1", 10, places=1),
    min_margin_after_pct=st.decimals(0, 99, places=0),
)
leg_views = st.builds(
    LegView,
    qty=quantities | st.just(Decimal(0)),
    entries_usdt=money,
    mode=st.sampled_from([LegMode.NORMAL, LegMode.NORMAL, *LegMode]),
    latched=st.sampled_from([False, False, False, True]),
)


@st.composite
def views(draw: st.DrawFn) -> PretradeView:
    both = {leg: draw(leg_views) for leg in Leg}
    account = AccountFigures(
        equity_usdt=draw(st.decimals(-10, 1_000_000, places=2)),
        initial_margin_usdt=draw(money),
        maint_margin_usdt=draw(st.decimals(0, 100, places=2)),
        leverage=draw(st.integers(1, 20)),
        mark=draw(prices),
        long_qty=both[Leg.LONG].qty,
        short_qty=both[Leg.SHORT].qty,
        working=tuple(draw(st.lists(st.builds(Working, legs, prices, quantities), max_size=3))),
        maint_margin_rate=Decimal("0.004"),
    )
    return PretradeView(
        now_ns=10**12,
        instrument=draw(st.sampled_from([INSTRUMENT, INSTRUMENT, INSTRUMENT, None])),
        kill=draw(st.sampled_from([KillState.ARMED, KillState.ARMED, *KillState])),
        legs=draw(st.sampled_from([both, both, both, None])),
        mid=draw(st.sampled_from([account.mark, account.mark, None])),
        account=draw(st.sampled_from([account, account, account, None])),
        position=config.Position(max_qty=Decimal(50)),
        holds=draw(st.sampled_from([(), (), ("paused",)])),
        open_orders=draw(st.none() | st.integers(0, 20)),
        resting=tuple(
            draw(
                st.lists(
                    st.builds(Resting, leg=legs, side=st.sampled_from(Side), price=st.none() | prices),
                    max_size=2,
                )
            )
        ),
    )


@st.composite
def orders(draw: st.DrawFn, purpose: Purpose) -> PlaceOrder:
    leg = draw(legs)
    return PlaceOrder(
        instrument=INSTRUMENT.id,
        leg=leg,
        purpose=purpose,
        level=draw(st.integers(1, 9)),
        client_order_id="X1-L001E-a-1",
        side=leg.exit_side if purpose.reduces else leg.entry_side,
        kind=OrderKind.LIMIT,
        qty=draw(quantities),
        price=draw(prices),
    )


@st.composite
def near_market(draw: st.DrawFn) -> tuple[PlaceOrder, PretradeView, config.Pretrade]:
    """An entry, a view and limits that are often all right, so that approvals are seen."""
    mark = Decimal(1000)
    both = {
        leg: LegView(
            qty=draw(st.integers(0, 20_000)) * INSTRUMENT.step,
            entries_usdt=draw(st.decimals(0, 20_000, places=2)),
            mode=draw(st.sampled_from([*[LegMode.NORMAL] * 8, *LegMode])),
            latched=draw(st.integers(0, 9)) == 9,
        )
        for leg in Leg
    }
    account = AccountFigures(
        equity_usdt=draw(st.decimals(5_000, 50_000, places=2)),
        initial_margin_usdt=draw(st.decimals(0, 10_000, places=2)),
        maint_margin_usdt=Decimal(100),
        leverage=draw(st.integers(5, 20)),
        mark=mark,
        long_qty=both[Leg.LONG].qty,
        short_qty=both[Leg.SHORT].qty,
        maint_margin_rate=Decimal("0.004"),
    )
    view = PretradeView(
        now_ns=10**12,
        instrument=INSTRUMENT,
        kill=draw(st.sampled_from([*[KillState.ARMED] * 8, *KillState])),
        legs=both,
        mid=mark,
        account=account,
        position=config.Position(max_qty=Decimal(50)),
        holds=draw(st.sampled_from([*[()] * 8, ("paused",)])),
        open_orders=draw(st.integers(0, 12)),
        resting=tuple(
            Resting(leg=leg, side=side, price=mark + draw(st.integers(-600, 600)) * INSTRUMENT.tick)
            for leg, side in draw(st.lists(st.tuples(legs, st.sampled_from(Side)), max_size=1))
        ),
    )
    leg = draw(legs)
    order = msgspec.structs.replace(
        draw(orders(Purpose.ENTRY)),
        leg=leg,
        side=leg.entry_side,
        price=mark + draw(st.integers(-400, 400)) * INSTRUMENT.tick,
        qty=draw(st.integers(1, 5_000)) * INSTRUMENT.step,
    )
    within = config.Pretrade(
        max_order_notional_usdt=draw(st.decimals(1_000, 6_000, places=0)),
        max_leg_notional_usdt=draw(st.decimals(10_000, 60_000, places=0)),
        max_gross_notional_usdt=draw(st.decimals(20_000, 90_000, places=0)),
        price_collar_bps=draw(st.decimals(100, 500, places=0)),
        max_open_orders=draw(st.integers(5, 20)),
        max_leverage=draw(st.decimals(1, 6, places=1)),
        min_margin_after_pct=draw(st.decimals(0, 60, places=0)),
    )
    return order, view, within


def test_the_laws_below_see_approvals_and_refusals() -> None:
    seen: set[bool] = set()

    @settings(max_examples=200, database=None)
    @given(near_market())
    def look(case: tuple[PlaceOrder, PretradeView, config.Pretrade]) -> None:
        seen.add(isinstance(check(*case), Approved))

    look()
    assert seen == {True, False}


@given(near_market())
def test_what_is_approved_keeps_every_limit(case: tuple[PlaceOrder, PretradeView, config.Pretrade]) -> None:
    order, view, within = case
    if not isinstance(check(order, view, within), Approved):
        return
    assert view.kill is KillState.ARMED
    assert view.holds == ()
    assert view.instrument is INSTRUMENT
    assert view.legs is not None
    assert view.mid is not None
    assert view.account is not None
    assert order.qty is not None
    assert order.price is not None
    leg = view.legs[order.leg]
    assert not leg.latched
    assert leg.mode in {LegMode.NORMAL, LegMode.GRACEFUL_STOP}
    notional = order.qty * order.price
    in_leg = leg.qty * view.mid + leg.entries_usdt + notional
    other = view.legs[order.leg.opposite]
    gross = in_leg + other.qty * view.mid + other.entries_usdt
    assert within.max_order_notional_usdt is not None
    assert within.max_leg_notional_usdt is not None
    assert within.max_gross_notional_usdt is not None
    assert INSTRUMENT.min_notional <= notional <= within.max_order_notional_usdt
    assert in_leg <= within.max_leg_notional_usdt
    assert gross <= within.max_gross_notional_usdt
    assert abs(order.price / view.mid - 1) * 10_000 <= within.price_collar_bps + Decimal("1e-9")
    assert (view.account.gross_usdt + notional) / view.account.equity_usdt <= min(
        within.max_leverage, Decimal(5)
    )
    distance = liquidation_distance_pct(view.account, order.leg, order.price, order.qty)
    assert distance is None or distance >= 15
    for own in view.resting:
        if own.price is not None and own.side is not order.side:
            assert own.price > order.price if order.side is Side.BUY else own.price < order.price


@given(
    orders(Purpose.TAKE_PROFIT) | orders(Purpose.CLOSE) | orders(Purpose.STOP),
    views(),
    limits,
)
def test_a_sane_reducing_order_passes_whatever_the_state(
    order: PlaceOrder, view: PretradeView, within: config.Pretrade
) -> None:
    assert order.qty is not None
    fits = view.legs is None or order.qty <= view.legs[order.leg].qty
    assert isinstance(check(order, view, within), Approved) == fits


@given(near_market(), st.decimals("0.1", 1, places=1))
def test_a_tighter_limit_never_opens(
    case: tuple[PlaceOrder, PretradeView, config.Pretrade], factor: Decimal
) -> None:
    order, view, within = case
    tighter = msgspec.structs.replace(
        within,
        max_leg_notional_usdt=None
        if within.max_leg_notional_usdt is None
        else within.max_leg_notional_usdt * factor,
        max_leverage=within.max_leverage * factor,
        price_collar_bps=within.price_collar_bps * factor,
    )
    if isinstance(check(order, view, tighter), Approved):
        assert isinstance(check(order, view, within), Approved)


@given(
    st.decimals(1, 100_000, places=2),
    prices,
    st.decimals(0, 100, places=3),
    st.decimals(0, 100, places=3),
    st.sampled_from(["0", "0.004", "0.05"]).map(Decimal),
    st.decimals(0, 100, places=2),
)
def test_at_the_liquidation_price_equity_is_the_maintenance_margin(  # noqa: PLR0917  # one argument a strategy
    equity: Decimal, mark: Decimal, long: Decimal, short: Decimal, rate: Decimal, other: Decimal
) -> None:
    price = liquidation_price(
        equity_usdt=equity,
        mark=mark,
        long_qty=long,
        short_qty=short,
        maint_margin_rate=rate,
        other_maint_usdt=other,
    )
    if price is None:
        return
    then = equity + long * (price - mark) - short * (price - mark)
    assert abs(then - (rate * (long + short) * price + other)) < Decimal("1e-6") * max(Decimal(1), price)

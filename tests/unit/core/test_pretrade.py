"""The pre-trade gate: every limit, permission and missing figure refuses an entry; a reducing order passes them all."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import msgspec
import pytest

from hedgegridd import config
from hedgegridd.core.margin import (
    AccountFigures,
    Working,
    liquidation_distance_pct,
    liquidation_price,
    why_position_refuses,
)
from hedgegridd.core.pretrade import Approved, LegView, PretradeView, Recent, Refused, Resting, check
from hedgegridd.messages import PlaceOrder
from hedgegridd.model import (
    Instrument,
    KillState,
    Leg,
    LegMode,
    OrderKind,
    Purpose,
    Side,
    TimeInForce,
)

NOW = 100_000_000_000
MS = 1_000_000
BTC = Instrument(
    id="BTCUSDT-PERP.BINANCE",
    symbol="BTCUSDT",
    tick=D("0.1"),
    step=D("0.001"),
    min_qty=D("0.002"),
    max_qty=D(10),
    market_max_qty=D(5),
    min_notional=D(100),
)
ACCOUNT = AccountFigures(
    equity_usdt=D(10_000),
    initial_margin_usdt=D(0),
    maint_margin_usdt=D(0),
    leverage=5,
    mark=D(50_000),
    long_qty=D("0.05"),
    short_qty=D("0.05"),
    maint_margin_rate=D("0.004"),
)
LIMITS = config.Pretrade(
    max_order_notional_usdt=D(2_000), max_leg_notional_usdt=D(10_000), max_gross_notional_usdt=D(20_000)
)
VIEW = PretradeView(
    now_ns=NOW,
    instrument=BTC,
    kill=KillState.ARMED,
    legs={Leg.LONG: LegView(qty=D("0.05")), Leg.SHORT: LegView(qty=D("0.05"))},
    mid=D(50_000),
    account=ACCOUNT,
    position=config.Position(),
    open_orders=3,
)
ENTRY = PlaceOrder(
    instrument="BTCUSDT-PERP.BINANCE",
    leg=Leg.LONG,
    purpose=Purpose.ENTRY,
    level=2,
    client_order_id="BTCUSDT-L002E-abc-1",
    side=Side.BUY,
    kind=OrderKind.LIMIT,
    time_in_force=TimeInForce.GTX,
    qty=D("0.01"),
    price=D(49_500),
)
EXIT = PlaceOrder(
    instrument="BTCUSDT-PERP.BINANCE",
    leg=Leg.LONG,
    purpose=Purpose.TAKE_PROFIT,
    level=2,
    client_order_id="BTCUSDT-L002T-abc-2",
    side=Side.SELL,
    kind=OrderKind.LIMIT,
    qty=D("0.01"),
    price=D(50_500),
)
STOP = PlaceOrder(
    instrument="BTCUSDT-PERP.BINANCE",
    leg=Leg.LONG,
    purpose=Purpose.STOP,
    level=0,
    client_order_id="BTCUSDT-L000S-abc-3",
    side=Side.SELL,
    kind=OrderKind.STOP_MARKET,
    stop_price=D(45_000),
    close_position=True,
)


def order(base: PlaceOrder = ENTRY, **changes: object) -> PlaceOrder:
    return msgspec.structs.replace(base, **changes)


def view(**changes: object) -> PretradeView:
    return msgspec.structs.replace(VIEW, **changes)


def legs(**changes: object) -> dict[Leg, LegView]:
    return {
        Leg.LONG: msgspec.structs.replace(VIEW.legs[Leg.LONG], **changes),
        Leg.SHORT: VIEW.legs[Leg.SHORT],
    }


def limits(**changes: object) -> config.Pretrade:
    return msgspec.structs.replace(LIMITS, **changes)


def refused_by(
    what: PlaceOrder = ENTRY, seen: PretradeView = VIEW, within: config.Pretrade = LIMITS, part: int = 0
) -> str | None:
    verdict = check(what, seen, within, part=part)
    assert verdict.order is what
    if isinstance(verdict, Refused):
        assert verdict.reason
        return verdict.limit
    assert isinstance(verdict, Approved)
    return None


def test_sound_orders_are_approved() -> None:
    assert refused_by(ENTRY) is None
    assert refused_by(EXIT) is None
    assert refused_by(STOP) is None
    short = order(leg=Leg.SHORT, side=Side.SELL, price=D(50_500))
    assert refused_by(short) is None


def recent(ms_ago: int, **changes: object) -> Recent:
    values: dict[str, object] = {
        "at_ns": NOW - ms_ago * MS,
        "instrument": ENTRY.instrument,
        "leg": Leg.LONG,
        "level": 2,
        "part": 0,
        "side": Side.BUY,
        "price": ENTRY.price,
        "qty": ENTRY.qty,
    }
    return Recent(**(values | changes))  # type: ignore[arg-type]


def many(count: int, ms_ago: int) -> tuple[Recent, ...]:
    return tuple(recent(ms_ago, level=100 + index) for index in range(count))


ENTRY_REFUSALS = [
    ("kill_switch", {"kill": KillState.STARTING}, {}),
    ("kill_switch", {"kill": KillState.TRIPPED}, {}),
    ("kill_switch", {"kill": KillState.HALTED}, {}),
    ("kill_switch", {"kill": KillState.REARMING}, {}),
    ("latch", {"legs": legs(latched=True)}, {}),
    ("mode", {"legs": legs(mode=LegMode.TP_ONLY)}, {}),
    ("mode", {"legs": legs(mode=LegMode.MANUAL)}, {}),
    ("mode", {"legs": legs(mode=LegMode.PANIC)}, {}),
    ("mode", {"legs": legs(mode=LegMode.GRACEFUL_STOP, qty=D(0))}, {}),
    ("hold", {"holds": ("paused",)}, {}),
    ("legs", {"legs": None}, {}),
    ("legs", {"legs": {Leg.LONG: LegView(qty=D(1))}}, {}),
    ("instrument", {"instrument": None}, {}),
    ("status", {"instrument": msgspec.structs.replace(BTC, status="BREAK")}, {}),
    ("mid", {"mid": None}, {}),
    ("mid", {"mid": D(0)}, {}),
    ("account", {"account": None}, {}),
    ("open_orders", {"open_orders": None}, {}),
    ("max_order_notional_usdt", {}, {"max_order_notional_usdt": None}),
    ("max_leg_notional_usdt", {}, {"max_leg_notional_usdt": None}),
    ("max_gross_notional_usdt", {}, {"max_gross_notional_usdt": None}),
    ("max_order_notional_usdt", {}, {"max_order_notional_usdt": D("494.99")}),
    ("max_leg_notional_usdt", {}, {"max_leg_notional_usdt": D("2994.99")}),
    ("max_leg_notional_usdt", {"legs": legs(entries_usdt=D("7005.01"))}, {}),
    ("max_gross_notional_usdt", {}, {"max_gross_notional_usdt": D("5494.99")}),
    ("price_collar_bps", {}, {"price_collar_bps": D("99.9")}),
    ("max_open_orders", {}, {"max_open_orders": 3}),
    ("max_open_orders", {"instrument": msgspec.structs.replace(BTC, max_orders=3)}, {}),
    ("max_orders_per_10s", {"recent": many(5, 9_999)}, {"max_orders_per_10s": 5}),
    ("max_orders_per_10s", {"recent": many(7, 9_999)}, {"max_orders_per_10s": 6}),
    ("duplicate_window_ms", {"recent": (recent(999),)}, {}),
    ("duplicate_window_ms", {"recent": (recent(4_999),)}, {"duplicate_window_ms": 5_000}),
    ("max_leverage", {}, {"max_leverage": D("0.549")}),
    ("min_margin_after_pct", {}, {"min_margin_after_pct": D("89.02")}),
    ("self_match", {"resting": (Resting(leg=Leg.SHORT, side=Side.SELL, price=D(49_500)),)}, {}),
    ("position", {"position": config.Position(max_qty=D("0.0599"))}, {}),
    ("position", {"account": msgspec.structs.replace(ACCOUNT, equity_usdt=D(0))}, {}),
]


@pytest.mark.parametrize(("limit", "seen", "within"), ENTRY_REFUSALS)
def test_an_entry_is_refused_and_a_reducing_order_is_not(
    limit: str, seen: dict[str, object], within: dict[str, object]
) -> None:
    assert refused_by(ENTRY, view(**seen), limits(**within)) == limit
    if within.get(limit) is not None:
        assert str(within[limit]) in check(ENTRY, view(**seen), limits(**within)).reason
    # The same view must never keep an exit or a stop from the venue, unless the leg itself is smaller.
    legs_seen = seen.get("legs")
    if not isinstance(legs_seen, dict) or legs_seen[Leg.LONG].qty > 0:
        assert refused_by(EXIT, view(**seen), limits(**within)) is None
    assert refused_by(STOP, view(**seen), limits(**within)) is None


ENTRY_APPROVALS = [
    ({"legs": legs(mode=LegMode.GRACEFUL_STOP)}, {}),  # a leg with inventory may go on
    ({}, {"max_order_notional_usdt": D(495)}),
    ({}, {"max_leg_notional_usdt": D(2995)}),
    ({"legs": legs(entries_usdt=D(7005))}, {}),
    ({}, {"max_gross_notional_usdt": D(5495)}),
    ({}, {"price_collar_bps": D(100)}),
    ({}, {"max_open_orders": 4}),
    ({"recent": many(4, 9_999)}, {"max_orders_per_10s": 5}),
    ({"recent": many(5, 10_000)}, {"max_orders_per_10s": 5}),
    ({"recent": (recent(1_000),)}, {}),
    ({"recent": (recent(999),)}, {"duplicate_window_ms": 999}),
    ({"recent": (recent(1, part=1),)}, {}),
    ({"recent": (recent(1, qty=D("0.02")),)}, {}),
    ({"recent": (recent(1, price=D(49_499)),)}, {}),
    ({"recent": (recent(1, instrument="ETHUSDT-PERP.BINANCE"),)}, {}),
    ({}, {"max_leverage": D("0.5495")}),
    ({}, {"min_margin_after_pct": D("89.01")}),
    ({"resting": (Resting(leg=Leg.SHORT, side=Side.SELL, price=D("49500.1")),)}, {}),
    ({"resting": (Resting(leg=Leg.SHORT, side=Side.BUY, price=D(49_500)),)}, {}),
    (
        {"resting": (Resting(leg=Leg.SHORT, side=Side.SELL, price=None),)},
        {},
    ),  # a market stop rests at no price
    ({"position": config.Position(max_qty=D("0.06"))}, {}),
]


@pytest.mark.parametrize(("seen", "within"), ENTRY_APPROVALS)
def test_an_entry_exactly_at_a_limit_is_approved(seen: dict[str, object], within: dict[str, object]) -> None:
    assert refused_by(ENTRY, view(**seen), limits(**within)) is None


def test_the_smallest_order_and_the_whole_leg_are_approved() -> None:
    assert refused_by(order(price=D(50_000), qty=D("0.002"))) is None  # the minimum quantity and notional
    assert refused_by(order(EXIT, qty=D("0.05"))) is None


def test_missing_limits_refuse_every_entry_by_default() -> None:
    assert refused_by(ENTRY, VIEW, config.Pretrade()) == "max_order_notional_usdt"


def test_the_collar_and_self_match_hold_on_the_sell_side() -> None:
    sell = order(leg=Leg.SHORT, side=Side.SELL, price=D(50_500))
    assert refused_by(sell, VIEW, limits(price_collar_bps=D("99.9"))) == "price_collar_bps"
    own = view(resting=(Resting(leg=Leg.LONG, side=Side.BUY, price=D(50_500)),))
    assert refused_by(sell, own) == "self_match"
    own = view(resting=(Resting(leg=Leg.LONG, side=Side.BUY, price=D("50499.9")),))
    assert refused_by(sell, own) is None


def test_a_market_entry_is_judged_at_mid_and_meets_any_own_order() -> None:
    market = order(kind=OrderKind.MARKET, price=None, time_in_force=TimeInForce.GTC)
    assert refused_by(market, VIEW, limits(max_order_notional_usdt=D("499.99"))) == "max_order_notional_usdt"
    assert refused_by(market, VIEW, limits(max_order_notional_usdt=D(500))) is None
    own = view(resting=(Resting(leg=Leg.SHORT, side=Side.SELL, price=D(90_000)),))
    assert refused_by(market, own) == "self_match"


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        (order(qty=D("0.001")), "qty"),  # below the minimum quantity
        (order(price=D(40_000), qty=D("0.002")), "notional"),
        (order(price=D("52500.1")), "price"),  # above the venue's band
        (order(leg=Leg.SHORT, side=Side.SELL, price=D("47499.9")), "price"),
    ],
)
def test_the_venues_own_rules_for_entries(what: PlaceOrder, limit: str) -> None:
    assert refused_by(what, VIEW, limits(price_collar_bps=D(5_000))) == limit


def test_the_edge_of_the_venues_band_is_inside() -> None:
    wide = limits(price_collar_bps=D(5_000))
    assert refused_by(order(price=D(52_500)), VIEW, wide) is None
    assert refused_by(order(leg=Leg.SHORT, side=Side.SELL, price=D(47_500)), VIEW, wide) is None


def test_the_venue_bounds_a_buy_from_above_only() -> None:
    assert refused_by(order(price=D(47_000)), VIEW, limits(price_collar_bps=D(5_000))) is None


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        (order(side=Side.SELL), "side"),
        (order(EXIT, side=Side.BUY), "side"),
        (order(qty=None), "qty"),
        (order(qty=D(0)), "qty"),
        (order(EXIT, qty=D("-0.01")), "qty"),
        (order(EXIT, qty=None), "qty"),
        (order(EXIT, qty=D(0)), "qty"),
        (order(EXIT, qty=D("0.051")), "qty"),  # more than the leg holds
        (order(EXIT, qty=D("0.0105")), "qty"),  # off the lot step
        (order(price=None), "price"),
        (order(EXIT, price=D(0)), "price"),
        (order(EXIT, price=D("50500.05")), "price"),
        (order(STOP, stop_price=None), "stop_price"),
        (order(STOP, stop_price=D(0)), "stop_price"),
        (order(STOP, stop_price=D(-1)), "stop_price"),
        (order(STOP, stop_price=D("45000.01")), "stop_price"),
        (order(STOP, qty=D("0.01")), "close_position"),
        (order(STOP, kind=OrderKind.MARKET), "close_position"),
        (order(close_position=True), "close_position"),
        (order(qty=D("10.001")), "qty"),  # above the venue's maximum
    ],
)
def test_insane_numbers_are_refused_whatever_the_purpose(what: PlaceOrder, limit: str) -> None:
    assert refused_by(what) == limit


def test_market_orders_have_their_own_maximum() -> None:
    large = {Leg.LONG: LegView(qty=D(8)), Leg.SHORT: LegView(qty=D(0))}
    close = order(EXIT, purpose=Purpose.CLOSE, kind=OrderKind.MARKET, price=None, qty=D("5.001"))
    assert refused_by(close, view(legs=large)) == "qty"
    assert refused_by(order(close, qty=D(5)), view(legs=large)) is None
    assert refused_by(order(EXIT, qty=D("5.001")), view(legs=large)) is None  # a limit


def test_a_close_does_not_wait_for_what_is_unknown() -> None:
    blind = view(instrument=None, legs=None, mid=None, account=None, open_orders=None)
    assert refused_by(EXIT, blind) is None
    assert refused_by(STOP, blind) is None


# -------------------------------------------------------------------------------------------------------- margin


@pytest.mark.parametrize(
    ("equity", "long", "short", "rate", "other", "price"),
    [
        # net long 1 at 100 with 50 of equity, no maintenance: gone at 50
        ("50", "1", "0", "0", "0", "50"),
        ("50", "0", "1", "0", "0", "150"),
        ("50", "1", "1", "0", "0", None),  # balanced and without maintenance: never
        ("50", "1", "0", "0.5", "0", "100"),  # maintenance 50 at 100: already there
        ("50", "1", "0", "0", "10", "60"),
        ("100", "1", "0", "0", "0", None),
        ("150", "1", "0", "0", "0", None),  # more equity than the leg is worth
        ("50", "1", "1", "0.1", "0", "250"),  # a balanced hedge dies of the maintenance of a high price
    ],
)
def test_liquidation_price(  # noqa: PLR0917  # columns of a table
    equity: str, long: str, short: str, rate: str, other: str, price: str | None
) -> None:
    got = liquidation_price(
        equity_usdt=D(equity),
        mark=D(100),
        long_qty=D(long),
        short_qty=D(short),
        maint_margin_rate=D(rate),
        other_maint_usdt=D(other),
    )
    assert got == (None if price is None else D(price))


def figures(**changes: object) -> AccountFigures:
    values: dict[str, object] = {
        "equity_usdt": D(100),
        "initial_margin_usdt": D(0),
        "maint_margin_usdt": D(0),
        "leverage": 10,
        "mark": D(100),
        "long_qty": D(0),
        "short_qty": D(0),
        "maint_margin_rate": D(0),
    }
    return AccountFigures(**(values | changes))  # type: ignore[arg-type]


def test_the_distance_is_seen_from_where_the_entry_fills() -> None:
    # 2 at 80 for 100 of equity: gone at 30. From 80 that is 62.5 %, from 100 it was 70 %.
    assert liquidation_distance_pct(figures(), Leg.LONG, D(80), D(2)) == D("62.5")
    # 2 sold at 120: gone at 170; from 120 it is 41.67 %, from 100 70 %.
    distance = liquidation_distance_pct(figures(), Leg.SHORT, D(120), D(2))
    assert distance is not None
    assert round(distance, 2) == D("41.67")


def test_the_legs_other_entries_count_as_filled() -> None:
    alone = liquidation_distance_pct(figures(), Leg.LONG, D(80), D(2))
    beside = liquidation_distance_pct(
        figures(working=(Working(Leg.LONG, D(90), D(1)),)), Leg.LONG, D(80), D(2)
    )
    other = liquidation_distance_pct(
        figures(working=(Working(Leg.SHORT, D(110), D(1)),)), Leg.LONG, D(80), D(2)
    )
    assert alone == other
    assert beside is not None
    assert beside < D("62.5")


def test_net_and_gross_after_the_fill_decide() -> None:
    # LONG 2 at 80 beside SHORT 4, rate 0.1: equity 140, net -2, gross 6; gone at 340 / 2.6
    state = figures(short_qty=D(4), maint_margin_rate=D("0.1"), maint_margin_usdt=D(40))
    distance = liquidation_distance_pct(state, Leg.LONG, D(80), D(2))
    assert distance is not None
    assert round(distance, 2) == D("30.77")
    # at mark the maintenance is 60 for us, 2 for others
    poor = msgspec.structs.replace(state, equity_usdt=D(20))
    assert liquidation_distance_pct(poor, Leg.LONG, D(80), D(2)) == 0
    poor = msgspec.structs.replace(state, equity_usdt=D(21), maint_margin_usdt=D(42))
    assert liquidation_distance_pct(poor, Leg.LONG, D(80), D(2)) == 0


def test_maintenance_of_other_instruments_is_what_ours_does_not_explain() -> None:
    # ours at 100: 0.1 * 2 * 100 = 20 of 25. Filled: equity 160, net 3, gross 5: (300 + 5 - 160) / (3 - 0.5) = 58
    both = figures(long_qty=D(1), short_qty=D(1), maint_margin_rate=D("0.1"), maint_margin_usdt=D(25))
    assert liquidation_distance_pct(both, Leg.LONG, D(80), D(3)) == D("27.5")
    less = msgspec.structs.replace(
        both, maint_margin_usdt=D(10)
    )  # an older figure than our legs: nothing else
    assert liquidation_distance_pct(less, Leg.LONG, D(80), D(3)) == D(30)


def test_no_liquidation_and_liquidated_already() -> None:
    assert liquidation_distance_pct(figures(), Leg.LONG, D(80), D(1)) is None
    assert liquidation_distance_pct(figures(long_qty=D(20)), Leg.LONG, D(80), D(1)) == 0
    assert liquidation_distance_pct(figures(maint_margin_usdt=D(100)), Leg.LONG, D(80), D(1)) == 0


@pytest.mark.parametrize(
    ("state", "limit", "told"),
    [
        ({}, {"max_qty": D("1.9")}, "max_qty"),
        ({"long_qty": D("0.1")}, {"max_qty": D(2)}, "max_qty"),
        ({"working": (Working(Leg.LONG, D(99), D("0.1")),)}, {"max_qty": D(2)}, "max_qty"),
        ({}, {"max_balance_pct": D("15.9")}, "max_balance_pct"),
        ({"initial_margin_usdt": D(60)}, {}, "max_balance_pct"),
        ({"leverage": 2}, {"max_balance_pct": D("79.9")}, "max_balance_pct"),
        ({"short_qty": D(6)}, {"liquidation_buffer_pct": D(0)}, "max_balance_pct"),
        ({}, {"max_leverage": D("1.59")}, "max_leverage"),
        ({"other_gross_usdt": D(341)}, {}, "max_leverage"),
        ({"working": (Working(Leg.SHORT, D(120), D(3)),)}, {}, "max_leverage"),
        ({"working": (Working(Leg.SHORT, D(120), D("5.1")),)}, {"max_leverage": D(9)}, "max_balance_pct"),
        ({}, {"liquidation_buffer_pct": D("62.6")}, "liquidation_buffer_pct"),
        ({"equity_usdt": D(0)}, {}, "equity"),
    ],
)
def test_position_limits_refuse(state: dict[str, object], limit: dict[str, object], told: str) -> None:
    bounds = msgspec.structs.replace(config.Position(max_qty=D(99)), **limit)
    why = why_position_refuses(figures(**state), Leg.LONG, D(80), D(2), bounds)
    assert why is not None
    assert why.endswith(f"{told} {limit[told]}") if told in limit else told in why


@pytest.mark.parametrize(
    ("state", "limit"),
    [
        ({}, {"max_qty": D(2)}),
        ({"short_qty": D(1), "working": (Working(Leg.SHORT, D(120), D(1)),)}, {"max_qty": D(2)}),
        ({}, {"max_balance_pct": D(16)}),
        ({"initial_margin_usdt": D(59)}, {}),
        ({}, {"max_leverage": D("1.6")}),
        ({"other_gross_usdt": D(340)}, {}),
        ({}, {"liquidation_buffer_pct": D("62.5")}),
    ],
)
def test_position_limits_allow_what_is_at_the_limit(
    state: dict[str, object], limit: dict[str, object]
) -> None:
    bounds = msgspec.structs.replace(config.Position(max_qty=D(99)), **limit)
    assert why_position_refuses(figures(**state), Leg.LONG, D(80), D(2), bounds) is None

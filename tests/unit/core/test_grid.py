"""One instrument's pass: every parameter of the pipeline has its effect, every reason for no entries is told."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Execution, Funding, Policy, Position, Pretrade, Regime
from hedgegridd.core.desk import Desk
from hedgegridd.model import KillState, Leg, LegMode, OrderStatus, Purpose, TimeInForce
from tests.support.desk_rig import EPOCH, LIMITS, config, rig
from tests.support.fake_venue import BTC, MINUTE, RULES, SECOND, Faults

D = Decimal
MS = 1_000_000


def go(venue, price, seconds=1):
    venue.move(D(price))
    venue.run(venue.mono + seconds * SECOND)


def entries(venue, leg=Leg.LONG):
    return sorted(
        ((r.order.level, r.order.price, r.order.qty) for r in venue.of(leg, Purpose.ENTRY)),
        key=lambda x: x[0],
    )


def why(venue):
    return venue.view().instruments[0].why_no_entries


def bar(venue, price=None):
    venue.price = venue.price if price is None else D(price)
    venue.bar()
    venue.run(venue.mono + SECOND)


# ------------------------------------------------------------------------------------------------------ the ladder


def test_both_ladders_rest_around_the_first_mid():
    venue = rig()
    assert [x[1] for x in entries(venue)] == [D(p) for p in (39800, 39600, 39400, 39200, 39000, 38800)]
    assert [x[1] for x in entries(venue, Leg.SHORT)] == [
        D(p) for p in (40200, 40400, 40600, 40800, 41000, 41200)
    ]
    assert [x[2] for x in entries(venue)] == [
        D(q) for q in ("0.010", "0.010", "0.011", "0.011", "0.012", "0.012")
    ]


@pytest.mark.parametrize(
    ("change", "prices"),
    [
        ({"step_bps": D(75)}, [39700, 39400, 39100, 38800, 38500, 38200]),
        ({"levels_long": 2}, [39800, 39600]),
        ({"max_inventory_usdt": D(850)}, [39800, 39600]),
        ({"position": Position(max_qty=D("0.035"))}, [39800, 39600, 39400]),
    ],
)
def test_parameters_of_the_ladder(change, prices):
    assert [x[1] for x in entries(rig(**change))] == [D(p) for p in prices]


def test_maker_only_decides_the_kind_of_limit():
    for maker, kind in ((True, TimeInForce.GTX), (False, TimeInForce.GTC)):
        venue = rig(execution=Execution(maker_only=maker))
        assert {r.order.time_in_force for r in venue.of(Leg.LONG, Purpose.ENTRY)} == {kind}


def test_a_filled_rung_stays_empty_until_its_lot_is_closed():
    venue = rig()
    go(venue, 39800)
    assert [x[0] for x in entries(venue)] == [2, 3, 4, 5, 6]
    bar(venue)
    assert [x[0] for x in entries(venue)] == [2, 3, 4, 5, 6]
    go(venue, 40400)
    assert [x[0] for x in entries(venue)] == [1, 2, 3, 4, 5, 6]


def test_the_rest_of_a_partly_filled_entry_stays():
    rules = msgspec.structs.replace(RULES, min_notional=D(390))  # the rest alone would be too small
    venue = rig(faults=Faults(partial=1.0), seed=1, venue={"rules": rules})
    venue.move(D(39800))
    venue.price = D(39900)
    venue.run(venue.mono + SECOND)
    (rest,) = [r for r in venue.of(Leg.LONG, Purpose.ENTRY) if r.order.level == 1]
    assert D(0) < rest.filled < rest.order.qty
    bar(venue)
    assert rest.order.client_order_id in venue.resting


def test_recentre_moves_the_entries_and_leaves_the_exits():
    venue = rig()
    go(venue, 39800)
    exits = {r.order.client_order_id for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT)}
    assert exits
    go(venue, 40390)
    go(venue, 41700)
    (moved,) = [x for x in venue.said if isinstance(x, m.Recentred)][1:]
    assert (moved.previous, moved.centre) == (D(40000), D(41700))
    assert entries(venue)[0][1] == D(41700) - D("208.5")
    venue.settle()
    assert venue.check().instruments[0].recentres == 1


def test_the_recentre_trigger_is_watched_and_not_waited_for():
    venue = rig(recenter_trigger_bps=D(200))
    assert venue.watch == ((D("40800.1"),), (D("39199.9"),))
    go(venue, "40800.0")
    assert len([x for x in venue.said if isinstance(x, m.Recentred)]) == 1
    go(venue, "40800.2")
    assert len([x for x in venue.said if isinstance(x, m.Recentred)]) == 2


def test_a_watch_that_was_spent_for_nothing_is_set_again_with_the_next_mark():
    venue = rig()
    level = venue.watch[0][0]
    venue.feed(m.PriceCrossed(instrument=BTC, market_ns=venue.market, level=level, mark=D(40000)))
    before = len(venue.said)
    venue.feed(m.PriceCrossed(instrument=BTC, market_ns=venue.market, level=level, mark=D(40000)))
    assert not [x for x in venue.said[before:] if isinstance(x, m.WatchPrices)], (
        "no loop at the speed of ticks"
    )
    venue.feed(venue.mark())
    watch = [x for x in venue.said[before:] if isinstance(x, m.WatchPrices)]
    assert [x.above for x in watch] == [(level,)]


def test_entries_that_are_still_being_cancelled_count_against_the_cap():
    venue = rig(position=Position(max_qty=D("0.035")))
    venue.deaf = (m.CancelOrder,)
    venue.feed(m.SetThrottle(throttle=D("0.5")))
    venue.run(venue.mono + SECOND)
    bar(venue)
    assert sum(r.order.qty for r in venue.of(Leg.LONG, Purpose.ENTRY)) <= D("0.035")
    assert "being cancelled" in venue.answers[venue.feed(m.GetLadders())].ladders[0].long_ladder[4].reason


def test_no_rung_rests_near_an_open_lot_after_a_recentre():
    venue = rig(tp_steps=D(15), recenter_trigger_bps=D(150))
    go(venue, 39800)
    go(venue, 40620)
    bar(venue, 39990)
    venue.settle()
    lots = venue.view().instruments[0].legs[0].lots
    assert lots
    step = D(40000) * D(50) / 10000
    for _, price, _ in entries(venue):
        assert all(abs(price - lot.price) * 2 >= step * D("0.99") for lot in lots)


# ------------------------------------------------------------------------------------------ policy, funding, throttle


def trend(venue, by, bars=60):
    for _ in range(bars):
        venue.move(venue.price + D(by))
        venue.bar(high=venue.price + 5, low=venue.price - 5)
        venue.run(venue.mono + SECOND)


def test_a_trend_throttles_the_counter_side():
    venue = rig(policy=Policy(counter_levels=2), position=Position(max_qty=D(1)))
    trend(venue, 40)
    assert [x for x in venue.said if isinstance(x, m.RegimeChanged)]
    assert venue.view().instruments[0].regime.value == "UP"
    shorts = venue.of(Leg.SHORT, Purpose.ENTRY)
    assert {r.order.level for r in shorts} <= {1, 2}
    assert all(r.order.qty == D("0.005") for r in shorts)


def test_a_dear_funding_shrinks_the_paying_side():
    venue = rig(funding=Funding(window_min=480, max_cost_bps=D(1)))
    go(venue, 39800)
    base = {level: qty for level, _, qty in entries(venue)}
    venue.tell(
        m.MarkPrice(
            instrument=BTC,
            market_ns=venue.market,
            mark=venue.price,
            funding_rate=D("0.003"),
            next_funding_ns=venue.market + 240 * MINUTE,
        )
    )
    bar(venue)
    assert {level: qty for level, _, qty in entries(venue)}[6] == D("0.006") < base[6]
    assert entries(venue, Leg.SHORT)[0][2] == D("0.010")


def test_throttle_scales_new_entries_and_zero_removes_them():
    venue = rig()
    go(venue, 39800)
    venue.ask(m.SetThrottle(throttle=D("0.5")))
    assert entries(venue)[0][2] == D("0.005")
    venue.ask(m.SetThrottle(throttle=D(0)))
    assert entries(venue) == []
    assert why(venue) == ("throttle is 0",)
    assert venue.of(Leg.LONG, Purpose.TAKE_PROFIT), "exits are not touched"
    venue.check()


# ------------------------------------------------------------------------------------------------- precision and gate


def test_rungs_below_the_minimum_are_dropped_and_told_once():
    rules = msgspec.structs.replace(RULES, min_notional=D(420))
    venue = rig(venue={"rules": rules})
    assert [x[0] for x in entries(venue)] == [3, 4, 5, 6]
    dropped = [x for x in venue.said if isinstance(x, m.RungDropped) and x.leg is Leg.LONG]
    assert [x.level for x in dropped] == [1, 2]
    assert "minimum" in dropped[0].reason
    bar(venue)
    assert len([x for x in venue.said if isinstance(x, m.RungDropped) and x.leg is Leg.LONG]) == 2
    assert venue.view().instruments[0].entries_dropped >= 2


def test_rungs_that_would_cross_wait():
    venue = rig()
    venue.price = D(39300)  # nothing has filled: the market is told, not the orders
    venue.faults.delay_ns = 0
    venue.ask(m.StopTrading())
    bar(venue)
    venue.ask(m.StartTrading())
    assert [x[1] for x in entries(venue)] == [D(39200), D(39000), D(38800)]


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"max_order_notional_usdt": None}, "max_order_notional_usdt"),
        ({"max_leg_notional_usdt": D(10)}, "max_leg_notional_usdt"),
        ({"max_gross_notional_usdt": D(10)}, "max_gross_notional_usdt"),
        ({"price_collar_bps": D(10)}, "price_collar_bps"),
        ({"max_open_orders": 1}, "max_open_orders"),
    ],
)
def test_the_gate_refuses_and_says_so(limits, word):
    venue = rig(pretrade=msgspec.structs.replace(LIMITS, **limits))
    refused = [x for x in venue.said if isinstance(x, m.OrderRefused)]
    assert refused
    assert any(word in x.reason for x in refused)
    assert len(entries(venue)) <= 1
    ladders = venue.answers[venue.feed(m.GetLadders())].ladders[0]
    assert any(rung.state == "dropped" and word in rung.reason for rung in ladders.long_ladder)
    before = len(refused)
    venue.run(venue.mono + 5 * SECOND)
    assert len([x for x in venue.said if isinstance(x, m.OrderRefused)]) == before, "no loop"


@pytest.mark.parametrize(
    "position",
    [
        Position(max_balance_pct=D("0.5")),
        Position(max_leverage=D("0.02")),
        Position(liquidation_buffer_pct=D(99)),
    ],
)
def test_the_position_limits_hold(position):
    venue = rig(position=position, venue={"wallet": D(2000)})
    assert len(entries(venue)) < 6
    assert any("position" in x.reason for x in venue.said if isinstance(x, m.OrderRefused))


def test_the_rate_of_orders_is_bounded_and_goes_on_by_itself():
    venue = rig(pretrade=Pretrade(**{**msgspec.structs.asdict(LIMITS), "max_orders_per_10s": 4}))
    assert len(venue.places) <= 6
    venue.run(venue.mono + 60 * SECOND)
    assert len(entries(venue)) == 6
    assert len(entries(venue, Leg.SHORT)) == 6


def test_the_account_wide_limits_are_shared_by_weight():
    two = config(position=Position(max_balance_pct=D(60), max_leverage=D(4)), weight=D(1)).grid[0]
    other = msgspec.structs.replace(two, instrument="ETHUSDT-PERP", weight=D(3))
    desk = Desk(msgspec.structs.replace(config(), grid=(two, other)), EPOCH)
    positions = [grid.placer.position for grid in desk._grids.values()]
    assert [x.max_balance_pct for x in positions] == [D(15), D(45)]
    assert [x.max_leverage for x in positions] == [D(1), D(3)]


# --------------------------------------------------------------------------------------------------------- refusals


def test_post_only_rejects_step_away_and_then_wait_for_the_bar():
    venue = rig(start=False, levels_long=1, execution=Execution(post_only_retries=2))
    venue.refuse_next = [(Purpose.ENTRY, -5022, Leg.LONG)] * 3
    venue.start()
    tries = [x for x in venue.places if x.purpose is Purpose.ENTRY and x.leg is Leg.LONG]
    assert [x.price for x in tries] == [D("39800.0"), D("39799.9"), D("39799.8")]
    venue.run(venue.mono + 20 * SECOND)
    assert len(entries(venue)) == 0
    bar(venue)
    assert entries(venue)[0][1] == D("39800.0")


def test_a_stepped_entry_is_kept_though_its_rung_is_elsewhere():
    venue = rig(start=False, levels_long=1, execution=Execution(price_tolerance_bps=D(0)))
    venue.refuse_next = [(Purpose.ENTRY, -5022, Leg.LONG)]
    venue.start()
    assert entries(venue)[0][1] == D("39799.9")
    bar(venue)
    assert entries(venue)[0][1] == D("39799.9")


def test_the_retry_waits_its_delay():
    venue = rig(start=False, levels_long=1, execution=Execution(retry_delay_ms=700))
    venue.refuse_next = [(Purpose.ENTRY, -5022, Leg.LONG)]
    venue.tell(m.InstrumentReady(instrument=RULES))
    venue.start()
    stamps = {}
    for env, out in zip(venue.envelopes, venue.envelopes, strict=True):
        stamps[env.seq] = out.mono_ns
    woke = [
        e.mono_ns
        for e in venue.envelopes
        if isinstance(e.message, m.Woke) and e.message.token.startswith("grid")
    ]
    rejected = [e.mono_ns for e in venue.envelopes if isinstance(e.message, m.OrderRejected)]
    assert woke[0] - rejected[0] == 700 * MS


def test_steps_end_at_the_deviation_limit():
    venue = rig(start=False, levels_long=1, execution=Execution(max_price_deviation_bps=D(0)))
    venue.refuse_next = [(Purpose.ENTRY, -5022, Leg.LONG)]
    venue.start()
    assert entries(venue) == []


def test_what_never_left_is_not_called_the_venues_refusal():
    venue = rig(start=False, levels_long=1)
    venue.tell(m.InstrumentReady(instrument=RULES))
    grid = venue.desk._grids[BTC]
    venue.start()
    order = next(x for x in grid.book.live() if x.purpose is Purpose.ENTRY and x.leg is Leg.LONG)
    for code, said in (
        (0, "not sent until the next bar: late"),
        (-2019, "refused by the venue until the next bar: -2019 late"),
    ):
        grid._entry_refused(order, code, "late")
        assert [wait.reason for wait in grid.state.legs[Leg.LONG].waits.values()] == [said]


def test_other_refusals_wait_for_the_bar():
    venue = rig(start=False, levels_long=1)
    venue.refuse_next = [(Purpose.ENTRY, -2019, Leg.LONG)]
    venue.start()
    venue.run(venue.mono + 20 * SECOND)
    assert len([x for x in venue.places if x.purpose is Purpose.ENTRY and x.leg is Leg.LONG]) == 1
    ladder = venue.answers[venue.feed(m.GetLadders())].ladders[0].long_ladder
    assert "-2019" in ladder[0].reason
    bar(venue)
    assert len(entries(venue)) == 1


def test_an_entry_cancelled_by_hand_comes_back_with_the_bar():
    venue = rig(levels_long=1)
    (rest,) = venue.of(Leg.LONG, Purpose.ENTRY)
    del venue.resting[rest.order.client_order_id]
    venue._report(rest, "CANCELED")
    venue.run(venue.mono + 5 * SECOND)
    assert entries(venue) == []
    bar(venue)
    assert len(entries(venue)) == 1


def test_a_refused_cancel_is_tried_again_a_second_later():
    venue = rig(levels_long=1, levels_short=1)
    venue.deaf = (m.CancelOrder,)
    seq = venue.feed(m.PauseEntries())
    venue.run(venue.mono + 50 * MS)
    (rest,) = venue.of(Leg.LONG, Purpose.ENTRY)
    ident = rest.order.client_order_id
    venue.tell(m.CancelRejected(instrument=BTC, client_order_id=ident, code=-1001, reason="down"))
    venue.run(venue.mono + 500 * MS)
    venue.deaf = ()
    assert ident in venue.resting
    venue.run(venue.mono + 700 * MS)
    assert ident not in venue.resting
    assert seq not in venue.answers, "the other leg's cancel was never heard"


def test_an_unknown_order_counts_as_live_and_is_not_sent_twice():
    venue = rig(levels_long=1, start=False)
    venue.deaf = (m.PlaceOrder,)
    venue.start()
    order = next(x for x in venue.places if x.purpose is Purpose.ENTRY)
    venue.tell(m.OrderUnknown(instrument=BTC, client_order_id=order.client_order_id, reason="-1007"))
    bar(venue)
    statuses = {o.client_order_id: o.status for o in venue.answers[venue.feed(m.GetOrders())].orders}
    assert statuses[order.client_order_id] is OrderStatus.UNKNOWN
    assert len([x for x in venue.places if x.purpose is Purpose.ENTRY and x.leg is Leg.LONG]) == 1
    assert venue.view().unsettled


# --------------------------------------------------------------------------------------------------- why no entries


def test_nothing_is_placed_before_all_is_known():
    venue = rig(start=False)
    assert "rules of the instrument" in " ".join(why(venue))
    venue.tell(m.InstrumentReady(instrument=RULES))
    venue.run(venue.mono + SECOND)
    assert not venue.places
    text = " ".join(why(venue))
    assert "kill switch is STARTING" in text
    assert "warming up: 0 of 70" in text
    assert "no mark price" in text
    assert "no bar yet" in text


@pytest.mark.parametrize("bars", [69, 70])
def test_the_regime_must_be_warm(bars):
    venue = rig(start=False)
    venue.start(bars=bars)
    assert bool(venue.places) is (bars == 70)


def test_warmup_bars_is_a_parameter():
    venue = rig(start=False, warmup_bars=40, regime=Regime(ema_slow=20))
    venue.start(bars=40)
    assert venue.places


def test_an_old_bar_holds_entries_and_a_fresh_one_frees_them():
    venue = rig(max_bar_age_s=90)
    venue.run(venue.mono + 91 * SECOND)
    assert entries(venue) == []
    assert why(venue) == ("no bar for 90 s",)
    bar(venue)
    assert len(entries(venue)) == 6


def test_a_bar_that_is_old_on_the_markets_clock_is_old():
    venue = rig(start=False)
    venue.start(bars=80)
    late = venue.market + 400 * SECOND
    venue.tell(m.MarkPrice(instrument=BTC, market_ns=late, mark=venue.price))
    venue.run(venue.mono + SECOND)
    assert "no bar for 300 s" in why(venue)


@pytest.mark.parametrize("channel", ["market", "user", "rest"])
def test_a_lost_feed_holds_entries_and_a_user_feed_that_is_back_is_compared(channel):
    venue = rig()
    venue.tell(m.FeedChanged(channel=channel, up=False))
    venue.run(venue.mono + SECOND)
    assert entries(venue) == []
    assert why(venue) == (f"{channel} feed is down",)
    before = len([x for x in venue.said if isinstance(x, m.ReadTruth)])
    venue.tell(m.FeedChanged(channel=channel, up=True))
    venue.tell(m.FeedChanged(channel=channel, up=True))
    venue.run(venue.mono + SECOND)
    assert len(entries(venue)) == 6
    asked = len([x for x in venue.said if isinstance(x, m.ReadTruth)]) - before
    assert asked == (1 if channel == "user" else 0)


@pytest.mark.parametrize("kind", ["ADL", "LIQUIDATION"])
def test_the_venues_act_on_a_position_halts_the_instrument(kind):
    venue = rig()
    venue.tell(m.VenueAction(kind=kind, instrument=BTC, leg=Leg.LONG))
    venue.tell(m.VenueAction(kind="MARGIN_CALL", instrument=BTC))
    venue.run(venue.mono + SECOND)
    assert entries(venue) == []
    assert kind in why(venue)[0]
    venue.ask(m.ResumeEntries())
    assert len(entries(venue)) == 6


def test_an_instrument_that_does_not_trade_gets_no_entries():
    venue = rig()
    venue.tell(m.InstrumentReady(instrument=msgspec.structs.replace(RULES, status="SETTLING")))
    venue.run(venue.mono + SECOND)
    assert entries(venue) == []
    assert "SETTLING" in why(venue)[0]


@pytest.mark.parametrize("state", [KillState.TRIPPED, KillState.HALTED, KillState.REARMING])
def test_only_an_armed_kill_switch_allows_entries(state):
    venue = rig()
    venue.tell(m.KillStateChanged(state=state, previous=KillState.ARMED))
    venue.run(venue.mono + SECOND)
    assert entries(venue) == []
    assert f"kill switch is {state}" in why(venue)


def test_leg_modes():
    venue = rig()
    go(venue, 39800)
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.GRACEFUL_STOP))
    assert len(entries(venue)) == 5, "it goes on while it has inventory"
    go(venue, 40400)
    assert entries(venue) == [], "no re-entry once flat"
    assert "graceful_stop" in " ".join(why(venue))
    assert not venue.of(Leg.LONG, Purpose.STOP)
    venue.ask(m.SetMode(leg=Leg.SHORT, mode=LegMode.TP_ONLY))
    assert entries(venue, Leg.SHORT) == []
    venue.settle()
    venue.check()


def test_manual_means_hands_off():
    venue = rig()
    go(venue, 39800)
    venue.ask(m.SetMode(leg=Leg.LONG, mode=LegMode.MANUAL))
    (rest,) = venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    del venue.resting[rest.order.client_order_id]
    venue._report(rest, "CANCELED")
    before = len(venue.places)
    go(venue, 39000, seconds=5)
    assert not [x for x in venue.places[before:] if x.leg is Leg.LONG]


# ---------------------------------------------------------------------------------------------------------- bars


def test_bars_are_read_once_and_bad_ones_not_at_all():
    venue = rig()
    before = venue.desk.snapshot().grids[BTC].regime
    last = venue.view().instruments[0].last_bar_ns
    common = {"instrument": BTC, "open": D(1), "volume": D(1)}
    venue.feed(m.BarClosed(**common, open_ns=0, close_ns=last, high=D(9), low=D(1), close=D(5)))
    venue.feed(m.BarClosed(**common, open_ns=0, close_ns=last + 1, high=D(4), low=D(1), close=D(5)))
    assert venue.desk.snapshot().grids[BTC].regime == before


def test_warmup_after_a_gap_reads_the_market_afresh():
    venue = rig()
    assert venue.desk.snapshot().grids[BTC].regime.bars == 70
    venue.market += 10 * MINUTE
    venue.bar(warmup=True)
    venue.run(venue.mono + SECOND)
    assert venue.desk.snapshot().grids[BTC].regime.bars == 1


def test_events_of_other_instruments_are_not_ours():
    venue = rig()
    other = "ETHUSDT-PERP.BINANCE"
    before = venue.desk.snapshot().grids
    venue.feed(m.InstrumentReady(instrument=msgspec.structs.replace(RULES, id=other)))
    venue.feed(m.MarkPrice(instrument=other, market_ns=1, mark=D(1)))
    venue.feed(m.OrderUnknown(instrument=other, client_order_id="x", reason=""))
    assert venue.desk.snapshot().grids == before

"""Every parameter of a grid has its effect: one table, parameter -> values -> what the desk's outputs show.

Values stand on both sides of the default where one side could be hidden by another limit. A parameter without a row is
an error, so is a row without a difference. `tests/support/parameter_mutants.py` shows that no use escapes the table.
"""

from decimal import Decimal
from functools import partial

import msgspec
import pytest

from hedgegridd import config as schema
from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.model import Leg, OrderKind, Purpose
from tests.support.desk_rig import EPOCH, LIMITS, config, rig
from tests.support.fake_venue import BTC, MINUTE, SECOND, FakeVenue, Faults, Resting
from tests.unit.core.test_grid import entries, go
from tests.unit.core.test_reconcile import hold, rest

D = Decimal
MS = 1_000_000
SUB = {"execution", "funding", "regime", "position", "policy"}
# Effective before the core: what the venue is asked for.
AT_THE_VENUE = {
    "margin_type": "tests/unit/venue/test_parameters_venue.py",
    "bar": "tests/unit/venue/test_parameters_venue.py",
}
HOUR = 60 * MINUTE
ROOMY = schema.Position(max_qty=D(10))


def grid_of(changes):
    """Keyword arguments of a grid from dotted names; values as the config file has them."""
    made, tables = {}, {}
    for name, value in changes.items():
        table, _, key = name.rpartition(".")
        if table:
            tables.setdefault(table, {})[key] = value
        else:
            made[name] = value
    plain = msgspec.structs.asdict(schema.Grid())
    return made | {
        table: msgspec.structs.replace(made.get(table, plain[table]), **keys)
        for table, keys in tables.items()
    }


def leg_of(venue, leg=Leg.LONG):
    return next(x for x in venue.view().instruments[0].legs if x.leg is leg)


def stop_of(venue, leg=Leg.LONG):
    (stop,) = [r for r in venue.of(leg, Purpose.STOP) if r.order.close_position]
    return stop.order


def numbers(*values):
    return tuple(D(value) for value in values)


# ----------------------------------------------------------------------------------- what is seen, each on a new rig


def prices(leg=Leg.LONG, **grid):
    return tuple(price for _, price, _ in entries(rig(**grid), leg))


def quantities(leg=Leg.LONG, **grid):
    return tuple(qty for _, _, qty in entries(rig(**grid), leg))


def counts(wallet=100000, **grid):
    venue = rig(venue={"wallet": D(wallet)}, **grid)
    return len(entries(venue)), len(entries(venue, Leg.SHORT))


def kinds(**grid):
    return {r.order.time_in_force.value for r in rig(**grid).of(Leg.LONG, Purpose.ENTRY)}


def first_lot(**grid):
    """Take-profit, leg stop and lot stop of one filled rung: at the venue, watched, told."""
    venue = rig(levels_long=1, **grid)
    go(venue, entries(venue)[0][1])
    (profit,) = venue.of(Leg.LONG, Purpose.TAKE_PROFIT)
    (lot,) = leg_of(venue).lots
    assert lot.take_profit == profit.order.price
    assert lot.stop in venue.watch[1]
    return profit.order.price, stop_of(venue).stop_price, lot.stop


def lot_closes(**grid):
    """The highest whole step below the fill at which the lot is closed at market."""
    venue = rig(levels_long=1, recenter_trigger_bps=D(5000), **grid)
    go(venue, 39800)
    for steps in range(1, 8):
        go(venue, 39800 - 200 * steps)
        if not venue.legs[Leg.LONG].qty:
            assert [x for x in venue.places if x.purpose is Purpose.CLOSE]
            return steps
    return None


def lot_stops(**grid):
    """Prices of the stops that rest for single lots."""
    venue = rig(levels_long=1, **grid)
    go(venue, 39800)
    return [r.order.stop_price for r in venue.of(Leg.LONG, Purpose.STOP) if not r.order.close_position]


def adopted(**grid):
    """Take-profit of inventory that was there before us."""
    venue = rig(start=False, manual_position="adopt", **grid)
    hold(venue, "0.05", "39900")
    venue.start()
    venue.settle()
    return tuple(r.order.price for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT))


def adopted_order(**grid):
    """Take-profit of an entry that only the venue knew when we started."""
    venue = rig(start=False, **grid)
    step = schema.Grid(**grid).step_bps * 4
    rest(venue, "BTCUSDT-L001E-zzzzz-9", level=1, price=str(40000 - step))
    venue.start()
    venue.settle()
    assert "BTCUSDT-L001E-zzzzz-9" in venue.resting
    go(venue, 40000 - step)
    return tuple(r.order.price for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT))


def lost_entry(**grid):
    """Take-profit of a fill of ours whose order the books have lost."""
    venue = rig(**grid)
    order = venue.of(Leg.LONG, Purpose.ENTRY)[0].order
    lost = msgspec.structs.replace(order, client_order_id="BTCUSDT-L001E-zzzzz-5")
    venue._fill(Resting(lost, venue_id="w"), D("0.010"), D(39800), maker=True)
    venue.run(venue.mono + SECOND)
    return tuple(r.order.price for r in venue.of(Leg.LONG, Purpose.TAKE_PROFIT))


def lone_stop(**grid):
    """Where the venue takes one stop per leg: it stays when it stands a step further out than needed."""
    venue = rig(levels_long=2, faults=Faults(one_stop_only=True), **grid)
    go(venue, entries(venue)[0][1])
    venue.ask(m.PauseEntries())
    venue.settle()
    return stop_of(venue).stop_price


def recentred(**grid):
    """Whether 2 % is far enough, and where the market is watched for it."""
    venue = rig(**grid)
    watch = venue.watch
    go(venue, 40801)
    return watch, len([x for x in venue.said if isinstance(x, m.Recentred)]) - 1


def warm_after(most=130, **grid):
    """Bars before the first entry."""
    venue = rig(start=False, levels_long=1, levels_short=1, **grid)
    venue.start(bars=0)
    for number in range(1, most):
        venue.market += MINUTE
        venue.bar()
        venue.run(venue.mono + SECOND)
        if venue.places:
            return number
    return None


def turns_up(rise=40, bars=60, **grid):
    """The minute of a steady rise at which the market is told to go up."""
    venue = rig(levels_long=1, levels_short=1, policy=schema.Policy(counter_levels=0), **grid)
    for number in range(1, bars):
        venue.move(venue.price + D(rise) * (1 if number % 3 else -1))
        venue.bar(high=venue.price + 5, low=venue.price - 5)
        venue.run(venue.mono + SECOND)
        if [x for x in venue.said if isinstance(x, m.RegimeChanged)]:
            assert not entries(venue, Leg.SHORT)
            return number
    return None


def in_a_rise(**grid):
    """Entries per leg in a rising market, and the smallest quantity of the counter side."""
    venue = rig(position=ROOMY, **grid)
    for _ in range(42):  # one recentre, whose ladders are looked at
        venue.move(venue.price + 40)
        venue.bar(high=venue.price + 5, low=venue.price - 5)
        venue.run(venue.mono + SECOND)
    shorts = entries(venue, Leg.SHORT)
    return len(entries(venue)), len(shorts), min((qty for _, _, qty in shorts), default=None)


def before_funding(minutes, **grid):
    """Quantity of the outermost LONG rung, LONG inventory paying 30 bps per 8 hours `minutes` from now."""
    venue = rig(base_qty=D("0.1"), qty_scale=D(1), levels_long=2, position=ROOMY, **grid)
    go(venue, 39800)
    at = venue.market + minutes * MINUTE
    venue.tell(
        m.MarkPrice(
            instrument=BTC,
            market_ns=venue.market,
            mark=venue.price,
            funding_rate=D("0.003"),
            next_funding_ns=at,
        )
    )
    venue.price = D(39801)
    venue.run(venue.mono + SECOND)
    venue.ask(m.PauseEntries())
    venue.ask(m.ResumeEntries())
    return {level: qty for level, _, qty in entries(venue)}.get(2)


def post_only(**grid):
    """Prices of the tries of a rung that is refused as crossing again and again, and the wait between two."""
    venue = rig(start=False, levels_long=1, **grid)
    venue.refuse_next = [(Purpose.ENTRY, -5022, Leg.LONG)] * 10
    venue.start()
    venue.run(venue.mono + 40 * SECOND)
    rejected = [e.mono_ns for e in venue.envelopes if isinstance(e.message, m.OrderRejected)]
    woke = [e.mono_ns for e in venue.envelopes if isinstance(e.message, m.Woke) and "grid" in e.message.token]
    tries = [x for x in venue.places if x.purpose is Purpose.ENTRY and x.leg is Leg.LONG]
    return len(tries), (woke[0] - rejected[0]) // MS if len(tries) > 1 else None


def small_recentre(**grid):
    """After a recentre by 5 bps: whether the entries were moved, and where the SHORT leg stop is."""
    venue = rig(recenter_trigger_bps=D(1), **grid)
    before = {r.order.client_order_id for r in venue.of(Leg.LONG, Purpose.ENTRY)}
    go(venue, 40020)
    after = {r.order.client_order_id for r in venue.of(Leg.LONG, Purpose.ENTRY)}
    return before.isdisjoint(after), stop_of(venue, Leg.SHORT).stop_price


def smaller_by_a_tenth(**grid):
    """Quantity of the first rung after a throttle of 0.9."""
    venue = rig(**grid)
    venue.ask(m.SetThrottle(throttle=D("0.9")))
    return entries(venue)[0][2]


def without_bars(**grid):
    """When entries go for lack of bars, in s."""
    venue = rig(levels_long=1, levels_short=1, **grid)
    began = max(e.mono_ns for e in venue.envelopes if isinstance(e.message, m.BarClosed))
    venue.run(venue.mono + HOUR)
    gone = [e.mono_ns for e in venue.envelopes if isinstance(e.message, m.OrderClosed)]
    return round((gone[0] - began) / SECOND)


def found_position(**grid):
    venue = rig(start=False, **grid)
    hold(venue, "0.05", "39900")
    venue.start()
    venue.settle()
    return bool(entries(venue)), bool(venue.of(Leg.LONG, Purpose.TAKE_PROFIT))


def found_stop(**grid):
    """Whether the far stop that rests for inventory of unknown origin stays."""
    venue = rig(start=False, **grid)
    hold(venue, "0.05", "39900")
    stop = {"purpose": Purpose.STOP, "level": 0, "kind": OrderKind.STOP_MARKET, "close_position": True}
    rest(venue, "BTCUSDT-L000S-zzzzz-7", stop_price=D(36000), **stop)
    venue.start()
    venue.settle()
    return "BTCUSDT-L000S-zzzzz-7" in venue.resting


def named(**grid):
    venue = rig(start=False, **grid)
    return venue.view().instruments[0].instrument


def shares(**grid):
    """The account's leverage that a grid and another of weight 1 may use."""
    one = schema.Grid(instrument="ETHUSDT-PERP", **grid)
    desk = Desk(msgspec.structs.replace(config(), grid=(one, schema.Grid())), EPOCH)
    return tuple(each.placer.position.max_leverage for each in desk._grids.values())


def warming(**grid):
    """What is told while the regime filter warms up."""
    venue = rig(start=False, **grid)
    venue.start(bars=10)
    return next(reason for reason in venue.view().instruments[0].why_no_entries if "warming" in reason)


BIG = {"base_qty": D("0.05"), "position": schema.Position(max_qty=D(1))}
TABLE = [
    ("instrument", named, {}, ("BTCUSDT-PERP", BTC), ("ETHUSDT-PERP", "ETHUSDT-PERP.BINANCE")),
    ("weight", shares, {}, (D(1), numbers("2.5", "2.5")), (D(4), numbers(4, 1))),
    ("enabled", shares, {}, (True, numbers("2.5", "2.5")), (False, numbers(5, 5))),
    ("enabled", counts, {}, (True, (6, 6)), (False, (0, 0))),
    (
        "leverage",
        partial(counts, wallet=2000),
        {"position.max_balance_pct": D(30)},
        (2, (2, 1)),
        (10, (6, 6)),
    ),
    ("manual_position", found_stop, {}, ("refuse", True), ("ignore", False)),
    (
        "manual_position",
        found_position,
        {},
        ("refuse", (False, False)),
        ("adopt", (True, True)),
        ("ignore", (True, False)),
    ),
    ("step_bps", prices, {"levels_long": 2}, (D(40), numbers(39840, 39680)), (D(75), numbers(39700, 39400))),
    ("step_bps", first_lot, {}, (D(40), numbers(40320, 38880, 39040)), (D(60), numbers(40480, 38320, 38560))),
    ("step_bps", adopted, {}, (D(40), numbers("40378.8")), (D(60), numbers("40618.2"))),
    ("step_bps", adopted_order, {}, (D(40), numbers("40318.1")), (D(60), numbers("40475.7"))),
    ("step_bps", lost_entry, {}, (D(40), numbers(40280)), (D(60), numbers(40520))),
    ("step_bps", lone_stop, {}, (D(20), D(39360)), (D(100), D(36800))),
    ("levels_long", counts, {}, (2, (2, 6)), (8, (8, 6))),
    ("levels_short", counts, {}, (2, (6, 2)), (8, (6, 8))),
    (
        "base_qty",
        quantities,
        {"levels_long": 2},
        (D("0.02"), numbers("0.020", "0.021")),
        (D("0.04"), numbers("0.040", "0.042")),
    ),
    (
        "qty_scale",
        quantities,
        {"levels_long": 3},
        (D(1), numbers("0.010", "0.010", "0.010")),
        (D(2), numbers("0.010", "0.020", "0.040")),
    ),
    (
        "tp_steps",
        first_lot,
        {},
        (D(1), numbers(40000, 38600, 38800)),
        (D("4.5"), numbers(40700, 38600, 38800)),
    ),
    ("sl_steps", first_lot, {}, (D(2), numbers(40400, 39200, 39400)), (D(7), numbers(40400, 38200, 38400))),
    ("sl_steps", lot_closes, {}, (D(2), 2), (D(7), 7)),
    ("sl_steps", lot_stops, {"stops": "leg+lots"}, (D(2), [D(39400)]), (D(7), [D(38400)])),
    ("stops", lot_stops, {}, ("leg", []), ("leg+lots", [D(38800)])),
    (
        "recenter_trigger_bps",
        recentred,
        {},
        (D(200), ((numbers("40800.1"), numbers("39199.9")), 1)),
        (D(300), ((numbers("41200.1"), numbers("38799.9")), 0)),
    ),
    ("max_inventory_usdt", counts, BIG, (D(4500), (2, 2)), (D(20000), (6, 6))),
    ("max_bar_age_s", without_bars, {}, (90, 90), (600, 600)),
    ("warmup_bars", warm_after, {}, (40, 40), (90, 90)),
    (
        "warmup_bars",
        warming,
        {},
        (40, "regime filter is warming up: 10 of 40 bars"),
        (90, "regime filter is warming up: 10 of 90 bars"),
    ),
    ("execution.maker_only", kinds, {}, (True, {"GTX"}), (False, {"GTC"})),
    ("execution.post_only_retries", post_only, {}, (1, (2, 100)), (5, (6, 100))),
    ("execution.retry_delay_ms", post_only, {}, (50, (4, 50)), (700, (4, 700))),
    (
        "execution.max_price_deviation_bps",
        post_only,
        {"step_bps": D(50), "execution.post_only_retries": 20},
        (D("0.05"), (2, 100)),
        (D("0.1"), (4, 100)),
    ),
    (
        "execution.price_tolerance_bps",
        small_recentre,
        {},
        (D(0), (True, D("42421.2"))),
        (D(10), (False, D(42400))),
    ),
    ("execution.qty_tolerance_pct", smaller_by_a_tenth, {}, (D(5), D("0.009")), (D(15), D("0.010"))),
    (
        "funding.window_min",
        partial(before_funding, 60),
        {"funding.max_cost_bps": D(5)},
        (120, D("0.050")),
        (240, D("0.025")),
    ),
    (
        "funding.window_min",
        partial(before_funding, 60),
        {"funding.max_cost_bps": D(10)},
        (120, D("0.100")),
        (240, D("0.025")),
    ),
    (
        "funding.window_min",
        partial(before_funding, 200),
        {"funding.max_cost_bps": D(1)},
        (120, D("0.100")),
        (400, D("0.050")),
    ),
    ("funding.max_cost_bps", partial(before_funding, 240), {}, (D(5), D("0.050")), (D(40), D("0.100"))),
    ("regime.ema_slow", warm_after, {"warmup_bars": 5}, (40, 40), (60, 60)),
    ("regime.adx_len", warm_after, {"warmup_bars": 5}, (20, 40), (30, 60)),
    ("regime.atr_len", warm_after, {"warmup_bars": 5}, (40, 41), (60, 61)),
    ("regime.ema_fast", turns_up, {"regime.hysteresis_bps": D(10)}, (2, 5), (20, 23)),
    ("regime.hysteresis_bps", turns_up, {}, (D(1), 5), (D(20), 17)),
    ("regime.adx_trend", turns_up, {"regime.hysteresis_bps": D(1)}, (D(10), 2), (D(30), 17)),
    (
        "position.max_qty",
        counts,
        {"base_qty": D("0.05"), "max_inventory_usdt": D(20000)},
        (D("0.12"), (2, 2)),
        (D(1), (6, 6)),
    ),
    ("position.max_balance_pct", partial(counts, wallet=2000), {}, (D(12), (2, 1)), (D(75), (6, 6))),
    ("position.max_leverage", partial(counts, wallet=2000), {}, (D("0.8"), (3, 0)), (D(5), (6, 6))),
    ("position.liquidation_buffer_pct", partial(counts, wallet=500), {}, (D(5), (4, 0)), (D(90), (1, 1))),
    (
        "policy.kind",
        in_a_rise,
        {},
        ("symmetric", (6, 6, D("0.010"))),
        ("throttled-counter", (6, 4, D("0.005"))),
        ("core-and-scalp", (4, 4, D("0.005"))),
    ),
    ("policy.counter_levels", in_a_rise, {}, (2, (6, 2, D("0.005"))), (5, (6, 5, D("0.005")))),
    (
        "policy.counter_qty_scale",
        in_a_rise,
        {},
        (D("0.2"), (6, 4, D("0.002"))),
        (D("0.9"), (6, 4, D("0.009"))),
    ),
    (
        "policy.counter_levels",
        in_a_rise,
        {"policy.kind": "core-and-scalp"},
        (2, (2, 2, D("0.005"))),
        (5, (5, 5, D("0.005"))),
    ),
    ("policy.counter_qty_scale", in_a_rise, {}, (D(0), (6, 0, None)), (D(1), (6, 4, D("0.010")))),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{getattr(row[1], 'func', row[1]).__name__}")
def test_the_parameter_has_its_effect(row):
    name, seen, others, *cases = row
    assert len({str(shown) for _, shown in cases}) == len(cases), "values that show the same prove nothing"
    for value, shown in cases:
        assert seen(**grid_of({**others, name: value})) == shown, f"{name} = {value}"


def test_every_parameter_of_a_grid_has_its_row():
    names = set()
    for field in msgspec.structs.fields(schema.Grid):
        if field.name in SUB:
            names |= {f"{field.name}.{each.name}" for each in msgspec.structs.fields(field.type)}
        else:
            names.add(field.name)
    assert names == {row[0] for row in TABLE} | set(AT_THE_VENUE)


# ------------------------------------------------------------------------------------- beside the grids: the account


def sent_again(**pretrade):
    """Whether an entry that was withdrawn is sent again 15 s later."""
    venue = rig(levels_long=1, levels_short=1, pretrade=msgspec.structs.replace(LIMITS, **pretrade))
    venue.ask(m.SetThrottle(throttle=D(0)))
    venue.run(venue.mono + 15 * SECOND)
    venue.ask(m.SetThrottle(throttle=D(1)))
    return len(entries(venue)) == 1


@pytest.mark.parametrize(("window_ms", "sent"), [(1000, True), (14000, True), (30000, False)])
def test_the_duplicate_window_is_kept_however_long(window_ms, sent):
    assert sent_again(duplicate_window_ms=window_ms) is sent


@pytest.mark.parametrize(("timezone", "anew"), [("UTC", True), ("Asia/Tokyo", False)])
def test_the_trading_day_begins_at_midnight_of_the_timezone(timezone, anew):
    cfg = msgspec.structs.replace(config(levels_short=1), daemon=schema.Daemon(timezone=timezone))
    venue = FakeVenue(Desk(cfg, EPOCH))
    venue.start()  # 22:13 UTC
    go(venue, 39800)
    assert venue.view().ledger.day_usdt < 0, "a fee was paid"
    venue.market += 2 * HOUR
    venue.bar()
    venue.run(venue.mono + SECOND)
    assert (venue.view().ledger.day_usdt == 0) is anew

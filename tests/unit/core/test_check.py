"""What `check` says of a config that decodes: each contradiction, each dead parameter, and where they end."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers
from typing import Any

import msgspec
import pytest

from hedgegridd import config
from hedgegridd.core.check import describe, describe_dead_man, find_problems, leg_stop
from hedgegridd.model import Instrument, Leg
from hedgegridd.problems import Problem

BTC = Instrument(
    id="BTCUSDT-PERP.BINANCE",
    symbol="BTCUSDT",
    tick=D("0.1"),
    step=D("0.001"),
    min_qty=D("0.001"),
    max_qty=D(1000),
    market_max_qty=D(120),
    min_notional=D(100),
)
LIMITS = config.Pretrade(
    max_order_notional_usdt=D(2000), max_leg_notional_usdt=D(12000), max_gross_notional_usdt=D(24000)
)
SUB = {
    "execution": config.Execution,
    "funding": config.Funding,
    "regime": config.Regime,
    "position": config.Position,
    "policy": config.Policy,
}


def grid(**changes: Any) -> config.Grid:
    """A grid; a dict changes keys of a sub-table."""
    return config.Grid(
        **{name: SUB[name](**value) if isinstance(value, dict) else value for name, value in changes.items()}
    )


def found(cfg: config.Config, *, price: str | None = "65000", filters: bool = True) -> list[Problem]:
    names = {each.instrument for each in cfg.grid}
    return find_problems(
        cfg,
        dict.fromkeys(names, BTC) if filters else None,
        None if price is None else dict.fromkeys(names, D(price)),
    )


def told(problems: list[Problem]) -> set[tuple[str, str]]:
    return {(each.severity, ".".join(str(part) for part in each.path)) for each in problems}


def of_grid(
    *, price: str | None = "65000", filters: bool = True, pretrade: config.Pretrade = LIMITS, **changes: Any
) -> list[Problem]:
    return found(config.Config(grid=(grid(**changes),), pretrade=pretrade), price=price, filters=filters)


def of_file(**tables: Any) -> list[Problem]:
    return found(config.Config(**{"grid": (grid(),), "pretrade": LIMITS, **tables}))


def test_the_defaults_are_clean() -> None:
    for price in ("30000", "65000", "100000", None):
        assert of_grid(price=price) == []


GRID_RULES = [
    # (what breaks it, severity and key, what is just right)
    ({"tp_steps": D("15.1")}, ("error", "tp_steps"), {"tp_steps": D(15)}),
    ({"sl_steps": D("0.9")}, ("error", "tp_steps"), {"sl_steps": D(1)}),
    ({"regime": {"ema_fast": 30}}, ("error", "regime.ema_fast"), {"regime": {"ema_fast": 29}}),
    ({"bar": "15m"}, ("error", "max_bar_age_s"), {"bar": "15m", "max_bar_age_s": 900}),
    ({"max_bar_age_s": 59}, ("error", "max_bar_age_s"), {"max_bar_age_s": 60}),
    (
        {"execution": {"price_tolerance_bps": D(25)}},
        ("error", "execution.price_tolerance_bps"),
        {"execution": {"price_tolerance_bps": D("24.9")}},
    ),
    (
        {"levels_long": 11, "recenter_trigger_bps": D(600)},
        ("error", "levels_long"),
        {"levels_long": 10, "recenter_trigger_bps": D(600)},
    ),
    (
        {"levels_short": 11, "recenter_trigger_bps": D(600)},
        ("error", "levels_short"),
        {"levels_short": 10, "recenter_trigger_bps": D(600)},
    ),
    ({"levels_long": 9}, ("warning", "levels_long"), {"levels_long": 8}),
    ({"levels_short": 9}, ("warning", "levels_short"), {"levels_short": 8}),
    ({"recenter_trigger_bps": D(299)}, ("warning", "levels_long"), {"recenter_trigger_bps": D(300)}),
    ({"sl_steps": D(193)}, ("error", "sl_steps"), {"sl_steps": D("192.9")}),
    (
        {"tp_steps": D(201), "sl_steps": D(100)},
        ("error", "tp_steps"),
        {"tp_steps": D("200.9"), "sl_steps": D(100)},
    ),
    ({"regime": {"adx_len": 36}}, ("warning", "regime.adx_len"), {"regime": {"adx_len": 35}}),
    ({"regime": {"atr_len": 70}}, ("warning", "regime.adx_len"), {"regime": {"atr_len": 69}}),
    ({"regime": {"atr_len": 69}}, ("warning", "regime.atr_len"), {}),
    (
        {"policy": {"kind": "symmetric"}, "regime": {"ema_fast": 9}},
        ("warning", "regime.ema_fast"),
        {"regime": {"ema_fast": 9}},
    ),
    ({"warmup_bars": 29}, ("warning", "warmup_bars"), {"warmup_bars": 30}),
    (
        {"execution": {"maker_only": False, "post_only_retries": 2}},
        ("warning", "execution.post_only_retries"),
        {"execution": {"maker_only": False}},
    ),
    (
        {"execution": {"maker_only": False, "retry_delay_ms": 2}},
        ("warning", "execution.retry_delay_ms"),
        {"execution": {"retry_delay_ms": 2}},
    ),
    (
        {"execution": {"post_only_retries": 0, "retry_delay_ms": 2}},
        ("warning", "execution.retry_delay_ms"),
        {"execution": {"post_only_retries": 0}},
    ),
    (
        {"execution": {"post_only_retries": 0, "max_price_deviation_bps": D(2)}},
        ("warning", "execution.max_price_deviation_bps"),
        {"execution": {"max_price_deviation_bps": D(2)}},
    ),
    (
        {"execution": {"max_price_deviation_bps": D(0)}},
        ("warning", "execution.post_only_retries"),
        {"execution": {"max_price_deviation_bps": D("0.1")}},
    ),
    (
        {"funding": {"window_min": 0, "max_cost_bps": D(5)}},
        ("warning", "funding.max_cost_bps"),
        {"funding": {"window_min": 1, "max_cost_bps": D(5)}},
    ),
    (
        {"levels_long": 1, "levels_short": 1, "qty_scale": D("1.5")},
        ("warning", "qty_scale"),
        {"levels_long": 1, "levels_short": 2, "qty_scale": D("1.5")},
    ),
    (
        {"policy": {"kind": "symmetric", "counter_levels": 2}},
        ("warning", "policy.counter_levels"),
        {"policy": {"kind": "symmetric"}},
    ),
    (
        {"policy": {"kind": "symmetric", "counter_qty_scale": D(1)}},
        ("warning", "policy.counter_qty_scale"),
        {"policy": {"counter_qty_scale": D(1)}},
    ),
    (
        {"policy": {"kind": "symmetric"}, "regime": {"adx_trend": D(30)}},
        ("warning", "regime.adx_trend"),
        {"regime": {"adx_trend": D(30)}},
    ),
    (
        {"policy": {"kind": "symmetric"}, "regime": {"hysteresis_bps": D(30)}},
        ("warning", "regime.hysteresis_bps"),
        {"regime": {"hysteresis_bps": D(30)}},
    ),
    (
        {"policy": {"counter_levels": 0, "counter_qty_scale": D("0.3")}},
        ("warning", "policy.counter_qty_scale"),
        {"policy": {"counter_levels": 0}},
    ),
    (
        {"policy": {"kind": "core-and-scalp", "counter_levels": 0}},
        ("warning", "policy.counter_levels"),
        {"policy": {"kind": "core-and-scalp", "counter_levels": 1}},
    ),
    (
        {"policy": {"counter_levels": 6, "counter_qty_scale": D(1)}},
        ("warning", "policy.kind"),
        {"policy": {"counter_levels": 5, "counter_qty_scale": D(1)}},
    ),
    (
        {"policy": {"counter_levels": 7}},
        ("warning", "policy.counter_levels"),
        {"policy": {"counter_levels": 5}},
    ),
    # six LONG rungs hold 0.066 and are worth 4,212.32, six SHORT ones 4,367.68
    (
        {"position": {"max_qty": D("0.065")}},
        ("error", "position.max_qty"),
        {"position": {"max_qty": D("0.066")}},
    ),
    ({"max_inventory_usdt": D(4367)}, ("error", "max_inventory_usdt"), {"max_inventory_usdt": D(4368)}),
    ({"base_qty": D("0.0105")}, ("warning", "base_qty"), {"base_qty": D("0.011")}),
    (
        {"base_qty": D("0.003"), "policy": {"kind": "symmetric"}},
        ("warning", "qty_scale"),
        {"base_qty": D("0.003"), "qty_scale": D(1), "policy": {"kind": "symmetric"}},
    ),
    (
        {"policy": {"counter_qty_scale": D("0.1")}},
        ("warning", "policy.counter_qty_scale"),
        {"policy": {"counter_qty_scale": D("0.2")}},
    ),
    ({"base_qty": D("0.001"), "qty_scale": D(1)}, ("error", "base_qty"), {"base_qty": D("0.004")}),
    ({"base_qty": D("0.001"), "qty_scale": D("1.5")}, ("warning", "base_qty"), {"base_qty": D("0.004")}),
    ({"instrument": "BTCUSDT"}, ("error", "instrument"), {"instrument": "ETHUSDT-PERP"}),
    ({"instrument": "btcusdt-PERP"}, ("error", "instrument"), {}),
]


@pytest.mark.parametrize(("broken", "finding", "right"), GRID_RULES)
def test_each_rule_of_a_grid_and_where_it_ends(
    broken: dict[str, Any], finding: tuple[str, str], right: dict[str, Any]
) -> None:
    severity, key = finding
    expected = (severity, f"grid.0.{key}")
    assert expected in told(of_grid(**broken))
    assert expected not in told(of_grid(**right))


def test_prices_of_the_gate_bound_the_ladder() -> None:
    def limits(**changes: D) -> config.Pretrade:
        return msgspec.structs.replace(LIMITS, **changes)

    # the largest rungs are worth 803.40 (SHORT) and 760.50 (LONG); the legs 4,367.68 and 4,212.32
    assert ("error", "grid.0.base_qty") in told(of_grid(pretrade=limits(max_order_notional_usdt=D(803))))
    assert of_grid(pretrade=limits(max_order_notional_usdt=D(804))) == []
    assert told(of_grid(pretrade=limits(max_leg_notional_usdt=D(4367)))) == {("error", "grid.0.levels_short")}
    assert of_grid(pretrade=limits(max_leg_notional_usdt=D(4368))) == []
    assert ("error", "grid.0.levels_long") in told(of_grid(pretrade=limits(max_leg_notional_usdt=D(4212))))


def test_all_ladders_together_fit_the_gross_limit() -> None:
    gross = msgspec.structs.replace(LIMITS, max_leg_notional_usdt=D(5000), max_gross_notional_usdt=D(9000))
    one = config.Config(grid=(grid(),), pretrade=gross)
    two = config.Config(grid=(grid(), grid(instrument="ETHUSDT-PERP")), pretrade=gross)
    off = config.Config(grid=(grid(), grid(instrument="ETHUSDT-PERP", enabled=False)), pretrade=gross)
    assert found(one) == []
    assert told(found(two)) == {("error", "pretrade.max_gross_notional_usdt")}
    assert found(off) == []
    assert found(two, price=None) == []


def test_remedies_name_numbers_that_work() -> None:
    problem = next(each for each in of_grid(max_inventory_usdt=D(2000)) if "LONG" in each.text)
    assert problem.text == "LONG ladder exceeds max_inventory_usdt"
    assert problem.note == "6 rungs need 4213"
    assert problem.help == "raise max_inventory_usdt to 4213 or set levels_long = 3"
    right = of_grid(max_inventory_usdt=D(2000), levels_long=3, levels_short=2)
    assert [each.severity for each in right if each.severity == "error"] == []
    short = next(each for each in of_grid(max_inventory_usdt=D(500)) if "LONG" in each.text)
    assert short.help == "raise max_inventory_usdt to 4213 or lower base_qty"
    dead = next(each for each in of_grid(levels_long=9) if each.field == "levels_long")
    assert "LONG rung 9 is dead" in dead.text
    dead = next(each for each in of_grid(levels_short=10) if each.field == "levels_short")
    assert "SHORT rungs 9 to 10 are dead" in dead.text
    assert of_grid(levels_long=9, recenter_trigger_bps=D(451)) == []


def test_without_price_or_filters_their_checks_are_left_out() -> None:
    tiny = {"base_qty": D("0.0001")}
    assert {key for _, key in told(of_grid(**tiny))} >= {"grid.0.base_qty"}
    assert of_grid(**tiny, price=None, filters=False) == []
    assert of_grid(max_inventory_usdt=D(1), price=None) == []
    assert told(of_grid(position={"max_qty": D("0.01")}, price=None, filters=False)) == {
        ("error", "grid.0.position.max_qty")
    }


KEY = config.Key(name="desk", role="viewer", sha256="ab" * 32)

FILE_RULES = [
    (
        {"dead_man": config.DeadMan(countdown_s=D(40), renew_s=D(20))},
        ("error", "dead_man.countdown_s"),
        {"dead_man": config.DeadMan(countdown_s=D("40.1"), renew_s=D(20))},
    ),
    (
        {"dead_man": config.DeadMan(enabled=False)},
        ("warning", "dead_man.enabled"),
        {"dead_man": config.DeadMan(enabled=True)},
    ),
    (
        {"dead_man": config.DeadMan(countdown_s=D(6), renew_s=D("2.4"))},
        ("warning", "dead_man.renew_s"),
        {"dead_man": config.DeadMan(countdown_s=D(6), renew_s=D("2.5"))},
    ),
    (
        {"grid": (grid(), grid())},
        ("error", "grid.1.instrument"),
        {"grid": (grid(), grid(instrument="ETHUSDT-PERP"))},
    ),
    ({"grid": (grid(enabled=False),)}, ("warning", "grid.0.enabled"), {"grid": (grid(),)}),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_order_notional_usdt=None)},
        ("warning", "pretrade.max_order_notional_usdt"),
        {},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_leg_notional_usdt=None)},
        ("warning", "pretrade.max_leg_notional_usdt"),
        {},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_gross_notional_usdt=None)},
        ("warning", "pretrade.max_gross_notional_usdt"),
        {},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_order_notional_usdt=D(12001))},
        ("warning", "pretrade.max_order_notional_usdt"),
        {"pretrade": msgspec.structs.replace(LIMITS, max_order_notional_usdt=D(12000))},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_leg_notional_usdt=D(24001))},
        ("warning", "pretrade.max_leg_notional_usdt"),
        {"pretrade": msgspec.structs.replace(LIMITS, max_leg_notional_usdt=D(24000))},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_open_orders=11)},
        ("error", "grid.0.levels_long"),
        {"pretrade": msgspec.structs.replace(LIMITS, max_open_orders=12)},
    ),
    (
        {"pretrade": msgspec.structs.replace(LIMITS, max_orders_per_10s=11)},
        ("warning", "pretrade.max_orders_per_10s"),
        {"pretrade": msgspec.structs.replace(LIMITS, max_orders_per_10s=12)},
    ),
    (
        {"daemon": config.Daemon(state_dir="state")},
        ("error", "daemon.state_dir"),
        {"daemon": config.Daemon()},
    ),
    (
        {"venue": config.Venue(api_key="one", api_secret="one")},
        ("error", "venue.api_secret"),
        {"venue": config.Venue(api_key="one", api_secret="two")},
    ),
    ({"venue": config.Venue(account="")}, ("error", "venue.account"), {"venue": config.Venue(account="a")}),
    (
        {"venue": config.Venue(rest_url="ws://127.0.0.1")},
        ("error", "venue.rest_url"),
        {"venue": config.Venue(rest_url="http://127.0.0.1:9080")},
    ),
    (
        {"venue": config.Venue(rest_url="http://fapi.example.com")},
        ("error", "venue.rest_url"),
        {"venue": config.Venue(rest_url="https://fapi.example.com")},
    ),
    (
        {"venue": config.Venue(rest_url="http://127.example.com")},
        ("error", "venue.rest_url"),
        {"venue": config.Venue(rest_url="http://localhost")},
    ),
    ({"venue": config.Venue(rest_url="https://")}, ("error", "venue.rest_url"), {}),
    (
        {"venue": config.Venue(market_ws_url="ws://stream.example.com")},
        ("error", "venue.market_ws_url"),
        {"venue": config.Venue(market_ws_url="ws://[::1]:9")},
    ),
    (
        {"venue": config.Venue(account_url="http://api.example.com")},
        ("error", "venue.account_url"),
        {"venue": config.Venue(account_url="https://api.example.com")},
    ),
    (
        {"venue": config.Venue(user_ws_url="https://stream.example.com")},
        ("error", "venue.user_ws_url"),
        {"venue": config.Venue(user_ws_url="wss://stream.example.com")},
    ),
    (
        {"control": config.Control(http_host="0.0.0.0")},
        ("error", "control.http_host"),
        {"control": config.Control(http_host="0.0.0.0", behind_proxy=True, keys=(KEY,))},
    ),
    (
        {"control": config.Control(http_host="0.0.0.0", behind_proxy=True)},
        ("error", "control.http_host"),
        {"control": config.Control(http_host="127.0.0.2")},
    ),
    (
        {"control": config.Control(http_host="0.0.0.0", keys=(KEY,))},
        ("error", "control.http_host"),
        {"control": config.Control(http_host="::1")},
    ),
    (
        {"metrics": config.Metrics(host="0.0.0.0")},
        ("warning", "metrics.host"),
        {"metrics": config.Metrics(host="localhost")},
    ),
    (
        {"metrics": config.Metrics(port=8080)},
        ("error", "metrics.port"),
        {"metrics": config.Metrics(port=0), "control": config.Control(http_port=0)},
    ),
    (
        {"control": config.Control(socket="run/control.sock")},
        ("error", "control.socket"),
        {"control": config.Control(socket="/" + "x" * 102)},
    ),
    ({"control": config.Control(socket="/" + "ü" * 52)}, ("error", "control.socket"), {}),
    (
        {"control": config.Control(keys=(KEY, KEY))},
        ("error", "control.keys.1.name"),
        {"control": config.Control(keys=(KEY, msgspec.structs.replace(KEY, name="b")))},
    ),
    (
        {"control": config.Control(keys=(msgspec.structs.replace(KEY, name=""),))},
        ("error", "control.keys.0.name"),
        {},
    ),
    (
        {"control": config.Control(keys=(msgspec.structs.replace(KEY, sha256="AB" * 32),))},
        ("error", "control.keys.0.sha256"),
        {"control": config.Control(keys=(KEY,))},
    ),
]


@pytest.mark.parametrize(("broken", "finding", "right"), FILE_RULES)
def test_each_rule_of_the_file_and_where_it_ends(
    broken: dict[str, Any], finding: tuple[str, str], right: dict[str, Any]
) -> None:
    assert finding in told(of_file(**broken))
    assert finding not in told(of_file(**right))


def test_the_ladder_in_words() -> None:
    text = "\n".join(describe(grid(levels_long=2, levels_short=1), BTC, D(65000)))
    assert "one step 325.00 USDT (50 bps)" in text
    assert "LONG      1        64675        0.010     646.75" in text
    assert "LONG      2        64350        0.010     643.50" in text
    assert "SHORT     1        65325        0.010     653.25" in text
    assert "LONG: all rungs filled hold 1290.25 USDT (limit 10000)" in text
    # stop: 64350 - 6 * 325 = 62400; loss 0.01 * (2275 + 1950) = 42.25; fees 1290.25 * 0.0002 + 1248 * 0.0005
    assert "leg stop at 62400.00: worst loss 43.13 USDT, fees 0.88 inside" in text
    assert "profit 975.00 USDT away and stops 1625.00 USDT away" in text
    assert "400 bps from its centre" in text


def test_what_cannot_be_placed_is_said() -> None:
    text = "\n".join(describe(grid(base_qty=D("0.001"), qty_scale=D(1)), BTC, D(65000)))
    assert "not placed: notional" in text
    assert "LONG: no rung can be placed." in text


def test_the_leg_stop_is_one_step_beyond_the_outermost_lots_stop() -> None:
    assert leg_stop(Leg.LONG, D(97), D(1), grid(sl_steps=D(5))) == 91
    assert leg_stop(Leg.SHORT, D(103), D(1), grid(sl_steps=D(2))) == 106


def test_limits_that_the_ladder_reaches_exactly_are_enough() -> None:
    # the SHORT ladder around 65000 is worth 4,367.675, its largest rung 803.4, both ladders 8,580
    exact = config.Pretrade(
        max_order_notional_usdt=D("803.4"),
        max_leg_notional_usdt=D("4367.675"),
        max_gross_notional_usdt=D(8580),
    )
    assert of_grid(pretrade=exact, max_inventory_usdt=D("4367.675")) == []
    less = msgspec.structs.replace(exact, max_gross_notional_usdt=D("8579.99"))
    assert told(of_grid(pretrade=less)) == {("error", "pretrade.max_gross_notional_usdt")}


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"tp_steps": D(20)}, "tp_steps", "at most 15 with sl_steps = 5"),
        ({"execution": {"price_tolerance_bps": D(30)}}, "price_tolerance_bps", "below 25"),
        ({"regime": {"adx_len": 50}}, "adx_len", "entries start 30 bars late"),
        ({"regime": {"adx_len": 50}}, "adx_len", "warmup_bars = 100"),
        ({"levels_long": 10}, "levels_long", "8 can fill"),
        ({"levels_long": 10}, "levels_long", "levels_long = 8, or recenter_trigger_bps above 500"),
        ({"levels_long": 30}, "levels_long", "at most 10"),
        ({"base_qty": D("0.0105")}, "base_qty", "the first rung will be 0.010"),
        ({"base_qty": D("0.001"), "qty_scale": D(1)}, "base_qty", "LONG rungs 1, 2, 3, 4, 5, 6 cannot be placed: notional"),
        ({"base_qty": D("0.001"), "qty_scale": D(1)}, "base_qty", "no rung is left"),
        ({"base_qty": D("0.001"), "qty_scale": D(2), "levels_long": 2}, "base_qty", "LONG rung 1 cannot be placed: notional"),
        ({"policy": {"counter_qty_scale": D("0.1")}}, "counter_qty_scale", "LONG rungs 1, 2, 3, 4 cannot be placed as the counter side"),
        ({"position": {"max_qty": D("0.03")}}, "max_qty", "its rungs need 0.066"),
        ({"position": {"max_qty": D("0.031")}}, "max_qty", "raise max_qty to 0.066 or set levels_long = 3"),
        ({"position": {"max_qty": D("0.030")}}, "max_qty", "raise max_qty to 0.066 or set levels_long = 2"),
    ],
)  # fmt: skip
def test_findings_say_figures_that_are_right(changes: dict[str, Any], key: str, words: str) -> None:
    said = [f"{each.text} | {each.note} | {each.help}" for each in of_grid(**changes) if each.field == key]
    assert any(words in text for text in said), said


def test_an_empty_counter_side_is_no_finding() -> None:
    assert of_grid(policy={"counter_qty_scale": D(0)}) == []
    assert of_grid(policy={"kind": "symmetric"}, price="20100") == []
    # rung 5 would be too small as the counter side, but only four are kept there
    falling = {"levels_long": 6, "levels_short": 1, "qty_scale": D(1), "base_qty": D("0.004")}
    assert of_grid(**falling, price="51100", policy={"counter_levels": 4}) == []
    assert {each.field for each in of_grid(**falling, price="51100", policy={"counter_levels": 5})} == {
        "counter_qty_scale"
    }


def test_a_limit_above_the_next_one_is_named_with_it() -> None:
    said = [
        each.text
        for each in of_file(
            pretrade=config.Pretrade(
                max_order_notional_usdt=D(30000),
                max_leg_notional_usdt=D(25000),
                max_gross_notional_usdt=D(24000),
            )
        )
    ]
    assert said == [
        "max_order_notional_usdt is dead: max_leg_notional_usdt is lower",
        "max_leg_notional_usdt is dead: max_gross_notional_usdt is lower",
    ]


@pytest.mark.parametrize(
    ("environment", "url", "said"),
    [
        ("live", "http://127.0.0.1:9080", "leads to this machine"),
        ("live", "https://fapi.binance.com", ""),
        ("live", "https://proxy.example.com", ""),
        ("paper", "https://fapi.binance.com", "leads to the real venue"),
        ("testnet", "https://fapi.binance.com", "leads to the real venue"),
        ("testnet", "https://demo-fapi.binance.com", ""),
        ("paper", "http://127.0.0.1:9080", ""),
    ],
)
def test_an_environment_that_its_addresses_belie_is_warned_of(environment: str, url: str, said: str) -> None:
    venue = config.Venue(environment=environment, rest_url=url)  # type: ignore[arg-type]
    found = [
        each
        for each in find_problems(config.Config(grid=(grid(),), venue=venue, pretrade=LIMITS))
        if each.table == "[venue]"
    ]
    assert [each.severity for each in found] == (["warning"] if said else [])
    assert not said or said in found[0].text


def test_the_dead_man_switch_in_words() -> None:
    seven = tuple(grid(instrument=f"A{number}USDT-PERP") for number in range(7))
    assert "70 s after this host falls silent" in describe_dead_man(config.Config(grid=seven))
    assert "every 17.5 s" in describe_dead_man(config.Config(grid=seven))
    off = config.Config(grid=(grid(),), dead_man=config.DeadMan(enabled=False))
    assert "off" in describe_dead_man(off)

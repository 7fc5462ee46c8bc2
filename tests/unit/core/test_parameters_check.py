"""`check` judges and tells by the values of the config: every finding in full, at values that are no defaults."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers
from typing import Any

import msgspec
import pytest

from hedgegridd import config
from hedgegridd.control.unix import PATH_MAX
from hedgegridd.core.check import describe
from hedgegridd.problems import Problem
from tests.unit.core.test_check import BTC, LIMITS, grid, of_file, of_grid

TOO_LONG = "socket must be an absolute path of at most 103 bytes"


def line(problem: Problem) -> str:
    """Severity and key, then text, note and help as far as there are any."""
    path = problem.path[2:] if problem.path[0] == "grid" else problem.path
    key = ".".join(str(part) for part in path)
    return " | ".join(filter(None, (f"{problem.severity} {key}", problem.text, problem.note, problem.help)))


# (keys of the grid, keys of [pretrade], what is found)
TABLE: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (
        {"warmup_bars": 60, "regime": {"atr_len": 20}},
        {},
        [
            "warning regime.atr_len | atr_len is dead: in this version nothing but the warm-up needs the ATR | 60 warm-up bars are more than it takes"
        ],
    ),
    (
        {
            "step_bps": D(500),
            "levels_long": 3,
            "levels_short": 3,
            "sl_steps": D(15),
            "qty_scale": D(1),
            "recenter_trigger_bps": D(2000),
        },
        {"price_collar_bps": D(2000)},
        [],
    ),
    ({"regime": {"ema_fast": 35, "ema_slow": 40}}, {}, []),
    (
        {"regime": {"ema_fast": 40, "ema_slow": 40}},
        {},
        ["error regime.ema_fast | ema_fast must be shorter than ema_slow | below 40"],
    ),
    (
        {"step_bps": D(40), "execution": {"price_tolerance_bps": D(20)}},
        {},
        [
            "error execution.price_tolerance_bps | price_tolerance_bps spans half a step: rungs would not follow the grid | below 20.0"
        ],
    ),
    ({"step_bps": D(60), "execution": {"price_tolerance_bps": D(29)}}, {}, []),
    (
        {},
        {"price_collar_bps": D(250)},
        [
            "error levels_long | the outermost LONG rung is 300 bps from the centre, outside price_collar_bps 250 | at most 5 | lower the levels or step_bps, or raise price_collar_bps in [pretrade]",
            "error levels_short | the outermost SHORT rung is 300 bps from the centre, outside price_collar_bps 250 | at most 5 | lower the levels or step_bps, or raise price_collar_bps in [pretrade]",
        ],
    ),
    (
        {"levels_long": 11, "levels_short": 11, "recenter_trigger_bps": D(600)},
        {"price_collar_bps": D(560)},
        [],
    ),
    (
        {"levels_long": 4, "levels_short": 3, "step_bps": D(80), "recenter_trigger_bps": D(170)},
        {"price_collar_bps": D(310)},
        [
            "error levels_long | the outermost LONG rung is 320 bps from the centre, outside price_collar_bps 310 | at most 3 | lower the levels or step_bps, or raise price_collar_bps in [pretrade]",
            "warning levels_long | LONG rungs 3 to 4 are dead: a recentre at 170 bps overtakes them | 2 can fill | levels_long = 2, or recenter_trigger_bps above 320",
            "warning levels_short | SHORT rung 3 is dead: a recentre at 170 bps overtakes them | 2 can fill | levels_short = 2, or recenter_trigger_bps above 240",
        ],
    ),
    (
        {
            "step_bps": D(90),
            "levels_long": 2,
            "levels_short": 2,
            "tp_steps": D(112),
            "sl_steps": D(40),
            "qty_scale": D(1),
        },
        {},
        [],
    ),
    (
        {
            "step_bps": D(90),
            "levels_long": 2,
            "levels_short": 2,
            "tp_steps": D(113),
            "sl_steps": D(40),
            "qty_scale": D(1),
        },
        {},
        ["error tp_steps | the SHORT take-profit would be at or below zero | 10170 bps"],
    ),
    (
        {
            "step_bps": D(1000),
            "levels_long": 2,
            "levels_short": 2,
            "sl_steps": D(7),
            "recenter_trigger_bps": D(3000),
            "qty_scale": D(1),
        },
        {"price_collar_bps": D(3000)},
        [
            "error sl_steps | the LONG leg stop would be at or below zero | levels_long + sl_steps + 1 steps of 1000 bps"
        ],
    ),
    ({"step_bps": D(25), "levels_long": 6, "sl_steps": D(193)}, {}, []),
    (
        {"tp_steps": D(7), "sl_steps": D(2)},
        {},
        [
            "error tp_steps | take-profit is more than three times as far as the stop | at most 6 with sl_steps = 2"
        ],
    ),
    (
        {"bar": "3m", "max_bar_age_s": 170},
        {},
        ["error max_bar_age_s | every 3m bar is too old before the next one closes | at least 180"],
    ),
    (
        {"bar": "5m", "max_bar_age_s": 299},
        {},
        ["error max_bar_age_s | every 5m bar is too old before the next one closes | at least 300"],
    ),
    (
        {"warmup_bars": 40, "regime": {"ema_slow": 50}},
        {},
        [
            "warning warmup_bars | 40 warm-up bars do not warm the regime filter: it needs 50 | entries start 10 bars late | warmup_bars = 50"
        ],
    ),
    (
        {"warmup_bars": 40, "regime": {"adx_len": 25}},
        {},
        [
            "warning warmup_bars | 40 warm-up bars do not warm the regime filter: it needs 50 | entries start 10 bars late | warmup_bars = 50"
        ],
    ),
    (
        {"regime": {"adx_len": 40}},
        {},
        [
            "warning regime.adx_len | 70 warm-up bars do not warm the regime filter: it needs 80 | entries start 10 bars late | warmup_bars = 80"
        ],
    ),
    (
        {"warmup_bars": 40, "regime": {"atr_len": 44}},
        {},
        [
            "warning warmup_bars | 40 warm-up bars do not warm the regime filter: it needs 45 | entries start 5 bars late | warmup_bars = 45"
        ],
    ),
    (
        {"max_inventory_usdt": D(3000)},
        {},
        [
            "error max_inventory_usdt | LONG ladder exceeds max_inventory_usdt | 6 rungs need 4213 | raise max_inventory_usdt to 4213 or set levels_long = 4",
            "error max_inventory_usdt | SHORT ladder exceeds max_inventory_usdt | 6 rungs need 4368 | raise max_inventory_usdt to 4368 or set levels_short = 4",
        ],
    ),
    (
        {"max_inventory_usdt": D(30000), "base_qty": D("0.03"), "position": {"max_qty": D(1)}},
        {
            "max_order_notional_usdt": D(2000),
            "max_leg_notional_usdt": D(12600),
            "max_gross_notional_usdt": D(26000),
        },
        [
            "error base_qty | the largest LONG rung exceeds max_order_notional_usdt 2000 of [pretrade] | 2396 USDT",
            "error levels_long | the LONG ladder exceeds max_leg_notional_usdt 12600 of [pretrade] | 12892 USDT",
            "error base_qty | the largest SHORT rung exceeds max_order_notional_usdt 2000 of [pretrade] | 2545 USDT",
            "error levels_short | the SHORT ladder exceeds max_leg_notional_usdt 12600 of [pretrade] | 13369 USDT",
            "error pretrade.max_gross_notional_usdt | the ladders together exceed max_gross_notional_usdt | all entries are worth 26260 USDT | the gate would refuse the rest of them: raise it, or lower levels or base_qty",
        ],
    ),
    (
        {"base_qty": D("0.0105")},
        {},
        ["warning base_qty | base_qty is not on the lot step 0.001 | the first rung will be 0.010"],
    ),
    (
        {"base_qty": D("0.0017"), "qty_scale": D("1.1"), "policy": {"kind": "symmetric"}},
        {},
        [
            "warning base_qty | base_qty is not on the lot step 0.001 | the first rung will be 0.001",
            "warning base_qty | LONG rungs 1, 2 cannot be placed: notional 64.675 is below the venue's minimum 100 | raise base_qty",
            "warning base_qty | SHORT rungs 1, 2 cannot be placed: notional 65.325 is below the venue's minimum 100 | raise base_qty",
        ],
    ),
    (
        {
            "base_qty": D("0.003"),
            "qty_scale": D(1),
            "policy": {"counter_qty_scale": D("0.3"), "counter_levels": 2},
        },
        {},
        [
            "warning policy.counter_qty_scale | LONG rungs 1, 2 cannot be placed as the counter side: quantity 0.000 is below the venue's minimum 0.001 | no rung is left | raise counter_qty_scale or base_qty",
            "warning policy.counter_qty_scale | SHORT rungs 1, 2 cannot be placed as the counter side: quantity 0.000 is below the venue's minimum 0.001 | no rung is left | raise counter_qty_scale or base_qty",
        ],
    ),
    (
        {
            "base_qty": D("0.003"),
            "qty_scale": D(1),
            "policy": {"counter_qty_scale": D("0.9"), "counter_levels": 5},
        },
        {},
        [],
    ),
    (
        {"levels_long": 8, "levels_short": 5, "policy": {"counter_levels": 8, "counter_qty_scale": D(1)}},
        {},
        ["warning policy.kind | throttled-counter is dead: it keeps every rung in full"],
    ),
    (
        {"levels_long": 3, "levels_short": 3, "policy": {"counter_levels": 5}},
        {},
        ["warning policy.counter_levels | counter_levels is dead: no ladder has more rungs"],
    ),
    ({"levels_long": 3, "levels_short": 8, "policy": {"counter_levels": 5}}, {}, []),
    (
        {
            "levels_long": 3,
            "levels_short": 3,
            "policy": {"counter_levels": 3, "counter_qty_scale": D(1), "kind": "core-and-scalp"},
        },
        {},
        ["warning policy.kind | core-and-scalp is dead: it keeps every rung in full"],
    ),
    (
        {"levels_long": 8, "levels_short": 7},
        {"max_open_orders": 14, "max_orders_per_10s": 13},
        [
            "error levels_long | the ladders have 15 rungs, max_open_orders of [pretrade] is 14 | lower the levels or raise max_open_orders",
            "warning pretrade.max_orders_per_10s | placing all 15 rungs of BTCUSDT-PERP takes longer than 10 s | 13 orders in 10 s",
        ],
    ),
    (
        {"position": {"max_qty": D("0.05")}},
        {},
        [
            "error position.max_qty | LONG ladder exceeds max_qty | its rungs need 0.066 | raise max_qty to 0.066 or set levels_long = 4",
            "error position.max_qty | SHORT ladder exceeds max_qty | its rungs need 0.066 | raise max_qty to 0.066 or set levels_short = 4",
        ],
    ),
    (
        {"position": {"max_qty": D("0.5")}, "base_qty": D("0.04"), "max_inventory_usdt": D(20000)},
        {
            "max_leg_notional_usdt": D(20000),
            "max_order_notional_usdt": D(4000),
            "max_gross_notional_usdt": D(40000),
        },
        [],
    ),
]


@pytest.mark.parametrize(("changes", "pretrade", "lines"), TABLE)
def test_what_is_found_in_a_grid(changes: dict[str, Any], pretrade: dict[str, Any], lines: list[str]) -> None:
    problems = of_grid(pretrade=msgspec.structs.replace(LIMITS, **pretrade), **changes)
    assert [line(problem) for problem in problems] == lines


def test_open_doors_are_told_with_their_address_and_ports_may_not_be_shared() -> None:
    problems = of_file(
        control=config.Control(http_host="192.0.2.7", http_port=7000),
        metrics=config.Metrics(host="192.0.2.8", port=7000),
    )
    assert [problem.text for problem in problems] == [
        "http_host 192.0.2.7 is open to other machines",
        "metrics at 192.0.2.8 can be read by other machines without a key",
        "metrics and control share a port",
    ]
    assert of_file(control=config.Control(http_port=9090), metrics=config.Metrics(port=8080)) == []


def test_a_socket_has_a_path_that_the_daemon_can_make_one_at() -> None:
    longest = "/" + "s" * (PATH_MAX - len(".new") - 1)
    for socket, said in ((longest, []), (longest + "s", [TOO_LONG]), ("run/control.sock", [TOO_LONG])):
        problems = of_file(control=config.Control(socket=socket))
        assert [problem.text for problem in problems] == said


def test_the_description_is_of_this_grid() -> None:
    made = grid(
        levels_long=1,
        levels_short=1,
        step_bps=D(80),
        tp_steps=D(2),
        sl_steps=D(4),
        base_qty=D("0.02"),
        max_inventory_usdt=D(7000),
        recenter_trigger_bps=D(250),
    )
    text = "\n".join(describe(made, BTC, D(50000)))
    assert "one step 400.00 USDT (80 bps)" in text
    assert "LONG      1        49600        0.020     992.00" in text
    assert "992.00 USDT (limit 7000); leg stop at 47600.00" in text
    assert "takes profit 800.00 USDT away and stops 1600.00 USDT away" in text
    assert "250 bps from its centre" in text

"""`[[guard]]` tables: defaults, presets, overrides, and every mistake with its line and field."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd.check import main as check
from hedgegridd.config import Config, Grid
from hedgegridd.config_load import load_text
from hedgegridd.core.actions import Action, parse
from hedgegridd.core.check_grid import BAR_SECONDS
from hedgegridd.errors import ConfigError
from hedgegridd.guards import GUARDS
from hedgegridd.risk.settings import PRESETS, bar_problems, find_problems, settings, warm_up_s

GRID = "[[grid]]\n"


def params(text: str = "", guard: str = "session_drawdown"):
    found = settings(load_text(f"{text}\n" if "preset" in text else f"{GRID}{text}", "g.toml"))
    return next(each.params for each in found if each.guard.name == guard)


def test_every_guard_is_on_with_its_defaults_unless_it_has_no_level():
    found = settings(Config(grid=(Grid(),)))
    assert {each.guard.name for each in found} == set(GUARDS)
    assert {each.guard.name for each in found if each.off} >= {"daily_loss", "position_notional"}
    on = {each.guard.name for each in found if not each.off}
    assert {"session_drawdown", "margin_ratio", "stop_missing", "venue_action", "external"} <= on


# guard: fields of the spec's table
DEFAULTS = {
    "session_drawdown": {"trip_pct": 5, "action": "flatten"},
    "peak_drawdown": {"trip_pct": 20, "action": "flatten"},
    "session_loss": {"trip_usdt": 1000, "action": "flatten"},
    "equity_floor": {"trip_usdt": 500, "action": "flatten", "cooldown_s": 300},
    "margin_ratio": {"trip_ratio": D("0.80"), "action": "flatten"},
    "liquidation_distance": {"pause_pct": 15, "trip_pct": 7, "action": "flatten"},
    "leverage": {"trip_ratio": 5, "action": "pause"},
    "exposure": {"trip_usdt": 25_000, "trip_total_usdt": 50_000, "action": "pause"},
    "funding_cost": {"trip_bps": 20, "action": "trim:0.3"},
    "repeated_execution": {"trip_count": 10, "window_s": 300, "action": "halt"},
    "slippage": {"trip_bps": 15, "window_s": 300, "action": "throttle:0.5", "cooldown_s": 3600},
    "correlation": {"trip_ratio": D("0.85"), "window_s": 86_400, "action": "pause"},
    "stop_missing": {"restop_s": 2, "trip_s": 30, "action": "flatten"},
    "reconcile_mismatch": {"trip_s": 10, "critical_s": 60, "action": "pause"},
    "venue_action": {"action": "halt"},
}


@pytest.mark.parametrize("guard", DEFAULTS)
def test_defaults_are_the_specs(guard):
    table = params(guard=guard)
    assert {name: getattr(table, name) for name in DEFAULTS[guard]} == DEFAULTS[guard]
    assert table.on_missing == "BLOCK"


@pytest.mark.parametrize(("preset", "levels"), PRESETS.items())
def test_a_preset_fills_and_a_table_overrides(preset, levels):
    text = f'preset = "{preset}"\n[[grid]]'
    for guard, fields in levels.items():
        table = params(text, guard)
        assert {name: getattr(table, name) for name in fields} == fields
    text += '\n[[guard]]\ntype = "session_drawdown"\ntrip_pct = 1.5'
    assert params(text).trip_pct == D("1.5")
    assert params(text, "margin_ratio").trip_ratio == levels["margin_ratio"]["trip_ratio"]


def test_balanced_is_the_default():
    assert params() == params('preset = "balanced"\n[[grid]]')
    assert params('preset = "conservative"\n[[grid]]').trip_pct == 3
    assert params('preset = "aggressive"\n[[grid]]', "session_loss").trip_usdt == 2000


def test_a_guard_can_be_switched_off_and_one_without_a_level_on():
    assert params('[[guard]]\ntype = "session_drawdown"\nenabled = false').off
    assert not params('[[guard]]\ntype = "daily_loss"\ntrip_usdt = 100', "daily_loss").off


# lines of the table, what is said, at which line of the file
MISTAKES = [
    (['type = "sesion_drawdown"'], "did you mean `session_drawdown`?", 3),
    (['type = "session_drawdown"', "trip_pct = 0"], "`trip_pct` in [[guard]] is out of bounds: 0", 4),
    (['type = "session_drawdown"', "trip = 5"], "unknown key `trip` in [[guard]]", 4),
    (['type = "session_drawdown"', 'confirm = "3"'], '`confirm` in [[guard]] is the string "3"', 4),
    (['type = "session_drawdown"', 'action = "stop"'], 'is no action: "stop"', 4),
    (['type = "session_drawdown"', 'action = "throttle:2"'], 'is no action: "throttle:2"', 4),
    (['type = "session_drawdown"', "warn_pct = 6"], "warn_pct then trip_pct must rise", 4),
    (['type = "equity_floor"', "warn_usdt = 6"], "warn_usdt then trip_usdt must fall", 4),
    (['type = "liquidation_distance"', "pause_pct = 5"], "pause_pct then trip_pct must fall", 4),
    (['type = "leverage"', "[[guard]]", 'type = "leverage"'], "leverage has two [[guard]] tables", 5),
    (["trip_pct = 5"], "`type` is missing in [[guard]]", 2),
    (["type = 5"], "`type` in [[guard]] is the number 5", 3),
]


@pytest.mark.parametrize(("lines", "said", "line"), MISTAKES)
def test_a_mistake_is_told_by_check_with_its_line(lines, said, line, tmp_path, capsys):
    path = tmp_path / "g.toml"
    path.write_text("[[grid]]\n[[guard]]\n" + "\n".join(lines) + "\n")
    assert check(["-c", str(path)]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert f"g.toml:{line}" in out


def test_a_start_refuses_what_check_refuses():
    config = load_text('[[grid]]\n[[guard]]\ntype = "leverage"\ntrip_ratio = 0\n', "g.toml")
    with pytest.raises(ConfigError, match="trip_ratio"):
        settings(config)


def test_a_table_that_switches_nothing_on_is_warned_of():
    config = load_text('[[grid]]\n[[guard]]\ntype = "daily_loss"\nconfirm = 2\n', "g.toml")
    (problem,) = find_problems(config)
    assert (problem.severity, problem.path) == ("warning", ("guard", 0, "type"))
    assert len(settings(config)) == len(GUARDS)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("notify", Action("notify")),
        ("throttle:0", Action("throttle", D(0))),
        ("throttle:0.25", Action("throttle", D("0.25"))),
        ("trim:1", Action("trim", D(1))),
        ("pause", Action("pause")),
        ("halt", Action("halt")),
        ("flatten", Action("flatten")),
    ],
)
def test_actions(text, action):
    assert parse(text) == action
    assert str(action) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stop",
        "throttle",
        "throttle:1",
        "throttle:-1",
        "throttle:x",
        "trim:0",
        "trim:NaN",
        "pause:1",
        "restop",
    ],
)
def test_what_is_no_action(text):
    with pytest.raises(ValueError, match="pause"):
        parse(text)


def test_of_two_actions_the_stronger():
    order = ["notify", "throttle:0.9", "throttle:0.1", "trim:0.1", "trim:0.9", "pause", "halt", "flatten"]
    strengths = [parse(each).strength for each in order]
    assert strengths == sorted(strengths)


@pytest.mark.parametrize(
    ("bar", "tables", "warns"),
    [
        ("1m", (), False),
        ("3m", (), False),
        ("5m", (), True),
        ("15m", (), True),
        ("15m", ({"type": "stale_market", "trip_bar_s": D(1800)},), False),
        ("15m", ({"type": "stale_market", "trip_bar_s": D(900)},), True),
        ("15m", ({"type": "stale_market", "enabled": False},), False),
    ],
)
def test_a_limit_that_is_over_before_the_next_bar_closes_is_told(bar, tables, warns):
    made = Config(grid=(Grid(bar=bar, max_bar_age_s=3_600),), guard=tables)
    problems = list(bar_problems(made))
    assert bool(problems) == warns
    for problem in problems:
        assert (problem.severity, str(D(BAR_SECONDS[bar]) * 2) in problem.help) == ("warning", True)


def test_bars_are_looked_back_at_only_where_grids_can_be_tied() -> None:
    two = (Grid(), Grid(instrument="ETHUSDT-PERP"))
    assert warm_up_s(Config(grid=two[:1])) == 0
    assert warm_up_s(Config(grid=two)) == 26 * 900
    table: dict[str, object] = {"type": "correlation", "min_samples": 10, "sample_s": D(60)}
    assert warm_up_s(Config(grid=two, guard=(table,))) == 720
    assert warm_up_s(Config(grid=two, guard=({**table, "enabled": False},))) == 0

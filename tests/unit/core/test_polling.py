"""How many calls watching takes, and the warning of a config whose quota is too small for it."""

from decimal import Decimal
from typing import Any

import pytest

from hedgegridd.config import Config, Grid, Venue
from hedgegridd.core.polling import calls_per_hour
from hedgegridd.risk.settings import quota_problems


def config(grids: int = 1, *guards: dict[str, Any], **venue: Any) -> Config:
    names = [f"COIN{number}USDT-PERP" for number in range(grids)]
    return Config(grid=tuple(Grid(instrument=name) for name in names), venue=Venue(**venue), guard=guards)


def test_each_interval_counts() -> None:
    base = calls_per_hour(config())
    assert base == 720 + 120 + 120 * 7 + 240 + 240
    assert calls_per_hour(config(account_poll_s=Decimal(10))) == base - 360
    assert calls_per_hour(config(clock_poll_s=Decimal(60))) == base - 60
    assert calls_per_hour(config(reconcile_interval_s=Decimal(60))) == base - 60 * 7
    assert calls_per_hour(config(2)) == base + 120 * 3 + 240 + 240
    assert calls_per_hour(config(), references=True) == base + 360


@pytest.mark.parametrize(
    ("made", "warned"),
    [
        (config(), False),
        (config(2), False),
        (config(3), True),
        (config(3, {"type": "call_quota", "per_hour": 7_000}), False),
        (config(3, {"type": "call_quota", "enabled": False}), False),
        (config(1, {"type": "call_quota", "per_hour": 2_000}), True),
        (config(1, {"type": "call_quota", "per_hour": 2_350, "trip_pct": Decimal(91)}), True),
        (config(1, {"type": "call_quota", "per_hour": 2_350}), False),
        (config(1, {"type": "call_quota", "per_hour": 2_350}, {"type": "depeg", "enabled": True}), True),
    ],
)
def test_a_quota_that_watching_alone_uses_up_is_warned_of(made: Config, *, warned: bool) -> None:
    problems = list(quota_problems(made))
    assert bool(problems) is warned
    references = any(table["type"] == "depeg" for table in made.guard)
    for problem in problems:
        assert problem.severity == "warning"
        assert f"{calls_per_hour(made, references=references)} calls an hour" in problem.text

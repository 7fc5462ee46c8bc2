"""The seeded simulation itself: its seeds hold, are the same every time, shrink when they fail; its bugs are bugs."""

import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.sim.__main__ import Block, blocks, report, run_one, run_range
from tests.sim.loop import SECOND, Time
from tests.sim.mutants import MUTANTS, hunt
from tests.sim.network import Weather
from tests.sim.plan import plan_of
from tests.sim.run import run_many, run_seed
from tests.sim.shrink import only, smaller
from tests.sim.world import EVENTS_MIN

ROOT = Path(__file__).resolve().parents[2]
SEEDS = int(os.environ.get("HEDGEGRIDD_SEEDS", "18"))
PIECES = 6


@pytest.mark.parametrize("piece", range(PIECES))
def test_seeds_hold(piece):
    outcomes, _ = run_many(range(piece * SEEDS // PIECES, (piece + 1) * SEEDS // PIECES))
    assert [(o.seed, o.text) for o in outcomes if o.name] == []
    for outcome in outcomes:
        assert outcome.events >= EVENTS_MIN, f"seed {outcome.seed} says little"
        assert outcome.hours > 0.5, f"seed {outcome.seed} is over at once"
    assert sum(outcome.hours for outcome in outcomes) > len(outcomes)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_seed_same_bytes(hash_seed):
    """The journal, byte for byte, also in a process that hashes otherwise."""
    here = run_seed(7)
    command = [sys.executable, "-c", "from tests.sim.run import run_seed; print(run_seed(7).digest)"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    there = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert here.records > 300
    assert there.stdout.split() == [here.digest]


def test_the_trace_changes_nothing():
    assert run_seed(3).digest == run_seed(3, trace=50).digest


def test_what_does_not_matter_is_left_out():
    tried = []

    def fails(keep):
        tried.append(keep)
        return {3, 17} <= set(keep)

    assert smaller(list(range(40)), fails, 300) == [3, 17]
    assert len(tried) < 80


def test_shrinking_is_bounded():
    assert smaller(list(range(40)), lambda keep: 39 in keep, 3)[-1] == 39


def test_a_plan_can_leave_steps_out():
    plan = plan_of(2)
    assert len(plan.steps) > 3
    assert only(plan, [1, 2]).steps == plan.steps[1:3]


def test_one_seed_again_by_its_number(capsys):
    assert run_one(1, "none", verbose=False) == 0
    assert "every invariant held" in capsys.readouterr().out


def test_a_long_run_goes_on_where_it_stopped(tmp_path, capsys):
    out = tmp_path / "progress"
    done = Block(first=0, end=10, events=100, hours=1.0, seconds=1.0)
    out.write_bytes(msgspec.json.encode(done) + b"\n")
    assert list(blocks(0, 25, {0})) == [(10, 20), (20, 25)]
    assert run_range(0, 10, 1, out) == [done]
    assert report([done], 1.0, 1) == 0
    assert "10 seeds, 0 failed" in capsys.readouterr().out


def test_a_seed_that_says_little_fails_the_run(capsys):
    done = Block(first=0, end=10, events=6_000, hours=1.0, seconds=1.0, fewest=(EVENTS_MIN - 1, 3))
    assert report([done], 1.0, 1) == 1
    assert "FAILED seed 3: 499 venue events" in capsys.readouterr().out


def test_a_fault_meets_the_calls_that_it_is_aimed_at():
    weather = Weather(Time(), random.Random(1))
    close = {"side": "SELL", "positionSide": "LONG", "type": "MARKET"}
    entry = weather.aim("late", "entry", 1)
    weather.aim("hang", "close", 2)
    fates = [weather.hits("POST /fapi/v1/order", close) for _ in range(3)]
    assert fates == ["hang", "hang", ""]
    assert not weather.fair
    weather.unaim(entry)
    assert weather.fair
    assert weather.hits("POST /fapi/v1/order", {**close, "side": "BUY"}) == ""


def test_time_goes_in_order_and_forgets_what_is_cancelled():
    time, seen = Time(), []
    time.at(2 * SECOND, seen.append, "b")
    time.at(SECOND, seen.append, "a")
    entry = time.at(SECOND, seen.append, "never")
    entry.clear()
    while time.next_at() is not None:
        time.step()
    assert seen == ["a", "b"]
    assert time.now == 2 * SECOND


def test_every_bug_fits_the_source():
    """A bug made by hand that no longer applies would be found by nobody."""
    assert len(MUTANTS) >= 20
    for mutant in MUTANTS:
        for change in mutant.changes:
            assert (ROOT / change.file).read_text().count(change.old) == 1, (mutant.name, change.file)


def test_a_bug_is_found():
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "exits before journal")
    count, broke = hunt(mutant, 10, 0)
    assert count, broke
    assert broke == "the intent is durable before its effect"

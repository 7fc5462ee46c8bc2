"""`python -m tests.sim`: seeds by number, one seed again with its trace, or a long run in pieces.

    --seeds N                       the first N seeds, on as many processes as --jobs
    --seed N [--steps 2,5] [-v]     one seed (with these of its steps only); -v: what happened, to the last line
    --from A --to B --out FILE      a part of a long run; FILE is continued where it stopped

Exit code 0 when every invariant held, 1 when one broke: then the seed is shrunk and said how to replay.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import msgspec

from tests.sim.plan import plan_of
from tests.sim.run import Outcome, run, run_many
from tests.sim.shrink import only, shrink
from tests.sim.world import EVENTS_MIN

BLOCK = 10  # seeds that a process runs in one go
TRACE = 120
TRACE_ALL = 100_000
PROGRESS_S = 10.0  # between two lines that say how far it is
SHRUNK_MAX = 3  # failing seeds of a run that are shrunk: each takes as long as hundreds of runs


class Block(msgspec.Struct):
    """What came of some seeds: one line of the progress file."""

    first: int
    end: int
    failed: list[tuple[int, str, str]] = []
    events: int = 0
    records: int = 0
    lives: int = 0
    hours: float = 0.0
    seconds: float = 0.0
    fewest: tuple[int, int] = (0, -1)  # venue events of the seed that had the fewest, and that seed; -1: none


def run_block(first: int, end: int) -> Block:
    """Run the seeds `first` to `end` (without it)."""
    outcomes, seconds = run_many(range(first, end))
    return Block(
        first=first,
        end=end,
        failed=[(o.seed, o.name, o.text[:500]) for o in outcomes if o.name],
        events=sum(o.events for o in outcomes),
        records=sum(o.records for o in outcomes),
        lives=sum(o.lives for o in outcomes),
        hours=sum(o.hours for o in outcomes),
        seconds=seconds,
        fewest=min(((o.events, o.seed) for o in outcomes if not o.name), default=(0, -1)),
    )


def blocks(first: int, end: int, done: set[int]) -> Iterator[tuple[int, int]]:
    """The blocks of a range that are not done yet."""
    for at in range(first, end, BLOCK):
        if at not in done:
            yield at, min(at + BLOCK, end)


def run_range(first: int, end: int, jobs: int, out: Path | None) -> list[Block]:
    """All seeds of a range; with `out`, every block is kept there as soon as it is done."""
    found: list[Block] = []
    if out is not None and out.exists():
        found = [msgspec.json.decode(line, type=Block) for line in out.read_bytes().splitlines()]
        found = [block for block in found if first <= block.first < end]
    todo = blocks(first, end, {block.first for block in found})
    progress = Progress(end - first, found)
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        running: set[Future[Block]] = set()
        while True:
            while len(running) < 2 * jobs and (piece := next(todo, None)) is not None:
                running.add(pool.submit(run_block, *piece))
            if not running:
                return sorted(found, key=lambda block: block.first)
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                block = future.result()
                found.append(block)
                _keep(block, out)
                progress.done(block)


class Progress:
    """A line every few seconds: how far it is, how fast, how long it will take."""

    def __init__(self, seeds: int, found: list[Block]) -> None:
        self._seeds, self._before = seeds, sum(block.end - block.first for block in found)
        self._count = self._events = self._failed = 0
        self._began = self._told = time.perf_counter()

    def done(self, block: Block) -> None:
        """One more."""
        self._count += block.end - block.first
        self._events += block.events
        self._failed += len(block.failed)
        now = time.perf_counter()
        if now - self._told < PROGRESS_S:
            return
        self._told, took = now, now - self._began
        left = (self._seeds - self._before - self._count) * took / self._count
        sys.stdout.write(
            f"{self._before + self._count} of {self._seeds} seeds, {self._failed} failed, "
            f"{self._events / took:.0f} venue events/s, {left:.0f} s left\n"
        )
        sys.stdout.flush()


def _keep(block: Block, out: Path | None) -> None:
    for seed, _, text in block.failed:
        sys.stdout.write(f"FAILED seed {seed}: {text[:200]}\n")
    sys.stdout.flush()
    if out is not None:
        with out.open("ab") as file:
            file.write(msgspec.json.encode(block) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def report(found: list[Block], took_s: float, jobs: int) -> int:
    """Say what came of it; failing seeds are shrunk. The exit code."""
    seeds = sum(block.end - block.first for block in found)
    failed = [item for block in found for item in block.failed]
    events, hours = sum(block.events for block in found), sum(block.hours for block in found)
    busy_s = sum(block.seconds for block in found) or 1.0
    sys.stdout.write(
        f"{seeds} seeds, {len(failed)} failed; {events} venue events ({events / max(seeds, 1):.0f} a seed), "
        f"{hours:.0f} hours of trading, {sum(block.lives for block in found)} lives\n"
        f"per core {events / busy_s:.0f} events/s, {hours / busy_s * 60:.0f} hours a minute, "
        f"{busy_s / max(seeds, 1) * 1000:.0f} ms a seed; this time {took_s:.0f} s on {jobs} processes\n"
    )
    events_of, poorest = min((block.fewest for block in found if block.fewest[1] >= 0), default=(0, -1))
    sys.stdout.write(f"fewest venue events of a seed: {events_of} (seed {poorest})\n")
    poor = poorest >= 0 and events_of < EVENTS_MIN
    if poor:
        sys.stdout.write(
            f"FAILED seed {poorest}: {events_of} venue events, at least {EVENTS_MIN} are asked\n"
        )
    for seed, name, _ in failed[:SHRUNK_MAX]:
        keep = shrink(seed, name)
        outcome = run(only(plan_of(seed), keep), trace=TRACE)
        sys.stdout.write("\n".join(outcome.trace[-TRACE // 2 :]) + "\n")
        sys.stdout.write(f"seed {seed}, {len(keep)} steps: {outcome.text}\n")
        sys.stdout.write(f"again: python -m tests.sim --seed {seed} --steps {_steps_text(keep)} -v\n")
    return 1 if failed or poor else 0


def _steps_text(keep: list[int]) -> str:
    return ",".join(map(str, keep)) or "none"


def run_one(seed: int, steps: str | None, *, verbose: bool) -> int:
    """One seed again, with its plan; `steps` are numbers, or "none"."""
    plan = plan_of(seed)
    keep = list(range(len(plan.steps)))
    if steps is not None:
        keep = [] if steps == "none" else [int(number) for number in steps.split(",")]
    for number in keep:
        step = plan.steps[number]
        sys.stdout.write(f"{number:3} {step.at / 1e9:10.3f} {step.kind} {step.args}\n")
    outcome = run(only(plan, keep), trace=TRACE_ALL if verbose else TRACE)
    if outcome.name or verbose:
        sys.stdout.write("\n".join(outcome.trace) + "\n")
    sys.stdout.write(_one(outcome))
    return 1 if outcome.name else 0


def _one(o: Outcome) -> str:
    return (
        f"seed {o.seed}: {o.text or 'every invariant held'}\n"
        f"{o.events} venue events, {o.fills} trades, {o.records} records, {o.lives} lives, {o.hours:.2f} hours, "
        f"journal {o.digest}\n"
    )


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=0, help="run the first N seeds")
    parser.add_argument("--seed", type=int, help="run one seed")
    parser.add_argument("--steps", help="with --seed: numbers of the steps to keep, or none")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: the whole trace")
    parser.add_argument("--from", dest="first", type=int, default=0, help="first seed of a range")
    parser.add_argument("--to", dest="end", type=int, default=0, help="end of the range, not included")
    parser.add_argument("--out", type=Path, help="progress file of the range; a run goes on where it stopped")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args(argv)
    if asked.seed is not None:
        return run_one(asked.seed, asked.steps, verbose=asked.verbose)
    first, end = asked.first, asked.end or asked.first + asked.seeds
    if end <= first:
        parser.error("nothing to run: --seeds N, --seed N, or --from A --to B")
    started = time.perf_counter()
    found = run_range(first, end, asked.jobs, asked.out)
    return report(found, time.perf_counter() - started, asked.jobs)


if __name__ == "__main__":
    sys.exit(main())

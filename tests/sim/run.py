"""Runs seeds and says what came of them."""

import contextlib
import gc
import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from tests.sim.oracle import Violation
from tests.sim.plan import Plan, plan_of
from tests.sim.world import World


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the daemon logs in fault weather is of no use here, and rendering it would be most of the work."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@dataclass
class Outcome:
    """Of one seed. `name` and `text` of the invariant that broke, empty when all held."""

    seed: int
    name: str = ""
    text: str = ""
    events: int = 0  # of the venue: user-stream messages and requests processed
    records: int = 0
    hours: float = 0.0
    lives: int = 0
    fills: int = 0
    digest: str = ""
    trace: list[str] = field(default_factory=list)
    error: BaseException | None = None


def run(plan: Plan, *, trace: int = 0) -> Outcome:
    """One run of one plan."""
    world = World(plan, trace=trace)
    out = Outcome(plan.seed)
    try:
        with _quiet():
            world.run()
    except Violation as violation:
        out.name, out.text = violation.name, str(violation)
        out.error = violation
    except Exception as error:  # a bug of ours must not end a long run
        out.name, out.text, out.error = "the simulation itself", repr(error), error
    out.events = world.events
    out.records = len(world.disk.lines)
    out.hours = world.time.now / 3.6e12
    out.lives = world.lives
    out.fills = len(world.venue.trades)
    out.digest = hashlib.blake2b(b"".join(world.disk.lines), digest_size=8).hexdigest()
    out.trace = list(world.trace or ())
    process = world.process
    if process is not None and not process.dead:
        process.die()
    return out


def run_seed(seed: int, *, trace: int = 0) -> Outcome:
    """One seed."""
    return run(plan_of(seed), trace=trace)


def run_many(seeds: range) -> tuple[list[Outcome], float]:
    """Many, without the collector in between; the outcomes and the seconds of a core that it took."""
    started = time.process_time()
    outcomes = []
    gc.disable()
    try:
        for number, seed in enumerate(seeds):
            outcomes.append(run_seed(seed))
            if number % 20 == 19:
                gc.collect()
    finally:
        gc.enable()
    return outcomes, time.process_time() - started

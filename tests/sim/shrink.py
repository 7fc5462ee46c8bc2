"""Makes a failing plan small: leaves out steps while the same invariant still breaks."""

from collections.abc import Callable, Sequence

import msgspec

from tests.sim.plan import Plan, plan_of
from tests.sim.run import Outcome, run

TRIES_MAX = 300


def only(plan: Plan, keep: Sequence[int]) -> Plan:
    """The plan with these of its steps, by their numbers."""
    wanted = set(keep)
    steps = tuple(step for number, step in enumerate(plan.steps) if number in wanted)
    return msgspec.structs.replace(plan, steps=steps)


def shrink(seed: int, name: str, *, tries: int = TRIES_MAX) -> list[int]:
    """Numbers of the steps that are needed for `name` to break; all of them when it does not break at all."""
    plan = plan_of(seed)

    def fails(keep: list[int]) -> bool:
        outcome: Outcome = run(only(plan, keep))
        return outcome.name == name

    return smaller(list(range(len(plan.steps))), fails, tries)


def smaller(keep: list[int], fails: Callable[[list[int]], bool], tries: int) -> list[int]:
    """Leave out halves, quarters, … single ones as long as it fails; at most `tries` attempts."""
    size = max(1, len(keep) // 2)
    while True:
        at, dropped = 0, False
        while at < len(keep) and tries > 0:
            without = keep[:at] + keep[at + size :]
            tries -= 1
            if fails(without):
                keep, dropped = without, True
            else:
                at += size
        if tries <= 0 or (size == 1 and not dropped):
            return keep
        size = max(1, size // 2)

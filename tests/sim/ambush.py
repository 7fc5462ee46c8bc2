"""Scenes that chance alone brings about too rarely: a fault that meets one kind of call at the moment when it matters.

Each puts the daemon back to normal, moves the price so that there is inventory, aims (`Weather.aim`) or sets a trap (the
process dies at a record of that kind), asks for something, and gives way to the operator's opposite a while later.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.sim.loop import SECOND

MS = 1_000_000
LASTS = 110 * SECOND  # of a scene, from its begin
BEGINS = 35 * SECOND  # when what it is about happens
FILLS_BPS = (-150, -80, -40, 40, 80, 150)
LATE = (
    "late",
    "hang",
    "lost_late",
    "unknown_late",
    "unknown_late",
)  # the answer says nothing, and the venue acts later
UNSURE = (*LATE, "lose_answer", "lose_request", "unknown_done", "unknown_not", "timeout_1007")
TRAPS = {
    "flatten": ("Flatten", "LegsLatched", "LegFlat", "LegFlat", "FlattenFinished", "VenueDone", "VenueTruth"),
    "kill": ("Kill", "KillStateChanged", "HaltEntries", "EntriesGone", "LegFlat", "FlattenFinished"),
    "kill_leg": ("Kill", "TripsChanged", "LegsLatched", "LegFlat", "FlattenFinished", "EntriesGone"),
}
OPPOSITE = {"flatten": "resume", "kill": "rearm", "kill_leg": "rearm_leg"}


type Scene = Callable[[random.Random, int], list[Step]]


class Step(NamedTuple):
    """As `plan.Step`."""

    at: int
    kind: str
    args: tuple = ()


def ambush(rng: random.Random, at: int, name: str = "") -> list[Step]:
    """One scene, beginning then: any, or that of this name."""
    scene = SCENES[name] if name else rng.choice(OFTEN)
    now = at + BEGINS
    return [Step(at, "ready"), *scene(rng, now), Step(now + 60 * SECOND, "ready")]


def _leg(rng: random.Random) -> str:
    return rng.choice(("LONG", "SHORT"))


def _soon(rng: random.Random, least_ms: int, most_ms: int) -> int:
    return rng.randint(least_ms, most_ms) * MS


def _fill(rng: random.Random, at: int) -> list[Step]:
    """Inventory on a leg, or on both: the price goes one way, and often back."""
    bps = rng.choice(FILLS_BPS)
    steps = [Step(at, "jump", (bps,))]
    if rng.random() < 0.5:
        steps.append(Step(at + SECOND, "jump", (-2 * bps,)))
    return steps


def _ask(rng: random.Random, at: int, name: str, leg: str) -> list[Step]:
    """A removal, and its opposite later."""
    number = rng.random()
    back = at + rng.randint(15, 50) * SECOND
    return [Step(at, "command", (name, leg, number)), Step(back, "command", (OPPOSITE[name], leg, number))]


def _removal(rng: random.Random) -> str:
    return rng.choice(tuple(OPPOSITE))


def _aim(rng: random.Random, at: int, kinds: tuple[str, ...], target: str, most: int) -> Step:
    return Step(at, "aim", (rng.choice(kinds), target, rng.randint(1, most), 20 * SECOND))


def _late_close(rng: random.Random, at: int) -> list[Step]:
    """What became of a flatten's close is not known for seconds."""
    return [
        *_fill(rng, at - 4 * SECOND),
        _aim(rng, at - SECOND, UNSURE, "close", 3),
        *_ask(rng, at, _removal(rng), _leg(rng)),
    ]


def _two_closers(rng: random.Random, at: int) -> list[Step]:
    """The desk closes a part of a leg, and a flatten comes while that is under way."""
    leg = _leg(rng)
    steps = [
        *_fill(rng, at - 4 * SECOND),
        _aim(rng, at - SECOND, LATE, "close", 1),
        Step(at, "command", ("trim", leg, rng.choice((0.3, 0.5, 0.9)))),
    ]
    if rng.random() < 0.5:
        steps.append(Step(at, "command", ("trim", "SHORT" if leg == "LONG" else "LONG", 0.5)))
    return [*steps, *_ask(rng, at + _soon(rng, 20, 3_000), _removal(rng), leg)]


def _late_entries(rng: random.Random, at: int) -> list[Step]:
    """Entries are on their way when a removal begins, and nobody knows where."""
    return [
        _aim(rng, at - 2 * SECOND, UNSURE, "entry", 4),
        *_fill(rng, at - SECOND),
        *_ask(rng, at + _soon(rng, 0, 4_000), _removal(rng), _leg(rng)),
    ]


def _lost_stops(rng: random.Random, at: int) -> list[Step]:
    """Stops that never arrive, or late: the entries behind them must not rest without."""
    return [
        _aim(rng, at - SECOND, ("lose_request", *UNSURE), "stop", 3),
        *(_fill(rng, at) if rng.random() < 0.5 else _ask(rng, at - 8 * SECOND, "flatten", _leg(rng))[:1]),
        Step(at, "command", ("resume", "LONG", 0.0)),
        Step(at + 20 * SECOND, "jump", (rng.choice(FILLS_BPS),)),
    ]


def _lost_cancels(rng: random.Random, at: int) -> list[Step]:
    """Cancels of a removal, or of what it follows, that do not arrive."""
    return [
        *_fill(rng, at - 4 * SECOND),
        _aim(rng, at - SECOND, UNSURE, "cancel", 5),
        *_ask(rng, at, _removal(rng), _leg(rng)),
    ]


def _blind_eyes(rng: random.Random, at: int) -> list[Step]:
    """The venue's report, or the answer about one order, does not come."""
    return [
        *_fill(rng, at - 4 * SECOND),
        _aim(rng, at - SECOND, UNSURE, rng.choice(("truth", "question", "exit")), 6),
        *_ask(rng, at, _removal(rng), _leg(rng)),
    ]


def _torn(rng: random.Random, at: int) -> list[Step]:
    """Exits leave past a disk that hangs, and die with their records."""
    return [
        Step(at - 100 * MS, "disk", ("hung", 6 * SECOND)),
        *_fill(rng, at),
        Step(at + _soon(rng, 300, 2_700), "crash", (1, rng.choice((1, 3, 10)) * SECOND, True)),
    ]


def _trapped(rng: random.Random, at: int) -> list[Step]:
    """A crash at the very record in which one part tells another what it has done."""
    name = _removal(rng)
    # 1: the record itself is the last one, and nobody acts on it.
    trap = (rng.choice(TRAPS[name]), rng.choice((1, 1, 2, 3)), rng.choice((1, 3, 10)) * SECOND)
    return [
        *_fill(rng, at - 4 * SECOND),
        Step(at - MS, "trap", trap),
        *_ask(rng, at, name, _leg(rng)),
    ]


def _rearmed(rng: random.Random, at: int) -> list[Step]:
    """A crash amid a rearm."""
    name = rng.choice(("kill", "kill_leg"))
    first, undo = _ask(rng, at - 20 * SECOND, name, _leg(rng))
    trap = ("Rearm", rng.randint(1, 9), SECOND)
    if rng.random() < 0.5:
        trap = (rng.choice(("KillStateChanged", "TripsChanged")), rng.randint(1, 4), SECOND)
    steps = [first, Step(at - MS, "trap", trap), undo._replace(at=at)]
    return [*steps, Step(at - 2 * SECOND, "snapshot")] if rng.random() < 0.5 else steps


SCENES: dict[str, Scene] = {
    "late_close": _late_close,
    "two_closers": _two_closers,
    "late_entries": _late_entries,
    "lost_stops": _lost_stops,
    "lost_cancels": _lost_cancels,
    "blind_eyes": _blind_eyes,
    "torn": _torn,
    "trapped": _trapped,
    "rearmed": _rearmed,
}
OFTEN = (*SCENES.values(), _late_close, _two_closers, _lost_stops, _torn, _trapped)

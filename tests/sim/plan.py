"""What happens to one seed's daemon: a list of steps drawn from the seed, each of which can be left out (`shrink.py`)."""

import random
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from hedgegridd.config import (
    Config,
    Daemon,
    DeadMan,
    Execution,
    Grid,
    KillSwitch,
    Policy,
    Position,
    Pretrade,
    Regime,
)
from hedgegridd.config import Venue as VenueConfig
from hedgegridd.guards import GUARDS
from tests.sim.ambush import LASTS, ambush
from tests.sim.loop import SECOND
from tests.sim.network import CALLS, REFUSALS, STREAM
from tests.sim.venue import Manners

D = Decimal
MINUTE = 60 * SECOND
ALL_KINDS = (*CALLS, *REFUSALS, *STREAM, "slow")
STREAM_ENDS = ("drop", "dead", "silent")
SCENES_OF_A_SEED = (1, 2, 3)
ENCORES, ENCORE_EVERY = 6, 100 * SECOND
JUMPS_BPS = (-700, -300, -120, 120, 300, 700)


class Step(msgspec.Struct, frozen=True):
    """At that time, that; `args` as the kind needs them."""

    at: int
    kind: str
    args: tuple = ()


class Plan(msgspec.Struct, frozen=True):
    """A seed's world and its steps, in order of time. Trouble ends at `fair_at`, the run at `end_at`."""

    seed: int
    config: Config
    manners: Manners
    steps: tuple[Step, ...]
    fair_at: int
    end_at: int
    volatility_bps: int
    busy: tuple[tuple[int, int], ...]  # from, to: when prices move every few seconds and the steps happen


def plan_of(seed: int) -> Plan:
    """Everything about a seed."""
    rng = random.Random(f"plan {seed}")
    hours = rng.choice((1, 1, 2))
    fair_at = hours * 60 * MINUTE
    busy = _busy(rng, fair_at)
    steps = _steps(rng, busy)
    scenes = [rng.randint(MINUTE, fair_at - LASTS) for _ in range(rng.choice(SCENES_OF_A_SEED))]
    for at in scenes:
        steps += [Step(*step) for step in ambush(rng, at)]
    steps += _encores(random.Random(f"encores {seed}"), fair_at)
    steps += _by_hand(random.Random(f"hands {seed}"), fair_at)
    return Plan(
        seed=seed,
        config=_config(rng),
        manners=Manners(
            flat_stop=rng.random() < 0.7,
            flat_stop_code=rng.choice((-4509, -2021, -2022)),
            one_stop=rng.random() < 0.4,
            stop_dies=rng.random() < 0.2,
            countdown_algos=rng.random() < 0.5,
            exit_notional=rng.random() < 0.3,
            partial=rng.choice((0.0, 0.1, 0.5)),
        ),
        steps=tuple(sorted(steps, key=lambda step: step.at)),
        fair_at=fair_at,
        end_at=fair_at + 15 * MINUTE,
        volatility_bps=rng.choice((4, 10, 20, 35)),
        busy=(*busy, *((at, at + LASTS) for at in scenes), (fair_at, fair_at + 2 * MINUTE)),
    )


def _config(rng: random.Random) -> Config:
    levels = rng.choice((1, 2, 3, 4))
    base = D(rng.choice(("0.002", "0.005", "0.01")))
    grid = Grid(
        step_bps=D(rng.choice((20, 35, 60))),
        levels_long=levels,
        levels_short=rng.choice((levels, 2)),
        base_qty=base,
        tp_steps=D(rng.choice((1, 2, 3))),
        sl_steps=D(rng.choice((2, 4, 5))),
        stops=rng.choice(("leg", "leg", "leg+lots")),
        recenter_trigger_bps=D(rng.choice((100, 200, 400))),
        max_inventory_usdt=D(rng.choice((1500, 4000, 10000))),
        manual_position=rng.choice(("refuse", "adopt", "ignore")),
        warmup_bars=6,
        bar="5m",
        max_bar_age_s=900,
        execution=Execution(maker_only=rng.random() < 0.8),
        regime=Regime(adx_len=2, ema_fast=2, ema_slow=4, atr_len=2),
        policy=Policy(kind=rng.choice(("throttled-counter", "core-and-scalp", "symmetric"))),
        position=Position(max_qty=base * rng.choice((3, 5, 12))),
    )
    return Config(
        daemon=Daemon(on_stop=rng.choice(("keep", "flatten"))),
        grid=(grid,),
        venue=VenueConfig(
            environment="testnet", reconcile_interval_s=D(rng.choice((300, 600, 600))), account_poll_s=D(60)
        ),
        dead_man=_dead_man(rng),
        guard=_guards(rng),
        kill_switch=KillSwitch(action=rng.choice(("flatten", "halt")), cooldown_s=rng.choice((0, 0, 20))),
        pretrade=Pretrade(
            max_order_notional_usdt=D(3000),
            max_leg_notional_usdt=D(rng.choice((2000, 6000, 20000))),
            max_gross_notional_usdt=D(rng.choice((4000, 12000, 40000))),
            max_leverage=D(5),
        ),
    )


# What is told every second or minute here is told as often as anything can have happened: what is old is older here.
PACED: dict[str, dict[str, object]] = {
    "stale_market": {"trip_mark_s": D(420), "trip_bar_s": D(3000)},
    "stale_account": {"trip_silent_s": D(1500)},
    "spread_depth": {"max_age_s": D(900)},
    "reconcile_mismatch": {"max_age_s": D(1500)},
    "clock_skew": {"max_reading_age_s": D(4000)},
    "venue_health": {"min_uptime_pct": D(60), "warn_uptime_pct": D(80)},
    "rate_budget": {"trip_pct": D(90)},
    "margin_ratio": {"max_age_s": D(2400)},  # the account is read every half hour, and at each comparison
}


def _dead_man(rng: random.Random) -> DeadMan:
    """Mostly with long countdowns: a renewal every few seconds would be most of what happens."""
    kind = rng.random()
    if kind < 0.2:
        return DeadMan(enabled=False)
    return (
        DeadMan(countdown_s=D(120), renew_s=D(30))
        if kind < 0.25
        else DeadMan(countdown_s=D(600), renew_s=D(200))
    )


def _guards(rng: random.Random) -> tuple[dict[str, object], ...]:
    """All guards; limits on money so narrow that jumps of the price trip them now and then."""
    tables: dict[str, dict[str, object]] = {
        name: {"type": name, "max_age_s": D(400), **PACED.get(name, {})} for name in GUARDS
    }
    tables["session_drawdown"]["trip_pct"] = D(rng.choice(("0.3", "1", "5")))
    tables["session_loss"]["trip_usdt"] = D(rng.choice((60, 300, 1000)))
    return tuple(tables.values())


def _busy(rng: random.Random, until: int) -> tuple[tuple[int, int], ...]:
    """Minutes in which much happens, with long calm between them."""
    count = rng.choice((1, 2))
    slot = until // count
    windows = []
    for number in range(count):
        begin = number * slot + rng.randint(MINUTE, slot // 2)
        windows.append((begin, begin + rng.randint(2, 4) * MINUTE))
    return tuple(windows)


def _steps(rng: random.Random, busy: tuple[tuple[int, int], ...]) -> list[Step]:
    """Storms of faults, commands, crashes and acts of the venue; a third of the seeds have mild weather."""
    steps: list[Step] = []

    def when() -> int:
        begin, end = rng.choice(busy)
        return rng.randint(begin, end)

    steps += [_storm(rng, when()) for _ in range(rng.choice((0, 3, 6, 12)))]
    steps += [Step(when(), "stream", (rng.choice(STREAM_ENDS),)) for _ in range(rng.choice((0, 1, 3, 5)))]
    steps += [
        Step(when(), rng.choice(("node_end", "freeze")), (rng.randint(3, 40) * SECOND,))
        for _ in range(rng.choice((0, 1, 2)))
    ]
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = when()
        steps.append(Step(at, "disk", (rng.choice(("slow", "hung", "broken")), rng.randint(2, 60) * SECOND)))
        if rng.random() < 0.5:  # what was sent past a disk that hangs is in no record then
            steps.append(_crash(rng, at + rng.randint(0, 20 * SECOND)))
    if rng.random() < 0.25:
        jump_ms = rng.choice((-30_000, -900, 900, 4_000, 30_000))
        steps.append(Step(when(), "clock", (jump_ms, rng.randint(5, 120) * SECOND)))
    steps += [_crash(rng, when()) for _ in range(rng.choice((0, 0, 1, 2, 4, 6)))]
    steps += [Step(when(), "stop", (rng.choice((1, 5, 30)) * SECOND,)) for _ in range(rng.choice((0, 0, 1)))]
    steps += [Step(when(), "venue", _act(rng)) for _ in range(rng.choice((0, 2, 4, 8)))]
    for _ in range(rng.choice((0, 2, 5, 9))):
        steps += _commands(rng, when())
    steps += [Step(when(), "jump", (rng.choice(JUMPS_BPS),)) for _ in range(rng.choice((0, 1, 3)))]
    steps += [Step(when(), "snapshot") for _ in range(rng.choice((0, 1, 2)))]
    return steps


def _crash(rng: random.Random, at: int) -> Step:
    return Step(at, "crash", (rng.randint(1, 60), rng.choice((1, 3, 10, 60)) * SECOND))


def scenes_of(seed: int, names: Sequence[str]) -> Plan:
    """A seed of ten minutes in which these scenes alone happen (`ambush.py`, or "by_hand"), and nothing else."""
    rng = random.Random(f"scenes {seed}")
    begins = tuple(30 * SECOND + number * LASTS for number in range(2))
    fair_at = begins[-1] + LASTS + 20 * SECOND
    steps: list[Step] = []
    for at in begins:
        name = rng.choice(names)
        if name == "by_hand":
            steps.append(Step(fair_at - SECOND, "venue", ("hand_open", rng.choice(("LONG", "SHORT")), 0.5)))
        else:
            steps += [Step(*step) for step in ambush(rng, at, name)]
    return msgspec.structs.replace(
        plan_of(seed),
        steps=tuple(sorted(steps, key=lambda step: step.at)),
        fair_at=fair_at,
        end_at=fair_at + 15 * MINUTE,
        busy=((begins[0], fair_at + 2 * MINUTE),),
    )


def _encores(rng: random.Random, fair_at: int) -> list[Step]:
    """Scenes that are played only while the seed has said too little (`world.EVENTS_MIN`)."""
    times = range(fair_at - ENCORES * ENCORE_EVERY, fair_at, ENCORE_EVERY)
    steps = [Step(at, "encore", tuple(ambush(rng, at))) for at in times]
    last = random.Random(fair_at)  # in between, for the few seeds that still lack some
    between = [at + ENCORE_EVERY * part // 4 for at in times for part in (1, 2, 3)]
    return steps + [Step(at, "encore", tuple(ambush(last, at))) for at in between]


def _by_hand(rng: random.Random, fair_at: int) -> list[Step]:
    """Somebody buys beside us just before the weather turns fair, and keeps it: it must be explained in the end."""
    if rng.random() < 0.6:
        return []
    return [
        Step(
            fair_at - rng.randint(1, 20) * SECOND, "venue", ("hand_open", rng.choice(("LONG", "SHORT")), 0.5)
        )
    ]


def _storm(rng: random.Random, at: int, kinds: tuple[str, ...] = ALL_KINDS) -> Step:
    kind = rng.choice(kinds)
    length = rng.randint(2, 90) * SECOND
    return Step(at, "weather", (kind, rng.choice((0.1, 0.3, 0.6, 1.0)), length))


def _act(rng: random.Random) -> tuple:
    kind = rng.choice(
        ("adl", "liquidate", "expire", "hand_cancel", "hand_close", "hand_open", "hand_order", "funding",
         "funding", "transfer", "drop_algo", "drop_algo")
    )  # fmt: skip
    return (kind, rng.choice(("LONG", "SHORT")), rng.random())


def _commands(rng: random.Random, at: int) -> list[Step]:
    """A command, and often its opposite a while later, as an operator would."""
    name = rng.choice(
        (
            "pause",
            "throttle",
            "stop",
            "mode",
            "flatten",
            "flatten",
            "kill",
            "kill",
            "kill_leg",
            "kill_leg",
            "trim",
            "reconcile",
            "status",
            "start",
        )
    )
    leg = rng.choice(("LONG", "SHORT"))
    number = rng.random()
    out = [Step(at, "command", (name, leg, number))]
    if name in ("flatten", "kill", "kill_leg"):  # what removes is what must survive everything
        soon = at + rng.randint(0, SECOND)
        if rng.random() < 0.3:
            out.append(_crash(rng, soon))
        if rng.random() < 0.3:  # and somebody else asks for something that ends sooner
            out.append(
                Step(soon, "command", (rng.choice(("flatten", "pause", "kill_leg")), leg, rng.random()))
            )
        if rng.random() < 0.3:
            out.append(_storm(rng, at - rng.randint(0, SECOND), tuple(CALLS)))
    later = at + rng.randint(1, 400) * SECOND
    undo = {"pause": "resume", "stop": "start", "flatten": "resume", "kill": "rearm", "mode": "normal"}
    undo["kill_leg"] = "rearm_leg"
    if name in undo and rng.random() < 0.7:
        out.append(Step(later, "command", (undo[name], leg, number)))
    return out

"""The risk machine against a model of one page: confirm, clear and cool-down for any course of equity and time."""

from decimal import Decimal as D  # noqa: N817  # many numbers

from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.model import KillState
from tests.support.envelopes import of
from tests.unit.risk.test_machine import Rig

# Seconds until the next figures (the market's marks come at least so often), and equity over a peak of 10,000.
STEPS = st.lists(st.tuples(st.integers(1, 8), st.sampled_from((9990, 9700, 9501, 9500, 9000))), max_size=40)


def breaches(equity: int) -> bool:
    return equity <= 9500


@given(STEPS, st.integers(1, 4))
def test_a_trip_is_told_once_and_only_after_enough_breaches_in_a_row(steps, confirm):
    rig = Rig(("session_drawdown", {"confirm": confirm}))
    row, tripped = 0, False
    for seconds, equity in steps:
        kills = of(m.Kill, rig.equity(equity, seconds))
        row = row + 1 if breaches(equity) else 0
        assert len(kills) == (1 if row == confirm and not tripped else 0)
        tripped = tripped or row >= confirm
        assert rig.level("session_drawdown") == "CRITICAL" or not tripped


@given(STEPS, st.integers(0, 10), st.integers(0, 20))
def test_a_hold_ends_after_its_time_of_ok_and_its_cool_down_and_not_before(steps, clear_s, cooldown_s):
    rig = Rig(
        (
            "session_drawdown",
            {"action": "pause", "confirm": 1, "clear_s": D(clear_s), "cooldown_s": D(cooldown_s)},
        )
    )
    now = 0
    began: int | None = None  # of the hold
    calm: int | None = None  # since when it is OK
    for seconds, equity in steps:
        now += seconds
        if began is not None and calm is not None and now >= max(calm + clear_s, began + cooldown_s):
            began = None  # ended by its own timer on the way
        rig.equity(equity, seconds)
        if breaches(equity):
            began, calm = (now if began is None else began), None
        elif began is not None:
            calm = now if calm is None else calm
            if now >= max(calm + clear_s, began + cooldown_s):
                began = None
        assert bool(rig.holds) is (began is not None), (now, began, calm)


@given(STEPS)
def test_what_is_told_of_holds_is_what_is_in_force(steps):
    rig = Rig(
        ("session_drawdown", {"action": "pause", "confirm": 2, "clear_s": D(5)}),
        ("peak_drawdown", {"action": "throttle:0.5", "trip_pct": D(8), "confirm": 1, "clear_s": D(3)}),
        ("equity_floor", {"action": "notify", "trip_usdt": D(9600), "confirm": 3, "clear_s": D(0)}),
    )
    told: tuple[m.Hold, ...] = ()
    for seconds, equity in steps:
        for change in of(m.HoldsChanged, rig.equity(equity, seconds)):
            told = change.holds
        assert [(hold.key, hold.action) for hold in told] == rig.holds
        assert len({hold.key for hold in told}) == len(told)


@given(STEPS, st.integers(0, 39))
def test_a_restart_at_any_moment_neither_repeats_a_trip_nor_forgets_it(steps, at):
    from tests.unit.risk.test_restart import HEARD, restarted

    rig = Rig(("session_drawdown", {"confirm": 1}))
    kills = 0
    for number, (seconds, equity) in enumerate(steps):
        if number == at:
            rig = restarted(rig, *([HEARD] if kills else []))
            state = KillState.HALTED if kills else KillState.ARMED
            rig.feed(m.KillStateChanged(state=state, previous=KillState.STARTING))
        kills += len(of(m.Kill, rig.equity(equity, seconds)))
        over = kills and number >= at and not breaches(equity)
        if over:
            break  # carried out, and the breach is over: a new one may trip anew
    assert kills <= 1

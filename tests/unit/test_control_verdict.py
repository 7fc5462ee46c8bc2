"""The four answers and the operations' own facts: tables of situations and what is said of them."""

from decimal import Decimal as D  # noqa: N817  # many literals
from typing import Any, ClassVar

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.control import dead_man
from hedgegridd.control.limits import Buckets
from hedgegridd.control.operation import Context, Operation, Outcome, Problem, Registry
from hedgegridd.control.verdict import FREE, MEND, Facts, judge, trading_enabled
from hedgegridd.model import ACCOUNT_KEY, JOURNAL_KEY, NEEDS_YOU, KillState, Leg
from tests.unit.control_fakes import BTC, NOW_NS, FakeBus, desk, instrument, leg, venue


def facts(**over: Any) -> Facts:
    table = FakeBus().table
    known: dict[str, Any] = {
        "desk": desk(),
        "venue": venue(),
        "kill": table[m.GetKillSwitch],
        "flattens": table[m.GetFlattens],
        "boot": table[m.GetBoot],
        "now_ns": NOW_NS,
    }
    return Facts(**(known | over))


def kill(state: KillState) -> m.KillSwitchAnswer:
    return m.KillSwitchAnswer(to=0, state=state, cause="by hand", trip_id="T-1")


def removing(age_s: int, state: str = "removing") -> m.FlattensAnswer:
    item = m.FlattenView(
        flatten_id="C-1",
        instrument=BTC,
        leg=Leg.SHORT,
        state=state,
        attempts=2,
        residual_qty=D("0.008"),
        residual_orders=1,
        since_ns=NOW_NS - age_s * 10**9,
    )
    return m.FlattensAnswer(to=0, flattens=(item,))


def boot(**over: Any) -> m.BootAnswer:
    known: dict[str, Any] = {
        "ready": False,
        "stage": "venue",
        "number": 3,
        "of": 8,
        "waits_for": "REST",
        "since_ns": 1,
    }
    return m.BootAnswer(to=0, stopping=False, **(known | over))


NAKED = desk(instrument(legs=(leg(Leg.LONG, "0.034", stop_resting=False), leg(Leg.SHORT))))
PAUSED = desk(instrument(paused=True, why_no_entries=("paused: news",)))
DISABLED = instrument(
    instrument="ETHUSDT-PERP.BINANCE", trading=False, why_no_entries=("enabled = false in the config",)
)
LATCHED = desk(instrument(legs=(leg(Leg.LONG, latched=True), leg(Leg.SHORT))))


@pytest.mark.parametrize(
    ("known", "state", "safe", "enabled"),
    [
        ({}, "TRADING", "yes", True),
        ({"desk": PAUSED}, "HELD", "yes", False),
        ({"desk": LATCHED}, "HELD", "yes", True),
        ({"desk": desk(instrument(trading=False))}, "HELD", "yes", False),
        ({"desk": desk(instrument(), DISABLED)}, "TRADING", "yes", True),
        ({"desk": desk(DISABLED)}, "HELD", "yes", False),
        ({"desk": desk(stopping=True)}, "STOPPING", "yes", False),
        ({"desk": NAKED}, "TRADING", "no", True),
        ({"desk": desk(reconciled=False)}, "TRADING", "unknown", True),
        ({"desk": desk(reconciled_ns=None)}, "TRADING", "unknown", True),
        ({"desk": desk(reconciled_ns=NOW_NS - 61 * 10**9)}, "TRADING", "unknown", True),
        ({"desk": desk(reconciled_ns=NOW_NS - 59 * 10**9)}, "TRADING", "yes", True),
        ({"desk": desk(feeds_down=("rest", "user"))}, "TRADING", "unknown", True),
        ({"desk": desk(feeds_down=("market",))}, "TRADING", "yes", True),
        ({"venue": venue(connected=False)}, "TRADING", "unknown", True),
        ({"venue": venue(failed_in_a_row=1)}, "TRADING", "unknown", True),
        ({"desk": desk(reconciled=False), "boot": boot()}, "STARTING", "unknown", False),
        ({"venue": venue(account=None)}, "TRADING", "unknown", True),
        ({"venue": venue(account_age_s=None)}, "TRADING", "unknown", True),
        ({"venue": venue(account_age_s=15.5)}, "TRADING", "unknown", True),
        ({"venue": venue(account_age_s=14.5)}, "TRADING", "yes", True),
        ({"venue": venue(account_age_s=30.0), "account_poll_s": 20.0}, "TRADING", "yes", True),
        ({"flattens": removing(3)}, "TRIPPED", "not yet", True),
        ({"flattens": removing(11)}, "TRIPPED", "no", True),
        ({"flattens": removing(11, "flat")}, "TRADING", "yes", True),
        ({"kill": kill(KillState.TRIPPED)}, "TRIPPED", "not yet", False),
        ({"kill": kill(KillState.HALTED)}, "HALTED", "yes", False),
        ({"desk": None}, "UNKNOWN", "unknown", None),
        ({"venue": None}, "TRADING", "unknown", True),
        ({"kill": None}, "UNKNOWN", "yes", None),
        ({"flattens": None}, "TRADING", "unknown", True),
    ],
)
def test_state_safe_and_enabled(known: dict[str, Any], state: str, safe: str, enabled: bool | None) -> None:
    situation = facts(**known)
    verdict = judge(situation)
    assert (verdict.state, verdict.safe, trading_enabled(situation)) == (state, safe, enabled)
    assert verdict.why_safe


def test_a_disabled_grid_is_nothing_wrong() -> None:
    assert judge(facts(desk=desk(instrument(), DISABLED))).wrong == ()


def test_wrong_names_what_is_wrong_and_do_a_remedy() -> None:
    verdict = judge(facts(desk=NAKED))
    assert verdict.wrong == ("LONG BTCUSDT: 0.034 without its stop at the venue",)
    assert "hedgegridctl flatten both" in verdict.do
    verdict = judge(facts(desk=PAUSED))
    assert verdict.wrong == ("BTCUSDT: no entries, paused: news",)
    assert verdict.do == ("hedgegridctl resume",)
    assert judge(facts(desk=desk(instrument(throttle=D(0), why_no_entries=("throttle 0",))))).do == (
        "hedgegridctl throttle 1",
    )
    assert judge(facts()).wrong == judge(facts()).do == ()
    assert "by hand" in judge(facts(kill=kill(KillState.HALTED))).wrong[0]
    assert "rearm" in judge(facts(kill=kill(KillState.HALTED))).do[0]
    assert judge(facts(venue=venue(connected=False))).wrong == ("not connected to the venue",)
    assert "waits for REST" in judge(facts(boot=boot())).doing


def test_buckets_refill_forget_and_stay_bounded() -> None:
    now = [0.0]
    buckets = Buckets(60, lambda: now[0], clients_max=3)
    assert [buckets.take("a") for _ in range(61)] == [0] * 60 + [1]
    now[0] = 1.0
    assert (buckets.take("a"), buckets.take("a")) == (0, 1)
    for client in "bcde":
        buckets.take(client)
    assert len(buckets) == 3
    with pytest.raises(ValueError, match="per_minute"):
        Buckets(0, lambda: 0.0)


class Base(Operation, frozen=True, kw_only=True):
    """Help."""

    verb: ClassVar[str] = "one"
    paths: ClassVar[tuple[str, ...]] = ("/one",)

    async def run(self, context: Context) -> Outcome:
        return Outcome({})


class SameVerb(Base, frozen=True, kw_only=True):
    """Help."""

    paths: ClassVar[tuple[str, ...]] = ("/two",)


class SamePath(Base, frozen=True, kw_only=True):
    """Help."""

    verb: ClassVar[str] = "two"


class Switch(Base, frozen=True, kw_only=True):
    """Help."""

    verb: ClassVar[str] = "switch"
    paths: ClassVar[tuple[str, ...]] = ("/switches/{name}",)
    name: str


class SameSwitch(Switch, frozen=True, kw_only=True):
    """Help."""

    verb: ClassVar[str] = "switch2"


class NoHelp(Operation, frozen=True, kw_only=True):
    verb: ClassVar[str] = "none"
    paths: ClassVar[tuple[str, ...]] = ("/none",)


class NoRun(Operation, frozen=True, kw_only=True):
    """Help."""

    verb: ClassVar[str] = "norun"
    paths: ClassVar[tuple[str, ...]] = ("/norun",)


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ((Base, SameVerb), "verb 'one' twice"),
        ((Base, SamePath), "route POST /one twice"),
        ((Switch, SameSwitch), "twice"),
        ((NoRun,), "no run"),
    ],
)
def test_operations_that_clash_fail_when_they_are_registered(
    kinds: tuple[type[Operation], ...], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Registry(kinds)


def test_an_operation_needs_its_help() -> None:
    NoHelp.__doc__ = ""
    with pytest.raises(ValueError, match="no help"):
        Registry((NoHelp,))


def test_a_field_may_stand_in_the_path() -> None:
    registry = Registry((Switch, Base))
    assert registry.route("POST", "/switches/read_only") == (Switch, {"name": "read_only"})
    for method, path, status in [
        ("GET", "/switches/x", 405),
        ("POST", "/switches/", 404),
        ("POST", "/switches/a/b", 404),
    ]:
        with pytest.raises(Problem) as caught:
            registry.route(method, path)
        assert caught.value.status == status


@pytest.mark.parametrize(
    "known",
    [
        {"desk": desk(feeds_down=("rest",), reconciled_ns=NOW_NS)},
        {"venue": venue(account_age_s=20.0)},
        {"venue": venue(failed_in_a_row=1)},
        {"desk": desk(reconciled_ns=NOW_NS - 300 * 10**9)},
        {"venue": venue(connected=False)},
    ],
)
def test_a_venue_that_is_not_read_is_no_reconciled_and_has_something_to_do(known: dict[str, Any]) -> None:
    verdict = judge(facts(**known))
    assert verdict.safe == "unknown"
    assert "reconciled" not in verdict.why_safe
    assert verdict.do
    for way in verdict.do:
        assert "flatten" not in way, "nobody is sent to close what nobody has read"


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        ("113.1394566000000000000000000", "our ledger is 113.14 USDT above the venue's wallet"),
        ("-100113.1394566000", "our ledger is 100,113.14 USDT below the venue's wallet"),
    ],
)
def test_a_difference_of_the_wallets_is_rounded_and_not_safe(residual: str, said: str) -> None:
    ledger = msgspec.structs.replace(desk().ledger, residual_usdt=D(residual))
    verdict = judge(facts(desk=desk(ledger=ledger)))
    assert (verdict.safe, verdict.why_safe) == ("no", said)
    assert said in verdict.wrong
    assert verdict.do[0] == "hedgegridctl reconcile"
    small = msgspec.structs.replace(ledger, residual_usdt=D("0.0099"))
    assert judge(facts(desk=desk(ledger=small))).safe == "yes"


# ----------------------------------------------------------------------------------------------- holds and scoped trips

LONG_LEG = m.Scope(instrument=BTC, leg=Leg.LONG)


def hold(
    action: str = "pause", scope: m.Scope | None = None, key: str = "guard:spread", factor: str = "1"
) -> m.Hold:
    scope = m.Scope() if scope is None else scope
    since = NOW_NS - 250 * 10**9
    return m.Hold(key=key, action=action, scope=scope, factor=D(factor), cause="132 bps", since_ns=since)  # type: ignore[arg-type]


def scoped(
    state: KillState = KillState.HALTED, action: str = "halt", cooldown_s: int = 0
) -> m.KillSwitchAnswer:
    trip = m.Trip(
        trip_id="T-17",
        scope=LONG_LEG,
        action=action,  # type: ignore[arg-type]
        cause="ten losses",
        guard="repeated_execution",
        state=state,
        since_ns=NOW_NS,
        cooldown_s=cooldown_s,
    )
    return m.KillSwitchAnswer(
        to=0,
        state=KillState.ARMED,
        trips=(trip,),
        rearm_from_ns=NOW_NS + cooldown_s * 10**9,
        guards=("margin_ratio is BLOCK: 0.91",) if cooldown_s else (),
    )


@pytest.mark.parametrize(
    ("known", "state", "enabled"),
    [
        ({"desk": desk(holds=(hold(),))}, "HELD", False),
        ({"desk": desk(holds=(hold(scope=m.Scope(instrument=BTC)),))}, "HELD", False),
        ({"desk": desk(holds=(hold(scope=LONG_LEG),))}, "HELD", True),
        ({"desk": desk(holds=(hold("throttle", factor="0.5"),))}, "HELD", True),
        ({"desk": desk(holds=(hold("throttle", factor="0"),))}, "HELD", False),
        ({"desk": desk(holds=(hold("notify"),))}, "TRADING", True),
        ({"desk": desk(silent_sources=("guards",))}, "TRADING", False),
        ({"kill": scoped()}, "HELD", True),
        ({"kill": scoped(KillState.TRIPPED)}, "TRIPPED", True),
    ],
)
def test_holds_and_trips_in_the_state(known: dict[str, Any], state: str, enabled: bool) -> None:
    situation = facts(**known)
    assert (judge(situation).state, trading_enabled(situation)) == (state, enabled)


def test_a_hold_is_told_once_with_its_scope_its_age_and_what_to_do() -> None:
    why = "held by guard:spread: 132 bps"
    verdict = judge(facts(desk=desk(instrument(why_no_entries=(why,)), holds=(hold(),))))
    assert verdict.wrong == ("account: no new entries, by guard:spread, 250 s: 132 bps",)
    assert verdict.do == ("wait: holds clear by themselves",)
    verdict = judge(facts(desk=desk(holds=(hold("throttle", m.Scope(instrument=BTC), factor="0.5"),))))
    assert verdict.wrong == ("BTCUSDT: new entries x 0.5, by guard:spread, 250 s: 132 bps",)


def test_a_venue_that_wants_to_hear_nothing_is_not_asked_by_panic_either() -> None:
    held_back = venue(limited_s=12.4, failed_in_a_row=3)
    told = judge(facts(venue=held_back))
    assert told.why_safe.startswith("the venue asks us to send nothing for 12 s more; account last read ")
    (do,) = told.do
    assert do.startswith("wait 12 s, as the venue asks: ")
    assert do.endswith(" · to get out now: the venue's own app")
    assert "panic" not in " ".join(judge(facts(venue=held_back, flattens=removing(11))).do)
    assert "panic" in " ".join(judge(facts(flattens=removing(11))).do)


def test_a_leg_that_is_flat_and_not_verified_is_not_called_open() -> None:
    done = msgspec.structs.replace(removing(11).flattens[0], residual_qty=D(0), residual_orders=0)
    told = judge(facts(flattens=m.FlattensAnswer(to=0, flattens=(done,))))
    assert told.why_safe == "SHORT BTCUSDT flat, not verified yet after 11 s, attempt 2; still working"


def test_what_only_a_person_can_mend_is_not_waited_for() -> None:
    refused = f"the venue: {NEEDS_YOU}the venue refuses our key"
    assert judge(facts(boot=boot(waits_for=refused))).do == (MEND,)
    assert judge(facts(boot=boot())).do == ("wait",)
    gone = hold(key=ACCOUNT_KEY)
    assert judge(facts(desk=desk(holds=(gone,)))).do == (MEND,)
    assert judge(facts(desk=desk(holds=(gone, hold())))).do == (MEND, "wait: holds clear by themselves")
    assert judge(facts(desk=desk(holds=(hold(key=JOURNAL_KEY),)))).do == (FREE,)
    unread = judge(facts(desk=desk(holds=(gone,)), venue=venue(account_age_s=60.0)))
    assert unread.safe == "unknown"
    assert "panic with another key" in unread.do[0]
    assert unread.do[1:] == (MEND,)
    assert judge(facts(desk=desk(holds=(gone,)), flattens=removing(11))).do[0] == MEND


def test_an_announced_pause_is_nothing_wrong() -> None:
    soon = hold("notify", key="pause:news announced")
    verdict = judge(facts(desk=desk(holds=(soon,))))
    assert verdict.wrong == ()
    assert verdict.doing.endswith("; 132 bps")
    assert judge(facts(desk=desk(holds=(hold("notify"),)))).wrong == (
        "account: noted, by guard:spread, 250 s: 132 bps",
    )


@pytest.mark.parametrize(
    ("kill_answer", "wrong", "do"),
    [
        (
            scoped(),
            "BTCUSDT LONG: halted by T-17 (repeated_execution): ten losses",
            ('hedgegridctl rearm --reason "…"',),
        ),
        (
            scoped(action="flatten", cooldown_s=300),
            "BTCUSDT LONG: flattened and halted by T-17 (repeated_execution): ten losses",
            ("mend first: margin_ratio is BLOCK: 0.91", 'hedgegridctl rearm --reason "…" (from '),
        ),
        (
            scoped(KillState.TRIPPED),
            "BTCUSDT LONG: halt is under way by T-17 (repeated_execution): ten losses",
            ("wait: it goes on until the venue reports nothing", "if it hangs: hedgegridctl panic"),
        ),
    ],
)
def test_a_scoped_trip_is_told_with_the_way_out(
    kill_answer: m.KillSwitchAnswer, wrong: str, do: tuple[str, ...]
) -> None:
    why = "LONG halted by T-17: ten losses; rearm to trade it again"
    verdict = judge(facts(desk=desk(instrument(why_no_entries=(why,))), kill=kill_answer))
    assert verdict.wrong == (wrong,)
    assert all(text.startswith(start) for text, start in zip(verdict.do, do, strict=True))


def test_resume_is_not_offered_for_what_a_trip_has_latched() -> None:
    latched = desk(instrument(legs=(leg(Leg.LONG, latched=True, trip_id="T-17"), leg(Leg.SHORT))))
    assert "hedgegridctl resume" not in judge(facts(desk=latched, kill=scoped())).do
    assert "hedgegridctl resume" in judge(facts(desk=LATCHED)).do


def test_a_part_that_broke_is_wrong() -> None:
    assert judge(facts(troubles=("control broke",))).wrong == ("control broke",)


def test_a_stop_says_its_stage() -> None:
    stopping = m.BootAnswer(
        to=0,
        ready=False,
        stage="books",
        number=4,
        of=4,
        waits_for="books, at most 5 s",
        since_ns=1,
        stopping=True,
    )
    assert judge(facts(boot=stopping)).doing == "stopping, stage 4 of 4: books, at most 5 s"


@pytest.mark.parametrize(
    ("enabled", "state", "why", "said"),
    [
        (True, "armed", (), ()),
        (True, "arming", (), ()),
        (
            True,
            "withdrawn",
            ("the user stream is lost",),
            ("the dead-man switch is withdrawn: the user stream is lost",),
        ),
        (
            True,
            "arming",
            ("it cannot be armed: no",),
            ("the dead-man switch is arming: it cannot be armed: no",),
        ),
        (False, "off", ("old",), ()),
    ],
)
def test_a_dead_man_switch_that_is_not_armed_is_wrong(enabled, state, why, said) -> None:
    known = FakeBus().table[m.GetDeadMan]
    changed = msgspec.structs.replace(known, enabled=enabled, state=state, why=why)
    assert judge(facts(dead_man=changed)).wrong == said


def test_status_tells_what_the_dead_man_switch_would_strip() -> None:
    view = desk(instrument(legs=(leg(Leg.LONG, "0.034"), leg(Leg.SHORT))))
    told = dead_man.facts(FakeBus().table[m.GetDeadMan], view, NOW_NS)
    assert (told["state"], told["left_s"], told["age_s"]) == ("armed", 54.0, 6.0)
    (line,) = told["instruments"][0]["naked"]
    assert line.startswith("LONG 0.034: loses take-profits of 0.034; its stop at")
    assert "unless the venue counts conditional orders in" in line
    assert dead_man.facts(None, view, NOW_NS) is None

"""Planned pauses: when they are, what they hold and announce, and that a process that starts inside one holds at once."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.config import Pause
from hedgegridd.config_load import load_text
from hedgegridd.core.check import find_problems
from hedgegridd.core.pauses import Pauses
from hedgegridd.core.schedule import MINUTE_NS, next_ns, opened_ns
from hedgegridd.errors import ConfigError
from hedgegridd.model import LEGS

BTC = "BTCUSDT-PERP.BINANCE"
NAMES = {"BTCUSDT-PERP": BTC}
BERLIN = ZoneInfo("Europe/Berlin")
UP = m.StageReached(stage="venue")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def pause(**fields) -> Pause:
    return Pause(**({"name": "news", "cron": "30 14 * * *", "duration_min": 60} | fields))


class Clock:
    """Feeds the machine at wall times; keeps the timer that it asked for."""

    def __init__(self, *pauses: Pause, zone=UTC) -> None:
        self.machine = Pauses(pauses, zone, NAMES)
        self.wake_ns: int | None = None

    def __call__(self, text: str, message: m.Message = UP) -> list[m.Message]:
        time_ns = at(text)
        out = self.machine.handle(
            m.Envelope(seq=1, time_ns=time_ns, mono_ns=7 * 10**9, cause=0, actor="test", message=message)
        )
        wakes = [x for x in out if isinstance(x, m.WakeAt)]
        self.wake_ns = wakes[0].at_ns - 7 * 10**9 + time_ns if wakes else None
        return [x for x in out if not isinstance(x, m.WakeAt)]


def keys(out: list[m.Message]) -> list[tuple[str, str]]:
    (changed,) = [x for x in out if isinstance(x, m.HoldsChanged)]
    assert changed.source == "pauses"
    return [(hold.key, hold.action) for hold in changed.holds]


# ------------------------------------------------------------------------------------------------------ the machine


def test_announced_held_and_over():
    clock = Clock(pause())
    assert keys(clock("2026-03-02T12:00Z")) == [], "it says at once that nothing holds"
    assert clock("2026-03-02T14:14:59Z", m.Woke(token="pauses")) == []
    assert clock.wake_ns == at("2026-03-02T14:15Z"), "woken when the announcement is due"
    assert keys(clock("2026-03-02T14:15Z")) == [("pause:news announced", "notify")]
    assert clock("2026-03-02T14:29:59Z") == []
    assert clock.wake_ns == at("2026-03-02T14:30Z")
    (changed,) = clock("2026-03-02T14:30Z")
    assert changed.holds == (
        m.Hold(
            key="pause:news",
            action="pause",
            cause="planned pause news until 2026-03-02 15:30 UTC",
            since_ns=at("2026-03-02T14:30Z"),
        ),
    )
    assert clock("2026-03-02T15:29:59Z") == []
    assert clock.wake_ns == at("2026-03-02T15:30Z")
    assert keys(clock("2026-03-02T15:30Z")) == []


def test_it_looks_every_half_minute_as_clocks_may_be_set():
    clock = Clock(pause())
    clock("2026-03-02T00:00Z")
    assert clock.wake_ns == at("2026-03-02T00:00:30Z")
    assert keys(clock("2026-03-02T14:31Z", m.Woke(token="pauses"))) == [("pause:news", "pause")]
    assert keys(clock("2026-03-02T13:00Z", m.Woke(token="pauses"))) == []


def test_without_pauses_it_says_so_once_and_sleeps():
    clock = Clock()
    assert keys(clock("2026-03-02T14:31Z")) == []
    assert clock.wake_ns is None
    assert clock("2026-03-02T14:32Z") == []


@pytest.mark.parametrize("text", ["2026-03-02T14:30Z", "2026-03-02T14:31Z", "2026-03-02T15:29:59Z"])
def test_a_process_that_starts_inside_a_window_holds_at_once(text):
    assert keys(Clock(pause())(text)) == [("pause:news", "pause")]


def test_of_instruments_it_holds_those_alone():
    (changed,) = Clock(pause(instruments=("BTCUSDT-PERP",)))("2026-03-02T14:30Z")
    (hold,) = changed.holds
    assert (hold.key, hold.scope) == ("pause:news BTCUSDT-PERP", m.Scope(instrument=BTC))


def test_it_flattens_once_a_window_when_the_venue_is_up():
    clock = Clock(pause(flatten=True))
    assert not [x for x in clock("2026-03-02T14:31Z") if isinstance(x, m.Flatten)]
    (flatten,) = clock("2026-03-02T14:32Z", m.VenueUp())
    assert (flatten.legs, flatten.instrument, flatten.origin) == (LEGS, None, "pause:news")
    assert clock("2026-03-02T14:33Z", m.Woke(token="pauses")) == []
    clock("2026-03-02T15:31Z", m.Woke(token="pauses"))
    begun = clock("2026-03-03T14:30Z", m.Woke(token="pauses"))
    assert [type(x) for x in begun] == [m.HoldsChanged, m.Flatten], "the hold goes out before the flatten"


def test_without_flatten_it_closes_nothing():
    clock = Clock(pause())
    clock("2026-03-02T14:31Z")
    assert clock("2026-03-02T14:32Z", m.VenueUp()) == []


def test_several_stand_beside_each_other():
    clock = Clock(
        pause(), pause(name="upkeep", cron=None, at="2026-03-02T15:00Z", duration_min=60, announce_min=0)
    )
    assert keys(clock("2026-03-02T14:59Z")) == [("pause:news", "pause")]
    assert keys(clock("2026-03-02T15:00Z")) == [("pause:news", "pause"), ("pause:upkeep", "pause")]
    assert keys(clock("2026-03-02T15:30Z")) == [("pause:upkeep", "pause")]
    assert keys(clock("2026-03-02T16:00Z")) == []


def test_an_unknown_message_is_a_fault():
    with pytest.raises(TypeError, match="no row for Stopping"):
        Clock()("2026-03-02T14:31Z", m.Stopping(reason="x"))


# ------------------------------------------------------------------------------------------------------ the schedule


@pytest.mark.parametrize(
    ("now", "opened", "then"),
    [
        # Clocks go forward at 02:00: 02:30 is not there, it fires at 03:00 CEST.
        ("2026-03-29T00:59Z", None, "2026-03-29T01:00Z"),
        ("2026-03-29T01:59Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"),
        # Clocks go back at 03:00: 02:30 comes twice, the first one counts, and it lasts its hour.
        ("2026-10-25T00:29Z", None, "2026-10-25T00:30Z"),
        ("2026-10-25T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("2026-10-25T01:00Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("2026-10-25T01:29Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("2026-10-25T01:30Z", None, "2026-10-26T01:30Z"),
    ],
)
def test_nights_when_clocks_are_changed(now, opened, then):
    nightly = pause(cron="30 2 * * *")
    assert opened_ns(nightly, BERLIN, at(now)) == (None if opened is None else at(opened))
    assert next_ns(nightly, BERLIN, at(now)) == at(then)


def test_a_single_time_is_of_the_zone_unless_it_says_its_own():
    local = pause(cron=None, at="2026-07-01T14:00")
    assert next_ns(local, BERLIN, at("2026-07-01T00:00Z")) == at("2026-07-01T12:00Z")
    own = pause(cron=None, at="2026-07-01T14:00+00:00")
    assert next_ns(own, BERLIN, at("2026-07-01T00:00Z")) == at("2026-07-01T14:00Z")
    assert opened_ns(own, BERLIN, at("2026-07-01T14:59:59Z")) == at("2026-07-01T14:00Z")
    assert opened_ns(own, BERLIN, at("2026-07-01T15:00Z")) is None
    assert next_ns(own, BERLIN, at("2026-07-01T14:00Z")) is None


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    duration=st.integers(1, 3000),
    now=st.integers(at("2026-01-01T00:00Z") // 10**9, at("2027-01-01T00:00Z") // 10**9),
)
def test_what_is_next_opens_and_lasts_as_long_as_it_says(minute, hour, duration, now):
    daily = pause(cron=f"{minute} {hour} * * *", duration_min=duration)
    begin = next_ns(daily, BERLIN, now * 10**9)
    assert begin is not None
    assert now * 10**9 < begin <= now * 10**9 + 25 * 60 * MINUTE_NS
    assert opened_ns(daily, BERLIN, begin) == begin
    last = begin + duration * MINUTE_NS - 1
    assert opened_ns(daily, BERLIN, last) is not None
    before = opened_ns(daily, BERLIN, begin - 1)
    assert before is None or begin - 1 < before + duration * MINUTE_NS


# --------------------------------------------------------------------------------------------------------- the config

GRID = '[[grid]]\ninstrument = "BTCUSDT-PERP"\n'


def problems(table: str) -> list[tuple[str, str]]:
    config = load_text(f"{GRID}\n[[pause]]\n{table}", "x.toml")
    return [
        (str(p.path[-1]), f"{p.text} {p.note}")
        for p in find_problems(config)
        if p.path[0] == "pause" and p.severity == "error"
    ]


def test_a_sound_table_has_no_problems():
    assert (
        problems(
            'name = "news"\ncron = "30 14 * * FRI"\nduration_min = 90\ninstruments = ["BTCUSDT-PERP"]\nflatten = true'
        )
        == []
    )


@pytest.mark.parametrize(
    ("table", "field", "says"),
    [
        ('name = "a b"\ncron = "* * * * *"\nduration_min = 1', "name", "a name of its own"),
        ('name = "a"\nduration_min = 1', "name", "`cron` or `at`"),
        ('name = "a"\ncron = "* * * * *"\nat = "2026-01-01"\nduration_min = 1', "at", "`cron` or `at`"),
        ('name = "a"\ncron = "61 * * * *"\nduration_min = 1', "cron", "Bad minute"),
        ('name = "a"\ncron = "* * * *"\nduration_min = 1', "cron", "five fields"),
        ('name = "a"\ncron = "0 0 30 2 *"\nduration_min = 1', "cron", "Bad day-of-month"),
        ('name = "a"\nat = "tomorrow"\nduration_min = 1', "at", "no time"),
        (
            'name = "a"\ncron = "* * * * *"\nduration_min = 1\ninstruments = ["ETHUSDT-PERP"]',
            "instruments",
            "no [[grid]]",
        ),
    ],
)
def test_what_is_wrong_is_named(table, field, says):
    ((found, text),) = problems(table)
    assert found == field
    assert says in text


def test_bounds_and_missing_fields():
    for table in ('name = "a"\ncron = "* * * * *"', 'name = "a"\ncron = "* * * * *"\nduration_min = 0'):
        with pytest.raises(ConfigError, match="duration_min"):
            problems(table)

"""Which events are alerts: one table of events and what they find; every kind that the rules hear stands in it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.alerts.found import Clear, Raise
from hedgegridd.alerts.rules import Rules
from hedgegridd.model import KillState, Leg
from tests.support.envelopes import Feeder

BTC = "BTCUSDT-PERP.BINANCE"
ACCOUNT, LEG = m.Scope(), m.Scope(instrument=BTC, leg=Leg.LONG)
READY = m.StageChanged(stage="ready", number=9, of=9)


def verdict(level: str, guard: str = "spread_depth", **kw: Any) -> m.GuardVerdict:
    fields = {
        "value": Decimal(132),
        "limit": Decimal(100),
        "unit": "bps",
        "message": "spread 132 bps, limit 100 bps",
    } | kw
    return m.GuardVerdict(guard=guard, level=level, scope=m.Scope(instrument=BTC), **fields)  # type: ignore[arg-type]


def trip(state: KillState = KillState.TRIPPED) -> m.Trip:
    return m.Trip(trip_id="T-9", scope=LEG, action="halt", cause="ADL", state=state, since_ns=1)


def hold(action: str = "pause") -> m.Hold:
    return m.Hold(key="journal", action=action, cause="no space left", since_ns=1)  # type: ignore[arg-type]


def state(now: KillState, was: KillState) -> m.KillStateChanged:
    return m.KillStateChanged(state=now, previous=was, trip_id="T-1", cause="drawdown 5.24 %", since_ns=1)


K = KillState
# events in order; what the last of them finds: severity ("over" for a Clear), kind or key, words that must be in it
TABLE: dict[str, tuple[list[m.Event], list[tuple[str, str, str]]]] = {
    "start": ([READY], [("INFO", "start", "STARTED")]),
    "a stage on the way": ([m.StageChanged(stage="venue", number=3, of=9)], []),
    "started once": ([READY, READY], []),
    "stop": ([m.Stopping(reason="SIGTERM")], [("INFO", "stop", "STOPPING")]),
    "stopped": (
        [m.Stopped(reason="SIGTERM", confirmed={"entries_gone": True})],
        [("INFO", "stop", "entries gone")],
    ),
    "stopped unconfirmed": (
        [m.Stopped(reason="SIGTERM", confirmed={"entries_gone": False})],
        [("CRITICAL", "stop", "NOT CONFIRMED")],
    ),
    "trip": ([state(K.TRIPPED, K.ARMED)], [("CRITICAL", "trip", "drawdown 5.24 %")]),
    "halted": ([state(K.HALTED, K.TRIPPED)], [("INFO", "halted", "HALTED, VERIFIED")]),
    "halted since before": ([state(K.HALTED, K.HALTED)], [("CRITICAL", "halted", "STILL HALTED")]),
    "rearm failed": ([state(K.HALTED, K.REARMING)], [("WARNING", "rearm", "REARM FAILED")]),
    "rearming": ([state(K.REARMING, K.HALTED)], []),
    "rearm": ([state(K.ARMED, K.REARMING)], [("over", "kill", "REARMED")]),
    "armed at start": ([state(K.ARMED, K.STARTING)], []),
    "a leg trips": ([m.TripsChanged(trips=(trip(),))], [("CRITICAL", "trip", "TRIPPED LONG BTCUSDT")]),
    "a leg is halted": (
        [m.TripsChanged(trips=(trip(),)), m.TripsChanged(trips=(trip(K.HALTED),))],
        [("INFO", "halted", "HALTED, VERIFIED LONG BTCUSDT")],
    ),
    "a leg is rearmed": (
        [m.TripsChanged(trips=(trip(),)), m.TripsChanged(trips=())],
        [("over", "trip:T-9", "REARMED LONG BTCUSDT")],
    ),
    "flatten": (
        [m.LegsLatched(instrument=BTC, legs=(Leg.LONG, Leg.SHORT), flatten_id="F-1")],
        [("WARNING", "flatten", "LONG and SHORT, asked by an operator")],
    ),
    "flat verified": (
        [
            m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id="F-1", origin="T-1"),
            m.LegFlat(flatten_id="F-1", instrument=BTC, leg=Leg.LONG, proof=("venue 0, 0 orders",)),
        ],
        [("over", f"notflat:{BTC}:LONG", "FLAT AT LAST"), ("INFO", "flat", "venue 0, 0 orders")],
    ),
    "flatten finished": (
        [m.FlattenFinished(flatten_id="F-1", after_s=Decimal(2))],
        [("over", "flatten:F-1:", "FLATTENED")],
    ),
    "guard warns": (
        [m.GuardChanged(verdict=verdict("WARN"), previous="OK")],
        [("WARNING", "guard", "spread 132 bps")],
    ),
    "guard holds": (
        [m.GuardChanged(verdict=verdict("CRITICAL"), previous="WARN", did="pause")],
        [("WARNING", "guard", "pause")],
    ),
    "guard blocks": (
        [m.GuardChanged(verdict=verdict("BLOCK", value=None, message=""), previous="OK")],
        [("CRITICAL", "guard", "missing")],
    ),
    "guard is well": (
        [m.GuardChanged(verdict=verdict("OK"), previous="WARN")],
        [("over", "guard:spread_depth:BTCUSDT", "GUARD OK")],
    ),
    "stop missing": (
        [m.GuardChanged(verdict=verdict("CRITICAL", "stop_missing"), previous="OK", did="restop")],
        [("CRITICAL", "guard", "stop_missing")],
    ),
    "stop repaired": (
        [m.GuardChanged(verdict=verdict("OK", "stop_missing"), previous="CRITICAL")],
        [("over", "guard:stop_missing:BTCUSDT", "STOP REPAIRED BTCUSDT")],
    ),
    "start-up's own hold": ([m.GuardChanged(verdict=verdict("BLOCK", "baseline"), previous="OK")], []),
    "disk": (
        [m.HoldsChanged(source="journal", holds=(hold(),))],
        [("CRITICAL", "disk", "no space left")],
    ),
    "disk is well": ([m.HoldsChanged(source="journal", holds=())], [("over", "hold:journal", "DISK TAKES")]),
    "planned pause": (
        [m.HoldsChanged(source="pauses", holds=(hold(),))],
        [("WARNING", "hold", "HELD BY pauses")],
    ),
    "a note": ([m.HoldsChanged(source="pauses", holds=(hold("notify"),))], [("INFO", "hold", "noted")]),
    "holds of guards": ([m.HoldsChanged(source="guards", holds=(hold(),))], []),
    "journal late": (
        [m.JournalLate(action_id="F-1", detail="100 ms")],
        [("CRITICAL", "disk", "F-1: 100 ms")],
    ),
    "feed lost": (
        [m.FeedChanged(channel="user", up=False, detail="its socket is closed")],
        [("WARNING", "feed", "its socket is closed")],
    ),
    "reconnect": (
        [m.FeedChanged(channel="user", up=False), m.FeedChanged(channel="user", up=True)],
        [("over", "feed:user", "RECONNECTED user")],
    ),
    "mismatch": (
        [m.Reconciled(ok=False, cause="periodic", differences=("LONG 0.1 here, 0.2 there",) * 9)],
        [("WARNING", "mismatch", "4 more")],
    ),
    "books agree": ([m.Reconciled(ok=True, cause="periodic")], [("over", "mismatch", "BOOKS AGREE")]),
    "liquidation": (
        [m.VenueAction(kind="LIQUIDATION", instrument=BTC, leg=Leg.SHORT, detail="0.1 at 70000")],
        [("CRITICAL", "venue_action", "SHORT 0.1 at 70000")],
    ),
    "filters": ([m.VenueAction(kind="FILTERS", instrument=BTC)], [("WARNING", "venue_action", "FILTERS")]),
    "auth": (
        [m.AuthFailed(address="10.0.0.9", what="key", count=3, limited=True)],
        [("WARNING", "auth", "a wrong key from 10.0.0.9, 3 in all")],
    ),
    "a part broke": (
        [m.PartBroke(part="recent", action="restart", error="KeyError('x')")],
        [("WARNING", "fault", "it is being restarted")],
    ),
    "the daemon broke": (
        [m.PartBroke(part="desk", action="stop", error="KeyError('x')")],
        [("CRITICAL", "fault", "the daemon stops")],
    ),
    "channel fails": (
        [m.ChannelChanged(channel="slack", up=False, detail="HTTP 500")],
        [("WARNING", "channel", "HTTP 500")],
    ),
    "channel works": (
        [m.ChannelChanged(channel="slack", up=True)],
        [("over", "channel:slack", "WORKS AGAIN")],
    ),
    "health": (
        [READY, m.HealthChanged(state=1, previous=0, reasons=("no entries",))],
        [("WARNING", "health", "no entries")],
    ),
    "health, a part is silent": (
        [READY, m.HealthChanged(state=2, previous=0, reasons=("GetStatus got no answer",), flaps={"OK": 3})],
        [("CRITICAL", "health", "came and went: OK 3 x")],
    ),
    "health, after a trip": (
        [READY, m.HealthChanged(state=2, previous=0, reasons=("kill switch HALTED: x",))],
        [("WARNING", "health", "kill switch HALTED")],
    ),
    "health while starting": ([m.HealthChanged(state=1, previous=0)], []),
    "health is well": ([m.HealthChanged(state=0, previous=1)], [("over", "health", "HEALTH OK")]),
    "dead man fails": (
        [m.DeadManChanged(instrument=BTC, armed=False, detail="no answer")],
        [("WARNING", "dead_man", "no answer")],
    ),
    "dead man renewed": (
        [m.DeadManChanged(instrument=BTC, armed=True, until_ns=1)],
        [("over", f"dead_man:{BTC}", "DEAD-MAN RENEWED BTCUSDT")],
    ),
    "dead man disarmed": ([m.DeadManChanged(instrument=BTC, armed=False)], []),
    "reload": (
        [m.ConfigReloaded(config=msgspec.Raw(b"{}"))],
        [("INFO", "reload", "RELOADED")],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_an_event_finds(name: str) -> None:
    events, expected = TABLE[name]
    rules = Rules()
    feeder = Feeder(rules)
    for event in events[:-1]:
        rules.judge(feeder.envelope(event))
    found = rules.judge(feeder.envelope(events[-1]))
    assert len(found) == len(expected), found
    for finding, (severity, name_, words) in zip(found, expected, strict=True):
        if severity == "over":
            assert isinstance(finding, Clear)
            assert finding.key == name_
            assert words in f"{finding.title} {finding.what}"
        else:
            assert isinstance(finding, Raise)
            assert (finding.severity, finding.kind) == (severity, name_)
            assert words in f"{finding.title} {finding.what} {finding.did}"


def test_every_event_that_the_rules_hear_is_in_the_table() -> None:
    assert {type(event) for events, _ in TABLE.values() for event in events} == set(Rules().events)


def anchors() -> set[str]:
    text = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text()
    heads = [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]
    kept = ("".join(char for char in head.lower() if char.isalnum() or char in " -") for head in heads)
    return {head.replace(" ", "-") for head in kept}


def test_every_alert_leads_to_a_section_of_the_runbook_that_is_there() -> None:
    from hedgegridd.alerts import rules as module

    known = anchors()
    sections = {*module.GUARD_SECTIONS.values(), *module.FEED_SECTIONS.values()}
    for events, _ in TABLE.values():
        rules = Rules()
        feeder = Feeder(rules)
        for event in events:
            sections |= {x.section for x in rules.judge(feeder.envelope(event)) if isinstance(x, Raise)}
    assert sections - {""} <= known


def test_a_wide_storm_of_flattens_is_remembered_within_bounds() -> None:
    from hedgegridd.alerts import rules as module

    rules = Rules()
    feeder = Feeder(rules)
    for number in range(module.RUNNING_MAX + 500):
        rules.judge(
            feeder.envelope(m.LegsLatched(instrument=BTC, legs=(Leg.LONG,), flatten_id=f"F-{number}"))
        )
    assert len(rules._flattens) == module.RUNNING_MAX

"""Switches: what each holds, what is told, what survives, and that nothing changes on a name that is none."""

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.core.switches import SOURCE, Switches

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
SEQ = 7


def env(message: m.Message, at_ns: int = 1_000) -> m.Envelope:
    return m.Envelope(seq=SEQ, time_ns=at_ns, mono_ns=1, cause=0, actor="me", message=message)


def machine() -> Switches:
    return Switches("binance_usdm", (BTC, ETH))


def throw(switches: Switches, name: str, enabled: bool) -> list[m.Message]:
    return switches.handle(env(m.SetSwitch(name=name, enabled=enabled, reason="odd", by="ann")))


@pytest.mark.parametrize(
    ("name", "enabled", "scope"),
    [
        ("disable_entries", True, m.Scope()),
        ("disable_live_data", True, m.Scope()),
        ("venue.binance_usdm", False, m.Scope()),
        ("transport.ws", False, m.Scope()),
        ("transport.rest", False, m.Scope()),
        ("instrument.ETHUSDT-PERP", False, m.Scope(instrument=ETH)),
    ],
)
def test_out_of_its_place_it_holds_entries_and_back_in_it_no_more(
    name: str, enabled: bool, scope: m.Scope
) -> None:
    switches = machine()
    changed, done = throw(switches, name, enabled)
    assert isinstance(changed, m.HoldsChanged)
    (hold,) = changed.holds
    assert (changed.source, hold.action, hold.scope, hold.since_ns) == (SOURCE, "pause", scope, 1_000)
    assert "ann" in hold.cause
    assert "odd" in hold.cause
    assert done == m.Done(to=SEQ, detail={"name": name, "old": not enabled, "new": enabled})
    again = throw(switches, name, enabled)
    assert [type(each) for each in again] == [m.Done]  # what holds has been told
    changed, _ = throw(switches, name, not enabled)
    assert changed == m.HoldsChanged(source=SOURCE, holds=())


def test_read_only_holds_nothing_and_says_why() -> None:
    switches = machine()
    switches.handle(env(m.StageReached(stage="machines")))
    assert switches.read_only == ""
    assert [type(each) for each in throw(switches, "read_only", True)] == [m.Done]
    assert switches.read_only == "switch read_only is on by ann: odd"
    throw(switches, "read_only", False)
    assert switches.read_only == ""


def test_a_name_that_is_none_changes_nothing() -> None:
    switches = machine()
    before = switches.snapshot()
    (refused,) = throw(switches, "instrument.XRPUSDT-PERP", False)
    assert isinstance(refused, m.Refused)
    assert "instrument.BTCUSDT-PERP" in refused.accepted
    assert switches.snapshot() == before


def test_a_new_process_says_what_holds_whether_something_does_or_not() -> None:
    fresh = machine()
    assert fresh.handle(env(m.StageReached(stage="machines"))) == [m.HoldsChanged(source=SOURCE, holds=())]
    assert fresh.handle(env(m.VenueUp(weight_per_minute=1))) == []
    throw(fresh, "disable_entries", True)
    kept = fresh.snapshot()
    after = machine()
    after.restore(kept)
    after.new_session()
    (told,) = after.handle(env(m.StageReached(stage="machines")))
    assert isinstance(told, m.HoldsChanged)
    assert [hold.key for hold in told.holds] == ["switch:disable_entries"]
    assert after.views() == fresh.views()


def test_a_switch_of_an_instrument_that_is_gone_is_forgotten() -> None:
    switches = machine()
    throw(switches, "instrument.ETHUSDT-PERP", False)
    without = Switches("binance_usdm", (BTC,))
    without.restore(switches.snapshot())
    assert without.handle(env(m.StageReached(stage="machines"))) == [m.HoldsChanged(source=SOURCE, holds=())]


def test_every_switch_is_listed_once_and_reads_back() -> None:
    answer = machine().handle(env(m.GetSwitches()))[0]
    assert isinstance(answer, m.SwitchesAnswer)
    names = [each.name for each in answer.switches]
    assert len(names) == len(set(names)) == 3 + 1 + 2 + 2
    assert msgspec.json.decode(msgspec.json.encode(answer), type=m.SwitchesAnswer) == answer

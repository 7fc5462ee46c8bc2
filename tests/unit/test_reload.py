"""Reload: what counts at once, what waits for a restart, what a wrong file changes (nothing)."""

import argparse
from decimal import Decimal as D  # noqa: N817  # many literals
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid, Key, Pretrade
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.operation import Caller, Problem, Role
from hedgegridd.core.desk import Desk
from hedgegridd.core.reloaded import carried, config_in
from hedgegridd.errors import ConfigError
from hedgegridd.operations import REGISTRY
from hedgegridd.reload import plan, read_again
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import settings
from hedgegridd.run import _read_again
from hedgegridd.state import Machines
from tests.unit.control_fakes import FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, headers, served

ADMIN = Caller(actor="me", role=Role.ADMIN, client="key:me")
BASE = Config(grid=(Grid(),), pretrade=Pretrade(max_order_notional_usdt=D(1000)))
replace = msgspec.structs.replace


def env(message: m.Message) -> m.Envelope:
    return m.Envelope(seq=3, time_ns=5, mono_ns=5, cause=0, actor="me", message=message)


def risk(config: Config = BASE) -> RiskMachine:
    return RiskMachine(settings(config), [], lambda raw: settings(config_in(raw)))


@pytest.mark.parametrize(
    ("change", "applied", "left"),
    [
        ({}, (), ()),
        ({"pretrade": Pretrade(max_order_notional_usdt=D(5))}, ("pretrade.max_order_notional_usdt",), ()),
        ({"preset": "conservative"}, ("preset",), ()),
        ({"guard": ({"type": "leverage", "enabled": False},)}, ("guard",), ()),
        ({"control": replace(BASE.control, writes_per_min=7)}, ("control.writes_per_min",), ()),
        ({"control": replace(BASE.control, http_port=1)}, (), ("control.http_port",)),
        ({"daemon": replace(BASE.daemon, timezone="Europe/Berlin")}, (), ("daemon.timezone",)),
        ({"grid": (Grid(step_bps=D(60)),)}, (), ("grid",)),
    ],
)
def test_what_counts_at_once_and_what_waits(
    change: dict[str, Any], applied: tuple[str, ...], left: tuple[str, ...]
) -> None:
    read = replace(BASE, **change)
    found = plan(BASE, read, risk())
    assert (found.applied, found.needs_restart) == (applied, left)
    assert (found.config == read) is (not left)
    if not applied:
        assert found.config == BASE


def test_a_guard_that_nobody_listens_for_waits_for_a_restart() -> None:
    off = tuple({"type": name, "enabled": False} for name in ("loop_lag",))
    before = replace(BASE, guard=off)
    found = plan(before, BASE, risk(before))
    assert m.LoopLagged not in risk(before).inputs
    assert (found.applied, found.needs_restart) == ((), ("guard",))


def test_the_desk_applies_the_limits_until_it_is_started_anew() -> None:
    desk = Desk(BASE, "t1")
    tight = replace(BASE, pretrade=Pretrade(max_order_notional_usdt=D("1.5")))
    desk.handle(env(m.ConfigReloaded(config=carried(tight))))
    assert desk._ctx.limits.max_order_notional_usdt == D("1.5")
    desk.new_session()  # a new process has read the file itself
    assert desk._ctx.limits.max_order_notional_usdt == D(1000)


def test_the_guards_are_those_of_the_file_and_state_of_the_others_goes_on() -> None:
    machine = risk()
    machine.handle(env(m.LoopLagged(lag_ms=D(1))))
    before = set(machine.snapshot().scopes)
    without = replace(BASE, guard=({"type": "loop_lag", "enabled": False},))
    machine.handle(env(m.ConfigReloaded(config=carried(without))))
    answer = machine.handle(env(m.GetGuards()))[0]
    assert isinstance(answer, m.GuardsAnswer)
    assert "loop_lag" in answer.off
    assert set(machine.snapshot().scopes) == before - {"loop_lag"}
    machine.new_session()
    answer = machine.handle(env(m.GetGuards()))[0]
    assert isinstance(answer, m.GuardsAnswer)
    assert "loop_lag" not in answer.off


def test_the_machines_of_a_daemon_take_it() -> None:
    machines = Machines.of(BASE, "t1")
    message = m.ConfigReloaded(config=carried(replace(BASE, preset="conservative")))
    again = msgspec.json.decode(msgspec.json.encode(message), type=m.ConfigReloaded)
    assert again.config == message.config  # as the journal gives it back
    for name in ("desk", "risk"):
        machines.by_name[name].handle(env(again))


async def test_a_wrong_file_is_said_and_changes_nothing() -> None:
    def reload(_actor: str) -> dict[str, object]:
        raise ConfigError("error: unknown key `stepbps`")

    bus = FakeBus()
    with pytest.raises(Problem) as caught:
        await dispatcher(bus, reload=reload).run_json(REGISTRY.verbs["reload"], b"", ADMIN)
    assert caught.value.status == 422
    assert "stepbps" in caught.value.detail
    with pytest.raises(Problem, match="503"):
        await dispatcher(bus, reload=None).run_json(REGISTRY.verbs["reload"], b"", ADMIN)


def test_without_a_file_there_is_nothing_to_read() -> None:
    with pytest.raises(ConfigError, match="without a config file"):
        read_again(None)

    def gone() -> Config:
        raise FileNotFoundError("gone.toml")

    with pytest.raises(ConfigError, match="cannot be read"):
        read_again(gone)


def test_the_file_is_read_with_the_flags_of_the_start(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    args = argparse.Namespace(
        config=path, api_port=1234, prometheus_port=None, log_level=None, api_key_file=None
    )
    example = (Path(__file__).parents[2] / "etc" / "hedgegridd.toml").read_text()
    path.write_text(example)
    assert _read_again(args).control.http_port == 1234
    path.write_text(example.replace("writes_per_min = 30", "writes_per_min = 0"))
    with pytest.raises(ConfigError, match="writes_per_min"):
        _read_again(args)


async def test_keys_of_a_reload_count_at_once_and_those_taken_out_no_more() -> None:
    async with served(FakeBus()) as (session, server):
        new = Key(name="ann", role="viewer", sha256=fingerprint("hgd_new"))
        server.use(replace(CONFIG, keys=(new,)))
        for key, status in (("hgd_new", 200), ("hgd_o", 401)):
            async with session.get("/status", headers={"X-API-Key": key}) as response:
                assert response.status == status
        broken = replace(CONFIG, keys=(Key(name="x", role="viewer", sha256="12"),))
        with pytest.raises(ValueError, match="64 hex digits"):
            server.use(broken)
        async with session.get("/status", headers={"X-API-Key": "hgd_new"}) as response:
            assert response.status == 200
        async with session.get("/status", headers=headers("operator")) as response:
            assert response.status == 401


def test_a_quota_that_the_gateway_keeps_waits_for_a_restart() -> None:
    read = replace(BASE, guard=({"type": "call_quota", "per_10s": 3},))
    assert plan(BASE, read, risk()).needs_restart == ("guard",)


def test_a_snapshot_amid_the_life_has_what_was_reloaded() -> None:
    """The records after it were made by the guards and limits of then, whatever the file said at the start."""
    off = tuple({"type": name, "enabled": False} for name in ("loop_lag", "leverage"))
    tight = replace(BASE, guard=off, pretrade=Pretrade(max_order_notional_usdt=D("1.5")))
    before, after = Machines.of(BASE, "t1"), Machines.of(BASE, "t1")
    for name in ("desk", "risk"):
        before.by_name[name].handle(env(m.ConfigReloaded(config=carried(tight))))
    after.load(before.snapshot())
    assert after.snapshot() == before.snapshot()
    answers = [each.risk.handle(env(m.GetGuards()))[0] for each in (before, after)]
    assert answers[0].off == answers[1].off
    assert set(answers[1].off) >= {"loop_lag", "leverage"}
    assert after.desk._ctx.limits.max_order_notional_usdt == D("1.5")
    lagged = env(m.LoopLagged(lag_ms=D(9_000)))
    for each in (before, after):
        each.risk.handle(lagged)
        assert "loop_lag" not in each.risk.snapshot().scopes
    after.load(Machines.of(BASE, "t1").snapshot())
    assert after.desk._ctx.limits.max_order_notional_usdt == D(1000)
    assert "loop_lag" not in after.risk.handle(env(m.GetGuards()))[0].off


def test_what_was_reloaded_is_forgotten_by_the_next_process() -> None:
    machines = Machines.of(BASE, "t1")
    tight = replace(BASE, guard=({"type": "loop_lag", "enabled": False},))
    machines.risk.handle(env(m.ConfigReloaded(config=carried(tight))))
    next_one = Machines.of(BASE, "t1")
    next_one.restore(machines.snapshot(), ())
    assert "loop_lag" not in next_one.risk.handle(env(m.GetGuards()))[0].off
    again = Machines.of(BASE, "t1")
    again.load(next_one.snapshot())
    assert again.snapshot() == next_one.snapshot()

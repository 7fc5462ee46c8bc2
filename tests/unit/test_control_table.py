"""The whole table: operation x role x state of the daemon -> status, over HTTP, each cell written out."""

import inspect
from typing import Any

import pytest

from hedgegridd import messages as m
from hedgegridd.control.operation import Role
from hedgegridd.errors import AskTimeout
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import FakeBus
from tests.unit.test_control_http import KEYS, send, served

STATES = ("normal", "read_only", "stopping", "refusing", "hung")
"""`refusing`: desk and kill switch refuse every command (HALTED, say); `hung`: no trading actor answers anything."""

TABLE = """
                        normal  read_only  stopping  refusing  hung
health       none       200     200        200       200       503
ready        none       200     200        200       200       503
status       viewer     200     200        200       200       200
ladders      viewer     200     200        200       200       503
orders       viewer     200     200        200       200       503
positions    viewer     200     200        200       200       503
guards       viewer     200     200        200       200       503
switches     viewer     200     200        200       200       503
kpi          viewer     200     200        200       200       503
fills        viewer     200     200        200       200       200
equity       viewer     200     200        200       200       200
records      viewer     200     200        200       200       200
alerts       viewer     200     200        200       200       503
stream       viewer     200     200        200       200       200
flatten      operator   200     200        200       409       202
kill         operator   200     200        200       409       202
pause        operator   200     200        200       409       202
throttle     operator   200     409        409       409       202
resume       operator   200     409        409       409       202
start        operator   200     409        409       409       202
stop         operator   200     409        409       409       202
mode         operator   200     409        409       409       202
rearm        operator   200     409        409       409       202
weights      operator   200     409        409       409       202
limits       operator   200     409        409       409       202
reconcile    operator   200     409        409       409       202
test-order   operator   200     409        409       409       202
switch       operator   200     200        409       409       503
ack          operator   200     200        409       409       202
test_alert   operator   200     200        409       409       202
event        operator   200     200        409       200       503
reload       admin      200     409        409       200       503
backup       admin      200     409        409       200       200
"""
ROLES = {None: Role.NONE, "viewer": Role.VIEWER, "operator": Role.OPERATOR, "admin": Role.ADMIN}


def rows() -> dict[str, tuple[str, dict[str, int]]]:
    """Role and statuses of each operation."""
    head, *lines = TABLE.strip().splitlines()
    assert tuple(head.split()) == STATES
    split = [line.split() for line in lines]
    return {verb: (role, dict(zip(STATES, map(int, cells), strict=True))) for verb, role, *cells in split}


def daemon_in(state: str) -> tuple[FakeBus, dict[str, Any]]:
    """A bus and services in a state."""
    bus = FakeBus()
    asked = [kind for _, kind in inspect.getmembers(m, inspect.isclass)]
    for kind in asked:
        if state == "refusing" and issubclass(kind, m.Command):
            bus.table[kind] = m.Refused(to=0, reason="kill switch is HALTED")
        if state == "hung" and issubclass(kind, m.Command | m.Query):
            bus.table[kind] = AskTimeout("no answer")
    return bus, {state: lambda: "by ann"} if state in ("read_only", "stopping") else {}


def test_every_operation_is_in_the_table() -> None:
    assert {verb: role for verb, (role, _) in rows().items()} == {
        verb: kind.role.label for verb, kind in REGISTRY.verbs.items()
    }


@pytest.mark.parametrize("state", STATES)
async def test_operation_by_role_by_state(state: str) -> None:
    bus, over = daemon_in(state)
    seen: dict[tuple[str, str | None], int] = {}
    want: dict[tuple[str, str | None], int] = {}
    async with served(bus, **over) as (session, _):
        for verb, (needs, cells) in rows().items():
            for name, role in ROLES.items():
                before = len(bus.commands), len(bus.published)
                seen[verb, name] = (await send(session, verb, name))[0]
                allowed = role >= Role[needs.upper()]
                want[verb, name] = cells[state] if allowed else 401 if name is None else 403
                # What was turned away at the door has reached nobody.
                refused = not allowed or (state in ("read_only", "stopping") and cells[state] == 409)
                assert not refused or (len(bus.commands), len(bus.published)) == before, (verb, name)
    assert len(seen) == len(REGISTRY.verbs) * len(ROLES)
    assert set(KEYS) == {"viewer", "operator", "admin"}
    assert {key: status for key, status in seen.items() if status != want[key]} == {}

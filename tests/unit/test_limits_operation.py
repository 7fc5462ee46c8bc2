"""`limits` at the front: who may loosen, what is sent, and that the command line asks before it loosens."""

import argparse
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Pretrade
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.operation import Caller, Role, Services
from hedgegridd.ctl import arguments
from hedgegridd.ctl import confirm as ctl_confirm
from hedgegridd.operations import REGISTRY
from hedgegridd.operations.limits import LIMITS, Limits


class Desk:
    """Takes every command."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []

    async def ask(self, message: m.Message, _deadline_s: float, *, actor: str = "") -> m.Answer:
        self.asked.append(message)
        return m.Done(to=1, detail={"old": {}, "new": {}})


async def durable(_timeout_s: float) -> None:
    return None


@pytest.mark.parametrize(
    ("role", "loosen", "may"),
    [
        (Role.OPERATOR, False, False),
        (Role.OPERATOR, True, False),
        (Role.ADMIN, False, False),
        (Role.ADMIN, True, True),
    ],
)
async def test_only_an_admin_who_says_so_may_loosen(role: Role, loosen: bool, may: bool) -> None:
    desk = Desk()
    services = Services(bus=desk, instruments=(), time_ns=lambda: 1, durable=durable, recent=list)
    fields: dict[str, Any] = {"max_leverage": "3", "loosen": loosen, "reason": "weekend"}
    caller = Caller(actor="me", role=role, client="me")
    outcome = await Dispatcher(REGISTRY, services).run_mapping(Limits, fields, caller)
    assert outcome.status == 200
    assert desk.asked == [m.SetLimits(values={"max_leverage": Decimal(3)}, reason="weekend", may_loosen=may)]


def test_it_knows_every_limit_of_the_config() -> None:
    known = {field.name for field in msgspec.structs.fields(Pretrade)}
    assert set(LIMITS) == known
    assert set(Limits.__struct_fields__) == known | {"loosen", "reason"}


def test_the_command_line_asks_before_it_loosens_and_only_then() -> None:
    assert not Limits(max_leverage=Decimal(3)).asks()
    assert Limits(max_leverage=Decimal(3), loosen=True).asks()
    parser = arguments.build(REGISTRY)
    line = ["limits", "--max-leverage", "9", "--loosen", "true", "--reason", "calm"]
    parsed: argparse.Namespace = parser.parse_args(line)
    fields = arguments.fields_of(Limits, parsed)
    told = ctl_confirm.facts("limits", fields, {}, [])
    assert told[-1] == "Loosens the pre-trade gate: max_leverage 9. Kept over restarts."

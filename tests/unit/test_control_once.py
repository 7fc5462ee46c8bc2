"""Idempotency keys: one effect and one answer, at once, later, after a restart and on a disk that fails."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.control.once import Once
from hedgegridd.control.operation import Caller, Outcome, Problem, Role
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import NOW_NS, FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, headers, served

ME = Caller(actor="me", role=Role.OPERATOR, client="key:me")
THROTTLE = REGISTRY.verbs["throttle"]


def once(folder: Path, now_ns: int = NOW_NS, **kw: Any) -> Once:
    return Once(folder / "keys.jsonl", lambda: now_ns, **kw)


async def throttle(bus: FakeBus, keys: Once, key: str, value: str = "0.5", caller: Caller = ME) -> Outcome:
    made = dispatcher(bus, once=keys)
    return await made.run_json(THROTTLE, b'{"throttle": ' + value.encode() + b"}", caller, key=key)


async def test_fifty_at_once_and_again_after_a_restart_are_one_effect_and_one_answer(tmp_path: Path) -> None:
    bus = FakeBus()
    bus.gate = asyncio.Event()
    config = msgspec.structs.replace(CONFIG, writes_per_min=30)  # those that do nothing again are no writes
    keys = once(tmp_path)
    async with served(bus, config, once=keys) as (session, _):

        async def send() -> tuple[int, bytes]:
            head = headers("operator") | {"Idempotency-Key": "k1"}
            async with session.post("/throttle", json={"throttle": 0.5}, headers=head) as response:
                return response.status, await response.read()

        sent = [asyncio.ensure_future(send()) for _ in range(50)]
        await asyncio.wait_for(bus.commanded.wait(), 5)
        bus.gate.set()
        answers = set(await asyncio.gather(*sent))
    keys.close()
    assert len(answers) == 1
    assert len(bus.commands) == 1
    again, keys = FakeBus(), once(tmp_path)
    async with served(again, CONFIG, once=keys) as (session, _):
        head = headers("operator") | {"Idempotency-Key": "k1"}
        async with session.post("/throttle", json={"throttle": 0.5}, headers=head) as response:
            assert {(response.status, await response.read())} == answers
    keys.close()
    assert again.commands == []


async def test_another_body_with_the_same_key_is_refused_and_another_client_is_another_key(
    tmp_path: Path,
) -> None:
    bus, keys = FakeBus(), once(tmp_path)
    await throttle(bus, keys, "k")
    with pytest.raises(Problem) as caught:
        await throttle(bus, keys, "k", "0.6")
    assert (caught.value.status, caught.value.field) == (409, "Idempotency-Key")
    await throttle(bus, keys, "k", "0.6", Caller(actor="you", role=Role.OPERATOR, client="key:you"))
    assert [c.throttle for c in bus.commands if isinstance(c, m.SetThrottle)] != []
    assert len(bus.commands) == 2


async def test_the_order_of_fields_makes_no_other_request(tmp_path: Path) -> None:
    bus, keys = FakeBus(), once(tmp_path)
    made = dispatcher(bus, once=keys)
    kind = REGISTRY.verbs["pause"]
    for raw in (b'{"reason": "a", "instrument": null}', b'{"instrument":null,"reason":"a"}'):
        await made.run_json(kind, raw, ME, key="k")
    assert len(bus.commands) == 1


async def test_a_key_lasts_24_hours(tmp_path: Path) -> None:
    bus, now = FakeBus(), [NOW_NS]
    keys = Once(tmp_path / "keys.jsonl", lambda: now[0])
    await throttle(bus, keys, "k")
    now[0] += 86_399 * 10**9
    await throttle(bus, keys, "k")
    assert len(bus.commands) == 1
    now[0] += 2 * 10**9
    await throttle(bus, keys, "k", "0.6")
    assert len(bus.commands) == 2


async def test_what_a_restart_cut_off_is_never_done_again(tmp_path: Path) -> None:
    bus = FakeBus()
    bus.gate = asyncio.Event()
    keys = once(tmp_path)
    cut = asyncio.ensure_future(throttle(bus, keys, "k"))
    await asyncio.wait_for(bus.commanded.wait(), 5)
    later, after = FakeBus(), once(tmp_path)
    with pytest.raises(Problem) as caught:
        await throttle(later, after, "k")
    assert caught.value.status == 409
    assert "cut this request off" in caught.value.detail
    assert later.commands == []
    bus.gate.set()
    await cut


async def test_a_refusal_is_the_first_answer_too_but_a_closed_door_is_none(tmp_path: Path) -> None:
    bus, keys = FakeBus(), once(tmp_path)
    bus.table[m.SetThrottle] = m.Refused(to=0, reason="no")
    for _ in range(2):
        with pytest.raises(Problem, match="409 refused: no"):
            await throttle(bus, keys, "k")
    assert len(bus.commands) == 1
    shut = [True]
    made = dispatcher(FakeBus(), once=keys, read_only=lambda: "by me" if shut[0] else "")
    with pytest.raises(Problem, match="read only"):
        await made.run_json(THROTTLE, b'{"throttle": 1}', ME, key="k2")
    shut[0] = False
    assert (await made.run_json(THROTTLE, b'{"throttle": 1}', ME, key="k2")).status == 200
    again = once(tmp_path)
    assert again.knows("key:me", "k2")


async def test_without_a_disk_nothing_is_done_but_safety_commands(tmp_path: Path) -> None:
    bus, keys = FakeBus(), once(tmp_path)
    (tmp_path / "keys.jsonl").mkdir()  # it cannot be opened for appending
    with pytest.raises(Problem) as caught:
        await throttle(bus, keys, "k")
    assert caught.value.status == 503
    assert bus.commands == []
    made = dispatcher(bus, once=keys)
    outcome = await made.run_json(REGISTRY.verbs["flatten"], b'{"side": "both"}', ME, key="k")
    assert outcome.status == 200
    assert len(bus.commands) == 1


async def test_a_torn_line_is_left_out_and_the_file_is_bounded(tmp_path: Path) -> None:
    bus, keys = FakeBus(), once(tmp_path, file_max=4_000)
    for number in range(60):
        await throttle(bus, keys, f"k{number}")
        assert (tmp_path / "keys.jsonl").stat().st_size <= 4_000
    keys.close()
    with (tmp_path / "keys.jsonl").open("ab") as file:
        file.write(b'{"name": "torn')
    after = once(tmp_path)
    assert after.knows("key:me", "k59")
    assert not after.knows("key:me", "k0")
    assert (tmp_path / "keys.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("key", ["x" * 201, "é", " \t", ""])
async def test_a_key_that_is_none(key: str) -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        head = headers("operator") | {"Idempotency-Key": key}
        async with session.post("/throttle", json={"throttle": 0.5}, headers=head) as response:
            body = await response.json()
    assert (response.status, body["field"]) == (400, "Idempotency-Key")
    assert bus.commands == []

"""External events: signed by the secret or by an operator's key, never twice, and what reaches the guard."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.control.once import Once
from hedgegridd.core.actions import parse
from hedgegridd.model import Leg
from tests.unit.control_fakes import BTC, GUARDS, NOW_NS, FakeBus
from tests.unit.test_control_http import headers, served

SECRET = "a secret of some length"
GOOD = {
    "source": "scanner",
    "action": "throttle:0.5",
    "instrument": "btcusdt",
    "side": "long",
    "reason": "funding spike",
    "hold_s": 60,
    "id": "S-1",
    "sent_at": NOW_NS // 10**9,
}


def signature(raw: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


async def post(bus: FakeBus, raw: bytes, sign: str | None, **kw: Any) -> tuple[int, dict[str, Any]]:
    head = {"Content-Type": "application/json"}
    if sign is not None:
        head["X-Events-Signature"] = sign
    async with served(bus, events_secret=kw.pop("secret", SECRET), **kw) as (session, _):
        async with session.post("/events/external", data=raw, headers=head) as response:
            return response.status, await response.json(content_type=None)


async def test_a_signed_event_reaches_the_guard() -> None:
    bus, raw = FakeBus(), msgspec.json.encode(GOOD)
    status, body = await post(bus, raw, signature(raw))
    assert (status, body["event_id"]) == (200, "S-1")
    (told,) = bus.published
    assert told == (
        m.ExternalSignal(
            event_id="S-1",
            source="scanner",
            action="throttle:0.5",
            scope=m.Scope(instrument=BTC, leg=Leg.LONG),
            reason="funding spike",
            hold_s=60,
        ),
        "event:127.0.0.1",
    )


@pytest.mark.parametrize(
    ("sign", "secret", "status"),
    [
        (signature(b"other"), SECRET, 401),
        ("sha256=", SECRET, 401),
        ("\xe9", SECRET, 401),
        (None, SECRET, 401),
        (signature(msgspec.json.encode(GOOD)), "", 403),
        (signature(msgspec.json.encode(GOOD), "guessed"), SECRET, 401),
    ],
)
async def test_without_the_secret_nothing_is_told(sign: str | None, secret: str, status: int) -> None:
    bus = FakeBus()
    found, _ = await post(bus, msgspec.json.encode(GOOD), sign, secret=secret)
    assert found == status
    assert not [event for event, _ in bus.published if not isinstance(event, m.AuthFailed)]


async def test_a_replay_is_refused_also_after_a_restart_and_taken_after_five_minutes(tmp_path: Path) -> None:
    raw = msgspec.json.encode({"source": "scanner", "action": "pause"})
    now = [NOW_NS]

    async def send() -> int:
        keys = Once(tmp_path / "keys.jsonl", lambda: now[0])
        bus = FakeBus()
        status, _ = await post(bus, raw, signature(raw), once=keys)
        keys.close()
        assert len(bus.published) == (status == 200)
        return status

    assert [await send(), await send()] == [200, 409]
    now[0] += 299 * 10**9
    assert await send() == 409
    now[0] += 2 * 10**9
    assert await send() == 200


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"sent_at": NOW_NS // 10**9 - 301}, 422, "sent_at"),
        ({"sent_at": NOW_NS // 10**9 + 301}, 422, "sent_at"),
        ({"action": "resume"}, 422, "action"),
        ({"action": "throttle:1"}, 422, "action"),
        ({"action": "trim:0"}, 422, "action"),
        ({"source": ""}, 422, "source"),
        ({"instrument": None}, 422, "side"),
        ({"instrument": "XRPUSDT"}, 422, "instrument"),
        ({"hold_s": 86401}, 422, "hold_s"),
        ({"more": 1}, 422, "more"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_told(
    changed: dict[str, Any], status: int, field: str
) -> None:
    bus, raw = FakeBus(), msgspec.json.encode(GOOD | changed)
    found, body = await post(bus, raw, signature(raw))
    assert (found, body["field"]) == (status, field)
    assert bus.published == []


async def test_a_guard_that_is_off_is_said() -> None:
    bus, raw = FakeBus(), msgspec.json.encode(GOOD)
    bus.table[m.GetGuards] = msgspec.structs.replace(GUARDS, off=("external",))
    status, body = await post(bus, raw, signature(raw))
    assert status == 409
    assert "external" in body["detail"]
    assert bus.published == []


async def test_an_operators_key_does_as_well() -> None:
    bus = FakeBus()
    async with served(bus, events_secret=SECRET) as (session, _):
        for role, status in (("viewer", 403), ("operator", 200)):
            async with session.post("/events/external", json=GOOD, headers=headers(role)) as response:
                assert response.status == status
    assert len(bus.published) == 1


@pytest.mark.parametrize(
    "action", ["notify", "pause", "halt", "flatten", "throttle:0", "throttle:0.25", "trim:1", "trim:0.1"]
)
async def test_every_action_that_is_taken_is_one_of_the_guards(action: str) -> None:
    bus, raw = FakeBus(), msgspec.json.encode(GOOD | {"action": action})
    assert (await post(bus, raw, signature(raw)))[0] == 200
    assert str(parse(action)) == action

"""Sessions of the page, forged requests, other origins, and who is turned away how often."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Control
from hedgegridd.control.auth import Auth
from hedgegridd.control.sessions import COOKIE, LASTS_S, SESSIONS_PER_KEY, Sessions
from tests.unit.control_fakes import NOW_NS, FakeBus
from tests.unit.test_control_http import CONFIG, KEYS, headers, served

WRONG = CONFIG.wrong_keys_per_min
FORM = {"X-Requested-With": "hedgegridd"}


def jar(sessions: Sessions) -> dict[str, Any]:
    return {"sessions": sessions}


async def log_in(session: aiohttp.ClientSession, role: str) -> str:
    async with session.post("/login", json={"key": KEYS[role]}) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["role"] == role
        cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert KEYS[role] not in cookie
    return response.cookies[COOKIE].value


async def test_a_session_reads_and_commands_as_its_key_may(tmp_path: Path) -> None:
    bus = FakeBus()
    sessions = Sessions(tmp_path / "s.json", lambda: NOW_NS)
    async with served(bus, sessions=sessions) as (session, _):
        session.cookie_jar.clear()
        token = await log_in(session, "viewer")
        cookie = {"Cookie": f"{COOKIE}={token}"}
        async with session.get("/status", headers=cookie) as response:
            assert response.status == 200
        async with session.post("/flatten", json={"side": "both"}, headers=cookie | FORM) as response:
            assert response.status == 403
        token = await log_in(session, "operator")
        cookie = {"Cookie": f"{COOKIE}={token}"}
        async with session.post(
            "/flatten", json={"side": "both"}, headers=cookie | FORM | {"X-Ops-Actor": "ann"}
        ) as response:
            assert response.status == 200
    assert bus.actors[-1] == "http:operator1/ann@127.0.0.1"
    kept = (tmp_path / "s.json").read_text()
    assert token not in kept
    assert KEYS["operator"] not in kept


async def test_a_command_by_cookie_needs_the_header_that_a_form_cannot_set() -> None:
    bus = FakeBus()
    async with served(bus, sessions=Sessions(None, lambda: NOW_NS)) as (session, _):
        cookie = {"Cookie": f"{COOKIE}={await log_in(session, 'operator')}"}
        async with session.post("/flatten", json={"side": "both"}, headers=cookie) as response:
            body = await response.json()
            assert (response.status, body["field"]) == (403, "X-Requested-With")
        other = cookie | FORM | {"Origin": "https://evil.example"}
        async with session.post("/flatten", json={"side": "both"}, headers=other) as response:
            assert response.status == 403
    assert bus.commands == []


async def test_a_session_goes_on_after_a_restart_and_ends_with_logout_time_and_key(tmp_path: Path) -> None:
    now = [NOW_NS]

    def kept() -> Sessions:
        return Sessions(tmp_path / "s.json", lambda: now[0])

    async def status(sessions: Sessions, token: str, config: Control = CONFIG) -> int:
        async with (
            served(FakeBus(), config, sessions=sessions) as (session, _),
            session.get("/status", headers={"Cookie": f"{COOKIE}={token}"}) as response,
        ):
            return response.status

    async with served(FakeBus(), sessions=kept()) as (session, _):
        token = await log_in(session, "operator")
        gone = await log_in(session, "operator")
        async with session.post("/logout", headers={"Cookie": f"{COOKIE}={gone}"}) as response:
            assert await response.json() == {"ended": True}
            assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert await status(kept(), token) == 200
    assert await status(kept(), gone) == 401
    without = Control(http_port=0, keys=CONFIG.keys[:1])  # the operator's is taken out
    assert await status(kept(), token, without) == 401
    now[0] += LASTS_S * 10**9
    assert await status(kept(), token) == 401


async def test_one_key_cannot_end_the_sessions_of_others() -> None:
    sessions = Sessions(None, lambda: NOW_NS)
    mine = await sessions.open("mine")
    first = await sessions.open("theirs")
    for _ in range(200):
        last = await sessions.open("theirs")
    assert sessions.key_of(mine) == "mine"
    assert sessions.key_of(first) is None
    assert sessions.key_of(last) == "theirs"
    assert len(sessions._open) == 1 + SESSIONS_PER_KEY


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"key": "wrong"}', 401, "key"),
        (b"{}", 422, "key"),
        (b'{"key": 1}', 422, "key"),
        (b'{"key": "a", "key": "b"}', 400, "key"),
        (b"[]", 400, None),
        (b"{", 400, None),
    ],
)
async def test_a_login_that_is_none(body: bytes, status: int, field: str | None) -> None:
    async with served(FakeBus(), sessions=Sessions(None, lambda: NOW_NS)) as (session, _):
        async with session.post(
            "/login", data=body, headers={"Content-Type": "application/json"}
        ) as response:
            facts = await response.json(content_type=None)
    assert response.content_type == "application/problem+json"
    assert (response.status, facts.get("field")) == (status, field)
    assert "Set-Cookie" not in response.headers


async def test_who_is_turned_away_is_limited_counted_and_told_boundedly() -> None:
    bus = FakeBus()
    async with served(bus, sessions=Sessions(None, lambda: NOW_NS)) as (session, server):
        statuses = []
        for number in range(WRONG + 5):
            if number % 2:
                async with session.post("/login", json={"key": "no"}) as response:
                    statuses.append(response.status)
            else:
                async with session.get("/status", headers={"X-API-Key": "no"}) as response:
                    statuses.append(response.status)
        assert statuses == [401] * WRONG + [429] * 5
        assert server.auth.failures == WRONG + 5
        async with session.get("/status", headers=headers("viewer")) as response:
            assert response.status == 200  # a right key is not held back by others' wrong ones
    told = [event for event, _ in bus.published]
    assert len(told) == WRONG
    assert told[0] == m.AuthFailed(address="127.0.0.1", what="key", count=1)
    assert told[-1] == m.AuthFailed(address="127.0.0.1", what="login", count=WRONG, limited=True)


def test_a_flood_from_many_addresses_is_no_flood_of_records() -> None:
    told: list[m.AuthFailed] = []
    auth = Auth(CONFIG, lambda: 0.0, tell=told.append)
    for number in range(500):
        auth.failed(f"10.0.{number // 250}.{number % 250}", "key")
    assert len(told) == 60
    assert auth.failures == 500


async def test_pages_of_listed_origins_may_ask_with_a_key_and_others_may_not() -> None:
    desk = "https://desk.example"
    config = Control(http_port=0, keys=CONFIG.keys, cors_origins=(desk,))
    async with served(FakeBus(), config) as (session, _):
        ask = {"Origin": desk, "Access-Control-Request-Method": "POST"}
        async with session.options("/throttle", headers=ask) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == desk
            assert "X-API-Key" in response.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in response.headers
        async with session.get("/status", headers=headers("viewer") | {"Origin": desk}) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, desk)
        async with session.get("/status", headers={"Origin": desk}) as response:  # errors can be read too
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (401, desk)
        async with session.options("/throttle", headers=ask | {"Origin": "https://evil.example"}) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers
    async with served(FakeBus()) as (session, _):
        async with session.get("/status", headers=headers("viewer") | {"Origin": desk}) as response:
            assert response.status == 403  # off by default


def test_an_origin_that_is_none_is_refused_at_start() -> None:
    for origin in ("*", "desk.example", "https://desk.example/", "ftp://desk.example"):
        with pytest.raises(ValueError, match="cors_origins"):
            Auth(Control(cors_origins=(origin,)), lambda: 0.0)

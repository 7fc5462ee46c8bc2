"""Account and key as they must be: each wrong set-up is named with its remedy, put right only where nobody is asked."""

import asyncio
from typing import Any

import pytest

from hedgegridd import messages as m
from hedgegridd.config import Grid, Venue
from hedgegridd.venue import setup
from hedgegridd.venue.account_watch import AccountWatch
from hedgegridd.venue.key_rights import PATH, KeyReader
from hedgegridd.venue.rest import Credentials, VenueCallError
from tests.support.fake_rest import answer
from tests.unit.venue.test_truth import GRID, account, bench

CONFIG = "/fapi/v1/accountConfig"
GOOD = {"dualSidePosition": True, "multiAssetsMargin": False, "canTrade": True}
RIGHTS = {"enableFutures": True, "enableWithdrawals": False, "ipRestrict": True}


def key_of(b: Any, environment: str = "paper", **venue: Any) -> KeyReader:
    return KeyReader(
        Venue(environment=environment, rest_url=b.fake.url, **venue),
        Credentials("k", "s"),
        b.calls.http,
        wall_ns=lambda: 0,
        mono_ns=lambda: 0,
    )


async def refused(b: Any, key: KeyReader | None = None, grid: Grid = GRID) -> str:
    try:
        await setup.prepare(b.calls, [grid], key)
    except setup.SetupRefused as error:
        return str(error)
    finally:
        if key is not None:
            await key.close()
    return ""


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ({}, ""),
        ({"multiAssetsMargin": True}, "single-asset mode"),
        ({"canTrade": False}, "does not let this account trade"),
    ],
)
async def test_modes_of_the_account_cost_one_cheap_call(mode: dict[str, bool], said: str) -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD | mode))
        text = await refused(b)
        assert said in text
        assert bool(text) is bool(said)
        assert not [path for path in b.fake.paths() if "multiAssets" in path or "dual" in path]


async def test_one_way_mode_that_cannot_be_changed_is_refused_with_the_venues_words() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD | {"dualSidePosition": False}))
        no = {"code": -4068, "msg": "Position side cannot be changed if there exists position."}
        b.fake.on("POST", "/fapi/v1/positionSide/dual", answer(no, 400))
        text = await refused(b)
        assert "not in hedge mode" in text
        assert "-4068 Position side cannot be changed" in text
        b.fake.on("POST", "/fapi/v1/positionSide/dual", answer({}, 503))
        with pytest.raises(VenueCallError):
            await setup.prepare(b.calls, [GRID])


@pytest.mark.parametrize(
    ("path", "code", "grid"),
    [
        ("marginType", -4048, Grid(margin_type="isolated")),
        ("leverage", -4028, Grid(leverage=100)),
    ],
)
async def test_a_setting_that_the_venue_does_not_take_is_named_with_its_reason(
    path: str, code: int, grid: Grid
) -> None:
    async with bench() as b:
        account(b)
        b.fake.on("POST", f"/fapi/v1/{path}", answer({"code": code, "msg": "no"}, 400))
        text = await refused(b, grid=grid)
        assert f"wanted leverage {grid.leverage}, margin {grid.margin_type}" in text
        assert f"{code} no" in text


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ({}, ""),
        ({"ipRestrict": False, "permitsUniversalTransfer": True}, ""),
        ({"enableWithdrawals": True}, "may withdraw: take that right"),
        ({"enableFutures": False}, "may not trade futures"),
    ],
)
async def test_a_key_must_trade_and_must_not_withdraw(rights: dict[str, bool], said: str) -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD))
        b.fake.on("GET", PATH, answer(RIGHTS | rights))
        text = await refused(b, key_of(b))
        assert said in text
        assert bool(text) is bool(said)
        (asked,) = [request for request in b.fake.asked if request.path == PATH]
        assert "signature" in asked.query


@pytest.mark.parametrize(
    ("environment", "said"), [("paper", ""), ("testnet", ""), ("live", "does not tell what the API key may")]
)
async def test_rights_that_are_not_told_are_refused_where_money_is_real(environment: str, said: str) -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD))
        where = {"account_url": b.fake.url} if environment == "live" else {}
        text = await refused(b, key_of(b, environment, **where))
        assert said in text
        assert bool(text) is bool(said)


async def test_rights_that_could_not_be_read_are_a_failure_not_a_yes() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD))
        b.fake.on("GET", PATH, answer({"code": -1003, "msg": "limit"}, 429))
        key = key_of(b)
        with pytest.raises(VenueCallError):
            await setup.prepare(b.calls, [GRID], key)
        await key.close()


async def test_what_has_moved_since_holds_entries_until_it_fits_again_and_nothing_is_changed() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", PATH, answer(RIGHTS))
        b.fake.on("GET", CONFIG, answer(GOOD))
        told: list[m.Event] = []
        key = key_of(b)
        watch = AccountWatch(b.calls, [GRID], key, wall_ns=lambda: 7, publish=told.append)
        assert await watch.look()
        assert told == []
        b.fake.on("GET", PATH, answer(RIGHTS | {"enableWithdrawals": True}))
        b.fake.on(
            "GET",
            "/fapi/v1/symbolConfig",
            answer([{"symbol": "BTCUSDT", "leverage": 20, "marginType": "CROSSED"}]),
        )
        for _ in range(2):
            assert not await watch.look()
        (held,) = told
        assert isinstance(held, m.HoldsChanged)
        (hold,) = held.holds
        assert (held.source, hold.action, hold.since_ns) == ("account", "pause", 7)
        assert "may withdraw" in hold.cause
        assert "venue says leverage 20" in hold.cause
        b.fake.on("GET", CONFIG, answer({}, 503))
        assert not await watch.look()
        assert len(told) == 1, "what could not be read changes nothing"
        account(b)
        b.fake.on("GET", CONFIG, answer(GOOD))
        b.fake.on("GET", PATH, answer(RIGHTS))
        assert await watch.look()
        assert told[-1] == m.HoldsChanged(source="account", holds=())
        assert not any(path.startswith("POST") for path in b.fake.paths())
        await key.close()


async def test_a_key_that_is_refused_while_we_trade_holds_entries_with_its_remedy() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", PATH, answer(RIGHTS))
        b.fake.on("GET", CONFIG, answer({"code": -2015, "msg": "Invalid API-key"}, 401))
        told: list[m.Event] = []
        key = key_of(b)
        watch = AccountWatch(b.calls, [GRID], key, wall_ns=lambda: 7, publish=told.append)
        assert not await watch.look()
        (held,) = told
        assert isinstance(held, m.HoldsChanged)
        assert held.holds[0].cause.startswith("only you can mend this: the venue refuses our key: ")
        b.fake.on("GET", CONFIG, answer(GOOD))
        assert await watch.look()
        assert told[-1] == m.HoldsChanged(source="account", holds=())
        await key.close()


async def test_a_doubt_is_looked_into_at_once_and_not_in_an_hour() -> None:
    async with bench() as b:
        account(b)
        b.fake.on("GET", PATH, answer(RIGHTS))
        b.fake.on("GET", CONFIG, answer(GOOD | {"canTrade": False}))
        told: asyncio.Queue[m.Event] = asyncio.Queue()
        key = key_of(b)
        watch = AccountWatch(b.calls, [GRID], key, wall_ns=lambda: 7, publish=told.put_nowait)
        loop = asyncio.create_task(watch.loop())
        watch.doubt()
        held = await asyncio.wait_for(told.get(), 10)
        assert isinstance(held, m.HoldsChanged)
        assert held.holds
        b.fake.on("GET", CONFIG, answer(GOOD))
        watch.doubt()
        assert await asyncio.wait_for(told.get(), 10) == m.HoldsChanged(source="account", holds=())
        loop.cancel()
        await key.close()

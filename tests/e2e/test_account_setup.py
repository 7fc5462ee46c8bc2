"""A wrong account or key at the paper exchange: the start waits and says what to mend, and goes on once it is mended."""

import asyncio
from typing import Any

import pytest

from hedgegridd import messages as m
from hedgegridd.model import Leg
from tests.e2e.test_venue_faults import bench

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ({"key_withdraw": True}, {"key_withdraw": False}, "may withdraw"),
        ({"key_futures": False}, {"key_futures": True}, "may not trade futures"),
        ({"can_trade": False}, {"can_trade": True}, "does not let this account trade"),
    ],
)
async def test_the_start_waits_for_what_only_a_person_can_mend(
    wrong: dict[str, Any], right: dict[str, Any], said: str
) -> None:
    async with bench(connect=False) as b:
        await b.post("/account", **wrong)
        connecting = asyncio.create_task(b.venue.gateway.connect())
        waits = await b.venue.ear.until(m.StageReached, lambda e: said in e.waits_for)
        assert waits.stage == "venue"
        assert b.venue.ear.of(m.VenueUp) == []
        await b.post("/account", **right)
        await b.venue.ear.until(m.VenueUp, within_s=30)
        await connecting


async def test_one_way_mode_is_put_right_at_start_while_nothing_is_open() -> None:
    async with bench(connect=False) as b:
        await b.post("/account", hedge_mode=False)
        await asyncio.wait_for(b.venue.gateway.connect(), 30)
        await b.venue.ear.until(m.VenueUp)
        await b.venue.ear.until(m.MarkPrice)
        coid = b.venue.place(await b.far_entry())
        await b.venue.accepted(coid)


async def test_one_way_mode_while_we_trade_rejects_orders_with_4061_and_holds_entries() -> None:
    async with bench() as b:
        await b.post("/account", hedge_mode=False)
        coid = b.venue.place(await b.far_entry())
        rejected = await b.venue.ear.until(m.OrderRejected)
        assert (rejected.client_order_id, rejected.code) == (coid, -4061)
        held = await b.venue.ear.until(m.HoldsChanged)  # found by what was refused
        assert "not in hedge mode" in held.holds[0].cause
        await b.post("/account", hedge_mode=True)
        # The venue says when settings move; the paper exchange's own event stands for it here.
        await b.post("/event", e="ACCOUNT_CONFIG_UPDATE", E=1, T=1, ac={"s": "BTCUSDT", "l": 5})
        await b.venue.ear.until(m.HoldsChanged, lambda e: e.source == "account" and not e.holds)
        coid = b.venue.place(await b.far_entry(Leg.SHORT))
        await b.venue.accepted(coid)

"""A venue that does not serve what newer versions of its protocol have: we go on with what it does serve."""

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from hedgegridd.config import Grid
from hedgegridd.venue import setup
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from tests.support.fake_rest import answer, fake_rest

ACCOUNT = dict.fromkeys(
    (
        "totalWalletBalance",
        "totalMarginBalance",
        "totalMaintMargin",
        "totalInitialMargin",
        "availableBalance",
        "totalUnrealizedProfit",
    ),
    "100",
)
SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
    ],
}


@asynccontextmanager
async def venue():
    async with fake_rest() as fake:
        client = RestClient(
            fake.url,
            Credentials(key="k", secret="s"),
            wall_ns=lambda: 1_700_000_000_000_000_000,
            mono_ns=lambda: 1,
            recv_window_ms=5000,
            timeout_s=2.0,
        )
        await client.open()
        try:
            yield fake, VenueCalls(client)
        finally:
            await client.close()


async def test_the_older_version_is_asked_once_the_newer_is_not_served():
    async with venue() as (fake, calls):
        fake.on("GET", "/fapi/v2/account", answer(ACCOUNT))
        fake.on("GET", "/fapi/v2/positionRisk", answer([]))
        for _ in range(2):
            assert (await calls.account()).totalWalletBalance == 100
            assert await calls.positions() == []
        asked = fake.paths()
        assert asked.count("GET /fapi/v3/account") == 1
        assert asked.count("GET /fapi/v2/account") == 2
        assert asked.count("GET /fapi/v3/positionRisk") == 1


async def test_other_failures_of_the_newer_version_are_failures():
    async with venue() as (fake, calls):
        fake.on("GET", "/fapi/v3/account", answer({"code": -1021, "msg": "Timestamp"}, 400))
        fake.on("GET", "/fapi/v1/multiAssetsMargin", answer({"code": -2015, "msg": "key"}, 401))
        fake.on("GET", "/fapi/v1/leverageBracket", answer({"code": -1003, "msg": "limit"}, 429))
        fake.on("GET", "/fapi/v1/premiumIndex", answer({}, 500))
        for call in (
            calls.account(),
            calls.multi_assets(),
            calls.brackets("BTCUSDT"),
            calls.market_ms("BTCUSDT"),
        ):
            with pytest.raises(VenueCallError):
                await call


BRACKETS = {"symbol": "BTCUSDT", "brackets": [{"maintMarginRatio": 0.004}]}


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ([BRACKETS], "0.004"),
        (BRACKETS, "0.004"),
        ([{**BRACKETS, "symbol": "OTHER"}, BRACKETS], "0.004"),
        ([], None),
        ([{**BRACKETS, "symbol": "OTHER"}], None),
    ],
)
async def test_the_brackets_of_a_symbol_come_as_a_list_or_as_themselves(said, rate):
    async with venue() as (fake, calls):
        fake.on("GET", "/fapi/v1/leverageBracket", answer(said))
        found = await calls.brackets("BTCUSDT")
        assert (found and str(found.brackets[0].maintMarginRatio)) == rate


@pytest.mark.parametrize(("told", "rate"), [({}, "0.025"), ({"maintMarginPercent": "1.5"}, "0.015")])
async def test_without_brackets_the_maintenance_rate_is_a_cautious_one(told, rate):
    async with venue() as (fake, calls):
        fake.on("GET", "/fapi/v1/exchangeInfo", answer({"symbols": [SYMBOL | told]}))
        (rules,) = await setup.instruments(calls, [Grid()])
        assert rules.maint_margin_rate == Decimal(rate)


async def test_a_venue_without_multi_asset_mode_and_market_clock():
    async with venue() as (_fake, calls):
        assert await calls.multi_assets() is False
        assert await calls.market_ms("BTCUSDT") is None

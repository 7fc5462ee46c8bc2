"""Readings of the venue's truth, its history and its bars against scripted answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from hedgegridd import messages as m
from hedgegridd.config import Grid
from hedgegridd.model import Leg, Side
from hedgegridd.venue import setup
from hedgegridd.venue.bars import Bars
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.feed import Feed
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.interlock import Interlock
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from hedgegridd.venue.safety import Safety
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.told import Teller
from hedgegridd.venue.truth import TruthReader
from tests.support.fake_rest import FakeRest, answer, fake_rest

IID = "BTCUSDT-PERP.BINANCE"
NOW_MS = 1_700_000_000_000
MIN_MS = 60_000
GRID = Grid()
ACCOUNT = {
    "totalWalletBalance": "1000.5", "totalMarginBalance": "1010.5", "totalMaintMargin": "4", "totalInitialMargin": "20",
    "availableBalance": "900", "totalUnrealizedProfit": "10",
}  # fmt: skip
POSITION = {
    "symbol": "BTCUSDT", "positionSide": "SHORT", "positionAmt": "-0.020", "entryPrice": "65000.5", "markPrice": "65100",
    "unRealizedProfit": "-1.99", "liquidationPrice": "90000",
}  # fmt: skip
ORDER = {
    "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": "BTCUSDT-L001E-x-1", "status": "NEW", "side": "BUY",
    "positionSide": "LONG", "type": "LIMIT", "origQty": "0.01", "executedQty": "0.004", "price": "64000", "time": NOW_MS,
}  # fmt: skip
STOP = {
    "symbol": "BTCUSDT", "algoId": 9, "clientAlgoId": "BTCUSDT-S000S-x-2", "algoStatus": "NEW", "side": "BUY",
    "positionSide": "SHORT", "orderType": "STOP_MARKET", "triggerPrice": "70000", "closePosition": True,
    "actualOrderId": None, "createTime": NOW_MS,
}  # fmt: skip


def trade(number: int, order_id: int = 7) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "id": number, "orderId": order_id, "side": "BUY", "positionSide": "LONG", "price": "64000",
        "qty": "0.001", "commission": "0.0128", "commissionAsset": "USDT", "maker": True, "time": NOW_MS + number,
    }  # fmt: skip


def income(
    number: int, kind: str = "TRANSFER", time_ms: int | None = None, symbol: str = ""
) -> dict[str, Any]:
    return {"incomeType": kind, "income": "-1.5", "asset": "USDT", "tranId": number, "symbol": symbol,
            "time": NOW_MS + number if time_ms is None else time_ms}  # fmt: skip


class Bench:
    def __init__(self, fake: FakeRest, http: RestClient) -> None:
        self.fake = fake
        self.told: list[m.Event] = []
        self.inflight = InFlight()
        self.calls = VenueCalls(http)
        teller = Teller(lambda event, _cause: self.told.append(event), self.inflight, Stats(), lambda: 0)
        self.reader = TruthReader(
            self.calls, {IID: "BTCUSDT"}, {}, inflight=self.inflight, teller=teller,
            wall_ns=lambda: NOW_MS * 1_000_000, mono_ns=lambda: 5,
        )  # fmt: skip

    async def read(self, **fields: Any) -> m.VenueTruth:
        event = await self.reader.read(m.ReadTruth(token="t", instruments=(IID,), **fields))
        assert isinstance(event, m.VenueTruth), event
        return event


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with (
        fake_rest() as fake,
        RestClient(
            fake.url,
            Credentials("k", "s"),
            wall_ns=lambda: NOW_MS * 1_000_000,
            mono_ns=lambda: 0,
            timeout_s=2,
        ) as http,
    ):
        fake.on("GET", "/fapi/v3/account", answer(ACCOUNT))
        fake.on("GET", "/fapi/v3/positionRisk", answer([POSITION, POSITION | {"symbol": "ETHUSDT"}]))
        fake.on("GET", "/fapi/v1/openOrders", answer([ORDER]))
        fake.on("GET", "/fapi/v1/openAlgoOrders", answer([STOP]))
        fake.on("GET", "/fapi/v1/userTrades", answer([]))
        fake.on("GET", "/fapi/v1/income", answer([]))
        yield Bench(fake, http)


async def test_the_venues_figures_in_our_words() -> None:
    async with bench() as b:
        b.inflight.sent(IID, "pending", 0, algo=False)
        truth = await b.read(history=False)
        assert truth.account.wallet_usdt == Decimal("1000.5")
        assert truth.elsewhere_usdt == Decimal("-1.99"), "of ETHUSDT, which is not traded here"
        assert truth.legs == (
            m.VenueLeg(instrument=IID, leg=Leg.LONG, qty=Decimal(0), entry_price=Decimal(0), mark=Decimal(0),
                       unrealized_usdt=Decimal(0)),
            m.VenueLeg(instrument=IID, leg=Leg.SHORT, qty=Decimal("0.020"), entry_price=Decimal("65000.5"),
                       mark=Decimal(65100), unrealized_usdt=Decimal("-1.99"), liquidation_price=Decimal(90000)),
        )  # fmt: skip
        entry, stop = truth.orders
        assert (entry.client_order_id, entry.leg, entry.side, entry.filled_qty, entry.algo) == (
            "BTCUSDT-L001E-x-1", Leg.LONG, Side.BUY, Decimal("0.004"), False,
        )  # fmt: skip
        assert (stop.client_order_id, stop.stop_price, stop.close_position, stop.algo) == (
            "BTCUSDT-S000S-x-2", Decimal(70000), True, True,
        )  # fmt: skip
        assert truth.in_flight == ("pending",)
        assert (truth.asked_mono_ns, truth.asked_ns) == (5, NOW_MS * 1_000_000)
        assert not any("userTrades" in path for path in b.fake.paths())


async def test_a_failed_reading_says_why() -> None:
    async with bench() as b:
        b.fake.on("GET", "/fapi/v1/openOrders", answer({"code": -1003, "msg": "slow"}, 429, Retry_After="4"))
        event = await b.reader.read(m.ReadTruth(token="t", instruments=(IID,)))
        assert event == m.VenueFailed(
            token="t", ambiguous=False, code=-1003, reason="slow", retry_after_s=4.0
        )


@pytest.mark.parametrize(
    ("path", "rows", "why"),
    [
        ("/fapi/v3/positionRisk", [POSITION | {"positionSide": "BOTH"}], "-0.020 BTCUSDT on no leg"),
        ("/fapi/v1/openOrders", [ORDER | {"positionSide": "BOTH"}], "order BTCUSDT-L001E-x-1 is on no leg"),
        (
            "/fapi/v1/openAlgoOrders",
            [STOP | {"positionSide": "BOTH"}],
            "order BTCUSDT-S000S-x-2 is on no leg",
        ),
    ],
)
async def test_what_is_on_no_leg_is_never_taken_for_flat_and_breaks_nothing(
    path: str, rows: list[dict[str, Any]], why: str
) -> None:
    async with bench() as b:
        b.fake.on("GET", path, answer(rows))
        event = await b.reader.read(m.ReadTruth(token="t", instruments=(IID,), history=False))
        assert isinstance(event, m.VenueFailed)
        assert why in event.reason
        b.fake.on("GET", path, answer([POSITION | {"positionSide": "BOTH", "positionAmt": "0"}]))
        if path.endswith("positionRisk"):
            assert await b.read(history=False)


async def test_without_a_cursor_nothing_old_is_told_and_the_cursors_are_set() -> None:
    async with bench() as b:
        b.fake.on("GET", "/fapi/v1/userTrades", answer([trade(41)]))
        b.fake.on("GET", "/fapi/v1/income", answer([income(1, "FUNDING_FEE", 900)]), answer([income(2)]))
        truth = await b.read()
        assert b.told == []
        assert truth.trade_cursor == {IID: 41}
        assert (truth.funding_cursor_ms, truth.income_cursor_ms) == (900, NOW_MS + 2)
        asked = [request.query for request in b.fake.asked if "userTrades" in request.path]
        assert [query["limit"] for query in asked] == ["1"]


async def test_trades_since_the_cursor_are_told_with_the_id_of_their_order() -> None:
    async with bench() as b:
        b.fake.on("GET", "/fapi/v1/userTrades", answer([trade(42), trade(43, order_id=8)]))
        b.fake.on("GET", "/fapi/v1/order", answer(ORDER | {"orderId": 8, "clientOrderId": "gone"}))
        truth = await b.read(trades_from={IID: 41}, income_from_ms=1, funding_from_ms=1)
        fills = [event for event in b.told if isinstance(event, m.Fill)]
        assert [(fill.trade_id, fill.client_order_id) for fill in fills] == [
            ("42", "BTCUSDT-L001E-x-1"), ("43", "gone"),
        ]  # fmt: skip
        assert truth.trade_cursor == {IID: 43}
        asked = [request.query["fromId"] for request in b.fake.asked if "userTrades" in request.path]
        assert asked == ["42"]
        b.fake.on("GET", "/fapi/v1/userTrades", answer([trade(43, order_id=8)]))
        await b.read(trades_from={IID: 41})
        assert len([event for event in b.told if isinstance(event, m.Fill)]) == 2, "once each"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adl_autoclose", "ADL"),
        ("autoclose-17", "LIQUIDATION"),
        ("settlement_autoclose-1", "SETTLEMENT"),
        ("mine", None),
    ],
)
async def test_what_the_venue_did_to_a_leg_while_nobody_listened_is_told_once(
    name: str, kind: str | None
) -> None:
    async with bench() as b:
        b.fake.on("GET", "/fapi/v1/userTrades", answer([trade(42, order_id=9)]))
        b.fake.on("GET", "/fapi/v1/order", answer(ORDER | {"orderId": 9, "clientOrderId": name}))
        await b.read(trades_from={IID: 41}, income_from_ms=1, funding_from_ms=1)
        await b.read(trades_from={IID: 41}, income_from_ms=1, funding_from_ms=1)
        acts = [(e.kind, e.instrument, e.leg) for e in b.told if isinstance(e, m.VenueAction)]
        assert acts == ([] if kind is None else [(kind, IID, Leg(str(trade(42)["positionSide"])))])


async def test_many_trades_come_in_pages_and_the_pages_are_bounded() -> None:
    async with bench() as b:
        asked: list[int] = []

        def page(request: web.Request) -> web.StreamResponse:
            first = int(request.query["fromId"])
            asked.append(first)
            return answer([trade(first + n) for n in range(1000)])(request)

        b.fake.on("GET", "/fapi/v1/userTrades", page)
        truth = await b.read(trades_from={IID: 0}, income_from_ms=1)
        assert asked == [1 + 1000 * n for n in range(10)]
        assert truth.trade_cursor == {IID: 10_000}, "the next reading goes on from here"


async def test_income_is_told_once_without_what_trades_tell_and_funding_by_its_own_clock() -> None:
    async with bench() as b:

        def rows(request: web.Request) -> web.StreamResponse:
            since = int(request.query.get("startTime", "0"))
            every = [
                income(1, "FUNDING_FEE", 5_000, "BTCUSDT"), income(2, "COMMISSION"), income(3, "REALIZED_PNL"),
                income(4), income(5, "FUNDING_FEE", 2 * NOW_MS, "BTCUSDT"),
            ]  # fmt: skip
            kind = request.query.get("incomeType")
            return answer(
                [row for row in every if row["time"] >= since and kind in {None, row["incomeType"]}]
            )(request)

        b.fake.on("GET", "/fapi/v1/income", rows)
        truth = await b.read(trades_from={IID: 1}, income_from_ms=NOW_MS, funding_from_ms=5_000)
        assert b.told == [
            m.IncomeBooked(income_id="FUNDING_FEE:5", kind="FUNDING_FEE", asset="USDT", amount=Decimal("-1.5"),
                           instrument=IID, ts_ns=2 * NOW_MS * 1_000_000),
            m.IncomeBooked(income_id="TRANSFER:4", kind="TRANSFER", asset="USDT", amount=Decimal("-1.5"),
                           ts_ns=(NOW_MS + 4) * 1_000_000),
        ]  # fmt: skip
        assert (truth.funding_cursor_ms, truth.income_cursor_ms) == (2 * NOW_MS, NOW_MS + 4)
        assert await b.reader.read_income() == 0


def kline(minute: int) -> list[Any]:
    open_ms = minute * MIN_MS
    return [open_ms, "1", "2", "0.5", "1.5", "10", open_ms + MIN_MS - 1, "15", 3, "5", "7", "0"]


def live(minute: int) -> m.BarClosed:
    one = Decimal(1)
    return m.BarClosed(
        instrument=IID, open_ns=minute * MIN_MS * 1_000_000, close_ns=((minute + 1) * MIN_MS - 1) * 1_000_000,
        open=one, high=one, low=one, close=one, volume=one,
    )  # fmt: skip


class Ticker:
    """Bars over scripted klines; the market's clock is `minute`."""

    def __init__(self, b: Bench) -> None:
        self.minute = 100
        self.missing = 0
        self.out: list[m.BarClosed] = []
        b.fake.on("GET", "/fapi/v1/premiumIndex", self.clock)
        b.fake.on("GET", "/fapi/v1/klines", self.klines)
        self.feed = Feed(IID, Decimal("0.1"))
        self.bars = Bars(GRID, b.calls, self.feed, self.out.append, sleep=self.sleep)

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)

    def clock(self, request: web.Request) -> web.StreamResponse:
        time_ms = self.minute * MIN_MS + 1_000
        return answer({"symbol": "BTCUSDT", "markPrice": "1", "time": time_ms})(request)

    def klines(self, request: web.Request) -> web.StreamResponse:
        limit, last = int(request.query["limit"]), self.minute - self.missing
        first = (
            int(request.query["startTime"]) // MIN_MS if "startTime" in request.query else last - limit + 1
        )
        return answer([kline(minute) for minute in range(first, last + 1)][:limit])(request)

    def minutes(self) -> list[tuple[int, bool]]:
        return [(bar.open_ns // 1_000_000 // MIN_MS, bar.warmup) for bar in self.out]


async def test_warm_up_takes_closed_bars_only_and_joins_the_live_ones() -> None:
    async with bench() as b:
        t = Ticker(b)
        await t.bars.fill()
        assert t.minutes() == [(minute, True) for minute in range(100 - GRID.bars_to_warm, 100)]
        t.feed.on_book(10**16, 2 * 10**16, 1)
        assert not t.bars.live(live(100))
        assert t.minutes()[-1] == (100, False)
        assert (t.out[-1].bid, t.out[-1].ask) == (Decimal("1.0"), Decimal("2.0"))
        assert t.bars.live(live(103)), "101 and 102 are missing"
        t.minute = 104
        await t.bars.fill()
        assert t.minutes()[-3:] == [(101, True), (102, True), (103, True)]


async def test_a_gap_the_venue_cannot_fill_does_not_hold_the_market_up() -> None:
    async with bench() as b:
        t = Ticker(b)
        await t.bars.fill()
        t.missing = 1_000
        assert t.bars.live(live(110))
        await t.bars.fill()
        assert t.minutes()[-1] == (110, False)


async def test_cancels_that_find_nothing_are_done_and_a_refused_one_is_not() -> None:
    async with bench() as b:

        class NoTrading:
            connected = False

        clocks = {"wall_ns": lambda: 0, "mono_ns": lambda: 0}
        interlock = Interlock([IID], enabled=False, **clocks)
        safety = Safety(
            b.calls,
            {IID: "BTCUSDT"},
            trading=NoTrading(),  # type: ignore[arg-type]
            inflight=b.inflight,
            interlock=interlock,
            **clocks,
        )
        gone = {"code": -2011, "msg": "Unknown order sent."}
        b.fake.on(
            "DELETE", "/fapi/v1/batchOrders", answer([{"clientOrderId": "a", "status": "CANCELED"}, gone])
        )
        command = m.CancelRaw(token="x", instrument=IID, client_order_ids=("a", "b"))
        assert await safety.cancel(command) == m.VenueDone(token="x", status="CANCELED")
        b.fake.on("DELETE", "/fapi/v1/batchOrders", answer([gone, {"code": -1000, "msg": "odd"}]))
        refused = await safety.cancel(command)
        assert isinstance(refused, m.VenueFailed)
        assert refused.code == -1000
        b.fake.on("DELETE", "/fapi/v1/batchOrders", answer([gone]))
        short = await safety.cancel(command)
        assert isinstance(short, m.VenueFailed)
        assert short.ambiguous
        b.fake.on("DELETE", "/fapi/v1/algoOrder", answer(gone, 400))
        algo = m.CancelRaw(token="x", instrument=IID, client_order_ids=("s",), algo=True)
        assert await safety.cancel(algo) == m.VenueDone(token="x", status="CANCELED")


FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001",
     "maxQty": "1000"}, {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
    {"filterType": "MIN_NOTIONAL", "notional": "100"}, {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 7},
    {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
]  # fmt: skip


def account(
    b: Bench, *, leverage: int = 5, margin: str = "CROSSED", dual: bool = True, multi: bool = False
) -> None:
    """Script an account that takes changes as it is told."""
    state: dict[str, Any] = {"leverage": leverage, "marginType": margin, "dual": dual}

    def set_leverage(request: web.Request) -> web.StreamResponse:
        state["leverage"] = int(request.query["leverage"])
        return answer({})(request)

    def set_margin(request: web.Request) -> web.StreamResponse:
        state["marginType"] = request.query["marginType"]
        return answer({"code": 200, "msg": "success"})(request)

    def set_dual(request: web.Request) -> web.StreamResponse:
        state["dual"] = request.query["dualSidePosition"] == "true"
        return answer({"code": 200, "msg": "success"})(request)

    def dual_side(request: web.Request) -> web.StreamResponse:
        return answer({"dualSidePosition": state["dual"]})(request)

    def symbol_config(request: web.Request) -> web.StreamResponse:
        return answer([{"symbol": "BTCUSDT"} | state])(request)

    info = {"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2000}],
            "symbols": [{"symbol": "BTCUSDT", "status": "TRADING", "filters": FILTERS}]}  # fmt: skip
    brackets = [{"symbol": "BTCUSDT", "brackets": [{"maintMarginRatio": 0.004}, {"maintMarginRatio": 0.005}]}]
    on = b.fake.on
    on("GET", "/fapi/v1/time", answer({"serverTime": NOW_MS}))
    on("GET", "/fapi/v1/multiAssetsMargin", answer({"multiAssetsMargin": multi}))
    on("GET", "/fapi/v1/positionSide/dual", dual_side)
    on("POST", "/fapi/v1/positionSide/dual", set_dual)
    on("GET", "/fapi/v1/symbolConfig", symbol_config)
    on("POST", "/fapi/v1/leverage", set_leverage)
    on("POST", "/fapi/v1/marginType", set_margin)
    on("GET", "/fapi/v1/exchangeInfo", answer(info))
    on("GET", "/fapi/v1/leverageBracket", answer(brackets))


async def test_an_account_that_fits_is_left_alone() -> None:
    async with bench() as b:
        account(b)
        (rules,) = await setup.prepare(b.calls, [GRID])
        assert (rules.tick, rules.step, rules.min_notional) == (
            Decimal("0.1"),
            Decimal("0.001"),
            Decimal(100),
        )
        assert (rules.market_max_qty, rules.max_algo_orders) == (Decimal(120), 7)
        assert rules.maint_margin_rate == Decimal("0.004")
        assert b.calls.http.weight_limit == 2000
        assert not any(path.startswith("POST") for path in b.fake.paths())


async def test_settings_are_put_right_and_verified() -> None:
    async with bench() as b:
        account(b, leverage=20, margin="ISOLATED", dual=False)
        await setup.prepare(b.calls, [GRID])
        posts = [path for path in b.fake.paths() if path.startswith("POST")]
        assert posts == [
            "POST /fapi/v1/positionSide/dual", "POST /fapi/v1/marginType", "POST /fapi/v1/leverage",
        ]  # fmt: skip


async def test_what_the_account_does_not_take_is_refused() -> None:
    async with bench() as b:
        account(b, leverage=20)
        b.fake.on("POST", "/fapi/v1/leverage", answer({}))
        with pytest.raises(setup.SetupRefused, match="leverage 5"):
            await setup.prepare(b.calls, [GRID])
        account(b, multi=True)
        with pytest.raises(setup.SetupRefused, match="multi-asset"):
            await setup.prepare(b.calls, [GRID])
        account(b)
        b.fake.on("GET", "/fapi/v1/exchangeInfo", answer({"rateLimits": [], "symbols": []}))
        with pytest.raises(setup.SetupRefused, match="does not list BTCUSDT"):
            await setup.prepare(b.calls, [GRID])
        b.fake.on("GET", "/fapi/v1/time", answer({}, 503))
        with pytest.raises(VenueCallError):
            await setup.prepare(b.calls, [GRID])

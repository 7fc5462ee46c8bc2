"""Money: average entry, realised profit, fees, funding, margins, liquidation, transfers, configuration, snapshot."""

import itertools

import pytest

from hedgegridd.exchange.brackets import brackets_of, maintenance, max_notional
from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.invariants import InvariantError, check_books, check_money
from hedgegridd.exchange.settlement import FUNDING_MS
from hedgegridd.exchange.types import SymbolRules
from tests.unit.exchange.engine_kit import RULES, D, code_of, engine, kinds, leg_of, order, stop, tick


def figure(made: Engine, name: str) -> object:
    return D(made.truth()[name])


def test_a_round_trip_books_fees_and_profit_to_the_last_decimal() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01", "49900"), 2_000)
    made.on_tick(tick("49800"), 2_001)  # maker at 49900: fee 0.0998
    made.new_order(order("SELL", "LONG", "0.01"), 2_002)  # taker at 49799.9: fee 0.2489995
    assert figure(made, "fees") == D("0.0998") + D("0.2489995")
    assert figure(made, "realised") == D("-1.001")
    assert figure(made, "wallet") == 10_000 - D("1.001") - D("0.3487995")
    trades = made.user_trades({"symbol": "BTCUSDT"})
    assert [(t["maker"], t["commission"], t["realizedPnl"]) for t in trades] == [
        (True, "0.09980000", "0.00000000"),
        (False, "0.24899950", "-1.00100000"),
    ]


def test_entry_is_weighted_on_adds_and_unchanged_on_reduction() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.on_tick(tick("51000"), 2_001)
    made.new_order(order("BUY", "LONG", "0.03"), 2_002)
    assert leg_of(made, "LONG") == (D("0.04"), D("50750"))
    made.new_order(order("SELL", "LONG", "0.01"), 2_003)
    assert leg_of(made, "LONG") == (D("0.03"), D("50750"))
    assert figure(made, "realised") == D("2.499")


def test_the_legs_are_apart() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.01"), 2_000)
    made.on_tick(tick("51000"), 2_001)
    long, short = made.position_risk("BTCUSDT")
    assert (long["positionAmt"], short["positionAmt"]) == ("0.020", "-0.010")
    assert (long["unRealizedProfit"], short["unRealizedProfit"]) == ("20.00000000", "-10.00100000")
    assert (long["notional"], short["notional"]) == ("1020.00000000", "-510.00000000")


def test_income_rows_of_a_fill_and_their_filters() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.new_order(order("SELL", "LONG", "0.01"), 2_005)
    rows = made.income({})
    assert [r["incomeType"] for r in rows] == ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"]
    assert sum(D(r["income"]) for r in rows) == figure(made, "wallet")
    assert len({r["tranId"] for r in rows}) == 4
    assert made.income({"incomeType": "COMMISSION"}) == [rows[1], rows[3]]
    assert made.income({"startTime": "2005"}) == rows[2:]
    assert made.income({"startTime": "0", "endTime": "2000", "symbol": "BTCUSDT"}) == rows[1:2]
    assert made.income({"page": "2", "limit": "3"}) == rows[3:]
    assert made.income({"limit": "2"}) == rows[-2:]


@pytest.mark.parametrize(("rate", "paid"), [("0.001", "-1.0"), ("-0.002", "2.0")])
def test_funding_at_eight_hours_of_market_time(rate: str, paid: str) -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.03"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.01"), 2_000)
    made.take_events()
    made.set_funding_rate("BTCUSDT", D(rate))
    assert made.funding("BTCUSDT") == (D(rate), FUNDING_MS)
    made.on_tick(tick("50000", ts_ms=FUNDING_MS - 1), 3_000)
    assert figure(made, "funding") == 0
    made.on_tick(tick("50000", ts_ms=FUNDING_MS), 3_001)
    assert figure(made, "funding") == D(paid)
    rows = made.income({"incomeType": "FUNDING_FEE"})
    assert [r["time"] for r in rows] == [FUNDING_MS] * 2
    (event,) = made.take_events()
    assert (event.body["a"]["m"], D(event.body["a"]["B"][0]["bc"])) == ("FUNDING_FEE", D(paid))
    assert made.funding_rates({"symbol": "BTCUSDT"})[0]["fundingRate"] == f"{D(rate):.8f}"
    assert made.funding("BTCUSDT")[0] != D(rate)  # the override was for one settlement


def test_funding_every_hour_pays_its_share_and_is_told() -> None:
    hour_ms = FUNDING_MS // 8
    made = engine()
    assert made.funding_info() == []
    made.new_order(order("BUY", "LONG", "0.03"), 2_000)
    made.set_funding_hours("BTCUSDT", 1)
    assert [(row["symbol"], row["fundingIntervalHours"]) for row in made.funding_info()] == [("BTCUSDT", 1)]
    assert made.funding("BTCUSDT") == (D("0.0000125"), hour_ms)  # an eighth of the interest
    made.on_tick(tick("50000", ts_ms=2 * hour_ms + 5), 3_000)
    assert [row["time"] for row in made.income({"incomeType": "FUNDING_FEE"})] == [hour_ms, 2 * hour_ms]
    assert figure(made, "funding") == 2 * D("-0.01875")
    made.set_funding_hours("BTCUSDT", 4)
    assert made.funding("BTCUSDT")[1] == 4 * hour_ms
    for hours in (0, 3, 24):
        assert code_of(made.set_funding_hours, "BTCUSDT", hours) == -1130
    assert made.funding("BTCUSDT")[1] == 4 * hour_ms


def test_funding_by_premium_and_every_settlement_of_a_long_gap() -> None:
    made = engine()
    made.on_tick(tick("50000", ts_ms=5, mark="50100", index="50000"), 2_000)
    made.on_tick(tick("50000", ts_ms=6, mark="50100", index="50000"), 2_000)
    # premium (0 + 0.002 + 0.002) / 3; interest 0.0001 pulls it down by at most 0.0005
    assert made.funding("BTCUSDT")[0] == D("0.00083333")
    made.on_tick(tick("50000", ts_ms=3 * FUNDING_MS + 1), 2_001)
    rates = [row["fundingRate"] for row in made.funding_rates({"symbol": "BTCUSDT"})]
    assert rates == ["0.00083333", "0.00010000", "0.00010000"]
    assert made.funding("BTCUSDT")[1] == 4 * FUNDING_MS


def test_margin_call_then_liquidation_with_its_events() -> None:
    made = engine(deposit=D(500))
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "40000", clientAlgoId="s"), 2_000)
    made.take_events()
    risk = D(made.position_risk("BTCUSDT")[0]["liquidationPrice"])
    assert D(45_100) < risk < D(45_300)
    made.on_tick(tick("45240"), 3_000)
    assert kinds(made) == [("MARGIN_CALL", "")]
    made.on_tick(tick(str(risk + D("0.2"))), 3_001)
    assert kinds(made) == []
    made.on_tick(tick(str(risk - D("0.2"))), 3_002)
    events = made.take_events()
    order_events = [e.body["o"] for e in events if e.body["e"] == "ORDER_TRADE_UPDATE"]
    assert [(o["x"], o["X"], o["o"]) for o in order_events] == [
        ("NEW", "NEW", "LIQUIDATION"),
        ("CALCULATED", "FILLED", "LIQUIDATION"),
    ]
    assert order_events[0]["c"].startswith("autoclose-")
    assert leg_of(made, "LONG") == (0, 0)


def test_liquidation_cancels_what_rests_and_spares_the_winning_leg() -> None:
    made = engine(deposit=D(1_000))
    made.new_order(order("BUY", "LONG", "0.2"), 2_000)
    made.new_order(order("SELL", "SHORT", "0.01"), 2_000)
    made.new_order(order("SELL", "LONG", "0.1", "52000", newClientOrderId="t"), 2_000)
    made.on_tick(tick("44900"), 3_000)
    assert leg_of(made, "LONG")[0] == 0
    assert leg_of(made, "SHORT")[0] == D("0.01")
    assert made.query_order({"symbol": "BTCUSDT", "origClientOrderId": "t"})["status"] == "CANCELED"


def test_a_gap_beyond_bankruptcy_is_covered_by_the_insurance_fund() -> None:
    made = engine(deposit=D(500))
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)
    made.on_tick(tick("30000"), 3_000)
    assert figure(made, "wallet") == 0
    assert figure(made, "insurance") > 0
    assert made.income({"incomeType": "INSURANCE_CLEAR"})
    assert made.truth()["invariant"] == "ok"


def test_a_stop_at_the_same_tick_comes_before_liquidation() -> None:
    made = engine(deposit=D(500))
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "46000", clientAlgoId="s"), 2_000)
    made.on_tick(tick("45050"), 3_000)
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "FINISHED"


def test_deleveraging_takes_part_of_a_leg() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.03"), 2_000)
    made.take_events()
    made.deleverage("BTCUSDT", "LONG", D("0.01"), 2_001)
    assert leg_of(made, "LONG")[0] == D("0.02")
    assert ("ACCOUNT_UPDATE", "ADL") in kinds(made)
    assert code_of(made.deleverage, "BTCUSDT", "LONG", D("0.03"), 2_002) == -4003
    assert code_of(made.deleverage, "BTCUSDT", "BOTH", D("0.01"), 2_002) == -4060


def test_transfers() -> None:
    made = engine()
    made.transfer(D("-4000"), 2_000)
    made.transfer(D("0.5"), 2_001)
    assert kinds(made) == [("ACCOUNT_UPDATE", "WITHDRAW"), ("ACCOUNT_UPDATE", "DEPOSIT")]
    assert figure(made, "wallet") == figure(made, "deposits") == D("6000.5")
    assert code_of(made.transfer, D(-7_000), 2_002) == -9000
    assert code_of(made.transfer, D(0), 2_002) == -9000


def test_unrealised_profit_serves_as_margin_but_cannot_be_withdrawn() -> None:
    made = engine(deposit=D(100))
    made.new_order(order("BUY", "LONG", "0.03"), 2_000)
    made.on_tick(tick("52000"), 2_001)
    account = made.account_v2()
    assert D(account["availableBalance"]) == D("99.25") + 60 - 78
    assert D(account["maxWithdrawAmount"]) == D(account["availableBalance"])
    made.on_tick(tick("60000"), 2_002)
    assert D(made.account_v2()["maxWithdrawAmount"]) == D("99.25")


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("set_leverage", {"symbol": "BTCUSDT", "leverage": "126"}, -4028),
        ("set_leverage", {"symbol": "BTCUSDT", "leverage": "0"}, -4028),
        ("set_leverage", {"symbol": "BTCUSDT", "leverage": "x"}, -1102),
        ("set_leverage", {"symbol": "X", "leverage": "5"}, -1121),
        ("set_leverage", {"symbol": "BTCUSDT", "leverage": "1"}, -2028),
        ("set_leverage", {"symbol": "BTCUSDT", "leverage": "5"}, 0),
        ("set_margin_type", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
        ("set_margin_type", {"symbol": "BTCUSDT", "marginType": "isolated"}, -1130),
        ("set_margin_type", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}, -4048),
        ("set_position_mode", {"dualSidePosition": "true"}, -4059),
        ("set_position_mode", {"dualSidePosition": "false"}, -4068),
    ],
)
def test_configuration(method: str, request_: dict[str, str], code: int) -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.3"), 2_000)
    made.take_events()
    assert code_of(getattr(made, method), request_) == code
    assert made.symbol_config("BTCUSDT")[0]["leverage"] == (20 if code else 5)
    assert len(made.take_events()) == (0 if code else 1)


def test_modes_change_when_nothing_is_open_and_orders_that_do_not_fit_are_refused() -> None:
    made = engine()
    one_way, hedge = {"dualSidePosition": "false"}, {"dualSidePosition": "true"}
    isolated = {"symbol": "BTCUSDT", "marginType": "ISOLATED"}
    made.new_order(order("BUY", "LONG", "0.01", "49000"), 2_000)
    assert code_of(made.set_position_mode, one_way) == -4067
    assert code_of(made.set_margin_type, isolated) == -4047
    made.cancel_all("BTCUSDT", 2_000)

    assert made.set_position_mode(one_way) == {"code": 200, "msg": "success"}
    assert made.position_mode() == {"dualSidePosition": False}
    assert made.account_config()["dualSidePosition"] is False
    assert code_of(made.set_position_mode, one_way) == -4059
    assert code_of(made.new_order, order("BUY", "LONG", "0.01", "49000"), 2_000) == -4061
    assert (
        code_of(made.new_order, {**order("BUY", "LONG", "0.01", "49000"), "positionSide": "BOTH"}, 2_000)
        == -4061
    )
    made.set_position_mode(hedge)
    made.new_order(order("BUY", "LONG", "0.01", "49000"), 2_000)
    made.cancel_all("BTCUSDT", 2_000)

    assert made.set_margin_type(isolated) == {"code": 200, "msg": "success"}
    assert made.symbol_config("BTCUSDT")[0]["marginType"] == "ISOLATED"
    assert {row["marginType"] for row in made.position_risk("BTCUSDT")} == {"isolated"}
    assert code_of(made.set_margin_type, isolated) == -4046
    assert code_of(made.new_order, order("BUY", "LONG", "0.01", "49000"), 2_000) == -2010
    assert code_of(made.set_multi_assets_mode, {"multiAssetsMargin": "true"}) == -4167
    made.set_margin_type({**isolated, "marginType": "CROSSED"})
    made.set_multi_assets_mode({"multiAssetsMargin": "true"})
    assert code_of(made.set_margin_type, isolated) == -4168


def test_brackets_are_continuous_and_bound_leverage() -> None:
    brackets = brackets_of(RULES)
    for below, above in itertools.pairwise(brackets):
        assert above.floor == below.cap
        assert below.cap * below.rate - below.cum == below.cap * above.rate - above.cum
        assert above.leverage < below.leverage
    assert maintenance(brackets, D(1_000)) == 4
    assert max_notional(brackets, 125) == 300_000
    assert max_notional(brackets, 20) == 100_000_000
    assert brackets_of(SymbolRules(max_leverage=50))[0].leverage == 50


def test_invariants_see_a_cent_and_a_stray_exit() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01"), 2_000)
    made.new_order(order("SELL", "LONG", "0.01", "50500"), 2_000)
    made._state.wallet += D("0.00000001")
    with pytest.raises(InvariantError, match="wallet"):
        check_money(made._state)
    with pytest.raises(InvariantError, match="wallet"):
        made.on_tick(tick("50001"), 2_001)
    assert "wallet" in made.truth()["invariant"]
    made._state.wallet -= D("0.00000001")
    leg = made._state.leg("BTCUSDT", "LONG")
    leg.qty = leg.entry = D(0)
    with pytest.raises(InvariantError, match="flat leg"):
        check_books(made._state, made._books)


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_order(order("SELL", "LONG", "0.02", "50500", newClientOrderId="t"), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "49000"), 2_000)
    other = Engine([RULES], deposit=D(1))
    other.restore(made.snapshot())
    for each in (made, other):
        each.take_events()
        each.on_tick(tick("50500"), 3_000)
    assert [e.body for e in made.take_events()] == [e.body for e in other.take_events()]
    assert made.snapshot() == other.snapshot()
    with pytest.raises(ValueError, match="ETHUSDT"):
        Engine([SymbolRules(symbol="ETHUSDT")]).restore(made.snapshot())


@pytest.mark.parametrize("bad", [{"rules": []}, {"rules": [RULES, RULES]}, {"deposit": D(-1)}])
def test_an_engine_that_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rules|deposit"):
        Engine(**{"rules": [RULES], **bad})  # type: ignore[arg-type]


def test_exits_hold_no_margin() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.02"), 2_000)
    made.new_order(order("SELL", "LONG", "0.02", "50500"), 2_001)
    assert D(made.account_v2()["totalOpenOrderInitialMargin"]) == 0


def test_the_funding_rate_is_capped() -> None:
    made = engine()
    for ms in range(2, 9):
        made.on_tick(tick("50000", ts_ms=ms, mark="60000", index="50000"), 2_000)
    assert made.funding("BTCUSDT")[0] == D("0.02")


def test_client_ids_are_known_after_a_restart() -> None:
    made = engine()
    made.new_order(order("BUY", "LONG", "0.01", "49000", newClientOrderId="a"), 2_000)
    made.new_algo_order(stop("SELL", "LONG", "48000", clientAlgoId="s"), 2_000)
    made.restore(made.snapshot())
    again = order("BUY", "LONG", "0.01", "49000", newClientOrderId="a")
    assert code_of(made.new_order, again, 2_001) == -4116
    assert made.query_order({"symbol": "BTCUSDT", "origClientOrderId": "a"})["status"] == "NEW"
    assert made.query_algo_order({"clientAlgoId": "s"})["algoStatus"] == "NEW"


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "1.1", "-2"])
def test_admin_figures_that_make_no_sense_are_refused(rate: str) -> None:
    made = engine()
    before = made.snapshot()
    assert code_of(made.set_funding_rate, "BTCUSDT", D(rate)) == -1130
    assert code_of(made.deleverage, "BTCUSDT", "LONG", D(rate), 2_000) == -4003
    assert code_of(made.transfer, D("NaN"), 2_000) == -9000
    assert made.snapshot() == before


def test_two_symbols_share_the_wallet_but_not_their_legs() -> None:
    import msgspec

    made = Engine([RULES, SymbolRules(symbol="ETHUSDT", base="ETH", tick=D("0.01"))], deposit=D(600))
    made.on_tick(tick("50000"), 1_000)
    made.on_tick(msgspec.structs.replace(tick("2500"), symbol="ETHUSDT"), 1_000)
    eth = {**order("SELL", "SHORT", "2"), "symbol": "ETHUSDT"}
    made.new_order(eth, 2_000)
    made.new_order(order("BUY", "LONG", "0.1"), 2_000)
    assert code_of(made.new_order, order("BUY", "LONG", "0.05"), 2_001) == -2019
    legs = {key: leg["qty"] for key, leg in made.truth()["legs"].items() if D(leg["qty"])}
    assert legs == {"BTCUSDT:LONG": "0.1", "ETHUSDT:SHORT": "2"}
    assert len(made.position_risk()) == 4
    before = D(made.position_risk("BTCUSDT")[0]["liquidationPrice"])
    made.on_tick(msgspec.structs.replace(tick("2550"), symbol="ETHUSDT"), 3_000)
    assert D(made.position_risk("BTCUSDT")[0]["liquidationPrice"]) > before + 900
    assert made.open_orders("ETHUSDT") == []
    assert [t["symbol"] for t in made.user_trades({"symbol": "ETHUSDT"})] == ["ETHUSDT"]


def test_the_opening_deposit_is_no_news_to_who_knew_the_account_before():
    start_ms = 1_700_000_000_000
    engine = Engine([RULES], deposit=D(100_000), start_ms=start_ms)
    assert engine.income({"startTime": str(start_ms - 60_000)}) == []

"""Self-trade prevention: orders of the two legs never trade with each other."""

import pytest

from hedgegridd.exchange.engine import Engine
from tests.unit.exchange.engine_kit import D, code_of, engine, order, tick


def with_resting_sell(price: str) -> tuple[Engine, int]:
    """A SHORT entry of 0.01 rests at `price`; displayed asks are 0.02 each at 50000, 50000.1 and 50000.2."""
    made = engine(deposit=D(1_000_000))
    resting = made.new_order(order("SELL", "SHORT", "0.01", price), 1_200)["orderId"]
    made.on_tick(tick("50000", size="0.02", levels=3, volume="0"), 1_500)
    made.take_events()
    return made, resting


def crossing(qty: str, price: str = "50010", **more: str) -> dict[str, str]:
    return order("BUY", "LONG", qty, price, newOrderRespType="RESULT", **more)


def status(made: Engine, order_id: int) -> str:
    return str(made.query_order({"symbol": "BTCUSDT", "orderId": str(order_id)})["status"])


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "PARTIALLY_FILLED"),
        ("", "EXPIRED_IN_MATCH", "PARTIALLY_FILLED"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_the_takers_mode_decides_who_goes(mode: str, maker: str, taker: str) -> None:
    made, resting = with_resting_sell("50005")
    answer = made.new_order(crossing("0.08", selfTradePreventionMode=mode), 3_000)
    assert (status(made, resting), answer["status"], answer["executedQty"]) == (maker, taker, "0.060")
    assert answer["selfTradePreventionMode"] == (mode or "EXPIRE_MAKER")
    told = {e.body["o"]["i"]: e.body["o"] for e in made.take_events() if e.body["e"] == "ORDER_TRADE_UPDATE"}
    if maker != "NEW":
        assert (told[resting]["x"], told[resting]["X"]) == ("EXPIRED", "EXPIRED_IN_MATCH")
    assert made.truth()["legs"]["BTCUSDT:SHORT"]["qty"] == "0"


def test_an_order_that_is_filled_before_it_reaches_ours_leaves_it_alone() -> None:
    made, resting = with_resting_sell("50005")
    answer = made.new_order(crossing("0.06", selfTradePreventionMode="EXPIRE_BOTH"), 3_000)
    assert (answer["status"], status(made, resting)) == ("FILLED", "NEW")


def test_a_market_order_stops_at_ours() -> None:
    made, resting = with_resting_sell("50000.1")
    market = order("BUY", "LONG", "0.05", selfTradePreventionMode="EXPIRE_TAKER", newOrderRespType="RESULT")
    answer = made.new_order(market, 3_000)
    # The size displayed at its price stands before our own.
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED_IN_MATCH", "0.040")
    assert status(made, resting) == "NEW"


def test_a_fill_or_kill_counts_only_what_it_may_take() -> None:
    made, resting = with_resting_sell("50000.1")
    request = {**crossing("0.05"), "timeInForce": "FOK"}
    killed = made.new_order({**request, "selfTradePreventionMode": "EXPIRE_TAKER"}, 3_000)
    assert (killed["status"], killed["executedQty"], status(made, resting)) == ("EXPIRED", "0.000", "NEW")
    whole = made.new_order(request, 4_000)
    assert (whole["status"], status(made, resting)) == ("FILLED", "EXPIRED_IN_MATCH")


def test_post_only_does_not_rest_against_our_own_order() -> None:
    made, _ = with_resting_sell("50000.1")
    made.on_tick(tick("50000", size="0.02", levels=1, volume="0"), 3_000)
    made.new_order(crossing("0.02", "50000"), 3_100)  # takes all that is displayed: only ours stands there
    refused = {**crossing("0.01", "50000.1"), "timeInForce": "GTX"}
    assert code_of(made.new_order, refused, 4_000) == -5022
    assert code_of(made.new_order, {**refused, "price": "50000"}, 4_000) == 0


def test_none_is_no_mode_any_more() -> None:
    made, _ = with_resting_sell("50005")
    before = made.snapshot()
    assert code_of(made.new_order, crossing("0.01", selfTradePreventionMode="NONE"), 3_000) == -4402
    assert code_of(made.new_order, crossing("0.01", selfTradePreventionMode="NEVER"), 3_000) == -1130
    assert made.snapshot() == before

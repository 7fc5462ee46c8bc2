"""Questions about one order (`Resolver.answer`) whose answer does not come whole."""

from hedgegridd import messages as m
from tests.unit.venue.test_orders import IID, ORDER, answer, bench

TRADES = "/fapi/v1/userTrades"
FILLED = {
    "orderId": 7, "clientOrderId": "C1", "status": "FILLED", "side": "SELL", "positionSide": "LONG",
    "type": "MARKET", "origQty": "0.01", "executedQty": "0.01", "price": "0", "avgPrice": "100", "updateTime": 1,
    "symbol": "BTCUSDT",
}  # fmt: skip


async def test_trades_that_cannot_be_read_leave_the_answer_open_and_break_nothing() -> None:
    """The order is filled, but its fills are not known: the asker asks again."""
    async with bench() as b:
        b.fake.on("GET", ORDER, answer(FILLED))
        b.fake.on("GET", TRADES, answer({"msg": "Unknown error"}, 503))
        told = await b.resolver.answer(m.AskOrder(token="t", instrument=IID, client_order_id="C1"))
        assert isinstance(told, m.VenueFailed)
        assert told.ambiguous
        assert b.of(m.Fill) == []

"""An answer that is not the venue's own: a proxy's page, or nothing, with the status of a gateway."""

import pytest

from hedgegridd import messages as m
from hedgegridd.venue.failures import of_text
from tests.support.fake_rest import answer
from tests.support.order_bench import IID, ORDER, bench, order

MISSING = answer({"code": -2013, "msg": "Order does not exist."}, 400)


@pytest.mark.parametrize(
    ("said", "missing_s"),
    [
        ("HTTP 502: <html>Bad Gateway</html>", 6),
        ("HTTP 504: ", 6),
        ("{'code': -1007, 'msg': 'Timeout', 'status': 503}", 2),
    ],
)
async def test_what_a_proxy_answered_for_may_still_arrive(said: str, missing_s: int) -> None:
    """It is not taken for missing before recvWindow and a second are over; what the venue has answered for has come."""
    async with bench() as b:
        b.calls.http.recv_window_ms = 5_000
        b.fake.on("GET", ORDER, MISSING)
        b.place(order("E1"))
        await b.settle()
        b.orders.order_failed(IID, "E1", of_text(said))
        assert [type(event) for event in b.told] == [m.OrderUnknown]
        await b.settle()
        assert [event.code for event in b.of(m.OrderRejected)] == [-2013]
        assert b.now_ns == missing_s * 1_000_000_000

"""The way of orders out: latch, journal, order of leaving, refusals; with a connection that only records."""

import asyncio

from hedgegridd import messages as m
from hedgegridd.errors import JournalFailed
from hedgegridd.model import KillState, Leg, OrderKind, Purpose
from hedgegridd.venue.failures import of_text
from hedgegridd.venue.pace import Pace, of_quota
from tests.support.fake_rest import answer
from tests.support.order_bench import ALGO, IID, ORDER, STOP_RESTING, bench, order, stop


async def test_orders_leave_in_the_order_they_came_and_entries_wait_for_the_stops_answer() -> None:
    async with bench() as b:
        b.fake.on("POST", ALGO, lambda r: b.log.append("stop answered") or answer({"algoId": 5})(r))
        b.place(order("T1", Purpose.TAKE_PROFIT), stop("S1"), order("E1"), order("E2"))
        await b.settle()
        assert b.log == ["T1", "remember S1", "stop answered", "E1", "E2"]
        assert [event.client_order_id for event in b.of(m.OrderAccepted)] == ["S1"]
        assert set(b.causes) == {7}
        assert b.inflight.order_ids == ("T1", "E1", "E2")


async def test_a_stop_without_an_answer_holds_entries_for_a_second_only() -> None:
    async with bench(stop_answer_s=0.02) as b:
        b.fake.on("POST", ALGO, "hang")
        b.place(stop("S1"), order("E1"))
        b.fake.on("GET", ALGO, answer(STOP_RESTING))
        async with asyncio.timeout(2):
            await b.trading.sent.wait()
        assert b.log == ["remember S1", "E1"]
        assert b.inflight.order("S1") is not None
        b.fake.released.set()
        await b.settle()
        assert [type(event) for event in b.told] == [m.OrderUnknown, m.OrderAccepted]


async def test_a_latched_leg_gets_no_entry_and_every_exit() -> None:
    async with bench() as b:
        b.orders.latch(IID, (Leg.LONG,))
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT), order("E2", leg=Leg.SHORT))
        await b.settle()
        assert b.log == ["T1", "E2"]
        (refused,) = b.of(m.OrderRefused)
        assert (refused.client_order_id, refused.leg) == ("E1", Leg.LONG)
        b.orders.unlatch(IID, (Leg.LONG,))
        b.place(order("E3"))
        await b.settle()
        assert b.log[-1] == "E3"


async def test_a_latch_that_comes_while_an_entry_waits_for_the_journal_holds_it() -> None:
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"))
        await asyncio.sleep(0)
        b.orders.latch(IID, (Leg.LONG,))
        written.set()
        await b.settle()
        assert b.log == []
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E1"]


async def test_a_close_that_waits_when_a_flatten_takes_the_leg_over_does_not_leave_beside_the_flattens() -> (
    None
):
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        close = {"kind": OrderKind.MARKET, "price": None}
        b.place(order("C1", Purpose.CLOSE, **close), order("C2", Purpose.CLOSE, Leg.SHORT, **close))
        await asyncio.sleep(0)
        b.orders.latch(IID, (Leg.LONG,))
        written.set()
        await b.settle()
        assert b.log == ["C2"]
        assert [(event.client_order_id, event.reason) for event in b.of(m.OrderRefused)] == [
            ("C1", "a flatten closes the leg")
        ]
        b.now_ns += 1_000_000_000
        b.place(order("C3", Purpose.CLOSE, **close))  # decided on later: the leg has inventory again
        await b.settle()
        assert b.log == ["C2", "C3"]


async def test_nothing_new_is_entered_while_the_daemon_stops() -> None:
    async with bench() as b:
        b.orders.stop_entries("SIGTERM")
        b.place(order("E1"), order("C1", Purpose.CLOSE, kind=OrderKind.MARKET, price=None))
        await b.settle()
        assert b.log == ["C1"]
        assert "SIGTERM" in b.of(m.OrderRefused)[0].reason


async def test_a_broken_journal_stops_entries_and_no_exit() -> None:
    async with bench() as b:

        async def broken() -> None:
            raise JournalFailed("disk full")

        b.journal = broken
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT), stop("S1"))
        await b.settle()
        assert b.log == ["T1", "remember S1"]
        (refused,) = b.of(m.OrderRefused)
        assert refused.client_order_id == "E1"
        assert "disk full" in refused.reason


async def test_a_hung_journal_delays_exits_by_a_tenth_of_a_second_and_then_refuses_entries() -> None:
    async with bench(reducing_s=0.01, entry_s=0.02) as b:
        b.journal = asyncio.Event().wait
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT))
        await b.settle()
        assert b.log == ["T1"]
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E1"]


async def test_a_late_journal_lets_entries_through_once_it_is_there() -> None:
    async with bench(reducing_s=0.01) as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT))
        async with asyncio.timeout(2):
            await b.trading.sent.wait()
        assert b.log == ["T1"]
        written.set()
        await b.settle()
        assert b.log == ["T1", "E1"]


async def test_what_reduces_never_waits_behind_entries_that_wait_for_the_journal() -> None:
    async with bench(reducing_s=0.01, entry_s=5) as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"))
        for name in ("C1", "T2"):  # while the entry's wait runs
            b.trading.sent.clear()
            b.place(order(name, Purpose.CLOSE))
            async with asyncio.timeout(1):
                await b.trading.sent.wait()
        assert b.log == ["C1", "T2"]
        assert b.of(m.OrderRefused) == []
        written.set()
        await b.settle()
        assert b.log == ["C1", "T2", "E1"]


async def test_what_reduces_never_waits_behind_an_entry_that_waits_for_a_stops_answer() -> None:
    async with bench(stop_answer_s=5) as b:
        b.fake.on("POST", ALGO, "hang")
        b.place(stop("S1"), order("E1"))
        await b.fake.until_asked(1)
        b.place(order("C1", Purpose.CLOSE))
        async with asyncio.timeout(2):
            await b.trading.sent.wait()
        assert b.log == ["remember S1", "C1"]
        b.fake.released.set()
        b.fake.on("GET", ALGO, answer(STOP_RESTING))
        await b.settle()
        assert b.log == ["remember S1", "C1", "E1"]


async def test_two_stops_that_wait_at_once_hold_their_entries_and_a_withdrawn_one_holds_none() -> None:
    async with bench(reducing_s=5, stop_answer_s=5) as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(stop("S1"), order("E1"))
        await asyncio.sleep(0)
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="S1", algo=True))
        written.set()
        async with asyncio.timeout(2):
            await b.settle()
        assert b.log == ["E1"]
        assert [(event.client_order_id, event.how) for event in b.of(m.OrderClosed)] == [("S1", "CANCELED")]


async def test_waiting_entries_fill_no_place_of_what_reduces() -> None:
    async with bench(waiting=1) as b:
        b.place(order("E1"), order("E2"), order("T1", Purpose.TAKE_PROFIT))
        await b.settle()
        assert sorted(b.log) == ["E1", "T1"]
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E2"]


async def test_entries_that_wait_are_refused_at_once_when_the_kill_switch_moves_and_pass_when_it_is_armed() -> (
    None
):
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT))
        b.orders.kill_switch(KillState.TRIPPED)
        (refused,) = b.of(m.OrderRefused)
        assert (refused.client_order_id, refused.reason) == ("E1", "the kill switch is TRIPPED")
        b.place(order("E2"))
        written.set()
        await b.settle()
        assert b.log == ["T1"]
        for state in (KillState.HALTED, KillState.REARMING, KillState.STARTING):
            b.orders.kill_switch(state)
            b.place(order(f"E{state}"))
        await b.settle()
        assert b.log == ["T1"]
        b.orders.kill_switch(KillState.ARMED)
        b.place(order("E9"))
        await b.settle()
        assert b.log == ["T1", "E9"]


async def test_an_entry_taken_after_rearming_waits_for_its_own_record() -> None:
    """The one before it, refused while the journal was late, must not lend it its wait."""
    async with bench() as b:
        gates = [asyncio.Event(), asyncio.Event()]
        calls = iter(gates)
        b.journal = lambda: next(calls).wait()
        b.place(order("E1"))
        await asyncio.sleep(0)
        b.orders.kill_switch(KillState.TRIPPED)
        b.orders.kill_switch(KillState.ARMED)
        b.place(order("E2"))
        gates[0].set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert b.log == []
        gates[1].set()
        await b.settle()
        assert b.log == ["E2"]


async def test_an_order_cancelled_before_it_left_never_leaves() -> None:
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"), order("E2"))
        await asyncio.sleep(0)
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="E1"))
        written.set()
        await b.settle()
        assert b.log == ["E2"]
        (closed,) = b.of(m.OrderClosed)
        assert (closed.client_order_id, closed.how, closed.filled_qty) == ("E1", "CANCELED", 0)


async def test_without_the_connection_exits_go_by_the_signed_client_and_entries_do_not_go() -> None:
    async with bench() as b:
        b.trading.connected = False
        b.fake.on("POST", ORDER, answer({"orderId": 9}))
        b.place(order("E1"), order("T1", Purpose.TAKE_PROFIT), stop("S1"))
        await b.settle()
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E1"]
        assert {event.client_order_id for event in b.of(m.OrderAccepted)} == {"T1", "S1"}
        assert sorted(b.fake.paths()) == [f"POST {ALGO}", f"POST {ORDER}"]


async def test_a_connection_that_cannot_take_an_order_leaves_nothing_in_flight() -> None:
    async with bench() as b:
        b.trading.broken = "down"
        b.place(order("T1", Purpose.TAKE_PROFIT))
        await b.settle()
        assert b.inflight.order_ids == ()
        assert b.of(m.OrderRefused)[0].reason == "down"


async def test_a_sure_refusal_is_told_with_its_code() -> None:
    async with bench() as b:
        b.place(order("E1"))
        await b.settle()
        b.orders.order_failed(IID, "E1", of_text("{'code': -5022, 'msg': 'maker'}"))
        assert [(event.code, event.reason) for event in b.of(m.OrderRejected)] == [(-5022, "maker")]
        assert len(b.inflight) == 0


RESTING = {
    "symbol": "BTCUSDT", "orderId": 3, "clientOrderId": "E1", "status": "NEW", "side": "BUY", "positionSide": "LONG",
    "type": "LIMIT", "origQty": "0.01", "executedQty": "0", "price": "65000", "updateTime": 1,
}  # fmt: skip
MISSING = answer({"code": -2013, "msg": "Order does not exist."}, 400)


async def test_an_ambiguous_answer_is_unknown_until_the_venue_says() -> None:
    async with bench() as b:
        b.fake.on("GET", ORDER, answer({}, 502), MISSING, answer(RESTING))
        b.place(order("E1"))
        await b.settle()
        b.orders.order_failed(IID, "E1", of_text("{'code': -1007, 'msg': 'Timeout'}"))
        await b.settle()
        assert [type(event) for event in b.told] == [m.OrderUnknown, m.OrderAccepted]


async def test_an_unknown_order_is_missing_when_the_venue_says_so_twice_two_seconds_apart() -> None:
    async with bench() as b:
        b.fake.on("GET", ORDER, MISSING)
        b.place(order("E1"))
        await b.settle()
        b.orders.order_failed(IID, "E1", of_text("{'code': -1007, 'msg': 'Timeout'}"))
        await b.settle()
        assert [event.code for event in b.of(m.OrderRejected)] == [-2013]
        assert b.fake.paths() == [f"GET {ORDER}"] * 2
        assert b.now_ns >= 2_000_000_000
        # Should it turn up after all, that is news.
        assert b.teller.tell(
            m.OrderAccepted(instrument=IID, client_order_id="E1", venue_order_id="3", ts_ns=1)
        )


async def test_who_asks_for_an_order_without_an_answer_is_not_told_that_it_is_missing_while_it_may_arrive() -> (
    None
):
    async with bench() as b:
        b.fake.on("GET", ORDER, MISSING)
        ask = m.AskOrder(token="t", instrument=IID, client_order_id="C1")
        b.inflight.sent(
            IID, "C1", b.now_ns, algo=False
        )  # a close; recvWindow is 1 s, and there is a margin of 1 s
        b.now_ns += 1_999_999_999
        early = await b.resolver.answer(ask)
        assert (early.ambiguous, early.code) == (True, 0)
        b.now_ns += 1
        late = await b.resolver.answer(ask)
        assert (late.ambiguous, late.code) == (False, -2013)
        item = b.inflight.order("C1")
        assert item is not None
        b.now_ns, item.unanswered = 0, False  # the venue has answered it, if not clearly: it has arrived
        assert (await b.resolver.answer(ask)).code == -2013


async def test_silence_for_two_seconds_is_asked_about_once() -> None:
    async with bench() as b:
        b.fake.on("GET", ORDER, answer(RESTING))
        b.place(order("E1"))
        await b.settle()
        b.now_ns = 1_999_000_000
        b.orders.ask_overdue()
        assert b.tasks == set()
        b.now_ns = 2_000_000_000
        b.orders.ask_overdue()
        b.orders.ask_overdue()
        await b.settle()
        assert b.fake.paths() == [f"GET {ORDER}"]
        assert [event.client_order_id for event in b.of(m.OrderAccepted)] == ["E1"]


async def test_a_cancel_goes_by_the_signed_client_when_the_connection_does_not_hold_the_order() -> None:
    async with bench() as b:
        b.fake.on("DELETE", ORDER, answer({}))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="adopted"))
        await b.settle()
        assert b.fake.paths() == [f"DELETE {ORDER}"]
        assert b.told == []
        assert b.inflight.cancel("adopted") is not None


async def test_the_answer_to_a_stops_cancel_is_its_end_even_when_the_user_stream_is_down() -> None:
    """A leg that may have one stop is naked from the cancel on: the next one must not wait for a stream."""
    async with bench() as b:
        b.fake.on(
            "DELETE",
            "/fapi/v1/algoOrder",
            answer({"algoId": 1, "clientAlgoId": "S1", "code": "200", "msg": "success"}),
        )
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="S1", algo=True))
        await b.settle()
        (closed,) = b.told
        assert (type(closed), closed.client_order_id, closed.how) == (m.OrderClosed, "S1", "CANCELED")
        assert len(b.inflight) == 0


async def test_a_cancel_of_something_gone_tells_how_it_ended() -> None:
    async with bench() as b:
        gone = answer({"code": -2011, "msg": "Unknown order sent."}, 400)
        b.fake.on("DELETE", ORDER, gone)
        filled = RESTING | {"status": "FILLED", "executedQty": "0.01"}
        trade = {"symbol": "BTCUSDT", "id": 4, "orderId": 3, "side": "BUY", "positionSide": "LONG", "price": "65000",
                 "qty": "0.01", "commission": "0.1", "commissionAsset": "USDT", "maker": True, "time": 1}  # fmt: skip
        b.fake.on("GET", ORDER, answer(filled))
        b.fake.on("GET", "/fapi/v1/userTrades", answer([trade]))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="E1"))
        await b.settle()
        assert [type(event) for event in b.told] == [m.Fill, m.OrderClosed]
        assert b.of(m.OrderClosed)[0].how == "FILLED"
        assert len(b.inflight) == 0


async def test_a_cancel_that_had_no_effect_is_told() -> None:
    async with bench() as b:
        b.fake.on("DELETE", ORDER, answer({"code": -1007, "msg": "Timeout"}, 408))
        b.fake.on("GET", ORDER, answer(RESTING))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="E1"))
        await b.settle()
        assert [type(event) for event in b.told] == [m.OrderAccepted, m.CancelRejected]


async def test_what_waits_is_bounded() -> None:
    async with bench(waiting=2) as b:
        b.place(order("E1"), order("E2"), order("E3"))
        await b.settle()
        assert b.log == ["E1", "E2"]
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E3"]


async def test_after_a_limit_the_connection_rests_and_cancels_wait_unless_only_orders_were_too_many() -> None:
    async with bench(limited_s=2) as b:
        b.place(order("a"))
        await b.settle()
        b.orders.limited(of_text("{'code': -1015, 'msg': 'Too many new orders'}"))
        b.place(order("b"), order("tp", Purpose.TAKE_PROFIT))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="a"))
        await b.settle()
        assert b.log == ["a", "cancel a"]
        assert {e.client_order_id for e in b.of(m.OrderRefused)} == {"b", "tp"}
        b.orders.limited(of_text("{'code': -1003, 'msg': 'Too many requests'}"))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="a"))
        assert "limit" in b.of(m.CancelRejected)[0].reason
        b.now_ns += 2_000_000_000
        b.place(order("c"))
        b.orders.cancel(m.CancelOrder(instrument=IID, client_order_id="a"))
        await b.settle()
        assert b.log == ["a", "cancel a", "cancel a", "c"]


async def test_what_our_own_client_was_told_to_wait_holds_for_the_connection_too() -> None:
    async with bench() as b:
        b.fake.on("POST", ALGO, answer({"code": -1003, "msg": "no"}, 429, Retry_After="3"))
        b.place(stop("s"))
        await b.settle()
        b.place(order("e"))
        await b.settle()
        assert "e" not in b.log
        assert "3.0 s more" in b.of(m.OrderRefused)[0].reason


async def test_a_fifth_of_the_venues_orders_is_kept_for_exits() -> None:
    async with bench() as b:
        b.fake.on("POST", ALGO, answer({"algoId": 7}))
        b.calls.orders.limits = ((10, 10),)
        b.place(*[order(f"e{n}") for n in range(9)])
        await b.settle()
        refused = b.of(m.OrderRefused)
        assert [each.client_order_id for each in refused] == ["e8"]
        assert "8 of 10 orders in 10 s" in refused[0].reason
        b.place(order("t", Purpose.TAKE_PROFIT), stop("s"), order("e9"))
        await b.settle()
        assert b.log[8:] == ["t", "remember s"]
        assert [each.client_order_id for each in b.of(m.OrderRefused)] == ["e8", "e9"]
        assert b.calls.orders.used(b.now_ns) == 1, "what reduces counts as well"
        b.now_ns += 10_000_000_000
        b.place(order("e10"))
        await b.settle()
        assert b.log[-1] == "e10"


def _trip(leg: Leg | None = Leg.LONG, state: KillState = KillState.TRIPPED) -> m.Trip:
    scope = m.Scope(instrument=IID, leg=leg)
    return m.Trip(trip_id="T-7", scope=scope, action="halt", cause="ten losses", state=state)


def _pause(scope: m.Scope | None = None, action: str = "pause") -> m.Hold:
    return m.Hold(key="G-1", action=action, scope=scope or m.Scope(), cause="spread", since_ns=1)  # type: ignore[arg-type]


async def test_a_scoped_trip_refuses_entries_of_its_scope_those_that_wait_included() -> None:
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"), order("E2", leg=Leg.SHORT))
        await asyncio.sleep(0)
        b.orders.trips((_trip(),))
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E1"]
        written.set()
        b.place(order("E3"), order("T1", Purpose.TAKE_PROFIT))
        await b.settle()
        assert sorted(b.log) == ["E2", "T1"]
        b.orders.trips((_trip(state=KillState.HALTED),))
        b.place(order("E4"))
        assert [event.client_order_id for event in b.of(m.OrderRefused)] == ["E1", "E3", "E4"]
        b.orders.trips(())
        b.place(order("E5"))
        await b.settle()
        assert "E5" in b.log


async def test_a_hold_refuses_what_waits_for_the_journal_and_only_while_it_holds() -> None:
    async with bench() as b:
        written = asyncio.Event()
        b.journal = written.wait
        b.place(order("E1"))
        await asyncio.sleep(0)
        b.orders.holds("guards", (_pause(action="notify"), _pause(action="throttle")))
        assert not b.of(m.OrderRefused)
        b.orders.holds("guards", (_pause(),))
        (refused,) = b.of(m.OrderRefused)
        assert refused.reason == "held by G-1: spread"
        b.orders.holds("pauses", ())
        written.set()
        b.place(order("E2"))
        b.orders.holds("guards", ())
        b.place(order("E3"))
        await b.settle()
        assert b.log == ["E3"]


async def test_entries_wait_for_room_in_our_quota_and_what_reduces_does_not() -> None:
    async with bench(most=3) as b:
        b.calls_10s = 3
        b.place(order("E1"), order("E2"), order("T1", Purpose.TAKE_PROFIT))
        for _ in range(20):
            await asyncio.sleep(0)
        assert b.log == ["T1"]
        assert b.orders.waiting() == ("E1", "E2"), (
            "whoever compares our books with the venue must know of them"
        )
        b.inflight.ordered("T1")
        b.calls_10s = 1
        await b.settle()
        assert b.log == ["T1", "E1", "E2"]
        assert b.orders.waiting() == ()


async def test_an_entry_is_refused_when_our_quota_has_no_room_for_long() -> None:
    assert not await Pace(1, lambda: 1).room(0.0)
    assert await Pace(None, lambda: 10**9).room(0.0)
    assert (of_quota(None), of_quota(100), of_quota(1)) == (None, 60, 1)

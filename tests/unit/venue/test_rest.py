"""The signed client: signatures by the venue's own example, clock, budget, and what each kind of failure becomes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web

from hedgegridd.venue.failures import Kind
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError, query_string, sign
from tests.support.fake_rest import FakeRest, answer, fake_rest, reset

# The example of the venue's documentation, "SIGNED endpoint security", USD-M futures.
KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
WALL_NS = 1_591_702_613_943 * 1_000_000


class Hands:
    """Clocks that stand still until a test moves them."""

    def __init__(self) -> None:
        self.wall = WALL_NS
        self.mono = 0

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.mono += int(seconds * 1e9)


@asynccontextmanager
async def client(timeout_s: float = 5.0, key: str = KEY) -> AsyncIterator[tuple[FakeRest, RestClient, Hands]]:
    hands = Hands()
    async with (
        fake_rest() as fake,
        RestClient(
            fake.url,
            Credentials(key, SECRET),
            wall_ns=lambda: hands.wall,
            mono_ns=lambda: hands.mono,
            timeout_s=timeout_s,
        ) as rest,
    ):
        yield fake, rest, hands


async def fails(rest: RestClient, method: str = "GET", path: str = "/x", **options: Any) -> VenueCallError:
    with pytest.raises(VenueCallError) as caught:
        await rest.call(method, path, kind=msgspec.Raw, **options)
    return caught.value


def test_the_signature_is_the_one_of_the_venues_example() -> None:
    query = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        "&recvWindow=5000&timestamp=1591702613943"
    )
    assert sign(query, SECRET) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


async def test_a_signed_call_carries_key_window_time_and_the_examples_signature() -> None:
    async with client() as (fake, rest, _):
        fake.on("POST", "/fapi/v1/order", answer({}))
        params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": Decimal(1), "price": Decimal(9000),
                  "timeInForce": "GTC"}  # fmt: skip
        await rest.call("POST", "/fapi/v1/order", params, kind=msgspec.Raw, signed=True)
        (request,) = fake.asked
        assert request.headers["X-MBX-APIKEY"] == KEY
        assert request.rel_url.raw_query_string.endswith(
            "&timestamp=1591702613943&signature=3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
        )


def test_parameters_are_written_as_the_venue_reads_them() -> None:
    text = query_string({"a": Decimal("0.00001"), "b": Decimal("1E+3"), "c": True, "d": 5, "e": '["x"]'})
    assert text == "a=0.00001&b=1000&c=true&d=5&e=%5B%22x%22%5D"


def test_credentials_do_not_show() -> None:
    assert SECRET not in repr(Credentials(KEY, SECRET))
    assert KEY not in repr(Credentials(KEY, SECRET))


async def test_the_venues_clock_is_applied_to_signatures() -> None:
    async with client() as (fake, rest, hands):
        fake.on("GET", "/fapi/v1/time", answer({"serverTime": hands.wall // 1_000_000 + 750}))
        fake.on("GET", "/x", answer({}))
        assert await rest.sync_clock() == 750
        await rest.call("GET", "/x", kind=msgspec.Raw, signed=True)
        assert fake.asked[-1].query["timestamp"] == str(1_591_702_613_943 + 750)


async def test_of_slow_readings_of_the_clock_the_quickest_counts() -> None:
    async with client() as (fake, rest, hands):
        took_s = iter([3.0, 0.6, 2.0])

        def slow(request: web.Request) -> web.StreamResponse:
            hands.advance(next(took_s))  # all of it on the way there
            return answer({"serverTime": hands.wall // 1_000_000})(request)

        fake.on("GET", "/fapi/v1/time", slow)
        assert await rest.sync_clock() == 300, "at most half of the time it took is wrong"
        assert len(fake.asked) == 3


async def test_an_answer_that_does_not_come_is_ambiguous() -> None:
    async with client(timeout_s=0.05) as (fake, rest, _):
        fake.on("GET", "/x", "hang")
        error = await fails(rest)
        assert error.failure.kind is Kind.AMBIGUOUS
        assert rest.stats.failed_in_a_row == 1


async def test_a_connection_cut_before_the_answer_is_ambiguous() -> None:
    async with client() as (fake, rest, _):
        fake.on("POST", "/x", reset)
        assert (await fails(rest, "POST")).failure.kind is Kind.AMBIGUOUS
        assert len(fake.asked) == 1, "nothing is sent twice"


async def test_a_venue_that_is_not_there_was_never_asked() -> None:
    async with client() as (_, rest, _hands):
        pass
    async with RestClient("http://127.0.0.1:9", None, wall_ns=lambda: 0, mono_ns=lambda: 0) as rest:
        assert (await fails(rest)).failure.kind is Kind.UNSENT


async def test_a_closed_client_has_not_sent() -> None:
    rest = RestClient("http://127.0.0.1:9", None, wall_ns=lambda: 0, mono_ns=lambda: 0)
    assert (await fails(rest)).failure.kind is Kind.UNSENT


async def test_503_unknown_is_ambiguous_and_an_unreadable_answer_is_too() -> None:
    async with client() as (fake, rest, _):
        unknown = "Unknown error, please check your request or try again later."
        fake.on("GET", "/x", answer({"code": -1, "msg": unknown}, 503), answer([1]))
        assert (await fails(rest)).failure.kind is Kind.AMBIGUOUS
        with pytest.raises(VenueCallError) as caught:
            await rest.call("GET", "/x", kind=dict[str, int])
        assert caught.value.failure.kind is Kind.AMBIGUOUS


async def test_a_large_answer_is_read_to_its_end() -> None:
    async with client() as (fake, rest, _):
        fake.on("GET", "/x", answer(list(range(200_000))))
        assert len(await rest.call("GET", "/x", kind=list[int])) == 200_000


async def test_after_429_nothing_leaves_until_the_venue_allows_it() -> None:
    async with client() as (fake, rest, hands):
        fake.on("GET", "/x", answer({"code": -1003, "msg": "slow"}, 429, Retry_After="7"), answer({}))
        assert (await fails(rest)).failure.retry_after_s == 7
        hands.advance(6.5)
        error = await fails(rest, safety=True)
        assert error.failure.kind is Kind.LIMITED
        assert error.failure.retry_after_s == pytest.approx(0.5)
        assert len(fake.asked) == 1, "going on after 429 earns a ban"
        hands.advance(0.5)
        await rest.call("GET", "/x", kind=msgspec.Raw)


async def test_too_many_orders_stops_orders_and_nothing_else() -> None:
    async with client() as (fake, rest, hands):
        path = "/fapi/v1/order"
        fake.on(
            "POST",
            path,
            answer({"code": -1015, "msg": "Too many new orders"}, 429, Retry_After="3"),
            answer({}),
        )
        fake.on("DELETE", path, answer({}))
        await fails(rest, "POST", path)
        assert (await fails(rest, "POST", path, safety=True)).failure.kind is Kind.LIMITED
        await rest.call("DELETE", path, kind=msgspec.Raw, safety=True)
        hands.advance(3)
        await rest.call("POST", path, kind=msgspec.Raw)


async def test_a_fifth_of_the_budget_is_kept_for_safety_calls() -> None:
    async with client() as (fake, rest, hands):
        fake.on("GET", "/x", answer({}, X_MBX_USED_WEIGHT_1M="1919"), answer({}, X_MBX_USED_WEIGHT_1M="1920"))
        await rest.call("GET", "/x", kind=msgspec.Raw)
        await rest.call("GET", "/x", kind=msgspec.Raw)
        assert rest.used_weight_1m == 1920
        error = await fails(rest)
        assert error.failure.kind is Kind.LIMITED
        assert 0 < error.failure.retry_after_s <= 60
        assert len(fake.asked) == 2
        await rest.call("GET", "/x", kind=msgspec.Raw, safety=True)
        hands.advance(60)
        await rest.call("GET", "/x", kind=msgspec.Raw)


async def test_the_clock_is_read_from_the_reserve_so_that_the_used_weight_is_known_beyond_it() -> None:
    """Our own calls are held at 80 %; entries are held at 95 %, which somebody must see."""
    async with client() as (fake, rest, _):
        fake.on("GET", "/x", answer({}, X_MBX_USED_WEIGHT_1M="1920"))
        fake.on("GET", "/fapi/v1/time", answer({"serverTime": 1}, X_MBX_USED_WEIGHT_1M="2300"))
        await rest.call("GET", "/x", kind=msgspec.Raw)
        await fails(rest)
        await rest.sync_clock()
        assert rest.used_weight_1m == 2300


async def test_calls_are_counted_by_endpoint_and_outcome() -> None:
    async with client() as (fake, rest, _):
        refused = answer({"code": -2013, "msg": "Order does not exist."}, 400)
        fake.on("GET", "/x", answer({}), refused, answer({}, 500))
        await rest.call("GET", "/x", kind=msgspec.Raw)
        assert (await fails(rest)).failure.code == -2013
        assert rest.stats.failed == 0, "a refusal is an answer"
        await fails(rest)
        counts = {"ok": 1, "refused": 1, "ambiguous": 1}
        assert {outcome: count for (_, outcome), count in rest.stats.calls.items()} == counts
        assert (rest.stats.total, rest.stats.failed, rest.stats.failed_in_a_row) == (3, 1, 1)
        assert len(rest.stats.round_trip_ns) == 3


async def test_an_answer_that_comes_in_many_pieces_is_read_to_its_end() -> None:
    async with client() as (fake, rest, _):
        fake.on("GET", "/x", answer({"symbols": "x" * 2_000_000}))
        body = await rest.call("GET", "/x", kind=dict[str, str])
        assert len(body["symbols"]) == 2_000_000


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedgegridd.venue.transport_aiohttp.BODY_MAX", 1_000)
    async with client() as (fake, rest, _):
        fake.on("GET", "/x", answer({"symbols": "x" * 2_000}))
        failure = (await fails(rest)).failure
        assert failure.kind is Kind.AMBIGUOUS
        assert "more than 1000 bytes" in failure.reason

"""Panic's transport: what each way of losing a call becomes, and that nothing holds up the end."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from hedgegridd.venue.failures import Kind
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from hedgegridd.venue.transport import Lost, NotSent
from hedgegridd.venue.transport_plain import PlainTransport
from tests.support.fake_rest import FakeRest, answer, fake_rest, reset
from tests.support.programs import free_port


@asynccontextmanager
async def plain(timeout_s: float = 5.0) -> AsyncIterator[tuple[FakeRest, PlainTransport]]:
    transport = PlainTransport(timeout_s)
    await transport.open()
    async with fake_rest() as fake:
        yield fake, transport
        await transport.close()


async def test_an_answer_comes_whole_with_status_and_headers() -> None:
    async with plain() as (fake, transport):
        fake.on("GET", "/x", answer({"a": "b" * 300_000}, 418, Retry_After="7"))
        status, headers, body = await transport.send("GET", f"{fake.url}/x?q=1", {"X-MBX-APIKEY": "k"})
        assert (status, headers.get("retry-after")) == (418, "7")
        assert msgspec.json.decode(body) == {"a": "b" * 300_000}
        (request,) = fake.asked
        assert request.headers["X-MBX-APIKEY"] == "k"
        assert request.rel_url.raw_query_string == "q=1"


async def test_a_connection_is_kept_for_the_next_call() -> None:
    async with plain() as (fake, transport):
        seen = []

        def note(request: web.Request) -> web.Response:
            seen.append(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]
            return web.Response(body=b"{}")

        fake.on("GET", "/x", note)
        for _ in range(3):
            await transport.send("GET", f"{fake.url}/x", {})
        assert len(set(seen)) == 1


async def test_nobody_listening_is_not_sent() -> None:
    async with plain() as (_, transport):
        with pytest.raises(NotSent, match="cannot connect"):
            await transport.send("GET", f"http://127.0.0.1:{free_port()}/x", {})


async def test_a_cut_connection_is_lost_and_the_next_call_has_a_new_one() -> None:
    async with plain() as (fake, transport):
        fake.on("POST", "/x", reset, answer({}))
        with pytest.raises(Lost):
            await transport.send("POST", f"{fake.url}/x", {})
        assert (await transport.send("POST", f"{fake.url}/x", {})).status == 200


async def test_an_answer_that_never_comes_is_lost_at_the_timeout() -> None:
    async with plain(timeout_s=0.05) as (fake, transport):
        fake.on("GET", "/x", "hang")
        began = time.monotonic()
        with pytest.raises(Lost, match="no answer in time"):
            await transport.send("GET", f"{fake.url}/x", {})
        assert time.monotonic() - began < 2


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedgegridd.venue.transport_plain.BODY_MAX", 1_000)
    async with plain() as (fake, transport):
        fake.on("GET", "/x", answer("y" * 2_000))
        with pytest.raises(Lost, match="more than 1000 bytes"):
            await transport.send("GET", f"{fake.url}/x", {})


async def test_a_closed_one_sends_nothing() -> None:
    async with plain() as (fake, transport):
        await transport.close()
        with pytest.raises(NotSent):
            await transport.send("GET", f"{fake.url}/x", {})
        assert fake.asked == []


async def test_the_signed_client_tells_the_same_failures_over_it() -> None:
    async with fake_rest() as fake:
        client = RestClient(
            fake.url, Credentials("k", "s"), wall_ns=time.time_ns, mono_ns=time.monotonic_ns,
            timeout_s=1.0, make_transport=PlainTransport,
        )  # fmt: skip
        fake.on("GET", "/lost", reset)
        fake.on("GET", "/slow", answer({"code": -1003, "msg": "slow down"}, 429, Retry_After="3"))
        async with client:
            for path, kind in (("/lost", Kind.AMBIGUOUS), ("/slow", Kind.LIMITED)):
                with pytest.raises(VenueCallError) as caught:
                    await client.call("GET", path, kind=msgspec.Raw, signed=True)
                assert caught.value.failure.kind is kind
            assert 2 < client.wait_s(new_order=False) <= 3

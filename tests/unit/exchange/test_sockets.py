"""A client's socket with a way to it that takes time: nothing overtakes, nothing is lost, and a step waits for it."""

import asyncio
from typing import Any

from hedgegridd.exchange.sockets import Socket, text_frame


class Wire:
    """A transport that notes what it is given and when."""

    def __init__(self) -> None:
        self.written: list[tuple[float, bytes]] = []
        self.changed = asyncio.Event()
        self.closed = False

    def set_write_buffer_limits(self, *, high: int) -> None:
        assert high > 0

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def write(self, data: bytes) -> None:
        self.written.append((asyncio.get_running_loop().time(), data))
        self.changed.set()


def socket(wire: Wire, *ways_s: float, **more: Any) -> Socket:
    """A socket whose messages take these times, one after the other."""
    ways = iter(ways_s)
    return Socket(wire, combined=False, user=True, way_s=lambda: next(ways), **more)  # type: ignore[arg-type]


async def written(wire: Wire, count: int) -> None:
    async with asyncio.timeout(5):
        while len(wire.written) < count:
            wire.changed.clear()
            await wire.changed.wait()


def say(one: Socket, *texts: bytes) -> None:
    for text in texts:
        one.put(text_frame(text))
        one.flush()


async def test_a_quick_message_does_not_overtake_a_slow_one() -> None:
    wire, loop = Wire(), asyncio.get_running_loop()
    one = socket(wire, 0.03, 0.0, 0.001)
    began = loop.time()
    say(one, b"1", b"2", b"3")
    assert wire.written == []
    assert not one.drained()
    await written(wire, 3)
    assert [data for _, data in wire.written] == [text_frame(text) for text in (b"1", b"2", b"3")]
    assert wire.written[0][0] - began >= 0.029
    assert one.drained()


async def test_without_a_way_it_is_written_at_once() -> None:
    wire = Wire()
    say(socket(wire, 0.0), b"1")
    assert [data for _, data in wire.written] == [text_frame(b"1")]


async def test_what_is_under_way_counts_towards_the_backlog_and_goes_with_the_connection() -> None:
    wire = Wire()
    one = socket(wire, 0.01, 0.01, backlog_bytes=20)
    say(one, b"x" * 10, b"y" * 10)
    assert one.overflowed
    assert wire.closed
    assert one.drained()
    other = Wire()
    two = socket(other, 0.0, 0.005)
    say(two, b"1", b"2")
    two.cut()
    gone = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, gone.set_result, None)
    await gone
    assert [data for _, data in other.written] == [text_frame(b"1")]

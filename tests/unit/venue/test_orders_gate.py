"""What stands in the way of entries when they leave: panic's latch, and whether somebody has looked for it."""

import asyncio

from hedgegridd import messages as m
from hedgegridd.model import Purpose
from tests.support.order_bench import Bench, bench, order, stop

WITHIN_S = 0.02


class Gate:
    """Says what it is told to; `opens` is when somebody has looked."""

    def __init__(self) -> None:
        self.reason = ""
        self.opens = asyncio.Event()
        self.opens.set()

    def why(self, _instrument: str) -> str:
        return self.reason or ("" if self.opens.is_set() else "nobody has looked")

    async def looked(self, _instrument: str, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self.opens.wait()
        except TimeoutError:
            return


def gated(made: Bench) -> Gate:
    gate = made.orders._gate = Gate()
    return gate


async def test_a_latch_refuses_entries_when_they_leave_and_nothing_else() -> None:
    async with bench() as made:
        gated(made).reason = "panic by ann"
        made.place(order("e"), order("t", Purpose.TAKE_PROFIT), stop("s"))
        await made.settle()
        assert [(x.client_order_id, x.reason) for x in made.of(m.OrderRefused)] == [("e", "panic by ann")]
        assert "t" in made.log
        assert "remember s" in made.log


async def test_an_entry_waits_for_a_look_and_leaves_then() -> None:
    async with bench(look_s=5.0) as made:
        gate = gated(made)
        gate.opens.clear()
        made.place(order("e"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert "e" not in made.log
        gate.opens.set()
        await made.settle()
        assert "e" in made.log


async def test_an_entry_that_nobody_looks_for_is_refused_in_time() -> None:
    async with bench(look_s=WITHIN_S) as made:
        gated(made).opens.clear()
        made.place(order("e"))
        await made.settle()
        assert "e" not in made.log
        assert [x.reason for x in made.of(m.OrderRefused)] == ["nobody has looked"]


async def test_a_latch_that_comes_while_an_entry_waits_refuses_it() -> None:
    async with bench(look_s=5.0) as made:
        gate = gated(made)
        gate.opens.clear()
        made.place(order("e"))
        await asyncio.sleep(0)
        gate.reason = "panic by bob"
        gate.opens.set()
        await made.settle()
        assert [x.reason for x in made.of(m.OrderRefused)] == ["panic by bob"]

"""Moves the market: feeds ticks as they fall due, steps a paused market, and tells when all is quiet again."""

import asyncio
from collections.abc import Callable

import msgspec

from hedgegridd.exchange.venue import Venue

SLICE_TICKS = 25
IDLE_S = 0.05
LATE_MS_MAX = 1_000
WALL_EVERY_S = 0.05
SETTLE_POLL_S = 0.002


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did: market time after it, ticks fed, requests and messages meanwhile, whether all is quiet."""

    market_ms: int
    ticks: int
    requests: int
    user_events: int
    messages: int
    settled: bool
    ended: bool


class Feeder:
    """The one that advances the market. `requests` and `in_progress` tell what REST is doing."""

    def __init__(self, venue: Venue, requests: Callable[[], int], in_progress: Callable[[], int]) -> None:
        self._venue = venue
        self._requests = requests
        self._in_progress = in_progress
        self._stepping = asyncio.Lock()

    async def run(self) -> None:
        """Feed for ever, on the market's clock."""
        venue = self._venue
        while True:
            if venue.clock.paused:
                await asyncio.sleep(IDLE_S)
                continue
            now_ms = venue.clock.now_ms()
            if venue.feed_until(now_ms, SLICE_TICKS) == SLICE_TICKS:
                self._slip(now_ms)
                await asyncio.sleep(0)
                continue
            venue.pass_time(now_ms)
            due = venue.next_due()
            wait_s = IDLE_S if due is None else venue.clock.wall_ms_until(due[0]) / 1000
            await asyncio.sleep(min(wait_s, IDLE_S))

    async def run_wall(self) -> None:
        """What the wall clock alone brings (countdowns, GTD, listenKey), for ever."""
        while True:  # the work of this loop is the call, not the wait
            self._venue.on_wall()
            await asyncio.sleep(WALL_EVERY_S)

    def _slip(self, now_ms: int) -> None:
        """A market faster than this machine loses time instead of piling up ticks."""
        due = self._venue.next_due()
        if due is not None and now_ms - due[0] > LATE_MS_MAX * self._venue.clock.speed:
            self._venue.clock.slip_to(due[0])
            self._venue.slips += 1

    @property
    def stepping(self) -> bool:
        """Whether a step is under way."""
        return self._stepping.locked()

    async def step(self, ms: int, quiet_ms: int, timeout_ms: int) -> Step:
        """Advance a paused market by `ms` and wait until nothing is under way.

        Nothing under way: every message sent is with the kernel, no request is in progress, and for `quiet_ms`
        (wall) no request came and no message went. Gives up after `timeout_ms` with `settled` false.
        Raises ValueError when the market is running or `ms` is negative.
        """
        venue = self._venue
        async with self._stepping:
            before = (venue.ticks_fed, self._requests(), venue.user.events_sent, venue.hub.messages_sent)
            target_ms = venue.clock.advance(ms)
            while venue.feed_until(target_ms, SLICE_TICKS) == SLICE_TICKS:  # noqa: ASYNC110  # sockets get their turn
                await asyncio.sleep(0)
            venue.pass_time(target_ms)
            settled = await self._settle(quiet_ms / 1000, timeout_ms / 1000)
        return Step(
            market_ms=target_ms,
            ticks=venue.ticks_fed - before[0],
            requests=self._requests() - before[1],
            user_events=venue.user.events_sent - before[2],
            messages=venue.hub.messages_sent - before[3],
            settled=settled,
            ended=venue.next_due() is None,
        )

    async def _settle(self, quiet_s: float, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        start = quiet_since = loop.time()
        seen = (self._requests(), self._venue.hub.messages_sent)
        while True:
            now = loop.time()
            counts = (self._requests(), self._venue.hub.messages_sent)
            if counts != seen or self._in_progress() or not self._venue.hub.drained():
                quiet_since, seen = now, counts
            if now - quiet_since >= quiet_s:
                return True
            if now - start >= timeout_s:
                return False
            await asyncio.sleep(SETTLE_POLL_S)

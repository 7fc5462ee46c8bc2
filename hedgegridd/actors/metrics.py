"""The metrics actor: counts what passes, and answers a scrape with figures asked for at that moment."""

import asyncio
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from aiohttp import web
from prometheus_async.aio.web import server_stats

from hedgegridd import messages as m
from hedgegridd.actors.exposition import Family, count, counter, of_client, single
from hedgegridd.actors.metric_counts import EVENTS, EventCounts
from hedgegridd.actors.metric_families import (
    account_families,
    budget_families,
    call_families,
    daemon_families,
    dead_man_families,
    desk_families,
    guard_families,
    health_families,
    kpi_families,
    switch_families,
    venue_families,
)
from hedgegridd.actors.metric_histograms import CommandTimes, Histograms
from hedgegridd.config import Metrics as MetricsConfig
from hedgegridd.errors import HedgegridError
from hedgegridd.runtime.actor import Actor

ASK_S = 0.5
SLICE_S = 0.0005  # how long a scrape writes before it lets the loop go on


class VenueStats(Protocol):
    """What the venue's gateway counts while it works; its deques of nanoseconds are emptied at each scrape."""

    calls: Counts[tuple[str, str]]  # by endpoint and outcome
    ticks_total: int
    ticks_overtaken_total: int
    orders_submitted: Counts[tuple[str, str]]  # by instrument and purpose
    tick_to_order_ns: deque[int]
    submit_to_ack_ns: deque[int]
    round_trip_ns: deque[int]
    left: deque[tuple[int, int]]  # sequence of a command to cancel or close, when its call left


class Meters:
    """Counters and histograms that other parts feed while they work."""

    def __init__(
        self, venue: VenueStats, commands: Counts[tuple[str, str]], histograms: Histograms | None = None
    ) -> None:
        self.venue = venue
        self.commands = commands
        self.histograms = histograms or Histograms()
        self.command_times = CommandTimes(self.histograms.command_to_venue)
        self.auth_failures: Callable[[], int] = int  # the control plane's count
        self.alerts: Counts[tuple[str, str]] = Counts()  # by channel and outcome

    def drain(self) -> None:
        """Take the gateway's observations into the histograms."""
        for waiting, histogram in (
            (self.venue.tick_to_order_ns, self.histograms.tick_to_order),
            (self.venue.submit_to_ack_ns, self.histograms.submit_to_ack),
            (self.venue.round_trip_ns, self.histograms.round_trip),
        ):
            while waiting:
                histogram.observe(waiting.popleft() / 1e9)
        while self.venue.left:
            self.command_times.left(*self.venue.left.popleft())


class MetricsActor(Actor):
    """Serves `/metrics` on its own address; its loss does not stop trading."""

    name = "metrics"
    events = EVENTS

    def __init__(self, config: MetricsConfig, meters: Meters, started_ns: int) -> None:
        self._config = config
        self._meters = meters
        self._started_ns = started_ns
        self._counts = EventCounts(meters.histograms)
        self._runner: web.AppRunner | None = None
        self._heartbeat_ns: int | None = None  # when desk and kill switch last answered

    @property
    def address(self) -> str:
        """`host:port` that is listened on, "" before the start."""
        sites = list(self._runner.addresses) if self._runner else []
        return f"{sites[0][0]}:{sites[0][1]}" if sites else ""

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Count it."""
        self._counts.take(envelope)
        return []

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken or is none of ours."""
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        except OSError as error:
            await self._runner.cleanup()
            self._runner = None
            raise OSError(f"[metrics] host, port: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _scrape(self, request: web.Request) -> web.Response:
        """Ours in the text format, then the process's own (memory, files, garbage collection) in the same."""
        text = await self.text()
        await asyncio.sleep(0)  # what follows is one piece, and reads /proc
        process: web.Response = await server_stats(request.clone(headers={"Accept": "text/plain"}))
        return web.Response(text=text + (process.text or ""), headers=process.headers)

    async def text(self) -> str:
        """All families as text, written in slices."""
        parts: list[str] = []
        for families in await self._asked():
            await asyncio.sleep(0)  # the first of them may be made of all the answer
            until = time.monotonic() + SLICE_S
            for family in families:
                parts.append(family.lines())
                if time.monotonic() >= until:
                    await asyncio.sleep(0)
                    until = time.monotonic() + SLICE_S
        return "".join(parts)

    async def _asked(self) -> list[Iterator[Family]]:
        """Ask every part for its figures; a part that does not answer leaves its families out."""
        now_ns = self.bus.clock.wall_ns
        found: list[Iterator[Family]] = []
        guards = await self._ask(m.GetGuards(), m.GuardsAnswer)
        desk = await self._ask(m.GetFigures(), m.FiguresAnswer)
        if desk is not None:
            found += [desk_families(desk), account_families(desk, guards, now_ns())]
        if (venue := await self._ask(m.GetVenue(), m.VenueAnswer)) is not None:
            found.append(venue_families(venue))
        if self._counts.health is not None:
            found.append(budget_families(self._counts.health))
        if (dead_man := await self._ask(m.GetDeadMan(), m.DeadManAnswer)) is not None:
            found.append(dead_man_families(dead_man, now_ns()))
        if guards is not None:
            found.append(guard_families(guards))
        if (health := await self._ask(m.GetHealth(), m.HealthAnswer)) is not None:
            found.append(health_families(health))
        if (switches := await self._ask(m.GetSwitches(), m.SwitchesAnswer)) is not None:
            found.append(switch_families(switches))
        if (kpi := await self._ask(m.GetKpi(), m.KpiAnswer)) is not None:
            found.append(kpi_families(kpi, guards))
        kill = await self._ask(m.GetKillSwitch(), m.KillSwitchAnswer)
        if desk is not None and kill is not None:
            self._heartbeat_ns = now_ns()
        found.append(daemon_families(self._started_ns, now_ns(), self._heartbeat_ns, kill))
        return [*found, self._counts.families(), self._loop_tasks(), self.fed()]

    async def _ask[A: m.Answer](self, query: m.Query, kind: type[A]) -> A | None:
        try:
            answer = await self.bus.ask(query, ASK_S, actor=self.name)
        except HedgegridError:
            return None  # absent in the scrape says it: there is an alert on absence
        return answer if isinstance(answer, kind) else None

    @staticmethod
    def _loop_tasks() -> Iterator[Family]:
        yield from single("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def fed(self) -> Iterator[Family]:
        """What other parts have counted and timed."""
        meters = self._meters
        meters.drain()
        yield from count("ticks", "Market data messages.", meters.venue.ticks_total)
        yield from count(
            "ticks_overtaken",
            "Quotes that a newer one replaced before they were handled.",
            meters.venue.ticks_overtaken_total,
        )
        yield from counter(
            "orders_submitted",
            "Orders sent to the venue.",
            ("instrument", "purpose"),
            meters.venue.orders_submitted,
        )
        yield from call_families(meters.venue.calls)
        yield from counter("commands", "Commands of operators.", ("operation", "outcome"), meters.commands)
        yield from count(
            "auth_failures", "Wrong keys, signatures and logins over HTTP.", meters.auth_failures()
        )
        yield from counter("alerts", "Alerts by what became of them.", ("channel", "outcome"), meters.alerts)
        yield from of_client(meters.histograms.collect())

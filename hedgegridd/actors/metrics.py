"""The metrics actor: counts what passes, and answers a scrape with figures asked for at that moment."""

import asyncio
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from aiohttp import web
from prometheus_async.aio.web import server_stats
from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from hedgegridd import messages as m
from hedgegridd.actors.metric_families import (
    budget_families,
    call_families,
    counter,
    daemon_families,
    dead_man_families,
    desk_families,
    gauge,
    guard_families,
    venue_families,
)
from hedgegridd.config import Metrics as MetricsConfig
from hedgegridd.errors import HedgegridError
from hedgegridd.runtime.actor import Actor

ASK_S = 0.5
REASONS_MAX = 32  # label values of refusals; what comes after is "other", so that cardinality is bounded
LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class VenueStats(Protocol):
    """What the venue's gateway counts while it works; its deques of nanoseconds are emptied at each scrape."""

    calls: Counts[tuple[str, str]]  # by endpoint and outcome
    ticks_total: int
    ticks_overtaken_total: int
    orders_submitted: Counts[str]
    tick_to_order_ns: deque[int]
    submit_to_ack_ns: deque[int]


class Meters:
    """Counters and histograms that other parts feed while they work."""

    def __init__(self, venue: VenueStats, commands: Counts[tuple[str, str]]) -> None:
        self.venue = venue
        self.commands = commands
        self.auth_failures: Callable[[], int] = int  # the control plane's count
        self.loop_lag = Histogram(
            "hedgegrid_loop_lag_seconds", "Event-loop lag.", buckets=LATENCY_S, registry=None
        )
        self.tick_to_order = Histogram(
            "hedgegrid_tick_to_order_seconds",
            "From the arrival of the market data that caused an order to its sending.",
            buckets=LATENCY_S,
            registry=None,
        )
        self.submit_to_ack = Histogram(
            "hedgegrid_submit_to_ack_seconds",
            "From the sending of an order to the venue's word of it.",
            buckets=LATENCY_S,
            registry=None,
        )

    def drain(self) -> None:
        """Take the gateway's observations into the histograms."""
        for waiting, histogram in (
            (self.venue.tick_to_order_ns, self.tick_to_order),
            (self.venue.submit_to_ack_ns, self.submit_to_ack),
        ):
            while waiting:
                histogram.observe(waiting.popleft() / 1e9)


class MetricsActor(Actor, Collector):
    """Serves `/metrics` on its own address; its loss does not stop trading."""

    name = "metrics"
    events = (m.Fill, m.OrderRejected, m.OrderRefused, m.VenueHealth)

    def __init__(self, config: MetricsConfig, meters: Meters, started_ns: int) -> None:
        self._config = config
        self._meters = meters
        self._started_ns = started_ns
        self._fills: Counts[str] = Counts()
        self._rejected: Counts[str] = Counts()
        self._refused: Counts[str] = Counts()
        self._health: m.VenueHealth | None = None
        self._families: list[Metric] = []
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """`host:port` that is listened on, "" before the start."""
        sites = list(self._runner.addresses) if self._runner else []
        return f"{sites[0][0]}:{sites[0][1]}" if sites else ""

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Count it."""
        match envelope.message:
            case m.Fill() as fill:
                self._fills["maker" if fill.maker else "taker"] += 1
            case m.OrderRejected() as rejected:
                self._count(self._rejected, str(rejected.code))
            case m.OrderRefused() as refused:
                self._count(self._refused, refused.reason.partition(":")[0].strip() or "unknown")
            case m.VenueHealth() as health:
                self._health = health
        return []

    @staticmethod
    def _count(counts: Counts[str], reason: str) -> None:
        counts[reason if reason in counts or len(counts) < REASONS_MAX else "other"] += 1

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
        REGISTRY.register(self)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            REGISTRY.unregister(self)
            await self._runner.cleanup()
            self._runner = None

    async def _scrape(self, request: web.Request) -> web.Response:
        await self.refresh()
        answer: web.Response = await server_stats(request)
        return answer

    async def refresh(self) -> None:
        """Ask every part for its figures; a part that does not answer leaves its families out."""
        desk = await self._ask(m.GetStatus())
        venue = await self._ask(m.GetVenue())
        kill = await self._ask(m.GetKillSwitch())
        boot = await self._ask(m.GetBoot())
        dead_man = await self._ask(m.GetDeadMan())
        guards = await self._ask(m.GetGuards())
        self._meters.drain()
        families: list[Metric] = []
        if isinstance(desk, m.StatusAnswer):
            families += desk_families(desk.view)
        if isinstance(venue, m.VenueAnswer):
            families += venue_families(venue)
        if self._health is not None:
            families += budget_families(self._health)
        if isinstance(dead_man, m.DeadManAnswer):
            families += dead_man_families(dead_man, self.bus.clock.wall_ns())
        if isinstance(guards, m.GuardsAnswer):
            families += guard_families(guards)
        families += daemon_families(
            self._started_ns,
            self.bus.clock.wall_ns(),
            kill if isinstance(kill, m.KillSwitchAnswer) else None,
            boot if isinstance(boot, m.BootAnswer) else None,
        )
        families += gauge("tasks", "Tasks of the event loop.", [({}, len(asyncio.all_tasks()))])
        self._families = families

    async def _ask(self, query: m.Query) -> m.Answer | None:
        try:
            return await self.bus.ask(query, ASK_S, actor=self.name)
        except HedgegridError:
            return None  # absent in the scrape says it: there is an alert on absence

    def collect(self) -> Iterator[Metric]:
        """What the last refresh found, and the counts."""
        yield from self._families
        meters = self._meters
        ticks = CounterMetricFamily("hedgegrid_ticks", "Market data messages.")
        ticks.add_metric([], float(meters.venue.ticks_total))
        yield ticks
        overtaken = CounterMetricFamily(
            "hedgegrid_ticks_overtaken", "Quotes that a newer one replaced before they were handled."
        )
        overtaken.add_metric([], float(meters.venue.ticks_overtaken_total))
        yield overtaken
        submitted = meters.venue.orders_submitted
        yield from counter("orders_submitted", "Orders sent to the venue.", "purpose", submitted)
        yield from counter(
            "orders_rejected", "Orders refused by the venue, by its code.", "reason", self._rejected
        )
        yield from counter("orders_refused", "Orders refused before sending.", "reason", self._refused)
        yield from call_families(meters.venue.calls)
        yield from counter("fills", "Trades of the account.", "liquidity", self._fills)
        yield from self._commands()
        turned_away = CounterMetricFamily(
            "hedgegrid_auth_failures", "Wrong keys, signatures and logins over HTTP."
        )
        turned_away.add_metric([], float(self._meters.auth_failures()))
        yield turned_away
        for histogram in (meters.loop_lag, meters.tick_to_order, meters.submit_to_ack):
            yield from histogram.collect()

    def _commands(self) -> Iterator[Metric]:
        if not self._meters.commands:
            return
        family = CounterMetricFamily(
            "hedgegrid_commands", "Commands of operators.", labels=["operation", "outcome"]
        )
        for (operation, outcome), count in sorted(self._meters.commands.items()):
            family.add_metric([operation, outcome], float(count))
        yield family

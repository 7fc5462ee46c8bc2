"""One life of the daemon: its machines, its bus, its gateway, on the loop and the disk of the simulation.

All of it is the daemon's own code but for what `app.py` joins: files, sockets and the supervisor. It lives until the
run ends or its fuse has burnt: the fuse is counted down by every record and every request, so that a crash can come at
any step.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import msgspec

from hedgegridd import messages as m
from hedgegridd.actors.dead_man import DeadManActor
from hedgegridd.actors.kpi import KpiActor
from hedgegridd.actors.machines import (
    BootActor,
    DeskActor,
    FlattenActor,
    KillSwitchActor,
    PausesActor,
    ReconcilerActor,
    RiskActor,
    SwitchesActor,
)
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.config import Config
from hedgegridd.core.boot import Boot
from hedgegridd.core.dead_man import SOURCE as DEAD_MAN
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.core.desk import WAKE_VIEW
from hedgegridd.core.pauses import SOURCE as PAUSES
from hedgegridd.core.pauses import Pauses
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.core.switches import SOURCE as SWITCHES
from hedgegridd.errors import ActorFault, HedgegridError
from hedgegridd.model import parse_client_order_id
from hedgegridd.risk.machine import SOURCE as GUARDS
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.scheduler import Fault
from hedgegridd.state import Machines
from hedgegridd.stopping import DEAD_MAN_S, OrderlyStop
from hedgegridd.venue.gateway import Gateway
from hedgegridd.venue.rest import Credentials, VenueCallError
from hedgegridd.venue.sources import PROVIDER
from tests.sim.connection import Connection
from tests.sim.journal import Disk, MemoryJournal, Saved
from tests.sim.loop import SECOND, Killed, Machine, ProcessClock, ProcessLoop, Time
from tests.sim.network import Stream, Wire

EPOCH = "s1m"
HOLD_SOURCES = (GUARDS, PAUSES, DEAD_MAN, SWITCHES)  # as in app.py
QUIET = (m.Woke, m.MarkPrice, m.VenueTruth, m.WatchPrices, m.ReadTruth)  # not worth a line of the trace
JOURNAL_S = 2.0
LOOK_S = 0.5  # as the daemon's own watch
CALM_S = 600.0  # and while nothing is under way and nothing is wrong: it would find nothing
HEALTH_CALM_S = 300.0
HEALTH_S = 20.0
VIEW_LATE_NS = 600 * SECOND
CLOCK_S = 60.0
POLL_S = 1_800.0  # of account and clock, whose answers nobody waits for


def new_machines(config: Config) -> Machines:
    """Machines that know nothing yet."""
    return Machines.of(config, EPOCH, HOLD_SOURCES)


class Ear(Actor):
    """Hears what the oracle needs to know, outside the journal."""

    name = "ear"
    queries: ClassVar = (m.GetHealth, m.GetAlerts)  # somebody must take it; nobody asks here
    commands: ClassVar = (m.AckAlert, m.SendTestAlert)
    events: ClassVar = (
        m.KillStateChanged,
        m.Reconciled,
        m.StageChanged,
        m.LegFlat,
        m.JournalLate,
        m.EntriesGone,
        m.FlattenFinished,
        m.VenueTruth,
        m.TripsChanged,
    )

    def __init__(self, hear: Callable[[m.Message], None]) -> None:
        self._hear = hear

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        self._hear(envelope.message)
        return ()


class LazyViews(DeskActor):
    """The desk; its view for people, of which nobody here takes notice, is made every ten minutes."""

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        out = super().handle(envelope)
        return [
            msgspec.structs.replace(x, at_ns=x.at_ns + VIEW_LATE_NS)
            if isinstance(x, m.WakeAt) and x.token == WAKE_VIEW
            else x
            for x in out
        ]


class SimDeadMan(DeadManActor):
    """The dead-man switch; its questions to the desk run on our loop."""

    def __init__(self, machine: DeadMan, loop: ProcessLoop) -> None:
        super().__init__(machine)
        self._loop = loop

    def spawn(self, work: Callable[..., Any], *args: object) -> None:
        self._loop.spawn(work(*args), args)


class SimGateway(Gateway):
    """The gateway itself; its tasks run on our loop, and its watch looks as often as something can be found."""

    process: "Process"

    def spawn(self, work: Callable[..., Any], *args: object) -> None:
        self.process.loop.spawn(work(*args), args)

    def _go(self, work: Any) -> None:
        paced = {
            "_look_loop": self._look_paced,
            "_connection_loop": self._nothing,  # by `_look_paced`
            "_account_loop": self._account_paced,
            "_clock_loop": self._clock_paced,
            "_health_loop": self._health_paced,
            "_depth_loop": self._nothing,  # by `_health_paced`
        }.get(work.cr_code.co_name)
        if paced is not None:
            work.close()
            work = paced()
        super()._go(work)

    async def _look_paced(self) -> None:
        assert self._watch is not None
        watch, tending = self._watch, False

        async def tend() -> None:
            nonlocal tending
            await watch.tend()
            tending = False

        while not self._closing.is_set():
            await self._until_look()
            self.process.before_look()
            self._orders.ask_overdue()
            watch.look()
            if not tending and not self._nothing_to_tend():
                tending = True
                super()._go(tend())

    def _nothing_to_tend(self) -> bool:
        """Whether `Watch.tend` would do nothing."""
        up = self._trading.connected and self._trading.user_stream_up()
        return up and self._watch._user_down_ns is None and not self._doubt.why(self._mono_ns())

    async def _account_paced(self) -> None:
        while True:
            with contextlib.suppress(VenueCallError):
                self._polled((await self._calls.account()).ours())
            await asyncio.sleep(POLL_S)

    async def _clock_paced(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(CLOCK_S if failed or self.process.world.machine.is_off else POLL_S)
            await self._sync_clock()
            age_s = self.http.clock_age_s()
            failed = age_s is None or age_s > CLOCK_S / 2

    async def _health_paced(self) -> None:
        while not self._closing.is_set():
            for instrument in self._sources._symbols:  # also so that there is a call to judge the venue by
                await self._sources._read_depth(instrument)
            self._sources.tell_health()
            counted = self._sources._meter.counted(self._mono_ns())
            self.bus.publish(
                m.CallsCounted(
                    provider=PROVIDER, burst=counted.burst, minute=counted.minute, hour=counted.hour
                )
            )
            self.bus.publish(m.LoopLagged(lag_ms=Decimal(0)), actor="app")
            await asyncio.sleep(HEALTH_CALM_S if self.process.all_is_well() else HEALTH_S)

    async def _nothing(self) -> None:
        return

    async def _until_look(self) -> None:
        """Half a second; longer while nothing can be found, until trouble begins."""
        quiet = not len(self._inflight) and not self._doubt._owed and self.process.all_is_well()
        if not quiet:
            await asyncio.sleep(LOOK_S)
            return
        self.process.trouble.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALM_S):
                await self.process.trouble.wait()


class Process:
    """From start to death. `world` is asked for time, weather, venue and oracle."""

    def __init__(self, world: Any, mono_base: int) -> None:
        self.world = world
        time: Time = world.time
        machine: Machine = world.machine
        disk: Disk = world.disk
        config: Config = world.config
        self._oracle = world.oracle
        self.dead = False
        self.dying = False
        self.unhandled = False  # the last record was not handed on any more
        self.fuse = 0  # records and requests until death; 0: not lit
        self.loop = ProcessLoop(time)
        self.clock = ProcessClock(time, self.loop, mono_base=mono_base, machine=machine)
        self.journal = MemoryJournal(disk, time, self.loop, self._journal_failed)
        self.journal.fuse = self._burn
        saved = disk.snapshot
        known = saved.position if saved else 0
        disk.check(known)
        tail = disk.records(known)
        self.machines = new_machines(config)
        self.machines.restore(saved.state if saved else None, tail)
        last_seq = max((record.seq for record in tail), default=0)
        next_seq = max(last_seq + 1, saved.next_seq if saved else 1)
        self.bus = Bus(
            self.clock,
            m.ALL,
            recorder=self._record if world.trace is not None else self.journal.append,
            first_seq=next_seq,
        )
        self.bus.on_fault = self._fault
        self.first = Saved(self.machines.snapshot(), self.journal.position, next_seq)
        disk.snapshot = self.first
        self.boot = Boot()
        self.ready = False
        self.stopping = False  # asked to stop in order
        self.clean = False  # it has done so: nothing of the journal is lost
        self.trouble = asyncio.Event()
        self.rearm_asked = False
        self.reported: dict[tuple[str, str], Decimal] = {}  # the venue's last word on each leg
        self._join(config, time, machine)

    def _join(self, config: Config, time: Time, machine: Machine) -> None:
        world = self.world
        self.wire = Wire(time, world.rng, world.weather, world.answers, self)
        self.gateway = SimGateway(
            config,
            Credentials("key", "secret"),
            make_trading=self._trading,
            durable=lambda: self.journal.durable(JOURNAL_S),
            wall_ns=machine.wall_ns,
            mono_ns=self.clock.mono_ns,
        )
        self.gateway.process = self
        self.gateway.http._transport = self.wire
        self.waiter = WaiterActor()
        self.actors: list[Actor] = [
            Ear(self._heard),
            self.waiter,
            BootActor(self.boot),
            KillSwitchActor(self.machines.kill_switch),
            (DeskActor if world.plan.seed % 10 == 0 else LazyViews)(self.machines.desk),
            FlattenActor(self.machines.flatten),
            SimDeadMan(self.machines.dead_man, self.loop),
            RiskActor(self.machines.risk),
            self.gateway,
            PausesActor(Pauses(config.pause, ZoneInfo("UTC"), {})),
            SwitchesActor(self.machines.switches),
            ReconcilerActor(Reconciler(config.venue.reconcile_interval_s)),
            KpiActor(config.kpi),
        ]
        for actor in self.actors:
            actor.register(self.bus)
        self.bus.start(self.loop)
        self.loop.spawn(self.gateway.connect())

    def _record(self, to: str, envelope: m.Envelope) -> int:
        """As the journal does, and into the trace."""
        if not isinstance(envelope.message, QUIET):
            self.world.note(f"{to} <- {envelope.message}".replace("BTCUSDT-PERP.BINANCE", "BTC"))
        return self.journal.append(to, envelope)

    def _trading(self, listener: Any) -> Connection:
        stream: Stream = self.world.stream
        rng: random.Random = self.world.rng
        self.connection = Connection(listener, self.wire, stream, self, rng)
        return self.connection

    # ------------------------------------------------------------------------------------------------- running

    def call(self, what: Callable[..., None], *args: object) -> None:
        """Something comes in: it is handled on the loop."""
        self.loop.call_soon(what, *args)

    def run(self) -> None:
        """Run what is due now."""
        try:
            self.loop.run_ready(self._after_each)
        except Killed:
            self.dying = True
        if self.dying and not self.dead:
            self.die()
        for error in self.loop.errors:
            self.world.oracle.broken(error)
        self.loop.errors.clear()

    def _after_each(self) -> None:
        if self.dying:
            raise Killed
        if self.machines.kill_switch._state.state is not self._oracle.seen:
            self._oracle.look()

    async def stop_in_order(self) -> None:
        """SIGTERM, as `app.py` obeys it: the stages, the connection, the journal."""
        self.stopping = True
        stages = OrderlyStop(
            self.bus,
            self.waiter,
            flatten=self.world.config.daemon.on_stop == "flatten",
            disarm=self._disarm,
        )
        confirmed = await stages.run("SIGTERM")
        self.world.oracle.stopped(confirmed)
        await self.gateway.stop()
        with contextlib.suppress(HedgegridError):
            await self.journal.durable(JOURNAL_S)
            self.clean = True
        self.dying = True

    async def _disarm(self) -> bool:
        answer = await self.bus.ask(m.DisarmDeadMan(reason="stopping"), DEAD_MAN_S, actor="app")
        return isinstance(answer, m.Done)

    def die(self) -> None:
        """SIGKILL: nothing of it runs any more; what was on its way to the venue arrives all the same."""
        self.dead = True
        self.world.stream.close()
        self.loop.die()

    def _burn(self, message: m.Message) -> None:
        if self.world.traps:
            self.fuse = self.world.sprung(type(message).__name__) or self.fuse
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.dying = self.unhandled = True  # it is written, and nobody has acted on it
                raise Killed

    def leaves(self, endpoint: str, params: dict[str, str]) -> bool:
        """A request is about to leave; True when the process is dead and it does not."""
        if self.dead or self.dying:
            return True
        self.world.oracle.sent(endpoint, params, self)
        if self.fuse:
            self.fuse -= 1
            self.dying = not self.fuse
        return False

    def processed(self, endpoint: str, params: dict[str, str], code: int) -> None:
        """The venue has acted on a request, or refused it (`code`)."""
        self.world.counts["requests"] += 1
        if self.world.trace is not None and not endpoint.startswith("GET"):
            plain = {k: v for k, v in params.items() if k not in ("timestamp", "recvWindow", "signature")}
            self.world.note(f"venue: {endpoint} {plain} {code or 'taken'}")
        self.world.oracle.processed(endpoint, params, code, self)

    def lost(self, endpoint: str, params: dict[str, str], code: int = 0) -> None:
        """It will never be acted on; `code`: refused on the way."""
        self.world.oracle.lost(endpoint, params, code)

    # ------------------------------------------------------------------------------------------------- small parts

    def wall_ms(self) -> int:
        return self.world.machine.wall_ns() // 1_000_000

    def instrument_of(self, client_order_id: str) -> str:
        tag = parse_client_order_id(client_order_id)
        assert tag is not None
        return f"{tag.symbol}-PERP.BINANCE"

    def all_is_well(self) -> bool:
        world = self.world
        calm = world.weather.fair and world.time.now - world.weather.last_bad > 25 * SECOND
        return (
            calm
            and self.connection.connected
            and self.connection.user_stream_up()
            and not world.stream.silent
            and not world.frozen
        )

    def before_look(self) -> None:
        """Quotes that came since the last look and were nothing new."""
        self.world.market.tell_quotes(self.connection)

    def ask(self, command: m.Message, reply: Callable[[Any], None], deadline_s: float) -> int | None:
        """A command of the operator; None when it is not taken."""
        try:
            return self.bus.post_ask(command, deadline_s, reply, actor="operator")
        except HedgegridError as error:
            self.world.oracle.broken(error)
            return None

    def save(self) -> None:
        """A snapshot as of now, on disk once the journal is durable to its position; not amid a removal, as in app."""
        if not self.machines.at_rest():
            return
        saved = Saved(self.machines.snapshot(), self.journal.position, self.bus.next_seq)
        self.loop.spawn(self._save(saved))

    async def _save(self, saved: Saved) -> None:
        try:
            await self.journal.durable(JOURNAL_S)
        except HedgegridError:
            return  # no snapshot this time, as in the daemon
        self.world.disk.snapshot = saved

    def _heard(self, message: m.Message) -> None:
        if isinstance(message, m.StageChanged) and message.stage == "control":
            self.bus.publish(m.StageReached(stage="ready"), actor="app")
            self.ready = True
            self.world.oracle.disturb()  # its bounds begin when it is up
        self.world.oracle.heard(message, self)

    def _journal_failed(self, error: Exception) -> None:
        self.loop.call_soon(self._pause_for, str(error))

    def _pause_for(self, error: str) -> None:
        self.bus.tell(m.PauseEntries(reason=f"the journal has failed: {error}"), actor="app")

    def _fault(self, fault: Fault) -> None:
        error = ActorFault(f"{fault.actor}: {fault.error!r}")
        error.__cause__ = fault.error
        self.world.oracle.broken(error)

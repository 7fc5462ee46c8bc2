"""The composition root: the one place where the parts of the daemon are joined, started and stopped.

Start: state folder -> journal -> machines restored -> bus and actors (metrics and control answer from here on, saying
which stage is running) -> venue, for as long as it takes -> reconcile -> kill switch -> READY.
Stop: entries cancelled and confirmed by the venue -> inventory as configured -> actors down in reverse -> snapshot ->
journal closed. Exit code 0 only when the venue confirmed.
"""

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import structlog
from anyio.abc import TaskStatus

from hedgegridd import messages as m
from hedgegridd.actors.dead_man import DeadManActor
from hedgegridd.actors.decisions import DecisionsActor
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
from hedgegridd.actors.metric_histograms import Histograms
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.actors.panic import PanicActor
from hedgegridd.actors.recent import RecentActor, words
from hedgegridd.actors.trip_latch import TripLatchActor
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.alerts.actor import AlertsActor
from hedgegridd.archive import Archive
from hedgegridd.config import Config
from hedgegridd.control.actor import ControlActor
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.health_actor import HealthActor
from hedgegridd.control.once import Once
from hedgegridd.control.operation import Services
from hedgegridd.control.sessions import Sessions
from hedgegridd.control.stream import Hub
from hedgegridd.control.stream_actor import StreamActor
from hedgegridd.core import pauses
from hedgegridd.core.boot import Boot
from hedgegridd.core.dead_man import SOURCE as DEAD_MAN
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.core.reloaded import carried
from hedgegridd.core.switches import SOURCE as SWITCHES
from hedgegridd.errors import ActorFault, ConfigError, HedgegridError
from hedgegridd.journal import restore as journal_restore
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.latch_watch import LatchWatch
from hedgegridd.journal.recorder import Recorder
from hedgegridd.journal.trip_latch import TripLatch
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.keeper import Keeper
from hedgegridd.operations import REGISTRY
from hedgegridd.reload import plan, read_again
from hedgegridd.risk.machine import SOURCE as GUARDS
from hedgegridd.risk.settings import calls_per_10s, references, settings, warm_up_s
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.lag import LagProbe, LagReport
from hedgegridd.runtime.roots import Roots
from hedgegridd.runtime.scheduler import Probes
from hedgegridd.runtime.supervisor import Incident, Supervisor
from hedgegridd.state import Machines
from hedgegridd.stopping import DEAD_MAN_S, OrderlyStop
from hedgegridd.systemd import Notifier, Systemd, status_line
from hedgegridd.venue.gateway import Gateway
from hedgegridd.venue.nautilus import for_config
from hedgegridd.venue.rest import Credentials

EXIT_OK, EXIT_FAILED, EXIT_UNVERIFIED = 0, 1, 5
_log = structlog.get_logger("hedgegridd")
JOURNAL_S = 2.0
HOLD_SOURCES = (
    GUARDS,
    pauses.SOURCE,
    DEAD_MAN,
    SWITCHES,
)  # nothing is traded before each of them has said what it holds


@dataclass
class Daemon:
    """All parts of one running daemon."""

    config: Config
    credentials: Credentials
    clock: RealClock = field(default_factory=RealClock)
    accept_broken_journal: bool = False
    config_file: Path | None = None  # goes into backups
    reread: Callable[[], Config] | None = None  # the config file as it is now, checked
    events_secret: str = ""  # signs external events; "": they are refused
    alert_secrets: Mapping[str, str] = field(default_factory=dict)  # by the name of the credential
    notifier: Notifier = field(default_factory=lambda: Notifier({}, 0))  # to systemd

    def __post_init__(self) -> None:
        """Nothing is touched before `open`."""
        self.started_ns = self.clock.wall_ns()
        venue = self.config.venue
        self.folder = StateFolder(Path(self.config.daemon.state_dir), f"{venue.kind} {venue.environment}")
        self.histograms = Histograms()
        self.roots = Roots()
        self.confirmed = True  # whether the venue has confirmed what a stop promises
        self._stop_asked = anyio.Event()
        self._stop_reason = ""
        self._signals = 0

    # ------------------------------------------------------------------------------------------------- assembly

    def open(self) -> None:
        """State folder, journal, machines with their kept state, bus and actors.

        Raises:
            HedgegridError: the folder is held by another process, or the journal is broken.
            OSError: the folder cannot be used.
            ValueError: an address may not be served so.
        """
        config = self.config
        self.folder.open(self.clock.wall_ns())
        self.journal = Journal(
            self.folder.journal,
            self.clock,
            hooks=JournalHooks(
                on_failure=self._journal_failed,
                on_recovered=self._journal_recovered,
                on_commit=self.histograms.journaled,
            ),
            segment_bytes=config.journal.segment_mb << 20,
        )
        restored = journal_restore.restore(
            self.journal,
            self.folder.journal,
            self.folder.snapshots,
            accept_broken=self.accept_broken_journal,
        )
        for note in restored.notes:
            _log.warning("journal", note=note)
        self.trip_latch = TripLatch(self.folder.path)
        if problem := self.trip_latch.open():
            _log.critical("trips_not_latched", error=problem, effect="a crash forgets what the journal lacks")
        latched = self.trip_latch.read()
        self.machines = Machines.of(config, self.folder.epoch, HOLD_SOURCES)
        state = restored.snapshot.state if restored.snapshot else None
        replayed = self.machines.restore(state, restored.tail(), latched)
        _log.info("state", snapshot=state is not None, records_replayed=replayed, epoch=self.folder.epoch)
        if left := self.machines.unwatched({grid.instrument_id for grid in config.grid}):
            raise ConfigError(
                f"our books hold {', '.join(left)}, and no [[grid]] names it: nobody would watch it and no flatten close it. "
                "Put its table back (with enabled = false no entry is placed) until it is flat"
            )
        self._join(restored.next_seq)
        known = restored.snapshot.position if restored.snapshot else 0
        self.keeper.begin_session(restored.opened.last_position, known, latched)

    def _join(self, next_seq: int) -> None:
        config = self.config
        self.boot = Boot()
        recorder = Recorder(self.journal)
        self.bus = Bus(
            self.clock,
            m.ALL,
            recorder=self._recorder(recorder),
            returned=recorder.returned,
            probes=Probes(on_wait=self.histograms.queue_wait.observe),
            first_seq=next_seq,
        )
        archive = Archive(config, self.folder.path, self.clock.wall_ns, self.config_file)
        self.keeper = self._keeper(archive)
        self.waiter = WaiterActor()
        recent = RecentActor(self.roots.of)
        hub = Hub(config.control.stream_clients, first_seq=next_seq, words=words)
        services = self._services(archive, recent, hub)
        self.once = Once(self.folder.path / "idempotency.jsonl", self.clock.wall_ns)
        dispatcher = Dispatcher(REGISTRY, services, self.once)
        watch = LatchWatch(self.folder.path, self.clock.mono_ns)
        self.gateway = self._gateway(watch)
        self.systemd = Systemd(self.notifier, self.bus, partial(status_line, services))
        self.meters = Meters(self.gateway.stats, dispatcher.counts, self.histograms)
        self.control = ControlActor(
            config.control,
            dispatcher,
            sessions=Sessions(self.folder.path / "sessions.json", self.clock.wall_ns),
            events_secret=self.events_secret,
        )
        self.meters.auth_failures = lambda: self.control.http.auth.failures
        self.metrics = MetricsActor(config.metrics, self.meters, self.started_ns)
        self.alerts = AlertsActor(
            config,
            self.alert_secrets,
            self.clock.mono_ns,
            counts=self.meters.alerts,
            observe=self._alert_delivered,
        )
        self.orderly_stop = self._stages_of_stop()
        actors: list[Actor] = [
            # The first to start is the last to stop: control and metrics answer all the while.
            self.control,
            StreamActor(hub),
            recent,
            self.waiter,
            self.alerts,
            BootActor(self.boot),
            KillSwitchActor(self.machines.kill_switch),
            TripLatchActor(self.trip_latch, lambda: self.machines.kill_switch.latched),
            PanicActor(watch, self.folder.path, services.instruments, self._durable_now),
            DeskActor(self.machines.desk),
            FlattenActor(self.machines.flatten),
            DeadManActor(self.machines.dead_man),
            RiskActor(self.machines.risk),
            self.metrics,
            KpiActor(config.kpi),
            HealthActor(services),
            self.gateway,
            PausesActor(self._planned_pauses()),
            SwitchesActor(self.machines.switches),
            ReconcilerActor(Reconciler(config.venue.reconcile_interval_s)),
        ]
        self.supervisor = Supervisor(self.bus, [*actors, DecisionsActor(actors)], on_incident=self._incident)

    def _keeper(self, archive: Archive) -> Keeper:
        return Keeper(
            self.config,
            folder=self.folder,
            journal=self.journal,
            machines=self.machines,
            bus=self.bus,
            clock=self.clock,
            archive=archive,
        )

    def _recorder(self, recorder: Recorder) -> Callable[[str, m.Envelope], None]:
        """The journal, and beside it who follows commands: to the venue, and into the log."""

        def handed(to: str, envelope: m.Envelope) -> None:
            recorder.handed(to, envelope)
            self.meters.command_times.handed(envelope)
            self.roots.handed(envelope)

        return handed

    def _gateway(self, gate: LatchWatch) -> Gateway:
        return Gateway(
            self.config,
            self.credentials,
            make_trading=for_config(self.config, self.credentials),
            durable=self._durable_now,
            wall_ns=self.clock.wall_ns,
            mono_ns=self.clock.mono_ns,
            gate=gate,
            references=references(settings(self.config)),
            calls_per_10s=calls_per_10s(settings(self.config)),
            warm_up_s=warm_up_s(self.config),
        )

    def _services(self, archive: Archive, recent: RecentActor, hub: Hub) -> Services:
        """What operations work with."""
        config = self.config
        return Services(
            bus=self.bus,
            instruments=tuple(grid.instrument_id for grid in config.grid),
            time_ns=self.clock.wall_ns,
            durable=self._durable,
            recent=recent.lines,
            environment=config.venue.environment,
            account=config.venue.account,
            account_poll_s=float(config.venue.account_poll_s),
            stopping=lambda: self._stop_reason,
            troubles=self._troubles,
            archive=archive,
            stream=hub.open,
            read_only=lambda: self.machines.switches.read_only,
            publish=self._publish,
            reload=self._reload,
        )

    def _stages_of_stop(self) -> OrderlyStop:
        return OrderlyStop(
            self.bus,
            self.waiter,
            flatten=self.config.daemon.on_stop == "flatten",
            disarm=self._disarm_dead_man,
        )

    async def _disarm_dead_man(self) -> bool:
        """Whether the venue has confirmed that no countdown will strip the exits that stay."""
        answer = await self.bus.ask(m.DisarmDeadMan(reason="stopping"), DEAD_MAN_S, actor="app")
        if isinstance(answer, m.Refused):
            _log.error("dead_man_not_disarmed", error=answer.reason)
        return isinstance(answer, m.Done)

    def _troubles(self) -> tuple[str, ...]:
        return (*self.supervisor.troubles(), *self.alerts.troubles())

    def _alert_delivered(self, channel: str, seconds: float) -> None:
        self.histograms.alert_delivery.labels(channel).observe(seconds)

    def _planned_pauses(self) -> pauses.Pauses:
        config = self.config
        names = {grid.instrument: grid.instrument_id for grid in config.grid}
        return pauses.Pauses(config.pause, ZoneInfo(config.daemon.timezone), names)

    def _publish(self, event: m.Event, actor: str) -> None:
        self.bus.publish(event, actor=actor)

    def _reload(self, actor: str) -> dict[str, object]:
        """Take up what may change at run time. Raises ConfigError, ValueError: nothing has changed."""
        found = plan(self.config, read_again(self.reread), self.machines.risk)
        self.control.http.use(found.config.control)
        if found.applied:
            self.config = found.config
            self.keeper.use(found.config)
            self.bus.publish(m.ConfigReloaded(config=carried(found.config)), actor=actor)
        _log.info("reloaded", actor=actor, applied=found.applied, needs_restart=found.needs_restart)
        return {"applied": list(found.applied), "needs_restart": list(found.needs_restart)}

    async def _durable(self, timeout_s: float) -> None:
        """Return when everything recorded so far is on disk. Raises JournalError."""
        await self.journal.durable(self.journal.position, timeout_s)

    async def _durable_now(self) -> None:
        """What an order waits for before it leaves. Raises JournalError."""
        await self._durable(JOURNAL_S)

    # ----------------------------------------------------------------------------------------------------- life

    async def run(self) -> int:
        """Live until asked to stop or until an essential part breaks; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, signal.Signals(number).name)
        self.bus.start(loop)
        code = EXIT_OK
        try:
            async with anyio.create_task_group() as group:
                lag = LagReport(self.clock, self.histograms.loop_lag.observe, self._tell_lag)
                group.start_soon(LagProbe(self.clock, lag.sample).run)
                group.start_soon(self.keeper.run)
                group.start_soon(self.systemd.run)
                group.start_soon(self._announce)
                group.start_soon(self._stop_in_order)
                await group.start(self._supervise, group.cancel_scope)
                self.gateway.spawn(self.gateway.connect)
        except* Exception as errors:  # noqa: BLE001  # whatever broke, the exit code and the log say so
            for error in errors.exceptions:
                self._say_broken(error)
            code = EXIT_FAILED
        finally:
            self.bus.stop()
        for name in self.supervisor.overruns:
            _log.error("stop_overrun", actor=name)
        return code if code or self.confirmed else EXIT_UNVERIFIED

    def _tell_lag(self, lag_ms: Decimal) -> None:
        self.bus.publish(m.LoopLagged(lag_ms=lag_ms), actor="app")

    @staticmethod
    def _say_broken(error: Exception) -> None:
        """A port or a path that cannot be had is the operator's to mend and needs no traceback; all else has one."""
        if isinstance(error, ActorFault) and isinstance(error.__cause__, OSError):
            _log.critical("cannot_start", error=str(error.__cause__))
        else:
            _log.critical("broken", error=repr(error), exc_info=error)

    async def _supervise(self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        """The actors' whole life; when it is over, everything is."""
        # Not in a `finally`: a cancelled scope would swallow the fault that `run` raises, and the exit code with it.
        await self.supervisor.run(task_status=task_status)
        scope.cancel()

    def close(self) -> bool:
        """Last snapshot, journal closed, folder released; False when something did not reach the disk."""
        try:
            return self.keeper.close()
        finally:
            self.trip_latch.close()
            self.once.close()
            self.folder.close()

    def _signalled(self, name: str) -> None:
        self._signals += 1
        if self._signals > 1:
            _log.warning("second_signal", signal=name, effect="straight to closing the journal")
            self.confirmed = False
            self.gateway.hurry()
            self.supervisor.request_stop()
        self._stop_reason = self._stop_reason or name
        self._stop_asked.set()

    async def _announce(self) -> None:
        """Tell systemd, and whoever reads the log, when start-up is through."""
        ready = self.waiter.expect(lambda x: isinstance(x, m.StageChanged) and x.stage == "control")
        await ready.within(float("inf"))
        gc.collect()
        # A full collection with Nautilus imported pauses the loop for tens of milliseconds: look at new objects only.
        gc.freeze()
        self.bus.publish(m.StageReached(stage="ready"), actor="app")
        _log.info(
            "READY",
            http=self.control.http_address,
            socket=self.config.control.socket,
            metrics=self.metrics.address,
        )
        self.systemd.ready()

    async def _stop_in_order(self) -> None:
        """The stages of `stopping.py`; the exit code says whether the venue confirmed them all."""
        await self._stop_asked.wait()
        _log.info("stopping", reason=self._stop_reason)
        self.systemd.stopping()
        if not self.boot.reached_venue and self.machines.books_are_empty():
            self.bus.publish(m.Stopping(reason=self._stop_reason), actor="app")
            self.confirmed = False  # the venue has confirmed nothing, and there is nothing to ask it for
            _log.info(
                "stopped", reason=self._stop_reason, venue="never reached; we know of nothing of ours there"
            )
            self.supervisor.request_stop()
            return
        confirmed = await self.orderly_stop.run(self._stop_reason)
        self.confirmed = self.confirmed and all(confirmed.values())
        _log.info("stopped", reason=self._stop_reason, **confirmed)
        self.bus.publish(m.Stopped(reason=self._stop_reason, confirmed=confirmed), actor="app")
        self.supervisor.request_stop()

    # --------------------------------------------------------------------------------------------------- incidents

    def _journal_failed(self, error: Exception) -> None:
        self.keeper.failed(error)

    def _journal_recovered(self, lost: int) -> None:
        self.keeper.recovered(lost)

    def _incident(self, incident: Incident) -> None:
        fault = incident.fault
        _log.error(
            "fault", actor=fault.actor, action=incident.action, error=repr(fault.error), exc_info=fault.error
        )
        broke = m.PartBroke(part=fault.actor, action=incident.action, error=repr(fault.error))
        try:
            self.bus.publish(broke, actor="app")
        except HedgegridError as error:
            _log.error("fault_not_told", error=str(error))

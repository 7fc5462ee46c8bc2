"""The composition root: the one place where the parts of the daemon are joined, started and stopped.

Start: state folder -> journal -> machines restored -> bus and actors (metrics and control answer from here on, saying
which stage is running) -> venue, for as long as it takes -> reconcile -> kill switch -> READY.
Stop: entries cancelled and confirmed by the venue -> inventory as configured -> actors down in reverse -> snapshot ->
journal closed. Exit code 0 only when the venue confirmed.
"""

import asyncio
import gc
import signal
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import structlog
from anyio.abc import TaskStatus

from hedgegridd import messages as m
from hedgegridd.actors.machines import (
    BootActor,
    DeskActor,
    FlattenActor,
    KillSwitchActor,
    PausesActor,
    ReconcilerActor,
    RiskActor,
)
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.actors.recent import RecentActor
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.config import Config
from hedgegridd.control.actor import ControlActor
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.operation import Services
from hedgegridd.core import pauses
from hedgegridd.core.boot import Boot
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.errors import ActorFault, HedgegridError
from hedgegridd.journal import restore as journal_restore
from hedgegridd.journal import snapshot
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.operations import REGISTRY
from hedgegridd.risk.machine import SOURCE as GUARDS
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import references, settings
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.lag import LagProbe, LagReport
from hedgegridd.runtime.supervisor import Incident, Supervisor
from hedgegridd.state import Machines
from hedgegridd.stopping import OrderlyStop
from hedgegridd.venue.gateway import Gateway
from hedgegridd.venue.nautilus import for_config
from hedgegridd.venue.rest import Credentials

EXIT_OK, EXIT_FAILED, EXIT_UNVERIFIED = 0, 1, 5
SNAPSHOT_CHECK_S = 1.0
_log = structlog.get_logger("hedgegridd")
JOURNAL_S = 2.0
HOLD_SOURCES = (GUARDS, pauses.SOURCE)  # nothing is traded before each of them has said what it holds


@dataclass
class Daemon:
    """All parts of one running daemon."""

    config: Config
    credentials: Credentials
    clock: RealClock = field(default_factory=RealClock)
    accept_broken_journal: bool = False

    def __post_init__(self) -> None:
        """Nothing is touched before `open`."""
        self.started_ns = self.clock.wall_ns()
        self.folder = StateFolder(Path(self.config.daemon.state_dir))
        self.confirmed = True  # whether the venue has confirmed what a stop promises
        self._stop_asked = anyio.Event()
        self._stop_reason = ""
        self._signals = 0
        self._snapshot_position = 0

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
            hooks=JournalHooks(on_failure=self._journal_failed),
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
        symbols = {grid.instrument_id: grid.symbol for grid in config.grid}
        self.machines = Machines(
            Desk(config, self.folder.epoch, hold_sources=HOLD_SOURCES),
            KillSwitch(config.kill_switch, HOLD_SOURCES),
            Flattener(symbols, self.folder.epoch),
            RiskMachine(settings(config), symbols),
        )
        state = restored.snapshot.state if restored.snapshot else None
        replayed = self.machines.restore(state, restored.tail())
        self._snapshot_position = restored.snapshot.position if restored.snapshot else 0
        _log.info("state", snapshot=state is not None, records_replayed=replayed, epoch=self.folder.epoch)
        self._join(restored.next_seq)
        self._begin_session(restored.opened.last_position)

    def _begin_session(self, position: int) -> None:
        """Keep the state with which this process begins.

        The next start replays this process's records on it: on the state in which the one before was killed the
        machines would decide otherwise than they did here.
        """
        try:
            self._save(self.machines.snapshot(), position)
            self._snapshot_position = position
        except OSError as error:
            _log.error("snapshot_failed", error=str(error))

    def _save(self, state: bytes, position: int) -> None:
        snapshot.save(
            self.folder.snapshots,
            state,
            position=position,
            next_seq=self.bus.next_seq,
            time_ns=self.clock.wall_ns(),
        )

    def _join(self, next_seq: int) -> None:
        config = self.config
        self.boot = Boot()
        self.bus = Bus(self.clock, m.ALL, recorder=self.journal.append, first_seq=next_seq)
        self.waiter = WaiterActor()
        recent = RecentActor()
        services = Services(
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
        )
        dispatcher = Dispatcher(REGISTRY, services)
        self.gateway = Gateway(
            config,
            self.credentials,
            make_trading=for_config(config, self.credentials),
            durable=self._durable_now,
            wall_ns=self.clock.wall_ns,
            mono_ns=self.clock.mono_ns,
            references=references(settings(config)),
        )
        self.meters = Meters(self.gateway.stats, dispatcher.counts)
        self.control = ControlActor(config.control, dispatcher)
        self.metrics = MetricsActor(config.metrics, self.meters, self.started_ns)
        self.orderly_stop = OrderlyStop(self.bus, self.waiter, flatten=config.daemon.on_stop == "flatten")
        self.supervisor = Supervisor(
            self.bus,
            [
                # The first to start is the last to stop: control and metrics answer all the while.
                self.control,
                recent,
                self.waiter,
                BootActor(self.boot),
                KillSwitchActor(self.machines.kill_switch),
                DeskActor(self.machines.desk),
                FlattenActor(self.machines.flatten),
                RiskActor(self.machines.risk),
                self.metrics,
                self.gateway,
                PausesActor(self._planned_pauses()),
                ReconcilerActor(Reconciler(config.venue.reconcile_interval_s)),
            ],
            on_incident=self._incident,
        )

    def _troubles(self) -> tuple[str, ...]:
        return self.supervisor.troubles()

    def _planned_pauses(self) -> pauses.Pauses:
        config = self.config
        names = {grid.instrument: grid.instrument_id for grid in config.grid}
        return pauses.Pauses(config.pause, ZoneInfo(config.daemon.timezone), names)

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
                lag = LagReport(self.clock, self.meters.loop_lag.observe, self._tell_lag)
                group.start_soon(LagProbe(self.clock, lag.sample).run)
                group.start_soon(self._keep_snapshots)
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
        durable = False
        try:
            state = self.machines.snapshot()
            position = self.journal.position
            durable = self.journal.close()
            if durable:
                self._save(state, position)
        except OSError as error:
            _log.error("snapshot_failed", error=str(error))
        finally:
            self.folder.close()
        return durable

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

    async def _stop_in_order(self) -> None:
        """The stages of `stopping.py`; the exit code says whether the venue confirmed them all."""
        await self._stop_asked.wait()
        _log.info("stopping", reason=self._stop_reason)
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
        self.supervisor.request_stop()

    async def _keep_snapshots(self) -> None:
        """Write a snapshot whenever the journal has grown enough, so that a start need not read it all."""
        while True:
            await anyio.sleep(SNAPSHOT_CHECK_S)
            position = self.journal.position
            if position - self._snapshot_position < self.config.journal.snapshot_every:
                continue
            # All of it as of one position: no handler runs between these three lines.
            state, next_seq, time_ns = self.machines.snapshot(), self.bus.next_seq, self.clock.wall_ns()
            try:
                await self.journal.durable(position, JOURNAL_S)
                write = partial(
                    snapshot.save,
                    self.folder.snapshots,
                    state,
                    position=position,
                    next_seq=next_seq,
                    time_ns=time_ns,
                )
                await anyio.to_thread.run_sync(write)
                self._snapshot_position = position
            except (HedgegridError, OSError) as error:
                _log.error("snapshot_failed", error=str(error))

    # --------------------------------------------------------------------------------------------------- incidents

    def _journal_failed(self, error: Exception) -> None:
        """New entries are refused by themselves (their intents cannot get durable); those that rest must go as well.

        Exits and flatten go on. The pause is what `status` and `health` show until the restart that the disk needs.
        """
        _log.critical("journal_failed", error=str(error))
        try:
            self.bus.tell(m.PauseEntries(reason=f"the journal has failed: {error}"), actor="app")
        except HedgegridError as down:
            _log.error("entries_not_paused", error=str(down))

    def _incident(self, incident: Incident) -> None:
        fault = incident.fault
        _log.error(
            "fault", actor=fault.actor, action=incident.action, error=repr(fault.error), exc_info=fault.error
        )

"""Keeps a running daemon's state: session record, snapshots, the journal's health and bounds, history and backups.

When the journal fails (disk full, hung, too slow) entries are held at once; exits and flatten go on. When the disk
takes records again the hold goes by itself.
"""

import os
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog

from hedgegridd import __version__
from hedgegridd import messages as m
from hedgegridd.archive import Archive
from hedgegridd.config import Config
from hedgegridd.core.reloaded import carried
from hedgegridd.errors import HedgegridError
from hedgegridd.journal import snapshot
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.record import SESSION, STATE
from hedgegridd.journal.retention import Bounds, sweep
from hedgegridd.journal.writer import Journal
from hedgegridd.model import JOURNAL_KEY
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import Clock
from hedgegridd.state import Machines

SNAPSHOT_CHECK_S = 1.0
DURABLE_S = 2.0
JOURNAL_CHECK_S = 0.2
SWEEP_S = 60.0
BUSY_SNAPSHOTS = 5  # a removal may hold a snapshot up for so many times its distance
_log = structlog.get_logger("keeper")


class Keeper:
    """One per daemon, made when everything it keeps is there; `run` it beside the actors."""

    def __init__(
        self,
        config: Config,
        *,
        folder: StateFolder,
        journal: Journal,
        machines: Machines,
        bus: Bus,
        clock: Clock,
        archive: Archive,
    ) -> None:
        self._config = config
        self._folder = folder
        self._journal = journal
        self._machines = machines
        self._bus = bus
        self._clock = clock
        self._archive = archive
        self._snapshot_position = 0
        archive.fresh_state = self.keep_state

    # ------------------------------------------------------------------------------------------------------- life

    def use(self, config: Config) -> None:
        """What is in force from now on: a replay that begins later begins with it."""
        self._config = config

    def begin_session(self, position: int, snapshot_position: int = 0) -> None:
        """Keep the state with which this process begins, as of `position`, and write it down with its config.

        It was made from the snapshot as of `snapshot_position`.

        The next start replays this process's records on it: on the state in which the one before was killed the
        machines would decide otherwise than they did here.
        """
        state = self._machines.snapshot()
        began = m.SessionBegan(
            version=__version__,
            pid=os.getpid(),
            snapshot_position=snapshot_position,
            epoch=self._folder.epoch,
            hold_sources=self._machines.hold_sources,
            config=carried(self._config),
            state=msgspec.Raw(state),
        )
        self._write_down(SESSION, began)
        try:
            self._save(state, position, self._bus.next_seq, self._clock.wall_ns())
            self._snapshot_position = position
        except OSError as error:
            _log.error("snapshot_failed", error=str(error))

    async def run(self) -> None:
        """Everything that has to be done now and then; ends when it is cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_snapshots)
            group.start_soon(self._watch_journal)
            group.start_soon(self._keep_in_bounds)
            group.start_soon(self._archive.write_history)

    def close(self) -> bool:
        """Last snapshot, journal closed, history brought up to it; False when something did not reach the disk."""
        state = self._machines.snapshot()
        position = self._journal.position
        durable = self._journal.close()
        try:
            if durable:
                self._save(state, position, self._bus.next_seq, self._clock.wall_ns())
        except OSError as error:
            _log.error("snapshot_failed", error=str(error))
        finally:
            self._archive.close()
        return durable

    # -------------------------------------------------------------------------------------------------- snapshots

    async def keep_state(self) -> int:
        """Write the state into the journal and a snapshot of it beside; the position it is as of.

        Raises:
            JournalError: the journal does not get it to the disk.
            OSError: the disk refuses the snapshot.
        """
        # All of it as of one position: no handler runs between these lines.
        state = self._machines.snapshot()
        self._write_state(state)
        position, next_seq, time_ns = self._journal.position, self._bus.next_seq, self._clock.wall_ns()
        await self._journal.durable(position, DURABLE_S)
        await anyio.to_thread.run_sync(partial(self._save, state, position, next_seq, time_ns))
        self._snapshot_position = position
        return position

    async def _keep_snapshots(self) -> None:
        """Whenever the journal has grown enough, so that a start need not read it all."""
        every = self._config.journal.snapshot_every
        while True:
            await anyio.sleep(SNAPSHOT_CHECK_S)
            grown = self._journal.position - self._snapshot_position
            if grown < every or (grown < every * BUSY_SNAPSHOTS and not self._machines.at_rest()):
                continue
            try:
                await self.keep_state()
            except (HedgegridError, OSError) as error:
                _log.error("snapshot_failed", error=str(error))

    def _save(self, state: bytes, position: int, next_seq: int, time_ns: int) -> Path:
        folder = self._folder.snapshots
        return snapshot.save(folder, state, position=position, next_seq=next_seq, time_ns=time_ns)

    def _write_state(self, state: bytes, lost: int = 0) -> None:
        kept = m.StateKept(
            lost=lost,
            epoch=self._folder.epoch,
            hold_sources=self._machines.hold_sources,
            config=carried(self._config),
            state=msgspec.Raw(state),
        )
        self._write_down(STATE, kept)

    def _write_down(self, kind: str, message: m.Message) -> None:
        """A record of ourselves; like every other it stands between two messages, never inside one."""
        envelope = m.Envelope(
            seq=self._bus.take_seq(),
            time_ns=self._clock.wall_ns(),
            mono_ns=self._clock.mono_ns(),
            cause=0,
            actor="app",
            message=message,
        )
        self._journal.append(kind, envelope)

    # ---------------------------------------------------------------------------------------- the journal's health

    async def _watch_journal(self) -> None:
        while True:
            await anyio.sleep(JOURNAL_CHECK_S)
            self._journal.check()

    def failed(self, error: Exception) -> None:
        """New entries are refused by themselves (their intents cannot get durable); those that rest must go as well."""
        _log.critical(
            "journal_failed",
            error=str(error),
            effect="no entries; exits and flatten go on; nothing is said to be durable",
            do="free the disk of the state folder: the journal goes on by itself",
        )
        cause = f"the journal has failed: {error}"
        self._hold((m.Hold(key=JOURNAL_KEY, action="pause", cause=cause, since_ns=self._clock.wall_ns()),))

    def recovered(self, lost: int) -> None:
        """The disk takes records again; when some were lost the state is written down before anything else."""
        if lost:
            self._write_state(self._machines.snapshot(), lost)
        _log.warning("journal_recovered", records_lost=lost)
        self._hold(())

    def _hold(self, holds: tuple[m.Hold, ...]) -> None:
        try:
            self._bus.publish(m.HoldsChanged(source=JOURNAL_KEY, holds=holds), actor="app")
        except HedgegridError as down:
            _log.error("journal_hold_not_told", error=str(down))

    # -------------------------------------------------------------------------------------------------------- bounds

    async def _keep_in_bounds(self) -> None:
        """Compress and remove old segments, off the loop; not while a backup reads them."""
        kept = self._config.journal
        bounds = Bounds(keep_days=kept.keep_days, keep_bytes=int(kept.keep_gb * 1_000_000_000))
        while True:
            await anyio.sleep(SWEEP_S)
            now_ns = self._clock.wall_ns()
            work = partial(sweep, self._folder.journal, self._folder.snapshots, bounds, now_ns=now_ns)
            try:
                async with self._archive.files:
                    swept = await anyio.to_thread.run_sync(work)
            except (HedgegridError, OSError) as error:
                _log.error("retention_failed", error=str(error))
                continue
            if swept.compressed or swept.removed:
                _log.info(
                    "retention", compressed=swept.compressed, removed=swept.removed, gone_to=swept.through
                )

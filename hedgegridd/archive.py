"""What the daemon keeps for looking back: the history written off the loop, newest records, backups with their hook."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog

from hedgegridd.config import Config
from hedgegridd.errors import BackupError, HedgegridError
from hedgegridd.journal import backup as backups
from hedgegridd.journal import history
from hedgegridd.journal.history import History
from hedgegridd.journal.scan import Follower, last
from hedgegridd.journal.words import words

BATCH = 500  # records taken into the history in one go
IDLE_S = 0.5
AGAIN_S = 5.0
CATCH_UP_S = 2.0  # at the end, so that the file is as of the stop
FORGET_S = 3600.0
PATH_MAX = 4096
HOOK_WORDS_MAX = 500  # of what a hook said
_DAY_NS = 86_400 * 1_000_000_000
_log = structlog.get_logger("archive")


class Archive:
    """One per daemon. `files` is held by whoever needs the closed segments to stay as they are."""

    def __init__(
        self, config: Config, folder: Path, wall_ns: Callable[[], int], config_file: Path | None = None
    ) -> None:
        self._config = config
        self._folder = folder
        self._wall_ns = wall_ns
        self._config_file = config_file
        self._history = History(folder / backups.DATABASE)
        self._follower: Follower | None = None
        self.files = asyncio.Lock()
        self.fresh_state: Callable[[], Awaitable[int]] | None = None  # the keeper's
        self._backing_up = False

    # ---------------------------------------------------------------------------------------------------- history

    async def write_history(self) -> None:
        """Take what gets durable into the history, for as long as the daemon runs; its loss stops nothing."""
        forget_at = 0.0
        while True:
            try:
                began = time.monotonic()
                count = await anyio.to_thread.run_sync(self._step)
                if began >= forget_at:
                    forget_at = began + FORGET_S
                    before_ns = self._wall_ns() - self._config.journal.keep_days * _DAY_NS
                    await anyio.to_thread.run_sync(self._history.forget_before, before_ns)
                # As long as it took is left to the loop, which shares the interpreter's lock with us.
                await anyio.sleep(time.monotonic() - began if count >= BATCH else IDLE_S)
            except (HedgegridError, OSError) as error:
                _log.error("history_failed", error=str(error), retry_s=AGAIN_S)
                self._shut()
                await anyio.sleep(AGAIN_S)

    def _step(self) -> int:
        if self._follower is None:
            self._open()
        assert self._follower is not None, "opened just now"
        lines = self._follower.read(BATCH)
        return self._history.apply(lines) if lines else 0

    def _open(self) -> None:
        journal = self._folder / "journal"
        newest = last(journal, 1)
        why = self._history.open(newest[-1].position if newest else 0)
        if why:
            _log.info("history_made_again", why=why)
        self._follower = Follower(journal, self._history.position)

    def _shut(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        self._history.close()

    def close(self) -> None:
        """Bring the history up to the journal's end, as far as that goes in two seconds, and close it."""
        until = time.monotonic() + CATCH_UP_S
        try:
            while self._step() and time.monotonic() < until:
                pass
        except (HedgegridError, OSError) as error:
            _log.error("history_failed", error=str(error))
        self._shut()

    async def page(
        self, table: str, limit: int, before: int | None, instrument: str | None
    ) -> list[dict[str, object]]:
        """The newest rows of a table of the history before a sequence, newest first.

        Raises:
            HistoryError: it cannot be read now.
        """
        path = self._folder / backups.DATABASE
        work = partial(history.page, path, table, limit=limit, before=before, instrument=instrument)
        return await anyio.to_thread.run_sync(work)

    async def records(self, limit: int) -> list[dict[str, object]]:
        """The newest records of the journal, oldest first, in words.

        Raises:
            JournalBroken: a segment cannot be read.
        """
        return await anyio.to_thread.run_sync(self._records, limit)

    def _records(self, limit: int) -> list[dict[str, object]]:
        return [
            {
                "position": line.position, "time_ns": line.time_ns, "seq": line.seq, "cause": line.cause,
                "actor": line.actor, "to": line.to, "type": line.kind, "words": words(line.kind, line.message()),
            }
            for line in last(self._folder / "journal", limit)
        ]  # fmt: skip

    # ---------------------------------------------------------------------------------------------------- backups

    async def backup(self, target: str) -> dict[str, object]:
        """A verified archive in a folder, made by a process of its own while we go on; then the hook.

        Raises:
            BackupError: it could not be made, verified or finished in time; nothing is left behind.
            JournalError, OSError: the state could not be kept first.
        """
        if self._backing_up:
            raise BackupError("a backup is being made already")
        if not target.startswith("/") or len(target) > PATH_MAX:
            raise BackupError(f"`folder`: {target[:100]!r} is no absolute path")
        self._backing_up = True
        began = time.monotonic()
        try:
            made = await self._make(Path(target))
            facts: dict[str, object] = msgspec.to_builtins(made)
            facts["hook"] = await self._hook(made.path)
        finally:
            self._backing_up = False
        facts["took_s"] = round(time.monotonic() - began, 3)
        _log.info("backup", **facts)
        return facts

    async def _make(self, target: Path) -> backups.Made:
        assert self.fresh_state is not None, "the keeper sets it"
        position = await self.fresh_state()
        at = datetime.fromtimestamp(self._wall_ns() / 1e9, UTC)
        name = f"hedgegridd-{self._config.venue.account}-{at:%Y%m%dT%H%M%S}Z-{position}"
        command = [sys.executable, "-m", "hedgegridd.journal.backup", str(self._folder), str(target), name]
        command += ["--position", str(position)]
        command += ["--config", str(self._config_file.resolve())] if self._config_file is not None else []
        limit_s = float(self._config.backup.limit_s)
        async with self.files:
            try:
                code, out, err = await _run(command, limit_s)
            finally:
                await anyio.to_thread.run_sync(backups.clean, target, name)
        if code != 0:
            raise BackupError(err or f"the process that makes it ended with {code}")
        try:
            return msgspec.json.decode(out, type=backups.Made)
        except msgspec.DecodeError as error:
            raise BackupError(f"the process that makes it said {out[:200]!r}: {error}") from error

    async def _hook(self, archive: str) -> dict[str, object] | None:
        """Run the configured command with the archive's path; None when there is none."""
        hook = self._config.backup.hook
        if not hook:
            return None
        try:
            code, _, err = await _run([*hook, archive], float(self._config.backup.hook_limit_s))
        except (BackupError, OSError) as error:
            return {"ok": False, "said": str(error)}
        return {"ok": code == 0, "exit": code, "said": err}


async def _run(command: list[str], limit_s: float) -> tuple[int, str, str]:
    """Exit code, output and the end of the error output of a command; killed with its children past `limit_s`.

    Raises:
        BackupError: it did not end in time.
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise BackupError(
            f"{Path(command[0]).name} did not end within {limit_s:g} s and was killed"
        ) from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()
    assert process.returncode is not None, "it has ended"
    return (
        process.returncode,
        out.decode("utf-8", "replace"),
        err.decode("utf-8", "replace").strip()[-HOOK_WORDS_MAX:],
    )

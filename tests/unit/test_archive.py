"""The archive: history beside a running journal, backups with their bounds and their hook."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hedgegridd import archive as module
from hedgegridd.archive import Archive
from hedgegridd.config import Backup, Config, Grid, Journal
from hedgegridd.errors import BackupError
from hedgegridd.journal.folder import StateFolder
from tests.unit.journal.helpers import written
from tests.unit.journal.test_story import incident

WALL_NS = 1_700_000_100 * 10**9


@asynccontextmanager
async def archive(tmp_path: Path, backup: Backup | None = None, **journal: int) -> AsyncIterator[Archive]:
    """An archive of a state folder with an incident in its journal."""
    folder = StateFolder(tmp_path / "state")
    folder.open(wall_ns=WALL_NS)
    incident(folder.journal)
    folder.snapshots.mkdir()
    config = Config(grid=(Grid(),), backup=backup or Backup(), journal=Journal(**journal))
    made = Archive(config, folder.path, lambda: WALL_NS)

    async def fresh_state() -> int:
        return 15

    made.fresh_state = fresh_state
    try:
        yield made
    finally:
        made.close()
        folder.close()


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_the_history_follows_the_journal_and_ends_with_it(tmp_path: Path) -> None:
    async with archive(tmp_path) as made:
        task = asyncio.create_task(made.write_history())
        for _ in range(1_000):
            if await _fills(made):
                break
            await asyncio.sleep(0.01)
        task.cancel()
        assert [row["price"] for row in await made.page("fills", 10, None, None)] == ["39990.1"]
        records = await made.records(2)
        assert [item["type"] for item in records] == ["Done", "MarkPrice"]
        written(tmp_path / "state" / "journal", 3)
    again = Archive(Config(grid=(Grid(),)), tmp_path / "state", lambda: WALL_NS)
    again._open()
    assert again._history.position == (await again.records(1))[0]["position"], "close has brought it up"
    again._shut()


def text_of(path: Path) -> str:
    return path.read_text()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def _fills(made: Archive) -> list[dict[str, object]]:
    try:
        return await made.page("fills", 10, None, None)
    except module.HedgegridError:
        return []  # it is being made


async def test_a_history_forgets_what_is_older_than_it_may_keep(tmp_path: Path) -> None:
    """The incident of the fixture is from 2023; a day is kept, and now is two days later."""
    async with archive(tmp_path, keep_days=1) as made:
        made._wall_ns = lambda: WALL_NS + 2 * 86_400 * 10**9
        task = asyncio.create_task(made.write_history())
        for _ in range(1_000):
            if made._history.position and not await _fills(made):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("what is too old is still there")
        task.cancel()


async def test_a_backup_is_made_by_a_process_of_its_own_and_hooked(tmp_path: Path) -> None:
    hook = script(tmp_path, f'echo "$1 $2" > {tmp_path}/hooked; echo told >&2')
    async with archive(tmp_path, Backup(hook=(hook, "first"))) as made:
        facts = await made.backup(str(tmp_path / "backups"))
    assert facts["records"] == facts["last_position"]
    assert str(facts["path"]).endswith("hedgegridd-acct1-20231114T221500Z-15.tar.gz")
    assert facts["hook"] == {"ok": True, "exit": 0, "said": "told"}
    assert text_of(tmp_path / "hooked") == f"first {facts['path']}\n"


@pytest.mark.parametrize(
    ("text", "said"), [("echo no route >&2; exit 3", "no route"), ("exec sleep 60", "did not end")]
)
async def test_a_hook_that_fails_or_hangs_is_told_and_the_backup_is_there(
    tmp_path: Path, text: str, said: str
) -> None:
    async with archive(tmp_path, Backup(hook=(script(tmp_path, text),), hook_limit_s=1)) as made:
        facts = await made.backup(str(tmp_path / "backups"))
    assert names(tmp_path / "backups") == {str(facts["path"]).rpartition("/")[2]}
    hook = facts["hook"]
    assert isinstance(hook, dict)
    assert hook["ok"] is False
    assert said in str(hook["said"])


async def test_a_hook_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with archive(tmp_path, Backup(hook=("/nowhere/hook",))) as made:
        facts = await made.backup(str(tmp_path / "backups"))
    assert "No such file" in str(facts["hook"])


async def test_a_backup_that_takes_too_long_is_ended_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path, "exec sleep 60"))
    async with archive(tmp_path, Backup(limit_s=1)) as made:
        with pytest.raises(BackupError, match="did not end within 1 s"):
            await made.backup(str(tmp_path / "backups"))
    assert "backups" not in names(tmp_path) or names(tmp_path / "backups") == set()


async def test_one_backup_at_a_time_and_into_an_absolute_folder_only(tmp_path: Path) -> None:
    async with archive(tmp_path) as made:
        with pytest.raises(BackupError, match="no absolute path"):
            await made.backup("backups")
        first = asyncio.create_task(made.backup(str(tmp_path / "backups")))
        await asyncio.sleep(0)
        with pytest.raises(BackupError, match="being made already"):
            await made.backup(str(tmp_path / "backups"))
        assert (await first)["hook"] is None
        with pytest.raises(BackupError, match="exists"):
            await made.backup(str(tmp_path / "backups"))

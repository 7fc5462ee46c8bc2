"""The journal of the real daemon: replay and story after a crash, a full disk, a backup that is started from."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.test_guards import rig as guarded
from tests.support.programs import (
    ROOT,
    Daemon,
    ProgramError,
    running,
    until,
)
from tests.support.quiet_market import SYMBOL, agree, fill_both_legs, market, ready
from tests.support.truth import entries_at, uncovered

pytestmark = pytest.mark.e2e


def ctl(*arguments: str, socket: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`hedgegridctl ARGUMENTS`."""
    where = ["--socket", str(socket)] if socket is not None else []
    return subprocess.run(
        [sys.executable, "-m", "hedgegridd.ctl.main", *where, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def replayed(state: Path) -> dict[str, Any]:
    done = ctl("--json", "journal", "replay", "--state", str(state))
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_a_crash_and_a_kill_replay_bit_for_bit_and_read_as_a_story(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            bot.program.kill()
        with running(config, log="second.log") as bot:
            ready(bot)
            agree(venue, bot)
            answer = bot.control.ask("kill", reason="walked through", deadline_s=15)
            assert answer["verified"] is True
            rows = until(lambda: bot.control.ask("fills", limit=50)["fills"], "fills", 10, bot.program)
            trades = {str(trade["id"]) for trade in venue.user_trades(SYMBOL, 1)}
            until(
                lambda: {row["trade_id"] for row in bot.control.ask("fills", limit=1000)["fills"]} == trades,
                "every trade of the exchange is in the history",
                10,
                bot.program,
            )
            assert bot.control.ask("equity", limit=5)["equity"]
            assert bot.control.ask("records", limit=5)["count"] == 5
            assert bot.control.ask("positions", history=5)["history"]
            assert bot.program.stop(30) == 0
    assert rows
    whole = ctl("journal", "verify", "--state", str(state))
    assert (whole.returncode, "WHOLE" in whole.stdout) == (0, True), whole.stdout
    found = replayed(state)
    assert found["equal"] is True
    assert found["sessions"] == 2
    assert {"desk", "kill_switch", "flatten", "boot", "reconciler"} <= set(found["handled"])
    story = ctl("journal", "explain", answer["trip_id"], "--state", str(state)).stdout
    assert story.startswith(f"{answer['trip_id']}  kill: walked through  by unix:")
    assert "kill switch ARMED -> TRIPPED" in story
    assert "LONG sold" in story
    assert "SHORT bought" in story
    assert story.rstrip().endswith("s; the kill switch is HALTED")
    assert "FLAT, VERIFIED" in story
    assert "orders 0, algo 0" in story


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of four megabytes at `folder`."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """A file that leaves no byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return filler


def logged(bot: Daemon, event: str) -> list[dict[str, Any]]:
    lines = bot.program.log.read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines if f'"event":"{event}"' in line]


def test_a_full_disk_stops_entries_alone_and_trading_comes_back_by_itself(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with small_disk(state), market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            filler = fill_up(state)
            until(
                lambda: entries_at(venue.truth(), SYMBOL) == {"LONG": [], "SHORT": []},
                "no entry rests",
                30,
                bot.program,
            )
            assert logged(bot, "journal_failed")[0]["level"] == "critical"
            until(
                lambda: not uncovered(venue.truth(), SYMBOL), "take-profits and stops stay", 10, bot.program
            )
            assert "journal" in json.dumps(bot.control.ask("status"), default=str)
            with pytest.raises(ProgramError, match="not durable"):
                bot.control.ask("throttle", throttle=1)
            filler.unlink()
            until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "entries again", 30, bot.program)
            assert logged(bot, "journal_recovered")
            filler = fill_up(state)
            answer = bot.control.ask("flatten", side="both")
            assert answer["verified"] is True, "a full disk stops no flatten"
            assert answer["journal_late"] is True, "and what is not durable is not said to be"
            filler.unlink()
            until(lambda: len(logged(bot, "journal_recovered")) == 2, "the disk is back", 30, bot.program)
            agree(venue, bot)
            assert bot.program.stop(30) == 0
        assert ctl("journal", "verify", "--state", str(state)).returncode == 0
        assert replayed(state)["equal"] is True


def test_a_backup_made_while_trading_starts_with_the_ledger_of_the_account(tmp_path: Path) -> None:
    hook = ["/bin/sh", "-c", 'test -s "$0" && echo "$0" > ' + str(tmp_path / "hooked")]
    with market(tmp_path) as (venue, config):
        with running(config) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            done = ctl("--json", "backup", str(tmp_path / "backups"), socket=tmp_path / "control.sock")
            assert done.returncode == 0, done.stdout + done.stderr
            made = json.loads(done.stdout)
            again = ctl("backup", "relative/path", socket=tmp_path / "control.sock")
            assert (again.returncode, "no absolute path" in again.stderr) == (1, True)
            venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "0.9960"})
            until(lambda: not uncovered(venue.truth(), SYMBOL), "all inventory covered", 10, bot.program)
            bot.program.kill()
        restored = ctl("restore", made["path"], str(tmp_path / "other"))
        assert restored.returncode == 0, restored.stderr
        assert "VERIFIED" in restored.stdout
        assert ctl("restore", made["path"], str(tmp_path / "other")).returncode == 1, "not empty any more"
        text = config.path.read_text().replace(str(tmp_path / "state"), str(tmp_path / "other"))
        words = ", ".join(json.dumps(word) for word in hook)
        config.path.write_text(f"{text}\n[backup]\nhook = [{words}]\n")
        with running(config, log="second.log") as bot:
            ready(bot)
            agree(venue, bot)
            until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "it trades", 30, bot.program)
            bot.control.ask("backup", folder=str(tmp_path / "backups"))
            assert (tmp_path / "hooked").read_text().strip().startswith(str(tmp_path / "backups"))
            assert bot.program.stop(30) == 0
    assert replayed(tmp_path / "other")["equal"] is True


def test_a_guards_trip_is_told_from_the_price_to_the_proof(tmp_path: Path) -> None:
    guards = [
        {"type": "session_drawdown", "trip_pct": Decimal("0.05")},
        {"type": "slippage", "enabled": False},
    ]
    with guarded(tmp_path, guards) as rig:
        rig.fill("LONG", 3)
        rig.jump("0.97")
        rig.wait(lambda: rig.kill_state() == "HALTED", "HALTED", 60)
        trip = rig.ask("status")["kill_switch"]["trip_id"]
        assert rig.bot.program.stop(30) == 0
    story = ctl("journal", "explain", trip, "--state", str(tmp_path / "state"))
    assert story.returncode == 0, story.stderr
    lines = story.stdout.splitlines()
    because = [line for line in lines if line.startswith(("because", "         "))]
    assert any(
        "session_drawdown" in line and "limit 0.05" in line and "CRITICAL" in line for line in because
    ), lines
    assert because[0].startswith("because"), "what moved the guard: a mark, a fill"
    assert any("equity " in line and "peak of the session" in line for line in because), lines
    assert any("LONG sold" in line for line in lines), lines
    assert any(line.startswith("proof") for line in lines), lines
    assert lines[-1].startswith("FLAT, VERIFIED")
    assert replayed(tmp_path / "state")["equal"] is True

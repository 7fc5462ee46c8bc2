"""hedgegridctl ops status: three tables from the daemon's answers, and the CSV snapshot."""

import csv
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from hedgegridd import messages as m
from hedgegridd.ctl import main as ctl
from hedgegridd.ctl import ops
from hedgegridd.ctl.text import Paint
from hedgegridd.errors import AskTimeout
from tests.unit.test_ctl import Daemon, run

NOW_S = 1_700_000_000.0
SWITCHES = {
    "switches": [
        {"name": "read_only", "enabled": True, "status": "BLOCK", "effect": "commands are refused", "by": "ann", "reason": "audit"},
        {"name": "venue.binance_usdm", "enabled": True, "status": "OK", "effect": "entries held", "by": "", "reason": ""},
    ]
}  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    made = Daemon(str(tmp_path / "c.sock"))
    yield made
    made.stop()
    structlog.reset_defaults()


def test_the_tables_and_the_verdict(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "ops", "status") == ctl.DONE
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("requests_per_minute")] == [
        ["requests_per_minute", "120", "1/min"]
    ]
    assert any(line.startswith("cache_hit_rate") and "NO DATA" in line for line in lines)
    assert any(line.startswith("spread_depth BTCUSDT") and "BLOCK" in line for line in lines)
    assert any(line.startswith("daily_loss") and "OFF" in line for line in lines)
    assert lines[-1].endswith("requests_per_minute WARN, spread_depth BTCUSDT BLOCK, leverage WARN")


def test_the_kpi_command_has_a_table(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "kpi") == ctl.DONE
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error_rate")]
    assert line.split()[:6] == ["error_rate", "1.25", "%", "5", "15", "OK"]


def test_json_has_every_row(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(daemon, "ops", "status", "--json") == ctl.DONE
    body = json.loads(capsys.readouterr().out)
    assert {row["category"] for row in body["rows"]} >= {"kpi", "guard"}
    assert body["csv"] is None


def test_the_snapshot(daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "artifacts" / "ops"
    assert run(daemon, "ops", "status", "--csv", str(folder)) == ctl.DONE
    assert str(folder) in capsys.readouterr().out
    named = [path for path in folder.iterdir() if path.name != ops.LATEST]
    assert len(named) == 1
    assert named[0].read_bytes() == (folder / ops.LATEST).read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with named[0].open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["timestamp", "category", "name", "value", "status", "message"]
    assert ["kpi", "requests_per_minute", "120", "WARN"] in [row[1:5] for row in rows]
    assert all(len(row) == 6 and row[0].endswith("Z") for row in rows[1:])


def test_a_snapshot_is_kept_thirty_days_and_nothing_else_is_touched(tmp_path: Path) -> None:
    old, young = "status_snapshot_20231015T000000Z.csv", "status_snapshot_20231016T000000Z.csv"
    for name in (old, young, "mine.csv", "status_snapshot_2023.csv"):
        (tmp_path / name).write_text("x")
    ops.write(tmp_path, [], NOW_S)  # 2023-11-14T22:13:20Z
    left = {path.name for path in tmp_path.iterdir()}
    assert old not in left
    assert left == {
        young,
        "mine.csv",
        "status_snapshot_2023.csv",
        ops.LATEST,
        "status_snapshot_20231114T221320Z.csv",
    }


def test_the_newest_is_replaced_whole(tmp_path: Path) -> None:
    rows = ops.switch_rows(SWITCHES)
    ops.write(tmp_path, rows, NOW_S)
    before = (tmp_path / ops.LATEST).stat().st_ino
    ops.write(tmp_path, rows[:1], NOW_S + 1)
    assert (tmp_path / ops.LATEST).stat().st_ino != before, "renamed into place, not written over"
    assert "venue" not in (tmp_path / ops.LATEST).read_text()


def test_switches_out_of_their_place_block() -> None:
    rows = ops.switch_rows(SWITCHES)
    assert [(row.name, row.value, row.status) for row in rows] == [
        ("read_only", "on", "BLOCK"),
        ("venue.binance_usdm", "on", "OK"),
    ]
    assert rows[0].message == "commands are refused; by ann audit"
    assert ops.tables(rows, Paint(on=False))[-1].endswith("read_only BLOCK")


def test_a_folder_that_cannot_be_written(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(daemon, "ops", "status", "--csv", str(tmp_path / "file" / "x")) == ctl.REFUSED
    assert "--csv" in capsys.readouterr().err


def test_a_part_that_hangs_is_named(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.bus.table[m.GetKpi] = AskTimeout("late")
    assert run(daemon, "ops", "status") == ctl.REFUSED
    assert "GetKpi got no answer" in capsys.readouterr().err
    assert run(daemon, "ops", "status", "--json") == ctl.REFUSED
    assert "GetKpi" in json.loads(capsys.readouterr().out)["detail"]

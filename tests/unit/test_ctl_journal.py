"""`hedgegridctl journal` and `restore` on a state folder without a daemon."""

import csv
import io
import json
from pathlib import Path

import pytest

from hedgegridd.ctl import journal as ctl_journal
from hedgegridd.ctl.main import main
from hedgegridd.journal import backup
from hedgegridd.journal.reader import segments
from tests.unit.journal.helpers import written
from tests.unit.journal.test_replay import traded
from tests.unit.journal.test_story import incident


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with an incident in its journal."""
    incident(tmp_path / "state" / "journal")
    return tmp_path / "state"


def ctl(state: Path, *argv: str) -> int:
    return main(["journal", *argv, "--state", str(state)])


def test_tail_shows_the_newest_in_words(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(state, "tail", "-n", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "kill_switch > asker" in lines[-2]
    assert "answered: done: verified True" in lines[-2]
    assert lines[-1].endswith("venue > desk             mark of BTCUSDT 2")
    assert ctl(state, "tail", "-n", "1", "--quiet") == 0
    assert "answered" in capsys.readouterr().out


def test_json_is_the_record_as_it_stands(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "journal", "tail", "-n", "1", "--state", str(state)]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert segments(state / "journal")[0].path.read_text().splitlines()[-1] == printed


def test_show_has_every_field_for_each_consumer(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(state, "show", "#6") == 0
    out = capsys.readouterr().out
    assert out.count('"type": "KillStateChanged"') == 2
    assert '"to": "boot"' in out
    assert ctl(state, "show", "T-99") == 1
    assert "no record of T-99" in capsys.readouterr().err


def test_explain_tells_the_story(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(state, "explain", "T-5") == 0
    assert capsys.readouterr().out.rstrip().endswith("FLAT, VERIFIED  5.6 s; the kill switch is HALTED")
    assert ctl(state, "explain", "T-5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["end"].startswith("FLAT, VERIFIED")


def test_verify_ends_with_its_verdict(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl(state, "verify") == 0
    assert "WHOLE" in capsys.readouterr().out
    path = segments(state / "journal")[0].path
    path.write_bytes(path.read_bytes() + b'{"position":')
    assert ctl(state, "verify") == 0
    assert "torn      12 bytes" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b"39990.1", b"39990.2"))
    assert ctl(state, "verify") == 1
    out = capsys.readouterr().out
    assert "BROKEN" in out
    assert "journal-000000000001.jsonl:" in out
    assert main(["journal", "verify", "--json", "--state", str(state)]) == 1
    assert json.loads(capsys.readouterr().out)["broken"]


def test_export_writes_csv_that_no_spreadsheet_runs(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ctl(state, "export", "--csv", "-", "--from", "2", "--to", "4") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["position"] for row in rows] == ["2", "3", "4"]
    assert rows[0]["type"] == "MarkPrice"
    assert rows[0]["time"] == "2023-11-14T22:13:19.998Z"
    assert json.loads(rows[0]["message"])["mark"] == "40000.5"
    target = tmp_path / "out.csv"
    assert ctl(state, "export", "--csv", str(target)) == 0
    first = target.read_bytes()
    assert ctl(state, "export", "--csv", str(target)) == 0
    assert target.read_bytes() == first, "the same journal, the same file"
    from hedgegridd.ctl.journal import _plain

    assert _plain("=1+1") == "'=1+1"
    assert _plain("fine") == "fine"


@pytest.mark.parametrize("argv", [("export", "--csv", "-"), ("tail", "-n", "100"), ("show", "@3")])
def test_a_damaged_record_is_told_in_a_sentence(
    state: Path, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (segment,) = (state / "journal").glob("*.jsonl")
    lines = segment.read_bytes().split(b"\n")
    (third,) = (number for number, line in enumerate(lines) if line.startswith(b'{"position":3,'))
    lines[third] = lines[third][:-1] + b"X"
    segment.write_bytes(b"\n".join(lines))
    assert ctl(state, *argv) == 1
    assert "the record @3 is damaged" in capsys.readouterr().err


def test_replay_says_equal_or_where_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = traded(tmp_path / "journal", 1, bars=12)
    assert desk.journal.close()
    assert ctl(tmp_path, "replay") == 0
    assert capsys.readouterr().out.rstrip().endswith("EQUAL     bit for bit")
    assert ctl(tmp_path, "replay", "--from", "100", "--to", "150", "--json") == 0
    assert json.loads(capsys.readouterr().out)["last_position"] == 150
    from hedgegridd.core.desk import Desk

    honest = Desk.handle
    monkeypatch.setattr(Desk, "handle", lambda self, env: honest(self, env)[:-1])
    assert ctl(tmp_path, "replay") == 1
    out = capsys.readouterr().out
    assert "DIFFERS   @" in out
    assert out.rstrip().endswith("NOT EQUAL")


def test_nothing_to_replay_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    incident(tmp_path / "journal")
    assert ctl(tmp_path, "replay") == 1
    assert "no state is kept" in capsys.readouterr().err


def test_the_folder_comes_from_flag_config_or_environment(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "hedgegridd.toml"
    config.write_text(f'[daemon]\nstate_dir = "{state}"\n\n[[grid]]\ninstrument = "BTCUSDT-PERP"\n')
    assert main(["journal", "verify", "-c", str(config)]) == 0
    monkeypatch.setenv("HEDGEGRIDD_STATE", str(state))
    assert main(["journal", "verify"]) == 0
    monkeypatch.setenv("HEDGEGRIDD_STATE", str(tmp_path / "nothing"))
    capsys.readouterr()
    assert main(["journal", "verify"]) == 3
    assert "name the state folder by --state or -c" in capsys.readouterr().err
    assert main(["journal", "verify", "-c", str(tmp_path / "missing.toml")]) == 1


def test_without_folder_and_daemon_tail_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--socket", str(tmp_path / "none.sock"), "journal", "tail", "--state", str(tmp_path / "nothing")]
    assert main(argv) == 3
    assert "not running" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [("tail", "-n", "0"), ("show",), ("export",), ("replay", "--from", "x"), ("what",)]
)
def test_usage(state: Path, argv: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl(state, *argv)
    assert ended.value.code == 2


def test_restore_says_what_is_there_or_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    incident(tmp_path / "state" / "journal")
    (tmp_path / "state" / "epoch").write_text("abc\n")
    (tmp_path / "state" / "snapshots").mkdir()
    made = backup.make(tmp_path / "state", tmp_path / "backups", "b1")
    assert main(["restore", made.path, str(tmp_path / "new")]) == 0
    assert "VERIFIED" in capsys.readouterr().out
    assert main(["restore", made.path, str(tmp_path / "new")]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["--json", "restore", str(tmp_path / "no.tar.gz"), str(tmp_path / "other")]) == 1
    assert "no.tar.gz" in capsys.readouterr().out
    assert not (tmp_path / "other").exists()


def test_follow_goes_on_with_what_is_written_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "journal"
    written(folder, 3)
    rounds = iter([lambda: written(folder, 2), lambda: written(folder, 1, segment_bytes=1)])

    def instead_of_sleeping(_seconds: float) -> None:
        then = next(rounds, None)
        if then is None:
            raise KeyboardInterrupt
        then()

    monkeypatch.setattr(ctl_journal.time, "sleep", instead_of_sleeping)
    assert ctl(tmp_path, "tail", "-n", "2", "--follow") == 0
    numbers = [line.split("#")[1].split()[0] for line in capsys.readouterr().out.splitlines()]
    assert numbers == ["2", "3", "4", "5", "6"]

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.errors import JournalBroken, SnapshotError, StateLocked, StateOfAnother
from hedgegridd.journal import repair
from hedgegridd.journal.disk import RealDisk
from hedgegridd.journal.folder import StateFolder, base36
from hedgegridd.journal.reader import segments
from hedgegridd.journal.restore import LOST_SEQ, Restored, restore
from hedgegridd.journal.snapshot import load, save

from .helpers import FailingDisk, envelope, journal, written


class State(msgspec.Struct, frozen=True):
    throttle: str


def saved(folder: Path, position: int, text: str = "0.5", **kwargs: object) -> Path:
    return save(folder, State(text), position=position, next_seq=position + 1, time_ns=7, **kwargs)  # type: ignore[arg-type]


def test_no_snapshot_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "snapshots") is None


def test_the_newest_snapshot_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    for position in (5, 10, 200):
        saved(tmp_path, position, f"0.{position}")
    snapshot = load(tmp_path)
    assert snapshot is not None
    assert (snapshot.position, snapshot.next_seq, snapshot.time_ns, snapshot.passed_over) == (200, 201, 7, ())
    assert msgspec.json.decode(snapshot.state, type=State) == State("0.200")
    assert len(list(tmp_path.iterdir())) == 2
    assert saved(tmp_path, 201).stat().st_mode & 0o777 == 0o600


def test_encoded_state_is_kept_as_it_is(tmp_path: Path) -> None:
    save(tmp_path, b'{"a":[1,2]}', position=1, next_seq=2, time_ns=3)
    snapshot = load(tmp_path)
    assert snapshot is not None
    assert snapshot.state == b'{"a":[1,2]}'


def test_a_damaged_snapshot_is_passed_over_and_said_so(tmp_path: Path) -> None:
    older, newer = saved(tmp_path, 5), saved(tmp_path, 10)
    whole = newer.read_bytes()
    for at in range(len(whole)):
        newer.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        snapshot = load(tmp_path)
        assert snapshot is not None
        assert snapshot.position == 5, at
        assert str(newer) in snapshot.passed_over[0]
    older.write_bytes(b"")
    with pytest.raises(SnapshotError, match="snapshot-000000000010"):
        load(tmp_path)


def test_a_snapshot_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, 5)
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":2'))
    with pytest.raises(SnapshotError, match="schema 2 is newer"):
        load(tmp_path)


def test_a_full_disk_leaves_the_earlier_snapshot(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    with pytest.raises(OSError, match="No space left"):
        saved(tmp_path, 10, disk=FailingDisk(writes=0))
    snapshot = load(tmp_path)
    assert snapshot is not None
    assert snapshot.position == 5
    assert list(tmp_path.glob("*.new")), "a half-written file is left beside"
    saved(tmp_path, 10)
    again = load(tmp_path)
    assert again is not None
    assert again.position == 10
    assert not list(tmp_path.glob("*.new"))


def test_one_process_owns_the_folder_and_the_other_is_told_who(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.open(wall_ns=0)
    again = StateFolder(tmp_path / "state")
    with pytest.raises(StateLocked, match=f"is in use by process {os.getpid()};"):
        again.open(wall_ns=0)
    folder.close()
    folder.close()
    again.open(wall_ns=0)
    again.close()
    assert folder.journal == tmp_path / "state" / "journal"
    assert folder.snapshots == tmp_path / "state" / "snapshots"


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "from hedgegridd.journal.folder import StateFolder; from pathlib import Path; import os, sys;"
        "folder = StateFolder(Path(sys.argv[1])); folder.open(wall_ns=0); os._exit(7)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30).returncode == 7
    )
    folder = StateFolder(tmp_path)
    folder.open(wall_ns=0)
    folder.close()


def test_the_epoch_is_made_once_in_a_folders_life(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    first.open(wall_ns=1_700_000_000 * 10**9)
    first.close()
    second = StateFolder(tmp_path)
    second.open(wall_ns=1_800_000_000 * 10**9)
    second.close()
    assert first.epoch == second.epoch == base36(1_700_000_000) == "s44we8"


@pytest.mark.parametrize("text", ["", "UPPER", "waytoolongforit", "a b"])
def test_a_damaged_epoch_is_refused_and_the_lock_given_back(tmp_path: Path, text: str) -> None:
    (tmp_path / "epoch").write_text(text)
    for _ in range(2):
        with pytest.raises(ValueError, match="should hold 1 to 8 of 0-9 and a-z"):
            StateFolder(tmp_path).open(wall_ns=0)


@given(st.integers(0, 1 << 70))
def test_base36_reads_back(number: int) -> None:
    assert int(base36(number), 36) == number


def test_base36_knows_no_negative() -> None:
    with pytest.raises(ValueError, match="not negative"):
        base36(-1)


def restored(tmp_path: Path, **kwargs: bool) -> tuple[Restored, list[int]]:
    book = journal(tmp_path / "journal", segment_bytes=1)
    found = restore(book, tmp_path / "journal", tmp_path / "snapshots", **kwargs)
    book.append("desk", envelope(99))
    assert book.close()
    return found, [record.position for record in found.tail()]


def test_a_first_start_restores_nothing(tmp_path: Path) -> None:
    found, tail = restored(tmp_path)
    assert (found.snapshot, found.next_seq, found.notes, tail) == (None, 1, (), [])


def test_without_snapshot_the_whole_journal_is_the_tail(tmp_path: Path) -> None:
    written(tmp_path / "journal", 3)
    found, tail = restored(tmp_path)
    assert (found.next_seq, tail) == (4 + LOST_SEQ, [1, 2, 3])


def test_with_snapshot_the_tail_is_what_follows_it(tmp_path: Path) -> None:
    for _ in range(4):
        written(tmp_path / "journal", 2, segment_bytes=1)
    saved(tmp_path / "snapshots", 5)
    found, tail = restored(tmp_path)
    assert found.snapshot is not None
    assert (found.next_seq, found.notes, tail) == (9 + LOST_SEQ, (), [6, 7, 8])


def test_damage_before_the_snapshots_segment_does_not_matter_to_a_start(tmp_path: Path) -> None:
    for _ in range(3):
        written(tmp_path / "journal", 2, segment_bytes=1)
    saved(tmp_path / "snapshots", 5)
    first = segments(tmp_path / "journal")[0].path
    first.write_bytes(first.read_bytes().replace(b"because", b"BECAUSE"))
    assert restored(tmp_path)[1] == [6]
    third = segments(tmp_path / "journal")[2].path
    third.write_bytes(third.read_bytes().replace(b"because", b"BECAUSE"))
    with pytest.raises(JournalBroken):
        restored(tmp_path)


def test_the_next_sequence_is_beyond_the_snapshots(tmp_path: Path) -> None:
    written(tmp_path / "journal", 2)
    save(tmp_path / "snapshots", State("1"), position=2, next_seq=500, time_ns=0)
    assert restored(tmp_path)[0].next_seq == 500 + LOST_SEQ


def test_everything_unusual_is_noted(tmp_path: Path) -> None:
    written(tmp_path / "journal", 2)
    path = segments(tmp_path / "journal")[0].path
    path.write_bytes(path.read_bytes() + b"half a li")
    saved(tmp_path / "snapshots", 1)
    newer = saved(tmp_path / "snapshots", 2)
    newer.write_bytes(b"{}")
    found, tail = restored(tmp_path)
    assert len(found.notes) == 2
    assert "damaged snapshot passed over" in found.notes[0]
    assert "cut a torn tail of 9 bytes" in found.notes[1]
    assert tail == [2]


def test_no_usable_snapshot_falls_back_to_the_whole_journal(tmp_path: Path) -> None:
    written(tmp_path / "journal", 2)
    saved(tmp_path / "snapshots", 1).write_bytes(b"{}")
    found, tail = restored(tmp_path)
    assert "reading the whole journal" in found.notes[0]
    assert tail == [1, 2]


def test_accepted_damage_is_noted(tmp_path: Path) -> None:
    written(tmp_path / "journal", 2)
    path = segments(tmp_path / "journal")[0].path
    path.write_bytes(path.read_bytes().replace(b"because", b"BECAUSE"))
    with pytest.raises(JournalBroken):
        restored(tmp_path)
    found, tail = restored(tmp_path, accept_broken=True)
    assert "accepted by flag" in found.notes[0]
    assert tail == []


def test_the_real_disk_syncs_what_it_writes_and_keeps_it_private(tmp_path: Path) -> None:
    descriptor = RealDisk().open_append(tmp_path / "file")
    try:
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DSYNC
        RealDisk().write(descriptor, b"x" * 100_000)
        RealDisk().write(descriptor, b"y")
    finally:
        RealDisk().close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"x" * 100_000 + b"y"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("held", [0, 1, 2, 100])
def test_a_tail_too_long_to_be_held_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(repair, "TAIL_MAX", held)
    written(tmp_path / "journal", 5)
    saved(tmp_path / "snapshots", 3)
    found, tail = restored(tmp_path)
    assert tail == [4, 5]
    assert (found.opened.tail is None) is (held < 2)
    assert found.next_seq == 6 + LOST_SEQ


def test_books_of_another_environment_are_not_taken_up(tmp_path: Path) -> None:
    paper = StateFolder(tmp_path, "binance_usdm paper")
    paper.open(wall_ns=0)
    paper.close()
    live = StateFolder(tmp_path, "binance_usdm live")
    with pytest.raises(
        StateOfAnother, match="books of binance_usdm paper, and the config says binance_usdm live"
    ):
        live.open(wall_ns=0)
    again = StateFolder(tmp_path, "binance_usdm paper")
    again.open(wall_ns=0)  # the lock was given back
    again.close()

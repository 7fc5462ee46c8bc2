"""A backup is whole or not there; a restored folder is what was backed up, with an epoch of its own."""

import io
import tarfile
import tomllib
from pathlib import Path

import msgspec
import pytest

from hedgegridd.errors import BackupError
from hedgegridd.journal import backup
from hedgegridd.journal.backup import MANIFEST, Made, make, restore
from hedgegridd.journal.folder import StateFolder, base36
from hedgegridd.journal.history import History, page
from hedgegridd.journal.reader import segments, verify
from hedgegridd.journal.retention import Bounds, sweep
from hedgegridd.journal.snapshot import load, save

from .helpers import records, written

CONFIG = """[control]
http_port = 8080

[[control.keys]]
name = "desk"
sha256 = "abc123"
"""
WALL_NS = 1_800_000_000 * 10**9


def state(tmp_path: Path) -> Path:
    """A state folder with compressed, closed and open segments, a snapshot and a history."""
    folder = StateFolder(tmp_path / "state")
    folder.open(wall_ns=1_700_000_000 * 10**9)
    for _ in range(5):
        written(folder.journal, 2, segment_bytes=1)
    save(folder.snapshots, b'{"a":1}', position=7, next_seq=8, time_ns=0)
    sweep(folder.journal, folder.snapshots, Bounds(keep_days=9, keep_bytes=1 << 30), now_ns=0)
    history = History(folder.path / "trades.db")
    history.open()
    history.close()
    folder.close()
    return folder.path


def packed(tmp_path: Path) -> tuple[Path, Made]:
    config = tmp_path / "hedgegridd.toml"
    config.write_text(CONFIG)
    made = make(state(tmp_path), tmp_path / "backups", "b1", config=config, position=10)
    return Path(made.path), made


def test_there_and_back(tmp_path: Path) -> None:
    archive, made = packed(tmp_path)
    assert (made.last_position, made.snapshot_position, made.records) == (10, 7, 10)
    assert [path.name for path in archive.parent.iterdir()] == ["b1.tar.gz"]
    assert archive.stat().st_mode & 0o777 == 0o600
    folder = tmp_path / "restored"
    back = restore(archive, folder, WALL_NS)
    assert (back.last_position, back.records, back.snapshot_position) == (10, 10, 7)
    before = [record.hash for record in records(tmp_path / "state" / "journal")]
    assert [record.hash for record in records(folder / "journal")] == before
    assert any(segment.compressed for segment in segments(folder / "journal"))
    snapshot = load(folder / "snapshots")
    assert snapshot is not None
    assert snapshot.state == b'{"a":1}'
    assert page(folder / "trades.db", "fills", limit=1) == []
    owner = StateFolder(folder)
    owner.open(wall_ns=0)
    assert owner.epoch == base36(1_800_000_000)
    assert owner.epoch != (tmp_path / "state" / "epoch").read_text().strip()
    owner.close()


def test_the_config_goes_along_without_the_hashes_of_keys(tmp_path: Path) -> None:
    archive, _ = packed(tmp_path)
    restore(archive, tmp_path / "restored", WALL_NS)
    text = (tmp_path / "restored" / "config.toml").read_text()
    assert "abc123" not in text
    assert 'name = "desk"' in text


@pytest.mark.parametrize(
    "keys",
    [
        'keys = [{ name = "a", role = "admin", sha256 = "abc123" }, { name = "b", sha256="abc123" }]',
        "keys = [{ name = 'a', sha256 = 'abc123' }]",
        '[[control.keys]]\n"sha256" = "abc123" # of the desk',
        '[[control.keys]]\nsha256 = """abc123"""',
    ],
)
def test_no_way_to_write_a_key_leaves_its_hash_in_the_backup(keys: str, tmp_path: Path) -> None:
    config = tmp_path / "hedgegridd.toml"
    config.write_text(f"[control]\n{keys}\n")
    made = make(state(tmp_path), tmp_path / "backups", "b1", config=config, position=10)
    restore(Path(made.path), tmp_path / "restored", WALL_NS)
    text = (tmp_path / "restored" / "config.toml").read_text()
    assert "abc123" not in text
    tomllib.loads(text)


def test_a_write_under_way_is_left_out_line_by_line(tmp_path: Path) -> None:
    folder = state(tmp_path)
    newest = segments(folder / "journal")[-1].path
    newest.write_bytes(newest.read_bytes() + b'{"position":11,"time')
    made = make(folder, tmp_path / "backups", "b1")
    assert made.last_position == 10
    restore(Path(made.path), tmp_path / "restored", WALL_NS)
    assert verify(tmp_path / "restored" / "journal").torn == 0


def test_an_archive_that_does_not_read_back_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the target writes something else than it was given."""
    honest = backup._pack

    def other(staging: Path, manifest: backup.Manifest, partial: Path) -> None:
        (staging / "epoch").write_text("other\n")
        honest(staging, manifest, partial)

    monkeypatch.setattr(backup, "_pack", other)
    with pytest.raises(BackupError, match="does not read back"):
        make(state(tmp_path), tmp_path / "backups", "b1")
    assert list((tmp_path / "backups").iterdir()) == []


def test_what_is_broken_or_too_short_is_no_backup_and_leaves_nothing(tmp_path: Path) -> None:
    folder = state(tmp_path)
    with pytest.raises(BackupError, match="the copy ends at 10, the journal had 11"):
        make(folder, tmp_path / "backups", "b1", position=11)
    newest = segments(folder / "journal")[-1].path
    newest.write_bytes(newest.read_bytes().replace(b"because", b"BECAUSE"))
    with pytest.raises(BackupError, match="the journal is broken"):
        make(folder, tmp_path / "backups", "b1")
    assert list((tmp_path / "backups").iterdir()) == []


def test_the_target_must_be_a_place_of_its_own(tmp_path: Path) -> None:
    folder = state(tmp_path)
    with pytest.raises(BackupError, match="absolute path outside"):
        make(folder, folder / "backups", "b1")
    with pytest.raises(BackupError, match="absolute path outside"):
        make(folder, Path("backups"), "b1")
    with pytest.raises(BackupError, match="is no name"):
        make(folder, tmp_path / "backups", "../b1")
    make(folder, tmp_path / "backups", "b1")
    with pytest.raises(BackupError, match="exists"):
        make(folder, tmp_path / "backups", "b1")


def test_a_disk_without_room_is_told_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state(tmp_path)
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _path: _Usage())
    with pytest.raises(BackupError, match="100 bytes are free"):
        make(folder, tmp_path / "backups", "b1")
    assert list((tmp_path / "backups").iterdir()) == []


class _Usage:
    free = 100


def test_only_an_empty_folder_is_restored_into(tmp_path: Path) -> None:
    archive, _ = packed(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("mine")
    with pytest.raises(BackupError, match="is not empty"):
        restore(archive, full, WALL_NS)
    assert [path.name for path in full.iterdir()] == ["file"]
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(archive, empty, WALL_NS)


def test_a_damaged_archive_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    archive, _ = packed(tmp_path)
    whole = archive.read_bytes()
    for at in range(12, len(whole), 37):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            restore(archive, tmp_path / "restored", WALL_NS)
        except BackupError:
            assert not (tmp_path / "restored").exists()
        else:  # a bit that means nothing: padding, or a time in a header
            assert verify(tmp_path / "restored" / "journal").records == 10
            backup.shutil.rmtree(tmp_path / "restored")
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError):
        restore(archive, tmp_path / "restored", WALL_NS)


def repacked(archive: Path, change: dict[str, bytes | None], *, first: tuple[str, ...] = (MANIFEST,)) -> None:
    """The archive with some members replaced, added or (None) left out; the manifest as it is unless replaced."""
    with tarfile.open(archive) as tar:
        members = {item.name: tar.extractfile(item).read() for item in tar}  # type: ignore[union-attr]
    members = {name: data for name, data in (members | change).items() if data is not None}
    order = [*first, *[name for name in members if name not in first]]
    with tarfile.open(archive, "w:gz") as tar:
        for name in order:
            if name in members:
                item = tarfile.TarInfo(name)
                item.size = len(members[name])
                tar.addfile(item, io.BytesIO(members[name]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"../evil": b"x"}, "does not belong"),
        ({"journal/evil": b"x"}, "does not belong"),
        ({"epoch": b"other\n"}, "not what the manifest says"),
        ({"epoch": None}, "not whole: epoch"),
        ({MANIFEST: None}, "does not begin with its manifest"),
        ({MANIFEST: b"{}"}, "missing required field"),
    ],
)
def test_an_archive_that_is_not_ours_is_refused(
    tmp_path: Path, change: dict[str, bytes | None], says: str
) -> None:
    archive, _ = packed(tmp_path)
    repacked(archive, change)
    with pytest.raises(BackupError, match=says):
        restore(archive, tmp_path / "restored", WALL_NS)
    assert not (tmp_path / "restored").exists()
    assert not (tmp_path / "evil").exists()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    archive, _ = packed(tmp_path)
    with tarfile.open(archive) as tar:
        manifest = msgspec.json.decode(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    repacked(archive, {MANIFEST: msgspec.json.encode(manifest | {"schema": 2})})
    with pytest.raises(BackupError, match="schema 2 is newer"):
        restore(archive, tmp_path / "restored", WALL_NS)


def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    archive, _ = packed(tmp_path)
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile(MANIFEST).read()  # type: ignore[union-attr]
    with tarfile.open(archive, "w:gz") as tar:
        item = tarfile.TarInfo(MANIFEST)
        item.size = len(manifest)
        tar.addfile(item, io.BytesIO(manifest))
        link = tarfile.TarInfo("epoch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(BackupError, match="no plain file"):
        restore(archive, tmp_path / "restored", WALL_NS)

"""Panic's latch: it counts by being there, whatever can be read of it, and is taken in once."""

import os
import stat
from pathlib import Path

import pytest

from hedgegridd.journal import panic_latch
from hedgegridd.journal.panic_latch import NAME, TAKEN, PanicLatch, read, stamp, take, write

LATCH = PanicLatch(by="ann@host", at_ns=5, reason="enough", instruments=("BTCUSDT-PERP.BINANCE",))


def test_it_reads_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    assert stamp(tmp_path) is None
    assert write(tmp_path, LATCH) == ""
    assert read(tmp_path) == LATCH
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME], "nothing is left beside it"


def test_another_one_has_another_stamp(tmp_path: Path) -> None:
    write(tmp_path, LATCH)
    first = stamp(tmp_path)
    write(tmp_path, LATCH)
    assert stamp(tmp_path) != first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"by": 7}', b"\xff\xfe"])
def test_what_cannot_be_read_means_all_instruments(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert stamp(tmp_path) is not None
    assert read(tmp_path) == PanicLatch()
    assert read(tmp_path).instruments == ()


def test_what_a_later_version_adds_is_ignored(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"version": 9, "by": "bob", "more": 1}')
    assert read(tmp_path) == PanicLatch(version=9, by="bob")


def test_a_full_disk_leaves_an_empty_latch_which_still_latches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert "No space left" in write(tmp_path, LATCH)
    assert (tmp_path / NAME).read_bytes() == b""
    assert read(tmp_path) == PanicLatch()


def test_a_folder_that_is_not_there_has_no_latch(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none", LATCH)


def test_it_is_taken_in_once_and_kept_to_be_looked_at(tmp_path: Path) -> None:
    write(tmp_path, LATCH)
    seen = stamp(tmp_path)
    assert seen is not None
    assert take(tmp_path, seen)
    assert stamp(tmp_path) is None
    assert (tmp_path / TAKEN).exists()
    assert not take(tmp_path, seen), "there is none any more"


def test_a_newer_one_is_not_taken_in_for_an_older_one(tmp_path: Path) -> None:
    write(tmp_path, LATCH)
    old = stamp(tmp_path)
    write(tmp_path, LATCH)
    assert old is not None
    assert not take(tmp_path, old)
    assert panic_latch.stamp(tmp_path) is not None

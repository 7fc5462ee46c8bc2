"""Closed segments are compressed and removed in bounds; the chain holds across both, and a start finds what it needs."""

import gzip
from pathlib import Path

import pytest

from hedgegridd.errors import JournalBroken
from hedgegridd.journal.reader import segments, verify
from hedgegridd.journal.restore import restore
from hedgegridd.journal.retention import Bounds, Swept, sweep
from hedgegridd.journal.scan import Follower, last, scan
from hedgegridd.journal.snapshot import save

from .helpers import envelope, journal, records, written

ALL = Bounds(keep_days=90, keep_bytes=1 << 40)
DAY_NS = 86_400 * 10**9


def grown(tmp_path: Path, runs: int = 6, known: int = 9) -> tuple[Path, Path]:
    """A journal of `runs` segments of two records, and a snapshot."""
    folder, snapshots = tmp_path / "journal", tmp_path / "snapshots"
    for _ in range(runs):
        written(folder, 2, segment_bytes=1)
    save(snapshots, b"{}", position=known, next_seq=known + 1, time_ns=0)
    return folder, snapshots


def test_compressed_segments_read_as_before_and_the_chain_holds(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    before = [record.hash for record in records(folder)]
    assert sweep(folder, snapshots, ALL, now_ns=0) == Swept(compressed=3, removed=0, through=0)
    assert [segment.compressed for segment in segments(folder)] == [True, True, True, False, False, False]
    assert [record.hash for record in records(folder)] == before
    assert (verify(folder).broken, verify(folder).records) == ("", 12)
    for position in range(1, 13):
        assert [record.position for record in records(folder, position)] == list(range(position, 13))
    assert [line.position for line in scan(folder)] == list(range(1, 13))
    assert [line.position for line in last(folder, 11)] == list(range(2, 13))
    follower = Follower(folder, 2)
    assert [line.position for line in follower.read(100)] == list(range(3, 13))
    follower.close()
    assert sweep(folder, snapshots, ALL, now_ns=0).compressed == 0
    written(folder, 1)
    assert verify(folder).broken == ""


def test_a_start_finds_its_snapshot_and_tail_after_any_sweep(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    save(snapshots, b"{}", position=11, next_seq=12, time_ns=0)
    sweep(folder, snapshots, Bounds(keep_days=1, keep_bytes=1), now_ns=10 * DAY_NS)
    assert segments(folder)[0].first_position == 9, (
        "the older snapshot, 9, is what a damaged newer one falls back to"
    )
    book = journal(folder)
    found = restore(book, folder, snapshots)
    assert [record.position for record in found.tail()] == [12]
    book.append("desk", envelope(13))
    assert book.close()
    assert verify(folder).broken == ""
    assert verify(folder).retired == 8


@pytest.mark.parametrize(
    ("bounds", "now_ns", "left"),
    [
        (Bounds(keep_days=90, keep_bytes=1 << 40), 91 * DAY_NS, 9),  # too old, all but what is needed
        (Bounds(keep_days=90, keep_bytes=1 << 40), 89 * DAY_NS, 1),
        (Bounds(keep_days=90, keep_bytes=1), 0, 9),
    ],
)
def test_what_is_too_old_or_too_much_goes_from_the_front(
    tmp_path: Path, bounds: Bounds, now_ns: int, left: int
) -> None:
    folder, snapshots = grown(tmp_path)
    swept = sweep(folder, snapshots, bounds, now_ns=now_ns)
    assert segments(folder)[0].first_position == left
    assert swept.through == left - 1
    assert (verify(folder).broken, verify(folder).retired) == ("", left - 1)


def test_size_is_bounded_to_the_segment(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    sweep(folder, snapshots, ALL, now_ns=0)
    size = sum(segment.path.stat().st_size for segment in segments(folder))
    first = segments(folder)[0].path.stat().st_size
    assert sweep(folder, snapshots, Bounds(keep_days=90, keep_bytes=size - first), now_ns=0).removed == 1
    assert sweep(folder, snapshots, Bounds(keep_days=90, keep_bytes=size - first), now_ns=0).removed == 0


def test_without_a_snapshot_nothing_goes(tmp_path: Path) -> None:
    folder, _ = grown(tmp_path)
    before = segments(folder)
    assert sweep(folder, tmp_path / "none", Bounds(keep_days=1, keep_bytes=1), now_ns=99 * DAY_NS) == Swept(
        0, 0, 0
    )
    assert segments(folder) == before


def test_a_crash_between_the_steps_is_mended_by_the_next_pass(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    first = segments(folder)[0].path
    (folder / (first.name + ".gz")).write_bytes(gzip.compress(first.read_bytes()))
    (folder / (first.name + ".gz.new")).write_bytes(b"half")
    assert [record.position for record in records(folder)] == list(range(1, 13)), "the plain one counts"
    sweep(folder, snapshots, ALL, now_ns=0)
    assert sorted(path.suffix for path in folder.iterdir()) == [".gz"] * 3 + [".jsonl"] * 3
    assert verify(folder).records == 12
    # The note is written before the file goes: what is still there may be named in it.
    kept = segments(folder)[0].path.read_bytes()
    sweep(folder, snapshots, Bounds(keep_days=1, keep_bytes=1 << 40), now_ns=2 * DAY_NS)
    (folder / (first.name + ".gz")).write_bytes(kept)
    assert "does not follow" in verify(folder).broken, "but nothing may be missing in between"


def test_damage_in_a_compressed_segment_is_found_and_named(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    sweep(folder, snapshots, ALL, now_ns=0)
    path = segments(folder)[1].path
    whole = path.read_bytes()
    for at in range(10, len(whole)):  # the first ten bytes are gzip's own, such as a time
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        verdict = verify(folder)
        assert verdict.broken, at
    path.write_bytes(whole[:-20])
    assert path.name in verify(folder).broken
    with pytest.raises(JournalBroken):
        list(scan(folder))


def test_a_compressed_segment_is_never_appended_to(tmp_path: Path) -> None:
    folder, _ = grown(tmp_path)
    path = segments(folder)[-1].path
    (folder / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    written(folder, 1)
    assert [segment.first_position for segment in segments(folder)][-2:] == [11, 13]
    assert verify(folder).broken == ""


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_a_broken_compressed_segment_stops_a_start_that_needs_it_unless_accepted(
    tmp_path: Path, damage: str
) -> None:
    """No snapshot is usable, so all of the journal is read."""
    folder, snapshots = grown(tmp_path)
    sweep(folder, snapshots, ALL, now_ns=0)
    path = segments(folder)[1].path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:60] + b"\x00" + whole[61:])
    for snapshot in snapshots.iterdir():
        snapshot.write_bytes(b"{}")
    with pytest.raises(JournalBroken, match=path.name):
        restore(journal(folder), folder, snapshots)
    book = journal(folder)
    found = restore(book, folder, snapshots, accept_broken=True)
    assert path.name in found.opened.broken
    assert book.append("desk", envelope(99)) == 13
    assert book.close()
    again = verify(folder)
    assert again.broken == ""
    assert again.accepted
    assert last(folder, 1)[0].seq == 99


def test_a_start_passes_over_damage_in_what_it_does_not_need(tmp_path: Path) -> None:
    folder, snapshots = grown(tmp_path)
    sweep(folder, snapshots, ALL, now_ns=0)
    segments(folder)[0].path.write_bytes(b"gone")
    book = journal(folder)
    assert [record.position for record in restore(book, folder, snapshots).tail()] == [10, 11, 12]
    book.close()
    assert verify(folder).broken, "verify looks at all of it"

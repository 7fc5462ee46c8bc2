import asyncio
import errno
import threading
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgegridd.errors import DurableTimeout, JournalBroken, JournalError, JournalFailed
from hedgegridd.journal import writer
from hedgegridd.journal.reader import segments, verify
from hedgegridd.journal.writer import Journal, JournalHooks, JournalState
from hedgegridd.messages import Done, Envelope
from hedgegridd.runtime.clock import VirtualClock

from .helpers import FailingDisk, HastyDisk, envelope, hooks, journal, records, written


def test_torn_at_every_byte_keeps_every_whole_record_and_goes_on(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    for cut_at in range(len(whole)):
        for segment in segments(tmp_path):
            segment.path.unlink()
        path.write_bytes(whole[:cut_at])
        kept = max(0, sum(end <= cut_at for end in ends) - 1)
        book = journal(tmp_path, disk=HastyDisk())
        opened = book.open()
        assert opened.last_position == kept
        assert opened.cut_bytes == cut_at - max([0, *[end for end in ends if end <= cut_at]])
        assert book.append("desk", envelope(kept + 1)) == kept + 1
        assert book.close()
        verdict = verify(tmp_path)
        assert (verdict.records, verdict.broken, verdict.torn) == (kept + 1, "", 0)


def test_a_torn_new_segment_goes_and_the_one_before_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        written(tmp_path, 2, segment_bytes=1)
    last = segments(tmp_path)[-1].path
    last.write_bytes(last.read_bytes()[:20])
    book = journal(tmp_path)
    assert (book.open().last_position, book.position) == (2, 2)
    book.close()
    assert not last.exists()


def test_a_segment_with_only_its_header_is_gone_on_with(tmp_path: Path) -> None:
    for _ in range(3):
        book = journal(tmp_path, segment_bytes=1)
        book.open()
        assert book.close()
    assert len(segments(tmp_path)) == 1
    written(tmp_path, 1)
    assert verify(tmp_path).records == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=6), segment_bytes=st.integers(1, 4_000))
def test_any_run_of_batches_reads_back_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], segment_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    for size in sizes:
        written(folder, size, segment_bytes=segment_bytes)
    assert [record.seq for record in records(folder)] == list(range(1, sum(sizes) + 1))


def break_record(folder: Path, number: int) -> None:
    path = segments(folder)[0].path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b"because", b"BECAUSE")
    path.write_bytes(b"".join(lines))


def test_a_broken_chain_refuses_and_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, 3)
    break_record(tmp_path, 2)
    before = segments(tmp_path)[0].path.read_bytes()
    with pytest.raises(JournalBroken, match=r"journal-000000000001\.jsonl:3: a line does not follow"):
        journal(tmp_path).open()
    with pytest.raises(JournalBroken, match="--accept-broken-journal"):
        journal(tmp_path).open()
    assert segments(tmp_path)[0].path.read_bytes() == before


def test_accepted_damage_begins_a_new_segment_and_stays_accepted(tmp_path: Path) -> None:
    written(tmp_path, 3)
    break_record(tmp_path, 2)
    book = journal(tmp_path)
    opened = book.open(accept_broken=True)
    assert "does not follow" in opened.broken
    assert (opened.last_position, opened.last_seq) == (3, 3)
    assert book.append("desk", envelope(4)) == 4
    assert book.close()
    written(tmp_path, 1)
    verdict = verify(tmp_path)
    assert (verdict.broken, verdict.last_position) == ("", 5)
    assert len(verdict.accepted) == 1
    assert [record.position for record in records(tmp_path)] == [1, 4, 5]


def test_damage_after_an_accepted_break_is_not_accepted(tmp_path: Path) -> None:
    written(tmp_path, 3)
    break_record(tmp_path, 2)
    book = journal(tmp_path)
    book.open(accept_broken=True)
    book.append("desk", envelope(4))
    book.append("desk", envelope(5))
    book.close()
    path = segments(tmp_path)[-1].path
    path.write_bytes(path.read_bytes().replace(b'"seq":4', b'"seq":9'))
    assert "does not follow" in verify(tmp_path).broken


@pytest.mark.parametrize("garbage", [b"x\n", b'{"a":1,"hash":"!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"}\n'])
def test_damage_at_the_very_end_can_be_accepted_too(tmp_path: Path, garbage: bytes) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    path.write_bytes(path.read_bytes() + garbage)
    book = journal(tmp_path)
    assert book.open(accept_broken=True).last_position == 2
    book.append("desk", envelope(3))
    assert book.close()
    assert [record.position for record in records(tmp_path)] == [1, 2, 3]


def test_a_journal_that_ends_before_the_snapshot_is_broken(tmp_path: Path) -> None:
    written(tmp_path, 2)
    with pytest.raises(JournalBroken, match="ends at 2, before the snapshot's position 5"):
        journal(tmp_path).open(known=5)
    book = journal(tmp_path)
    assert book.open(accept_broken=True, known=5).last_position == 5
    book.append("desk", envelope(6))
    assert book.close()
    assert [record.position for record in records(tmp_path)] == [1, 2, 6]


def test_a_journal_without_what_follows_the_snapshot_is_broken(tmp_path: Path) -> None:
    for _ in range(3):
        written(tmp_path, 2, segment_bytes=1)
    segments(tmp_path)[0].path.unlink()
    with pytest.raises(JournalBroken, match="records 1 to 2 are missing"):
        journal(tmp_path).open()
    book = journal(tmp_path)
    assert book.open(known=2).last_position == 6
    book.close()


def test_bounds_and_misuse_are_refused(tmp_path: Path) -> None:
    for bad in ({"segment_bytes": 0}, {"queue_max": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            journal(tmp_path, **bad)
    book = journal(tmp_path)
    with pytest.raises(JournalError, match="not open"):
        book.append("desk", envelope(1))
    assert book.close()
    book.open()
    with pytest.raises(JournalError, match="open already"):
        book.open()
    assert book.close()
    assert book.close()
    assert book.state is JournalState.CLOSED
    with pytest.raises(JournalError, match="not open"):
        book.append("desk", envelope(1))


def test_a_full_disk_fails_the_journal_and_the_next_start_cuts_the_half_line(tmp_path: Path) -> None:
    errors: list[Exception] = []
    book = journal(tmp_path, disk=FailingDisk(writes=1), hooks=hooks(errors.append))
    book.open()
    book.append("desk", envelope(1))
    assert not book.close()
    assert book.state is JournalState.FAILED
    assert isinstance(book.error, OSError)
    assert book.error.errno == errno.ENOSPC
    assert (book.durable_position, book.position, book.lost) == (0, 1, 1)
    assert errors == [book.error]
    assert book.append("desk", envelope(2)) == 2
    assert book.lost == 2
    again = journal(tmp_path)
    assert again.open().cut_bytes > 0
    assert again.position == 0
    again.close()


def test_what_cannot_be_written_down_fails_the_journal(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.open()
    bad = Done(to=1, detail={"x": object()})
    book.append("desk", Envelope(seq=1, time_ns=0, mono_ns=0, cause=0, actor="", message=bad))
    assert not book.close()
    assert isinstance(book.error, TypeError)


async def test_durable_returns_when_it_is_on_disk(tmp_path: Path) -> None:
    commits: list[int] = []
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk, hooks=JournalHooks(on_commit=lambda n, _s: commits.append(n)))
    book.open()
    with blockbuster_ctx():
        await book.durable(0, 1)
        with pytest.raises(ValueError, match="beyond the last appended"):
            await book.durable(1, 1)
        disk.gate.clear()
        for n in range(1, 101):
            book.append("desk", envelope(n))
        with pytest.raises(DurableTimeout, match="position 100 is not on disk after"):
            await book.durable(100, 0.01)
        assert book.durable_position == 0
        waiting = [asyncio.ensure_future(book.durable(n, 5)) for n in (50, 100)]
        await asyncio.sleep(0)
        disk.gate.set()
        await asyncio.gather(*waiting)
        assert book.durable_position == 100
        await book.durable(7, 5)
    assert book.close()
    assert sum(commits) == 100
    assert len(commits) <= 3, "what gathers while the disk is busy is committed together"
    assert len(records(tmp_path)) == 100


async def test_only_what_has_been_synced_is_called_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_BATCH_MAX", 3)
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk)
    book.open()
    assert disk.folders_synced == 1, "the name of a new segment survives a power cut"
    disk.gate.clear()
    disk.hang_after = disk.synced + 1
    for n in range(1, 8):
        book.append("desk", envelope(n))
    waiting = asyncio.ensure_future(book.durable(1, 5))
    await asyncio.sleep(0)
    disk.gate.set()
    await waiting
    with pytest.raises(DurableTimeout):
        await book.durable(7, 0.02)
    assert book.durable_position in (1, 3), "one batch was synced"
    disk.gate.set()
    await book.durable(7, 5)
    assert book.close()


def test_a_journal_opened_before_the_loop_tells_the_loop_all_the_same(tmp_path: Path) -> None:
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk)
    book.open()
    disk.gate.clear()
    book.append("desk", envelope(1))

    async def wait() -> None:
        waiting = asyncio.ensure_future(book.durable(1, 5))
        await asyncio.sleep(0)
        disk.gate.set()
        await waiting

    asyncio.run(wait())
    assert book.close()


async def test_many_waits_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITERS_MAX", 0)
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk)
    book.open()
    disk.gate.clear()
    book.append("desk", envelope(1))
    with pytest.raises(JournalError, match="0 wait"):
        await book.durable(1, 1)
    disk.gate.set()
    book.close()


async def test_a_large_queue_is_committed_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_BATCH_MAX", 10)
    commits: list[int] = []
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk, hooks=JournalHooks(on_commit=lambda n, _s: commits.append(n)))
    book.open()
    disk.gate.clear()
    for n in range(1, 36):
        book.append("desk", envelope(n))
    disk.gate.set()
    await book.durable(35, 5)
    assert book.close()
    assert max(commits) == 10
    assert sum(commits) == 35


async def test_a_failing_disk_ends_every_wait_and_tells_once(tmp_path: Path) -> None:
    errors: list[Exception] = []
    told = asyncio.Event()

    def on_failure(error: Exception) -> None:
        assert threading.current_thread() is threading.main_thread()
        errors.append(error)
        told.set()

    book = journal(tmp_path, disk=FailingDisk(writes=2), hooks=hooks(on_failure))
    book.open()
    book.append("desk", envelope(1))
    await book.durable(1, 5)
    book.append("desk", envelope(2))
    with pytest.raises(JournalFailed, match="position 2 did not reach the disk"):
        await book.durable(2, 5)
    await asyncio.wait_for(told.wait(), 5)
    book.append("desk", envelope(3))
    with pytest.raises(JournalFailed):
        await book.durable(3, 5)
    await book.durable(1, 5)
    assert len(errors) == 1
    assert book.lost == 2
    assert not book.close()
    assert book.state is JournalState.FAILED


async def test_a_hanging_disk_is_a_failure_at_the_queues_bound(tmp_path: Path) -> None:
    errors: list[Exception] = []
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk, queue_max=5, hooks=hooks(errors.append))
    book.open()
    disk.gate.clear()
    for n in range(1, 6):
        book.append("desk", envelope(n))
    assert book.state is JournalState.OPEN
    waiting = asyncio.ensure_future(book.durable(5, 5))
    await asyncio.sleep(0)
    book.append("desk", envelope(6))
    assert book.state is JournalState.FAILED
    with pytest.raises(JournalFailed):
        await waiting
    assert "does not keep up: 5 records wait" in str(errors[0])
    assert not book.close(0.01), "a hanging disk does not hang the stop"
    disk.gate.set()


async def test_closing_ends_the_waits_that_the_disk_left_open(tmp_path: Path) -> None:
    disk = FailingDisk()
    book = journal(tmp_path, disk=disk)
    book.open()
    disk.gate.clear()
    book.append("desk", envelope(1))
    waiting = asyncio.ensure_future(book.durable(1, 5))
    await asyncio.sleep(0)
    assert not book.close(0.01)
    with pytest.raises(JournalFailed):
        await waiting
    disk.gate.set()


def test_a_failure_after_the_loop_has_gone_is_seen_at_close(tmp_path: Path) -> None:
    disk = FailingDisk(writes=1)
    book = journal(tmp_path, disk=disk)

    async def run() -> None:
        book.open()

    asyncio.run(run())
    book.append("desk", envelope(1))
    assert not book.close()
    assert isinstance(book.error, OSError)


async def test_what_a_full_disk_held_up_is_written_when_there_is_space(tmp_path: Path) -> None:
    """The half line is cut, nothing is lost or doubled, and what was returned meanwhile has its digest."""
    errors: list[Exception] = []
    back: list[int] = []
    told = asyncio.Event()

    def recovered(lost: int) -> None:
        back.append(lost)
        told.set()

    disk = FailingDisk(writes=1)
    book = journal(
        tmp_path,
        disk=disk,
        retry_s=0.005,
        hooks=JournalHooks(on_failure=errors.append, on_recovered=recovered),
    )
    book.open()
    for n in range(1, 4):
        book.append("desk", envelope(n))
    book.returned([Done(to=1)])
    with pytest.raises(JournalFailed):
        await book.durable(3, 5)
    disk.writes = 1 << 30
    await asyncio.wait_for(told.wait(), 5)
    assert (book.state, book.error, book.lost, back) == (JournalState.OPEN, None, 0, [0])
    book.append("desk", envelope(4))
    await book.durable(4, 5)
    assert book.close()
    assert len(errors) == 1
    assert [record.seq for record in records(tmp_path)] == [1, 2, 3, 4]
    assert [len(record.after) for record in records(tmp_path)] == [0, 0, 0, 16]
    assert verify(tmp_path).broken == ""


async def test_a_segment_that_cannot_be_begun_is_begun_later(tmp_path: Path) -> None:
    told = asyncio.Event()
    disk = FailingDisk()
    hooks = JournalHooks(on_recovered=lambda _lost: told.set())
    book = journal(tmp_path, disk=disk, retry_s=0.005, hooks=hooks, segment_bytes=1)
    book.open()
    book.append("desk", envelope(1))
    await book.durable(1, 5)
    disk.writes = 0
    book.append("desk", envelope(2))
    with pytest.raises(JournalFailed):
        await book.durable(2, 5)
    disk.writes = 1 << 30
    await asyncio.wait_for(told.wait(), 5)
    assert book.close()
    assert [segment.first_position for segment in segments(tmp_path)] == [1, 2]
    assert [record.seq for record in records(tmp_path)] == [1, 2]


async def test_records_beyond_the_bound_are_counted_and_leave_no_hole(tmp_path: Path) -> None:
    back: list[int] = []
    told = asyncio.Event()

    def recovered(lost: int) -> None:
        back.append(lost)
        told.set()

    disk = FailingDisk()
    book = journal(tmp_path, disk=disk, queue_max=5, hooks=JournalHooks(on_recovered=recovered))
    book.open()
    disk.gate.clear()
    for n in range(1, 10):
        assert book.append("desk", envelope(n)) == min(n, 5)
    assert book.lost == 9
    disk.gate.set()
    await asyncio.wait_for(told.wait(), 5)
    assert back == [4]
    assert book.append("desk", envelope(10)) == 6
    assert book.close()
    assert [record.seq for record in records(tmp_path)] == [1, 2, 3, 4, 5, 10]
    assert verify(tmp_path).broken == ""


async def test_a_write_that_hangs_is_noticed_by_looking(tmp_path: Path) -> None:
    errors: list[Exception] = []
    clock = VirtualClock(start_wall_ns=5)
    disk = FailingDisk()
    book = Journal(tmp_path, clock, disk=disk, hooks=hooks(errors.append), hung_s=1.0)
    clock.advance(1)
    book.open()
    disk.gate.clear()
    book.append("desk", envelope(1))
    assert await asyncio.to_thread(disk.writing.wait, 5)
    book.check()
    assert errors == []
    clock.advance(1_000_000_001)
    book.check()
    book.check()
    assert [str(error) for error in errors] == ["the disk has not answered for 1 s"]
    assert book.state is JournalState.FAILED
    disk.gate.set()
    assert book.close()

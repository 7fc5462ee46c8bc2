from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgegridd.errors import JournalBroken
from hedgegridd.journal import retired
from hedgegridd.journal.reader import Walk, header_of, last_line, segment_path, segments, torn_bytes, verify
from hedgegridd.journal.record import (
    GENESIS,
    Header,
    Record,
    check_line,
    decode_header,
    encode_header,
    encode_record,
    seal,
    unseal,
)
from hedgegridd.messages import Rearm

from .helpers import envelope, journal, records, written

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    written(tmp_path, 3)
    assert [record.position for record in records(tmp_path)] == [1, 2, 3]
    record = records(tmp_path)[1]
    assert (record.seq, record.time_ns, record.mono_ns, record.cause, record.actor, record.to) == (
        2,
        20,
        2,
        1,
        "ops",
        "desk",
    )
    assert msgspec.json.decode(record.message, type=Rearm) == Rearm(reason="because")
    assert [record.position for record in records(tmp_path, 3)] == [3]
    assert records(tmp_path, 4) == []


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert records(tmp_path) == []
    assert verify(tmp_path).broken == ""
    assert verify(tmp_path).last_hash == GENESIS


def test_a_second_run_continues_the_chain(tmp_path: Path) -> None:
    written(tmp_path, 2)
    written(tmp_path, 2)
    verdict = verify(tmp_path)
    assert (verdict.records, verdict.last_position, verdict.broken, verdict.torn) == (4, 4, "", 0)
    assert len(segments(tmp_path)) == 1


def test_segments_roll_at_their_size_and_chain_through(tmp_path: Path) -> None:
    for _ in range(6):
        written(tmp_path, 2, segment_bytes=500)
    found = segments(tmp_path)
    assert len(found) > 2
    assert [record.position for record in records(tmp_path)] == list(range(1, 13))
    for position in range(1, 13):
        assert [record.position for record in records(tmp_path, position)] == list(range(position, 13))


def test_rolling_happens_while_writing_too(tmp_path: Path) -> None:
    book = journal(tmp_path, segment_bytes=1)
    book.open()
    for n in range(1, 6):
        book.append("desk", envelope(n))
        while book.durable_position < n:
            pass
    assert book.close()
    assert [segment.first_position for segment in segments(tmp_path)] == [1, 2, 3, 4, 5]
    assert verify(tmp_path).records == 5


def test_retired_segments_may_be_missing_at_the_front_only(tmp_path: Path) -> None:
    for _ in range(4):
        written(tmp_path, 2, segment_bytes=1)
    found = segments(tmp_path)
    found[0].path.unlink()
    assert "records 1 to 2 are missing and were not retired" in verify(tmp_path).broken
    head = header_of(found[1])
    retired.write(tmp_path, retired.Retired(through=2, hash=head.previous_hash, time_ns=0))
    assert (verify(tmp_path).broken, verify(tmp_path).retired) == ("", 2)
    retired.write(tmp_path, retired.Retired(through=2, hash="0" * 32, time_ns=0))
    assert "does not follow from what was retired" in verify(tmp_path).broken
    retired.write(tmp_path, retired.Retired(through=2, hash=head.previous_hash, time_ns=0))
    assert [record.position for record in records(tmp_path)] == list(range(3, 9))
    found[2].path.unlink()
    assert "does not follow from the segment before" in verify(tmp_path).broken


@SHARED
@given(data=st.data())
def test_any_flipped_bit_is_found(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "journal"
    if not folder.exists():
        for _ in range(3):
            written(folder, 2, segment_bytes=1)
    path = data.draw(st.sampled_from([segment.path for segment in segments(folder)]))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
    try:
        verdict = verify(folder)
        assert verdict.broken or verdict.torn, f"bit {bit} of byte {at} of {path.name} was not noticed"
    finally:
        path.write_bytes(whole)
    assert verify(folder).broken == ""


def test_every_byte_of_a_small_journal_counts(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        verdict = verify(tmp_path)
        assert verdict.broken or verdict.torn, at


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(lambda one, two: [two, one], id="swapped"),
        pytest.param(lambda one, two: [one, one, two], id="doubled"),
        pytest.param(lambda one, two: [two], id="missing"),
        pytest.param(lambda one, two: [one, b"\n", two], id="blank"),
    ],
)
def test_lines_out_of_place_are_found(tmp_path: Path, lines: object) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    header, one, two = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + b"".join(lines(one, two)))  # type: ignore[operator]
    with pytest.raises(JournalBroken, match=r"000000000001\.jsonl:[234]: "):
        records(tmp_path)


def chained(folder: Path, header: Header, *bodies: bytes) -> None:
    """A segment whose hashes are right, whatever it says."""
    line, digest = encode_header(header)
    content = line
    for body in bodies:
        line, digest = seal(body, digest)
        content += line
    segment_path(folder, header.first_position).write_bytes(content)


def head(**changes: object) -> Header:
    return msgspec.structs.replace(
        Header(schema=1, first_position=1, previous_hash=GENESIS, created_ns=0),
        **changes,
    )


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    chained(tmp_path, head(schema=3))
    with pytest.raises(JournalBroken, match="schema 3 is newer"):
        records(tmp_path)


def test_the_first_segment_follows_from_nothing(tmp_path: Path) -> None:
    chained(tmp_path, head(previous_hash="1" * 32))
    with pytest.raises(JournalBroken, match="follow from nothing"):
        records(tmp_path)


def test_a_position_that_jumps_is_found_though_its_hash_is_right(tmp_path: Path) -> None:
    line, _ = encode_record(7, "desk", envelope(1), GENESIS)
    chained(tmp_path, head(), unseal(line[:-1])[0] + b"}")
    with pytest.raises(JournalBroken, match="position 7 follows 0"):
        records(tmp_path)


def test_a_line_that_is_no_record_is_found_though_its_hash_is_right(tmp_path: Path) -> None:
    chained(tmp_path, head(), b'{"position":1}')
    with pytest.raises(JournalBroken, match="no record"):
        records(tmp_path)


def test_unknown_fields_of_a_record_are_read_over(tmp_path: Path) -> None:
    line, _ = encode_record(1, "desk", envelope(1), GENESIS)
    chained(tmp_path, head(), unseal(line[:-1])[0] + b',"added_later":1}')
    assert [record.position for record in records(tmp_path)] == [1]


def test_a_segment_that_is_not_what_its_name_says_is_found(tmp_path: Path) -> None:
    written(tmp_path, 1)
    segments(tmp_path)[0].path.rename(segment_path(tmp_path, 5))
    with pytest.raises(JournalBroken, match="its header begins at 1"):
        records(tmp_path)


def test_a_segment_that_begins_too_late_is_found(tmp_path: Path) -> None:
    written(tmp_path, 2)
    chained(tmp_path, head(first_position=9, previous_hash=verify(tmp_path).last_hash))
    with pytest.raises(JournalBroken, match="it begins at 9, the one before ended at 2"):
        records(tmp_path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal-copy.jsonl").write_bytes(b"")
    with pytest.raises(JournalBroken, match="no segment of the journal"):
        segments(tmp_path)


def test_a_cut_or_empty_segment_in_the_middle_is_found(tmp_path: Path) -> None:
    for _ in range(2):
        written(tmp_path, 1, segment_bytes=1)
    path = segments(tmp_path)[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert "this is not the last segment" in verify(tmp_path).broken
    for content in (b"", b"garbage\n"):
        path.write_bytes(content)
        with pytest.raises(JournalBroken, match="does not follow"):
            records(tmp_path, 2)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"a":1,"hash":"zz"}', b"\xff" * 80])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(JournalBroken):
        check_line(line, GENESIS)
    with pytest.raises(JournalBroken):
        decode_header(line)


def test_a_live_tail_is_no_error_for_a_reader(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    path.write_bytes(path.read_bytes() + b'{"position":3,')
    walk = Walk(tmp_path)
    assert [record.position for record in walk] == [1, 2]
    assert walk.torn == 14


@pytest.mark.parametrize("size", [0, 1, 10, 70_000, 140_000])
def test_tail_and_last_line_across_blocks(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert (torn_bytes(path), last_line(path)) == (size, None)
    path.write_bytes(b"first\n" + b"y" * size + b"\n" + b"z" * size)
    assert (torn_bytes(path), last_line(path)) == (size, b"y" * size)


def test_a_record_says_what_it_is() -> None:
    line, digest = encode_record(1, "desk", envelope(1), GENESIS)
    assert check_line(line[:-1], GENESIS) == digest
    record = msgspec.json.decode(line, type=Record)
    assert record.hash == digest
    assert msgspec.json.decode(record.message)["reason"] == "because"

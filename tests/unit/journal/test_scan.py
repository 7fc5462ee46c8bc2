"""Reading for people: every line, from any position, also while the journal grows."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hedgegridd.journal.reader import segments
from hedgegridd.journal.scan import Follower, last, parse, scan
from hedgegridd.messages import Envelope, Rearm

from .helpers import HastyDisk, journal, written

ODD = 'a "quoted" \\ actor \n é'


def test_a_line_says_what_its_record_says(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.open()
    message = Rearm(reason='"to":"x","message":{"type":"Kill"')
    book.returned([message])
    book.append("desk", Envelope(seq=7, time_ns=8, mono_ns=9, cause=3, actor=ODD, message=message))
    book.append("desk", Envelope(seq=8, time_ns=8, mono_ns=9, cause=7, actor="desk", message=message))
    assert book.close()
    first, second = scan(tmp_path)
    assert (first.position, first.time_ns, first.seq, first.cause) == (1, 8, 7, 3)
    assert (first.actor, first.to, first.kind) == (ODD, "desk", "Rearm")
    assert (second.actor, second.cause) == ("desk", 7)
    assert first.message()["reason"] == message.reason


def test_fields_in_another_order_and_unknown_ones_are_read() -> None:
    line = parse(
        b'{"added":[1],"message":{"reason":"x","type":"Rearm"},"to":"desk","actor":"a","cause":1,"seq":2,'
        b'"mono_ns":3,"time_ns":4,"position":5,"hash":"00"}'
    )
    assert line is not None
    assert (line.position, line.time_ns, line.seq, line.cause, line.kind) == (5, 4, 2, 1, "Rearm")
    assert line.fields()["added"] == [1]


def test_what_is_no_record_is_none() -> None:
    assert parse(b'{"schema":2,"first_position":1}') is None
    assert parse(b"\xff{") is None


def test_the_last_records_are_found_across_segments(tmp_path: Path) -> None:
    for _ in range(4):
        written(tmp_path, 3, segment_bytes=1)
    assert [line.position for line in last(tmp_path, 5)] == [8, 9, 10, 11, 12]
    assert [line.position for line in last(tmp_path, 50)] == list(range(1, 13))
    assert [line.position for line in scan(tmp_path, 8)] == [8, 9, 10, 11, 12]
    assert last(tmp_path / "nothing", 3) == []


@settings(deadline=None, max_examples=20)
@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=10),
    known=st.integers(0, 5),
)
def test_a_follower_gets_every_record_once(
    tmp_path_factory, steps: list[tuple[int, int]], known: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    follower = Follower(folder, known)
    seen: list[int] = []
    total = 0
    for size, count in steps:
        written(folder, size, segment_bytes=900, disk=HastyDisk())
        total += size
        seen += [line.position for line in follower.read(count)]
    while more := follower.read(100):
        seen += [line.position for line in more]
    assert seen == list(range(known + 1, total + 1))
    follower.close()


def test_a_follower_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    written(tmp_path, 2)
    path = segments(tmp_path)[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    follower = Follower(tmp_path)
    assert [line.position for line in follower.read(10)] == [1]
    with path.open("ab") as file:
        file.write(whole[-10:])
    assert [line.position for line in follower.read(10)] == [2]
    follower.close()

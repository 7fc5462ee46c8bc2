"""Journals of older programs are read as they are; what a newer one wrote is refused; what we do not know is kept."""

import shutil
from pathlib import Path

import msgspec
import pytest

from hedgegridd.errors import JournalBroken
from hedgegridd.journal.reader import header_of, segments, verify
from hedgegridd.journal.record import GENESIS, SCHEMA, Header, encode_header, encode_record, seal, unseal
from hedgegridd.journal.replay import Replay
from hedgegridd.journal.restore import restore
from hedgegridd.journal.scan import scan
from hedgegridd.messages import StopTrading
from hedgegridd.state import Machines, envelope_of
from tests.support.desk_rig import EPOCH, config

from .helpers import envelope, journal, records, written

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal that a program of schema 1 wrote: the walk of a desk."""
    folder = tmp_path / "journal"
    shutil.copytree(GOLDEN / "schema1", folder)
    return folder


def test_a_journal_of_schema_1_holds_and_all_of_it_is_understood(old: Path) -> None:
    assert header_of(segments(old)[0]).schema == 1
    found = verify(old)
    assert (found.records, found.broken) == (140, "")
    assert found.last_hash == "a252f4b462fd01853e5652c5283c54f4"
    kinds = {type(envelope_of(record).message).__name__ for record in records(old)}
    assert {"InstrumentReady", "BarClosed", "MarkPrice", "Woke", "VenueTruth", "OrderAccepted"} <= kinds
    assert {record.after for record in records(old)} == {""}
    assert len(list(scan(old))) == 140


def test_the_machines_take_up_what_schema_1_holds(old: Path, tmp_path: Path) -> None:
    book = journal(old)
    found = restore(book, old, tmp_path / "snapshots")
    machines = Machines.of(config(), EPOCH)
    assert machines.restore(None, found.tail()) == 140
    (grid,) = machines.desk.snapshot().grids.values()
    assert grid.book.live, "its orders are known again"
    assert book.close()


def test_a_new_record_begins_a_segment_of_the_new_schema(old: Path) -> None:
    before = segments(old)[0].path.read_bytes()
    written(old, 2)
    assert [header_of(segment).schema for segment in segments(old)] == [1, SCHEMA]
    assert segments(old)[0].path.read_bytes() == before, "what was written stays as it was written"
    assert (verify(old).records, verify(old).broken) == (142, "")


def test_what_has_no_state_cannot_be_replayed_and_is_not_called_equal(old: Path) -> None:
    found = Replay().run(records(old))
    assert not found.equal
    assert found.skipped["desk"] == 140


def test_a_newer_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    head = Header(schema=SCHEMA + 1, first_position=1, previous_hash=GENESIS, created_ns=0)
    (tmp_path / "journal-000000000001.jsonl").write_bytes(encode_header(head)[0])
    with pytest.raises(JournalBroken, match=f"schema {SCHEMA + 1} is newer than this program's {SCHEMA}"):
        journal(tmp_path).open()


def test_fields_that_we_do_not_know_are_kept_and_passed_over(tmp_path: Path) -> None:
    head, digest = encode_header(Header(schema=SCHEMA, first_position=1, previous_hash=GENESIS, created_ns=0))
    line, _ = encode_record(1, "desk", envelope(1), digest)
    odd, _ = seal(unseal(line[:-1])[0] + b',"added_later":{"a":[1,2]}}', digest)
    (tmp_path / "journal-000000000001.jsonl").write_bytes(head + odd)
    written(tmp_path, 1)
    assert verify(tmp_path).broken == ""
    assert next(iter(scan(tmp_path))).fields()["added_later"] == {"a": [1, 2]}


def test_the_digest_of_what_was_returned_stands_in_the_next_record_alone(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.open()
    book.append("desk", envelope(1))
    book.returned([StopTrading()])
    book.append("desk", envelope(2))
    book.append("desk", envelope(3))
    assert book.close()
    first, second, third = records(tmp_path)
    assert (first.after, third.after) == ("", "")
    assert len(second.after) == 16
    assert msgspec.json.decode(second.message)["type"] == "Rearm"

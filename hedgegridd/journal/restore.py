"""What a start reads: the last snapshot and the records after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hedgegridd.errors import SnapshotError
from hedgegridd.journal.reader import Walk
from hedgegridd.journal.record import Record
from hedgegridd.journal.repair import Opened
from hedgegridd.journal.snapshot import Snapshot, load
from hedgegridd.journal.writer import Journal

LOST_SEQ = (
    100_000  # a killed process may have used so many that no record has: trips and closes are named by them
)


@dataclass(frozen=True, slots=True)
class Restored:
    """The journal is open; the state is `snapshot` (None: begin empty) and then every record of `tail`.

    `next_seq` is the first envelope sequence for the bus; `notes` are sentences for the log and the
    first alert (torn tail cut, damage accepted, damaged snapshots passed over), empty when all is well.
    """

    snapshot: Snapshot | None
    opened: Opened
    next_seq: int
    notes: tuple[str, ...]
    folder: Path

    def tail(self) -> Iterator[Record]:
        """Records after the snapshot, in order; read again when they were too many to be held.

        Raises:
            JournalBroken: the disk changed its mind since the check at start.
        """
        if self.opened.tail is not None:
            yield from self.opened.tail
            return
        after = self.snapshot.position if self.snapshot is not None else 0
        for record in Walk(self.folder, from_position=after + 1):
            if record.position > self.opened.last_position:
                return  # appended since
            yield record


def restore(
    journal: Journal, journal_folder: Path, snapshot_folder: Path, *, accept_broken: bool = False
) -> Restored:
    """Open the journal and find the state that it and the last snapshot hold; blocks.

    The chain is checked from the snapshot's segment on; the whole of it by `reader.verify`, offline.

    Raises:
        JournalBroken: damage, or a journal that ends before the snapshot, without `accept_broken`.
        OSError: the folders cannot be used.
    """
    notes: list[str] = []
    snapshot = None
    try:
        snapshot = load(snapshot_folder)
    except SnapshotError as error:
        # The journal alone holds everything as long as nothing of it has been retired.
        notes.append(f"no usable snapshot, reading the whole journal: {error}")
    if snapshot is not None:
        notes.extend(f"damaged snapshot passed over: {text}" for text in snapshot.passed_over)
    known = snapshot.position if snapshot is not None else 0
    opened = journal.open(accept_broken=accept_broken, known=known)
    if opened.cut_bytes:
        notes.append(
            f"cut a torn tail of {opened.cut_bytes} bytes off the journal; none of it was acknowledged"
        )
    if opened.broken:
        notes.append(f"broken journal accepted by flag: {opened.broken}")
    next_seq = max(opened.last_seq + 1, snapshot.next_seq if snapshot is not None else 1)
    if next_seq > 1:
        next_seq += LOST_SEQ
    return Restored(snapshot, opened, next_seq, tuple(notes), journal_folder)

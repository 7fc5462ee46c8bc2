"""Measures a start with a journal of a million records: `python -m bench.start`.

The journal is a real one: envelopes of the desk's own walk on a venue, written by the daemon's recorder, with segments
and kept states as configured by default, and a last snapshot that leaves the longest tail the defaults allow. Restore
is what `hedgegridd run` does before its actors start: open and check the journal, load the snapshot, feed the tail to the
machines. Seconds are net of waits for a core (bench.noise), with the wall time beside them. `--ready` starts the real daemon on it against the paper exchange and measures until READY.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.life import start_s
from bench.noise import RunDelay
from bench.table import MISSED, Row, text, verdict
from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core.reloaded import carried
from hedgegridd.journal import snapshot
from hedgegridd.journal.disk import RealDisk
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.reader import segments, verify
from hedgegridd.journal.record import SESSION
from hedgegridd.journal.recorder import Recorder
from hedgegridd.journal.restore import restore
from hedgegridd.journal.writer import Journal
from hedgegridd.runtime.clock import RealClock
from hedgegridd.state import Machines
from tests.support.desk_rig import config as small_config
from tests.support.desk_rig import operator, path
from tests.support.fake_venue import FakeVenue, Faults
from tests.support.programs import exchange, write_config

RECORDS = 1_000_000
TARGET_S = 5.0


class HastyDisk(RealDisk):
    """Does not wait for the platter: a million records are made in a minute, and read as any others."""

    def open_append(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class _Book:
    """The desk of a walk, its envelopes in the journal as the bus records them."""

    def __init__(self, journal: Journal, config: Config, epoch: str) -> None:
        self._journal, self._config, self._epoch = journal, config, epoch
        self._recorder = Recorder(journal)
        self._machines = Machines.of(config, epoch)
        self._sample: list[m.Envelope] = []
        self._offset = 0  # sequences of a walk begin at 1
        self.seq = 0

    def begin(self, sample: list[m.Envelope]) -> msgspec.Raw:
        """A new process with empty books; the envelopes of its walk go into `sample`."""
        self._machines = Machines.of(self._config, self._epoch)
        self._machines.new_session()
        self._sample, self._offset = sample, self.seq + 1
        state = msgspec.Raw(self._machines.snapshot())
        kept = carried(self._config)
        began = m.SessionBegan(version="bench", pid=1, epoch=self._epoch, config=kept, state=state)
        self._write(SESSION, began)
        return state

    def again(self, envelope: m.Envelope) -> None:
        """One record of the first walk, numbered on."""
        self._wait()
        self.seq += 1
        self._journal.append("desk", msgspec.structs.replace(envelope, seq=self.seq))

    def _write(self, kind: str, message: m.Message) -> None:
        self.seq += 1
        now_ns = time.time_ns()
        envelope = m.Envelope(seq=self.seq, time_ns=now_ns, mono_ns=0, cause=0, actor="app", message=message)
        self._journal.append(kind, envelope)

    def _wait(self) -> None:
        # Faster than any market: the writer is waited for, where a daemon would lose records.
        while self._journal.position - self._journal.durable_position > 50_000:
            time.sleep(0.001)

    def handle(self, env: m.Envelope) -> list[m.Message]:
        if isinstance(env.message, m.Query):
            return self._machines.desk.handle(env)
        self._wait()
        self.seq = self._offset + env.seq
        self._sample.append(env)
        self._recorder.handed("desk", msgspec.structs.replace(env, seq=self.seq))
        out = self._machines.desk.handle(env)
        if out:
            self._recorder.returned("desk", env, out)
        return out

    def snapshot(self) -> object:
        return self._machines.desk.snapshot()


def make(folder: Path, records: int, config: Config) -> None:
    """A state folder with so many records; the newest snapshot is `snapshot_every` records old.

    What stands before that snapshot repeats the records of one walk, numbered on: a start reads it for the chain alone.
    What stands after it is a walk of its own, which a start feeds to the machines.
    """
    state = StateFolder(folder)
    state.open(time.time_ns())
    journal = Journal(
        state.journal, RealClock(), segment_bytes=config.journal.segment_mb << 20, disk=HastyDisk()
    )
    journal.open()
    book = _Book(journal, config, state.epoch)
    every = config.journal.snapshot_every
    sample: list[m.Envelope] = []
    book.begin(sample)
    for _ in walked(book):
        if journal.position >= min(every, records - every):
            break
    while journal.position < records - every - 1:
        for envelope in sample:
            book.again(envelope)
            if journal.position >= records - every - 1:
                break
    raw = book.begin([])
    snapshot.save(
        state.snapshots, bytes(raw), position=journal.position - 1, next_seq=book.seq, time_ns=time.time_ns()
    )
    for _ in walked(book):
        if journal.position >= records:
            break
    assert journal.close(60)
    state.close()


def walked(desk: _Book) -> Iterator[None]:
    """Minutes of a market without end, with an operator now and then."""
    venue = FakeVenue(desk, seed=1, faults=Faults(partial=0.2))
    venue.start()
    rng = random.Random(1)
    while True:
        venue.minute(path(rng, venue.price))
        if rng.random() < 0.03:
            venue.fund(0)
        if (command := operator(rng)) is not None:
            venue.feed(command)
        yield


def restored(folder: Path, config: Config) -> tuple[float, float, int]:
    """Seconds from nothing to machines with their state: wall, net of the waits for a core; and records fed."""
    delay = RunDelay(os.getpid())
    began, began_waits = time.perf_counter(), delay.ns()
    state = StateFolder(folder)
    state.open(time.time_ns())
    journal = Journal(state.journal, RealClock(), segment_bytes=config.journal.segment_mb << 20)
    found = restore(journal, state.journal, state.snapshots)
    machines = Machines.of(config, state.epoch)
    fed = machines.restore(found.snapshot.state if found.snapshot else None, found.tail())
    took = time.perf_counter() - began
    net = took - (delay.ns() - began_waits) / 1e9
    delay.close()
    assert found.notes == (), found.notes
    journal.close()
    state.close()
    return took, net, fed


def in_a_process(folder: Path) -> tuple[float, float, int]:
    """`restored` in a process of its own, as a start is."""
    code = (
        "import sys; from pathlib import Path; from bench.start import restored, small_config;"
        "print(*restored(Path(sys.argv[1]), small_config()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, timeout=300
    )
    took, net, fed = done.stdout.split()
    return float(took), float(net), int(fed)


def ready(folder: Path) -> list[tuple[float, float]]:
    """Seconds (wall, net) from the process's start to READY, on that state and on an empty one, the same exchange."""
    took = []
    options = ["--regime", "quiet", "--seed", "7", "--speed", "10", "--no-rate-limits"]
    with exchange(options, folder / "exchange.log") as venue:
        for number, state in enumerate((folder / "state", folder / "empty")):
            where = folder / f"run{number}"
            where.mkdir()
            config = write_config(where, venue, [{"instrument": "BTCUSDT-PERP"}])
            wanted = config.path.read_text().replace(str(where / "state"), str(state))
            config.path.write_text(wanted)
            took.append(start_s(config, number))
    return took


def rows(runs: int, where: Path | None = None, records: int = RECORDS, *, daemon: bool = True) -> list[Row]:
    """Restore, and the real daemon's READY, with so many records."""
    config = small_config()
    with tempfile.TemporaryDirectory(dir=where or Path(), prefix="bench-start-") as name:
        folder = Path(name)
        began = time.perf_counter()
        make(folder / "state", records, config)
        made_s = time.perf_counter() - began
        size = sum(segment.path.stat().st_size for segment in segments(folder / "state" / "journal"))
        times = sorted(in_a_process(folder / "state") for _ in range(runs))
        took, net, fed = times[len(times) // 2]
        began = time.perf_counter()
        checked = verify(folder / "state" / "journal")
        whole_s = time.perf_counter() - began
        assert checked.records >= records
        assert not checked.broken, checked.broken
        found = [
            Row(
                bench="start",
                what=f"restore, {records:,} records, {size >> 20} MB",
                measured=f"{net:.2f} s net, {took:.2f} wall; {fed:,} records fed",
                peer=f"checking all of the chain {whole_s:.1f} s wall",
                ratio=whole_s / took,
                target=f"under {TARGET_S:.0f} s",
                verdict=verdict(net < TARGET_S),
            )
        ]
        if daemon:
            shutil.rmtree(folder / "empty", ignore_errors=True)
            (with_records, with_records_net), (empty, empty_net) = ready(folder)
            found.append(
                Row(
                    bench="start",
                    what="daemon, process start to READY, paper",
                    measured=f"{with_records_net:.2f} s net, {with_records:.2f} wall",
                    peer=f"with an empty state folder {empty_net:.2f} s net, {empty:.2f} wall",
                    ratio=empty_net / with_records_net,
                    target=f"under {TARGET_S:.0f} s",
                    verdict=verdict(with_records_net < TARGET_S),
                )
            )
    print(f"(made in {made_s:.0f} s)")
    return found


def measure(runs: int) -> list[Row]:
    """For the suite."""
    return rows(runs)


def main() -> int:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure; default: here")
    line.add_argument("--records", type=int, default=RECORDS)
    line.add_argument("--runs", type=int, default=3)
    line.add_argument("--ready", action="store_true", help="the real daemon as well")
    asked = line.parse_args()
    found = rows(asked.runs, asked.folder, asked.records, daemon=asked.ready)
    print(text(found))
    return int(any(row.verdict == MISSED for row in found))


if __name__ == "__main__":
    sys.exit(main())

"""Measures the journal's commit at 5,000 records a second against plain fdatasync: `python -m bench.journal`.

A commit is the writer thread's (`JournalHooks.on_commit`): hash, write and fdatasync of what has gathered. From
`append` in the loop to `durable` returning there it is a commit under way, one's own, and two changes of thread. The
peer, in the same run and folder, writes as many bytes and calls fdatasync, one record at a time, without loop, thread
or hash. Milliseconds; medians of the runs' figures.
"""

import argparse
import asyncio
import os
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import uvloop

from bench.table import Row, mid_p, text, verdict
from hedgegridd.journal.reader import verify
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.messages import Envelope, MarkPrice
from hedgegridd.runtime.clock import RealClock

RATE_PER_S = 5_000
PER_TURN = 5  # records appended together every millisecond; the last is waited for, as an intent is
TARGET = 3.0

MARK = MarkPrice(
    instrument="BTCUSDT-PERP.BINANCE",
    market_ns=1_640_995_200_000_000_000,
    mark=Decimal("46217.50"),
    bid=Decimal("46217.40"),
    ask=Decimal("46217.50"),
)


def envelope(seq: int) -> Envelope:
    return Envelope(
        seq=seq, time_ns=time.time_ns(), mono_ns=time.monotonic_ns(), cause=0, actor="venue", message=MARK
    )


def plain_sync(folder: Path, count: int) -> list[float]:
    """Milliseconds of each write and fdatasync of 300 bytes."""
    descriptor = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    times = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        os.write(descriptor, b"x" * 300)
        os.fdatasync(descriptor)
        times.append((time.perf_counter_ns() - began_ns) / 1e6)
    os.close(descriptor)
    return times


async def commits(folder: Path, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of commits, and from append to durable, records offered at the rate by the clock."""
    committed: list[float] = []
    hooks = JournalHooks(on_commit=lambda _records, seconds: committed.append(seconds * 1e3))
    journal = Journal(folder, RealClock(), hooks=hooks)
    journal.open()
    times: list[float] = []

    async def timed(position: int, began_ns: int) -> None:
        await journal.durable(position, 10.0)
        times.append((time.perf_counter_ns() - began_ns) / 1e6)

    tasks, loop = [], asyncio.get_running_loop()
    began = loop.time()
    for n in range(1, int(RATE_PER_S * seconds) + 1):
        position = journal.append("desk", envelope(n))
        if not n % PER_TURN:
            tasks.append(asyncio.ensure_future(timed(position, time.perf_counter_ns())))
            # A real sleep, so that the loop is idle in between, as a daemon's is.
            await asyncio.sleep(max(0.0, began + n / RATE_PER_S - loop.time()))
    await asyncio.gather(*tasks)
    assert journal.close(), "every record is durable"
    return committed, times


async def flood(folder: Path, count: int) -> float:
    """Records a second when as many as possible are offered, all durable at the end."""
    journal = Journal(folder, RealClock(), queue_max=count)
    journal.open()
    began = time.perf_counter()
    for n in range(1, count + 1):
        journal.append("desk", envelope(n))
    await journal.durable(count, 60.0)
    took_s = time.perf_counter() - began
    journal.close()
    return count / took_s


async def report(where: Path, runs: int, seconds: float) -> list[Row]:
    """Commit beside fdatasync, and the flood."""
    plain, commit, ours = [], [], []
    with tempfile.TemporaryDirectory(dir=where, prefix="bench-journal-") as name:
        root = Path(name)
        for run in range(runs):
            plain.append(plain_sync(root, 2_000))
            committed, waited = await commits(root / f"run{run}", seconds)
            commit.append(committed)
            ours.append(waited)
        rate = await flood(root / "flood", 100_000)
        began = time.perf_counter()
        checked = verify(root / "flood")
        read_s = time.perf_counter() - began
    assert checked.records == 100_000
    assert not checked.broken
    (commit_mid, commit_high), (mid, high), (plain_mid, plain_high) = (
        [mid_p(found, share) for share in (0.5, 0.99)] for found in (commit, ours, plain)
    )
    peer = f"write + fdatasync {plain_mid:.2f}, {plain_high:.2f} ms"
    return [
        Row(
            bench="journal",
            what=f"commit at {RATE_PER_S:,}/s",
            measured=f"p50 {commit_mid:.2f}, p99 {commit_high:.2f} ms",
            peer=peer,
            ratio=plain_high / commit_high,
            target=f"p99 <= {TARGET:.0f} x fdatasync",
            verdict=verdict(commit_high <= TARGET * plain_high),
        ),
        Row(
            bench="journal",
            what=f"append to durable in the loop at {RATE_PER_S:,}/s",
            measured=f"p50 {mid:.2f}, p99 {high:.2f} ms",
            peer=peer,
            ratio=plain_high / high,
        ),
        Row(
            bench="journal",
            what="flood, all durable",
            measured=f"{rate / 1e3:.0f} k/s",
            peer=f"checking the chain {100_000 / read_s / 1e3:.0f} k/s",
        ),
    ]


def rows(runs: int, where: Path | None = None, seconds: float = 2.0) -> list[Row]:
    """All rows of the journal, on the disk of that folder (here)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(report(where or Path(), runs, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure; default: here")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    arguments = parser.parse_args()
    print(text(rows(arguments.runs, arguments.folder, arguments.seconds)))


if __name__ == "__main__":
    main()

"""The machine's own noise: what threads waited for a core while they were ready to run (Linux's schedstat).

Other programs on a shared machine make any p99 a figure of theirs. The kernel counts, per thread, the nanoseconds it
was ready and had no core; a time measured over processes is "net" when their waits in between are taken off.
"""

import os
import time
from pathlib import Path
from statistics import median

from bench.table import Row, p

SAMPLES = 400
TURN_S = 0.005


class RunDelay:
    """Nanoseconds that threads have waited for a core; files stay open until `close`."""

    def __init__(self, *pids: int, every_thread: bool = False) -> None:
        self._files = [
            os.open(path, os.O_RDONLY)
            for pid in pids
            for path in (
                Path(f"/proc/{pid}/task").glob("*/schedstat")
                if every_thread
                else [Path(f"/proc/{pid}/task/{pid}/schedstat")]
            )
        ]

    def ns(self) -> int:
        """The sum over the threads; one that has ended counts no more."""
        total = 0
        for file in self._files:
            try:
                total += int(os.pread(file, 64, 0).split()[1])
            except ProcessLookupError:
                continue
        return total

    def close(self) -> None:
        for file in self._files:
            os.close(file)
        self._files = []


def idle_us(samples: int = SAMPLES) -> tuple[list[float], list[float]]:
    """How much later than asked a sleeping thread runs, in microseconds: as it is, and net of its wait for a core."""
    mine = RunDelay(os.getpid())
    late, net = [], []
    for _ in range(samples):
        waited = mine.ns()
        due = time.perf_counter_ns() + int(TURN_S * 1e9)
        time.sleep(TURN_S)
        over = time.perf_counter_ns() - due
        late.append(over / 1e3)
        net.append(max(0, over - (mine.ns() - waited)) / 1e3)
    mine.close()
    return late, net


def measure(runs: int) -> list[Row]:
    """The machine while nothing of ours runs: what every p99 of the other rows stands beside."""
    found = [idle_us() for _ in range(runs)]
    late, net = (median(p(run[at], 0.99) for run in found) for at in (0, 1))
    load = os.getloadavg()[0]
    return [
        Row(
            bench="noise",
            what=f"an idle thread's lateness, load {load:.1f} on {os.cpu_count()} cores",
            measured=f"p99 {late / 1e3:.2f} ms",
            peer=f"net of waits for a core {net / 1e3:.2f} ms",
        )
    ]

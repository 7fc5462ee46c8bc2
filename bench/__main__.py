"""The benchmarks as one table: `python -m bench [--only NAME] [--runs N] [--json FILE]`.

Each figure stands beside its peer of the same run; figures are medians of the runs. One benchmark after the other, so
that none is the noise of another. The default takes some ten minutes; a budget of time ends the suite between two
benchmarks, and says which ones it left out.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from bench import alerts, bus, control, flatten, journal, life, noise, orders, panic, reaction, start, ticks
from bench.table import MISSED, Row, text

CONTROL_CALLS = 300  # of each front in a run

SUITE: dict[str, Callable[[int], list[Row]]] = {
    "noise": noise.measure,
    "bus": bus.rows,
    "journal": journal.rows,
    "control": partial(control.rows, count=CONTROL_CALLS),
    "ticks": ticks.measure,
    "orders": orders.measure,
    "flatten": flatten.measure,
    "life": life.measure,
    "start": start.measure,
    "reaction": reaction.measure,
    "panic": panic.measure,
    "alerts": alerts.measure,
}


def main() -> int:
    """Run it; 1 when a target is missed, so that a job can tell."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument(
        "--only", choices=list(SUITE), action="append", help="one benchmark; may be given again"
    )
    line.add_argument("--runs", type=int, default=3, help="of each figure (default %(default)s)")
    line.add_argument("--budget-s", type=float, default=900.0, help="start no benchmark after so long")
    line.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    asked = line.parse_args()
    if asked.runs < 1:
        line.error("--runs must be at least 1")
    began, rows, left_out = time.monotonic(), [], []
    for name in asked.only or SUITE:
        if time.monotonic() - began > asked.budget_s:
            left_out.append(name)
            continue
        at = time.monotonic()
        found = SUITE[name](asked.runs)
        rows += found
        # Told as it is found: a suite that is ended early has not measured for nothing.
        print(f"{text(found)}\n({time.monotonic() - at:.0f} s)\n", flush=True)
        if asked.json:
            asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    print(text(rows))
    if left_out:
        print(f"\nleft out, {asked.budget_s:.0f} s are over: {', '.join(left_out)}")
    return int(any(row.verdict == MISSED for row in rows) or bool(left_out))


if __name__ == "__main__":
    sys.exit(main())

"""The part of the chaos table that fits a test run: a hard cell of each phase on the real processes, judged as in `make chaos`."""

from pathlib import Path

import pytest

from bench.chaos import Rigs, run_cell
from bench.chaos_rows import ROWS

CELLS = (
    "user-cut-key-fails/trading",
    "timeout-processed/trading",
    "rest-down/flattening",
    "sigkill/flattening",
    "user-refused/stopping",
    "connect-503/starting",
)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_the_cell_ends_well(tmp_path: Path, name: str) -> None:
    row, _, phase = name.partition("/")
    rigs = Rigs(seed=1, venue=(), keep=tmp_path)
    try:
        cell = run_cell(rigs, ROWS[row], phase)
    finally:
        rigs.drop()
    assert cell.outcome == "PASS", cell.findings

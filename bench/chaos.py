"""Each fault in each phase of the daemon's life, on the real processes; prints a table of outcomes (`make chaos`).

    python -m bench.chaos                                    everything: about an hour and a half
    python -m bench.chaos --only user-cut --only outage/flattening --only /starting
    python -m bench.chaos --out chaos.jsonl                  resumable: cells that are in the file are not run again
    python -m bench.chaos --out chaos.jsonl --docs docs/chaos.md    ... and writes the page's table from the file

Exit 0 when every cell passed or was skipped with a reason, 1 when one failed, 2 when a program did not start.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench.chaos_cells import PHASES, RUN, Cell
from bench.chaos_rig import Rig, Setup, may_mount, rig
from bench.chaos_rows import HOST, ROWS, TABLE, Row
from tests.support.programs import ProgramError, end_with_programs

BEGINS, ENDS = "<!-- table: python -m bench.chaos -->", "<!-- end of table -->"


class Rigs:
    """One rig at a time, used on while nothing went wrong on it."""

    def __init__(self, seed: int, venue: tuple[str, ...], keep: Path | None) -> None:
        self._seed = seed
        self._venue = venue
        self._keep = keep
        self._made: Rig | None = None
        self._stack = ExitStack()
        self._count = 0

    def get(self, row: Row) -> Rig:
        """The rig in use, or a new one."""
        if self._made is None:
            self._count += 1
            name = f"{row.name}-{self._count}"
            if self._keep is None:
                folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            else:
                folder = self._keep / name
                folder.mkdir(parents=True)
            made = rig(folder, self._seed, Setup(venue=self._venue), small_disk=row.small_disk)
            self._made = self._stack.enter_context(made)
        return self._made

    def drop(self) -> None:
        """The next cell gets a fresh one."""
        self._made = None
        self._stack.close()


def run_cell(rigs: Rigs, row: Row, phase: str) -> Cell:
    """One cell; whatever a program does, an outcome comes of it."""
    cell = Cell(row=row.name, phase=phase)
    if row.small_disk and (why := may_mount()):
        cell.outcome, cell.note = "SKIP", why
        return cell
    try:
        RUN[phase](rigs.get(row), row, cell)
    except (ProgramError, AssertionError, OSError) as error:
        cell.find(str(error)[:1500])
    if cell.findings or row.ends:
        rigs.drop()
    return cell


def chosen(only: Sequence[str]) -> list[tuple[Row, str]]:
    """The cells that `row`, `row/phase` or `/phase` name; all without any. Raises SystemExit for a name of nothing."""
    cells = [(row, phase) for row in ROWS.values() for phase in PHASES if phase in row.phases]
    if not only:
        return cells
    picked: list[tuple[Row, str]] = []
    for text in only:
        name, _, phase = text.partition("/")
        found = [each for each in cells if name in ("", each[0].name) and phase in ("", each[1])]
        if not found:
            raise SystemExit(
                f"--only {text}: no such cell; rows: {', '.join(ROWS)}; phases: {', '.join(PHASES)}"
            )
        picked += [each for each in found if each not in picked]
    return picked


def seconds(value: float | None) -> str:
    """For a table."""
    return "-" if value is None else f"{value:.1f}"


def table(cells: Iterable[Cell]) -> str:
    """Markdown: one line a row of the catalogue, one column a phase."""
    by_key = {(cell.row, cell.phase): cell for cell in cells}
    lines = [f"| fault | {' | '.join(PHASES)} |", "| --- |" + " --- |" * len(PHASES)]
    for row in ROWS.values():
        found = [by_key.get((row.name, phase)) for phase in PHASES]
        if any(found):
            lines.append(f"| {row.fault} (`{row.name}`) | {' | '.join(_words(cell) for cell in found)} |")
    return "\n".join(lines)


def _words(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.outcome == "SKIP":
        return f"skipped: {cell.note}"
    times = f"{seconds(cell.detected_s)} / {seconds(cell.safe_s)} / {seconds(cell.recovered_s)}"
    note = f" ({cell.note})" if cell.note else ""
    return f"{cell.outcome} {times}{note}"


def summary(cells: Sequence[Cell]) -> str:
    """One line."""
    count = {name: sum(cell.outcome == name for cell in cells) for name in ("PASS", "FAIL", "SKIP")}
    of_table = sum(cell.row in {row.name for row in TABLE} for cell in cells)
    of_host = sum(cell.row in {row.name for row in HOST} for cell in cells)
    return (
        f"{len(cells)} cells ({of_table} of the fault table, {of_host} of the host): "
        f"{count['PASS']} pass, {count['FAIL']} fail, {count['SKIP']} skipped"
    )


def write_docs(page: Path, cells: Sequence[Cell]) -> None:
    """The page's table and its summary become those of the cells."""
    text = page.read_text()
    head, begins, rest = text.partition(BEGINS)
    _, ends, tail = rest.partition(ENDS)
    if not begins or not ends:
        raise SystemExit(f"{page}: has no {BEGINS} ... {ENDS}")
    page.write_text(f"{head}{BEGINS}\n{summary(cells)}.\n\n{table(cells)}\n{ENDS}{tail}")


def drive(options: argparse.Namespace) -> int:
    """All chosen cells; the exit code."""
    done: list[Cell] = []
    if options.out and options.out.exists():
        done = [msgspec.json.decode(line, type=Cell) for line in options.out.read_bytes().splitlines()]
    known = {(cell.row, cell.phase) for cell in done}
    todo = [(row, phase) for row, phase in chosen(options.only) if (row.name, phase) not in known]
    rigs = Rigs(options.seed, tuple(options.venue.split()), options.keep)
    last = ""
    try:
        for row, phase in todo:
            if row.name != last:
                rigs.drop()
            last = row.name
            began = time.monotonic()
            cell = run_cell(rigs, row, phase)
            done.append(cell)
            sys.stderr.write(f"{row.name}/{phase} {_words(cell)} in {time.monotonic() - began:.0f} s\n")
            for finding in cell.findings:
                sys.stderr.write(f"    {finding}\n")
            if options.out:
                with options.out.open("ab") as out:
                    out.write(msgspec.json.encode(cell) + b"\n")
    finally:
        rigs.drop()
    if options.json:
        print(msgspec.json.encode(done).decode())
    else:
        print(table(done))
        print(summary(done))
    if options.docs:
        write_docs(options.docs, done)
    return 1 if any(cell.outcome == "FAIL" for cell in done) else 0


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.chaos", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument(
        "--only", action="append", default=[], metavar="ROW/PHASE", help="a cell, a row or a /phase"
    )
    line.add_argument("--seed", type=int, default=1, help="of the market (default %(default)s)")
    line.add_argument("--venue", default="", help="further arguments of the exchange, such as --no-flat-stop")
    line.add_argument("--out", type=Path, help="JSON lines, one a cell; those there are not run again")
    line.add_argument("--json", action="store_true", help="print all cells as JSON instead of the table")
    line.add_argument("--docs", type=Path, help="write the table into this page")
    line.add_argument("--keep", type=Path, help="folder for logs and state (default: a temporary one)")
    options = line.parse_args(argv)
    end_with_programs()
    try:
        return drive(options)
    except (ProgramError, OSError) as error:
        sys.stderr.write(f"chaos: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

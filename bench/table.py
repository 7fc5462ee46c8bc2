"""What a benchmark found: one row a figure, with its peer, its ratio to it, its target and the verdict."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

import msgspec

MET, MISSED, NO_TARGET = "met", "MISSED", ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `ratio` is in our favour above 1; figures and targets carry their unit in words."""

    bench: str
    what: str
    measured: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    verdict: str = NO_TARGET


type Runs = int
type Bench = Callable[[Runs], list[Row]]


def p(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values are."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def mid_p(found: Iterable[Sequence[float]], share: float) -> float:
    """The median over runs of each run's percentile."""
    return median(p(values, share) for values in found)


def verdict(ok: bool) -> str:
    return MET if ok else MISSED


def text(rows: Sequence[Row]) -> str:
    """The rows as a table of fixed columns."""
    head = ("bench", "what", "measured", "peer", "ratio", "target", "verdict")
    lines = [head] + [
        (
            row.bench,
            row.what,
            row.measured,
            row.peer or "-",
            "-" if row.ratio is None else f"{row.ratio:.2f} x",
            row.target or "-",
            row.verdict or "-",
        )
        for row in rows
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )

"""One mistake in a config file, and how it is shown to a person: what, where, help (design/ux.md)."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

type Path = tuple[str | int, ...]
"""Where a value stands: table names, the index in an array of tables, the key; `("grid", 0, "funding", "rate")`."""

_SECRET = re.compile(r"secret|key|token|passw|credential", re.IGNORECASE)
_HIDDEN = "(not shown)"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a key or a table's header stands in its file: line from 1, columns from 0; a header has no value."""

    line: int
    text: str
    key_column: int
    key_length: int
    value_column: int | None = None
    value_length: int = 0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake (`error`: refused) or a combination without effect (`warning`).

    `note` stands beside the caret, `help` is what to do. `at` says what the caret points to.
    """

    severity: Literal["error", "warning"] = "error"
    path: Path
    text: str
    note: str = ""
    help: str = ""
    at: Literal["key", "value"] = "value"

    @property
    def table(self) -> str:
        """The table in TOML's own words, such as `[grid.funding]` or `[[grid]] number 2`."""
        return table_name(self.path[:-1])

    @property
    def field(self) -> str:
        """The key within its table."""
        return str(self.path[-1])


def table_name(path: Path) -> str:
    """`[venue]`, `[[grid]]`, `[[grid]] number 2`, `[grid.funding] of [[grid]] number 2`; empty: the file's top."""
    names = ".".join(part for part in path if isinstance(part, str))
    if not names:
        return "the file"
    numbers = [
        (path[: index + 1], part) for index, part in enumerate(path) if isinstance(part, int) and part > 0
    ]
    if path and isinstance(path[-1], int):
        return f"[[{names}]]" + (f" number {path[-1] + 1}" if path[-1] > 0 else "")
    return f"[{names}]" + "".join(f" of {table_name(array)}" for array, _ in numbers)


def render(problem: Problem, name: str, places: Mapping[Path, Place], width: int = 0) -> str:
    """A problem as lines for people. `width`: room for the position, so that several problems align."""
    lines = [f"{problem.severity}: {problem.text}"]
    place = places.get(problem.path)
    caret = place
    if place is None:  # a missing key: show the header of the nearest table that is there
        for cut in range(len(problem.path) - 1, 0, -1):
            place = places.get(problem.path[:cut])
            if place is not None:
                break
    if place is None:
        lines.append(f" {name}")
    else:
        position = f" {name}:{place.line}".ljust(width)
        lines.append(f"{position} | {_shown(place)}")
        column, length = _underlined(place, problem) if caret is not None else (0, 0)
        mark = "^" * max(1, length) if caret is not None else ""
        if mark or problem.note:
            lines.append(f"{' ' * len(position)} | {' ' * column}{mark} {problem.note}".rstrip())
    if place is None and problem.note:
        lines.append(f" {problem.note}")
    if problem.help:
        lines.append(f" help: {problem.help}")
    return "\n".join(lines)


def render_all(problems: Iterable[Problem], name: str, places: Mapping[Path, Place]) -> str:
    """All problems, positions aligned, ending with the count of errors and warnings."""
    problems = tuple(problems)
    width = max((len(f" {name}:{place.line}") for place in places.values()), default=0)
    blocks = [render(problem, name, places, width) for problem in problems]
    counts = []
    for severity in ("error", "warning"):
        number = sum(1 for problem in problems if problem.severity == severity)
        if number:
            counts.append(f"{number} {severity}{'' if number == 1 else 's'}")
    return "\n".join([*blocks, ", ".join(counts)])


def _is_secret(place: Place) -> bool:
    return place.value_column is not None and _SECRET.search(place.text[: place.value_column]) is not None


def _shown(place: Place) -> str:
    """The line; a value that might be a secret is not shown."""
    return place.text[: place.value_column] + _HIDDEN if _is_secret(place) else place.text


def _underlined(place: Place, problem: Problem) -> tuple[int, int]:
    if problem.at == "key" or place.value_column is None:
        return place.key_column, place.key_length
    return place.value_column, len(_HIDDEN) if _is_secret(place) else place.value_length

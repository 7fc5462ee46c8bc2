"""Finds the line of every key of a TOML file, which the standard parser does not tell."""

import re

from hedgegridd.problems import Path, Place

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*(\]\]?)")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=\s*"""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def find_places(text: str) -> dict[Path, Place]:
    """Place of every table header and key, by path.

    `text` is valid TOML (it was parsed before). A key inside an inline table has no place of its own.
    """
    places: dict[Path, Place] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    rest = ""  # what an unfinished value (array, long string) waits for
    for number, line in enumerate(text.splitlines(), start=1):
        if rest:
            rest = _unfinished(line, rest)
            continue
        header = _HEADER.match(line)
        if header:
            table = _table_path(header, counts)
            column = line.index("[")
            places[table] = Place(line=number, text=line, key_column=column, key_length=header.end() - column)
            continue
        key = _KEY.match(line)
        if key:
            places[(*table, *_parts(key.group(1)))] = Place(
                line=number,
                text=line,
                key_column=key.start(1),
                key_length=key.end(1) - key.start(1),
                value_column=key.end(),
                value_length=_value_length(line[key.end() :]),
            )
            rest = _unfinished(line[key.end() :], "")
    return places


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _table_path(header: re.Match[str], counts: dict[Path, int]) -> Path:
    path: Path = ()
    names = _parts(header.group(2))
    for index, name in enumerate(names):
        path = (*path, name)
        if header.group(1) == "[[" and index == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _unfinished(text: str, state: str) -> str:
    """What an unfinished value still waits for after `text`: one bracket a level, or a long string's quotes."""
    index = 0
    while index < len(text):
        three, one = text[index : index + 3], text[index]
        if state.endswith(('"""', "'''")):
            if one == "\\" and state.endswith('"""'):
                index += 2
                continue
            if three == state[-3:]:
                state = state[:-3]
                index += 3
                continue
        elif three in {'"""', "'''"}:
            state += three
            index += 3
            continue
        elif one in "\"'":
            index = _end_of_string(text, index)
            continue
        elif one == "#":
            break
        elif one in "[{":
            state += one
        elif one in "]}":
            state = state[:-1]
        index += 1
    return state


def _end_of_string(text: str, start: int) -> int:
    quote = text[start]
    index = start + 1
    while index < len(text) and text[index] != quote:
        index += 2 if text[index] == "\\" and quote == '"' else 1
    return index + 1


def _value_length(text: str) -> int:
    """Length of a value that begins a text, without the comment after it."""
    index = 0
    while index < len(text) and text[index] != "#":
        index = _end_of_string(text, index) if text[index] in "\"'" else index + 1
    return len(text[:index].rstrip())

"""The place of every key, whatever strings, comments and brackets stand before it."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.problems import Place
from hedgegridd.toml_places import find_places

# (value as written, its text on the first line without the comment)
VALUES = [
    ("1", "1"),
    ("1.5   # x = 1", "1.5"),
    ('"a # b"  # c', '"a # b"'),
    ("'it \\'", "'it \\'"),  # a literal string: the backslash is itself
    ('"say \\"hi\\" ["', '"say \\"hi\\" ["'),
    ('"back\\\\"', '"back\\\\"'),
    ("[1, 2]", "[1, 2]"),
    ("[\n  1,\n  2,\n]", "["),
    ('[ # open ]\n "a]",\n [ "b" ],\n]', "["),
    ("[\n 'x[', # [\n]", "["),
    ('[{ a = "]" }, { b = [1] }]', '[{ a = "]" }, { b = [1] }]'),
    ('"""long"""', '"""long"""'),
    ('"""\nz = 1\n[t]\n"""', '"""'),
    ('"""a \\""" b = [\n"""', None),
    ("'''\nz = 1 \"\"\"\n'''", "'''"),
    ("'''a\\'''", None),
    ('"""one " two \\\\"""', None),
    ('["""\n]\n""", 1]', None),
    ("{ a = 1, b = { c = '}' } }", "{ a = 1, b = { c = '}' } }"),
    ('""', '""'),
    ("''   # '", "''"),
]


def document(values: list[tuple[str, str | None]]) -> tuple[str, list[int]]:
    lines, starts = [], []
    number = 1
    for index, (value, _) in enumerate(values):
        starts.append(number)
        lines.append(f"key_{index} = {value}")
        number += 1 + value.count("\n")
    return "\n".join(lines), starts


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=8))
def test_keys_are_found_behind_any_value(values: list[tuple[str, str | None]]) -> None:
    text, starts = document(values)
    assert list(tomllib.loads(text)) == [f"key_{index}" for index in range(len(values))]
    places = find_places(text)
    assert {path: place.line for path, place in places.items()} == {
        (f"key_{index}",): start for index, start in enumerate(starts)
    }
    for index, (_, shown) in enumerate(values):
        place = places[f"key_{index}",]
        assert place.text[place.key_column : place.key_column + place.key_length] == f"key_{index}"
        assert place.value_column is not None
        if shown is not None:
            assert place.text[place.value_column : place.value_column + place.value_length] == shown


def at(line: int, text: str, key: str, value: str | None = None) -> Place:
    column = None if value is None else text.index(value, text.index(key) + len(key))
    return Place(
        line=line,
        text=text,
        key_column=text.index(key),
        key_length=len(key),
        value_column=column,
        value_length=len(value or ""),
    )


def test_tables_arrays_of_tables_and_dotted_keys() -> None:
    lines = [
        "top = 1",
        "  [ a . b ]  # header",
        '  "x y" = 2',
        "[[grid]]",
        "one = 1",
        "[grid.sub]",
        "two.three = 2",
        "[[grid]]",
        "  [[grid.keys]]",
        "[[grid.keys]]",
        "four = 'x'  # y",
        "[grid.sub]",
        "five=[]",
    ]
    text = "\n".join(lines)
    tomllib.loads(text)
    assert find_places(text) == {
        ("top",): at(1, lines[0], "top", "1"),
        ("a", "b"): at(2, lines[1], "[ a . b ]"),
        ("a", "b", "x y"): at(3, lines[2], '"x y"', "2"),
        ("grid", 0): at(4, lines[3], "[[grid]]"),
        ("grid", 0, "one"): at(5, lines[4], "one", "1"),
        ("grid", 0, "sub"): at(6, lines[5], "[grid.sub]"),
        ("grid", 0, "sub", "two", "three"): at(7, lines[6], "two.three", "2"),
        ("grid", 1): at(8, lines[7], "[[grid]]"),
        ("grid", 1, "keys", 0): at(9, lines[8], "[[grid.keys]]"),
        ("grid", 1, "keys", 1): at(10, lines[9], "[[grid.keys]]"),
        ("grid", 1, "keys", 1, "four"): at(11, lines[10], "four", "'x'"),
        ("grid", 1, "sub"): at(12, lines[11], "[grid.sub]"),
        ("grid", 1, "sub", "five"): at(13, lines[12], "five", "[]"),
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing = 1", "# [table]"])
def test_there_may_be_nothing(text: str) -> None:
    assert find_places(text) == {}

"""Figures and errors in people's words."""

from decimal import Decimal as D  # noqa: N817  # many literals

import pytest

from hedgegridd.control.figures import counted, on_grid
from hedgegridd.control.wording import plain


@pytest.mark.parametrize(
    ("value", "grain", "shown"),
    [
        ("65049.95", "0.1", "65,050.0"),
        ("65050.00000000", "0.1", "65,050.0"),
        ("65050", "0.10", "65,050.0"),
        ("0.0344999", "0.001", "0.034"),
        ("12.3", "5", "10"),
        ("1234567", "100", "1,234,600"),
        ("-0.0340", "0.001", "-0.034"),
        ("64980.000000000000000", None, "64,980"),
        ("64980.123456789", None, "64,980.123"),
        ("0.034000", None, "0.034"),
        ("0", None, "0"),
        ("1000", None, "1,000"),
    ],
)
def test_a_figure_stands_on_its_grid(value: str, grain: str | None, shown: str) -> None:
    assert on_grid(D(value), None if grain is None else D(grain)) == shown


def test_one_is_not_many() -> None:
    assert [counted(n, "entry", "entries") for n in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("Expected `float` >= 0.1 - at `$.deadline_s`", "deadline_s", "`deadline_s` must be a number ≥ 0.1"),
        ("Expected `float` <= 300.0 - at `$.deadline_s`", "deadline_s", "`deadline_s` must be a number ≤ 300"),
        ("Expected `float`, got `str` - at `$.deadline_s`", "deadline_s", "`deadline_s` must be a number, not text"),
        ("Expected `str | null`, got `int` - at `$.instrument`", "instrument", "`instrument` must be text or nothing, not a whole number"),
        ("Expected `str` of length >= 1 - at `$.reason`", "reason", "`reason` must not be empty"),
        ("Expected `str` of length <= 500 - at `$.reason`", "reason", "`reason` must have at most 500 characters"),
        ("Invalid enum value 'up' - at `$.side`", "side", "`side` does not take 'up'"),
        ("Invalid decimal string - at `$.throttle`", "throttle", "`throttle` must be a number"),
        ("Expected `str` matching regex '^a(b)$' - at `$.action`", "action", "`action` does not have the form that the command's help names"),
        ("Object missing required field `side`", "side", "`side` is missing"),
        ("Object contains unknown field `x`", "x", "`x` is no field of it"),
        ("`throttle` must be a number from 0 to 1", None, "`throttle` must be a number from 0 to 1"),
    ],
)  # fmt: skip
def test_a_wrong_value_in_our_words(text: str, field: str | None, said: str) -> None:
    assert plain(text) == (field, said)

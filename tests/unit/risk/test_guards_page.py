"""The manual's page of guards names each guard with each of its keys, defaults and ranges."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from hedgegridd.config_load import expected, load_text
from hedgegridd.core.guard import GuardTable
from hedgegridd.guards import GUARDS
from hedgegridd.risk.settings import find_problems

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "manual" / "guards.md").read_text()
COMMON = {field.name: field for field in msgspec.structs.fields(GuardTable) if field.name != "type"}


def shown(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value:f}`" if isinstance(value, Decimal) else f"`{value}`"


def test_the_page_has_the_guards_there_are():
    named = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("### ")}
    assert named == set(GUARDS)


@pytest.mark.parametrize("name", COMMON)
def test_keys_of_every_guard(name):
    section = PAGE.split("## Keys of every guard")[1].split("\n### ")[0]
    assert f"| `{name}` | {shown(COMMON[name].default)} | " in section


@pytest.mark.parametrize("guard", GUARDS)
def test_keys_of_one_guard(guard):
    section = PAGE.split(f"\n### `{guard}`\n")[1].split("\n### ")[0]
    assert GUARDS[guard].help in section
    table = GUARDS[guard].table
    for field in msgspec.structs.fields(table)[1:]:  # `type` itself is first
        row = f"| `{field.name}` | {shown(getattr(table(type=guard), field.name))} | "
        if field.name not in COMMON:
            assert f"{row}{expected(field.type)} |" in section
        elif field.default != COMMON[field.name].default:
            assert row in section


def test_the_example_of_the_page_and_of_the_example_file_are_right():
    example = PAGE.split("```toml\n")[1].split("```")[0]
    assert list(find_problems(load_text(f"{example}\n[[grid]]\n", "page.toml"))) == []
    lines = (ROOT / "etc" / "hedgegridd.toml").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line == "# [[guard]]")
    wanted = []
    for line in lines[begin:]:
        if not line.startswith("#"):
            break
        wanted.append(line.removeprefix("#").strip())
    assert list(find_problems(load_text("\n".join([*wanted, "[[grid]]"]), "example.toml"))) == []

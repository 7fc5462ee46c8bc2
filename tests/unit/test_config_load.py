"""Every field of every table broken in turn gives an error that names table, field, file and line; secrets stay secret."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import config
from hedgegridd.config_load import expected, load, load_secret, load_text
from hedgegridd.errors import ConfigError
from hedgegridd.problems import Problem

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "etc" / "hedgegridd.toml"

TABLES: dict[str, type[config.Table]] = {
    "[daemon]": config.Daemon,
    "[venue]": config.Venue,
    "[[grid]]": config.Grid,
    "[grid.execution]": config.Execution,
    "[grid.funding]": config.Funding,
    "[grid.regime]": config.Regime,
    "[grid.position]": config.Position,
    "[grid.policy]": config.Policy,
    "[kill_switch]": config.KillSwitch,
    "[pretrade]": config.Pretrade,
    "[dead_man]": config.DeadMan,
    "[[pause]]": config.Pause,
    "[control]": config.Control,
    "[[control.keys]]": config.Key,
    "[metrics]": config.Metrics,
    "[kpi]": config.Kpi,
    "[alerts]": config.Alerts,
    "[[alert]]": config.AlertChannel,
    "[journal]": config.Journal,
    "[panic]": config.Panic,
    "[backup]": config.Backup,
}
PAUSE = {"name": '"news"', "duration_min": "30"}
KEY = {"name": '"desk"', "role": '"viewer"', "sha256": f'"{"a" * 64}"'}


def text_with(table: str, field: str, value: str) -> str:
    """A config whose only content is one field; its line is the last."""
    lines = ["[[grid]]"]
    if table != "[[grid]]":
        lines.append(table)
    required = {"[[control.keys]]": KEY, "[[pause]]": PAUSE, "[[alert]]": {"type": '"webhook"'}}.get(
        table, {}
    )
    lines += [f"{name} = {given}" for name, given in required.items() if name != field]
    return "\n".join([*lines, f"{field} = {value}"])


def bare(kind: object) -> tuple[object, dict[str, str]]:
    if type(None) in get_args(kind):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)
        return kind, meta.extra
    assert get_origin(kind) is not Union
    return kind, {}


def wrong_types(kind: object) -> Iterator[str]:
    """TOML values that a field must not take."""
    plain, _ = bare(kind)
    yield "1979-05-27"
    if get_origin(plain) is Literal:
        yield from ('"nonsense"', "1", "true", '""')
    elif get_origin(plain) is tuple:
        yield from ('"text"', "1", "true", "{}", "[1]", '[["text"]]')
    elif isinstance(plain, type) and issubclass(plain, config.Table):
        yield from ('"text"', "1", "true", "[]")
    elif plain is str:
        yield from ("1", "1.5", "true", '["text"]', "{}")
    elif plain is bool:
        yield from ('"true"', "1", "0", "[true]")
    elif plain is int:
        yield from ('"1"', "1.5", "1.0", "true", "[1]", "{}")
    else:
        assert plain is Decimal
        yield from ('"1"', "true", "nan", "inf", "-inf", "[1]", "{}")


def out_of_bounds(kind: object) -> Iterator[str]:
    plain, bounds = bare(kind)
    one = Decimal(1) if plain is int else Decimal("0.001")
    for name, limit in bounds.items():
        if name == "ge":
            yield f"{Decimal(limit) - one:f}"
        elif name == "gt":
            yield from (limit, f"{Decimal(limit) - one:f}")
        elif name == "le":
            yield f"{Decimal(limit) + one:f}"
        else:
            yield limit


def in_bounds(kind: object) -> Iterator[str]:
    """The bounds themselves, where they are allowed."""
    for name, limit in bare(kind)[1].items():
        if name in {"ge", "le"}:
            yield limit


FIELDS = [
    (table, field.name, field.type)
    for table, kind in TABLES.items()
    for field in msgspec.structs.fields(kind)
]
WRONG = [(t, f, v) for t, f, kind in FIELDS for v in [*wrong_types(kind), *out_of_bounds(kind)]]
RIGHT = [(t, f, v) for t, f, kind in FIELDS for v in in_bounds(kind)]


def only_problem(text: str) -> tuple[Problem, str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "grid.toml")
    problems = caught.value.problems
    assert len(problems) == 1, str(caught.value)
    problem = problems[0]
    assert isinstance(problem, Problem)
    return problem, str(caught.value)


def test_every_table_of_the_config_is_in_this_test() -> None:
    def tables(kind: object) -> Iterator[type]:
        plain, _ = bare(kind)
        for each in [plain, *get_args(plain)]:
            if isinstance(each, type) and issubclass(each, config.Table):
                yield each
                for field in msgspec.structs.fields(each):
                    yield from tables(field.type)

    assert set(tables(config.Config)) - {config.Config} == set(TABLES.values())


@pytest.mark.parametrize(("table", "field", "value"), WRONG)
def test_a_wrong_value_names_file_line_table_and_field(table: str, field: str, value: str) -> None:
    text = text_with(table, field, value)
    problem, shown = only_problem(text)
    assert problem.field == field or field in problem.path
    if isinstance(problem.path[-1], str) and problem.field == field:
        assert problem.table == table
    assert field in shown
    assert f"grid.toml:{len(text.splitlines())} " in shown
    assert "expected " in shown


@pytest.mark.parametrize(("table", "field", "value"), RIGHT)
def test_the_bounds_themselves_are_allowed(table: str, field: str, value: str) -> None:
    load_text(text_with(table, field, value), "grid.toml")


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_names_the_table_and_the_likely_one(table: str) -> None:
    first = msgspec.structs.fields(TABLES[table])[0].name
    problem, shown = only_problem(text_with(table, first[:-1] + "_x", "1"))
    assert problem.table == table
    assert f"unknown key `{first[:-1]}_x` in {table}" in shown
    assert "^^" in shown
    _, shown = only_problem(text_with(table, "zzzzzzzz", "1"))
    assert f"help: {table} knows " in shown


@pytest.mark.parametrize("field", list(KEY))
def test_a_missing_key_is_named_at_its_tables_header(field: str) -> None:
    lines = [f"{name} = {given}" for name, given in KEY.items() if name != field]
    problem, shown = only_problem("\n".join(["[[grid]]", "[[control.keys]]", *lines]))
    assert (problem.table, problem.field) == ("[[control.keys]]", field)
    assert "grid.toml:2 | [[control.keys]]" in shown


def test_the_sample_of_the_design() -> None:
    text = "# my grid\n[[grid]]\nstepbps = 50"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "grid.toml")
    assert str(caught.value).splitlines() == [
        "error: unknown key `stepbps` in [[grid]]",
        " grid.toml:3 | stepbps = 50",
        "             | ^^^^^^^ did you mean `step_bps`?",
        "1 error",
    ]


def test_all_mistakes_are_told_at_once_and_second_tables_are_numbered() -> None:
    text = """
[[grid]]
step_bps = 1
levels_long = true   # a comment with = and "quotes"
[grid.funding]
window_min = 481
[[grid]]
bar = "2m"
[grid.policy]
kind = "none"
[nonsense]
x = 1
[daemon]
timezone = "Mars/Base"
"""
    with pytest.raises(ConfigError) as caught:
        load_text(text, "two.toml")
    shown = str(caught.value)
    for line in (
        "`step_bps` in [[grid]] is out of bounds: 1",
        "two.toml:3",
        "`levels_long` in [[grid]] is true",
        "two.toml:4",
        "`window_min` in [grid.funding] is out of bounds: 481",
        "two.toml:6",
        "`bar` in [[grid]] number 2",
        "two.toml:8",
        "`kind` in [grid.policy] of [[grid]] number 2",
        "two.toml:10",
        "unknown table or key `nonsense`",
        "two.toml:11",
        "`timezone` in [daemon] is no time zone",
        "two.toml:14",
        "7 errors",
    ):
        assert line in shown
    assert "two.toml:4  | levels_long = true   # a comment" in shown
    assert "             |               ^^^^ expected an integer from 1 to 100" in shown


def test_lines_are_right_after_long_strings_and_arrays() -> None:
    text = '''
[control]
hosts = [
  "a",  # step_bps = 1
  "b [",
]
socket_group = """
[[grid]]
step_bps = 2
"""
http_host = 'x'  # "
socket = """/run \\""" [[grid]]
"""
[[grid]]
"step_bps" = 3
execution = { maker_only = 1 }
regime.adx_len = 1
'''
    with pytest.raises(ConfigError) as caught:
        load_text(text, "g.toml")
    shown = str(caught.value)
    assert 'g.toml:15 | "step_bps" = 3' in shown
    assert "g.toml:16 | execution = { maker_only = 1 }" in shown
    assert "g.toml:17 | regime.adx_len = 1" in shown
    assert "3 errors" in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "table [[grid]] is missing"),
        ("grid = []", "`[grid]` is empty"),
        ("[grid]", "expected [[grid]] tables"),
        ("daemon = 1\n[[grid]]", "[daemon] is the number 1, not a table"),
        ("x = ", "not TOML"),
        ("[[grid]\nx = 1", "t.toml:1"),
        ("[[grid]]\nstep_bps = 1\nstep_bps = 2", "t.toml:3"),
        ('[[grid]]\nx = """', "not TOML"),
    ],
)
def test_files_that_are_no_config(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match="error: ") as caught:
        load_text(text, "t.toml")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "1e9999999999999999999",
        "1" * 5000,
        "[" * 50_000,
        "{a=" * 3000,
        "1e-999999",
        "1e13",
        "1e-13",
        "9" * 4000,
    ],
    ids=lambda value: value[:8],
)
def test_numbers_and_nesting_that_no_config_has(value: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.toml"):
        load_text(f"[[grid]]\nbase_qty = {value}", "x.toml")


def test_numbers_are_exact() -> None:
    grid = load_text("[[grid]]\nbase_qty = 0.1\nqty_scale = 1.0500000000000000001", "x").grid[0]
    assert (grid.base_qty, grid.qty_scale) == (Decimal("0.1"), Decimal("1.0500000000000000001"))


# -------------------------------------------------------------------------------------------------------- the example


def test_the_example_is_the_defaults() -> None:
    required = config.Pretrade(
        max_order_notional_usdt=Decimal(2000),
        max_leg_notional_usdt=Decimal(12000),
        max_gross_notional_usdt=Decimal(24000),
    )
    assert load(EXAMPLE) == config.Config(grid=(config.Grid(),), pretrade=required)


@pytest.mark.parametrize(("table", "field", "kind"), FIELDS)
def test_the_example_has_every_key_with_its_range(table: str, field: str, kind: object) -> None:
    plain, _ = bare(kind)
    if any(isinstance(each, type) and issubclass(each, config.Table) for each in [plain, *get_args(plain)]):
        return  # a table of its own
    text = EXAMPLE.read_text()
    for commented in ("[[control.keys]]", "[[pause]]", "[[alert]]"):
        text = text.replace(f"\n# {commented}\n", f"\n{commented}\n")
    section = text.split(f"\n{table}\n")[1]
    lines = section.split("\n[")[0].splitlines()
    line = next(line for line in lines if line.removeprefix("# ").startswith(f"{field} = "))
    comment = line.split(" # ", 1)[1]
    words = expected(kind)
    assert words == "a string" or words in comment
    # The manual's page says the same.
    value = line.split(" = ", 1)[1].split(" # ")[0].strip()
    default = "—" if line.startswith("# ") or "required" in comment else f"`{value}`"
    page = (ROOT / "docs" / "manual" / "config.md").read_text().split(f"### `{table}`\n")[1]
    assert f"| `{field}` | {default} | {comment} |" in page.split("\n### ")[0]


# ------------------------------------------------------------------------------------------------------------ files


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nothing\.toml: No such file"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "bad.toml").write_bytes(b"[[grid]]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"bad.toml:2 is not UTF-8"):
        load(tmp_path / "bad.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="is larger than"):
        load(tmp_path / "large.toml")


def test_a_byte_order_mark_in_front_is_no_mistake(tmp_path: Path) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(
        '[venue]\naccount = "münchen"\n\n[[grid]]\ninstrument = "BTCUSDT-PERP"\n', encoding="utf-8"
    )
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes())
    assert load(marked) == load(plain)


@given(st.text(max_size=200))
def test_any_text_gives_a_config_or_a_config_error(text: str) -> None:
    try:
        load_text(text, "any.toml")
    except ConfigError as error:
        assert str(error)  # noqa: PT017  # both outcomes are right


@given(
    st.sampled_from([(table, field) for table, field, _ in FIELDS]),
    st.one_of(
        st.integers().map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.booleans().map(lambda value: str(value).lower()),
        st.text(alphabet="abcxyz019_-", max_size=20).map(lambda value: f'"{value}"'),
    ),
)
def test_any_value_of_any_field_gives_a_config_or_its_own_error(where: tuple[str, str], value: str) -> None:
    table, field = where
    try:
        load_text(text_with(table, field, value), "any.toml")
    except ConfigError as error:
        assert [problem.path for problem in error.problems if field not in problem.path] == []  # noqa: PT017


# ---------------------------------------------------------------------------------------------------------- secrets

SECRET = "Zx9" * 20


@pytest.mark.parametrize(
    "text",
    [
        f'[[grid]]\n[venue]\napi_key = "{SECRET}"',
        f'[[grid]]\n[venue]\napi_secret = "{SECRET}"',
        f'[[grid]]\n[venue]\napi_secret_value = "{SECRET}"',
        f'[[grid]]\n[venue]\napi_secret = ["{SECRET}"]',
        f'[[grid]]\n[venue]\nvenue_password = "{SECRET}"',
        f"[[grid]]\n[venue]\napi_key = {SECRET}",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "s.toml")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.problems)
    assert "s.toml:3" in str(caught.value)


def secret_file(path: Path, text: str = f"  {SECRET}\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_comes_from_the_first_place_that_has_it(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    env = {"HEDGEGRIDD_VENUE_API_KEY": "from-env"}
    assert load_secret("venue_api_key", env, None) == "from-env"
    env["HEDGEGRIDD_VENUE_API_KEY_FILE"] = str(secret_file(tmp_path / "key", "from-file"))
    assert load_secret("venue_api_key", env, credentials) == "from-file"
    secret_file(credentials / "venue_api_key", "from-systemd", 0o440)
    assert load_secret("venue_api_key", env, credentials) == "from-systemd"


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_private_file_is_read_without_its_blanks(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "key", mode=mode)
    assert load_secret("k", {"HEDGEGRIDD_K_FILE": str(path)}, None) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "key", mode=mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:04o}.*chmod 600") as caught:
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(path), "HEDGEGRIDD_K": "fallback"}, None)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_secret_is_none(tmp_path: Path, text: str) -> None:
    path = secret_file(tmp_path / "key", text)
    with pytest.raises(ConfigError, match="empty"):
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(path)}, None)
    with pytest.raises(ConfigError, match="HEDGEGRIDD_K_FILE, or in HEDGEGRIDD_K"):
        load_secret("k", {"HEDGEGRIDD_K": text}, None)


def test_what_is_missing_unreadable_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(tmp_path / "nothing")}, None)
    with pytest.raises(ConfigError, match=r"cannot read|mode"):
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(tmp_path)}, None)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(binary)}, None)
    large = secret_file(tmp_path / "large", "x" * 70_000)
    with pytest.raises(ConfigError, match="larger"):
        load_secret("k", {"HEDGEGRIDD_K_FILE": str(large)}, None)


@pytest.mark.parametrize("name", ["../etc/passwd", "A", "", "a b", SECRET])
def test_a_credentials_name_is_no_path_and_no_value(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="credential's name") as caught:
        load_secret(name, {}, tmp_path)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("[[grid]]\nstep_bps = 5 5\n", "step_bps = 5 5", 13),
        ("[[grid]\n", "[[grid]", 6),
        ('[[grid]]\nbar = "1m', 'bar = "1m', 9),
        ("[venue]\napi_key = abc\n", "api_key =(not shown)", 10),
    ],
)
def test_a_syntax_error_points_at_its_place(text: str, line: str, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "grid.toml")
    told, where, caret, count = str(caught.value).splitlines()
    assert told.startswith("error: not TOML: ")
    assert where == f" grid.toml:{len(text.splitlines())} | {line}"
    assert caret == " " * len(" grid.toml:1") + " | " + " " * column + "^"
    assert count == "1 error"


def test_the_largest_number_and_the_longest_shown_string() -> None:
    assert load_text("[[grid]]\nbase_qty = 9e12", "x").grid[0].base_qty == Decimal("9e12")
    _, shown = only_problem(f'[[grid]]\nbar = "{"b" * 40}"')
    assert f'is the string "{"b" * 40}"' in shown
    _, shown = only_problem(f'[[grid]]\nbar = "{"b" * 41}"')
    assert "is a string of 41 characters" in shown


def test_the_item_of_an_array_is_told() -> None:
    _, shown = only_problem('[[grid]]\n[control]\nhosts = ["a", 3]')
    assert "item 2 of `hosts` in [control] is the number 3" in shown

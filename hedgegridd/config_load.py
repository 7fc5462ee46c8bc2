"""Reads a config file into its Structs, collecting every mistake with its file, line, table and field.

Also fetches secrets, which are never in the file: systemd credentials, a private file, or the environment.
"""

import difflib
import itertools
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from hedgegridd.config import AlertChannel, Config, Grid, Key, Pause, Table
from hedgegridd.errors import ConfigError
from hedgegridd.problems import Path, Place, Problem, render_all, table_name
from hedgegridd.toml_places import find_places

_MAX_FILE_BYTES = 1 << 20
_MAX_SECRET_BYTES = 1 << 16
_DIGITS_MAX = (
    12  # fields without an upper bound take no number that arithmetic with 28 digits could not carry
)
RAW_TABLE = dict[str, object]
_ARRAYS: dict[object, str] = {Grid: "grid", Key: "control.keys", Pause: "pause", AlertChannel: "alert"}
_AT_LINE = re.compile(r"^line (?P<line>\d+), column (?P<column>\d+)\)$")
_CREDENTIAL = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A config with the places of its keys, so that later findings can name lines."""

    config: Config
    name: str
    places: dict[Path, Place]


def load(path: FilePath | str) -> Config:
    """The config of a file.

    Raises:
        ConfigError: the file cannot be read, or has mistakes; the text names each with line, table and field.
    """
    return load_file(path).config


def load_file(path: FilePath | str) -> Loaded:
    """As `load`, with the places of the keys."""
    path = FilePath(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"error: cannot read {path}: {error.strerror or error}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"error: {path} is larger than {_MAX_FILE_BYTES} bytes: no config file")
    try:
        text = data.decode("utf-8-sig")  # editors of some systems put a byte-order mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"error: {path.name}:{line} is not UTF-8 text") from error
    return load_places(text, path.name)


def load_text(text: str, name: str) -> Config:
    """The config of a text; `name` is how errors call the file.

    Raises:
        ConfigError: as for `load`.
    """
    return load_places(text, name).config


def load_places(text: str, name: str) -> Loaded:
    """As `load_text`, with the places of the keys."""
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(text, name, str(error))) from error
    except (ValueError, ArithmeticError, RecursionError) as error:  # numbers and nesting that no config has
        raise ConfigError(
            f"error: not a config: a number is too long or values are nested too deep\n {name}"
        ) from error
    places = find_places(text)
    problems = tuple(find_mistakes(raw))
    if problems:
        raise ConfigError(render_all(problems, name, places), problems)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:  # a rule that only the Structs know
        raise ConfigError(f"error: {error}\n {name}") from error
    return Loaded(config=config, name=name, places=places)


def _syntax_error(text: str, name: str, message: str) -> str:
    what, _, where = message.rpartition(" (at ")
    lines = text.rstrip().splitlines() or [""]
    number, column = len(lines), len(lines[-1]) + 1  # "end of document"
    match = _AT_LINE.match(where)
    if match is not None and int(match["line"]) <= len(lines):
        number, column = int(match["line"]), int(match["column"])
    line = lines[number - 1]
    before_value = (
        line.index("=") + 1 if "=" in line else None
    )  # a line with a secret must not be shown in full
    place = Place(
        line=number, text=line, key_column=max(0, column - 1), key_length=1, value_column=before_value
    )
    problem = Problem(path=("toml",), text=f"not TOML: {what or message}", at="key")
    return render_all((problem,), name, {("toml",): place})


# ------------------------------------------------------------------------------------------------------- mistakes


def find_mistakes(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Every unknown key, missing key, wrong type and value out of bounds of a parsed file."""
    yield from mistakes_in_table(Config, raw, ())
    daemon = raw.get("daemon")
    zone = daemon.get("timezone") if isinstance(daemon, dict) else None
    if isinstance(zone, str) and not _is_time_zone(zone):
        yield Problem(
            path=("daemon", "timezone"),
            text=f'`timezone` in [daemon] is no time zone of this machine: "{zone}"',
            note="a name such as UTC or Europe/Berlin",
        )
    for table, name in itertools.product(("venue", "panic"), ("api_key", "api_secret")):
        fields = raw.get(table)
        credential = fields.get(name) if isinstance(fields, dict) else None
        if isinstance(credential, str) and not _CREDENTIAL.match(credential):
            yield Problem(
                path=(table, name),
                text=f"`{name}` in [{table}] is no name of a credential",
                note="lower-case letters, digits and _, at most 40",
                help="the file has the credential's name; its value comes from systemd, a private file or the environment",
            )


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@cache
def _fields(kind: type[Table]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a table by name: reading the annotations anew costs more than all the checks."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


def mistakes_in_table(kind: type[Table], raw: Mapping[str, object], path: Path) -> Iterator[Problem]:
    """Every mistake of one table against its Struct."""
    fields = _fields(kind)
    for key in raw:
        if key not in fields:
            yield _unknown(key, (*path, key), tuple(fields))
    for name, field in fields.items():
        here = (*path, name)
        if name in raw:
            yield from _in_value(field.type, raw[name], here)
        elif field.required:
            if _struct_of_array(field.type) is not None:
                yield Problem(path=here, text=f"table [[{name}]] is missing", help=f"add a [[{name}]] table")
            else:
                yield Problem(
                    path=here,
                    text=f"`{name}` is missing in {table_name(path)}",
                    help=f"add {name} = {expected(field.type)}",
                )


def _unknown(key: str, path: Path, known: tuple[str, ...]) -> Problem:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    where = table_name(path[:-1])
    return Problem(
        path=path,
        text=f"unknown key `{key}` in {where}" if path[:-1] else f"unknown table or key `{key}`",
        note=f"did you mean `{close[0]}`?" if close else "",
        help="" if close else f"{where} knows {', '.join(known)}",
        at="key",
    )


def _in_value(kind: object, value: object, path: Path) -> Iterator[Problem]:
    kind, bounds = _bare(kind)
    table = table_name(path[:-1])
    name = f"`{path[-1]}` in {table}" if path[:-1] and isinstance(path[-1], str) else f"`{table_name(path)}`"
    wrong = Problem(path=path, text=f"{name} has a wrong value", note=f"expected {_words(kind, bounds)}")
    element = _element(kind)
    if element is not None:
        if not isinstance(value, list):
            yield msgspec.structs.replace(wrong, text=f"{name} is {_told(value)}")
            return
        for index, item in enumerate(value):
            if element == RAW_TABLE:
                yield from _in_raw_table(item, (*path, index))
            elif isinstance(element, type) and issubclass(element, Table):
                yield from _in_value(element, item, (*path, index))
            elif not _fits(element, item):
                yield msgspec.structs.replace(wrong, text=f"item {index + 1} of {name} is {_told(item)}")
        if not value and isinstance(element, type) and issubclass(element, Grid):
            yield msgspec.structs.replace(wrong, text=f"{name} is empty", note="at least one [[grid]] table")
    elif isinstance(kind, type) and issubclass(kind, Table):
        if isinstance(value, dict):
            yield from mistakes_in_table(kind, value, path)
        else:
            yield msgspec.structs.replace(wrong, text=f"{table_name(path)} is {_told(value)}, not a table")
    elif not _fits(kind, value):
        yield msgspec.structs.replace(wrong, text=f"{name} is {_told(value)}")
    elif isinstance(value, int | Decimal) and abs(Decimal(value).adjusted()) > _DIGITS_MAX:
        told = f"{name} has more than {_DIGITS_MAX} digits before or after the point"
        yield msgspec.structs.replace(wrong, text=told)
    elif isinstance(value, int | Decimal) and not _within(Decimal(value), bounds):
        yield msgspec.structs.replace(wrong, text=f"{name} is out of bounds: {value}")


def _in_raw_table(value: object, path: Path) -> Iterator[Problem]:
    """A `[[guard]]` table: its type decides what else it may hold (risk/settings.py)."""
    if not isinstance(value, dict):
        yield Problem(path=path, text=f"{table_name(path)} is {_told(value)}, not a table")
    elif "type" not in value:
        yield Problem(
            path=(*path, "type"), text=f"`type` is missing in {table_name(path)}", help='add type = "..."'
        )
    elif not isinstance(value["type"], str):
        yield Problem(
            path=(*path, "type"),
            text=f"`type` in {table_name(path)} is {_told(value['type'])}",
            note="expected a string",
        )


def _bare(kind: object) -> tuple[Any, dict[str, str]]:
    """A field's type without `None` and `Annotated`, and its bounds."""
    if get_origin(kind) in {Union, UnionType}:
        kind = next(each for each in get_args(kind) if each is not type(None))
    bounds: dict[str, str] = {}
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        for meta in metas:
            bounds |= getattr(meta, "extra", None) or {}
    return kind, bounds


def _element(kind: object) -> object | None:
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _struct_of_array(kind: object) -> type[Table] | None:
    element = _element(_bare(kind)[0])
    return element if isinstance(element, type) and issubclass(element, Table) else None


def _fits(kind: object, value: object) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is bool or kind is str:
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return (
        kind is Decimal
        and isinstance(value, int | Decimal)
        and not isinstance(value, bool)
        and Decimal(value).is_finite()
    )


def _within(value: Decimal, bounds: Mapping[str, str]) -> bool:
    return all(
        {
            "ge": value >= Decimal(limit),
            "gt": value > Decimal(limit),
            "le": value <= Decimal(limit),
            "lt": value < Decimal(limit),
        }[name]
        for name, limit in bounds.items()
    )


def expected(kind: object) -> str:
    """What a field takes, in words: `an integer from 5 to 3600`, `one of "keep", "flatten"`."""
    return _words(*_bare(kind))


def _words(kind: object, bounds: Mapping[str, str]) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    element = _element(kind)
    if element is not None:
        name = "guard" if element == RAW_TABLE else _ARRAYS.get(element)
        return f"[[{name}]] tables" if name else "an array of strings"
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a string"
    words = "an integer" if kind is int else "a number"
    if "ge" in bounds and "le" in bounds:
        return f"{words} from {bounds['ge']} to {bounds['le']}"
    parts = {"ge": "at least", "gt": "above", "le": "up to", "lt": "below"}
    return " ".join([words, *(f"{parts[name]} {limit}" for name, limit in bounds.items())])


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the string "{value}"' if len(value) <= 40 else f"a string of {len(value)} characters"
    if isinstance(value, int | Decimal):
        return f"the number {value}"
    if isinstance(value, dict):
        return "a table"
    return "an array" if isinstance(value, list) else "a date or time"


# -------------------------------------------------------------------------------------------------------- secrets


def load_secret(name: str, env: Mapping[str, str], credentials_dir: FilePath | str | None) -> str:
    """The value of a credential: `credentials_dir/name`, the file `HEDGEGRIDD_<NAME>_FILE`, or `HEDGEGRIDD_<NAME>`.

    The first of the three that is there counts. A file must be the owner's alone (mode 0600 or stricter); systemd
    guards its credentials itself. Blanks around the value are cut off. The value is in no message.

    Raises:
        ConfigError: no such credential, a file that others may read, an empty or unreadable one.
    """
    if not _CREDENTIAL.match(name):
        raise ConfigError(
            "a credential's name is lower-case letters, digits and _; a value must not stand in its place"
        )
    variable = f"HEDGEGRIDD_{name.upper()}"
    if credentials_dir is not None:
        path = FilePath(credentials_dir) / name
        if path.exists():
            return _secret_text(path, name, private=False)
    if f"{variable}_FILE" in env:
        return _secret_text(FilePath(env[f"{variable}_FILE"]), name, private=True)
    value = env.get(variable, "").strip()
    if value:
        return value
    raise ConfigError(
        f"credential {name} is missing: give it by systemd's LoadCredential={name}:..., "
        f"as a file of mode 0600 named by {variable}_FILE, or in {variable}"
    )


def _secret_text(path: FilePath, name: str, *, private: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of what was opened, not of what the name points to now
            if private and (not stat.S_ISREG(mode) or mode & 0o077):
                raise ConfigError(
                    f"credential {name}: {path} has mode {stat.S_IMODE(mode):04o}, others may use it; chmod 600 {path}"
                )
            data = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"credential {name}: cannot read {path}: {error.strerror or error}") from error
    try:
        value = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"credential {name}: {path} is not UTF-8 text") from None
    if not value or len(data) > _MAX_SECRET_BYTES:
        raise ConfigError(f"credential {name}: {path} is empty or larger than {_MAX_SECRET_BYTES} bytes")
    return value

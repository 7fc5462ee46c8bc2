"""The command line, made from the operations' fields: one command per operation, one argument or option per field."""

import argparse
import types
import typing
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import msgspec

from hedgegridd.control.operation import Operation, Registry, summary

DEFAULT_SOCKET = "/run/hedgegridd/control.sock"


def build(registry: Registry, argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `hedgegridctl`; `operation` in its result is the chosen operation, absent for local commands.

    Where `argv` names an operation it has that command alone: to make all of them takes a fifth of the start.
    """
    only = _named(registry, argv)
    common = argparse.ArgumentParser(add_help=False)
    _common(common, suppress=True)
    parser = argparse.ArgumentParser(
        prog="hedgegridctl",
        description="Steer a running hedgegridd.",
        epilog="exit codes: 0 done, 1 refused or failed, 2 usage, 3 no daemon, 4 deadline passed and the work goes on, "
        "5 ended without verification",
    )
    _common(parser, suppress=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for verb, kind in registry.verbs.items() if only is None else [(only, registry.verbs[only])]:
        sub = commands.add_parser(
            verb,
            help=summary(kind),
            description=kind.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )
        sub.set_defaults(operation=kind)
        for item in msgspec.structs.fields(kind):
            _add(sub, kind, item)
        if kind.drill:
            _drill(sub)
    if only is None:
        from hedgegridd.ctl import (  # noqa: PLC0415  # paths are slow to import, and no operation needs them
            journal_arguments,
            local_arguments,
        )

        local_arguments.add(commands, common)
        journal_arguments.add(commands, common)
    return parser


def _named(registry: Registry, argv: Sequence[str]) -> str | None:
    """The operation that the first word behind the general options names; None: none, or not plain to see."""
    rest = iter(argv)
    for word in rest:
        if word == "--socket":
            next(rest, None)
        elif not word.startswith("-"):
            return word if word in registry.verbs else None
        elif word not in ("--json", "--yes") and not word.startswith("--socket="):
            return None
    return None


def _common(parser: argparse.ArgumentParser, *, suppress: bool) -> None:
    """The options that stand before or after the command (after it, they must not undo what stood before)."""
    group = parser.add_argument_group("general")
    hidden = argparse.SUPPRESS
    group.add_argument(
        "--socket",
        metavar="PATH",
        default=hidden if suppress else None,
        help=f"control socket (default: $HEDGEGRIDD_SOCKET or {DEFAULT_SOCKET})",
    )
    group.add_argument(
        "--json", action="store_true", default=hidden if suppress else False, help="the answer as JSON"
    )
    group.add_argument(
        "--yes",
        action="store_true",
        default=hidden if suppress else False,
        help="do not ask for confirmation",
    )


def _drill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drill", action="store_true", help="play it against a paper copy of the account; nothing is sent"
    )
    parser.add_argument(
        "--latency-ms",
        type=int,
        default=0,
        metavar="MS",
        help="of the paper venue, each way (default 0: what this machine needs by itself)",
    )


def _add(parser: argparse.ArgumentParser, kind: type[Operation], item: msgspec.structs.FieldInfo) -> None:
    base, choices, text = _unwrap(item.type)
    options: dict[str, Any] = {"help": text}
    if base is not bool:
        options["type"] = _reader(base)
        if choices:
            options["choices"] = choices
    else:
        options["type"] = _truth
        options["metavar"] = "true|false"
    if item.name in kind.positional:
        if not item.required or kind.drill:
            options["nargs"] = "?"
        # None: argparse would hold its own word for "left out" against the choices.
        parser.add_argument(item.name, default=None, **options)
        return
    flag = "--" + item.name.replace("_", "-")
    parser.add_argument(flag, dest=item.name, required=item.required, default=argparse.SUPPRESS, **options)


def _unwrap(kind: Any) -> tuple[Any, tuple[str, ...], str]:
    """Base type, choices and description of a field's annotation."""
    text = ""
    choices: tuple[str, ...] = ()
    while True:
        origin = typing.get_origin(kind)
        if origin is typing.Annotated:
            for meta in kind.__metadata__:
                text = getattr(meta, "description", None) or text
            kind = kind.__origin__
        elif origin in (typing.Union, types.UnionType):
            kind = next(item for item in typing.get_args(kind) if item is not type(None))
        elif origin is typing.Literal:
            return str, tuple(typing.get_args(kind)), text
        elif isinstance(kind, type) and issubclass(kind, Enum):
            return str, tuple(str(item.value) for item in kind), text
        else:
            return kind, choices, text


def _reader(base: Any) -> Any:
    if typing.get_origin(base) is dict:
        return _pairs
    return {Decimal: _decimal, int: int, float: float}.get(base, str)


def _pairs(text: str) -> dict[str, str]:
    """`NAME=NUMBER,NAME=NUMBER`."""
    pairs = [part.partition("=") for part in text.split(",")]
    found = {name.strip(): _decimal(number.strip()) for name, _, number in pairs}
    if len(found) != len(pairs) or not all(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER,NAME=NUMBER with each name once")
    return found


def _decimal(text: str) -> str:
    """A number as text, so that it stays exact on its way."""
    try:
        Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    return text


def _truth(text: str) -> bool:
    words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
    try:
        return words[text.lower()]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from error


def fields_of(kind: type[Operation], parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields that were given on the command line."""
    given = vars(parsed)
    return {name: given[name] for name in kind.__struct_fields__ if given.get(name) is not None}

"""The commands as the parser has them, for what is made from it: tab completion and the manual page."""

import argparse
from pathlib import Path
from typing import NamedTuple

from hedgegridd.control.operation import Registry
from hedgegridd.ctl import arguments, panic

EXAMPLE = "Example: "


class Option(NamedTuple):
    """An option; `value` is what stands for its value, "" when it takes none."""

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    is_path: bool


class Positional(NamedTuple):
    """An argument by its place."""

    name: str
    choices: tuple[str, ...]
    help: str
    needed: bool
    is_path: bool


class Command(NamedTuple):
    """A command: `path` is () for hedgegridctl itself; `example` "" where it has none of its own."""

    path: tuple[str, ...]
    help: str
    text: str
    example: str
    options: tuple[Option, ...]
    positionals: tuple[Positional, ...]
    children: tuple["Command", ...]

    def all(self) -> "list[Command]":
        """This command and all below it, each before its own."""
        return [self, *(found for child in self.children for found in child.all())]


def commands(registry: Registry) -> Command:
    """All commands of hedgegridctl, itself first."""
    return _command((), "Steer a running hedgegridd.", arguments.build(registry))


def _command(path: tuple[str, ...], summary: str, parser: argparse.ArgumentParser) -> Command:
    text, _, line = (parser.description or "").partition(EXAMPLE)
    options: list[Option] = []
    positionals: list[Positional] = []
    children: list[Command] = []
    for action in parser._actions:  # noqa: SLF001  # argparse has no public way to read what was added
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            children += [
                _child((*path, item.dest), item.help or "", action.choices[item.dest])
                for item in action._choices_actions  # noqa: SLF001  # as above
            ]
        elif action.option_strings:
            options.append(_option(action))
        else:
            positionals.append(_positional(action))
    return Command(
        path, summary, text.strip(), line.strip(), tuple(options), tuple(positionals), tuple(children)
    )


def _child(path: tuple[str, ...], summary: str, parser: argparse.ArgumentParser) -> Command:
    return _command(path, summary, panic.parser() if path == ("panic",) else parser)


def _option(action: argparse.Action) -> Option:
    takes = action.nargs != 0
    choices = tuple(map(str, action.choices or ()))
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if takes and name == "true|false":
        choices = ("true", "false")
    return Option(
        tuple(action.option_strings),
        ("|".join(choices) or name) if takes else "",
        choices,
        _words(action),
        action.type is Path or name in ("FILE", "DIR", "PATH"),
    )


def _positional(action: argparse.Action) -> Positional:
    choices = tuple(map(str, action.choices or ()))
    return Positional(action.dest, choices, _words(action), action.nargs != "?", action.type is Path)


def _words(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")

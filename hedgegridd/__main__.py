"""`hedgegridd`: argv -> program -> exit code."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

PROGRAMS = {
    "run": ("hedgegridd.run", "the daemon: run -c FILE"),
    "demo": ("hedgegridd.demo", "daemon, paper exchange and a synthetic market in one command"),
    "check": ("hedgegridd.check", "validate a config and say what it means: check -c FILE"),
    "exchange": ("hedgegridd.exchange.main", "the paper exchange alone"),
}


def usage() -> str:
    """What can be run."""
    lines = [f"  {name:<10}{text}" for name, (_, text) in PROGRAMS.items()]
    return "\n".join(
        ["usage: hedgegridd PROGRAM [options]", "", *lines, "", "`hedgegridd PROGRAM --help` says more."]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one program; its exit code. 2: no such program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from hedgegridd import __version__  # noqa: PLC0415  # each program imports only what it needs

        print(f"hedgegridd {__version__}")
        return 0
    if arguments[0] not in PROGRAMS:
        print(f"hedgegridd: no program {arguments[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    program: Callable[[Sequence[str]], int] = import_module(PROGRAMS[arguments[0]][0]).main
    return program(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())

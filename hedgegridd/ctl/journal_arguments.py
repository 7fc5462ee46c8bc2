"""The arguments of `hedgegridctl journal`, apart from the command: they are made at every start of hedgegridctl."""

import argparse
from pathlib import Path
from typing import Any

from hedgegridd.ctl.local_arguments import example

DEFAULT_STATE = "/var/lib/hedgegridd"
STEPS = 60


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """The command and its actions."""
    journal = commands.add_parser(
        "journal",
        help="Read the journal: tail, show, explain, verify, export, replay.",
        parents=[common],
        **example(
            "Reads the state folder itself: no daemon is needed, and a running one is not disturbed.",
            "hedgegridctl journal tail --follow",
        ),
    )
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"state folder (default: $HEDGEGRIDD_STATE or {DEFAULT_STATE})",
    )
    where.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="take the state folder from this config"
    )
    actions = journal.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, rest: str = "") -> argparse.ArgumentParser:
        line = f"hedgegridctl journal {name} {rest}".rstrip()
        made: argparse.ArgumentParser = actions.add_parser(
            name, help=text, parents=[common, where], **example(text, line)
        )
        return made

    tail = action("tail", "Show the newest records; --follow goes on as they are written.", "-n 50 --quiet")
    tail.add_argument(
        "-n", type=_count, default=20, metavar="N", help="how many (default 20, at most 100000)"
    )
    tail.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    tail.add_argument(
        "--quiet", action="store_true", help="leave out timers, marks and readings of the venue"
    )
    shown = action("show", "Show what an id names in full, one record for each consumer.", "T-17")
    shown.add_argument(
        "id", help="T-17, F-17, #17 (sequence), @17 (position), a client order id, a hold's key"
    )
    told = action("explain", "Tell what led to an id and everything it caused, with times.", "T-17")
    told.add_argument("id", help="as for show")
    told.add_argument("--all", action="store_true", help=f"every step (default: the first {STEPS})")
    action(
        "verify",
        "Check chain, sequence and tail of every segment, compressed ones included; changes nothing.",
    )
    export = action("export", "Write the records as CSV.", "--csv journal.csv")
    export.add_argument("--csv", required=True, metavar="FILE", help="where to; - is the standard output")
    export.add_argument(
        "--from", dest="first", type=_count, default=1, metavar="POSITION", help="first record"
    )
    export.add_argument(
        "--to", dest="last", type=_count, default=None, metavar="POSITION", help="last record"
    )
    again = action(
        "replay",
        "Feed the records to the machines again and compare what they return, bit for bit.",
        "--from 1000",
    )
    again.add_argument(
        "--from", dest="first", type=_count, default=1, metavar="POSITION",
        help="begin at the newest known state at or before this position (default: at the oldest)",
    )  # fmt: skip
    again.add_argument("--to", dest="last", type=_count, default=None, metavar="POSITION", help="last record")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**15:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)

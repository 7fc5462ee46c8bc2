"""Commands that are no operation: keys, panic, restore, top, doctor, ops, completion, man; made at every start."""

import argparse
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")
DEFAULT_CONFIG = "/etc/hedgegridd/hedgegridd.toml"
SNAPSHOTS = "artifacts/ops"


def example(text: str, line: str) -> dict[str, Any]:
    """Description and formatter of a command whose help ends with an example."""
    return {
        "description": f"{text}\n\nExample: {line}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """All of them."""
    _key(commands, common)
    # Shown in the list only: `entry` takes it, since all that is imported here takes time it has not.
    commands.add_parser(
        "panic",
        help="Flatten past a daemon that hangs or is dead: own process, own connection.",
        add_help=False,
    )
    restore = commands.add_parser(
        "restore",
        help="Unpack a backup into an empty folder and check it.",
        parents=[common],
        **example(
            "Needs no daemon. The folder gets an epoch of its own: order ids stay unique.",
            "hedgegridctl restore /srv/backup/hedgegridd.tar.gz /var/lib/hedgegridd-restored",
        ),
    )
    restore.add_argument("archive", type=Path, help="the file that `hedgegridctl backup` wrote")
    restore.add_argument("folder", type=Path, help="an empty folder, or one that is not there yet")
    _top(commands, common)
    _doctor(commands, common)
    _ops(commands, common)
    completion = commands.add_parser(
        "completion",
        help="Print the tab completion of a shell.",
        parents=[common],
        **example(
            "Made from the commands themselves. docs/manual/hedgegridctl.md says where each shell looks for it.",
            "hedgegridctl completion bash",
        ),
    )
    completion.add_argument("shell", choices=SHELLS, help="which shell")
    commands.add_parser(
        "man",
        help="Print the manual page hedgegridctl(1).",
        parents=[common],
        **example("In roff, made from the commands themselves.", "hedgegridctl man"),
    )


def _key(commands: Any, common: argparse.ArgumentParser) -> None:
    key = commands.add_parser(
        "key",
        help="Make an API key.",
        parents=[common],
        **example("Needs no daemon.", "hedgegridctl key new desk --role operator"),
    )
    actions = key.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="Make one, show it once and print the lines for the config.",
        parents=[common],
        **example("The key itself is stored nowhere.", "hedgegridctl key new desk --role operator"),
    )
    new.add_argument("name", help="whose key it is; kept in the journal with every command")
    new.add_argument(
        "--role", choices=("viewer", "operator", "admin"), default="viewer", help="what it may do"
    )


def _top(commands: Any, common: argparse.ArgumentParser) -> None:
    top = commands.add_parser(
        "top",
        help="A live screen of what the daemon does.",
        parents=[common],
        **example(
            "Keys: p pause, F flatten (typed), x explain what holds it, Tab instrument, ? help, q quit.",
            "hedgegridctl top --interval 2",
        ),
    )
    top.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds between two looks, 0.2 to 60 (default 1)",
    )


def _doctor(commands: Any, common: argparse.ArgumentParser) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="Check what must be right before money is at risk, one line each with its remedy.",
        parents=[common],
        **example(
            "Changes nothing; --send sends test alerts. Exit 0: nothing is wrong, 1: something is, 3: no daemon answers (the rest is checked).",
            "hedgegridctl doctor -c /etc/hedgegridd/hedgegridd.toml",
        ),
    )
    doctor.add_argument(
        "-c",
        "--config",
        type=Path,
        default=None,
        metavar="FILE",
        help=f"the daemon's config (default: $HEDGEGRIDD_CONFIG or {DEFAULT_CONFIG})",
    )
    doctor.add_argument(
        "--credentials",
        type=Path,
        metavar="DIR",
        help="folder with the venue's credentials, a file each (default: $CREDENTIALS_DIRECTORY)",
    )
    doctor.add_argument(
        "--prometheus", metavar="URL", help="address of Prometheus, such as http://127.0.0.1:9091"
    )
    doctor.add_argument("--send", action="store_true", help="send a test alert through every channel")
    doctor.add_argument("--backups", type=Path, metavar="DIR", help="folder into which backups are written")


def _ops(commands: Any, common: argparse.ArgumentParser) -> None:
    ops = commands.add_parser(
        "ops",
        help="Tables for operations: KPIs, guards, switches.",
        parents=[common],
        **example("`status` is the only one so far.", "hedgegridctl ops status"),
    )
    actions = ops.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser(
        "status",
        help="Show KPIs, guards and switches; --csv writes them as well.",
        parents=[common],
        **example(
            "CSV: DIR/status_snapshot_<UTC>.csv and status_snapshot.csv (the newest), mode 0600, kept 30 days.",
            f"hedgegridctl ops status --csv {SNAPSHOTS}",
        ),
    )
    status.add_argument("--csv", type=Path, metavar="DIR", help="write a snapshot into this folder")

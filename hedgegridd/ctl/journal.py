"""`hedgegridctl journal …`: reads the journal of a state folder, with or without a daemon."""

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from hedgegridd.config_load import load
from hedgegridd.ctl.client import Client
from hedgegridd.ctl.journal_arguments import DEFAULT_STATE, STEPS
from hedgegridd.ctl.tables_history import record_line
from hedgegridd.errors import HedgegridError
from hedgegridd.journal import causes, story
from hedgegridd.journal.reader import Verdict, Walk, segments, verify
from hedgegridd.journal.scan import Follower, Line, last, scan
from hedgegridd.journal.words import clock, day, words

DONE, WRONG, NO_FOLDER = 0, 1, 3
FOLLOW_S = 0.2
FOLLOW_BATCH = 1_000
COLUMNS = ("position", "time", "seq", "cause", "actor", "to", "type", "words", "message")
_QUIET = frozenset({"Woke", "MarkPrice", "WatchPrices", "ReadTruth", "StateKept", "RiskFigures"})


def run(parsed: argparse.Namespace, socket: str) -> int:
    """One action; the exit code."""
    try:
        folder = state_folder(parsed) / "journal"
        if not _readable(folder):
            if parsed.action == "tail" and not parsed.follow:
                return _tail_by_socket(parsed, socket)
            print(f"no journal to read in {folder}: name the state folder by --state or -c", file=sys.stderr)
            return NO_FOLDER
        return _ACTIONS[parsed.action](folder, parsed)
    except (HedgegridError, OSError) as error:
        print(f"hedgegridctl journal {parsed.action}: {error}", file=sys.stderr)
        return WRONG


def state_folder(parsed: argparse.Namespace) -> Path:
    """The state folder that the arguments or the environment name.

    Raises:
        ConfigError: the config file that should name it is wrong.
    """
    if parsed.state is not None:
        return Path(parsed.state)
    if parsed.config is not None:
        return Path(load(parsed.config).daemon.state_dir)
    return Path(os.environ.get("HEDGEGRIDD_STATE") or DEFAULT_STATE)


def _readable(folder: Path) -> bool:
    try:
        return bool(segments(folder)) if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) else False
    except PermissionError:
        return False


# --------------------------------------------------------------------------------------------------------------- tail


def _tail(folder: Path, parsed: argparse.Namespace) -> int:
    newest = last(folder, parsed.n) if not parsed.quiet else _last_loud(folder, parsed.n)
    _print_lines(newest, as_json=parsed.json)
    if not parsed.follow:
        return DONE
    follower = Follower(folder, newest[-1].position if newest else 0)
    try:
        while True:
            fresh = follower.read(FOLLOW_BATCH)
            _print_lines(
                [line for line in fresh if not (parsed.quiet and line.kind in _QUIET)], as_json=parsed.json
            )
            if not fresh:
                time.sleep(FOLLOW_S)
    except KeyboardInterrupt:
        return DONE
    finally:
        follower.close()


def _last_loud(folder: Path, count: int) -> list[Line]:
    wanted = count
    while True:
        found = last(folder, wanted)
        loud = [line for line in found if line.kind not in _QUIET]
        if len(loud) >= count or len(found) < wanted:
            return loud[-count:]
        wanted *= 4


def _print_lines(lines: Iterable[Line], *, as_json: bool) -> None:
    for line in lines:
        print(line.raw.decode() if as_json else human(line))
    sys.stdout.flush()


def human(line: Line) -> str:
    """One record on one line: when, its sequence and cause, from whom to whom, in words."""
    return record_line(
        {
            "time_ns": line.time_ns,
            "seq": line.seq,
            "cause": line.cause,
            "actor": line.actor,
            "to": line.to,
            "words": words(line.kind, line.message()),
        }
    )


def _tail_by_socket(parsed: argparse.Namespace, socket: str) -> int:
    """The folder is not ours to read, or elsewhere: ask the daemon."""
    client = Client(socket)
    try:
        reply = client.call("records", {"limit": min(parsed.n, 1_000)}, 10.0)
    finally:
        client.close()
    if not reply.ok:
        print(f"refused: {reply.problem.get('detail', '')}", file=sys.stderr)
        return WRONG
    for item in reply.result["records"]:
        if parsed.json:
            print(msgspec.json.encode(item).decode())
        else:
            print(record_line(item))
    return DONE


# ----------------------------------------------------------------------------------------------------- show, explain


def _show(folder: Path, parsed: argparse.Namespace) -> int:
    for line in causes.find(folder, parsed.id):
        if parsed.json:
            print(line.raw.decode())
            continue
        print(f"@{line.position}  {day(line.time_ns)} {human(line)}")
        print(msgspec.json.format(line.raw, indent=2).decode())
    return DONE


def _explain(folder: Path, parsed: argparse.Namespace) -> int:
    made = story.tell(causes.explain(folder, parsed.id), limit=0 if parsed.all else STEPS)
    if parsed.json:
        print(msgspec.json.encode(story.as_json(made)).decode())
    else:
        print("\n".join(story.as_text(made)))
    return DONE


# ----------------------------------------------------------------------------------------------------- verify, export


def _verify(folder: Path, parsed: argparse.Namespace) -> int:
    verdict = verify(folder)
    if parsed.json:
        print(msgspec.json.encode(verdict).decode())
    else:
        print("\n".join(_verdict_lines(folder, verdict)))
    return WRONG if verdict.broken else DONE


def _verdict_lines(folder: Path, verdict: Verdict) -> list[str]:
    found = segments(folder)
    packed = sum(segment.compressed for segment in found)
    first = f"from @{found[0].first_position} " if found else ""
    lines = [
        f"records   {verdict.records} {first}to @{verdict.last_position}",
        f"segments  {len(found)}, {packed} compressed",
    ]
    if verdict.retired:
        lines.append(f"retired   @1 to @{verdict.retired}, as kept in the note of retired segments")
    if verdict.torn:
        lines.append(
            f"torn      {verdict.torn} bytes at the end: a write under way, or cut at the next start"
        )
    lines += [f"accepted  {text}" for text in verdict.accepted]
    if verdict.broken:
        return [*lines, f"BROKEN    {verdict.broken}"]
    return [*lines, f"WHOLE     chain and positions hold; last hash {verdict.last_hash}"]


def _export(folder: Path, parsed: argparse.Namespace) -> int:
    if parsed.csv == "-":
        _write_csv(folder, parsed, sys.stdout)
        return DONE
    with Path(parsed.csv).open("w", newline="", encoding="utf-8") as file:
        count = _write_csv(folder, parsed, file)
    print(f"{count} records written to {parsed.csv}")
    return DONE


def _write_csv(folder: Path, parsed: argparse.Namespace, file: io.TextIOBase | Any) -> int:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(COLUMNS)
    count = 0
    for line in scan(folder, parsed.first):
        if parsed.last is not None and line.position > parsed.last:
            break
        message = line.message()
        out.writerow(
            (
                line.position, f"{day(line.time_ns)}T{clock(line.time_ns)}Z", line.seq, line.cause,
                _plain(line.actor), line.to, line.kind, _plain(words(line.kind, message)),
                msgspec.json.encode(message).decode(),
            )
        )  # fmt: skip
        count += 1
    return count


def _plain(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


# ------------------------------------------------------------------------------------------------------------- replay


def _replay(folder: Path, parsed: argparse.Namespace) -> int:
    from hedgegridd.journal.replay import Replay  # noqa: PLC0415  # the machines take their time to import

    first = _known_state(folder, parsed.first)
    if first is None:
        print(
            "nothing to replay: no state is kept in the journal at or before this position", file=sys.stderr
        )
        return WRONG
    records = Walk(folder, first)
    wanted = records if parsed.last is None else (r for r in records if r.position <= parsed.last)
    found = Replay().run(wanted)
    if parsed.json:
        print(msgspec.json.encode({**msgspec.to_builtins(found), "equal": found.equal}).decode())
        return DONE if found.equal else WRONG
    handled = ", ".join(f"{name} {count}" for name, count in sorted(found.handled.items()))
    print(
        f"records   @{found.first_position} to @{found.last_position}, {found.sessions} sessions; {handled or 'none'}"
    )
    print(f"compared  {found.outputs_compared} outputs, {found.states_compared} states")
    if found.skipped:
        others = ", ".join(f"{name} {count}" for name, count in sorted(found.skipped.items()))
        print(f"apart     {others}: for no machine, or for one whose state is not known from there on")
    for difference in found.differences:
        print(f"DIFFERS   @{difference.position} {difference.machine}: {difference.what}")
    if found.more_differences:
        print(f"… and {found.more_differences} more")
    print("EQUAL     bit for bit" if found.equal else "NOT EQUAL")
    return DONE if found.equal else WRONG


def _known_state(folder: Path, position: int) -> int | None:
    """The newest record with the state at or before a position; the oldest of all when there is none before it."""
    oldest = newest = None
    for line in scan(folder):
        if line.kind in ("SessionBegan", "StateKept"):
            oldest = oldest or line.position
            if line.position <= position:
                newest = line.position
            else:
                break
    return newest or oldest


_ACTIONS: dict[str, Callable[[Path, argparse.Namespace], int]] = {
    "tail": _tail,
    "show": _show,
    "explain": _explain,
    "verify": _verify,
    "export": _export,
    "replay": _replay,
}

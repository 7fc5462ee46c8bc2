"""`hedgegridctl ops status`: key figures, guards and switches as three tables, and as a CSV snapshot."""

import csv
import io
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hedgegridd.control.operation import Registry
from hedgegridd.ctl.client import Client, NoAnswer, Reply
from hedgegridd.ctl.text import DASH, LEVEL_COLOURS, Paint, columns, measure, short
from hedgegridd.journal.disk import RealDisk, write_file

DONE, FAILED = 0, 1
LOOK_S = 5.0
KEEP_S = 30 * 86_400
COLUMNS = ("timestamp", "category", "name", "value", "status", "message")
LATEST = "status_snapshot.csv"
_NAMED = re.compile(r"^status_snapshot_(\d{8}T\d{6}Z)\.csv$")

type Body = dict[str, Any]


class Row(NamedTuple):
    """One line of a table; `value` "" is not known."""

    category: str
    name: str
    value: str
    unit: str
    status: str
    message: str


def status(client: Client, registry: Registry, folder: Path | None, *, as_json: bool) -> int:
    """Show the tables and, with a folder, write the snapshot; the exit code.

    Raises:
        NoDaemon: nobody answers on the socket.
    """
    found: list[Row] = []
    try:
        for verb, rows in (("kpi", kpi_rows), ("guards", guard_rows), ("switches", switch_rows)):
            if verb not in registry.verbs:
                continue
            reply = client.call(verb, {}, LOOK_S)
            if not reply.ok:
                return _failed(f"{verb}: {_reason(reply)}", as_json=as_json)
            found += rows(reply.result)
    except NoAnswer as error:
        return _failed(str(error), as_json=as_json)
    now_s = time.time()
    written = None
    if folder is not None:
        try:
            written = write(folder, found, now_s)
        except OSError as error:
            return _failed(f"--csv {folder}: {error.strerror or error}", as_json=as_json)
    if as_json:
        body = {"rows": [row._asdict() for row in found], "csv": None if written is None else str(written)}
        print(msgspec.json.encode(body).decode())
        return DONE
    print("\n".join(tables(found, Paint())))
    if written is not None:
        print(f"written {written} and {written.with_name(LATEST)}")
    return DONE


def _reason(reply: Reply) -> str:
    return str(reply.problem.get("detail") or reply.problem.get("title") or reply.status)


def _failed(text: str, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode({"title": "no answer", "detail": text}).decode())
    else:
        print(f"hedgegridctl ops status: {text}", file=sys.stderr)
    return FAILED


# ---------------------------------------------------------------------------------------------------------------- rows


def kpi_rows(body: Body) -> list[Row]:
    """Of `kpi`."""
    return [
        Row("kpi", item["name"], item["value"] or "", item["unit"], item["status"], item["message"])
        for item in body["kpis"]
    ]


def guard_rows(body: Body) -> list[Row]:
    """Of `guards`: one a verdict, named with what it is about; those that are off last."""
    rows = []
    for item in body["guards"]:
        of = " ".join(each for each in (short(item["instrument"] or ""), item["leg"]) if each)
        name = f"{item['guard']} {of}".rstrip()
        limit = "" if item["limit"] is None else f"limit {measure(item['limit'])}"
        words = item["message"] or limit
        rows.append(Row("guard", name, item["value"] or "", item["unit"], item["level"], words))
    return rows + [Row("guard", name, "", "", "OFF", "off in the config") for name in body["off"]]


def switch_rows(body: Body) -> list[Row]:
    """Of `switches`: BLOCK is one that is out of its normal place."""
    rows = []
    for item in body["switches"]:
        told = ""
        if item["status"] != "OK":
            who = " ".join(each for each in (item["by"] and f"by {item['by']}", item["reason"]) if each)
            told = "; ".join(each for each in (item["effect"], who) if each)
        value = "on" if item["enabled"] else "off"
        rows.append(Row("switch", item["name"], value, "", item["status"], told))
    return rows


def tables(rows: list[Row], paint: Paint) -> list[str]:
    """A table for each category, the verdict last."""
    lines: list[str] = []
    for category, title in (("kpi", "KPIs"), ("guard", "guards"), ("switch", "switches")):
        own = [row for row in rows if row.category == category]
        if not own:
            continue
        cells = [(row.name, f"{_figure(row)} {row.unit}".rstrip(), row.status, row.message) for row in own]
        head, *body = columns((title, "value", "status", ""), cells)
        lines += [
            head,
            *(paint(line, LEVEL_COLOURS.get(row.status)) for line, row in zip(body, own, strict=True)),
            "",
        ]
    bad = [row for row in rows if row.status in LEVEL_COLOURS]
    words = ", ".join(f"{row.name} {row.status}" for row in bad)
    return [*lines, f"{len(rows) - len(bad)} of {len(rows)} without finding{': ' + words if bad else ''}"]


def _figure(row: Row) -> str:
    if not row.value:
        return DASH
    return row.value if row.category == "switch" else measure(row.value)


# ----------------------------------------------------------------------------------------------------------------- CSV


def write(folder: Path, rows: list[Row], now_s: float) -> Path:
    """Write the snapshot of now and the newest one, each whole or not at all; forget what is older than 30 days.

    Raises:
        OSError: the folder cannot be made or written.
    """
    at = datetime.fromtimestamp(now_s, UTC)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}Z"
    table.writerows((stamp, row.category, row.name, row.value, row.status, row.message) for row in rows)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = text.getvalue().encode()
    path = folder / f"status_snapshot_{at:%Y%m%dT%H%M%S}Z.csv"
    disk = RealDisk()
    write_file(disk, path, data)
    write_file(disk, folder / LATEST, data)
    _forget(folder, now_s)
    return path


def _forget(folder: Path, now_s: float) -> None:
    for path in folder.iterdir():
        named = _NAMED.match(path.name)
        if named is None:
            continue
        made = datetime.strptime(named[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if now_s - made.timestamp() > KEEP_S:
            path.unlink(missing_ok=True)

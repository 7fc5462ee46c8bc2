"""`hedgegridctl doctor`: everything that must be right before money is at risk, one line each with its remedy."""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hedgegridd.check import refuse_contradictions
from hedgegridd.config import Config
from hedgegridd.config_load import load_file
from hedgegridd.ctl.checks import Finding, daemon, host, venue, watchers
from hedgegridd.ctl.client import Client, NoAnswer, NoDaemon, absence
from hedgegridd.ctl.local_arguments import DEFAULT_CONFIG
from hedgegridd.ctl.text import AMBER, DIM, RED, Paint
from hedgegridd.errors import ConfigError

DONE, WRONG, NO_DAEMON = 0, 1, 3
LOOK_S = 5.0
COLOURS = {"FAIL": RED, "WARN": AMBER, "skip": DIM}

type Body = dict[str, Any]


def run(client: Client, parsed: argparse.Namespace) -> int:
    """Look at everything, say it, and the exit code.

    Raises:
        NoDaemon: nobody answers on the socket; what could be checked without it has been printed.
    """
    missing: NoDaemon | None = None
    status: Body | None = None
    found: list[Finding] = []
    path = parsed.config or Path(os.environ.get("HEDGEGRIDD_CONFIG") or DEFAULT_CONFIG)
    config, about = _config(path)
    if config is not None and not parsed.socket and "HEDGEGRIDD_SOCKET" not in os.environ:
        client.path = config.control.socket  # the daemon of this config
    try:
        status, said = _from_daemon(client)
        found += said
    except NoDaemon as error:
        missing = error
        found.append(Finding("FAIL", "daemon", f"no answer on {client.path}: {error}", "start it"))
    found.insert(0, about)
    if config is not None:
        ready = bool(status and (status.get("boot") or {}).get("ready"))
        found += _with_config(
            config, parsed, client.peer_pid if missing is None else None, daemon_ready=ready
        )
    found += watchers.alerts()
    found.append(host.backups(parsed.backups, time.time()))
    absent = "" if missing is None else absence(client.path, missing)
    _say(found, absent, as_json=parsed.json)
    if missing is not None and not parsed.json:
        raise missing
    if missing is not None:
        return NO_DAEMON
    return WRONG if any(item.level == "FAIL" for item in found) else DONE


def _from_daemon(client: Client) -> tuple[Body | None, list[Finding]]:
    """What it says of itself. Raises NoDaemon."""
    fix = "hedgegridctl health; the daemon's log"
    try:
        status, guards = client.call("status", {}, LOOK_S), client.call("guards", {}, LOOK_S)
    except NoAnswer as error:
        return None, [Finding("FAIL", "daemon", str(error), fix)]
    for verb, reply in (("status", status), ("guards", guards)):
        if not reply.ok:
            said = str(reply.problem.get("detail") or reply.problem.get("title"))
            return None, [Finding("FAIL", "daemon", f"{verb}: {said}", fix)]
    return status.result, daemon.findings(status.result, guards.result)


def _config(path: Path) -> tuple[Config | None, Finding]:
    try:
        loaded = load_file(path)
        warnings = refuse_contradictions(loaded)
    except ConfigError as error:
        text = str(error).strip().splitlines()
        return None, Finding("FAIL", "config", " ".join(text[0].split()), f"hedgegridd check -c {path}")
    if warnings:
        return loaded.config, Finding(
            "WARN", "config", f"{path}: {'; '.join(warnings)}", f"hedgegridd check -c {path}"
        )
    return loaded.config, Finding("ok", "config", str(path))


def _with_config(
    config: Config, parsed: argparse.Namespace, pid: int | None, *, daemon_ready: bool
) -> list[Finding]:
    metrics = config.metrics
    watched = parsed.prometheus or metrics.prometheus_url
    looks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: venue.findings(config, parsed.credentials, daemon_ready=daemon_ready),
        lambda: [watchers.metrics(metrics.host, metrics.port)],
        lambda: [watchers.prometheus(watched, metrics.host, metrics.port)],
        lambda: [host.disk(config), host.state_folder(config), host.journal(config)],
        lambda: host.systemd(pid),
    )
    return [finding for look in looks for finding in look()]


def _say(found: list[Finding], absent: str, *, as_json: bool) -> None:
    fails, warns = (sum(item.level == level for item in found) for level in ("FAIL", "WARN"))
    skips = sum(item.level == "skip" for item in found)
    if as_json:
        body: Body = {
            "ready": not fails,
            "fail": fails,
            "warn": warns,
            "skipped": skips,
            "findings": [item._asdict() for item in found],
        }
        if absent:
            body |= {"title": "no daemon", "detail": absent}
        print(msgspec.json.encode(body).decode())
        return
    paint = Paint()
    width = max(len(item.name) for item in found)
    for item in found:
        print(f"{paint(item.level.ljust(4), COLOURS.get(item.level))}  {item.name.ljust(width)}  {item.text}")
        if item.fix and item.level != "ok":
            print(f"{'':4}  {'':{width}}  fix: {item.fix}")
    good = len(found) - fails - warns - skips
    verdict = "not ready for money" if fails else "nothing is wrong"
    print(f"{fails} FAIL, {warns} WARN, {good} ok, {skips} not checked: {verdict}")

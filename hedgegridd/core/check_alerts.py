"""What `[alerts]` and `[[alert]]` mean: channels that lack what they need, addresses that would tell secrets."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from hedgegridd.config import AlertChannel, Config
from hedgegridd.problems import Path, Problem

_CREDENTIAL = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
# What each kind needs, and what it does nothing with.
NEEDS = {
    "slack": ("credential",),
    "telegram": ("credential", "chat_id"),
    "webhook": ("url",),
    "alertmanager": ("url",),
    "apprise": ("credential",),
}
USES = {
    "slack": ("credential",),
    "telegram": ("credential", "chat_id", "url", "ack_users"),
    "webhook": ("url", "credential"),
    "alertmanager": ("url", "credential"),
    "apprise": ("credential",),
}
WHAT = {
    ("slack", "credential"): "the webhook's whole address",
    ("telegram", "credential"): "the bot's token",
    ("telegram", "chat_id"): "where the bot writes",
    ("webhook", "url"): "where alerts are posted",
    ("alertmanager", "url"): "such as http://127.0.0.1:9093",
    ("apprise", "credential"): "the service's address as apprise writes it",
}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_alerts(config: Config) -> Iterator[Problem]:
    """Every mistake and every field without effect."""
    seen: set[str] = set()
    yield from _name(config.alerts.heartbeat, ("alerts", "heartbeat"))
    for index, channel in enumerate(config.alert):
        path: Path = ("alert", index)
        yield from _name(channel.credential, (*path, "credential"))
        if channel.label in seen:
            yield Problem(
                path=(*path, "name"),
                text=f'two [[alert]] channels are called "{channel.label}"',
                note="each needs a name of its own",
            )
        seen.add(channel.label)
        yield from _fields(channel, path)
        yield from _address(channel, path)
    if config.alert and all(channel.escalation for channel in config.alert):
        yield Problem(
            path=("alert", 0, "escalation"),
            text="every [[alert]] channel is an escalation: nobody hears an alert when it comes",
            note="at least one without it",
        )
    if (url := config.alerts.runbook_url) is not None and not url.startswith(("https://", "http://")):
        yield Problem(
            path=("alerts", "runbook_url"), text="runbook_url is no address", note="begins with https://"
        )


def _name(credential: str | None, path: Path) -> Iterator[Problem]:
    if credential is not None and not _CREDENTIAL.match(credential):
        yield Problem(
            path=path,
            text=f"`{path[-1]}` is no name of a credential",
            note="lower-case letters, digits and _, at most 40",
            help="the file has the credential's name; its value comes from systemd, a private file or the environment",
        )


def _fields(channel: AlertChannel, path: Path) -> Iterator[Problem]:
    for name in NEEDS[channel.type]:
        if not getattr(channel, name):
            yield Problem(
                path=(*path, "type"),
                text=f"a channel of type {channel.type} needs `{name}`: {WHAT[channel.type, name]}",
            )
    for name in ("url", "credential", "chat_id", "ack_users"):
        if getattr(channel, name) and name not in USES[channel.type]:
            yield Problem(
                severity="warning",
                path=(*path, name),
                text=f"`{name}` does nothing for a channel of type {channel.type}",
            )
    if channel.escalation and channel.min_severity != "INFO":
        yield Problem(
            severity="warning",
            path=(*path, "min_severity"),
            text="`min_severity` does nothing beside escalation = true: it hears unacknowledged CRITICALs alone",
        )


def _address(channel: AlertChannel, path: Path) -> Iterator[Problem]:
    if not channel.url or "url" not in USES[channel.type]:
        return
    parts = urlsplit(channel.url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        yield Problem(path=(*path, "url"), text="url is no address", note="begins with https:// or http://")
    elif parts.username or parts.password:
        yield Problem(
            path=(*path, "url"),
            text="url holds a name or a password",
            note="secrets are credentials, never in here",
        )
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        secret = channel.credential is not None and channel.type != "webhook"
        yield Problem(
            severity="error" if secret else "warning",
            path=(*path, "url"),
            text="url would send " + ("a secret" if secret else "alerts") + " unencrypted to another machine",
            note="https://, or a loopback address",
        )

"""How an alert reads, for any channel: a head, lines in plain text, and where to read on. Escaping is the channel's."""

from datetime import UTC, datetime

import msgspec

from hedgegridd.alerts.outbox import Waiting
from hedgegridd.messages import Alert
from hedgegridd.model import Nanos

EMOJI = {"INFO": "ℹ️", "WARNING": "⚠️", "CRITICAL": "🛑"}  # noqa: RUF001  # the sign that is meant
TEXT_MAX = 3_500  # characters of a letter: below what every service takes
_NS_PER_S = 1_000_000_000


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks: the account, `live`, `testnet` or `paper`, and where the runbook is."""

    account: str
    environment: str
    runbook_url: str = "docs/runbook.md"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as text: `head` one line, `lines` below it, `link` to the runbook (no address when none is configured)."""

    head: str
    lines: tuple[str, ...]
    link: str

    @property
    def plain(self) -> str:
        """The whole of it as plain text."""
        return "\n".join((self.head, *self.lines, self.link))


def letter(item: Waiting, identity: Identity) -> Letter:
    """What is sent of a message that waits."""
    alert = item.alert
    sign = "✅" if alert.stage == "recovered" else EMOJI[alert.severity]
    head = f"{sign} {alert.severity} {alert.title} · {identity.account} {identity.environment.upper()}"
    lines = [
        alert.what,
        alert.did and f"Did: {alert.did}",
        alert.do and f"Do: {alert.do}",
        _often(alert),
        _folded(item),
        f"{stamp(alert.time_ns)} · {alert.alert_id}",
    ]
    return Letter(
        head=_cut(head, 300),
        lines=tuple(_cut(line, TEXT_MAX // 2) for line in lines if line),
        link=f"{identity.runbook_url}#{alert.section or 'alerts'}",
    )


def _often(alert: Alert) -> str:
    if alert.stage == "escalated":
        return f"NOT ACKNOWLEDGED since {stamp(alert.since_ns)}: hedgegridctl ack {alert.alert_id}"
    if alert.stage == "repeated":
        return f"{alert.count} times since it was told last, first at {stamp(alert.since_ns)}"
    return ""


def _folded(item: Waiting) -> str:
    if not item.folded:
        return ""
    named = ", ".join(item.named)
    return f"and {item.folded} more that found no room in the queue" + (f": {named}" if named else "")


def stamp(time_ns: Nanos) -> str:
    """Date and time of day, UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ns // _NS_PER_S, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(time_ns: Nanos) -> str:
    """RFC 3339, UTC, to the millisecond."""
    at = datetime.fromtimestamp(time_ns // _NS_PER_S, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ns % _NS_PER_S // 1_000_000:03d}Z"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

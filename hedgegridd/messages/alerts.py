"""Alerts: what people are told, by whom it was acknowledged, how the channels are."""

from typing import Literal

import msgspec

from hedgegridd.messages.base import Answer, Command, Event, Query
from hedgegridd.model import Nanos

type Severity = Literal["INFO", "WARNING", "CRITICAL"]
type DeliveryOutcome = Literal["accepted", "rejected", "expired"]


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told: `title` in two words, `what` with its numbers, what the daemon `did`, what to `do`.

    `key` names what it is about, the same for everything that repeats it; `section` of the runbook is where to read on.
    `stage` is why it is told now; `count` how often it happened since it was told last; `since_ns` wall time of the first.
    """

    alert_id: str
    kind: str
    key: str
    severity: Severity
    title: str
    what: str = ""
    did: str = ""
    do: str = ""
    section: str = ""
    lasting: bool = False  # open until it is told as recovered
    stage: Literal["raised", "repeated", "recovered", "escalated", "test"] = "raised"
    count: int = 1
    time_ns: Nanos
    since_ns: Nanos = 0


class AlertTold(Event, frozen=True, kw_only=True):
    """An alert was handed to the queues of these channels."""

    alert: Alert
    channels: tuple[str, ...]


class AlertDelivered(Event, frozen=True, kw_only=True):
    """What became of an alert on one channel, `after_ms` after the event; `detail` is the channel's own word.

    `rejected`: the channel refuses it for good. `expired`: it was tried for as long as it is of use.
    """

    alert_id: str
    stage: str
    channel: str
    outcome: DeliveryOutcome
    after_ms: int
    detail: str = ""


class AlertAcknowledged(Event, frozen=True, kw_only=True):
    """Somebody looks after these alerts: they go no further."""

    alert_ids: tuple[str, ...]
    by: str


class ChannelChanged(Event, frozen=True, kw_only=True):
    """A channel does not take alerts, for the reason in `detail`, or takes them again."""

    channel: str
    up: bool
    detail: str = ""


class PartBroke(Event, frozen=True, kw_only=True):
    """A part of the daemon has raised; `action` is what follows: restart, retire, stop, ignored."""

    part: str
    action: str
    error: str


class Stopped(Event, frozen=True, kw_only=True):
    """An orderly stop is through: what the venue has confirmed of it, by name."""

    reason: str
    confirmed: dict[str, bool] = {}


class AckAlert(Command, frozen=True, kw_only=True):
    """Acknowledge an open alert by its id, or all of them ("all"); answered with those that were open."""

    alert_id: str
    by: str


class SendTestAlert(Command, frozen=True, kw_only=True):
    """Send a test alert through a channel, or through each; answered with every channel's outcome."""

    channel: str = ""
    by: str = ""


class GetAlerts(Query, frozen=True, kw_only=True):
    """Open alerts, the last ones told, and how the channels are."""


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is not over or not acknowledged; `count` in all since `since_ns`, `by` who acknowledged it."""

    alert: Alert
    count: int
    since_ns: Nanos
    by: str = ""
    over: bool = False
    escalated: int = 0


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as it stands. `waiting` messages; ages in seconds, None: never; `trouble` why it fails, "": it does not."""

    name: str
    type: str
    min_severity: Severity
    escalation: bool
    waiting: int
    accepted: int
    failed: int
    folded: int
    last_accepted_age_s: float | None = None
    trouble: str = ""


class AlertsAnswer(Answer, frozen=True, kw_only=True):
    """Answer to `GetAlerts`; `recent` newest first."""

    open: tuple[OpenAlert, ...]
    recent: tuple[Alert, ...]
    channels: tuple[ChannelView, ...]

"""Alerts as people read them: what is open with its words, what was told last, how the channels are."""

from typing import Any

from hedgegridd.ctl.text import DASH, LEVEL_COLOURS, Paint, age, columns

Body = dict[str, Any]
LEVELS = {"INFO": "OK", "WARNING": "WARN", "CRITICAL": "CRITICAL"}


def alerts(body: Body, paint: Paint) -> list[str]:
    """Open ones first, worst first."""
    lines: list[str] = []
    for item in body["open"]:
        lines += _open(item, paint)
    if not body["open"]:
        lines.append("nothing is open")
    if body["recent"]:
        rows = [
            [_clock(item), item["severity"], item["stage"], item["title"], item["what"]]
            for item in body["recent"]
        ]
        lines += ["", *columns(("told", "severity", "", "alert", ""), rows)]
    return [*lines, "", *_channels(body["channels"], paint)]


def _open(item: Body, paint: Paint) -> list[str]:
    head = f"{item['severity']} {item['title']}"
    often = f", {item['count']} times" if item["count"] > 1 else ""
    who = f"acknowledged by {item['acknowledged_by']}" if item["acknowledged_by"] else "not acknowledged"
    escalated = f", escalated {item['escalated']} times" if item["escalated"] else ""
    lines = [
        (
            f"{paint(head, LEVEL_COLOURS.get(LEVELS[item['severity']]))}  {item['alert_id']} "
            f"since {(item['since'] or DASH)[11:19]}{often}, {who}{escalated}"
        )
    ]
    for name, words in (("", item["what"]), ("did  ", item["did"]), ("do   ", item["do"])):
        if words:
            lines.append(f"  {name}{words}")
    return lines


def _clock(item: Body) -> str:
    return str(item["time"] or DASH)[11:19]


def _channels(channels: list[Body], paint: Paint) -> list[str]:
    if not channels:
        return ["no [[alert]] channel is configured: nobody is told"]
    rows = [
        [
            each["name"],
            each["type"],
            "escalation" if each["escalation"] else f"from {each['min_severity']}",
            str(each["waiting"]),
            str(each["accepted"]),
            str(each["failed"]),
            str(each["folded"]),
            age(each["last_accepted_age_s"]),
            each["trouble"] or "",
        ]
        for each in channels
    ]
    head = ("channel", "type", "hears", "waiting", "accepted", "failed", "folded", "last", "trouble")
    title, *table = columns(head, rows)
    colours = [LEVEL_COLOURS.get("CRITICAL") if each["trouble"] else None for each in channels]
    return [title, *(paint(text, colour) for text, colour in zip(table, colours, strict=True))]

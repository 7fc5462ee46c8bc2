"""What the daemon says of itself: is it safe, the venue's clock, the dead-man switch, its guards."""

from typing import Any

from hedgegridd.ctl.checks import Finding, Level
from hedgegridd.ctl.text import age, measure

type Body = dict[str, Any]

CLOCK = "clock_skew"
CLOCK_LIMIT_MS = 300  # where the guard is off


def findings(status: Body, guards: Body) -> list[Finding]:
    """From the answers of `status` and `guards`."""
    return [_safe(status), clock(status, guards), dead_man(status.get("dead_man")), _guards(guards)]


def _safe(status: Body) -> Finding:
    text = f"{status['state']}, safe {status['safe']}: {status['safe_reason']}"
    if status["safe"] == "yes" and not status["wrong"]:
        return Finding("ok", "daemon", text)
    wrong = "; ".join(("", *status["wrong"]))
    level: Level = "WARN" if status["safe"] == "yes" else "FAIL"
    return Finding(level, "daemon", text + wrong, " · ".join(status["do"]) or "hedgegridctl status")


def clock(status: Body, guards: Body) -> Finding:
    """Our clock against the venue's, by the guard's limit."""
    fix = "keep the host's clock by chrony or systemd-timesyncd"
    offset = (status.get("feeds") or {}).get("clock_offset_ms")
    verdict = next((item for item in guards["guards"] if item["guard"] == CLOCK), None)
    limit = CLOCK_LIMIT_MS if verdict is None else float(verdict["limit"])
    if offset is None:
        return Finding(
            "FAIL", "clock", "the venue's clock has not been read", "wait for the venue: hedgegridctl ready"
        )
    text = f"{offset:+d} ms to the venue's (limit {measure(str(limit))})"
    if abs(offset) >= limit or (verdict is not None and verdict["level"] in ("CRITICAL", "BLOCK")):
        return Finding("FAIL", "clock", text, fix)
    if verdict is None:
        return Finding(
            "WARN",
            "clock",
            f"{text}; the guard {CLOCK} is off",
            f"take `enabled = false` from its [[guard]] of type {CLOCK}",
        )
    return Finding("WARN", "clock", text, fix) if verdict["level"] == "WARN" else Finding("ok", "clock", text)


def dead_man(facts: Body | None) -> Finding:
    """Whether the venue would clear our entries if this host fell silent."""
    if facts is None:
        return Finding(
            "FAIL", "dead-man", "it does not answer", "hedgegridctl status; restart the daemon if it lasts"
        )
    if not facts["enabled"]:
        return Finding(
            "WARN",
            "dead-man",
            "off: entries stay at the venue when this host falls silent",
            "[dead_man] enabled = true",
        )
    why = "; ".join(facts["why"])
    if facts["state"] == "armed" and not why:
        return Finding("ok", "dead-man", f"armed, {age(facts['left_s'])} left")
    return Finding(
        "FAIL",
        "dead-man",
        f"{facts['state']}{': ' + why if why else ''}",
        "hedgegridctl status; docs/manual/dead-man.md",
    )


def _guards(guards: Body) -> Finding:
    bad = [item for item in guards["guards"] if item["level"] in ("CRITICAL", "BLOCK")]
    warned = [item for item in guards["guards"] if item["level"] == "WARN"]
    off = f"; off: {', '.join(guards['off'])}" if guards["off"] else ""
    if bad or warned:
        told = ", ".join(f"{item['guard']} {item['level']}" for item in (*bad, *warned))
        return Finding("FAIL" if bad else "WARN", "guards", told + off, "hedgegridctl guards")
    return Finding("ok", "guards", f"{len(guards['guards'])} verdicts OK{off}")

"""Tells an incident as a story: who and why, what led to it, what was done when, how it ended, with what proof."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from hedgegridd.journal.causes import Incident
from hedgegridd.journal.scan import Line
from hedgegridd.journal.words import clock, day, short, words

_GUARD_FIRST = ("GuardChanged",)
_NOISE = frozenset(
    {
        "Woke",
        "ReadTruth",
        "WatchPrices",
        "StateKept",
        "SessionBegan",
        "DeskView",
        "BarClosed",
        "MarkPrice",
        "RiskFigures",
    }
)
# In a removal its progress and its proof say this already.
_SAID = frozenset({"VenueDone", "VenueTruth", "LegFlat", "FlattenFinished", "OrderAccepted"})
_TRIPS = ("Kill", "Flatten")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: nanoseconds after the beginning, in words, and the sequences that say so."""

    after_ns: int
    text: str
    seqs: tuple[int, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Story:
    """An incident for people: `title`, when and by whom, causes, steps, and how it ended ("" : nothing says so)."""

    name: str
    title: str
    time_ns: int
    by: str
    because: tuple[Step, ...]
    steps: tuple[Step, ...]
    end: str
    proof: tuple[str, ...]
    left_out: int
    cut: bool


def tell(incident: Incident, *, limit: int = 0) -> Story:
    """The story of an incident; at most `limit` steps (0: all), the rest is counted in `left_out`."""
    root = incident.own[0]
    start_ns = root.time_ns
    causes = _once([*incident.because, *incident.beside])
    because = [
        Step(line.time_ns - start_ns, words(line.kind, line.message()), (line.seq,), line.kind)
        for line in causes
        if line.kind != "Woke"
    ]
    # Verdicts say why; what moved them stands before them.
    because.sort(key=lambda step: (step.kind in _GUARD_FIRST, step.seqs))
    told = sorted(_once(incident.effects), key=lambda line: (line.time_ns, line.seq or line.cause))
    left_out = _NOISE | _SAID if root.kind in _TRIPS else _NOISE
    steps = _merged([(line, line.message()) for line in told if line.kind not in left_out], start_ns)
    end, proof = _end(root, told)
    shown = steps if not limit or len(steps) <= limit else steps[:limit]
    return Story(
        name=incident.name,
        title=words(root.kind, root.message()),
        time_ns=start_ns,
        by=root.actor,
        because=tuple(because),
        steps=tuple(shown),
        end=end,
        proof=proof,
        left_out=len(steps) - len(shown),
        cut=incident.cut,
    )


def _once(lines: Iterable[Line]) -> list[Line]:
    """Each message once, though several have consumed it; answers have no sequence of their own."""
    seen: set[int] = set()
    found = []
    for line in lines:
        if line.seq and line.seq in seen:
            continue
        seen.add(line.seq)
        found.append(line)
    return found


def _merged(told: list[tuple[Line, dict[str, Any]]], start_ns: int) -> list[Step]:
    """Neighbours that say the same of several orders become one step."""
    steps: list[Step] = []
    group: list[tuple[Line, dict[str, Any]]] = []

    def close() -> None:
        if len(group) == 1:
            line, fields = group[0]
            steps.append(Step(line.time_ns - start_ns, words(line.kind, fields), (line.seq,), line.kind))
        elif group:
            steps.append(_several(group, start_ns))
        group.clear()

    for line, fields in told:
        if group and _likeness(line, fields) != _likeness(*group[-1]):
            close()
        group.append((line, fields))
        if _likeness(line, fields) is None:
            close()
    close()
    return steps


def _likeness(line: Line, fields: dict[str, Any]) -> tuple[str, ...] | None:
    """What must be the same for two neighbours to be told as one; None: always told alone."""
    if line.kind == "OrderClosed":
        return (line.kind, str(fields.get("how")))
    if line.kind in ("CancelOrder", "OrderAccepted", "PlaceOrder", "RungDropped", "VenueTruth"):
        return (line.kind, str(fields.get("leg", "")))
    return None


def _several(group: list[tuple[Line, dict[str, Any]]], start_ns: int) -> Step:
    first, last = group[0][0], group[-1][0]
    count = len(group)
    kind, fields = last.kind, group[-1][1]
    took_ns = last.time_ns - first.time_ns
    within = f", the last {took_ns / 1e6:.0f} ms later" if took_ns >= 1_000_000 else ""
    name = {
        "CancelOrder": f"cancel {count} orders",
        "OrderAccepted": f"{count} orders rest at the venue",
        "PlaceOrder": f"place {count} orders",
        "RungDropped": f"{count} rungs left out",
        "OrderClosed": f"{count} orders {str(fields.get('how', 'ended')).lower()}",
    }.get(kind)
    if name is None:  # the venue's reports: the last one counts
        return Step(
            last.time_ns - start_ns, f"{words(kind, fields)} (asked {count} times)", (last.seq,), kind
        )
    if kind == "PlaceOrder":
        name += f" of {fields.get('leg')}"
    return Step(first.time_ns - start_ns, name + within, tuple(line.seq for line, _ in group), kind)


def _end(root: Line, told: list[Line]) -> tuple[str, tuple[str, ...]]:
    """How a trip or a flatten ended, with the venue's proof; for anything else there is no end to tell."""
    proof = tuple(
        f"{short(f['instrument'])} {f['leg']}: {item}"
        for line in told
        if line.kind == "LegFlat"
        for f in [line.message()]
        for item in f["proof"]
    )
    if root.kind not in _TRIPS:
        return "", proof
    finished = [line for line in told if line.kind == "FlattenFinished"]
    states = [line.message()["state"] for line in told if line.kind == "KillStateChanged"]
    if finished:
        after = finished[-1].message()["after_s"]
        latched = f"; the kill switch is {states[-1]}" if states else ""
        return f"FLAT, VERIFIED  {after} s{latched}", proof
    if root.kind == "Kill" and states and states[-1] in ("HALTED", "ARMED"):
        return f"no entry rests, confirmed by the venue; the kill switch is {states[-1]}", proof
    return "NOT VERIFIED as far as the journal reaches", proof


def as_text(story: Story) -> list[str]:
    """The story as lines for a terminal."""
    by = f"  by {story.by}" if story.by else ""
    lines = [f"{story.name}  {story.title}{by}  {day(story.time_ns)} {clock(story.time_ns)} UTC"]
    lines += [
        f"{'because' if not n else '':<9}{step.text}  {_refs(step)}" for n, step in enumerate(story.because)
    ]
    lines += [f"{after(step.after_ns):>10}  {step.text}  {_refs(step)}" for step in story.steps]
    if story.left_out:
        lines.append(f"{'':>10}  … {story.left_out} more steps (--all shows them)")
    if story.cut:
        lines.append(f"{'':>10}  … and more than this tool follows")
    lines += [f"{'proof' if not n else '':<9}{text}" for n, text in enumerate(story.proof)]
    if story.end:
        lines.append(story.end)
    elif not story.steps:
        lines.append("nothing followed from it as far as the journal reaches")
    return lines


def as_json(story: Story) -> dict[str, object]:
    """The story as JSON-ready facts."""
    facts: dict[str, object] = msgspec.to_builtins(story)
    return facts


def after(after_ns: int) -> str:
    """`+9 ms`, `+1.03 s`, `+4 min 12 s`."""
    ms = after_ns / 1e6
    if abs(ms) < 1_000:
        return f"{ms:+.0f} ms"
    if abs(ms) < 60_000:
        return f"{ms / 1e3:+.2f} s"
    minutes, seconds = divmod(round(ms / 1e3), 60)
    return f"+{minutes} min {seconds} s"


def _refs(step: Step) -> str:
    known = [seq for seq in step.seqs if seq]
    if not known:
        return ""
    return f"#{known[0]}" + (f"…#{known[-1]}" if len(known) > 1 else "")

"""Which findings are told, and when again: repeats are counted, recovery is told, a CRITICAL that nobody looks after goes on.

An alert is open from its first finding until it is over (a lasting one: cleared; another: told) and, if it is CRITICAL,
acknowledged or cleared. While the same key comes again within the window it is counted; the count is told when the
window has passed. One that comes and goes is told both times, so many times a window; then it is counted as well.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal

import msgspec

from hedgegridd.alerts.found import Clear, Finding, Raise
from hedgegridd.alerts.words import seconds
from hedgegridd.messages import Alert, OpenAlert, Severity
from hedgegridd.model import Nanos

ENTRIES_MAX = 2_000
RECENT_MAX = 100
TELLS_MAX = 6  # of one key in one window, for one that comes and goes
REMINDERS_SLOWER = 12  # times the first distance: as far apart as reminders get
RANK: dict[Severity, int] = {"INFO": 0, "WARNING": 1, "CRITICAL": 2}
_NS_PER_S = 1_000_000_000

type Stage = Literal["raised", "repeated", "recovered", "escalated", "test"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An alert to be sent to whoever hears `severity`; `tier`: so many escalation channels hear it beside them."""

    alert: Alert
    severity: Severity
    tier: int = 0


class Entry(msgspec.Struct, kw_only=True):
    """What is known of one key."""

    alert: Alert  # as it was told last, or would have been
    lasting: bool
    since_ns: Nanos
    window_mono: int  # when the window began
    tells: int = 0  # in this window
    missed: int = 0  # findings since it was told
    total: int = 1
    over: bool = False
    told_over: bool = False
    by: str = ""
    escalated: int = 0
    escalate_mono: int | None = None

    @property
    def open(self) -> bool:
        """Whether somebody has still to look after it."""
        if not self.over:
            return True
        return self.alert.severity == "CRITICAL" and not self.lasting and not self.by


class Book:
    """`tiers`: escalation channels there are. Times: `time_ns` wall clock for people, `mono_ns` for windows."""

    def __init__(self, *, repeat_s: int, escalate_s: int, tiers: int = 0) -> None:
        self._repeat_ns = repeat_s * _NS_PER_S
        self._escalate_ns = escalate_s * _NS_PER_S
        self._tiers = tiers
        self._entries: dict[str, Entry] = {}
        self.recent: deque[Alert] = deque(maxlen=RECENT_MAX)
        self.forgotten = 0  # open ones that had to go, since there were too many

    # -------------------------------------------------------------------------------------------------------- findings

    def take(self, findings: Iterable[Finding], *, seq: int, time_ns: Nanos, mono_ns: int) -> list[Told]:
        """What is told of the findings of one event."""
        out: list[Told] = []
        for index, finding in enumerate(findings):
            if isinstance(finding, Clear):
                out += self._clear(finding, time_ns)
                continue
            alert_id = f"A-{seq}" if index == 0 else f"A-{seq}.{index}"
            out += self._raise(finding, alert_id, time_ns, mono_ns)
        return out

    def _raise(self, found: Raise, alert_id: str, time_ns: Nanos, mono_ns: int) -> list[Told]:
        entry = self._entries.get(found.key)
        passed = entry is not None and mono_ns - entry.window_mono >= self._repeat_ns
        if entry is None or (passed and not entry.open and not entry.missed):
            return self._first(found, alert_id, time_ns, mono_ns)
        entry.total += 1
        entry.missed += 1
        worse = RANK[found.severity] > RANK[entry.alert.severity]
        again = entry.over and entry.told_over and entry.lasting  # it had been told as over, and is not
        told_already = (entry.alert.severity, entry.alert.title, entry.alert.what) == (
            found.severity,
            found.title,
            found.what,
        )
        fresh = again or (found.changed and not told_already)
        if again:
            entry.by = ""
        entry.alert = _alert(found, entry.alert.alert_id, time_ns, entry.since_ns)
        entry.lasting = found.lasting
        entry.over, entry.told_over = not found.lasting, False
        if passed:
            entry.window_mono, entry.tells = mono_ns, 0
        if worse or passed or (fresh and entry.tells < TELLS_MAX):
            stage: Stage = "raised" if worse or fresh else "repeated"
            return self._tell(entry, stage, time_ns, mono_ns)
        return []

    def _first(self, found: Raise, alert_id: str, time_ns: Nanos, mono_ns: int) -> list[Told]:
        self._make_room()
        self._entries.pop(found.key, None)
        entry = Entry(
            alert=_alert(found, alert_id, time_ns, time_ns),
            lasting=found.lasting,
            since_ns=time_ns,
            window_mono=mono_ns,
            missed=1,
            over=not found.lasting,
        )
        self._entries[found.key] = entry
        return self._tell(entry, "raised", time_ns, mono_ns)

    def _clear(self, found: Clear, time_ns: Nanos) -> list[Told]:
        keys = [found.key]
        if found.prefix:
            keys = [key for key in self._entries if key.startswith(found.key)]
        out: list[Told] = []
        for key in keys:
            entry = self._entries.get(key)
            if entry is None or entry.over:
                continue
            entry.over, entry.escalate_mono = True, None
            if entry.tells >= TELLS_MAX:
                continue  # comes and goes: the window's end tells how often, and how it stands
            lasted = f"after {seconds(time_ns - entry.since_ns)}"
            often = f"{entry.total} times" if entry.total > 1 else ""
            said = "; ".join(each for each in (found.what, often, lasted) if each)
            entry.told_over, entry.missed = True, 0
            entry.tells += 1
            alert = msgspec.structs.replace(
                entry.alert,
                severity="INFO",
                title=found.title,
                what=said,
                did="",
                do="",
                stage="recovered",
                count=entry.total,
                time_ns=time_ns,
                since_ns=entry.since_ns,
            )
            out.append(self._said(alert, entry))
            entry.total = 0
            entry.since_ns = time_ns
        return out

    # ------------------------------------------------------------------------------------------------------------ time

    def tick(self, time_ns: Nanos, mono_ns: int) -> list[Told]:
        """What has to be told as time passes: counts of closed windows, and CRITICALs that nobody looks after."""
        out: list[Told] = []
        for key, entry in list(self._entries.items()):
            if entry.escalate_mono is not None and mono_ns >= entry.escalate_mono:
                out.append(self._escalate(entry, time_ns, mono_ns))
            if mono_ns - entry.window_mono < self._repeat_ns:
                continue
            if entry.missed:
                entry.window_mono, entry.tells = mono_ns, 0
                out += self._tell(entry, "repeated", time_ns, mono_ns)
            elif not entry.open:
                del self._entries[key]
        return out

    def _escalate(self, entry: Entry, time_ns: Nanos, mono_ns: int) -> Told:
        entry.escalated += 1
        slower = min(max(1, entry.escalated - self._tiers), REMINDERS_SLOWER)
        entry.escalate_mono = mono_ns + self._escalate_ns * slower
        alert = msgspec.structs.replace(
            entry.alert, stage="escalated", count=entry.total, time_ns=time_ns, since_ns=entry.since_ns
        )
        return self._said(alert, entry)

    def acknowledge(self, alert_id: str, by: str) -> tuple[str, ...]:
        """The ids that were open and unacknowledged, of this one or of "all"."""
        found = []
        for entry in self._entries.values():
            if entry.open and not entry.by and alert_id in ("all", entry.alert.alert_id):
                entry.by, entry.escalate_mono = by, None
                found.append(entry.alert.alert_id)
        return tuple(found)

    def opened(self) -> tuple[OpenAlert, ...]:
        """What is open, worst first, then newest first."""
        found = [
            OpenAlert(
                alert=entry.alert,
                count=max(entry.total, 1),
                since_ns=entry.since_ns,
                by=entry.by,
                over=entry.over,
                escalated=entry.escalated,
            )
            for entry in self._entries.values()
            if entry.open
        ]
        return tuple(sorted(found, key=lambda item: (-RANK[item.alert.severity], -item.alert.time_ns)))

    # ---------------------------------------------------------------------------------------------------------- inside

    def _tell(self, entry: Entry, stage: Stage, time_ns: Nanos, mono_ns: int) -> list[Told]:
        count, entry.missed = entry.missed, 0
        entry.tells += 1
        if entry.alert.severity == "CRITICAL" and entry.escalate_mono is None and entry.open and not entry.by:
            entry.escalate_mono = mono_ns + self._escalate_ns
        since_ns = entry.since_ns
        entry.alert = msgspec.structs.replace(
            entry.alert, stage=stage, count=max(count, 1), time_ns=time_ns, since_ns=since_ns
        )
        return [self._said(entry.alert, entry)]

    def _said(self, alert: Alert, entry: Entry) -> Told:
        self.recent.append(alert)
        return Told(alert=alert, severity=entry.alert.severity, tier=entry.escalated)

    def _make_room(self) -> None:
        if len(self._entries) < ENTRIES_MAX:
            return
        entries = self._entries.items()
        key = (
            next((key for key, entry in entries if not entry.open), None)
            or next((key for key, entry in entries if entry.alert.severity != "CRITICAL" or entry.by), None)
            or next(iter(self._entries))
        )
        self.forgotten += self._entries.pop(key).open


def _alert(found: Raise, alert_id: str, time_ns: Nanos, since_ns: Nanos) -> Alert:
    return Alert(
        alert_id=alert_id,
        kind=found.kind,
        key=found.key,
        severity=found.severity,
        title=found.title,
        what=found.what,
        did=found.did,
        do=found.do,
        section=found.section,
        lasting=found.lasting,
        time_ns=time_ns,
        since_ns=since_ns,
    )

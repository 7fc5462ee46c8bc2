"""Replays the journal: the same inputs through the same pure machines must return the same, bit for bit.

A replay begins where a session began (all machines) or where the state was kept (only those that go on from a state as
if nothing had happened); from there every record is handed to its machine again. Compared are what each machine
returned (the digest in the record after it) and, wherever the journal kept the state, all of the state.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core.boot import Boot
from hedgegridd.core.pauses import Pauses
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.errors import JournalBroken
from hedgegridd.journal.record import SESSION, STATE, Record, digest_of
from hedgegridd.state import Machine, Machines, config_of, envelope_of

DIFFERENCES_MAX = 20
TEXT_MAX = 120
TAIL_MAX = 200_000  # records that may follow a state before a replay forgets it
_NONE = "not there"
CONTINUES = ("desk",)  # machines whose kept state is all of their state, whoever waits for them included


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay is not what happened; `position` of the record, `what` in words, `now` what is returned today."""

    position: int
    machine: str
    what: str
    now: tuple[m.Message, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What a replay found: records handed to machines, outputs and states compared, differences (the first of them)."""

    first_position: int = 0
    last_position: int = 0
    sessions: int = 0
    handled: Counter[str] = field(default_factory=Counter)
    outputs_compared: int = 0
    states_compared: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    more_differences: int = 0
    taken_on_trust: int = 0  # sessions that began from a state which this replay does not know

    @property
    def equal(self) -> bool:
        """Whether something was compared and all of it was the same."""
        return not self.differences and self.outputs_compared + self.states_compared > 0


class Replay:
    """Feed it records in order, then read `outcome`."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._kept: Machines | None = None
        self._machines: dict[str, Machine] = {}
        self._last: tuple[Record, list[m.Message]] | None = None  # what waits for its digest
        # The two newest states, as a start may find them in its snapshots, each with the records after it.
        self._known: list[tuple[int, bytes, list[Record]]] = []
        self._position = 0

    def run(self, records: Iterable[Record]) -> Outcome:
        """All of them; records before the first known state are passed over.

        Raises:
            JournalBroken: the chain does not hold, or a record is not of this version's vocabulary.
        """
        for record in records:
            self._record(record)
        return self.outcome

    def _record(self, record: Record) -> None:
        gap = self._position and record.position != self._position + 1  # damage that was accepted
        self._position = self.outcome.last_position = record.position
        if record.to == SESSION:
            self._last = None  # the process before this one has ended: what it returned last is not known
            self._begin(record, check=not gap)
            return
        if not gap:
            self._compare(record)
        self._last = None
        if record.to == STATE:
            self._keep(record)
            return
        self._remember(record)
        machine = self._machines.get(record.to)
        if machine is None:
            self.outcome.skipped[record.to] += 1
            return
        try:
            outputs = machine.handle(envelope_of(record))
        except JournalBroken:
            raise
        except Exception as error:  # noqa: BLE001  # a bug in a machine is just what is looked for
            self._differs(Difference(record.position, record.to, f"breaks: {error!r}"))
            return
        self.outcome.handled[record.to] += 1
        self._last = (record, list(outputs))

    def _remember(self, record: Record) -> None:
        if self._known:
            tail = self._known[-1][2]
            if len(tail) < TAIL_MAX:
                tail.append(record)
            else:
                self._known.clear()

    def _compare(self, following: Record) -> None:
        if self._last is None:
            return
        record, outputs = self._last
        self.outcome.outputs_compared += 1
        if digest_of(outputs) != following.after:
            what = f"returned something else on {_name(record)}"
            self._differs(Difference(record.position, record.to, what, tuple(outputs)))

    def _begin(self, record: Record, *, check: bool) -> None:
        """A process begins: what was kept goes into machines of its config."""
        began = envelope_of(record).message
        if not isinstance(began, m.SessionBegan):
            raise JournalBroken(f"record {record.position}: a session begins with {type(began).__name__}")
        self.outcome.sessions += 1
        self.outcome.first_position = self.outcome.first_position or record.position
        config = config_of(began.config)
        before, self._kept = self._kept, Machines.of(config, began.epoch, began.hold_sources)
        if before is not None and check:
            self._check_restart(record, began, before)
        self._kept.load(began.state)
        self._known = [*self._known[-1:], (record.position - 1, bytes(began.state), [record])]
        self._machines = {
            **self._kept.by_name,
            **forgetful(config),
        }

    def _check_restart(self, record: Record, began: m.SessionBegan, before: Machines) -> None:
        """A start does not know what the process before knew, but its snapshot and the records after it: do the same."""
        assert self._kept is not None, "made for the new process"
        if began.snapshot_position == record.position - 1:  # it ended in order
            self._kept.restore(before.snapshot(), (), began.latched)
        else:
            for at, (position, state, _) in enumerate(self._known):
                if position == began.snapshot_position:
                    tail = [r for _, _, records in self._known[at:] for r in records]
                    self._kept.restore(state, tail, began.latched)
                    break
            else:
                self.outcome.taken_on_trust += 1
                return
        self._same_state(record, self._kept, began.state)

    def _keep(self, record: Record) -> None:
        kept = envelope_of(record).message
        if not isinstance(kept, m.StateKept):
            raise JournalBroken(f"record {record.position}: a state is {type(kept).__name__}")
        if self._kept is None:
            self._begin_in_between(record, kept)
        elif kept.lost:
            self._kept.load(kept.state)
            self._machines = {name: self._kept.by_name[name] for name in CONTINUES}
        elif len(self._machines) > len(CONTINUES):
            self._same_state(record, self._kept, kept.state)
        else:
            self._same_state(record, self._kept, kept.state, CONTINUES)
        self._known = [*self._known[-1:], (record.position, bytes(kept.state), [])]

    def _begin_in_between(self, record: Record, kept: m.StateKept) -> None:
        self.outcome.first_position = record.position
        self._kept = Machines.of(config_of(kept.config), kept.epoch, kept.hold_sources)
        self._kept.load(kept.state)
        self._machines = {name: self._kept.by_name[name] for name in CONTINUES}

    def _same_state(
        self, record: Record, machines: Machines, then: msgspec.Raw, names: tuple[str, ...] = ()
    ) -> None:
        self.outcome.states_compared += 1
        now = machines.snapshot()
        if now == bytes(then):
            return
        parts_now, parts_then = (
            msgspec.json.decode(text, type=dict[str, msgspec.Raw]) for text in (now, then)
        )
        for name in names or tuple(dict.fromkeys((*parts_now, *parts_then))):
            one, other = bytes(parts_now.get(name, b"null")), bytes(parts_then.get(name, b"null"))
            if one != other:
                where = _first_difference(msgspec.json.decode(one), msgspec.json.decode(other), name)
                self._differs(Difference(record.position, name, f"has come to another state: {where}"))

    def _differs(self, difference: Difference) -> None:
        if len(self.outcome.differences) < DIFFERENCES_MAX:
            self.outcome.differences.append(difference)
        else:
            self.outcome.more_differences += 1


def forgetful(config: Config) -> dict[str, Machine]:
    """The machines of which nothing outlives a process, by their actors' names."""
    names = {grid.instrument: grid.instrument_id for grid in config.grid}
    return {
        "boot": Boot(),
        "reconciler": Reconciler(config.venue.reconcile_interval_s),
        "pauses": Pauses(config.pause, ZoneInfo(config.daemon.timezone), names),
    }


def _first_difference(now: object, then: object, path: str) -> str:
    """Where two states part, in words."""
    if isinstance(now, dict) and isinstance(then, dict):
        for key in dict.fromkeys((*then, *now)):
            if now.get(key, _NONE) != then.get(key, _NONE):
                return _first_difference(now.get(key, _NONE), then.get(key, _NONE), f"{path}.{key}")
        return f"{path}: the same, in another order"
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        for at, (one, other) in enumerate(zip(now, then, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{path}[{at}]")
    return f"{path} is {str(now)[:TEXT_MAX]}, was {str(then)[:TEXT_MAX]}"


def _name(record: Record) -> str:
    kind = msgspec.json.decode(record.message, type=dict[str, object]).get("type")
    return f"{kind} #{record.seq}"

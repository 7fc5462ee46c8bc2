"""Replays the journal: the same inputs through the same pure machines must return the same, bit for bit.

A replay begins where a session began (all machines) or where the state was kept (only those that go on from a state as
if nothing had happened); from there every record is handed to its machine again. Compared are what each machine
returned (the digest in the record after it) and, wherever the journal kept the state, all of the state.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.boot import Boot
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.errors import JournalBroken
from hedgegridd.journal.record import SESSION, STATE, Record, digest_of
from hedgegridd.state import Machine, Machines, config_of, envelope_of

DIFFERENCES_MAX = 20
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
            self._kept.restore(before.snapshot(), ())
            self._same_state(record, self._kept, began.state)
        self._kept.load(began.state)
        self._machines = {
            **self._kept.by_name,
            # Nothing of theirs outlives a process.
            "boot": Boot(),
            "reconciler": Reconciler(config.venue.reconcile_interval_s),
        }

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
            if bytes(parts_now.get(name, b"")) != bytes(parts_then.get(name, b"")):
                self._differs(Difference(record.position, name, "has come to another state"))

    def _differs(self, difference: Difference) -> None:
        if len(self.outcome.differences) < DIFFERENCES_MAX:
            self.outcome.differences.append(difference)
        else:
            self.outcome.more_differences += 1


def _name(record: Record) -> str:
    kind = msgspec.json.decode(record.message, type=dict[str, object]).get("type")
    return f"{kind} #{record.seq}"

"""What survives a restart: the state of every machine, from the last snapshot and the journal's tail.

Machines are fed the tail's records again and what they return is thrown away: it has happened already. Then each is
told of the restart, which settles what that means to it (an open trip is finished, ARMED starts over).
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener, FlattenState
from hedgegridd.core.kill_switch import KillSwitch, KillSwitchState
from hedgegridd.core.state import DeskState
from hedgegridd.errors import JournalBroken
from hedgegridd.journal.record import Record
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.state import RiskState


class DaemonState(msgspec.Struct, kw_only=True):
    """One snapshot: all machines as of the same journal position."""

    desk: DeskState
    kill_switch: KillSwitchState
    flatten: FlattenState
    risk: RiskState = msgspec.field(default_factory=RiskState)  # older snapshots have none


class _Handler(Protocol):
    def handle(self, env: m.Envelope) -> list[m.Message]: ...


_messages = msgspec.json.Decoder(m.Journaled)


class Machines:
    """The machines whose state is kept; the names are their actors'."""

    def __init__(self, desk: Desk, kill_switch: KillSwitch, flatten: Flattener, risk: RiskMachine) -> None:
        self.desk = desk
        self.kill_switch = kill_switch
        self.flatten = flatten
        self.risk = risk
        self._by_name: dict[str, _Handler] = {
            "desk": desk,
            "kill_switch": kill_switch,
            "flatten": flatten,
            "risk": risk,
        }

    def snapshot(self) -> bytes:
        """The state as JSON; all of it as of now, since nothing runs in between."""
        state = DaemonState(
            desk=self.desk.snapshot(),
            kill_switch=self.kill_switch.snapshot(),
            flatten=self.flatten.snapshot(),
            risk=self.risk.snapshot(),
        )
        # Keys such as levels and prices become text first: sorting takes no others.
        return msgspec.json.encode(msgspec.to_builtins(state, str_keys=True), order="deterministic")

    def books_are_empty(self) -> bool:
        """Whether we know of no order and no inventory of ours."""
        desk = self.desk.snapshot()
        legs = [leg for legs in desk.ledger.legs.values() for leg in legs.values()]
        return not any(grid.book.live for grid in desk.grids.values()) and not any(leg.qty for leg in legs)

    def restore(self, state: bytes | None, tail: Iterable[Record]) -> int:
        """Take up a snapshot (None: begin empty) and the records after it; how many records were replayed.

        Raises:
            JournalBroken: a record that a machine consumed cannot be read by this version.
        """
        if state is not None:
            kept = msgspec.json.decode(state, type=DaemonState)
            self.desk.restore(kept.desk)
            self.kill_switch.restore(kept.kill_switch)
            self.flatten.restore(kept.flatten)
            self.risk.restore(kept.risk)
        count = 0
        for record in tail:
            machine = self._by_name.get(record.to)
            if machine is None:
                continue
            machine.handle(_envelope(record))
            count += 1
        self.desk.new_session()
        self.risk.new_session()
        self.kill_switch.restore(self.kill_switch.snapshot())
        self.flatten.restore(self.flatten.snapshot())
        return count


def _envelope(record: Record) -> m.Envelope:
    try:
        message = _messages.decode(record.message)
    except msgspec.DecodeError as error:
        raise JournalBroken(
            f"record {record.position} is not of this version's vocabulary: {error}"
        ) from error
    return m.Envelope(
        seq=record.seq,
        time_ns=record.time_ns,
        mono_ns=record.mono_ns,
        cause=record.cause,
        actor=record.actor,
        message=message,
    )

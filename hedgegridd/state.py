"""What survives a restart: the state of every machine, from the last snapshot and the journal's tail.

Machines are fed the tail's records again and what they return is thrown away: it has happened already. Then each is
told of the restart, which settles what that means to it (an open trip is finished, ARMED starts over).
"""

from collections.abc import Container, Iterable
from typing import Protocol

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.core.dead_man_state import DeadManState
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener, FlattenState
from hedgegridd.core.kill_switch import KillSwitch, KillSwitchState
from hedgegridd.core.reloaded import config_in
from hedgegridd.core.state import DeskState
from hedgegridd.core.switches import Switches, SwitchesState
from hedgegridd.errors import JournalBroken
from hedgegridd.journal.record import SESSION, STATE, Record
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import settings
from hedgegridd.risk.state import RiskState


class DaemonState(msgspec.Struct, kw_only=True):
    """One snapshot: all machines as of the same journal position."""

    desk: DeskState
    kill_switch: KillSwitchState
    flatten: FlattenState
    dead_man: DeadManState = msgspec.field(default_factory=DeadManState)
    risk: RiskState = msgspec.field(default_factory=RiskState)  # older snapshots have none
    switches: SwitchesState = msgspec.field(default_factory=SwitchesState)


class Machine(Protocol):
    """A pure part: an envelope in, messages out."""

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """Take one message and return what follows from it."""
        ...


_messages = msgspec.json.Decoder(m.Journaled)


class Machines:
    """The machines whose state is kept; the names are their actors'."""

    def __init__(
        self,
        desk: Desk,
        kill_switch: KillSwitch,
        flatten: Flattener,
        risk: RiskMachine,
        dead_man: DeadMan,
        *,
        switches: Switches | None = None,
    ) -> None:
        self.desk = desk
        self.kill_switch = kill_switch
        self.flatten = flatten
        self.risk = risk
        self.dead_man = dead_man
        self.switches = switches or Switches("", ())
        self.hold_sources: tuple[str, ...] = ()
        self.by_name: dict[str, Machine] = {
            "desk": desk,
            "kill_switch": kill_switch,
            "flatten": flatten,
            "dead_man": dead_man,
            "risk": risk,
            "switches": self.switches,
        }

    @classmethod
    def of(cls, config: Config, epoch: str, hold_sources: tuple[str, ...] = ()) -> "Machines":
        """The machines of a config, as a daemon and a replay make them; `epoch` of the state folder.

        Nothing is traded before each of `hold_sources` has said what it holds.
        """
        symbols = {grid.instrument_id: grid.symbol for grid in config.grid}
        made = cls(
            Desk(config, epoch, hold_sources=hold_sources),
            KillSwitch(config.kill_switch, hold_sources, tuple(symbols)),
            Flattener(symbols, epoch),
            RiskMachine(settings(config), symbols, lambda raw: settings(config_in(raw))),
            DeadMan(config),
            switches=Switches(config.venue.kind, tuple(symbols)),
        )
        made.hold_sources = hold_sources
        return made

    def snapshot(self) -> bytes:
        """The state as JSON; all of it as of now, since nothing runs in between."""
        state = DaemonState(
            desk=self.desk.snapshot(),
            kill_switch=self.kill_switch.snapshot(),
            flatten=self.flatten.snapshot(),
            dead_man=self.dead_man.snapshot(),
            risk=self.risk.snapshot(),
            switches=self.switches.snapshot(),
        )
        # Not sorted: the order of the dicts is a part of the state (the oldest goes first when a memory is full, orders
        # and lots of a leg are gone through as they came).
        return msgspec.json.encode(state)

    def at_rest(self) -> bool:
        """Whether nobody is in the middle of a removal or a rearm: a state kept then restores without doing it again."""
        return self.kill_switch.at_rest and not self.flatten.snapshot().running

    def books_are_empty(self) -> bool:
        """Whether we know of no order and no inventory of ours."""
        desk = self.desk.snapshot()
        legs = [leg for legs in desk.ledger.legs.values() for leg in legs.values()]
        return not any(grid.book.live for grid in desk.grids.values()) and not any(leg.qty for leg in legs)

    def unwatched(self, instruments: Container[str]) -> tuple[str, ...]:
        """Inventory of our books in an instrument that is not among these, each as `LONG 0.010 of BTCUSDT-PERP.BINANCE`."""
        ledger = self.desk.snapshot().ledger
        return tuple(
            f"{leg} {account.qty:f} of {instrument}"
            for instrument, legs in ledger.legs.items()
            for leg, account in legs.items()
            if account.qty and instrument not in instruments
        )

    def restore(self, state: bytes | None, tail: Iterable[Record]) -> int:
        """Take up a snapshot (None: begin empty) and the records after it; how many records were replayed.

        Raises:
            JournalBroken: a record that a machine consumed cannot be read by this version.
        """
        if state is not None:
            self.load(state)
        count = 0
        for record in tail:
            if record.to in (SESSION, STATE):
                self._keep_up(record)
                continue
            machine = self.by_name.get(record.to)
            if machine is None:
                continue
            machine.handle(envelope_of(record))
            count += 1
        self.new_session()
        return count

    def new_session(self) -> None:
        """A new process begins: each machine settles what that means to it."""
        self.desk.new_session()
        self.risk.new_session()
        self.kill_switch.restore(self.kill_switch.snapshot())
        self.flatten.restore(self.flatten.snapshot())
        self.dead_man.new_session()
        self.switches.new_session()

    def load(self, state: bytes | msgspec.Raw) -> None:
        """Take up a state that `snapshot` gave."""
        kept = msgspec.json.decode(state, type=DaemonState)
        self.desk.restore(kept.desk)
        self.kill_switch.load(kept.kill_switch)
        self.flatten.restore(kept.flatten)
        self.dead_man.restore(kept.dead_man)
        self.risk.restore(kept.risk)
        self.switches.restore(kept.switches)

    def _keep_up(self, record: Record) -> None:
        """What does not follow from the records before it: a process began in between, or records were lost."""
        message = envelope_of(record).message
        if isinstance(message, m.SessionBegan) or (isinstance(message, m.StateKept) and message.lost):
            self.load(message.state)


def config_of(kept: msgspec.Raw) -> Config:
    """The config of a session.

    Raises:
        JournalBroken: it is not of this version's vocabulary.
    """
    try:
        return config_in(kept)
    except msgspec.DecodeError as error:
        raise JournalBroken(f"the session's config is not of this version's vocabulary: {error}") from error


def envelope_of(record: Record) -> m.Envelope:
    """The envelope of a record that an actor consumed, as it was.

    Raises:
        JournalBroken: its message is not of this version's vocabulary.
    """
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

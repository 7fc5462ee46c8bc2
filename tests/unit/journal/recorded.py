"""A desk whose envelopes go into a journal as the bus would put them there, sessions included."""

from pathlib import Path

import msgspec

from hedgegridd import messages as m
from hedgegridd.config import Config
from hedgegridd.core.reloaded import carried
from hedgegridd.journal.record import SESSION, STATE
from hedgegridd.journal.recorder import Recorder
from hedgegridd.journal.writer import Journal
from hedgegridd.runtime.clock import VirtualClock
from hedgegridd.state import Machines
from tests.support.desk_rig import EPOCH
from tests.support.desk_rig import config as default_config


class RecordedDesk:
    """Takes the desk's place in a venue of the tests; `begin` it in the place of a process."""

    def __init__(self, folder: Path, *, config: Config | None = None, **kwargs: object) -> None:
        self.config = config or default_config()
        self.journal = Journal(folder, VirtualClock(start_wall_ns=5), **kwargs)  # type: ignore[arg-type]
        self.journal.open()
        self.recorder = Recorder(self.journal)
        self.machines = Machines.of(self.config, EPOCH)
        self.seq = 0
        self.begin(None)

    def begin(self, state: bytes | None) -> None:
        """A process takes up the state."""
        self.machines = Machines.of(self.config, EPOCH)
        self.machines.restore(state, ())
        began = m.SessionBegan(
            version="0",
            pid=1,
            snapshot_position=self.journal.position,
            epoch=EPOCH,
            config=carried(self.config),
            state=self.state(),
        )
        self.write(SESSION, began)

    def keep(self, lost: int = 0) -> None:
        """The state goes into the journal."""
        kept = m.StateKept(lost=lost, epoch=EPOCH, config=carried(self.config), state=self.state())
        self.write(STATE, kept)

    def state(self) -> msgspec.Raw:
        return msgspec.Raw(self.machines.snapshot())

    def write(self, kind: str, message: m.Message) -> None:
        self.journal.append(
            kind,
            m.Envelope(seq=self.seq, time_ns=self.seq, mono_ns=0, cause=0, actor="app", message=message),
        )

    def handle(self, env: m.Envelope) -> list[m.Message]:
        self.seq = env.seq
        if isinstance(env.message, m.Query):
            return self.machines.desk.handle(env)
        self.recorder.handed("desk", env)
        out = self.machines.desk.handle(env)
        if out:
            self.recorder.returned("desk", env, out)
        return out

    def snapshot(self) -> object:
        return self.machines.desk.snapshot()

    def new_session(self) -> None:
        """Has begun already."""

    def restore(self, _state: object) -> None:
        """`FakeVenue.restart` brings its own copy: ours is the journal's."""

"""The composition root: what a failed journal does."""

from hedgegridd import messages as m
from hedgegridd.app import Daemon
from hedgegridd.config import Config, Grid
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.errors import ActorDown
from hedgegridd.venue.rest import Credentials


class Desk:
    """A bus with nobody but the desk on it, who may have gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.told: list[m.Message] = []
        self._gone = gone

    def tell(self, command: m.Message, cause: int = 0, actor: str = "") -> int:
        if self._gone:
            raise ActorDown("desk is out of service")
        self.told.append(command)
        return 1


def daemon(bus: Desk) -> Daemon:
    made = Daemon(Config(grid=(Grid(),), daemon=DaemonTable(state_dir="/nowhere")), Credentials("k", "s"))
    made.bus = bus
    return made


def test_a_failed_journal_takes_resting_entries_away():
    bus = Desk()
    daemon(bus)._journal_failed(OSError("no space left"))
    (pause,) = bus.told
    assert isinstance(pause, m.PauseEntries)
    assert pause.instrument is None
    assert "no space left" in pause.reason


def test_a_journal_that_fails_after_the_desk_has_gone_breaks_nothing():
    daemon(Desk(gone=True))._journal_failed(OSError("no space left"))

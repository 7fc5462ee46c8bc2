"""The composition root: what a failed journal does."""

import msgspec

from hedgegridd import messages as m
from hedgegridd.app import Daemon
from hedgegridd.config import Config, Grid, Venue
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.core.desk import LOST_ORDERS
from hedgegridd.errors import ActorDown
from hedgegridd.journal.snapshot import load
from hedgegridd.state import DaemonState
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


def test_every_process_begins_with_a_snapshot_so_that_the_next_replays_its_records_alone(tmp_path):
    venue = Venue(
        rest_url="http://127.0.0.1:9", market_ws_url="ws://127.0.0.1:9", user_ws_url="ws://127.0.0.1:9"
    )
    config = Config(grid=(Grid(),), daemon=DaemonTable(state_dir=str(tmp_path)), venue=venue)
    begun = []
    for _ in range(2):
        made = Daemon(config, Credentials("k", "s"))
        made.open()
        kept = load(tmp_path / "snapshots")
        assert kept is not None
        begun.append(msgspec.json.decode(kept.state, type=DaemonState).desk.next_order)
        made.journal.close()
        made.folder.close()  # the process is killed: no snapshot of its end
    assert begun == [1 + LOST_ORDERS, 1 + 2 * LOST_ORDERS]

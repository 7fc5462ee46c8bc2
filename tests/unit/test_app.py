"""The composition root: what a failed journal does."""

from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from hedgegridd import messages as m
from hedgegridd import stopping
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.app import Daemon
from hedgegridd.config import Config, Grid, Venue
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.config import KillSwitch as KillSwitchTable
from hedgegridd.core import desk as core_desk
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.core.desk import LOST_ORDERS
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.errors import ActorDown, ConfigError
from hedgegridd.journal.snapshot import load
from hedgegridd.model import KillState, Leg
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.state import DaemonState, Machines
from hedgegridd.stopping import OrderlyStop
from hedgegridd.venue.rest import Credentials
from tests.support.desk_rig import config as desk_config
from tests.support.desk_rig import rig
from tests.support.fake_venue import BTC


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


def test_inventory_of_an_instrument_that_the_config_has_lost_is_not_left_unwatched(tmp_path):
    venue = Venue(
        rest_url="http://127.0.0.1:9", market_ws_url="ws://127.0.0.1:9", user_ws_url="ws://127.0.0.1:9"
    )
    table = DaemonTable(state_dir=str(tmp_path))
    first = Daemon(Config(grid=(Grid(),), daemon=table, venue=venue), Credentials("k", "s"))
    first.open()
    state = first.machines.desk.snapshot()
    state.ledger.legs[BTC][Leg.SHORT].qty = Decimal("0.1")
    first.machines.desk.restore(state)
    first.close()
    other = Config(grid=(Grid(instrument="ETHUSDT-PERP"),), daemon=table, venue=venue)
    lost = Daemon(other, Credentials("k", "s"))
    with pytest.raises(ConfigError, match=r"our books hold SHORT 0\.1 of BTCUSDT-PERP"):
        lost.open()
    lost.journal.close()
    lost.folder.close()
    kept = Grid(enabled=False)
    both = Daemon(Config(grid=(*other.grid, kept), daemon=table, venue=venue), Credentials("k", "s"))
    both.open()
    both.close()


def test_a_process_begins_with_the_trips_that_the_journal_of_the_last_one_has_lost(tmp_path):
    """On a full disk the trip is in its file alone; the process is killed, and the next one has it to carry out."""
    venue = Venue(
        rest_url="http://127.0.0.1:9", market_ws_url="ws://127.0.0.1:9", user_ws_url="ws://127.0.0.1:9"
    )
    config = Config(grid=(Grid(),), daemon=DaemonTable(state_dir=str(tmp_path)), venue=venue)
    trip = m.Trip(trip_id="T-9", scope=m.Scope(), action="flatten", cause="loss")
    latched = []
    for written in ((trip,), (), ()):
        made = Daemon(config, Credentials("k", "s"))
        made.open()
        kept = load(tmp_path / "snapshots")
        assert kept is not None
        switch = msgspec.json.decode(kept.state, type=DaemonState).kill_switch
        assert switch.trip_id == "".join(each.trip_id for each in made.machines.kill_switch.latched)
        latched.append([(each.trip_id, each.state) for each in made.machines.kill_switch.latched])
        made.trip_latch.write(written)
        made.journal.close()
        made.folder.close()
    tripped = [("T-9", KillState.TRIPPED)]
    assert latched == [[], tripped, tripped], "in the journal of the second it is for good"


class Ending:
    """A desk that answers a stop as scripted: entries gone or not, then one outcome per comparison."""

    def __init__(
        self,
        waiter: WaiterActor,
        outcomes: list[tuple[str, bool]],
        *,
        gone: bool,
        disarms: bool = True,
    ) -> None:
        self._waiter, self._outcomes, self._gone, self._disarms = waiter, outcomes, gone, disarms
        self.stops = 0

    def _say(self, event: m.Event) -> None:
        self._waiter.handle(m.Envelope(seq=1, time_ns=1, mono_ns=1, cause=0, actor="desk", message=event))

    def publish(self, event: m.Event, cause: int = 0, actor: str = "") -> None:
        if self._gone:
            self._say(m.EntriesGone(cause="stopping"))

    def tell(self, command: m.Message, cause: int = 0, actor: str = "") -> int:
        assert command == m.Reconcile(cause="stopping")
        if self._outcomes:
            said, ok = self._outcomes.pop(0)
            self._say(m.Reconciled(ok=ok, cause=said))
        return 1

    async def ask(self, command: m.Message, deadline_s: float, cause: int = 0, actor: str = "") -> m.Answer:
        if command == m.GetStatus():
            asked = m.Envelope(seq=1, time_ns=1, mono_ns=1, cause=0, actor="t", message=command)
            (answer,) = (each for each in rig().desk.handle(asked) if isinstance(each, m.StatusAnswer))
            return m.StatusAnswer(to=1, view=msgspec.structs.replace(answer.view, unsettled=()))
        assert command == m.DisarmDeadMan(reason="stopping")
        assert self._gone, "while entries may rest the countdown stays"
        if not self._disarms:
            raise ActorDown("no answer")
        return m.Done(to=1)

    def request_stop(self) -> None:
        self.stops += 1


@pytest.mark.parametrize(
    ("outcomes", "gone", "disarms", "facts"),
    [
        ([("stopping", True)], True, True, (True, True, True)),
        ([("stopping", False), ("stopping", True)], True, True, (True, True, True)),
        ([("stopping", False)] * 3, True, True, (True, True, False)),
        ([("timer", True)], True, True, (True, True, False)),
        ([], True, True, (True, True, False)),
        ([("stopping", True)], False, True, (False, False, True)),
        ([("stopping", True)], True, False, (True, False, True)),
    ],
)
async def test_a_stop_is_confirmed_by_its_own_comparison_that_agrees(
    monkeypatch, outcomes, gone, disarms, facts
):
    monkeypatch.setattr(stopping, "ENTRIES_S", 0.01)
    monkeypatch.setattr(stopping, "BOOKS_S", 0.01)
    made = Daemon(Config(grid=(Grid(),), daemon=DaemonTable(state_dir="/nowhere")), Credentials("k", "s"))
    made.waiter = WaiterActor()
    made.bus = made.supervisor = ending = Ending(made.waiter, list(outcomes), gone=gone, disarms=disarms)
    made.orderly_stop = OrderlyStop(ending, made.waiter, flatten=False, disarm=made._disarm_dead_man)
    made.boot = SimpleNamespace(reached_venue=True)
    made.systemd = SimpleNamespace(stopping=lambda: None)
    made._stop_asked.set()
    with capture_logs() as logs:
        await made._stop_in_order()
    (line,) = [line for line in logs if line["event"] == "stopped"]
    assert (line["entries_gone"], line["dead_man_disarmed"], line["books_agree_with_venue"]) == facts
    assert made.confirmed is all(facts)
    assert ending.stops == 1


@pytest.mark.parametrize(
    ("reached", "empty", "waits"), [(False, True, False), (False, False, True), (True, True, True)]
)
async def test_a_stop_waits_for_the_venue_unless_it_was_never_reached_and_the_books_are_empty(
    monkeypatch, *, reached, empty, waits
):
    monkeypatch.setattr(stopping, "ENTRIES_S", 0.01)
    monkeypatch.setattr(stopping, "BOOKS_S", 0.01)
    made = Daemon(Config(grid=(Grid(),), daemon=DaemonTable(state_dir="/nowhere")), Credentials("k", "s"))
    made.waiter = WaiterActor()
    made.bus = made.supervisor = ending = Ending(made.waiter, [("stopping", True)], gone=True)
    made.orderly_stop = OrderlyStop(ending, made.waiter, flatten=False)
    made.boot = SimpleNamespace(reached_venue=reached)
    made.systemd = SimpleNamespace(stopping=lambda: None)
    made.machines = SimpleNamespace(books_are_empty=lambda: empty)
    made._stop_asked.set()
    with capture_logs() as logs:
        await made._stop_in_order()
    assert ending.stops == 1
    assert made.confirmed is waits, "what nobody has asked for nobody has confirmed"
    assert any("never reached" in str(line.get("venue")) for line in logs) is not waits


def test_books_are_empty_until_they_hold_an_order_or_inventory():
    venue = rig()
    machines = Machines(
        venue.desk,
        KillSwitch(KillSwitchTable()),
        Flattener({}, "t1"),
        RiskMachine((), ()),
        DeadMan(desk_config()),
    )
    assert not machines.books_are_empty()
    fresh = Machines(
        core_desk.Desk(desk_config(), "t1"),
        KillSwitch(KillSwitchTable()),
        Flattener({}, "t1"),
        RiskMachine((), ()),
        DeadMan(desk_config()),
    )
    assert fresh.books_are_empty()
    state = fresh.desk.snapshot()
    state.ledger.legs[BTC][Leg.SHORT].qty = Decimal("0.1")
    fresh.desk.restore(state)
    assert not fresh.books_are_empty()

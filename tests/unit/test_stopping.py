"""An orderly stop: its stages in order, each with a deadline, all of them under what systemd waits."""

import anyio
import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd import stopping
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.app import Daemon
from hedgegridd.config import Config, Grid, Venue
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.operation import Caller, Problem, Role, Services
from hedgegridd.errors import ActorDown
from hedgegridd.operations import REGISTRY
from hedgegridd.stopping import OrderlyStop, longest_s
from hedgegridd.venue.rest import Credentials
from tests.support.desk_rig import rig


class World:
    """A bus whose desk and flatten confirm everything, but for what a test takes away."""

    def __init__(
        self,
        *,
        deaf: tuple[type, ...] = (),
        broken: bool = False,
        unsettled: tuple[tuple[str, ...], ...] = ((),),
    ) -> None:
        self._unsettled = list(unsettled)  # at each look; the last one stays
        self.waiter = WaiterActor()
        self.told: list[m.Message] = []
        self._deaf, self._broken = deaf, broken

    def _say(self, event: m.Event) -> None:
        self.waiter.handle(m.Envelope(seq=1, time_ns=1, mono_ns=1, cause=0, actor="desk", message=event))

    def publish(self, event: m.Event, cause: int = 0, actor: str = "") -> int:
        self.told.append(event)
        if isinstance(event, m.Stopping) and m.Stopping not in self._deaf:
            self._say(m.EntriesGone(cause="stopping"))
        return 1

    def tell(self, command: m.Message, cause: int = 0, actor: str = "") -> int:
        self.told.append(command)
        if m.Reconcile not in self._deaf:
            self._say(m.Reconciled(ok=True, cause="stopping"))
        return 1

    async def ask(self, command: m.Message, deadline_s: float, cause: int = 0, actor: str = "") -> m.Answer:
        self.told.append(command)
        if command == m.GetStatus():
            now = self._unsettled.pop(0) if len(self._unsettled) > 1 else self._unsettled[0]
            asked = m.Envelope(seq=1, time_ns=1, mono_ns=1, cause=0, actor="t", message=command)
            (answer,) = (each for each in rig().desk.handle(asked) if isinstance(each, m.StatusAnswer))
            return m.StatusAnswer(to=1, view=msgspec.structs.replace(answer.view, unsettled=now))
        if self._broken:
            raise ActorDown("flatten is out of service")
        if m.Flatten in self._deaf:
            await anyio.sleep_forever()
        answer = {"closed": {}, "residuals": {}, "residual_orders": 0, "proof": (), "cancelled_orders": 0}
        return m.FlattenAnswer(to=1, flatten_id="F-1", verified=True, after_s=0, **answer)

    async def disarm(self) -> bool:
        self.told.append("disarm")
        return True

    def stop(self, *, flatten: bool = True, disarm: bool = True) -> OrderlyStop:
        return OrderlyStop(self, self.waiter, flatten=flatten, disarm=self.disarm if disarm else None)


ALL = {"entries_gone": True, "flat": True, "dead_man_disarmed": True, "books_agree_with_venue": True}


async def test_the_stages_come_in_order_and_say_where_they_are():
    world = World()
    assert await world.stop().run("SIGTERM") == ALL
    kinds = [x.stage if isinstance(x, m.StageReached) else x for x in world.told]
    assert kinds[0] == m.Stopping(reason="SIGTERM")
    assert kinds[1] == "inventory"
    assert isinstance(kinds[2], m.Flatten)
    assert kinds[3:] == ["dead man", "disarm", "books", m.Reconcile(cause="stopping")]


async def test_what_the_config_does_not_ask_for_is_left_out():
    confirmed = await World().stop(flatten=False, disarm=False).run("SIGTERM")
    assert confirmed == {"entries_gone": True, "exits_at_venue": True, "books_agree_with_venue": True}


@pytest.mark.parametrize(
    ("unsettled", "there"),
    [
        (((),), True),
        ((("its stop does not rest",), ()), True),
        ((("its take-profits are not its lots",),), False),
    ],
)
async def test_inventory_that_stays_has_its_exits_at_the_venue(monkeypatch, unsettled, there):
    """An order whose answer was lost on the way down may not be there: inventory would be left without its take-profit."""
    monkeypatch.setattr(
        stopping, "EXITS_S", 10 if there else 0.05
    )  # a busy machine may need long to look twice
    monkeypatch.setattr(stopping, "EXITS_LOOK_S", 0.001)
    confirmed = await World(unsettled=unsettled).stop(flatten=False).run("SIGTERM")
    assert confirmed["exits_at_venue"] is there


@pytest.mark.parametrize(
    ("deaf", "fact"),
    [(m.Stopping, "entries_gone"), (m.Flatten, "flat"), (m.Reconcile, "books_agree_with_venue")],
)
async def test_a_stage_that_hangs_ends_at_its_deadline_and_the_others_follow(monkeypatch, deaf, fact):
    for name in ("ENTRIES_S", "BOOKS_S"):
        monkeypatch.setattr(stopping, name, 0.01)
    monkeypatch.setattr(stopping, "FLATTEN_S", -0.99)
    world = World(deaf=(deaf,))
    confirmed = await world.stop().run("SIGTERM")
    gone = fact != "entries_gone"
    assert confirmed == ALL | {"dead_man_disarmed": gone} | {fact: False}
    assert ("disarm" in world.told) == gone, "the countdown takes away what may still rest"


async def test_a_stage_that_fails_is_not_confirmed_and_the_others_follow():
    assert await World(broken=True).stop().run("SIGTERM") == ALL | {"flat": False}


def test_all_deadlines_together_stay_under_what_systemd_waits(tmp_path):
    venue = Venue(
        rest_url="http://127.0.0.1:9", market_ws_url="ws://127.0.0.1:9", user_ws_url="ws://127.0.0.1:9"
    )
    table = DaemonTable(state_dir=str(tmp_path), on_stop="flatten")
    made = Daemon(Config(grid=(Grid(),), daemon=table, venue=venue), Credentials("k", "s"))
    made.open()
    try:
        actors = [seat.actor for seat in made.supervisor._seats.values()]
        assert longest_s(made.orderly_stop.stages, actors) < stopping.TIMEOUT_STOP_S
    finally:
        made.journal.close()
        made.folder.close()


class Silent:
    """A bus that answers everything with Done."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []

    async def ask(self, message: m.Message, deadline_s: float, *, actor: str = "") -> m.Answer:
        self.asked.append(message)
        return m.Done(to=1)


async def durable(_timeout_s: float) -> None:
    return None


@pytest.mark.parametrize("verb", [verb for verb, kind in REGISTRY.verbs.items() if kind.method != "GET"])
async def test_while_stopping_new_commands_are_refused_but_not_those_of_safety(verb):
    bus = Silent()
    services = Services(
        bus=bus,
        instruments=("BTCUSDT-PERP.BINANCE",),
        time_ns=lambda: 1,
        durable=durable,
        recent=list,
        stopping=lambda: "SIGTERM",
    )
    fields = {
        "throttle": {"throttle": "0.5"},
        "mode": {"leg": "long", "mode": "normal"},
        "flatten": {"side": "both"},
        "rearm": {"reason": "x"},
        "ack": {"alert_id": "all"},
        "backup": {"folder": "/srv/backup"},
        "event": {"source": "scanner", "action": "pause", "reason": "x"},
        "switch": {"name": "read_only", "enabled": True, "reason": "x"},
        "weights": {"weights": {"BTCUSDT": 1}},
        "test-order": {"leg": "long", "notional_usdt": 60},
    }
    caller = Caller(actor="me", role=Role.ADMIN, client="me")
    kind = REGISTRY.verbs[verb]
    run = Dispatcher(REGISTRY, services).run_mapping(kind, fields.get(verb, {}), caller)
    if kind.safety:
        assert (await run).status in (200, 202)
        assert bus.asked
        return
    with pytest.raises(Problem) as problem:
        await run
    assert problem.value.status == 409
    assert "stopping (SIGTERM)" in problem.value.detail
    assert problem.value.accepted == ("flatten", "kill", "pause", "status")
    assert not bus.asked

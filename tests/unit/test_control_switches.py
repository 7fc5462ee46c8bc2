"""Switches and weights at the front, and what is taken in which state: operation x state -> status."""

import asyncio
from typing import Any

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.control.dispatch import IN_FLIGHT_MAX, SAFETY_IN_FLIGHT_MAX
from hedgegridd.control.operation import DURABLE_S, Caller, Operation, Outcome, Problem, Role
from hedgegridd.core.switches import Switches
from hedgegridd.errors import JournalFailed
from hedgegridd.model import Leg, OrderKind, Purpose, Side
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import BTC, ORDER, FakeBus, dispatcher
from tests.unit.test_control_http import CONFIG, GOOD, headers, served

ADMIN = Caller(actor="me", role=Role.ADMIN, client="key:me")
ENTRY = msgspec.structs.replace(
    ORDER, purpose=Purpose.ENTRY, leg=Leg.LONG, side=Side.BUY, kind=OrderKind.LIMIT
)
SAFE = {"flatten", "kill", "pause"}


async def run(bus: FakeBus, verb: str, fields: dict[str, Any] | None = None, **over: Any) -> Outcome:
    kind = REGISTRY.verbs[verb]
    made = dispatcher(bus, **over)
    return await made.run_mapping(kind, GOOD.get(verb, {}) if fields is None else fields, ADMIN)


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
@pytest.mark.parametrize("state", ["normal", "read_only", "stopping"])
async def test_every_operation_in_every_state(verb: str, state: str) -> None:
    kind, bus = REGISTRY.verbs[verb], FakeBus()
    over: dict[str, Any] = {state: lambda: "by ann"} if state != "normal" else {}
    open_then = {
        "read_only": {"switch", "event", "ack", "test_alert"},
        "stopping": set(),
        "normal": set(REGISTRY.verbs),
    }[state]
    if kind.method == "GET" or verb in SAFE | open_then:
        assert (await run(bus, verb, **over)).status == 200
        return
    with pytest.raises(Problem) as caught:
        await run(bus, verb, **over)
    assert caught.value.status == 409
    assert "nothing changed" in caught.value.detail
    assert set(caught.value.accepted) >= SAFE
    assert bus.asked == []


async def test_a_rearm_by_kill_is_no_safety_command() -> None:
    bus = FakeBus()
    with pytest.raises(Problem, match="read only"):
        await run(bus, "kill", {"enabled": True, "reason": "checked"}, read_only=lambda: "by ann")
    assert (await run(bus, "kill", {"enabled": False}, read_only=lambda: "by ann")).status == 200
    assert [type(each) for each in bus.commands] == [m.Kill]


class Counting(FakeBus):
    """Says when so many commands have come."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.reached: dict[int, asyncio.Event] = {}

    async def ask(self, message: m.Message, deadline_s: float, *, actor: str = "") -> m.Answer:
        if isinstance(message, m.Command):
            self.reached.setdefault(len(self.commands) + 1, asyncio.Event()).set()
        return await super().ask(message, deadline_s, actor=actor)

    async def commands_are(self, count: int) -> None:
        await asyncio.wait_for(self.reached.setdefault(count, asyncio.Event()).wait(), 10)


async def test_safety_commands_are_taken_when_every_bucket_is_empty_and_every_place_is_taken() -> None:
    bus = Counting()
    assert bus.gate is not None
    config = msgspec.structs.replace(CONFIG, writes_per_min=64, reads_per_min=1)
    async with served(bus, config) as (session, _):

        async def post(path: str, body: dict[str, Any]) -> int:
            async with session.post(path, json=body, headers=headers("operator")) as response:
                return response.status

        held = [asyncio.ensure_future(post("/throttle", {"throttle": 0.5})) for _ in range(64)]
        await bus.commands_are(64)
        assert await post("/throttle", {"throttle": 0.5}) == 429
        safe = [
            asyncio.ensure_future(post(path, body))
            for path, body in (("/flatten", {"side": "both"}), ("/kill", {}), ("/pause", {}))
            for _ in range(10)
        ]
        await bus.commands_are(64 + 30)
        bus.gate.set()
        assert set(await asyncio.gather(*safe)) == {200}
        assert set(await asyncio.gather(*held)) == {200}


async def test_the_safety_lane_is_bounded_gives_its_places_back_and_takes_none_of_the_others() -> None:
    bus = Counting()
    assert bus.gate is not None
    made = dispatcher(bus)
    flatten, throttle = REGISTRY.verbs["flatten"], REGISTRY.verbs["throttle"]

    async def once(kind: type[Operation]) -> int:
        return (await made.run_mapping(kind, GOOD[kind.verb], ADMIN)).status

    for round_ in range(2):  # the second needs the places of the first
        before = len(bus.commands)
        bus.gate.clear()
        held = [asyncio.ensure_future(once(flatten)) for _ in range(SAFETY_IN_FLIGHT_MAX)]
        await bus.commands_are(before + SAFETY_IN_FLIGHT_MAX)
        with pytest.raises(Problem, match="safety commands are running") as caught:
            await once(flatten)
        assert (caught.value.status, caught.value.begun) == (503, False), round_
        ordinary = [asyncio.ensure_future(once(throttle)) for _ in range(IN_FLIGHT_MAX)]
        await bus.commands_are(before + SAFETY_IN_FLIGHT_MAX + IN_FLIGHT_MAX)
        with pytest.raises(Problem, match="requests are running") as caught:
            await once(throttle)
        assert set(caught.value.accepted) == SAFE
        bus.gate.set()
        assert set(await asyncio.gather(*held, *ordinary)) == {200}
    bus.table[m.Flatten] = m.Refused(to=0, reason="no")
    for _ in range(SAFETY_IN_FLIGHT_MAX + 1):  # what is refused gives its place back as well
        with pytest.raises(Problem, match="409 refused: no"):
            await once(flatten)


async def test_a_hung_disk_holds_a_safety_command_for_a_moment_and_others_for_longer() -> None:
    asked: list[float] = []

    async def hung(timeout_s: float) -> None:
        asked.append(timeout_s)
        raise JournalFailed("the disk hangs")

    outcome = await run(FakeBus(), "flatten", durable=hung)
    assert (outcome.status, outcome.body["journal_late"]) == (200, True)
    with pytest.raises(Problem, match="the disk hangs") as caught:
        await run(FakeBus(), "throttle", durable=hung)
    assert caught.value.status == 503
    assert asked == [0.1, DURABLE_S]


async def test_an_unknown_switch_is_404_and_a_body_that_differs_from_the_path_422() -> None:
    bus = FakeBus()
    async with served(bus) as (session, _):
        for path, body, status in (
            ("/switches/disable_gravity", {"enabled": True}, 404),
            ("/switches/disable_entries", {"enabled": True, "name": "read_only"}, 422),
            ("/switches/disable_entries", {}, 422),
            ("/switches/disable_entries", {"enabled": "yes"}, 422),
        ):
            async with session.post(path, json=body, headers=headers("operator")) as response:
                facts = await response.json(content_type=None)
            assert (response.status, facts["field"]) == (
                status,
                "enabled" if len(body) < 2 and status == 422 else "name",
            )
    assert bus.commands == []


async def test_a_switch_is_answered_when_no_entry_of_its_scope_rests() -> None:
    bus = FakeBus()
    bus.table[m.SetSwitch] = m.Done(to=0, detail={"name": "x", "old": False, "new": True})
    other = msgspec.structs.replace(ENTRY, instrument="ETHUSDT-PERP.BINANCE")
    left = [(ENTRY, other), (ENTRY,), (other,), ()]

    class Going(FakeBus):
        async def ask(self, message: m.Message, deadline_s: float, *, actor: str = "") -> m.Answer:
            if isinstance(message, m.GetOrders):
                return m.OrdersAnswer(to=0, orders=left.pop(0))
            return await super().ask(message, deadline_s, actor=actor)

    going = Going()
    outcome = await run(going, "switch", {"name": "disable_entries", "enabled": True, "reason": "odd"})
    assert (outcome.status, outcome.body["entries_resting"]) == (200, 0)
    assert left == []
    assert going.commands == [m.SetSwitch(name="disable_entries", enabled=True, reason="odd", by="me")]
    left += [(ENTRY, other), (other,), ()]
    await run(going, "switch", {"name": "instrument.BTCUSDT-PERP", "enabled": False})
    assert left == [()]


async def test_switches_are_listed_with_their_status() -> None:
    bus, switches = FakeBus(), Switches("binance_usdm", (BTC,))
    command = m.SetSwitch(name="transport.ws", enabled=False, by="ann", reason="odd")
    switches.handle(m.Envelope(seq=1, time_ns=1, mono_ns=1, cause=0, actor="a", message=command))
    bus.table[m.GetSwitches] = m.SwitchesAnswer(to=0, switches=switches.views())
    body = (await run(bus, "switches")).body
    rows = {row["name"]: row for row in body["switches"]}  # type: ignore[attr-defined]
    assert rows["transport.ws"]["status"] == "BLOCK"
    assert (rows["transport.ws"]["by"], rows["transport.ws"]["reason"]) == ("ann", "odd")
    assert {row["status"] for name, row in rows.items() if name != "transport.ws"} == {"OK"}


@pytest.mark.parametrize(
    "given", [{"XRPUSDT": 1}, {"BTCUSDT": 0}, {"BTCUSDT": "NaN"}, {"BTCUSDT": 1, "btcusdt-perp": 2}, {}]
)
async def test_weights_that_are_none_name_their_field(given: dict[str, Any]) -> None:
    bus = FakeBus()
    with pytest.raises(Problem) as caught:
        await run(bus, "weights", {"weights": given})
    assert (caught.value.status, caught.value.field) == (422, "weights")
    assert bus.commands == []

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from blockbuster import blockbuster_ctx

from hedgegridd.errors import ActorFault, TooManyTasks
from hedgegridd.messages import Envelope, Message
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock, VirtualClock
from hedgegridd.runtime.scheduler import Fault
from hedgegridd.runtime.supervisor import ActorState, Incident, Supervisor

from .vocab import VOCABULARY, Bar, Do, Happened, Look, Seen, Tick, WakeAt, Woke


class Desk(Actor):
    """Answers looks; breaks on Do(n=13); Do(n=1) spawns work; Do(n=2) spawns work that breaks."""

    name = "desk"
    commands = (Do,)
    queries = (Look,)

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.working = anyio.Event()
        self.seen: list[Message] = []

    async def start(self) -> None:
        self.order.append(f"{self.name} starts")

    async def stop(self) -> None:
        self.order.append(f"{self.name} stops")

    def handle(self, envelope: Envelope) -> Sequence[Message]:
        message = envelope.message
        self.seen.append(message)
        match message:
            case Do(n=13):
                raise ZeroDivisionError("bug")
            case Do(n=1):
                self.spawn(self.work)
            case Do(n=2):
                self.spawn(self.break_down, "bug in a task")
            case Do(n=3):
                return [WakeAt(at_ns=self.bus.clock.mono_ns() + 30_000_000, token="before")]
            case Do(n=4):
                return [WakeAt(at_ns=self.bus.clock.mono_ns() + 60_000_000, token="after")]
            case Look():
                return [Seen(to=envelope.seq)]
        return ()

    async def work(self) -> None:
        self.working.set()
        await anyio.sleep_forever()

    async def break_down(self, why: str) -> None:
        raise RuntimeError(why)


class Ears(Actor):
    name = "ears"
    events = (Happened, Tick, Bar)

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.seen: list[Message] = []

    async def start(self) -> None:
        self.order.append(f"{self.name} starts")

    async def stop(self) -> None:
        self.order.append(f"{self.name} stops")

    def handle(self, envelope: Envelope) -> Sequence[Message]:
        self.seen.append(envelope.message)
        return ()


class Vital(Desk):
    essential = True


class World:
    def __init__(self, *actors: Actor, restarts_max: int = 3) -> None:
        self.incidents: list[Incident] = []
        self.changed = anyio.Event()
        self.bus = Bus(RealClock(), VOCABULARY)
        self.supervisor = Supervisor(
            self.bus, actors, on_incident=self.note, restarts_max=restarts_max, restart_window_s=0.5
        )

    def note(self, incident: Incident) -> None:
        self.incidents.append(incident)
        self.changed.set()
        self.changed = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with blockbuster_ctx(), anyio.fail_after(10):
            self.bus.start(asyncio.get_running_loop())
            async with anyio.create_task_group() as group:
                await group.start(self.supervisor.run)
                yield
                self.supervisor.request_stop()
            self.bus.stop()

    def actions(self) -> list[str]:
        return [incident.action for incident in self.incidents]


async def until(condition: object) -> None:
    """Turn the loop until it is so; the fail_after around it is the bound."""
    while not condition():  # type: ignore[operator]
        await anyio.lowlevel.checkpoint()


async def test_actors_start_in_order_and_stop_in_reverse() -> None:
    order: list[str] = []
    world = World(desk := Desk(order), Ears(order))
    assert set(world.supervisor.states().values()) == {ActorState.WAITING}
    async with world.running():
        assert set(world.supervisor.states().values()) == {ActorState.RUNNING}
        assert await world.bus.ask(Look(), 5.0) == Seen(to=1)
    assert order == ["desk starts", "ears starts", "ears stops", "desk stops"]
    assert set(world.supervisor.states().values()) == {ActorState.STOPPED}
    assert world.incidents == []
    assert desk.seen == [Look()]
    assert world.supervisor.fatal is None
    assert world.supervisor.overruns == []


async def test_messages_wait_until_their_actor_has_started() -> None:
    class Slow(Desk):
        async def start(self) -> None:
            self.bus.tell(Do())
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert self.seen == []

    world = World(slow := Slow([]))
    async with world.running():
        await until(lambda: slow.seen == [Do()])


async def test_background_work_ends_with_its_actor() -> None:
    world = World(desk := Desk([]))
    async with world.running():
        world.bus.tell(Do(n=1))
        await desk.working.wait()
        assert desk.live_tasks == 1
    assert desk.live_tasks == 0
    with pytest.raises(ActorFault, match="while it is not running"):
        desk.spawn(desk.work)


async def test_background_work_is_bounded() -> None:
    class One(Desk):
        tasks_max = 1

    world = World(desk := One([]))
    async with world.running():
        desk.spawn(desk.work)
        with pytest.raises(TooManyTasks, match="runs its 1 tasks"):
            desk.spawn(desk.work)


@pytest.mark.parametrize("n", [13, 2])
async def test_a_broken_actor_is_restarted_alone_and_loses_tasks_and_timers(n: int) -> None:
    order: list[str] = []
    world = World(desk := Desk(order), Ears(order))
    async with world.running():
        world.bus.tell(Do(n=1))
        world.bus.tell(Do(n=3))
        await desk.working.wait()
        world.bus.tell(Do(n=n))
        world.bus.tell(Do(n=7))
        await until(lambda: world.actions() == ["restart"])
        await until(lambda: world.supervisor.states()["desk"] is ActorState.RUNNING)
        assert desk.live_tasks == 0
        assert (await world.bus.ask(Look(), 5.0)).to > 0
        assert Do(n=7) in desk.seen, "what waited is delivered after the restart"
        world.bus.tell(Do(n=4))
        await until(lambda: Woke(token="after") in desk.seen)
        assert Woke(token="before") not in desk.seen, "timers from before the restart are gone"
        assert world.incidents[0].fault.actor == "desk"
    assert order == ["desk starts", "ears starts", "desk stops", "desk starts", "ears stops", "desk stops"]


async def test_what_broke_is_told_until_the_window_is_over_and_for_good_when_retired() -> None:
    world = World(Desk([]), Ears([]), restarts_max=1)
    async with world.running():
        assert world.supervisor.troubles() == ()
        world.bus.tell(Do(n=13))
        await until(lambda: world.actions() == ["restart"])
        assert world.supervisor.troubles() == (
            "desk broke and was restarted (1 of 1): ZeroDivisionError('bug')",
        )
        await until(lambda: world.supervisor.states()["desk"] is ActorState.RUNNING)
        world.bus.tell(Do(n=13))
        await until(lambda: world.actions() == ["restart", "retire"])
        assert world.supervisor.troubles() == ("desk is out of service: ZeroDivisionError('bug')",)
        world.supervisor._restart_window_ns = -1
        assert world.supervisor.troubles() == ("desk is out of service: ZeroDivisionError('bug')",)


async def test_a_restart_is_forgotten_when_its_window_is_over() -> None:
    world = World(Desk([]), restarts_max=1)
    async with world.running():
        world.bus.tell(Do(n=13))
        await until(lambda: world.actions() == ["restart"])
        world.supervisor._restart_window_ns = -1
        assert world.supervisor.troubles() == ()


async def test_restarts_are_bounded_then_the_actor_is_retired() -> None:
    world = World(Desk([]), Ears([]), restarts_max=2)
    async with world.running():
        for _ in range(3):
            world.bus.tell(Do(n=13))
            await until(lambda: world.supervisor.states()["desk"] is not ActorState.RUNNING)
            await until(lambda: world.supervisor.states()["desk"] is not ActorState.RESTARTING)
        assert world.actions() == ["restart", "restart", "retire"]
        assert world.supervisor.states() == {"desk": ActorState.DOWN, "ears": ActorState.RUNNING}


async def test_old_restarts_are_forgotten() -> None:
    world = World(Desk([]), restarts_max=1)
    world.supervisor._restart_window_ns = -1
    async with world.running():
        for _ in range(3):
            world.bus.tell(Do(n=13))
            await until(lambda: world.supervisor.states()["desk"] is not ActorState.RUNNING)
            await until(lambda: world.supervisor.states()["desk"] is ActorState.RUNNING)
        assert world.actions() == ["restart"] * 3


async def test_an_actor_that_cannot_come_back_is_retired() -> None:
    class Once(Desk):
        started = False

        async def start(self) -> None:
            if self.started:
                raise OSError("port is taken")
            self.started = True

    world = World(Once([]))
    async with world.running():
        world.bus.tell(Do(n=13))
        await until(lambda: world.actions() == ["restart", "retire"])
        assert "port is taken" in repr(world.incidents[1].fault.error)


async def run_to_fault(world: World) -> pytest.ExceptionInfo[ActorFault]:
    world.bus.start(asyncio.get_running_loop())
    with blockbuster_ctx(), anyio.fail_after(10), pytest.raises(ActorFault) as caught:
        await world.supervisor.run()
    return caught


@pytest.mark.parametrize("n", [13, 2])
async def test_an_essential_actor_stops_everything(n: int) -> None:
    order: list[str] = []

    class Late(Ears):
        async def start(self) -> None:
            await super().start()
            self.bus.tell(Do(n=n))

    world = World(Vital(order), Late(order))
    caught = await run_to_fault(world)
    assert "desk broke" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError | RuntimeError)
    assert order == ["desk starts", "ears starts", "ears stops", "desk stops"]
    assert world.supervisor.fatal is not None
    assert world.actions() == ["stop"]


async def test_a_fault_of_an_unknown_actor_stops_everything() -> None:
    world = World(Desk([]))
    assert world.bus.on_fault is not None
    world.bus.on_fault(Fault("stranger", essential=False, error=ValueError("who")))
    caught = await run_to_fault(world)
    assert "stranger broke" in str(caught.value)


async def test_an_actor_that_cannot_start_stops_those_that_have() -> None:
    order: list[str] = []

    class Broken(Ears):
        async def start(self) -> None:
            raise OSError("no socket")

    caught = await run_to_fault(World(Desk(order), Broken(order)))
    assert "ears could not start: OSError('no socket')" in str(caught.value)
    assert order == ["desk starts", "ears stops", "desk stops"]


async def test_a_start_has_a_deadline() -> None:
    class Stuck(Desk):
        start_deadline_s = 0.01

        async def start(self) -> None:
            await anyio.sleep_forever()

    caught = await run_to_fault(World(Stuck([])))
    assert "could not start: TimeoutError" in str(caught.value)


async def test_a_stop_cuts_the_starting_short() -> None:
    order: list[str] = []

    class Slow(Desk):
        async def start(self) -> None:
            world.supervisor.request_stop()
            await anyio.sleep_forever()

    world = World(Slow(order), Ears(order))
    with blockbuster_ctx(), anyio.fail_after(10):
        world.bus.start(asyncio.get_running_loop())
        await world.supervisor.run()
    assert order == ["desk stops"]
    assert world.supervisor.states() == {"desk": ActorState.STOPPED, "ears": ActorState.WAITING}


async def test_a_stop_has_a_deadline_and_overruns_are_named() -> None:
    order: list[str] = []

    class Stuck(Ears):
        stop_deadline_s = 0.01

        async def stop(self) -> None:
            await anyio.sleep_forever()

    world = World(Desk(order), Stuck(order))
    async with world.running():
        pass
    assert world.supervisor.overruns == ["ears"]
    assert order == ["desk starts", "ears starts", "desk stops"]


async def test_a_failing_stop_is_told_and_the_others_are_stopped() -> None:
    order: list[str] = []

    class Broken(Ears):
        async def stop(self) -> None:
            raise OSError("gone already")

    world = World(Desk(order), Broken(order))
    async with world.running():
        pass
    assert world.actions() == ["stop"]
    assert order[-1] == "desk stops"


async def test_cancelling_from_above_still_stops_in_order() -> None:
    order: list[str] = []

    class Last(Ears):
        async def stop(self) -> None:
            await anyio.lowlevel.checkpoint()
            order.append(f"ears stops, {desk.live_tasks} task of desk lives")

    world = World(desk := Desk(order), Last(order))
    with blockbuster_ctx(), anyio.fail_after(10):
        world.bus.start(asyncio.get_running_loop())
        async with anyio.create_task_group() as group:
            await group.start(world.supervisor.run)
            desk.spawn(desk.work)
            await desk.working.wait()
            group.cancel_scope.cancel()
    assert order == ["desk starts", "ears starts", "ears stops, 1 task of desk lives", "desk stops"]


async def test_a_stopped_actor_handles_nothing_more() -> None:
    class Talking(Desk):
        async def stop(self) -> None:
            self.bus.publish(Happened())
            for _ in range(5):
                await anyio.lowlevel.checkpoint()

    world = World(Talking([]), ears := Ears([]))
    async with world.running():
        world.bus.publish(Bar())
        await until(lambda: ears.seen == [Bar()])
    assert ears.seen == [Bar()]


async def test_a_fault_while_starting_is_dealt_with_afterwards() -> None:
    class Eager(Desk):
        starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                self.spawn(self.break_down, "at once")
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()

    world = World(desk := Eager([]))
    async with world.running():
        await until(lambda: desk.starts == 2)
        assert world.actions() == ["restart"]


async def test_a_fault_while_stopping_is_told_and_changes_nothing() -> None:
    class Leaving(Desk):
        async def stop(self) -> None:
            self.bus.tell(Do(n=13))
            await until(lambda: Do(n=13) in self.seen)

    world = World(Leaving([]))
    async with world.running():
        pass
    assert world.actions() == ["ignored"]


async def test_a_stop_during_a_restart_ends_cleanly() -> None:
    class Stubborn(Desk):
        async def work(self) -> None:
            self.working.set()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)

    world = World(desk := Stubborn([]))
    async with world.running():
        world.bus.tell(Do(n=1))
        await desk.working.wait()
        world.bus.tell(Do(n=13))
        await until(lambda: world.actions() == ["restart"])
    assert world.supervisor.states() == {"desk": ActorState.STOPPED}


async def test_a_stop_while_a_restart_is_opening_ends_cleanly() -> None:
    class Slow(Desk):
        starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 2:
                world.supervisor.request_stop()
                await anyio.sleep(0.02)

    world = World(desk := Slow([]))
    async with world.running():
        world.bus.tell(Do(n=13))
        await until(lambda: desk.starts == 2)
    assert world.supervisor.states() == {"desk": ActorState.STOPPED}


def test_an_actor_without_a_handler_says_so() -> None:
    class Deaf(Actor):
        name = "deaf"
        commands = (Do,)
        queries = (Look,)

    bus = Bus(VirtualClock(), VOCABULARY)
    Deaf().register(bus)
    bus.start()
    bus.tell(Do())
    with pytest.raises(ActorFault, match="deaf got Do but handles nothing"):
        bus.drain()


async def test_the_default_start_and_stop_do_nothing() -> None:
    class Quiet(Actor):
        name = "quiet"

    world = World(Desk([]), Quiet())
    async with world.running():
        pass
    assert world.incidents == []


SNIFFIO = """
import asyncio
from contextvars import ContextVar

class AsyncLibraryNotFoundError(RuntimeError):
    pass

current_async_library_cvar = ContextVar("library", default=None)

def current_async_library():
    if current_async_library_cvar.get() is None and asyncio.current_task() is None:
        raise AsyncLibraryNotFoundError
    return "asyncio"
"""


def test_handlers_spawn_work_with_the_package_sniffio_beside_anyio(tmp_path: Path) -> None:
    """It tells anyio which library runs, and sees that in tasks only; a handler runs in a callback."""
    (tmp_path / "sniffio.py").write_text(SNIFFIO)
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "not sniffio", __file__]
    path = os.pathsep.join([str(tmp_path), *(each for each in sys.path if each)])
    done = subprocess.run(
        tests, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stdout[-2000:]

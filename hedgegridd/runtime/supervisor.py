"""Starts actors in order, restarts those that may be restarted, stops all in reverse within deadlines.

| what breaks                    | what follows                                                     |
| ------------------------------ | ---------------------------------------------------------------- |
| essential actor                | the first such fault stops the daemon; `run` raises `ActorFault` |
| other actor, within intensity  | paused, its tasks cancelled, timers dropped, started again       |
| other actor, beyond intensity  | retired: out of service until the daemon restarts                |
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import anyio
from anyio.abc import TaskGroup, TaskStatus

from hedgegridd.errors import ActorFault
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.scheduler import Fault
from hedgegridd.runtime.tasks import start_soon


class ActorState(StrEnum):
    """Where an actor is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    DOWN = "down"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault and what was done about it, for logs, alerts and health."""

    fault: Fault
    action: str  # "stop", "restart", "retire", "ignored" (the actor is on its way out already)


@dataclass(slots=True)
class _Seat:
    actor: Actor
    state: ActorState = ActorState.WAITING
    finished: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)
    restarts_ns: deque[int] = field(default_factory=deque)
    # A fault that came while the actor was being started: dealt with once it has.
    pending: Fault | None = None
    why: str = ""  # it broke last


class Supervisor:
    """Owns the life of the actors on one bus.

    Args:
        bus: registered with every actor here, but not started: the caller starts it.
        actors: in start order; they stop in reverse.
        on_incident: told of every fault and what follows; must not raise.
        restarts_max: restarts of one actor within `restart_window_s` before it is retired.
        restart_window_s: seconds.
    """

    def __init__(
        self,
        bus: Bus,
        actors: Sequence[Actor],
        *,
        on_incident: Callable[[Incident], None] = lambda _incident: None,
        restarts_max: int = 3,
        restart_window_s: float = 60.0,
    ) -> None:
        """Register the actors; `run` starts them."""
        self._bus = bus
        self._seats = {actor.name: _Seat(actor) for actor in actors}
        self._on_incident = on_incident
        self._restarts_max = restarts_max
        self._restart_window_ns = round(restart_window_s * 1e9)
        self._stop = anyio.Event()
        self._group: TaskGroup | None = None
        self._fatal: Fault | None = None
        self._starting: anyio.CancelScope | None = None
        self.overruns: list[str] = []
        for actor in actors:
            actor.register(bus)
        bus.on_fault = self._fault

    @property
    def fatal(self) -> Fault | None:
        """The fault that stops the daemon, None while there is none."""
        return self._fatal

    def states(self) -> dict[str, ActorState]:
        """State of every actor, in start order."""
        return {name: seat.state for name, seat in self._seats.items()}

    def troubles(self) -> tuple[str, ...]:
        """Actors that broke: being restarted, restarted within the window, or out of service; in words."""
        found = []
        now_ns = self._bus.clock.mono_ns()
        for name, seat in self._seats.items():
            lately = [at for at in seat.restarts_ns if now_ns - at <= self._restart_window_ns]
            if seat.state is ActorState.DOWN:
                found.append(f"{name} is out of service: {seat.why}")
            elif lately and not self._stop.is_set():
                found.append(
                    f"{name} broke and was restarted ({len(lately)} of {self._restarts_max}): {seat.why}"
                )
        return tuple(found)

    def request_stop(self) -> None:
        """Stop all actors in reverse order; `run` returns afterwards. May be called again."""
        self._stop.set()
        if self._starting is not None:
            self._starting.cancel()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Start every actor, wait for `request_stop` or a fatal fault, stop all.

        Messages to an actor wait in its mailbox until it has started. `task_status` is told when the
        last actor has started, or when a stop cut the starting short. Actors that did not stop within
        their deadline are cancelled and named in `overruns`.

        Raises:
            ActorFault: an essential actor broke, or an actor could not start.
        """
        started: list[_Seat] = []
        failed: ActorFault | None = None
        for name in self._seats:
            self._bus.pause(name)
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                for seat in self._seats.values():
                    if self._stop.is_set():
                        break
                    started.append(seat)
                    await self._start(seat)
                task_status.started()
                await self._stop.wait()
            except ActorFault as error:
                failed = error
            finally:
                self._stop.set()
                with anyio.CancelScope(shield=True):
                    for seat in reversed(started):
                        await self._stop_seat(seat)
                self._group = None
                group.cancel_scope.cancel()
        if self._fatal is not None:
            raise ActorFault(f"{self._fatal.actor} broke: {self._fatal.error!r}") from self._fatal.error
        if failed is not None:
            raise failed

    async def _start(self, seat: _Seat) -> None:
        actor = seat.actor
        seat.state = ActorState.STARTING
        await self._open(seat)
        try:
            with anyio.fail_after(actor.start_deadline_s) as self._starting:
                await actor.start()
        except Exception as error:
            raise ActorFault(f"{actor.name} could not start: {error!r}") from error
        finally:
            self._starting = None
        self._running(seat)

    def _running(self, seat: _Seat) -> None:
        seat.state = ActorState.RUNNING
        self._bus.resume(seat.actor.name)
        fault, seat.pending = seat.pending, None
        if fault is not None:
            self._fault(fault)

    async def _open(self, seat: _Seat) -> None:
        assert self._group is not None, "actors live inside run"
        seat.finished, seat.gone = anyio.Event(), anyio.Event()
        await self._group.start(self._hold, seat)

    async def _hold(self, seat: _Seat, *, task_status: TaskStatus[None]) -> None:
        # Shielded: the actor's tasks end when its turn to stop comes, not when somebody cancels us.
        finished, gone = seat.finished, seat.gone
        try:
            with anyio.CancelScope(shield=True):
                await seat.actor.run_tasks(finished, self._task_error, task_status=task_status)
        finally:
            gone.set()

    async def _stop_seat(self, seat: _Seat) -> None:
        actor = seat.actor
        with anyio.move_on_after(actor.stop_deadline_s) as scope:
            try:
                await actor.stop()
            except Exception as error:  # noqa: BLE001  # reported; the others must be stopped nevertheless
                self._on_incident(Incident(Fault(actor.name, actor.essential, error), "stop"))
            seat.finished.set()
            await seat.gone.wait()
        if scope.cancelled_caught:
            self.overruns.append(actor.name)
            seat.finished.set()
        self._bus.pause(actor.name)
        seat.state = ActorState.STOPPED

    def _task_error(self, actor: Actor, error: Exception) -> None:
        self._fault(Fault(actor.name, actor.essential, error))

    def _fault(self, fault: Fault) -> None:
        """Decide what a fault means; called in the loop, does nothing that waits."""
        seat = self._seats.get(fault.actor)
        if seat is None or fault.essential:
            # A mailbox that no actor of ours owns counts as essential: nobody could restart it.
            self._fatal = self._fatal or fault
            self._on_incident(Incident(fault, "stop"))
            self.request_stop()
            return
        if seat.state in (ActorState.WAITING, ActorState.STARTING, ActorState.RESTARTING):
            seat.pending = fault
            return
        if self._group is None or self._stop.is_set() or seat.state is not ActorState.RUNNING:
            self._on_incident(Incident(fault, "ignored"))
            return
        seat.why = repr(fault.error)
        now_ns = self._bus.clock.mono_ns()
        while seat.restarts_ns and now_ns - seat.restarts_ns[0] > self._restart_window_ns:
            seat.restarts_ns.popleft()
        self._bus.pause(fault.actor)
        if len(seat.restarts_ns) >= self._restarts_max:
            self._retire(seat, fault)
            return
        seat.restarts_ns.append(now_ns)
        seat.state = ActorState.RESTARTING
        self._on_incident(Incident(fault, "restart"))
        start_soon(self._group, self._restart, seat)

    async def _restart(self, seat: _Seat) -> None:
        actor = seat.actor
        self._bus.cancel_timers(actor.name)
        seat.finished.set()
        try:
            with anyio.fail_after(actor.stop_deadline_s + actor.start_deadline_s):
                await seat.gone.wait()
                if self._stop.is_set():
                    return  # its tasks are gone and nobody would end new ones
                await actor.stop()  # what it still holds open, such as a port, would keep it from starting
                await self._open(seat)
                await actor.start()
        except Exception as error:  # noqa: BLE001  # an actor that cannot come back is retired, and told
            self._retire(seat, Fault(actor.name, actor.essential, error))
            return
        if not self._stop.is_set():
            self._running(seat)

    def _retire(self, seat: _Seat, fault: Fault) -> None:
        seat.state, seat.why = ActorState.DOWN, repr(fault.error)
        seat.finished.set()
        self._bus.retire(seat.actor.name)
        self._on_incident(Incident(fault, "retire"))

"""An actor: a name, the messages it takes, a handler, and a bounded place for its background work."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from hedgegridd.errors import ActorFault, TooManyTasks
from hedgegridd.messages import Envelope, Message
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.mailbox import CONTROL_MAX, DATA_MAX
from hedgegridd.runtime.tasks import start_soon


class Actor:
    """Feeds one mailbox to one machine; subclasses say what they take and override `handle`.

    `handle` is synchronous and returns messages; waiting belongs into coroutines given to `spawn`,
    whose results come back as published events. `essential` actors (strategy, risk, kill switch) are
    never restarted in place: their fault stops the daemon, start-up is the recovery.
    """

    name: ClassVar[str] = ""
    commands: ClassVar[tuple[type[Message], ...]] = ()
    queries: ClassVar[tuple[type[Message], ...]] = ()
    events: ClassVar[tuple[type[Message], ...]] = ()
    journaled: ClassVar[bool] = False
    essential: ClassVar[bool] = False
    control_max: ClassVar[int] = CONTROL_MAX
    data_max: ClassVar[int] = DATA_MAX
    tasks_max: ClassVar[int] = 1_024
    start_deadline_s: ClassVar[float] = 10.0
    stop_deadline_s: ClassVar[float] = 5.0

    bus: Bus
    _tasks: TaskGroup | None = None
    _live_tasks: int = 0
    _on_task_error: Callable[["Actor", Exception], None] | None = None

    def handle(self, envelope: Envelope) -> Sequence[Message]:
        """Take one message and return what follows from it; overridden by every actor that takes any."""
        raise ActorFault(f"{self.name} got {type(envelope.message).__name__} but handles nothing")

    async def start(self) -> None:
        """Open what the actor needs; runs before later actors start, and again after a restart."""

    async def stop(self) -> None:
        """Close it; runs after later actors have stopped, shielded, within `stop_deadline_s`."""

    def wanted(self) -> tuple[type[Message], ...]:
        """The events it listens to; overridden where the config decides that."""
        return self.events

    def register(self, bus: Bus) -> None:
        """Take this actor's place on the bus."""
        self.bus = bus
        bus.register(
            self.name,
            handler=self.handle,
            commands=self.commands,
            queries=self.queries,
            events=self.wanted(),
            journaled=self.journaled,
            essential=self.essential,
            control_max=self.control_max,
            data_max=self.data_max,
        )

    @property
    def live_tasks(self) -> int:
        """Background coroutines that run now."""
        return self._live_tasks

    def spawn(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a coroutine in the background until it ends or the actor stops.

        An exception in it is the actor's fault, as one in its handler would be. Work that shields
        itself from cancellation must bound itself: nothing else can end it.

        Raises:
            ActorFault: the actor is not running.
            TooManyTasks: `tasks_max` run already.
        """
        if self._tasks is None:
            raise ActorFault(f"{self.name} spawns {work!r} while it is not running")
        if self._live_tasks >= self.tasks_max:
            raise TooManyTasks(f"{self.name} runs its {self.tasks_max} tasks already")
        self._live_tasks += 1
        start_soon(self._tasks, self._guard, work, args)

    async def run_tasks(
        self,
        finished: anyio.Event,
        on_task_error: Callable[["Actor", Exception], None],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Hold the group of the actor's tasks open until `finished`, then cancel them (supervisor only)."""
        self._on_task_error = on_task_error
        try:
            async with anyio.create_task_group() as group:
                self._tasks = group
                task_status.started()
                await finished.wait()
                group.cancel_scope.cancel()
        finally:
            self._tasks = None

    async def _guard(self, work: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
        try:
            await work(*args)
        except Exception as error:  # noqa: BLE001  # told to the supervisor, which decides
            assert self._on_task_error is not None, "tasks run only inside run_tasks"
            self._on_task_error(self, error)
        finally:
            self._live_tasks -= 1

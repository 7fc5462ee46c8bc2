"""Virtual time: one heap of what is to come for everybody, and an event loop per process of ours that lives on it.

`Time` runs venue and daemon alike. A `ProcessLoop` is as much of asyncio's loop as the daemon's own code needs, so that
the real coroutines of `hedgegridd.venue` run here, at no cost in real time and in one order only. When its process
dies, what it still had to do is forgotten, as it would be.
"""

import asyncio
import contextlib
import heapq
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

SECOND = 1_000_000_000
READY_MAX = 100_000  # callbacks in one instant: more is a machine that feeds itself without end


class Killed(BaseException):
    """The process dies between two steps, as by SIGKILL."""


class Runaway(AssertionError):  # noqa: N818  # reads as the event it is
    """Work at one instant does not end."""


class Time:
    """The heap. `now` is nanoseconds since the run began."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, list]] = []
        self._order = 0

    def at(self, at: int, call: Callable[..., None], *args: object) -> list:
        """Call it then (now, when that is past); the entry is cancelled by emptying it."""
        self._order += 1
        entry = [call, args]
        heapq.heappush(self._heap, (max(self.now, at), self._order, entry))
        return entry

    def after(self, delay: int, call: Callable[..., None], *args: object) -> list:
        """Call it so many nanoseconds from now."""
        return self.at(self.now + delay, call, *args)

    def next_at(self) -> int | None:
        """When something is due next."""
        heap = self._heap
        while heap and not heap[0][2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def step(self) -> None:
        """Do the next thing that is due."""
        at, _, entry = heapq.heappop(self._heap)
        self.now = at
        if entry:
            call, args = entry
            entry.clear()
            call(*args)


class _Timer:
    """What `Clock.call_at` gives."""

    __slots__ = ("entry",)

    def __init__(self, entry: list) -> None:
        self.entry = entry

    def cancel(self) -> None:
        self.entry.clear()


class ProcessLoop(asyncio.AbstractEventLoop):
    """The loop of one life of the daemon."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.ready: deque[asyncio.Handle] = deque()
        self.dead = False
        self.errors: list[BaseException] = []
        self._tasks: dict[asyncio.Task, tuple] = {}  # with what was given to it

    # What asyncio's tasks, futures, timeouts, locks and events ask of a loop.

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def time(self) -> float:
        return self._time.now / SECOND

    def create_future(self) -> asyncio.Future:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine, *, name: str | None = None, context: Any = None) -> asyncio.Task:
        task: asyncio.Task = asyncio.Task(coro, loop=self, name="t", context=context)
        self._tasks[task] = ()
        task.add_done_callback(self._done)
        return task

    def call_soon(self, callback: Callable, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self.ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        at = round(when * SECOND)
        if at / SECOND < when:  # who asks `time` then, as anyio does, must not be told that it is too early
            at += 1
        self._time.at(at, self._due, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        self._time.after(round(delay * SECOND), self._due, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Its entry in the heap finds it cancelled."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.dead:
            return  # nobody is there any more to retrieve what a task of the dead process raised
        self.errors.append(context.get("exception") or AssertionError(context["message"]))

    # What the simulation asks of it.

    def spawn(self, coro: Coroutine, args: tuple = ()) -> None:
        """Run a coroutine; what it raises is a bug. `args` may hold coroutines that it is to await."""
        task = self.create_task(coro)
        self._tasks[task] = args
        task.add_done_callback(self._ended)

    def run_ready(self, after_each: Callable[[], None]) -> None:
        """Run what is due now until nothing is, or the process is killed."""
        count = 0
        ready = self.ready
        asyncio._set_running_loop(self)
        try:
            while ready and not self.dead:
                count += 1
                if count > READY_MAX:
                    raise Runaway("the daemon feeds itself without end")
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._context.run(handle._callback, *handle._args)
                    after_each()
        finally:
            asyncio._set_running_loop(None)

    def die(self) -> None:
        """Forget everything, running no more of its code than its coroutines' clean-up, which reaches nobody."""
        self.dead = True
        self.ready.clear()
        asyncio._set_running_loop(self)
        try:
            for task, args in list(self._tasks.items()):
                task.remove_done_callback(self._done)
                task._log_destroy_pending = False
                _close(task.get_coro())
                for each in args:
                    if asyncio.iscoroutine(each):
                        _close(each)
        finally:
            asyncio._set_running_loop(None)
        self._tasks.clear()

    def _due(self, handle: asyncio.TimerHandle) -> None:
        if not self.dead and not handle._cancelled:
            self.ready.append(handle)

    def _done(self, task: asyncio.Task) -> None:
        del self._tasks[task]

    def _ended(self, task: asyncio.Task) -> None:
        if not self.dead and not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)


def _close(coro: Any) -> None:
    """End a coroutine, and those that were given to it and that it has not begun to await."""
    if inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
        for given in list(coro.cr_frame.f_locals.values()):
            if asyncio.iscoroutine(given):
                _close(given)
    # A cancel scope that it is in complains that it is left from outside its task.
    with contextlib.suppress(RuntimeError):
        coro.close()


class ProcessClock:
    """Wall and monotonic time of one life; the wall clock may be set (`jump_ns` of the machine)."""

    def __init__(self, time: Time, loop: ProcessLoop, *, mono_base: int, machine: "Machine") -> None:
        self._time = time
        self._loop = loop
        self._base = mono_base
        self._machine = machine

    def wall_ns(self) -> int:
        return self._machine.wall_ns()

    def mono_ns(self) -> int:
        return self._time.now + self._base

    def call_at(self, at_mono_ns: int, callback: Callable[[], None]) -> _Timer:
        return _Timer(self._time.at(at_mono_ns - self._base, self._run, callback))

    def _run(self, callback: Callable[[], None]) -> None:
        if not self._loop.dead:
            self._loop.call_soon(callback)


class Machine:
    """The computer the daemon runs on: its wall clock outlives processes."""

    def __init__(self, time: Time, start_ns: int) -> None:
        self._time = time
        self._right_ns = self.offset_ns = start_ns

    def set_off(self, off_ns: int) -> None:
        """The clock is so far from the truth."""
        self.offset_ns = self._right_ns + off_ns

    @property
    def is_off(self) -> bool:
        return self.offset_ns != self._right_ns

    def wall_ns(self) -> int:
        return self._time.now + self.offset_ns

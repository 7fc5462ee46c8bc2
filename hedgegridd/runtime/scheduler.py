"""One scheduler drains all mailboxes in short slices, control lanes first, and yields in between."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hedgegridd.errors import BusError
from hedgegridd.messages import Envelope, Message
from hedgegridd.runtime.clock import Clock
from hedgegridd.runtime.mailbox import Mailbox

SLICE_NS = 50_000
HANDLER_BUDGET_NS = 5_000_000
DRAIN_MAX = 10_000_000
_WAIT_SAMPLE_MASK = 7

Recorder = Callable[[str, Envelope], object]
Returned = Callable[[str, Envelope, Sequence[Message]], object]
Router = Callable[[Mailbox, Envelope, Sequence[Message]], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """An actor broke: its handler or a task raised, or its mailbox ran over."""

    actor: str
    essential: bool
    error: Exception
    envelope: Envelope | None = None


@dataclass(slots=True)
class Probes:
    """Where the scheduler tells its health; every hook is optional and must not raise.

    `on_wait(seconds)` hears of the first delivery of every eighth slice; `on_slow(actor, message type, nanoseconds)` of
    every handler that took longer than the budget.
    """

    on_wait: Callable[[float], None] | None = None
    on_slow: Callable[[str, str, int], None] | None = None


class Scheduler:
    """Takes one message of one ready mailbox after another, round-robin, and hands it to its handler."""

    def __init__(
        self,
        clock: Clock,
        route: Router,
        fault: Callable[[Fault], None],
        *,
        recorder: Recorder | None = None,
        returned: Returned | None = None,
        probes: Probes | None = None,
        slice_ns: int = SLICE_NS,
        handler_budget_ns: int = HANDLER_BUDGET_NS,
    ) -> None:
        """Wait for `start`; `route` gets what a handler returned, `fault` what it raised."""
        self._clock = clock
        self._route = route
        self._fault = fault
        self._recorder = recorder
        self._returned = returned
        self._probes = probes or Probes()
        self._slice_ns = slice_ns
        if not 0 < slice_ns <= handler_budget_ns:
            raise ValueError(
                f"a slice must be positive and at most the handler budget, got {slice_ns}, {handler_budget_ns}"
            )
        self._budget_ns = handler_budget_ns
        self._control: deque[Mailbox] = deque()
        self._data: deque[Mailbox] = deque()
        self._paused: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._armed = False
        self._slices = 0

    def start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Run on this loop from now on; None: only `drain` runs anything."""
        self._loop = loop
        self._arm()

    def stop(self) -> None:
        """Run nothing more on the loop; what waits stays in the mailboxes."""
        self._loop = None

    def ready_control(self, box: Mailbox) -> None:
        """The box has control messages and does not stand in the queue yet."""
        box.control_queued = True
        self._control.append(box)
        if not self._armed:
            self._arm()

    def ready_data(self, box: Mailbox) -> None:
        """The box has data and does not stand in the queue yet."""
        box.data_queued = True
        self._data.append(box)
        if not self._armed:
            self._arm()

    def pause(self, box: Mailbox) -> None:
        """Deliver nothing to this box until `resume`; its mailbox goes on filling, up to its bound."""
        if box.name in self._paused:
            return
        self._paused.add(box.name)
        if box.control_queued:
            self._control.remove(box)
        if box.data_queued:
            self._data.remove(box)
        # "Queued already" is what keeps a posted message from queueing the box again: no check per message.
        box.control_queued = box.data_queued = True

    def resume(self, box: Mailbox) -> None:
        """Deliver again, beginning with what has waited."""
        if box.name not in self._paused:
            return
        self._paused.remove(box.name)
        box.control_queued = box.data_queued = False
        if box.control:
            self.ready_control(box)
        if box.data:
            self.ready_data(box)

    def is_paused(self, box: Mailbox) -> bool:
        """Whether `pause` holds the box."""
        return box.name in self._paused

    def drain(self, limit: int = DRAIN_MAX) -> int:
        """Deliver until every mailbox is empty, without a loop; the number of deliveries.

        Raises:
            BusError: after `limit` deliveries: the machines feed each other without end.
        """
        delivered = 0
        while delivered < limit and (self._control or self._data):
            delivered += self._run(limit - delivered)
        if self._control or self._data:
            raise BusError(f"the mailboxes are not empty after {limit} deliveries")
        return delivered

    def _arm(self) -> None:
        if self._loop is not None and not self._armed and (self._control or self._data):
            self._armed = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        # Armed stays set while the slice runs, so that posting from a handler arms nothing.
        try:
            if self._loop is not None:
                self._run(DRAIN_MAX)
        finally:
            self._armed = False
            self._arm()

    def _run(self, limit: int) -> int:
        """One slice, the hot loop: everything is local, one clock reading per message; the deliveries."""
        control, data = self._control, self._data
        mono_ns, recorder, returned = self._clock.mono_ns, self._recorder, self._returned
        self._slices += 1
        # The first delivery of every eighth slice tells its queue wait: cheap, and busy or idle alike.
        on_wait = None if self._slices & _WAIT_SAMPLE_MASK else self._probes.on_wait
        now_ns = mono_ns()
        end_ns = now_ns + self._slice_ns
        for delivered in range(limit):
            if control:
                box = control[0]
                lane = box.control
                envelope = lane.popleft()
                if not lane:
                    control.popleft()
                    box.control_queued = False
                elif len(control) > 1:
                    control.rotate(-1)
            elif data:
                box = data.popleft()
                envelope = box.data.popitem(last=False)[1]
                if box.data:
                    data.append(box)
                else:
                    box.data_queued = False
            else:
                return delivered
            try:
                recorded = recorder is not None and type(envelope.message) in box.recorded
                if recorder is not None and recorded:
                    recorder(box.name, envelope)
                outputs = box.handler(envelope)
                if outputs:
                    if recorded and returned is not None:
                        returned(box.name, envelope, outputs)
                    self._route(box, envelope, outputs)
            except Exception as error:  # noqa: BLE001  # whatever a machine raises is its fault, and reported
                self._fault(Fault(box.name, box.essential, error, envelope))
            if on_wait is not None:
                on_wait((now_ns - envelope.mono_ns) / 1e9)
                on_wait = None
            started_ns, now_ns = now_ns, mono_ns()
            if now_ns >= end_ns:
                # A budget is at least a slice, so a slow handler always ends one: no check per message.
                if now_ns - started_ns > self._budget_ns:
                    self._tell_slow(box, envelope, now_ns - started_ns)
                return delivered + 1
        return limit

    def _tell_slow(self, box: Mailbox, envelope: Envelope, took_ns: int) -> None:
        box.slow += 1
        if self._probes.on_slow is not None:
            self._probes.on_slow(box.name, type(envelope.message).__name__, took_ns)

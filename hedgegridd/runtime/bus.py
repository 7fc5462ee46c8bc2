"""The bus: knows who handles what, wraps messages in envelopes and puts them into mailboxes.

Posting only enqueues, never calls: a handler runs when the scheduler gets to it, so no handler ever
runs inside another. All of it belongs to one thread; another thread posts through
`loop.call_soon_threadsafe(bus.publish, event)`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from hedgegridd.errors import ActorDown, ActorFault, BusError, HedgegridError, MailboxFull, WiringError
from hedgegridd.messages import Answer, Envelope, Message, WakeAt, Woke
from hedgegridd.runtime.asks import Asks, Reply
from hedgegridd.runtime.clock import Clock
from hedgegridd.runtime.mailbox import CONTROL_MAX, DATA_MAX, Handler, Mailbox
from hedgegridd.runtime.ping import Ping, PingRound
from hedgegridd.runtime.scheduler import (
    DRAIN_MAX,
    HANDLER_BUDGET_NS,
    SLICE_NS,
    Fault,
    Probes,
    Recorder,
    Returned,
    Scheduler,
)
from hedgegridd.runtime.wakeups import Wakeups
from hedgegridd.runtime.wiring import Kind, Wiring

_RESYNC_NS = 1_000_000  # far below what a stepping wall clock could matter for


class Bus:
    """Register every actor, `start`, then post.

    Args:
        clock: stamps envelopes and runs timers.
        vocabulary: every message type there is; a command or query in it that nobody handles is a
            wiring error.
        recorder: called with (actor, envelope) just before a journaled message is handled, so that
            the journal holds what each machine consumed, in the order it consumed it.
        returned: called with (actor, envelope, outputs) when handling that message has returned something,
            before any of it is posted.
        probes: health hooks of the scheduler.
        first_seq: sequence of the first envelope; continues after the journal's last at a restart.
        slice_ns: how long the scheduler runs before it yields to the loop.
        handler_budget_ns: a handler that takes longer is counted as slow.
    """

    def __init__(
        self,
        clock: Clock,
        vocabulary: Iterable[type[Message]],
        *,
        recorder: Recorder | None = None,
        returned: Returned | None = None,
        probes: Probes | None = None,
        first_seq: int = 1,
        slice_ns: int = SLICE_NS,
        handler_budget_ns: int = HANDLER_BUDGET_NS,
    ) -> None:
        """Nothing runs before `start`."""
        self.clock = clock
        self._wall_ns, self._mono_ns = clock.wall_ns, clock.mono_ns
        self._wiring = Wiring(vocabulary)
        # The same objects as in the wiring: posting is the hot path.
        self._kinds = self._wiring.kinds
        self._handler, self._listeners = self._wiring.handler, self._wiring.listeners
        self._last_seq = first_seq - 1
        self._wall_offset_ns = 0
        self._resync_ns = -1  # so that the first posting reads the wall clock
        self._wakeups = Wakeups(clock, self._wake)
        self._asks = Asks(clock)
        self._pinged: PingRound | None = None
        self.on_fault: Callable[[Fault], None] | None = None
        self._scheduler = Scheduler(
            clock,
            self._route,
            self._on_fault,
            recorder=recorder,
            returned=returned,
            probes=probes,
            slice_ns=slice_ns,
            handler_budget_ns=handler_budget_ns,
        )

    # --- wiring -------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        *,
        handler: Handler,
        commands: Sequence[type[Message]] = (),
        queries: Sequence[type[Message]] = (),
        events: Sequence[type[Message]] = (),
        journaled: bool = False,
        essential: bool = False,
        control_max: int = CONTROL_MAX,
        data_max: int = DATA_MAX,
    ) -> None:
        """Give an actor its mailbox and say what goes into it.

        Commands are always told to the recorder; events (and `Woke`) when the actor is `journaled`,
        except types that say `journaled = False` of themselves (raw ticks).

        Raises:
            WiringError: name taken, type of the wrong kind or outside the vocabulary, bus running.
        """
        self._wiring.register(
            name,
            handler=handler,
            commands=commands,
            queries=queries,
            events=events,
            journaled=journaled,
            essential=essential,
            control_max=control_max,
            data_max=data_max,
        )

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Check the wiring and begin to deliver on the loop; without one only `drain` delivers.

        Raises:
            WiringError: naming every command and query with no handler or with several.
        """
        self._wiring.close()
        self._scheduler.start(loop)

    def stop(self) -> None:
        """Deliver nothing more on the loop and cancel every timer; open asks end with `ActorDown`."""
        self._scheduler.stop()
        self._wakeups.cancel_all()
        self._asks.fail_all(ActorDown("the bus has stopped"))

    # --- posting ------------------------------------------------------------------------------

    def tell(self, command: Message, cause: int = 0, actor: str = "") -> int:
        """Enqueue a command (or query) for its handler; returns the envelope's sequence.

        Raises:
            ActorDown: its handler is out of service.
            MailboxFull: its handler's mailbox is full; that is reported as that actor's fault as well.
            WiringError: not a command or query of the vocabulary, or the bus has not started.
        """
        try:
            box = self._handler[type(command)]
        except KeyError:
            raise self._unroutable(command) from None
        self._last_seq = seq = self._last_seq + 1
        mono_ns = self._mono_ns()
        if mono_ns >= self._resync_ns:
            self._resync(mono_ns)
        envelope = Envelope(
            seq=seq,
            time_ns=mono_ns + self._wall_offset_ns,
            mono_ns=mono_ns,
            cause=cause,
            actor=actor,
            message=command,
        )
        lane = box.control
        if len(lane) >= box.control_max:
            self._overflow(box, envelope)
        lane.append(envelope)
        if not box.control_queued:
            self._scheduler.ready_control(box)
        return seq

    def publish(self, event: Message, cause: int = 0, actor: str = "") -> int:
        """Enqueue an event for everybody who listens; returns the envelope's sequence.

        A listener whose mailbox is full has a fault, which is reported; the others get the event.

        Raises:
            WiringError: not an event of the vocabulary, or the bus has not started.
        """
        try:
            boxes = self._listeners[type(event)]
        except KeyError:
            raise self._unroutable(event) from None
        self._last_seq = seq = self._last_seq + 1
        mono_ns = self._mono_ns()
        if mono_ns >= self._resync_ns:
            self._resync(mono_ns)
        envelope = Envelope(
            seq=seq,
            time_ns=mono_ns + self._wall_offset_ns,
            mono_ns=mono_ns,
            cause=cause,
            actor=actor,
            message=event,
        )
        for box in boxes:
            lane = box.control
            if len(lane) >= box.control_max:
                self._overflow_told(box, envelope)
                continue
            lane.append(envelope)
            if not box.control_queued:
                self._scheduler.ready_control(box)
        if not boxes:
            data_boxes = self._wiring.data_listeners.get(type(event))
            if data_boxes:
                self._put_data(data_boxes, envelope)
        return seq

    async def ask(self, message: Message, deadline_s: float, cause: int = 0, actor: str = "") -> Answer:
        """Post a command or query and wait for its answer.

        Raises:
            AskTimeout: no answer within `deadline_s`; the work may go on, its late answer is dropped.
            ActorFault: the handler raised.
            ActorDown, MailboxFull, WiringError: as for `tell`.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        seq = self.post_ask(message, deadline_s, partial(_settle, future), cause, actor)
        try:
            return await future
        finally:
            self._asks.forget(seq)

    def post_ask(
        self, message: Message, deadline_s: float, reply: Reply, cause: int = 0, actor: str = ""
    ) -> int:
        """Ask without a loop: `reply` is called once, with the answer or with the error.

        Raises:
            ValueError: a deadline that is not positive.
            ActorDown, MailboxFull, WiringError: as for `tell`.
        """
        if deadline_s <= 0:
            raise ValueError(f"deadline_s must be positive, got {deadline_s}")
        seq = self._last_seq + 1
        self._asks.open(seq, type(message).__name__, deadline_s, reply)
        try:
            self.tell(message, cause, actor)
        except HedgegridError:
            self._asks.forget(seq)
            raise
        return seq

    def drain(self, limit: int = DRAIN_MAX) -> int:
        """Deliver until all mailboxes are empty, without a loop; see `Scheduler.drain`."""
        return self._scheduler.drain(limit)

    # --- service ------------------------------------------------------------------------------

    def pause(self, actor: str) -> None:
        """Hold deliveries to an actor (it is being restarted); its mailbox goes on filling."""
        self._scheduler.pause(self._box(actor))

    def resume(self, actor: str) -> None:
        """Deliver to it again, beginning with what has waited."""
        self._scheduler.resume(self._box(actor))

    def retire(self, actor: str) -> int:
        """Take an actor out of service for good; returns how many waiting messages were dropped.

        Telling it something raises `ActorDown` from now on, asks that wait in its mailbox end so.
        """
        box = self._box(actor)
        self._scheduler.pause(box)
        self._wiring.retire(box)
        self.cancel_timers(actor)
        left = box.clear()
        for envelope in left:
            self._asks.fail(envelope.seq, ActorDown(f"{actor} is out of service"))
        return len(left)

    def cancel_timers(self, actor: str) -> None:
        """Forget every wake-up the actor has asked for (it is being restarted)."""
        self._wakeups.cancel(actor)

    def ping(self) -> PingRound:
        """Put a ping behind what waits in every mailbox that is in service.

        Raises:
            BusError: the one before is still waited for.
        """
        if self._pinged is not None and self._pinged.waiting:
            raise BusError(f"a ping still waits at {', '.join(sorted(self._pinged.waiting))}")
        retired = self._wiring.retired
        boxes = [box for name, box in self._wiring.boxes.items() if name not in retired]
        self._pinged = asked = PingRound((box.name for box in boxes), retired)
        for box in boxes:
            self._last_seq += 1
            mono_ns = self._mono_ns()
            envelope = Envelope(
                seq=self._last_seq,
                time_ns=mono_ns + self._wall_offset_ns,
                mono_ns=mono_ns,
                cause=0,
                actor="",
                message=Ping(),
            )
            box.ping(envelope, asked.pong)
            if not box.control_queued:
                self._scheduler.ready_control(box)
        return asked

    @property
    def next_seq(self) -> int:
        """Sequence the next envelope will get."""
        return self._last_seq + 1

    def take_seq(self) -> int:
        """A sequence for an envelope that is not posted: a record of the daemon itself."""
        self._last_seq += 1
        return self._last_seq

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters per actor: messages waiting, conflated away, and slow handlers."""
        return {
            name: {
                "waiting": len(box),
                "conflated": box.conflated,
                "slow": box.slow,
            }
            for name, box in self._wiring.boxes.items()
        }

    def answers(self) -> dict[str, int]:
        """Counters of answers nobody took (late, doubled, unasked) and asks still open."""
        asks = self._asks
        return {"open": len(asks), "late": asks.late, "doubled": asks.doubled, "unasked": asks.unasked}

    # --- inside -------------------------------------------------------------------------------

    def _box(self, actor: str) -> Mailbox:
        try:
            return self._wiring.boxes[actor]
        except KeyError:
            raise WiringError(f"there is no actor {actor!r}") from None

    def _unroutable(self, message: Message) -> BusError | WiringError:
        name = type(message).__name__
        if not self._wiring.closed:
            return WiringError(f"{name} was posted before the bus has started")
        owner = self._wiring.former_owner(type(message))
        if owner is not None:
            return ActorDown(f"{owner}, who handles {name}, is out of service")
        kind = self._kinds.get(type(message))
        if kind is not None:
            return WiringError(
                f"{name} is of kind {kind.name.lower()}: tell commands and queries, publish events"
            )
        return WiringError(f"{name} is not in the vocabulary")

    def _overflow_told(self, box: Mailbox, envelope: Envelope) -> None:
        try:
            self._overflow(box, envelope)
        except MailboxFull:
            return  # reported as the listener's fault by _overflow; the other listeners are not to suffer

    def _overflow(self, box: Mailbox, envelope: Envelope) -> None:
        """Report the fault of the actor that does not keep up, and tell the poster by raising."""
        error = box.control_full(envelope)
        self._report(Fault(box.name, box.essential, error, envelope))
        raise error

    def _put_data(self, boxes: tuple[Mailbox, ...], envelope: Envelope) -> None:
        message: Any = envelope.message
        key = message.conflate_key
        for box in boxes:
            try:
                box.put_data(envelope, key)
            except MailboxFull as error:
                self._report(Fault(box.name, box.essential, error, envelope))
                continue
            if not box.data_queued:
                self._scheduler.ready_data(box)

    def _route(self, box: Mailbox, envelope: Envelope, outputs: Sequence[Message]) -> None:
        """Post what a handler returned; the envelope it handled is the cause."""
        kinds, cause, name = self._kinds, envelope.seq, box.name
        for output in outputs:
            kind = kinds.get(type(output))
            if kind is Kind.EVENT:
                self.publish(output, cause, name)
            elif kind is Kind.COMMAND or kind is Kind.QUERY:
                self._tell_from(box, output, cause)
            elif isinstance(output, Answer):
                self._asks.answer(output)
            elif isinstance(output, WakeAt):
                self._wakeups.ask(box, output, cause)
            else:
                raise WiringError(f"{name} returned {output!r}, which is not in the vocabulary")

    def _tell_from(self, box: Mailbox, command: Message, cause: int) -> None:
        try:
            self.tell(command, cause, box.name)
        except MailboxFull:
            return  # the fault is the full actor's and has been reported; the sender did nothing wrong

    def _wake(self, box: Mailbox, token: str, cause: int) -> None:
        self._last_seq += 1
        mono_ns = self._mono_ns()
        self._resync(mono_ns)
        envelope = Envelope(
            seq=self._last_seq,
            time_ns=mono_ns + self._wall_offset_ns,
            mono_ns=mono_ns,
            cause=cause,
            actor=box.name,
            message=Woke(token=token),
        )
        try:
            box.put_control(envelope)
        except MailboxFull as error:
            self._report(Fault(box.name, box.essential, error, envelope))
            return
        if not box.control_queued:
            self._scheduler.ready_control(box)

    def _resync(self, mono_ns: int) -> None:
        """Read the wall clock anew; in between it follows the monotonic one, which saves a reading each."""
        self._wall_offset_ns = self._wall_ns() - mono_ns
        self._resync_ns = mono_ns + _RESYNC_NS

    def _on_fault(self, fault: Fault) -> None:
        if fault.envelope is not None:
            error = ActorFault(
                f"{fault.actor} broke on {type(fault.envelope.message).__name__}: {fault.error!r}"
            )
            error.__cause__ = fault.error
            self._asks.fail(fault.envelope.seq, error)
        self._report(fault)

    def _report(self, fault: Fault) -> None:
        """Without a supervisor (tests, simulations) a fault must not pass unseen: it is raised."""
        if self.on_fault is None:
            raise ActorFault(f"{fault.actor}: {fault.error!r}") from fault.error
        self.on_fault(fault)


def _settle(future: "asyncio.Future[Answer]", result: Answer | HedgegridError) -> None:
    if future.done():
        return  # the asker was cancelled in the same turn of the loop
    if isinstance(result, HedgegridError):
        future.set_exception(result)
    else:
        future.set_result(result)

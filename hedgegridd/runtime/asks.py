"""Who waits for which answer: exactly one answer per ask, late and doubled ones counted and dropped."""

from collections import OrderedDict
from collections.abc import Callable

from hedgegridd.errors import AskTimeout, HedgegridError, MailboxFull
from hedgegridd.messages import Answer
from hedgegridd.runtime.clock import Clock, Timer

Reply = Callable[[Answer | HedgegridError], None]

PENDING_MAX = 10_000
_FINISHED_MAX = 4_096


class Asks:
    """The open asks by their envelope's sequence, each with a deadline on the clock."""

    __slots__ = ("_clock", "_finished", "_pending", "doubled", "late", "unasked")

    def __init__(self, clock: Clock) -> None:
        """Start with none open."""
        self._clock = clock
        self._pending: dict[int, tuple[Reply, Timer]] = {}
        # How the last few thousand ended (True: answered), so that a late answer is told from a double.
        self._finished: OrderedDict[int, bool] = OrderedDict()
        self.late = 0
        self.doubled = 0
        self.unasked = 0

    def __len__(self) -> int:
        """Asks that wait for their answer."""
        return len(self._pending)

    def open(self, seq: int, what: str, deadline_s: float, reply: Reply) -> None:
        """Wait for the answer to `seq`; `reply` is called once, with the answer or the reason for none.

        Raises:
            MailboxFull: when too many are open.
        """
        if len(self._pending) >= PENDING_MAX:
            raise MailboxFull(f"{PENDING_MAX} asks are open already, cannot ask {what}")

        def expire() -> None:
            self.fail(seq, AskTimeout(f"no answer to {what} (envelope {seq}) within {deadline_s} s"))

        at_ns = self._clock.mono_ns() + round(deadline_s * 1e9)
        self._pending[seq] = (reply, self._clock.call_at(at_ns, expire))

    def answer(self, answer: Answer) -> None:
        """Hand the answer to its asker, or count it when nobody waits for it any more."""
        found = self._pending.pop(answer.to, None)
        if found is None:
            self._count_unwanted(answer.to)
            return
        self._finish(answer.to, answered=True)
        reply, timer = found
        timer.cancel()
        reply(answer)

    def fail(self, seq: int, error: HedgegridError) -> None:
        """End an open ask without an answer; nothing happens when none is open under `seq`."""
        found = self._pending.pop(seq, None)
        if found is not None:
            self._finish(seq, answered=False)
            reply, timer = found
            timer.cancel()
            reply(error)

    def fail_all(self, error: HedgegridError) -> None:
        """End every open ask with this error."""
        for seq in list(self._pending):
            self.fail(seq, error)

    def forget(self, seq: int) -> None:
        """The asker has gone: its answer, when it comes, is late."""
        found = self._pending.pop(seq, None)
        if found is not None:
            self._finish(seq, answered=False)
            found[1].cancel()

    def _finish(self, seq: int, *, answered: bool) -> None:
        self._finished[seq] = answered
        if len(self._finished) > _FINISHED_MAX:
            self._finished.popitem(last=False)

    def _count_unwanted(self, seq: int) -> None:
        answered = self._finished.get(seq)
        if answered is None:
            self.unasked += 1  # a told command: its answer is nobody's, and that is usual
        elif answered:
            self.doubled += 1
        else:
            self.late += 1

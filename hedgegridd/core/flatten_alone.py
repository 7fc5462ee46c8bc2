"""A flatten without a daemon: the machine of `flatten.py` with its envelopes, timers and answer, and nothing else.

Panic and the drill feed it what the venue answers and carry out the calls it returns.
"""

from typing import NamedTuple

from hedgegridd import messages as m
from hedgegridd.core.flatten import Flattener

type Call = m.CancelRaw | m.CloseRaw | m.ReadTruth | m.AskOrder


class Now(NamedTuple):
    """Wall and monotonic time in nanoseconds."""

    wall_ns: int
    mono_ns: int


class FlattenAlone:
    """One flatten from `begin` to its `answer`.

    Args:
        instruments: instrument ids and their venue symbols; all of them are flattened.
        epoch: base-36 text in the client order ids of the closes.
    """

    def __init__(self, instruments: dict[str, str], epoch: str) -> None:
        self._machine = Flattener(instruments, epoch)
        self._seq = 0
        self._timers: dict[str, int] = {}
        self.said: list[m.FlattenProgress] = []  # the caller takes them out
        self.answer: m.FlattenAnswer | None = None

    @property
    def next_mono_ns(self) -> int | None:
        """When `woke` has something to do; None: not before the next answer."""
        return min(self._timers.values(), default=None)

    def begin(self, order: m.Flatten, now: Now) -> list[Call]:
        """The first calls.

        Raises:
            ValueError: the machine refuses the order; the text says why.
        """
        return self._feed(order, now)

    def take(self, event: m.Event, now: Now) -> list[Call]:
        """What the venue answered, or its rules of an instrument; the calls that follow."""
        return self._feed(event, now)

    def woke(self, now: Now) -> list[Call]:
        """Timers that are due; the calls that follow."""
        due = sorted((at, token) for token, at in self._timers.items() if at <= now.mono_ns)
        calls: list[Call] = []
        for _, token in due:
            del self._timers[token]
            calls += self._feed(m.Woke(token=token), now)
        return calls

    def _feed(self, message: m.Message, now: Now) -> list[Call]:
        self._seq += 1
        env = m.Envelope(
            seq=self._seq, time_ns=now.wall_ns, mono_ns=now.mono_ns, cause=0, actor="alone", message=message
        )
        calls: list[Call] = []
        for out in self._machine.handle(env):
            match out:
                case m.CancelRaw() | m.CloseRaw() | m.ReadTruth() | m.AskOrder():
                    calls.append(out)
                case m.WakeAt():
                    self._timers[out.token] = out.at_ns
                case m.FlattenProgress():
                    self.said.append(out)
                case m.FlattenAnswer():
                    self.answer = out
                case m.Refused():
                    raise ValueError(out.reason)
                case _:
                    pass  # told to a strategy and to askers; there are none
        return calls

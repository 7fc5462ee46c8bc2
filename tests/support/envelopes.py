"""Envelopes for machines under test: a counter, a virtual clock, and a way to feed a machine its own timers."""

from hedgegridd import messages as m

DAY_NS = 86_400_000_000_000
START_NS = 1_700_000_000_000_000_000


class Feeder:
    """Wraps messages in envelopes with growing sequence and a clock that moves only when told."""

    def __init__(self, machine, start_mono_ns: int = 1_000_000_000):
        self.machine = machine
        self.mono_ns = start_mono_ns
        self.seq = 0
        self.timers: dict[str, int] = {}
        self.log: list[m.Message] = []

    def envelope(self, message: m.Message) -> m.Envelope:
        self.seq += 1
        return m.Envelope(
            seq=self.seq,
            time_ns=START_NS + self.mono_ns,
            mono_ns=self.mono_ns,
            cause=0,
            actor="test",
            message=message,
        )

    def __call__(self, message: m.Message) -> list[m.Message]:
        """Feed one message; timers are kept, everything else is returned (and logged)."""
        out = []
        for item in self.machine.handle(self.envelope(message)):
            if isinstance(item, m.WakeAt):
                self.timers[item.token] = item.at_ns
            else:
                out.append(item)
        self.log += out
        return out

    def advance(self, seconds: float) -> list[m.Message]:
        """Move the clock; every timer that passes is delivered, in order."""
        until = self.mono_ns + int(seconds * 1e9)
        out: list[m.Message] = []
        while self.timers:
            token, at_ns = min(self.timers.items(), key=lambda item: (item[1], item[0]))
            if at_ns > until:
                break
            del self.timers[token]
            self.mono_ns = max(self.mono_ns, at_ns)
            out += self(m.Woke(token=token))
        self.mono_ns = until
        return out


def of(kind: type, messages: list[m.Message]) -> list:
    """Those of a kind."""
    return [x for x in messages if isinstance(x, kind)]

"""Which command an event goes back to: follows causes through what actors are handed, for the log."""

from collections import OrderedDict

from hedgegridd.messages import Command, Envelope

KEPT = 16_384  # sequences that are remembered; what goes back further has no command


class Roots:
    """`handed` hears of everything that is recorded, in the order it is handled; `of` gives the command's sequence."""

    def __init__(self) -> None:
        self._roots: OrderedDict[int, int] = OrderedDict()

    def handed(self, envelope: Envelope) -> None:
        """An actor gets a message; again for each of several that get the same."""
        root = self._roots.get(envelope.cause)
        if root is None:
            if envelope.cause or not isinstance(envelope.message, Command):
                return
            root = envelope.seq
        self._roots[envelope.seq] = root
        if len(self._roots) > KEPT:
            self._roots.popitem(last=False)

    def of(self, envelope: Envelope) -> int | None:
        """The command that it goes back to; None: to none, or to one of long ago."""
        return self._roots.get(envelope.cause)

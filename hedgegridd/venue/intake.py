"""Lets the newest quote of a symbol stand for those it has overtaken before our loop came to them.

The socket's thread puts every message into the loop by itself. When more come than the loop can handle, they would wait
there, before any mailbox of ours could conflate them, and a command would wait behind them. So one quote is handled
in each turn of the loop, and of those that came in the same turn the last of each symbol in the next. Nothing but quotes
is ever overtaken.
"""

from collections.abc import Callable

QUOTE = b'@bookTicker"'
NAME_MAX = 96  # a combined stream's message begins with the stream's name


class Intake:
    """Stands before a handler of raw market messages.

    Args:
        handle: takes one raw message; must not raise.
        soon: runs a function in the loop's next turn (`loop.call_soon`).
        overtaken: told of each quote that is never handled.
    """

    def __init__(
        self,
        handle: Callable[[bytes], None],
        soon: Callable[[Callable[[], None]], object],
        overtaken: Callable[[], None],
    ) -> None:
        """Nothing waits yet."""
        self._handle = handle
        self._soon = soon
        self._overtaken = overtaken
        self._waiting: dict[bytes, bytes] = {}  # stream -> its last message; bounded by the subscriptions
        self._in_turn = False  # a quote has been handled in this turn

    def __call__(self, raw: bytes) -> None:
        """Handle a message now, or in the next turn unless a newer one overtakes it."""
        end = raw.find(QUOTE, 0, NAME_MAX)
        if end < 0:
            self._flush()  # what came before it is handled before it
            self._handle(raw)
        elif self._in_turn:
            stream = raw[:end]
            if stream in self._waiting:
                self._overtaken()
            self._waiting[stream] = raw
        else:
            self._in_turn = True
            self._soon(self._next_turn)
            self._handle(raw)

    def _next_turn(self) -> None:
        if self._waiting:
            self._soon(self._next_turn)
            self._flush()
        else:
            self._in_turn = False

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for raw in waiting.values():
                self._handle(raw)

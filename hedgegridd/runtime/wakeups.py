"""The timers that machines have asked for: one per actor and token, bounded."""

from collections.abc import Callable
from functools import partial

from hedgegridd.errors import BusError
from hedgegridd.messages import WakeAt
from hedgegridd.runtime.clock import Clock, Timer
from hedgegridd.runtime.mailbox import Mailbox

TIMERS_MAX = 10_000

Wake = Callable[[Mailbox, str, int], None]


class Wakeups:
    """Turns `WakeAt` into a timer whose `wake(mailbox, token, cause)` comes at that time."""

    def __init__(self, clock: Clock, wake: Wake) -> None:
        """Start with none."""
        self._clock = clock
        self._wake = wake
        self._timers: dict[tuple[str, str], Timer] = {}

    def ask(self, box: Mailbox, wish: WakeAt, cause: int) -> None:
        """Set the timer; the same token moves it, so a machine cannot pile them up by mistake.

        Raises:
            BusError: too many are pending.
        """
        key = (box.name, wish.token)
        earlier = self._timers.pop(key, None)
        if earlier is not None:
            earlier.cancel()
        if len(self._timers) >= TIMERS_MAX:
            raise BusError(f"{box.name} asks for a timer while {TIMERS_MAX} are pending")
        self._timers[key] = self._clock.call_at(wish.at_ns, partial(self._fire, box, wish.token, cause))

    def cancel(self, actor: str) -> None:
        """Forget every timer of one actor."""
        for key in [key for key in self._timers if key[0] == actor]:
            self._timers.pop(key).cancel()

    def cancel_all(self) -> None:
        """Forget them all."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, box: Mailbox, token: str, cause: int) -> None:
        del self._timers[box.name, token]
        self._wake(box, token, cause)

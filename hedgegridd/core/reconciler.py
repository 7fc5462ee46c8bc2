"""When our books are compared with the venue's: at start, every so often, and when a connection is back."""

from decimal import Decimal

from hedgegridd import messages as m


class Reconciler:
    """The timer machine; the comparison itself is the desk's (core/reconcile.py)."""

    def __init__(self, interval_s: Decimal) -> None:
        self._interval_ns = int(interval_s * 1_000_000_000)
        self._up = False

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.VenueUp():
                self._up = True
                return [m.Reconcile(cause="start"), self._wake(env)]
            case m.FeedChanged():
                back = self._up and message.up and message.channel in ("user", "rest")
                return [m.Reconcile(cause=f"{message.channel} is back")] if back else []
            case m.Woke():
                return [m.Reconcile(cause="interval"), self._wake(env)]
            case _:
                raise TypeError(f"the reconciler has no row for {type(message).__name__}")

    def _wake(self, env: m.Envelope) -> m.WakeAt:
        return m.WakeAt(at_ns=env.mono_ns + self._interval_ns, token="reconcile")  # noqa: S106  # a timer's name

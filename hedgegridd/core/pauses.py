"""Planned pauses: at the times of the `[[pause]]` tables entries are held, announced before, flattened first if so asked.

before announce  | announced (`announce_min` before) | open                          | over
---------------- | --------------------------------- | ----------------------------- | ------------------------------
nothing          | hold `notify`                     | hold `pause`; `flatten` at its | the hold clears, legs that the
                 |                                   | begin, once the venue is up    | pause has flattened are free

All of it follows from the time and the config, so there is nothing to keep: a process that starts inside a window holds
from its first message on, and flattens (again) where that was asked for.
"""

from datetime import UTC, datetime, tzinfo

from hedgegridd import messages as m
from hedgegridd.config import Pause
from hedgegridd.core.schedule import MINUTE_NS, next_ns, opened_ns
from hedgegridd.core.scopes import PAUSE_KEY
from hedgegridd.model import LEGS, Nanos

SOURCE = "pauses"
WAKE = "pauses"
LOOK_NS = 30_000_000_000  # at the latest: the wall clock may be set, the machine may sleep


class Pauses:
    """The machine. `instruments`: ids by the names that `[[grid]]` has; `zone` is the trading day's."""

    def __init__(self, pauses: tuple[Pause, ...], zone: tzinfo, instruments: dict[str, str]) -> None:
        self._pauses = pauses
        self._zone = zone
        self._instruments = instruments
        self._said: tuple[m.Hold, ...] | None = None
        self._up = False
        self._flattened: set[str] = set()  # keys of open windows that have been flattened

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.StageReached() | m.Woke():
                pass
            case m.VenueUp():
                self._up = True
            case _:
                raise TypeError(f"planned pauses have no row for {type(message).__name__}")
        return self._look(env)

    def _look(self, env: m.Envelope) -> list[m.Message]:
        """What holds now; said when it is new."""
        now_ns = env.time_ns
        holds: list[m.Hold] = []
        flattens: list[m.Message] = []
        still_open: set[str] = set()
        changes: list[Nanos] = []
        for pause in self._pauses:
            begin_ns, next_begin_ns = (
                opened_ns(pause, self._zone, now_ns),
                next_ns(pause, self._zone, now_ns),
            )
            if begin_ns is not None:
                changes.append(begin_ns + pause.duration_min * MINUTE_NS)
                held = self._open(pause, begin_ns)
                holds += held
                if pause.flatten:
                    still_open.update(hold.key for hold in held)
                    flattens += self._flatten(held)
            if next_begin_ns is not None:
                announce_ns = next_begin_ns - pause.announce_min * MINUTE_NS
                changes += [next_begin_ns, announce_ns]
                if begin_ns is None and announce_ns <= now_ns:
                    holds += self._announced(pause, next_begin_ns, announce_ns)
        self._flattened &= still_open
        out: list[m.Message] = []
        if tuple(holds) != self._said:
            self._said = tuple(holds)
            out.append(m.HoldsChanged(source=SOURCE, holds=self._said))
        out += flattens
        if self._pauses:
            due_ns = min((at - now_ns for at in changes if at > now_ns), default=LOOK_NS)
            out.append(m.WakeAt(at_ns=env.mono_ns + min(due_ns, LOOK_NS), token=WAKE))
        return out

    def _open(self, pause: Pause, begin_ns: Nanos) -> list[m.Hold]:
        until = _clock(begin_ns + pause.duration_min * MINUTE_NS)
        return [
            m.Hold(
                key=key,
                action="pause",
                scope=scope,
                cause=f"planned pause {pause.name} until {until}",
                since_ns=begin_ns,
            )
            for key, scope in self._scopes(pause)
        ]

    def _announced(self, pause: Pause, begin_ns: Nanos, announce_ns: Nanos) -> list[m.Hold]:
        what = "flattens and holds entries" if pause.flatten else "holds entries"
        cause = f"planned pause {pause.name} {what} from {_clock(begin_ns)} for {pause.duration_min} min"
        return [
            m.Hold(key=f"{key} announced", action="notify", scope=scope, cause=cause, since_ns=announce_ns)
            for key, scope in self._scopes(pause)
        ]

    def _flatten(self, held: list[m.Hold]) -> list[m.Message]:
        """Close what is open, once a window; what a hold's key has latched is free when that hold is over."""
        fresh = [hold for hold in held if self._up and hold.key not in self._flattened]
        self._flattened.update(hold.key for hold in fresh)
        return [
            m.Flatten(legs=LEGS, instrument=hold.scope.instrument, reason=hold.cause, origin=hold.key)
            for hold in fresh
        ]

    def _scopes(self, pause: Pause) -> list[tuple[str, m.Scope]]:
        if not pause.instruments:
            return [(f"{PAUSE_KEY}{pause.name}", m.Scope())]
        return [
            (f"{PAUSE_KEY}{pause.name} {name}", m.Scope(instrument=self._instruments[name]))
            for name in pause.instruments
        ]


def _clock(time_ns: Nanos) -> str:
    """Day and minute in UTC, for people."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M} UTC"

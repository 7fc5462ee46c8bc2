"""Switches that a person throws: emergency ones, and one for each venue, instrument and transport; kept over restarts.

Each is on or off; out of its normal place it holds new entries (exits and stops stay), but `read_only`, which holds
nothing and lets the control plane refuse commands. The connection itself is never cut: exits need it.
"""

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import Nanos

SOURCE = "switches"
READ_ONLY = "read_only"
KEY = "switch:"

_EMERGENCY = {
    READ_ONLY: "every command is refused but flatten, kill, pause and switch",
    "disable_live_data": "market data is not traded on: no new entries; exits and stops stay",
    "disable_entries": "no new entries; exits and stops stay",
}
_TRANSPORTS = {
    "transport.ws": "the streams are not relied on: no new entries; exits and stops stay",
    "transport.rest": "signed calls are kept for exits, stops and safety: no new entries",
}


class Position(msgspec.Struct, kw_only=True):
    """Where a switch was put, by whom and why."""

    enabled: bool
    since_ns: Nanos
    by: str = ""
    reason: str = ""


class SwitchesState(msgspec.Struct, kw_only=True):
    """Those that were ever touched."""

    positions: dict[str, Position] = {}


class _Switch(msgspec.Struct, frozen=True):
    name: str
    kind: str
    normal: bool
    effect: str
    scope: m.Scope = m.Scope()


def names(venue: str, instruments: tuple[str, ...]) -> tuple[str, ...]:
    """The names of all switches; `instruments` are Nautilus ids."""
    return tuple(each.name for each in _all(venue, instruments))


def _all(venue: str, instruments: tuple[str, ...]) -> tuple[_Switch, ...]:
    entries = "no new entries; exits and stops stay"
    return (
        *(_Switch(name, "emergency", normal=False, effect=text) for name, text in _EMERGENCY.items()),
        _Switch(f"venue.{venue}", "venue", normal=True, effect=entries),
        *(
            _Switch(
                f"instrument.{each.partition('.')[0]}",
                "instrument",
                normal=True,
                effect=entries,
                scope=m.Scope(instrument=each),
            )
            for each in instruments
        ),
        *(_Switch(name, "transport", normal=True, effect=text) for name, text in _TRANSPORTS.items()),
    )


class Switches:
    """The machine. `venue` and `instruments` (Nautilus ids) have a switch each."""

    def __init__(self, venue: str, instruments: tuple[str, ...]) -> None:
        self._known = {each.name: each for each in _all(venue, instruments)}
        self._state = SwitchesState()
        self._said: tuple[m.Hold, ...] | None = None

    # --------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> SwitchesState:
        """A copy of what must survive a restart."""
        return msgspec.json.decode(msgspec.json.encode(self._state), type=SwitchesState)

    def restore(self, state: SwitchesState) -> None:
        """Take up a kept state; what is no switch any more (an instrument that is gone) is forgotten."""
        kept = msgspec.json.decode(msgspec.json.encode(state), type=SwitchesState)
        kept.positions = {name: each for name, each in kept.positions.items() if name in self._known}
        self._state = kept

    def new_session(self) -> None:
        """A new process: what holds is said anew."""
        self._said = None

    # ------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.GetSwitches():
                return [m.SwitchesAnswer(to=env.seq, switches=self.views())]
            case m.SetSwitch():
                return self._set(env, message)
            case m.StageReached() | m.VenueUp():
                return self._tell()
            case _:
                raise TypeError(f"switches have no row for {type(message).__name__}")

    @property
    def read_only(self) -> str:
        """Why commands are refused, "" while they are not."""
        at = self._state.positions.get(READ_ONLY)
        if at is None or not at.enabled:
            return ""
        said = f"switch {READ_ONLY} is on"
        return said + (f" by {at.by}" if at.by else "") + (f": {at.reason}" if at.reason else "")

    def views(self) -> tuple[m.SwitchView, ...]:
        """Every switch as it stands."""
        return tuple(self._view(each) for each in self._known.values())

    def _view(self, switch: _Switch) -> m.SwitchView:
        at = self._state.positions.get(switch.name)
        facts = {"name": switch.name, "kind": switch.kind, "normal": switch.normal, "effect": switch.effect}
        if at is None:
            return msgspec.convert({**facts, "enabled": switch.normal}, m.SwitchView)
        moved = {"enabled": at.enabled, "since_ns": at.since_ns, "by": at.by, "reason": at.reason}
        return msgspec.convert({**facts, **moved}, m.SwitchView)

    def _set(self, env: m.Envelope, command: m.SetSwitch) -> list[m.Message]:
        switch = self._known.get(command.name)
        if switch is None:
            said = f"no switch {command.name[:64]!r}"
            return [m.Refused(to=env.seq, reason=said, accepted=tuple(self._known))]
        old = self._view(switch).enabled
        if old != command.enabled:
            self._state.positions[switch.name] = Position(
                enabled=command.enabled, since_ns=env.time_ns, by=command.by, reason=command.reason
            )
        detail: dict[str, object] = {"name": switch.name, "old": old, "new": command.enabled}
        # First the hold: who asks what rests once this is answered finds a desk that knows of it.
        return [*self._tell(), m.Done(to=env.seq, detail=detail)]

    def _tell(self) -> list[m.Message]:
        """What holds now; said when it is new."""
        holds = tuple(
            m.Hold(
                key=f"{KEY}{name}",
                action="pause",
                scope=self._known[name].scope,
                cause=self._cause(name, at),
                since_ns=at.since_ns,
            )
            for name, at in sorted(self._state.positions.items())
            if name != READ_ONLY and at.enabled != self._known[name].normal
        )
        if holds == self._said:
            return []
        self._said = holds
        return [m.HoldsChanged(source=SOURCE, holds=holds)]

    @staticmethod
    def _cause(name: str, at: Position) -> str:
        place = "on" if at.enabled else "off"
        return (
            f"switch {name} is {place}"
            + (f" by {at.by}" if at.by else "")
            + (f": {at.reason}" if at.reason else "")
        )

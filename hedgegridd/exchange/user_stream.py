"""The listenKey of the account, and the way of a user event from the engine to the sockets that hold the key."""

import secrets

import msgspec

from hedgegridd.exchange.faults import FaultBook
from hedgegridd.exchange.sockets import Hub
from hedgegridd.exchange.types import UserEvent, VenueError

LISTEN_KEY_LIFE_MS = 60 * 60_000


class UserStream:
    """One key at a time, as the venue has it: POST gives the live one again and extends it."""

    def __init__(self, hub: Hub, faults: FaultBook) -> None:
        self._hub = hub
        self._faults = faults
        self._held: UserEvent | None = None
        self._expires_ms = 0
        self.key: str | None = None
        self.events_sent = 0

    def create(self, wall_ms: int) -> str:
        """The live key, extended, or a new one."""
        if self.key is None:
            self.key = secrets.token_hex(32)
        self._expires_ms = wall_ms + LISTEN_KEY_LIFE_MS
        return self.key

    @property
    def ends_ms(self) -> int:
        """Wall time at which the key ends unless it is kept alive."""
        return self._expires_ms

    def restore(self, key: str | None, ends_ms: int) -> None:
        """Go on with a key that was kept over a restart."""
        self.key, self._expires_ms = key, ends_ms

    def keep_alive(self, wall_ms: int) -> str:
        """Extend the key. Raises VenueError -1125 when there is none."""
        if self.key is None:
            raise VenueError(-1125, "This listenKey does not exist.")
        self._expires_ms = wall_ms + LISTEN_KEY_LIFE_MS
        return self.key

    def close(self) -> None:
        """Give the key up; its sockets hear nothing more."""
        self.key = None

    def expire(self, wall_ms: int, *, now: bool = False) -> bool:
        """End a key whose hour is over (or at once), telling its listeners. Returns whether it ended."""
        if self.key is None or (wall_ms < self._expires_ms and not now):
            return False
        key, self.key = self.key, None
        body = {"e": "listenKeyExpired", "E": wall_ms, "listenKey": key}
        self._hub.send(key, msgspec.json.encode(body))
        return True

    def publish(self, events: list[UserEvent]) -> None:
        """Send events in order to whoever holds the live key, as far as the fault rules let them."""
        for event in events:
            kind = self._faults.take_event(str(event.body["e"]))
            if kind == "mute":
                continue
            if kind == "swap" and self._held is None:
                self._held = event
                continue
            self._send(event)
            if kind == "duplicate":
                self._send(event)
            if self._held is not None:
                held, self._held = self._held, None
                self._send(held)

    def _send(self, event: UserEvent) -> None:
        self.events_sent += 1
        if self.key is not None:
            self._hub.send(self.key, msgspec.json.encode(event.body))

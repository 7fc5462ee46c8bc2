"""Sessions of the web page: a key is shown once, and a cookie that scripts cannot read stands for it afterwards.

Kept in a file of the state folder as hashes, so that the page goes on after a restart. A session has no role of its own:
it is as good as its key is now, and over when the key is taken out of the config.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from hedgegridd.control.keys import fingerprint
from hedgegridd.journal.disk import RealDisk, write_file

COOKIE = "hedgegridd_session"
LASTS_S = 12 * 3600
SESSIONS_MAX = 64  # the oldest is ended for a new one
SESSIONS_PER_KEY = 8  # so that one key cannot end the sessions of others
TOKEN_MAX = 64
_NS = 1_000_000_000

_log = structlog.get_logger("control.sessions")


class Session(msgspec.Struct, frozen=True):
    """Hashes of the cookie's token and of the key that opened it, and its end on the wall clock."""

    token: str
    key: str
    until_ns: int


class Sessions:
    """The open sessions. `path` None: they end with the process."""

    def __init__(self, path: Path | None, time_ns: Callable[[], int]) -> None:
        """Read those that are kept; a file that cannot be read opens nothing."""
        self._path = path
        self._time_ns = time_ns
        self._writing = asyncio.Lock()
        self._open: dict[str, Session] = {}
        if path is None or not path.exists():
            return
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=list[Session])
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("sessions_unreadable", path=str(path), error=str(error))
            return
        self._open = {each.token: each for each in kept[-SESSIONS_MAX:]}

    async def open(self, key_sha256: str) -> str:
        """A new session of a key: the token for its cookie.

        Raises:
            OSError: it cannot be kept; none was opened.
        """
        token = secrets.token_urlsafe(32)
        session = Session(fingerprint(token), key_sha256, self._time_ns() + LASTS_S * _NS)
        self._expire()
        own = [each.token for each in self._open.values() if each.key == key_sha256]
        for old in own[: max(0, len(own) - SESSIONS_PER_KEY + 1)]:
            del self._open[old]
        while len(self._open) >= SESSIONS_MAX:
            del self._open[next(iter(self._open))]
        self._open[session.token] = session
        try:
            await self._keep()
        except OSError:
            self._open.pop(session.token, None)
            raise
        return token

    async def close(self, token: str) -> bool:
        """End a session; False when there is none.

        Raises:
            OSError: it is over in this process, but the file has it still.
        """
        if self._open.pop(fingerprint(token), None) is None:
            return False
        await self._keep()
        return True

    def key_of(self, token: str) -> str | None:
        """Hash of the key behind a cookie; None when the session is over or never was."""
        hashed = fingerprint(token)
        found = self._open.get(hashed)
        if found is None or not hmac.compare_digest(found.token, hashed):
            return None
        return found.key if found.until_ns > self._time_ns() else None

    def _expire(self) -> None:
        now_ns = self._time_ns()
        self._open = {token: each for token, each in self._open.items() if each.until_ns > now_ns}

    async def _keep(self) -> None:
        if self._path is None:
            return
        async with self._writing:
            data = msgspec.json.encode(list(self._open.values()))
            await asyncio.to_thread(write_file, RealDisk(), self._path, data)


def cookie_token(header: str) -> str | None:
    """The session's token in a Cookie header."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and value:
            return value[:TOKEN_MAX]
    return None

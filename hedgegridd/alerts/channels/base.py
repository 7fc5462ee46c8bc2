"""What a channel is: it sends one message and says what became of it; queues, retries and limits are the sender's.

No address goes into what is said of a failure: it may hold a token.
"""

from collections.abc import Mapping
from typing import Protocol

import aiohttp
import msgspec

from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Letter
from hedgegridd.messages import Alert

BODY_MAX = 16_384  # of an answer; more is not read
SAID_MAX = 200  # characters of a service's word that are kept
RETRIED = frozenset({408, 425, 429})  # and everything from 500


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt. Not `ok`: `final` (refused for good) or to be tried again, after `retry_after_s` at the earliest if it says so."""

    ok: bool
    final: bool = False
    retry_after_s: float | None = None
    detail: str = ""


class Channel(Protocol):
    """A service that takes alerts."""

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How often it may be asked."""
        ...

    async def open(self) -> None:
        """Get ready; called again after `close`."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """One attempt; the caller bounds its time.

        Raises:
            OSError, aiohttp.ClientError, TimeoutError: it could not be reached; to be tried again.
        """
        ...


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer: its status, its `Retry-After` in seconds, the beginning of its body."""

    status: int
    retry_after_s: float | None
    body: bytes

    def sent(self) -> Sent:
        """What it means where the status says it all."""
        said = " ".join(self.body[:SAID_MAX].decode("utf-8", "replace").split())
        detail = f"HTTP {self.status}" + (f": {said}" if said else "")
        if 200 <= self.status < 300:
            return Sent(ok=True, detail=detail)
        again = self.status in RETRIED or self.status >= 500
        return Sent(
            ok=False, final=not again, retry_after_s=self.retry_after_s if again else None, detail=detail
        )


class Http:
    """A connection pool of one channel: no redirects (an address may be secret), no proxy, no cookies."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool, once."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, url: str, body: object, headers: Mapping[str, str] | None = None) -> Reply:
        """Send JSON.

        Raises:
            OSError, aiohttp.ClientError: it could not be reached.
        """
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", "User-Agent": "hedgegridd", **(headers or {})}
        return await self._ask("POST", url, data, sent)

    async def get(self, url: str) -> Reply:
        """Ask. Raises as `post`."""
        return await self._ask("GET", url, None, {"User-Agent": "hedgegridd"})

    async def _ask(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Reply:
        assert self._session is not None, "opened before it is used"
        async with self._session.request(
            method, url, data=data, headers=headers, allow_redirects=False
        ) as response:
            return Reply(
                status=response.status,
                retry_after_s=_seconds(response.headers.get("Retry-After", "")),
                body=await response.content.read(BODY_MAX),
            )


def _seconds(text: str) -> float | None:
    """`Retry-After` where it is a number; a date, or nothing, leaves it to our back-off."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def why(error: BaseException) -> str:
    """A failed attempt in words, without the address."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

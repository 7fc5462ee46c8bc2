"""The daemon's transport: one aiohttp session in the event loop."""

from collections.abc import Mapping

import aiohttp
from yarl import URL

from hedgegridd.venue.transport import BODY_MAX, Answer, Lost, NotSent

_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class AiohttpTransport:
    """Each request is bounded by `timeout_s`, connecting included."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """See `Transport`."""
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connector = aiohttp.TCPConnector(limit=64, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    async def close(self) -> None:
        """See `Transport`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """See `Transport`."""
        if self._session is None:
            raise NotSent("the client is closed")
        try:
            async with self._session.request(method, URL(url, encoded=True), headers=headers) as response:
                return Answer(response.status, response.headers, await _whole(response.content))
        except _UNSENT as error:
            raise NotSent(f"cannot connect: {error}") from error
        except TimeoutError as error:
            raise Lost("no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(str(error) or type(error).__name__) from error


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """The body to its end: one `read` gives only what has arrived, and an exchangeInfo of 1 MB comes in many pieces.

    Raises:
        aiohttp.ClientPayloadError: it is longer than `BODY_MAX`.
    """
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > BODY_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {BODY_MAX} bytes")
    return bytes(body)

"""How a venue call travels: one request, one whole answer, and the two ways in which it can get lost.

transport_aiohttp.py  the daemon's: many calls at once in its loop
transport_plain.py    panic's: Python's own HTTP client, which is there at once
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

BODY_MAX = 32 * 1024 * 1024


class NotSent(Exception):  # noqa: N818  # reads as the event it is
    """The request never reached the venue; the text says why."""


class Lost(Exception):  # noqa: N818  # reads as the event it is
    """The venue may have the request; its answer did not come whole."""


class Headers(Protocol):
    """Looked up without regard to case."""

    def get(self, name: str, /) -> str | None:
        """The value, None when the header is not there."""
        ...


class Answer(NamedTuple):
    """A whole answer, whatever its status."""

    status: int
    headers: Headers
    body: bytes


class Transport(Protocol):
    """Carries requests between `open` and `close`; nothing is retried."""

    async def open(self) -> None:
        """Make ready; no connection is made before the first request."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """One request to an encoded URL.

        Raises:
            NotSent: it has not reached the venue.
            Lost: it may have.
        """
        ...

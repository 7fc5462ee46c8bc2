"""Slack by an incoming webhook. The whole address is the secret: who has it can write."""

from hedgegridd.alerts.channels.base import Http, Sent
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Letter
from hedgegridd.messages import Alert


class Slack:
    """`address` as Slack gives it, https://hooks.slack.com/services/..."""

    limits: tuple[Limit, ...] = (Limit(1, 1.0),)

    def __init__(self, address: str) -> None:
        self._address = address
        self._http = Http()

    async def open(self) -> None:
        """See `Channel`."""
        await self._http.open()

    async def close(self) -> None:
        """See `Channel`."""
        await self._http.close()

    async def send(self, alert: Alert, letter: Letter) -> Sent:  # noqa: ARG002  # the letter says it all
        """See `Channel`. 429 carries `Retry-After`; other 4xx are for good (no_service, invalid_payload, ...)."""
        # No marking up: names such as session_drawdown and commands must be readable and be copied as they are.
        body = {
            "text": escape(letter.plain),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return (await self._http.post(self._address, body)).sent()


def escape(text: str) -> str:
    """Slack's three control characters: without them nobody is mentioned and nothing is a link but what looks like one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

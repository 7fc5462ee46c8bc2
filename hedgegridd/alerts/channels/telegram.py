"""Telegram by a bot: messages with a button that acknowledges, and a long poll that hears it pressed.

The bot's token stands in every address, so no address is ever logged. Only the configured chat counts, and of it only
`ack_users` when some are named.
"""

import html
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import aiohttp
import anyio
import msgspec
import structlog

from hedgegridd.alerts.channels.base import Http, Reply, Sent, why
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Letter
from hedgegridd.messages import Alert

API = "https://api.telegram.org"
POLL_S = 25
POLL_LATE_S = 10.0  # beyond it the poll itself hangs
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
ACK = "ack:"
DATA_MAX = 64  # bytes of a button
_log = structlog.get_logger("alerts")

Acknowledge = Callable[[str, str], Awaitable[str]]
"""Acknowledges an alert for somebody; what came of it, in words."""


class Telegram:
    """`token` the bot's, `chat_id` where it writes; `base` may lead elsewhere (a bot API server of one's own)."""

    def __init__(self, token: str, chat_id: str, *, base: str = API, ack_users: Collection[str] = ()) -> None:
        self._base = f"{base.rstrip('/')}/bot{token}/"
        self._chat_id = chat_id
        self._ack_users = {user.lstrip("@").lower() for user in ack_users}
        self._http = Http()
        self._offset = 0
        self._lost = 0

    @property
    def limits(self) -> tuple[Limit, ...]:
        """One a second to a chat; twenty a minute to a group, of which five are kept for CRITICAL."""
        group = self._chat_id.startswith(("-", "@"))
        return (Limit(1, 1.0), Limit(20, 60.0, kept=5)) if group else (Limit(1, 1.0),)

    async def open(self) -> None:
        """See `Channel`."""
        await self._http.open()

    async def close(self) -> None:
        """See `Channel`."""
        await self._http.close()

    # ----------------------------------------------------------------------------------------------------- telling

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """See `Channel`; a CRITICAL has the button."""
        lines = [f"<b>{html.escape(letter.head)}</b>", *(html.escape(line) for line in letter.lines)]
        link = letter.link
        if link.startswith("https://"):
            lines.append(f'<a href="{html.escape(link)}">Runbook</a>')
        else:
            lines.append(html.escape(link))
        body: dict[str, object] = {
            "chat_id": self._chat_id,
            "text": "\n".join(lines),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        data = ACK + alert.alert_id
        if alert.severity == "CRITICAL" and len(data.encode()) <= DATA_MAX:
            button = {"text": f"Acknowledge {alert.alert_id}", "callback_data": data}
            body["reply_markup"] = {"inline_keyboard": [[button]]}
        return _sent(await self._call("sendMessage", body))

    async def _call(self, method: str, body: object) -> Reply:
        return await self._http.post(self._base + method, body)

    # ----------------------------------------------------------------------------------------------------- hearing

    async def listen(self, acknowledge: Acknowledge) -> None:
        """Hear buttons for as long as it runs; what cannot be reached is tried again."""
        while True:
            try:
                found = await self._poll()
            except (OSError, aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ValueError) as error:
                wait_s = AGAIN_S[min(self._lost, len(AGAIN_S) - 1)]
                self._lost += 1
                _log.warning("telegram_not_heard", error=_words(error), again_s=wait_s)
                await anyio.sleep(wait_s)
                continue
            self._lost = 0
            for update in found:
                try:
                    await self._pressed(update, acknowledge)
                except (AttributeError, TypeError, ValueError) as error:  # no update as Telegram describes it
                    _log.warning("telegram_not_understood", error=type(error).__name__)

    async def _poll(self) -> list[dict[str, Any]]:
        """What is new. Raises OSError, ClientError, TimeoutError, DecodeError, ValueError: no answer that counts."""
        body = {"offset": self._offset, "timeout": POLL_S, "allowed_updates": ["callback_query"]}
        with anyio.fail_after(POLL_S + POLL_LATE_S):
            reply = await self._call("getUpdates", body)
        answer = _read(reply)
        if not answer.ok:
            raise ValueError(f"HTTP {reply.status}: {answer.description[:200]}")
        for update in answer.result:
            self._offset = max(self._offset, int(update.get("update_id", 0)) + 1)
        return answer.result

    async def _pressed(self, update: dict[str, Any], acknowledge: Acknowledge) -> None:
        query = update.get("callback_query")
        if not isinstance(query, dict):
            return
        data, who = str(query.get("data", "")), query.get("from") or {}
        name = str(who.get("username") or who.get("id") or "somebody")
        said = self._refusal(query, data, name)
        if not said:
            said = await acknowledge(data.removeprefix(ACK), f"telegram:{name}")
        answer = {"callback_query_id": query.get("id"), "text": said[:200]}
        try:
            await self._call("answerCallbackQuery", answer)
        except (OSError, aiohttp.ClientError) as error:
            _log.warning("telegram_not_answered", error=why(error))  # it was acknowledged all the same

    def _refusal(self, query: dict[str, Any], data: str, name: str) -> str:
        """Why a button does not count, in words; "" when it does."""
        chat = (query.get("message") or {}).get("chat") or {}
        places = {str(chat.get("id", "")), f"@{chat.get('username', '')}"}
        if self._chat_id not in places:
            _log.warning("telegram_strange_chat", user=name)
            return "this chat is not the daemon's"
        if self._ack_users and name.lower() not in self._ack_users:
            _log.warning("telegram_not_allowed", user=name)
            return f"{name} may not acknowledge here"
        return "" if data.startswith(ACK) else "this button is none of the daemon's"


class _Parameters(msgspec.Struct):
    retry_after: float | None = None


class _Answer(msgspec.Struct):
    ok: bool
    description: str = ""
    result: Any = None
    parameters: _Parameters | None = None


class _Updates(msgspec.Struct):
    ok: bool
    description: str = ""
    result: list[dict[str, Any]] = []


def _read(reply: Reply) -> _Updates:
    try:
        return msgspec.json.decode(reply.body, type=_Updates)
    except msgspec.DecodeError:
        if reply.status < 400:
            raise
        return _Updates(ok=False, description="no answer of Telegram's")


def _sent(reply: Reply) -> Sent:
    """Telegram says in the body what it means, `retry_after` too."""
    sent = reply.sent()
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except msgspec.DecodeError:
        if sent.ok:  # a proxy's page, no Telegram
            return Sent(ok=False, detail="no answer of Telegram's")
        return sent
    if sent.ok and answer.ok:
        return Sent(ok=True, detail="HTTP 200")
    detail = f"HTTP {reply.status}: {answer.description[:200]}"
    asked = answer.parameters.retry_after if answer.parameters else None
    return msgspec.structs.replace(
        sent, ok=False, retry_after_s=asked if asked is not None else sent.retry_after_s, detail=detail
    )


def _words(error: BaseException) -> str:
    return str(error) if type(error) is ValueError else why(error)

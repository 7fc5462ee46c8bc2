"""E-mail and a hundred other services through the package apprise, an optional extra (`hedgegridd[alerts]`).

It speaks in a thread of its own, so that a service that hangs holds up nobody; while one attempt is stuck there no other
begins.
"""

import asyncio
import logging
import threading
from concurrent.futures import Future
from importlib import import_module
from typing import Any

from hedgegridd.alerts.channels.base import Sent
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Letter
from hedgegridd.errors import ConfigError
from hedgegridd.messages import Alert

MISSING = "[[alert]] type = \"apprise\" needs the package apprise: install hedgegridd with its extra 'alerts'"


class Library:
    """`address` as apprise writes it, such as mailtos://user:password@example.org?to=desk@example.org.

    Raises:
        ConfigError: the package is not there, or does not know such an address.
    """

    limits: tuple[Limit, ...] = (Limit(1, 1.0),)

    def __init__(self, address: str) -> None:
        try:
            apprise: Any = import_module("apprise")  # an extra, and slow: only where it is asked for
        except ImportError as error:
            raise ConfigError(MISSING) from error
        logging.getLogger("apprise").setLevel(
            logging.CRITICAL
        )  # its log names addresses, with their passwords
        self._apprise = apprise
        self._services = apprise.Apprise()
        if not self._services.add(address):
            raise ConfigError('[[alert]] type = "apprise": the credential is no address that apprise knows')
        self._attempt: Future[bool] | None = None

    async def open(self) -> None:
        """See `Channel`; there is nothing to open."""

    async def close(self) -> None:
        """See `Channel`; an attempt that is stuck is left to itself, its thread holds nobody up."""

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """See `Channel`."""
        if self._attempt is not None and not self._attempt.done():
            return Sent(ok=False, detail="an earlier attempt still hangs")
        self._attempt = Future()
        threading.Thread(
            target=self._notify, args=(self._attempt, alert, letter), name="alerts-apprise", daemon=True
        ).start()
        waiting = asyncio.wrap_future(self._attempt)
        waiting.add_done_callback(_heard)
        # Shielded: giving up waiting does not end the attempt, and must not be taken for its end.
        taken = await asyncio.shield(waiting)
        return Sent(ok=taken, detail="" if taken else "the service did not take it")

    def _notify(self, attempt: "Future[bool]", alert: Alert, letter: Letter) -> None:
        kinds = self._apprise.NotifyType
        kind = {"INFO": kinds.INFO, "WARNING": kinds.WARNING, "CRITICAL": kinds.FAILURE}[alert.severity]
        body = "\n".join((*letter.lines, letter.link))
        try:
            taken = self._services.notify(title=letter.head, body=body, notify_type=kind, body_format="text")
        except Exception as error:  # noqa: BLE001  # whatever a plug-in raises is the attempt's outcome
            attempt.set_exception(error)
        else:
            attempt.set_result(bool(taken))


def _heard(attempt: "asyncio.Future[bool]") -> None:
    """An outcome that nobody waits for any more is no news."""
    if not attempt.cancelled():
        attempt.exception()

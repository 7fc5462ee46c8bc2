"""E-mail and a hundred other services through the package apprise, an optional extra (`hedgegridd[alerts]`).

It speaks in a thread of its own, so that a service that hangs holds up nobody; while one attempt is stuck there no other
begins.
"""

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
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
        self._thread: ThreadPoolExecutor | None = None
        self._stuck: Future[bool] | None = None

    async def open(self) -> None:
        """See `Channel`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="alerts-apprise")

    async def close(self) -> None:
        """See `Channel`; an attempt that is stuck is left to itself."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """See `Channel`."""
        assert self._thread is not None, "opened before it is used"
        if self._stuck is not None and not self._stuck.done():
            return Sent(ok=False, detail="an earlier attempt still hangs")
        kinds = self._apprise.NotifyType
        kind = {"INFO": kinds.INFO, "WARNING": kinds.WARNING, "CRITICAL": kinds.FAILURE}[alert.severity]
        body = "\n".join((*letter.lines, letter.link))
        self._stuck = self._thread.submit(
            self._services.notify, title=letter.head, body=body, notify_type=kind, body_format="text"
        )
        # Shielded: giving up waiting does not end the attempt, and must not be taken for its end.
        taken = await asyncio.shield(asyncio.wrap_future(self._stuck))
        return Sent(ok=bool(taken), detail="" if taken else "the service did not take it")

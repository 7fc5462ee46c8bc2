"""Our own heartbeat to an address off this host (a dead man's snitch): when it stops, somebody else tells people."""

from collections.abc import Callable

import aiohttp
import anyio
import structlog

from hedgegridd.alerts.channels.base import Http, why

TIMEOUT_S = 10.0
TROUBLE_AFTER = 3  # beats in a row that did not arrive
_log = structlog.get_logger("alerts")


class Heartbeat:
    """A GET every `every_s` seconds while `alive()`: it says that the trading actors answer, not that a process exists.

    `changed(up, why)` hears when beats do not arrive, and when they do again.
    """

    def __init__(
        self, address: str, every_s: float, *, alive: Callable[[], bool], changed: Callable[[bool, str], None]
    ) -> None:
        self._address = address
        self._every_s = every_s
        self._alive = alive
        self._changed = changed
        self._http = Http()
        self._missed = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        await self._http.open()
        try:
            while True:
                await self.beat()
                await anyio.sleep(self._every_s)
        finally:
            await self._http.close()

    async def beat(self) -> None:
        """One beat, unless the trading actors are silent: then silence is the message."""
        if not self._alive():
            _log.error("heartbeat_withheld", effect="whoever waits for it tells that we are silent")
            return
        trouble = await self._ask()
        if trouble:
            self._missed += 1
            _log.warning("heartbeat_not_taken", error=trouble, missed=self._missed)
            if self._missed == TROUBLE_AFTER:
                self._changed(False, trouble)
            return
        if self._missed >= TROUBLE_AFTER:
            self._changed(True, "")
        self._missed = 0

    async def _ask(self) -> str:
        """Why it did not arrive, "" when it did."""
        try:
            with anyio.fail_after(TIMEOUT_S):
                sent = (await self._http.get(self._address)).sent()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            return why(error)
        return "" if sent.ok else sent.detail

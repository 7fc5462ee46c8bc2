"""Verifies the account's set-up hourly and when the venue says that it has moved; what does not fit holds entries."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from hedgegridd.config import Grid
from hedgegridd.messages import Event, Hold, HoldsChanged
from hedgegridd.model import ACCOUNT_KEY, NEEDS_YOU
from hedgegridd.venue import patience, setup
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.key_rights import KeyReader
from hedgegridd.venue.rest import VenueCallError

EVERY_S = 3_600.0
WRONG_EVERY_S = 60.0  # while something is wrong or could not be read
GAP_S = 2.0  # between two looks, however many orders are refused
_log = structlog.get_logger("venue.account")


class AccountWatch:
    """Changes nothing at the venue: with inventory, a person decides what becomes of it."""

    def __init__(
        self,
        calls: VenueCalls,
        grids: Sequence[Grid],
        key: KeyReader,
        *,
        wall_ns: Callable[[], int],
        publish: Callable[[Event], None],
    ) -> None:
        self._calls = calls
        self._grids = grids
        self._key = key
        self._wall_ns = wall_ns
        self._publish = publish
        self._looking = False
        self._doubted = asyncio.Event()
        self._wrong: tuple[str, ...] = ()

    async def loop(self) -> None:
        """Look every hour, at a doubt, and every minute while it does not fit; runs until it is cancelled."""
        pause_s = EVERY_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), pause_s)
            self._doubted.clear()
            pause_s = EVERY_S if await self.look() else WRONG_EVERY_S
            await asyncio.sleep(GAP_S)

    def doubt(self) -> None:
        """A call was refused as only the account's or the key's set-up explains: look at it now."""
        self._doubted.set()

    async def look(self) -> bool:
        """Read the set-up and say what has changed about it; True when it fits. One reading at a time."""
        if self._looking:
            return not self._wrong
        self._looking = True
        try:
            wrong = await setup.findings(self._calls, self._grids, self._key)
        except VenueCallError as error:
            said = patience.refused_key(error)
            if not said:
                _log.warning("account not verified", error=str(error))
                return False
            wrong = (said,)
        finally:
            self._looking = False
        if wrong != self._wrong:
            self._tell(wrong)
        return not wrong

    def _tell(self, wrong: tuple[str, ...]) -> None:
        self._wrong = wrong
        holds: tuple[Hold, ...] = ()
        if wrong:
            cause = f"{NEEDS_YOU}{'; '.join(wrong)}"
            _log.error("account", wrong=list(wrong), effect="no entries")
            holds = (Hold(key=ACCOUNT_KEY, action="pause", cause=cause, since_ns=self._wall_ns()),)
        else:
            _log.info("account", wrong=[], effect="entries are allowed again")
        self._publish(HoldsChanged(source=ACCOUNT_KEY, holds=holds))

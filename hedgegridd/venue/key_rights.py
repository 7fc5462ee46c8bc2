"""What the API key may do: it must be able to trade futures, and must not be able to withdraw.

The futures addresses do not tell it; the venue's account address does (`/sapi/v1/account/apiRestrictions`), live only.
"""

from collections.abc import Callable

import structlog

from hedgegridd.config import Venue
from hedgegridd.venue import wire
from hedgegridd.venue.calls import NOT_SERVED
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError

ACCOUNT_URL = "https://api.binance.com"
PATH = "/sapi/v1/account/apiRestrictions"
_log = structlog.get_logger("venue.key")


class KeyReader:
    """Asks the account address with a client of its own: its budget is another than that of the futures address."""

    def __init__(
        self,
        venue: Venue,
        credentials: Credentials,
        futures: RestClient,
        *,
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
    ) -> None:
        self._live = venue.environment == "live"
        self._futures = futures
        url = venue.account_url or {"live": ACCOUNT_URL, "paper": venue.rest_url}.get(venue.environment)
        self._http: RestClient | None = None
        if url is not None:
            self._http = RestClient(
                url,
                credentials,
                wall_ns=wall_ns,
                mono_ns=mono_ns,
                recv_window_ms=venue.recv_window_ms,
                timeout_s=float(venue.request_timeout_s),
            )

    async def wrong(self) -> tuple[str, ...]:
        """What the key may and must not do, or the other way round, in words with the remedy.

        Raises:
            VenueCallError: the question was not answered; nothing is assumed.
        """
        rights = await self.rights()
        if rights is None:
            told = "the venue does not tell what the API key may do"
            if self._live:
                return (f"{told}: set [venue] account_url to an address that answers {PATH}",)
            _log.info("key", may="not told", note=told)
            return ()
        _log.info(
            "key",
            trade=rights.enableFutures,
            withdraw=rights.enableWithdrawals,
            bound_to_addresses=rights.ipRestrict,
            internal_transfer=rights.enableInternalTransfer,
            universal_transfer=rights.permitsUniversalTransfer,
        )
        found = []
        if not rights.enableFutures:
            found.append("the API key may not trade futures: allow it at the venue (Enable Futures)")
        if rights.enableWithdrawals:
            found.append(
                "the API key may withdraw: take that right from it at the venue (Enable Withdrawals)"
            )
        return tuple(found)

    async def close(self) -> None:
        """Close the client's connections."""
        if self._http is not None:
            await self._http.close()

    async def rights(self) -> wire.KeyRights | None:
        """What the key may do; None where the venue does not tell it. Raises VenueCallError."""
        if self._http is None:
            return None
        await self._http.open()
        self._http.clock_offset_ms = self._futures.clock_offset_ms
        try:
            return await self._http.call("GET", PATH, kind=wire.KeyRights, signed=True)
        except VenueCallError as error:
            if error.failure.status != NOT_SERVED:
                raise
            return None

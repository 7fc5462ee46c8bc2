"""A signed HTTP client of the venue: signature, clock offset, rate budget, one clear failure per failed call.

Used by the daemon for venue truth and safety calls and by the out-of-process panic; it imports no
NautilusTrader. It never retries: whether a call may be sent again is the caller's decision.
"""

import hashlib
import hmac
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import msgspec

from hedgegridd.errors import VenueError
from hedgegridd.venue.failures import TOO_MANY_ORDERS, Failure, Kind, of_answer
from hedgegridd.venue.health import RESERVED_SHARE
from hedgegridd.venue.transport import Lost, NotSent, Transport

WEIGHT_PER_MINUTE = 2_400  # the venue's, until exchangeInfo says otherwise
CLOCK_TRIES = 3
CLOCK_TRIP_NS = 200_000_000  # a reading that took longer is taken anew: half of it may be the error
ROUND_TRIPS_MAX = 4_096
_ORDER_PATHS = frozenset({"/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/batchOrders"})
_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000

type Params = dict[str, str | int | Decimal | bool]
type OnCall = Callable[[Failure | None, int], None]


class VenueCallError(VenueError):
    """A venue call failed; `failure` says how sure that is."""

    def __init__(self, endpoint: str, failure: Failure) -> None:
        code = f" {failure.code}" if failure.code else ""
        super().__init__(f"{endpoint}: {failure.kind.value}{code} {failure.reason}".strip())
        self.endpoint = endpoint
        self.failure = failure


class Credentials(msgspec.Struct, frozen=True):
    """API key and HMAC secret; never shown by `repr`."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(***)"


class RestStats:
    """Counters of one client, read by metrics and `GetVenue`."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()  # (endpoint, outcome): outcome "ok" or a Kind
        self.total = 0
        self.failed = 0  # transport failures, limits and 5xx only: a refusal shows that the venue answers
        self.failed_in_a_row = 0
        self.round_trip_ns: deque[int] = deque(maxlen=ROUND_TRIPS_MAX)


def sign(payload: str, secret: str) -> str:
    """HMAC-SHA256 of the query string, lower-case hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def query_string(params: Params) -> str:
    """Parameters in their order as the venue reads them: plain decimals, `true`/`false`."""
    return urlencode({name: _text(value) for name, value in params.items()})


def _text(value: str | int | Decimal | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


class RestClient:
    """One HTTP session with the venue; use as an async context manager.

    Args:
        base_url: such as `https://fapi.binance.com`, no trailing slash.
        credentials: of the account; None allows public calls only.
        wall_ns: the wall clock, for signatures.
        mono_ns: the monotonic clock, for waits and round trips.
        recv_window_ms: how old a request may be when the venue gets it.
        timeout_s: bound of one call, connecting included.
        make_transport: makes what carries the calls, of a timeout in seconds; None: aiohttp.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None,
        *,
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
        recv_window_ms: int = 5_000,
        timeout_s: float = 5.0,
        make_transport: Callable[[float], Transport] | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._credentials = credentials
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._timeout_s = timeout_s
        self._make_transport = make_transport or _aiohttp
        self._transport: Transport | None = None
        self._blocked_until_ns = 0  # monotonic
        self._orders_blocked_until_ns = 0  # too many orders: cancels and questions still pass
        self._weight_minute = -1
        self._weight_mark_ns = 0
        self.recv_window_ms = recv_window_ms
        self.weight_limit = WEIGHT_PER_MINUTE
        self.used_weight_1m: int | None = None
        self.clock_offset_ms: int | None = None
        self._clock_read_ns: int | None = None
        self.stats = RestStats()
        self.on_call: OnCall | None = (
            None  # hears each call that was sent: its failure, and how long it took (ns)
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the session; no connection is made before the first call."""
        if self._transport is None:
            self._transport = self._make_transport(self._timeout_s)
            await self._transport.open()

    async def close(self) -> None:
        """Close the session and its connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def now_ms(self) -> int:
        """Wall time as the venue's clock has it: ours plus the measured offset."""
        return self._wall_ns() // _NS_PER_MS + (self.clock_offset_ms or 0)

    async def sync_clock(self) -> int:
        """Measure the venue's clock against ours by `/fapi/v1/time`; returns the offset in ms (venue - ours).

        The quickest of a few readings counts: a slow answer may have spent its time on one of its two ways.
        """
        best_ns: int | None = None
        offset_ms = 0
        for _ in range(CLOCK_TRIES):
            before_ns, mono_ns = self._wall_ns(), self._mono_ns()
            # From the reserve: its answer also says how much of the weight is used, which nothing else would, once our own
            # calls are held, and by which entries are held (`rate_budget`).
            answer = await self.call("GET", "/fapi/v1/time", kind=_Time, safety=True)
            took_ns = self._mono_ns() - mono_ns
            if best_ns is None or took_ns < best_ns:
                best_ns = took_ns
                offset_ms = answer.serverTime - (before_ns + took_ns // 2) // _NS_PER_MS
            if best_ns <= CLOCK_TRIP_NS:
                break
        self.clock_offset_ms = offset_ms
        self._clock_read_ns = self._mono_ns()
        return offset_ms

    def clock_age_s(self) -> Decimal | None:
        """Seconds since the clock was read; None: never."""
        if self._clock_read_ns is None:
            return None
        return (Decimal(self._mono_ns() - self._clock_read_ns) / _NS_PER_S).quantize(Decimal("0.001"))

    async def call[T](
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        kind: type[T],
        signed: bool = False,
        keyed: bool = False,
        safety: bool = False,
    ) -> T:
        """One call, its JSON answer decoded as `kind`.

        `signed` adds timestamp, recvWindow and signature; `safety` calls may use the reserved budget.

        Raises:
            VenueCallError: with the failure, whatever it was.
            RuntimeError: a signed call has no credentials.
        """
        endpoint = f"{method} {path}"
        if self._transport is None:
            raise VenueCallError(endpoint, Failure(kind=Kind.UNSENT, reason="the client is closed"))
        self._check_budget(endpoint, new_order=method == "POST" and path in _ORDER_PATHS, safety=safety)
        query = query_string(params or {})
        headers = {}
        if signed or keyed:
            if self._credentials is None:
                raise RuntimeError(f"{endpoint} needs credentials")
            headers["X-MBX-APIKEY"] = self._credentials.key
        if signed:
            query = self._signed(query)
        url = f"{self._base}{path}{'?' + query if query else ''}"
        started_ns = self._mono_ns()
        try:
            status, answered, body = await self._transport.send(method, url, headers)
        except NotSent as error:
            failure = Failure(kind=Kind.UNSENT, reason=str(error))
            raise self._failed(endpoint, failure, started_ns) from error
        except Lost as error:
            failure = Failure(kind=Kind.AMBIGUOUS, reason=str(error))
            raise self._failed(endpoint, failure, started_ns) from error
        self._read_weight(answered.get("X-MBX-USED-WEIGHT-1M"))
        self.stats.round_trip_ns.append(self._mono_ns() - started_ns)
        if status >= 400:
            raise self._failed(endpoint, of_answer(status, body, answered.get("Retry-After")), started_ns)
        try:
            answer = msgspec.json.decode(body, type=kind, strict=False)
        except msgspec.MsgspecError as error:
            # It was processed, but what came of it is not readable: as good as no answer.
            failure = Failure(kind=Kind.AMBIGUOUS, reason=f"unreadable answer: {error}", status=status)
            raise self._failed(endpoint, failure, started_ns) from error
        self._count(endpoint, "ok")
        self.stats.failed_in_a_row = 0
        self._over(None, started_ns)
        return answer

    def wait_s(self, *, new_order: bool) -> float:
        """Seconds for which the venue still asks us to send nothing (or no new order); 0 when it does not."""
        until_ns = self._blocked_until_ns
        if new_order:
            until_ns = max(until_ns, self._orders_blocked_until_ns)
        return max(0, until_ns - self._mono_ns()) / _NS_PER_S

    def banned_until_ns(self) -> int | None:
        """Wall time until which the venue asks us to send nothing; None when it does not."""
        left_ns = self._blocked_until_ns - self._mono_ns()
        return self._wall_ns() + left_ns if left_ns > 0 else None

    def weight_used(self) -> Decimal | None:
        """The part of the minute's weight that is used, in [0, 1]; None before the first answer that tells it."""
        if self._weight_minute < 0:
            return None
        if self.used_weight_1m is None or self.now_ms() // 60_000 != self._weight_minute:
            return Decimal(0)  # a new minute: nothing of it was used as far as we were told
        return min(Decimal(self.used_weight_1m) / self.weight_limit, Decimal(1))

    # --- inside -------------------------------------------------------------------------------

    def _signed(self, query: str) -> str:
        assert self._credentials is not None, "checked by call"
        stamp = f"recvWindow={self.recv_window_ms}&timestamp={self.now_ms()}"
        payload = f"{query}&{stamp}" if query else stamp
        return f"{payload}&signature={sign(payload, self._credentials.secret)}"

    def _check_budget(self, endpoint: str, *, new_order: bool, safety: bool) -> None:
        """Refuse what the venue would refuse, so that a limit does not become a ban."""
        now_ns = self._mono_ns()
        if wait_s := self.wait_s(new_order=new_order):
            raise self._limited(endpoint, f"the venue asked us to wait {wait_s:.1f} s more", wait_s)
        if safety or self.used_weight_1m is None:
            return
        if now_ns - self._weight_mark_ns > 60 * _NS_PER_S:
            self.used_weight_1m = None  # the figure is of a window that is over
            return
        if self.used_weight_1m >= self.weight_limit * (1 - RESERVED_SHARE):
            wait_s = 60 - (self.now_ms() // 1000) % 60
            if self.now_ms() // 60_000 != self._weight_minute:
                self.used_weight_1m = None
                return
            raise self._limited(endpoint, f"weight {self.used_weight_1m} of {self.weight_limit} used", wait_s)

    def _limited(self, endpoint: str, reason: str, wait_s: float) -> VenueCallError:
        failure = Failure(kind=Kind.LIMITED, reason=reason, retry_after_s=wait_s)
        self._count(endpoint, "held")
        return VenueCallError(endpoint, failure)

    def _read_weight(self, text: str | None) -> None:
        if text is not None and text.isascii() and text.isdigit():
            self.used_weight_1m = int(text)
            self._weight_mark_ns = self._mono_ns()
            self._weight_minute = self.now_ms() // 60_000

    def _failed(self, endpoint: str, failure: Failure, started_ns: int) -> VenueCallError:
        self._count(endpoint, failure.kind.value)
        if failure.kind is Kind.LIMITED:
            until_ns = self._mono_ns() + int(failure.retry_after_s * _NS_PER_S)
            if failure.code == TOO_MANY_ORDERS and failure.status != 418:
                self._orders_blocked_until_ns = max(self._orders_blocked_until_ns, until_ns)
            else:
                self._blocked_until_ns = max(self._blocked_until_ns, until_ns)
        if failure.shows_a_venue:
            self.stats.failed_in_a_row = 0
        else:
            self.stats.failed += 1
            self.stats.failed_in_a_row += 1
        self._over(failure, started_ns)
        return VenueCallError(endpoint, failure)

    def _over(self, failure: Failure | None, started_ns: int) -> None:
        if self.on_call is not None:
            self.on_call(failure, self._mono_ns() - started_ns)

    def _count(self, endpoint: str, outcome: str) -> None:
        self.stats.calls[endpoint, outcome] += 1
        if outcome != "held":
            self.stats.total += 1


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815  # the venue's name


def _aiohttp(timeout_s: float) -> Transport:
    from hedgegridd.venue.transport_aiohttp import AiohttpTransport  # noqa: PLC0415  # slow to import: not for panic

    return AiohttpTransport(timeout_s)

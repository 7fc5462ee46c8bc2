"""One channel's way out: its outbox, its pace, and the single task that sends.

A CRITICAL does not wait for another message's attempt: that one is broken off after a moment and tried again later.
Whatever a channel raises stays here: the others, and the bus, never feel it.
"""

import traceback
from collections import Counter
from collections.abc import Callable

import aiohttp
import anyio
import structlog

from hedgegridd.alerts.channels.base import Channel, Sent, why
from hedgegridd.alerts.outbox import Outbox, Waiting
from hedgegridd.alerts.pace import Pace
from hedgegridd.alerts.text import Identity, letter
from hedgegridd.messages import Alert, ChannelView, DeliveryOutcome, Severity

MAKE_WAY_S = 0.3  # an attempt that is under way when a CRITICAL comes gets so much longer
OF_USE_S: dict[Severity, float] = {"INFO": 3_600.0, "WARNING": 6 * 3_600.0, "CRITICAL": 24 * 3_600.0}
TROUBLE_AFTER = 3  # failures in a row make a channel's trouble; a message refused for good does at once
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger("alerts")

Ended = Callable[["Sender", Waiting, DeliveryOutcome, str], None]
"""Told of a message's end: accepted, rejected or expired, and the channel's word."""


class Sender:
    """`ended` hears of every message's end, `changed` when the channel's trouble begins or is over.

    `counted` hears of every outcome: accepted, failed (an attempt that is made again), rejected, expired, folded.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        identity: Identity,
        *,
        mono_ns: Callable[[], int],
        ended: Ended,
        changed: Callable[["Sender"], None],
        counted: Callable[["Sender", str], None] = lambda _sender, _outcome: None,
        kind: str = "",
        min_severity: Severity = "INFO",
        escalation: bool = False,
        timeout_s: float = 4.0,
        limit: int = 256,
    ) -> None:
        self.name = name
        self.kind = kind
        self.channel = channel
        self.min_severity: Severity = min_severity
        self.escalation = escalation
        self.outbox = Outbox(limit)
        self.counts: Counter[str] = Counter()
        self.trouble = ""
        self.last_error = ""
        self._identity = identity
        self._mono_ns = mono_ns
        self._ended = ended
        self._changed = changed
        self._counted = counted
        self._timeout_s = timeout_s
        self._pace = Pace(channel.limits)
        self._wake = anyio.Event()
        self._all_sent = anyio.Event()
        self._attempt: anyio.CancelScope | None = None
        self._in_flight: Waiting | None = None
        self._accepted_ns: int | None = None

    # ---------------------------------------------------------------------------------------------------------- in

    def offer(self, alert: Alert, heard_ns: int) -> None:
        """Queue it; never waits, never refuses."""
        item = Waiting(alert=alert, heard_ns=heard_ns)
        if self.outbox.put(item):
            self._count("folded")
        if item.urgent and self._attempt is not None and not (self._in_flight and self._in_flight.urgent):
            self._attempt.deadline = min(self._attempt.deadline, anyio.current_time() + MAKE_WAY_S)
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not len(self.outbox) and self._in_flight is None

    async def drained(self) -> None:
        """Return when nothing waits and nothing is under way."""
        while not self.idle:
            self._all_sent = anyio.Event()
            await self._all_sent.wait()

    def view(self) -> ChannelView:
        """As it stands, for people."""
        age = None if self._accepted_ns is None else (self._mono_ns() - self._accepted_ns) / _NS_PER_S
        return ChannelView(
            name=self.name,
            type=self.kind,
            min_severity=self.min_severity,
            escalation=self.escalation,
            waiting=len(self.outbox) + (self._in_flight is not None),
            accepted=self.counts["accepted"],
            failed=self.counts["failed"] + self.counts["rejected"] + self.counts["expired"],
            folded=self.counts["folded"],
            last_accepted_age_s=age,
            trouble=self.trouble,
        )

    # --------------------------------------------------------------------------------------------------------- out

    async def run(self) -> None:
        """Send what comes, one after another, until cancelled."""
        if self._in_flight is not None:  # a run before this one was cut off in the middle of it
            self.outbox.back(self._in_flight)
            self._in_flight = None
        while True:
            self._wake = anyio.Event()
            now_ns = self._mono_ns()
            item = self.outbox.next(now_ns)
            if item is None:
                await self._sleep(self.outbox.earliest_ns(), now_ns)
                continue
            wait_ns = self._pace.wait_ns(now_ns, urgent=item.urgent and not item.tries)
            if wait_ns:
                await self._sleep(now_ns + wait_ns, now_ns)
                continue
            await self._one(item)

    async def _sleep(self, until_ns: int | None, now_ns: int) -> None:
        """Until then, or until something new comes; None: until something comes."""
        wait_s = float("inf") if until_ns is None else max(0, until_ns - now_ns) / _NS_PER_S
        with anyio.move_on_after(wait_s):
            await self._wake.wait()

    async def _one(self, item: Waiting) -> None:
        self.outbox.remove(item)
        self._in_flight = item
        self._pace.sent(self._mono_ns())
        sent = await self._try(item)
        self._in_flight = None
        now_ns = self._mono_ns()
        if sent.ok:
            self._accepted_ns = now_ns
            self._pace.accepted()
            self._end(item, "accepted", sent.detail)
            self.last_error = ""
            self._well("")
        elif sent.final:
            self.last_error = sent.detail
            self._end(item, "rejected", sent.detail)
            self._well(f"refuses: {sent.detail}")
        else:
            self._later(item, sent, now_ns)
        if self.idle:
            self._all_sent.set()

    async def _try(self, item: Waiting) -> Sent:
        with anyio.move_on_after(self._timeout_s) as scope:
            self._attempt = scope
            try:
                return await self.channel.send(item.alert, letter(item, self._identity))
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                return Sent(ok=False, detail=why(error))
            except Exception as error:  # noqa: BLE001  # a bug in a channel is that channel's trouble, not the daemon's
                # Without the exception's own text, which may hold an address with a token.
                at = traceback.extract_tb(error.__traceback__)[-1]
                _log.error(
                    "alert_channel_broke",
                    channel=self.name,
                    error=type(error).__name__,
                    at=f"{at.filename}:{at.lineno}",
                )
                return Sent(ok=False, detail=f"broke: {type(error).__name__}")
            finally:
                self._attempt = None
        return Sent(ok=False, detail=f"no answer within {self._timeout_s:g} s")

    def _later(self, item: Waiting, sent: Sent, now_ns: int) -> None:
        item.tries += 1
        self.last_error = sent.detail
        self._count("failed")
        item.not_before_ns = self._pace.failed(now_ns, sent.retry_after_s)
        if self._pace.failures >= TROUBLE_AFTER:
            self._well(sent.detail)
        if now_ns - item.heard_ns > OF_USE_S[item.alert.severity] * _NS_PER_S:
            self._end(item, "expired", sent.detail)
            return
        _log.warning(
            "alert_not_taken",
            channel=self.name,
            alert=item.alert.alert_id,
            tries=item.tries,
            error=sent.detail,
            again_s=round((item.not_before_ns - now_ns) / _NS_PER_S, 3),
        )
        self.outbox.back(item)

    def _end(self, item: Waiting, outcome: DeliveryOutcome, detail: str) -> None:
        self._count(outcome)
        if outcome != "accepted":
            _log.error(
                "alert_lost", channel=self.name, alert=item.alert.alert_id, outcome=outcome, error=detail
            )
        self._ended(self, item, outcome, detail)

    def _count(self, outcome: str) -> None:
        self.counts[outcome] += 1
        self._counted(self, outcome)

    def _well(self, trouble: str) -> None:
        before, self.trouble = self.trouble, trouble
        if bool(before) != bool(trouble):
            self._changed(self)

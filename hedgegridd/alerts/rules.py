"""Which events are alerts, and in which words: one function for each kind of event.

Times are the envelope's; what a rule must remember between events (which feed is down since when) it keeps in `Rules`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hedgegridd import messages as m
from hedgegridd.alerts.found import Clear, Finding, Raise
from hedgegridd.alerts.words import account_or, both, plain, seconds
from hedgegridd.model import KillState

KILL, DISK, GUARDS = "kill-switch", "the-disk-is-full-or-the-journal-has-failed", "guards"
DIFFERENCES_SHOWN = 5
RUNNING_MAX = 1_000  # flattens remembered: more at a time there cannot be (one for each instrument)
GUARD_SECTIONS = {
    "stale_market": "market-data-is-stale",
    "stale_account": "the-user-stream-is-lost",
    "venue_errors": "the-venue-does-not-answer",
    "venue_health": "the-venue-does-not-answer",
    "order_errors": "orders-are-refused",
    "reconcile_mismatch": "books-and-venue-differ",
    "clock_skew": "the-clocks-are-apart",
    "rate_budget": "limits-of-the-venue",
    "call_quota": "limits-of-the-venue",
    "loop_lag": "the-daemon-is-gone-or-hangs",
    "stop_missing": "a-leg-has-no-stop",
    "venue_action": "the-venue-has-acted",
}
FEED_SECTIONS = {
    "market": "market-data-is-stale",
    "user": "the-user-stream-is-lost",
    "rest": "the-venue-does-not-answer",
}
NOT_ALERTED = frozenset({"baseline"})  # start-up's own hold: `start` tells it


class Rules:
    """Events in, findings out."""

    def __init__(self) -> None:
        self._flattens: dict[str, tuple[int, dict[tuple[str, str], bool]]] = {}  # since mono, legs flat?
        self._trips: dict[str, m.Trip] = {}
        self._down: dict[str, int] = {}  # feed -> mono_ns
        self._ready = False
        self._table: dict[type[m.Message], Callable[[Any, m.Envelope], Iterator[Finding]]] = {
            m.StageChanged: self._stage,
            m.Stopping: self._stopping,
            m.Stopped: self._stopped,
            m.KillStateChanged: self._kill,
            m.TripsChanged: self._trips_changed,
            m.LegsLatched: self._latched,
            m.LegFlat: self._leg_flat,
            m.FlattenFinished: self._flattened,
            m.GuardChanged: self._guard,
            m.HoldsChanged: self._holds,
            m.JournalLate: self._journal_late,
            m.FeedChanged: self._feed,
            m.Reconciled: self._reconciled,
            m.VenueAction: self._venue_action,
            m.AuthFailed: self._auth,
            m.PartBroke: self._broke,
            m.ChannelChanged: self._channel,
            m.DeadManChanged: self._dead_man,
            m.HealthChanged: self._health,
            m.ConfigReloaded: self._reloaded,
        }

    @property
    def events(self) -> tuple[type[m.Message], ...]:
        """What they want to hear."""
        return tuple(self._table)

    def judge(self, env: m.Envelope) -> list[Finding]:
        """What one event means."""
        return list(self._table[type(env.message)](env.message, env))

    # ------------------------------------------------------------------------------------------------- start and stop

    def _stage(self, event: m.StageChanged, _env: m.Envelope) -> Iterator[Finding]:
        if event.stage == "ready" and not self._ready:
            self._ready = True
            yield Raise(
                kind="start",
                key="start",
                severity="INFO",
                title="STARTED",
                what="start-up is through: trading is allowed unless something is held or latched",
                section="it-stopped-with-an-exit-code",
                changed=True,
            )

    def _stopping(self, event: m.Stopping, _env: m.Envelope) -> Iterator[Finding]:
        yield Raise(
            kind="stop",
            key="stopping",
            severity="INFO",
            title="STOPPING",
            what=event.reason,
            did="entries are cancelled; exits and stops stay, or are flattened as configured",
            do="wait for STOPPED; none in 4 minutes: look at the venue",
            section="it-stopped-with-an-exit-code",
        )

    def _stopped(self, event: m.Stopped, _env: m.Envelope) -> Iterator[Finding]:
        missing = [plain(name) for name, done in event.confirmed.items() if not done]
        confirmed = [plain(name) for name, done in event.confirmed.items() if done]
        if missing:
            yield Raise(
                kind="stop",
                key="stopped",
                severity="CRITICAL",
                title="STOPPED, NOT CONFIRMED",
                what=f"the venue has not confirmed: {', '.join(missing)}",
                did=f"confirmed: {', '.join(confirmed) or 'nothing'}; exit code 5",
                do="look at the venue: hedgegridctl panic works without the daemon",
                section="it-stopped-with-an-exit-code",
            )
            return
        yield Raise(
            kind="stop",
            key="stopped",
            severity="INFO",
            title="STOPPED",
            what=f"confirmed by the venue: {', '.join(confirmed)}",
            section="it-stopped-with-an-exit-code",
        )

    def _broke(self, event: m.PartBroke, _env: m.Envelope) -> Iterator[Finding]:
        ends = event.action == "stop"
        yield Raise(
            kind="fault",
            key=f"fault:{event.part}",
            severity="CRITICAL" if event.action in ("stop", "retire") else "WARNING",
            title=f"{event.part.upper()} BROKE",
            what=event.error,
            did={
                "stop": "the daemon stops; start-up is the recovery",
                "restart": "it is being restarted",
                "retire": "it is out of service until the daemon restarts",
            }.get(event.action, event.action),
            do="look at the log" if not ends else "see that it starts again: hedgegridctl status",
            section="it-stopped-with-an-exit-code",
        )

    def _reloaded(self, _event: m.ConfigReloaded, _env: m.Envelope) -> Iterator[Finding]:
        yield Raise(
            kind="reload",
            key="reload",
            severity="INFO",
            title="CONFIG RELOADED",
            what="what may change at run time counts from now on",
            changed=True,
        )

    # ---------------------------------------------------------------------------------------------- trips and flattens

    def _kill(self, event: m.KillStateChanged, env: m.Envelope) -> Iterator[Finding]:
        state = event.state
        if state is KillState.TRIPPED:
            yield Raise(
                kind="trip",
                key="kill",
                severity="CRITICAL",
                title="TRIPPED",
                what=event.cause,
                did=f"entries are refused and removed ({event.trip_id}); legs are closed if the trip flattens",
                do="wait for FLAT or HALTED; none in 15 s: hedgegridctl panic --yes",
                section=KILL,
                lasting=True,
                changed=True,
            )
        elif state is KillState.HALTED and event.previous is KillState.TRIPPED:
            after = seconds(env.time_ns - event.since_ns)
            yield Raise(
                kind="halted",
                key="halted",
                severity="INFO",
                title="HALTED, VERIFIED",
                what=f"{event.trip_id} is carried out, confirmed by the venue{both(', it took ', after)}: {event.cause}",
                did="latched",
                do='find out why, then hedgegridctl rearm --reason "…"',
                section=KILL,
                changed=True,
            )
        elif state is KillState.HALTED and event.previous is KillState.HALTED:
            yield Raise(
                kind="halted",
                key="kill",
                severity="CRITICAL",
                title="STILL HALTED",
                what=f"latched since before this start by {event.trip_id}: {event.cause}",
                do='hedgegridctl rearm --reason "…"',
                section=KILL,
                lasting=True,
            )
        elif state is KillState.HALTED:
            yield Raise(
                kind="rearm",
                key="rearm",
                severity="WARNING",
                title="REARM FAILED",
                what=f"still latched by {event.trip_id}: {event.cause}",
                do="hedgegridctl status",
                section=KILL,
                changed=True,
            )
        elif state is KillState.ARMED and event.previous is KillState.REARMING:
            yield Clear(key="kill", title="REARMED", what="trading is allowed again")

    def _trips_changed(self, event: m.TripsChanged, _env: m.Envelope) -> Iterator[Finding]:
        now = {trip.trip_id: trip for trip in event.trips}
        for trip in event.trips:
            known = self._trips.get(trip.trip_id)
            where = account_or(trip.scope)
            if known is None:
                closes = "its legs are closed" if trip.action == "flatten" else "exits and stops stay"
                yield Raise(
                    kind="trip",
                    key=f"trip:{trip.trip_id}",
                    severity="CRITICAL",
                    title=f"TRIPPED {where}",
                    what=trip.cause,
                    did=f"entries are refused and removed ({trip.trip_id}); {closes}",
                    do="the rest trades on; wait for HALTED",
                    section=KILL,
                    lasting=True,
                )
            if trip.state is KillState.HALTED and (known is None or known.state is not KillState.HALTED):
                yield Raise(
                    kind="halted",
                    key=f"halted:{trip.trip_id}",
                    severity="INFO",
                    title=f"HALTED, VERIFIED {where}",
                    what=f"{trip.trip_id} is carried out: {trip.cause}",
                    did="latched",
                    do='hedgegridctl rearm --reason "…"',
                    section=KILL,
                )
        for trip_id, trip in self._trips.items():
            if trip_id not in now:
                yield Clear(key=f"trip:{trip_id}", title=f"REARMED {account_or(trip.scope)}")
        self._trips = now

    def _latched(self, event: m.LegsLatched, env: m.Envelope) -> Iterator[Finding]:
        since, legs = self._flattens.get(event.flatten_id, (env.mono_ns, {}))
        legs |= {(event.instrument, leg.value): False for leg in event.legs}
        self._flattens[event.flatten_id] = (since, legs)
        while len(self._flattens) > RUNNING_MAX:
            del self._flattens[next(iter(self._flattens))]
        yield Raise(
            kind="flatten",
            key=f"flatten:{event.flatten_id}:{event.instrument}",
            severity="WARNING",
            title=f"FLATTENING {plain(event.instrument)}",
            what=f"{' and '.join(leg.value for leg in event.legs)}"
            + (f", for {event.origin}" if event.origin else ", asked by an operator")
            + f" ({event.flatten_id})",
            did="entries are refused, orders cancelled, legs closed",
            do="wait for FLAT; none in 15 s: hedgegridctl panic --yes",
            section=KILL,
        )

    def _leg_flat(self, event: m.LegFlat, env: m.Envelope) -> Iterator[Finding]:
        since, legs = self._flattens.get(event.flatten_id, (env.mono_ns, {}))
        legs[event.instrument, event.leg.value] = True
        took = seconds(env.mono_ns - since)
        name = f"{event.leg.value} {plain(event.instrument)}"
        yield Clear(key=f"notflat:{event.instrument}:{event.leg.value}", title=f"FLAT AT LAST {name}")
        yield Raise(
            kind="flat",
            key=f"flat:{event.flatten_id}:{event.instrument}:{event.leg.value}",
            severity="INFO",
            title=f"FLAT VERIFIED {name}",
            what=f"after {took}: {'; '.join(event.proof)}",
            do="entries come back by hedgegridctl resume, after a trip by rearm",
            section=KILL,
        )

    def _flattened(self, event: m.FlattenFinished, _env: m.Envelope) -> Iterator[Finding]:
        self._flattens.pop(event.flatten_id, None)
        yield Clear(key=f"flatten:{event.flatten_id}:", title="FLATTENED", prefix=True)

    def _venue_action(self, event: m.VenueAction, _env: m.Envelope) -> Iterator[Finding]:
        grave = event.kind in ("ADL", "LIQUIDATION", "MARGIN_CALL")
        yield Raise(
            kind="venue_action",
            key=f"venue_action:{event.kind}:{event.instrument}",
            severity="CRITICAL" if grave else "WARNING",
            title=f"VENUE ACTED: {event.kind} {plain(event.instrument)}",
            what=" ".join(each for each in (event.leg and event.leg.value, event.detail) if each),
            did="books are compared with the venue; the guard venue_action judges it",
            do="look at the venue's own app",
            section="the-venue-has-acted",
            changed=grave,
        )

    # -------------------------------------------------------------------------------------------------------- guards

    def _guard(self, event: m.GuardChanged, _env: m.Envelope) -> Iterator[Finding]:
        verdict = event.verdict
        if verdict.guard in NOT_ALERTED:
            return
        where = account_or(verdict.scope)
        key = f"guard:{verdict.guard}:{where}"
        if verdict.level == "OK":
            repaired = verdict.guard == "stop_missing"
            yield Clear(
                key=key,
                title=f"STOP REPAIRED {where}" if repaired else f"GUARD OK {verdict.guard} {where}",
                what="the leg's stop rests at the venue, or the leg is closed" if repaired else "",
            )
            return
        grave = verdict.level == "BLOCK" or verdict.guard == "stop_missing"
        value = "missing" if verdict.value is None else f"{verdict.value:f} {verdict.unit}".strip()
        limit = (
            "" if verdict.limit is None else f" (limit {verdict.limit:f} {verdict.unit})".replace(" )", ")")
        )
        yield Raise(
            kind="guard",
            key=key,
            severity="CRITICAL" if grave else "WARNING",
            title=f"GUARD {verdict.level} {verdict.guard} {where}",
            what=verdict.message or f"{value}{limit}",
            did=event.did or "nothing yet: past its warn level only",
            do="see the runbook; holds clear by themselves, trips wait for rearm",
            section=GUARD_SECTIONS.get(verdict.guard, GUARDS),
            lasting=True,
            changed=event.previous in ("OK", "WARN") and verdict.level != event.previous,
        )

    def _holds(self, event: m.HoldsChanged, _env: m.Envelope) -> Iterator[Finding]:
        if event.source == "guards":
            return  # each verdict is told by itself
        disk = event.source == "journal"
        key = f"hold:{event.source}"
        if not event.holds:
            yield Clear(key=key, title="DISK TAKES RECORDS AGAIN" if disk else f"HOLD ENDED {event.source}")
            return
        acting = [hold for hold in event.holds if hold.action != "notify"]
        yield Raise(
            kind="disk" if disk else "hold",
            key=key,
            severity="CRITICAL" if disk else "WARNING" if acting else "INFO",
            title="JOURNAL FAILED" if disk else f"HELD BY {event.source}",
            what="; ".join(f"{account_or(hold.scope)} {hold.action}: {hold.cause}" for hold in event.holds),
            did="no new entries; exits, stops and flatten go on" if acting else "noted",
            do="free the disk of the state folder" if disk else "nothing: it clears by itself",
            section=DISK if disk else GUARDS,
            lasting=True,
        )

    # ---------------------------------------------------------------------------------------------------- connections

    def _feed(self, event: m.FeedChanged, env: m.Envelope) -> Iterator[Finding]:
        key = f"feed:{event.channel}"
        if event.up:
            since = self._down.pop(event.channel, None)
            after = "" if since is None else f"after {seconds(env.mono_ns - since)}"
            yield Clear(key=key, title=f"RECONNECTED {event.channel}", what=after)
            return
        self._down.setdefault(event.channel, env.mono_ns)
        yield Raise(
            kind="feed",
            key=key,
            severity="WARNING",
            title=f"FEED LOST {event.channel}",
            what=event.detail,
            did="no new entries; exits and stops rest at the venue; connecting again",
            do="nothing in the first minute; then the venue's status page",
            section=FEED_SECTIONS.get(event.channel, "the-venue-does-not-answer"),
            lasting=True,
        )

    def _reconciled(self, event: m.Reconciled, _env: m.Envelope) -> Iterator[Finding]:
        if event.ok:
            yield Clear(key="mismatch", title="BOOKS AGREE AGAIN")
            return
        shown = list(event.differences[:DIFFERENCES_SHOWN])
        if len(event.differences) > len(shown):
            shown.append(f"{len(event.differences) - len(shown)} more")
        yield Raise(
            kind="mismatch",
            key="mismatch",
            severity="WARNING",
            title="BOOKS AND VENUE DIFFER",
            what="; ".join(shown) or event.cause,
            did=f"the venue's word was taken: {event.orders_adopted} orders adopted, "
            f"{event.fills_applied} fills applied; compared again",
            do="hedgegridctl reconcile; the guard reconcile_mismatch acts when it stays",
            section="books-and-venue-differ",
            lasting=True,
        )

    def _dead_man(self, event: m.DeadManChanged, _env: m.Envelope) -> Iterator[Finding]:
        key = f"dead_man:{event.instrument}"
        if event.armed and not event.detail and not event.naked:
            yield Clear(key=key, title=f"DEAD-MAN RENEWED {plain(event.instrument)}")
        elif event.detail or event.naked:
            yield Raise(
                kind="dead_man",
                key=key,
                severity="WARNING",
                title=f"DEAD-MAN {plain(event.instrument)}",
                what="; ".join(each for each in (event.detail, *event.naked) if each),
                did="tried again" if not event.armed else "armed",
                do="hedgegridctl status",
                section="the-daemon-is-gone-or-hangs",
                lasting=True,
            )

    # ------------------------------------------------------------------------------------------------------ ourselves

    def _journal_late(self, event: m.JournalLate, _env: m.Envelope) -> Iterator[Finding]:
        yield Raise(
            kind="disk",
            key="journal_late",
            severity="CRITICAL",
            title="JOURNAL LATE",
            what=f"{event.action_id}: {event.detail}",
            did="its first calls left before their record was on disk: safety goes first",
            do="look at the disk of the state folder",
            section=DISK,
        )

    def _auth(self, event: m.AuthFailed, _env: m.Envelope) -> Iterator[Finding]:
        yield Raise(
            kind="auth",
            key=f"auth:{event.address}",
            severity="WARNING",
            title="TURNED AWAY",
            what=f"a wrong {event.what} from {event.address}, {event.count} in all since start",
            did="refused" + ("; further ones of this address are refused unread" if event.limited else ""),
            do="if it was none of yours: look who reaches the control port",
            section="keys",
        )

    def _channel(self, event: m.ChannelChanged, _env: m.Envelope) -> Iterator[Finding]:
        key = f"channel:{event.channel}"
        if event.up:
            yield Clear(key=key, title=f"ALERT CHANNEL WORKS AGAIN {event.channel}")
            return
        yield Raise(
            kind="channel",
            key=key,
            severity="WARNING",
            title=f"ALERT CHANNEL FAILS {event.channel}",
            what=event.detail,
            did="its messages wait and are tried again; the other channels get theirs",
            do="hedgegridctl alerts; the service's own status page",
            section="an-alert-channel-fails",
            lasting=True,
        )

    def _health(self, event: m.HealthChanged, _env: m.Envelope) -> Iterator[Finding]:
        name = ("OK", "DEGRADED", "HALTED")[event.state]
        flaps = ", ".join(f"{state} {times} x" for state, times in event.flaps.items())
        passed = f"came and went: {flaps}" if flaps else ""
        if event.state == 0:
            yield Clear(key="health", title="HEALTH OK", what=passed)
            return
        if not self._ready:
            return  # start-up is not well yet, as it must be; `start` tells its end
        latched = any(reason.startswith("kill switch") for reason in event.reasons)  # its trip has been told
        yield Raise(
            kind="health",
            key="health",
            severity="CRITICAL" if event.state > 1 and not latched else "WARNING",
            title=f"HEALTH {name}",
            what="; ".join(each for each in (*event.reasons, passed) if each),
            do="hedgegridctl status",
            section="runbook",
            lasting=True,
            changed=True,
        )

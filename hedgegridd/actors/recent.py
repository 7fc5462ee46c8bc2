"""What has just happened, in words: the last lines for `status` and the live view, and the same to the log."""

from collections import deque
from collections.abc import Callable, Sequence

import structlog

from hedgegridd import messages as m
from hedgegridd.core.health import NAMES
from hedgegridd.runtime.actor import Actor

LINES_MAX = 50


def words(message: m.Message) -> str:
    """One event as a short sentence; "" when it is not worth a line."""
    match message:
        case m.Fill() as e:
            kind = "maker" if e.maker else "taker"
            return f"{e.leg.value} {e.side.value.lower()} {e.qty} @{e.price} {kind} {e.client_order_id}"
        case m.Recentred() as e:
            return f"{e.instrument} recentred at {e.centre}" + (f" (was {e.previous})" if e.previous else "")
        case m.RegimeChanged() as e:
            return f"{e.instrument} regime {e.previous.value} -> {e.regime.value}"
        case m.KillStateChanged() as e:
            cause = f" by {e.trip_id}: {e.cause}" if e.trip_id else ""
            return f"kill switch {e.previous.value} -> {e.state.value}{cause}"
        case m.TripsChanged() as e:
            return "latched: " + ("; ".join(_trip(trip) for trip in e.trips) or "no instrument and no leg")
        case m.HoldsChanged() as e:
            return f"{e.source} hold: " + ("; ".join(_hold(hold) for hold in e.holds) or "nothing")
        case m.GuardChanged() as e:
            return _guard(e)
        case m.FlattenProgress() as e:
            return f"{e.flatten_id} {e.after_s} s {e.what}"
        case m.LegFlat() as e:
            return f"{e.instrument} {e.leg.value} flat, verified: {'; '.join(e.proof)}"
        case m.OrderRejected() as e:
            return f"rejected {e.client_order_id}: {e.code} {e.reason}"
        case m.OrderUnknown() as e:
            return f"unknown {e.client_order_id}: {e.reason}; asking the venue"
        case m.Reconciled(ok=False) as e:
            return f"books differ from the venue ({e.cause}): {'; '.join(e.differences[:5])}"
        case m.IncomeBooked() as e:
            return f"{e.kind.lower().replace('_', ' ')} {e.amount} {e.asset} {e.instrument or ''}".rstrip()
        case m.VenueAction() as e:
            return f"the venue acted: {e.kind} {e.instrument} {e.leg or ''} {e.detail}"
        case m.FeedChanged() as e:
            return f"{e.channel} is {'back' if e.up else 'lost'} {e.detail}".rstrip()
        case m.HealthChanged() as e:
            return _health(e)
        case m.StageChanged() as e:
            return f"stage {e.number} of {e.of}: {e.stage}" + (
                f", waits for {e.waits_for}" if e.waits_for else ""
            )
        case m.Stopping() as e:
            return f"stopping: {e.reason}"
        case m.AlertTold() as e:
            to = ", ".join(e.channels) or "nobody: no channel hears it"
            return f"alert {e.alert.alert_id} {e.alert.stage} to {to}: {e.alert.severity} {e.alert.title}"
        case m.AlertDelivered() as e:
            return f"alert {e.alert_id} {e.outcome} by {e.channel} after {e.after_ms} ms {e.detail}".rstrip()
        case m.AlertAcknowledged() as e:
            return f"alerts acknowledged by {e.by}: {', '.join(e.alert_ids)}"
        case _:
            return ""


def _health(change: m.HealthChanged) -> str:
    flaps = ", ".join(f"{state} {times} x" for state, times in change.flaps.items())
    told = f"health {NAMES[change.previous]} -> {NAMES[change.state]}"
    return "; ".join(each for each in (told, *change.reasons[:5], flaps and f"meanwhile {flaps}") if each)


def _trip(trip: m.Trip) -> str:
    return f"{_scope(trip.scope)} {trip.state.value} by {trip.trip_id} ({trip.action}): {trip.cause}"


def _hold(hold: m.Hold) -> str:
    factor = f" x {hold.factor}" if hold.action == "throttle" else ""
    return f"{_scope(hold.scope)} {hold.action}{factor} by {hold.key}: {hold.cause}"


def _guard(change: m.GuardChanged) -> str:
    verdict = change.verdict
    level = verdict.level if verdict.level == change.previous else f"{change.previous} -> {verdict.level}"
    told = f"guard {verdict.guard} of {_scope(verdict.scope)}: {level}"
    return "; ".join(each for each in (told, verdict.message, change.did and f"did {change.did}") if each)


def _scope(scope: m.Scope) -> str:
    named = " ".join(each for each in (scope.instrument, scope.leg) if each)
    return named or "account"


class RecentActor(Actor):
    """Keeps the last lines; its loss does not stop trading."""

    name = "recent"
    events = (
        m.Fill,
        m.Recentred,
        m.RegimeChanged,
        m.KillStateChanged,
        m.TripsChanged,
        m.HoldsChanged,
        m.GuardChanged,
        m.FlattenProgress,
        m.LegFlat,
        m.OrderRejected,
        m.OrderUnknown,
        m.Reconciled,
        m.IncomeBooked,
        m.VenueAction,
        m.FeedChanged,
        m.HealthChanged,
        m.StageChanged,
        m.Stopping,
    )

    def __init__(self, command_of: Callable[[m.Envelope], int | None] = lambda _envelope: None) -> None:
        """`command_of` names the command that an event goes back to, by its sequence."""
        self._command_of = command_of
        self._lines: deque[dict[str, object]] = deque(maxlen=LINES_MAX)
        self._log = structlog.get_logger("event")

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Put it into words."""
        text = words(envelope.message)
        if text:
            self._lines.append(
                {"time_ns": envelope.time_ns, "seq": envelope.seq, "cause": envelope.cause, "text": text}
            )
            command = self._command_of(envelope)
            facts = {} if command is None else {"command": command}
            name = type(envelope.message).__name__
            self._log.info(name, text=text, seq=envelope.seq, cause=envelope.cause, **facts)
        return []

    def lines(self) -> list[dict[str, object]]:
        """Newest last."""
        return list(self._lines)

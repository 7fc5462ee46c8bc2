"""What keeps entries away, in words: holds, trips of instruments and legs, and how each of them ends. Pure."""

from collections.abc import Iterable

from hedgegridd.control.views import age_s, utc
from hedgegridd.core.scopes import PAUSE_KEY, covers, stops_entries
from hedgegridd.messages import Hold, KillSwitchAnswer, Scope, Trip
from hedgegridd.model import KillState


def place(scope: Scope) -> str:
    """A scope for people: `BTCUSDT LONG`, `BTCUSDT`, `LONG` (of every instrument), `account`."""
    symbol = None if scope.instrument is None else scope.instrument.partition(".")[0].removesuffix("-PERP")
    return " ".join(str(each) for each in (symbol, scope.leg) if each) or "account"


def whole_paused(instrument: str, holds: Iterable[Hold], trips: Iterable[Trip]) -> bool:
    """Whether nothing of an instrument may be entered for a hold or a trip."""
    scopes = [hold.scope for hold in holds if stops_entries(hold)] + [trip.scope for trip in trips]
    return any(covers(scope, instrument) for scope in scopes)


def trips_wrong(trips: Iterable[Trip]) -> list[str]:
    """Each trip in a sentence."""
    words = {("halt", True): "halted", ("flatten", True): "flattened and halted"}
    return [
        f"{place(trip.scope)}: {words.get((trip.action, trip.state is KillState.HALTED), f'{trip.action} is under way')}"
        f" by {trip.trip_id}{f' ({trip.guard})' if trip.guard else ''}: {trip.cause}"
        for trip in trips
    ]


def holds_wrong(holds: Iterable[Hold], now_ns: int) -> list[str]:
    """Each hold in a sentence; announcements of planned pauses are nothing wrong."""
    found = []
    for hold in holds:
        if hold.action == "notify" and hold.key.startswith(PAUSE_KEY):
            continue
        what = {"pause": "no new entries", "notify": "noted"}.get(
            hold.action, f"new entries x {hold.factor:f}"
        )
        since = age_s(hold.since_ns, now_ns)
        lasting = "" if since is None else f", {since:.0f} s"
        found.append(f"{place(hold.scope)}: {what}, by {hold.key}{lasting}: {hold.cause}")
    return found


def planned(holds: Iterable[Hold]) -> list[str]:
    """Announcements of planned pauses."""
    return [hold.cause for hold in holds if hold.action == "notify" and hold.key.startswith(PAUSE_KEY)]


def ways_out(kill: KillSwitchAnswer | None, now_ns: int) -> tuple[str, ...]:
    """How to leave the latches, and what has to happen before."""
    if kill is None:
        return ()
    first = tuple(f"mend first: {guard}" for guard in kill.guards)
    later = kill.rearm_from_ns > now_ns
    at = f" (from {(utc(kill.rearm_from_ns) or '')[11:19]} UTC)" if later else ""
    return (*first, f'hedgegridctl rearm --reason "…"{at}')


def hold_facts(hold: Hold, now_ns: int) -> dict[str, object]:
    """A hold as JSON-ready facts."""
    return {
        "key": hold.key,
        "instrument": hold.scope.instrument,
        "leg": hold.scope.leg,
        "action": hold.action,
        "factor": float(hold.factor) if hold.action == "throttle" else None,
        "cause": hold.cause,
        "since": utc(hold.since_ns),
        "age_s": age_s(hold.since_ns, now_ns),
    }


def trip_facts(trip: Trip, now_ns: int) -> dict[str, object]:
    """A trip of an instrument or a leg as JSON-ready facts."""
    return {
        "trip_id": trip.trip_id,
        "instrument": trip.scope.instrument,
        "leg": trip.scope.leg,
        "state": trip.state.value,
        "action": trip.action,
        "cause": trip.cause,
        "guard": trip.guard or None,
        "since": utc(trip.since_ns),
        "age_s": age_s(trip.since_ns, now_ns),
        "rearm_from": utc(trip.since_ns + trip.cooldown_s * 1_000_000_000),
    }

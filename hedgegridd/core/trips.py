"""Trips of an instrument or a leg, beside the account's own: each latches at its scope until rearm.

trip     | Kill of its scope | FlattenFinished/EntriesGone of it | VenueUp  | Rearm
-------- | ----------------- | --------------------------------- | -------- | ------------------------------
(none)   | trip              | -                                 | -        | -
TRIPPED  | join or upgrade   | halt                              | do again | refuse
HALTED   | trip again        | -                                 | -        | checked: gone, or refused: stays

`halt` takes the entries of the scope away, `flatten` closes its legs; the stronger of two wins, a weaker one joins. A
trip does not look at trips of other scopes: whatever covers a leg keeps it latched.
"""

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import LEGS, KillState, Leg, Nanos

STRENGTH = {"halt": 1, "flatten": 2}
SECOND_NS = 1_000_000_000

type Book = dict[str, m.Trip]


def scope_of(kill: m.Kill) -> m.Scope:
    """What a kill is about; both legs are the instrument, no instrument and both legs the account."""
    legs = set(kill.legs)
    leg = next(iter(legs)) if len(legs) == 1 else None
    return m.Scope(instrument=kill.instrument, leg=leg)


def key_of(scope: m.Scope) -> str:
    """What a trip is kept under: one a scope."""
    return f"{scope.instrument or '*'} {scope.leg or '*'}"


def kill(
    book: Book, asked: m.Kill, action: str, cooldown_s: int, env: m.Envelope
) -> tuple[m.Trip, list[m.Message]]:
    """The trip that carries a kill out, and what follows: nothing when it joins one that runs already."""
    scope = scope_of(asked)
    known = book.get(key_of(scope))
    if known is not None:
        cooldown_s = max(cooldown_s, known.cooldown_s)
        if STRENGTH[action] <= STRENGTH[known.action]:
            action = known.action
            if known.state is KillState.TRIPPED:
                joined = book[key_of(scope)] = msgspec.structs.replace(known, cooldown_s=cooldown_s)
                return joined, []
    trip = m.Trip(
        trip_id=f"T-{env.seq}",
        scope=scope,
        action="flatten" if action == "flatten" else "halt",
        cause=asked.reason,
        guard=asked.guard,
        since_ns=env.time_ns,
        cooldown_s=cooldown_s,
    )
    book[key_of(scope)] = trip
    return trip, [told(book), act(trip)]


def act(trip: m.Trip) -> m.Message:
    """Start, or after a restart take up again, what the trip must remove."""
    leg = trip.scope.leg
    legs: tuple[Leg, ...] = () if leg is None else (leg,)
    if trip.action == "flatten":
        return m.Flatten(
            legs=legs or LEGS, instrument=trip.scope.instrument, reason=trip.cause, origin=trip.trip_id
        )
    return m.HaltEntries(trip_id=trip.trip_id, cause=trip.cause, instrument=trip.scope.instrument, legs=legs)


def unfinished(book: Book) -> list[m.Message]:
    """What all trips that run have to do, from the start."""
    return [act(trip) for trip in book.values() if trip.state is KillState.TRIPPED]


def removed(book: Book, trip_id: str, now_ns: Nanos) -> bool:
    """The venue has confirmed that what a trip removes is gone: HALTED; False when no running trip has this id."""
    for key, trip in book.items():
        if trip.trip_id == trip_id and trip.state is KillState.TRIPPED:
            book[key] = msgspec.structs.replace(trip, state=KillState.HALTED, since_ns=now_ns)
            return True
    return False


def told(book: Book) -> m.TripsChanged:
    """All of them, for whoever keeps entries away."""
    return m.TripsChanged(trips=tuple(book.values()))


def overlap(one: m.Scope, other: m.Scope) -> bool:
    """Whether two scopes have a leg in common."""
    same_instrument = None in (one.instrument, other.instrument) or one.instrument == other.instrument
    return same_instrument and (None in (one.leg, other.leg) or one.leg is other.leg)

"""What holds and scoped trips keep from being traded: which of them cover an instrument or a leg, and in what words.

A hold or trip covers whatever lies in its scope: one of the account covers every leg, one of a leg covers no instrument
as a whole. Exits and stops never ask here.
"""

from collections.abc import Iterable
from decimal import Decimal

from hedgegridd.core.scopes import covers, stops_entries
from hedgegridd.core.state import HoldState
from hedgegridd.messages import Hold, Scope, Trip
from hedgegridd.model import ZERO, KillState, Leg

ONE = Decimal(1)


def in_force(held: HoldState) -> tuple[Hold, ...]:
    """Every hold, by source."""
    return tuple(hold for holds in held.holds.values() for hold in holds)


def factor(held: HoldState, instrument: str, leg: Leg) -> Decimal:
    """What the quantity of new entries of a leg is multiplied by: the product of all throttles, never above 1."""
    product = ONE
    for hold in in_force(held):
        if hold.action == "throttle" and covers(hold.scope, instrument, leg):
            product *= min(max(hold.factor, ZERO), ONE)
    return product


def why_held(held: HoldState, instrument: str) -> list[str]:
    """Why nothing of the instrument may be entered: holds and trips that cover all of it, and who has not spoken yet."""
    why = [f"{source} have not said yet what they hold: nothing is traded before" for source in held.silent]
    why += [_of_trip(trip) for trip in held.trips if covers(trip.scope, instrument)]
    return [*why, *(_of_hold(hold) for hold in _stopping(held) if covers(hold.scope, instrument))]


def why_leg_held(held: HoldState, instrument: str, leg: Leg) -> list[str]:
    """Why nothing of this leg may be entered although something of the instrument may."""
    why = [f"{leg} {_of_trip(trip)}" for trip in held.trips if _of_leg_alone(trip.scope, instrument, leg)]
    holds = (hold for hold in _stopping(held) if _of_leg_alone(hold.scope, instrument, leg))
    return [*why, *(f"{leg} {_of_hold(hold)}" for hold in holds)]


def _stopping(held: HoldState) -> Iterable[Hold]:
    return (hold for hold in in_force(held) if stops_entries(hold))


def _of_leg_alone(scope: Scope, instrument: str, leg: Leg) -> bool:
    return covers(scope, instrument, leg) and not covers(scope, instrument)


def _of_hold(hold: Hold) -> str:
    return f"held by {hold.key}: {hold.cause}"


def _of_trip(trip: Trip) -> str:
    done = {"halt": "halted", "flatten": "flattened"}[trip.action]
    left = "rearm to trade it again" if trip.state is KillState.HALTED else "being carried out"
    return f"{done} by {trip.trip_id}: {trip.cause}; {left}"

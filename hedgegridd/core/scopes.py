"""Scopes of holds and trips, and the few words of the desk that front ends know: light, for they must start at once."""

from hedgegridd.messages import Hold, Scope
from hedgegridd.model import ZERO, Leg

PAUSE_KEY = "pause:"  # what the keys of planned pauses begin with, and the origins of their flattens
GUARDS = "guards"  # the source of the guards' holds
BASELINE_KEY = "guard:baseline"  # of the hold that stands for all guards until they have what they judge by
DISABLED = "enabled = false in the config"


def covers(scope: Scope, instrument: str, leg: Leg | None = None) -> bool:
    """Whether all of `instrument`, or all of its `leg`, lies in the scope."""
    return scope.instrument in (None, instrument) and scope.leg in (None, leg)


def stops_entries(hold: Hold) -> bool:
    """Whether it leaves nothing of new entries."""
    return hold.action == "pause" or (hold.action == "throttle" and hold.factor <= ZERO)

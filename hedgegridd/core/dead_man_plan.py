"""How long the dead-man switch's countdown is and how often it is renewed."""

from decimal import Decimal

import msgspec

from hedgegridd.config import DeadMan

CALL_WEIGHT = 10  # of one countdownCancelAll
BUDGET_SHARE = Decimal("0.1")  # of the venue's request weight
SECOND_NS = 1_000_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Nanoseconds; with less than `last_ns` left and renewals failing, we withdraw while there is time for it."""

    countdown_ns: int
    renew_ns: int

    @property
    def last_ns(self) -> int:
        """A third of the countdown."""
        return self.countdown_ns // 3


def plan(config: DeadMan, symbols: int, weight_per_minute: int) -> Plan:
    """Both of the config, stretched alike where renewing every symbol so often would use more than 10 % of the weight."""
    least_s = Decimal(symbols * CALL_WEIGHT * 60) / (weight_per_minute * BUDGET_SHARE)
    stretch = max(Decimal(1), least_s / config.renew_s)
    return Plan(
        countdown_ns=int(config.countdown_s * stretch * SECOND_NS),
        renew_ns=int(config.renew_s * stretch * SECOND_NS),
    )

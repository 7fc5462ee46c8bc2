"""How often the venue is asked for what no stream tells, and how many calls an hour that makes; pure."""

from decimal import Decimal

from hedgegridd.config import Config

DEPTH_EVERY_S = 15  # the book of each instrument
REFERENCE_EVERY_S = 10  # prices of symbols that are not traded here, all in one call
DEAD_MAN_EVERY_S = 15  # renewals of the countdown, by symbol
_COMPARISON = 4  # calls of a comparison with the venue: account, legs, and two kinds of income
_COMPARISON_EACH = 3  # and of each instrument: orders, conditional orders, trades
_HOUR_S = 3_600


def calls_per_hour(config: Config, *, references: bool = False) -> int:
    """Calls that watching alone takes, orders not counted; `references`: prices of others are read as well."""
    venue, grids = config.venue, len(config.grid)
    each_s: list[tuple[Decimal, int]] = [
        (venue.account_poll_s, 1),
        (venue.clock_poll_s, 1),
        (venue.reconcile_interval_s, _COMPARISON + _COMPARISON_EACH * grids),
        (Decimal(DEPTH_EVERY_S), grids),
        (Decimal(DEAD_MAN_EVERY_S), grids),
        (Decimal(REFERENCE_EVERY_S), int(references)),
    ]
    return int(sum(_HOUR_S / every_s * calls for every_s, calls in each_s))

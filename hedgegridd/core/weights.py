"""How the account is shared among the grids: the config's weights, or those that were set at run time.

A change is kept with what the config said when it was made; when the config has changed since, the config counts.
"""

from decimal import Decimal

from hedgegridd.config import Grid
from hedgegridd.core.state import WeightChange
from hedgegridd.messages import SetWeights
from hedgegridd.model import ZERO, Nanos

WEIGHT_MAX = Decimal(1000)
DECIMALS_MAX = 12


def weight_share(weight: Decimal, weights: tuple[Decimal, ...]) -> Decimal:
    """A grid's part of the account-wide limits; `weights` are those of the enabled grids (a disabled one uses none)."""
    return weight / (sum(weights, ZERO) or weight)


def shares(grids: tuple[Grid, ...], changed: WeightChange | None) -> dict[str, Decimal]:
    """Each grid's part of the account, by id; those of the enabled grids sum to 1."""
    found = _configured(grids)
    if changed is not None and changed.configured == found:
        found = changed.values
    weights = tuple(found.values())
    return {
        each.instrument_id: weight_share(found.get(each.instrument_id, each.weight), weights)
        for each in grids
    }


def change(command: SetWeights, grids: tuple[Grid, ...], now_ns: Nanos) -> WeightChange | str:
    """The change that is asked for, or why it cannot be made, in words."""
    configured = _configured(grids)
    given = command.weights
    if unknown := sorted(set(given) - set(configured)):
        return f"{', '.join(unknown)}: no enabled grid"
    if missing := sorted(set(configured) - set(given)):
        return f"{', '.join(missing)}: every enabled grid needs its weight"
    for name, weight in given.items():
        exponent = weight.as_tuple().exponent
        exact = isinstance(exponent, int) and exponent >= -DECIMALS_MAX
        if not weight.is_finite() or not ZERO < weight <= WEIGHT_MAX or not exact:
            return f"weight of {name} must be above 0 and at most {WEIGHT_MAX}, not {weight}"
    return WeightChange(values=dict(given), configured=configured, reason=command.reason, since_ns=now_ns)


def _configured(grids: tuple[Grid, ...]) -> dict[str, Decimal]:
    return {each.instrument_id: each.weight for each in grids if each.enabled}

"""How much of a guard's limit is used up."""

from decimal import Decimal as D  # noqa: N817  # tables of numbers

import pytest

from hedgegridd.core.utilization import utilization
from hedgegridd.messages import GuardVerdict


@pytest.mark.parametrize(
    ("level", "value", "warn", "limit", "used"),
    [
        ("OK", D(2), D(4), D(5), D("0.4")),
        ("CRITICAL", D(6), D(4), D(5), D("1.2")),
        ("OK", D(1000), D(625), D(500), D("0.5")),  # a floor
        ("CRITICAL", D(400), D(625), D(500), D("1.25")),
        ("BLOCK", D(14), D("18.75"), D(7), D("0.5")),  # a distance past its first level
        ("OK", D(100), None, D(95), D("0.95")),  # a floor without a warn level
        ("BLOCK", D(50), None, D(100), D(2)),
        ("OK", D(3), None, D(10), D("0.3")),
        ("BLOCK", D(12), None, D(10), D("1.2")),
        ("OK", D(-7), None, D(10), D(0)),  # a gain is no loss
        ("BLOCK", None, D(4), D(5), None),
        ("OK", D(1), None, None, None),
        ("CRITICAL", D(0), D(625), D(500), None),
    ],
)
def test_share_of_the_limit(level, value, warn, limit, used):
    assert utilization(GuardVerdict(guard="g", level=level, value=value, warn=warn, limit=limit)) == used

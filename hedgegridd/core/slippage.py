"""What a close or a stop cost against its reference: the stop price of a leg stop, the mark for every other close."""

from decimal import Decimal
from typing import NamedTuple

from hedgegridd.messages import Fill, InstrumentFigures
from hedgegridd.model import Purpose, parse_client_order_id


class Cost(NamedTuple):
    """Notional at the reference and what was lost against it (below 0: gained), both in USDT."""

    notional_usdt: Decimal
    lost_usdt: Decimal


def cost_of(fill: Fill, books: InstrumentFigures | None) -> Cost | None:
    """The cost of one fill with the books as they were then; None: no close, or no reference."""
    tag = parse_client_order_id(fill.client_order_id)
    if tag is None or tag.purpose not in (Purpose.STOP, Purpose.CLOSE) or books is None:
        return None
    reference = books.mark
    if tag.purpose is Purpose.STOP and tag.level == 0:
        stop = next((leg.stop_price for leg in books.legs if leg.leg is fill.leg), None)
        reference = stop or reference
    if reference is None:
        return None
    return Cost(reference * fill.qty, (reference - fill.price) * fill.leg.sign * fill.qty)

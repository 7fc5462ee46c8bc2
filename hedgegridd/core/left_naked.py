"""What inventory would be without if every ordinary order of its symbol went."""

from hedgegridd import messages as m


def left_naked(view: m.InstrumentView) -> tuple[str, ...]:
    """What inventory would be without if the countdown ran out: take-profits surely, stops if the venue takes them too."""
    found = []
    for leg in view.legs:
        if not leg.qty:
            continue
        lost = (
            f"take-profits of {leg.take_profit_qty:f}"
            if leg.take_profit_qty
            else "no take-profit (none rests)"
        )
        stop = (
            f"its stop at {leg.stop_price:f} stays, unless the venue counts conditional orders in"
            if leg.stop_resting and leg.stop_price is not None
            else "it has no stop at the venue"
        )
        found.append(f"{leg.leg} {leg.qty:f}: loses {lost}; {stop}")
    return tuple(found)

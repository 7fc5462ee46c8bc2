"""What must be true of the paper account after every change; a breach raises and names its figures."""

from collections.abc import Mapping

from hedgegridd.exchange.matching import Book
from hedgegridd.exchange.state import State


class InvariantError(AssertionError):
    """The paper exchange has a bug: its books contradict themselves."""


def check_money(state: State) -> None:
    """Wallet equals deposits + realised - fees + funding + insurance, exactly; legs are never negative."""
    expected = state.deposits + state.realised - state.fees + state.funding + state.insurance
    if state.wallet != expected:
        raise InvariantError(
            f"wallet {state.wallet} is not deposits {state.deposits} + realised {state.realised} - fees {state.fees} "
            f"+ funding {state.funding} + insurance {state.insurance}"
        )
    for leg in state.legs.values():
        if leg.qty < 0 or (leg.qty == 0) != (leg.entry == 0):
            raise InvariantError(f"leg {leg.symbol} {leg.side} holds {leg.qty} at {leg.entry}")


def check_books(state: State, books: Mapping[str, Book]) -> None:
    """Resting orders are open, partly filled at most, within the venue's count, and flat legs have no exits."""
    for symbol, book in books.items():
        if len(book.orders) > book.rules.max_orders:
            raise InvariantError(f"{len(book.orders)} orders rest for {symbol}")
        for order in book.orders.values():
            if not order.open or not 0 <= order.filled < order.qty:
                raise InvariantError(
                    f"order {order.id} rests as {order.status} with {order.filled}/{order.qty}"
                )
            if order.closes and not state.leg(symbol, order.leg).qty:
                raise InvariantError(f"exit {order.id} rests for the flat leg {symbol} {order.leg}")

"""Which of the market's words caused which order, so that tick-to-order counts those orders and no others."""

REMEMBERED_MAX = 1_024  # words and orders each; the oldest go first


class Causes:
    """Words of the market by the sequence they were posted with; orders from their taking until they are sent."""

    def __init__(self) -> None:
        self._told_ns: dict[int, int] = {}
        self._orders: dict[str, int] = {}

    def told(self, seq: int, now_ns: int) -> None:
        """The market's word was posted as `seq` at that monotonic time."""
        _keep(self._told_ns, seq, now_ns)

    def taken(self, client_order_id: str, cause: int) -> None:
        """An order that was posted because of the message `cause`."""
        told_ns = self._told_ns.get(cause)
        if told_ns is not None:
            _keep(self._orders, client_order_id, told_ns)

    def sent(self, client_order_id: str, now_ns: int) -> int | None:
        """The order leaves: nanoseconds since the market's word, None when something else caused it."""
        told_ns = self._orders.pop(client_order_id, None)
        return None if told_ns is None else now_ns - told_ns


def _keep[K](memory: dict[K, int], key: K, value: int) -> None:
    if len(memory) >= REMEMBERED_MAX:
        del memory[next(iter(memory))]
    memory[key] = value

"""What the oracle knows of orders between wire and venue, and what must hold of them.

No id is used twice; one close of a leg is on its way at a time, and never more than the leg; an order is given up only
when it cannot arrive any more; a leg that is told flat is flat, and nothing is on its way that could change that.
"""

from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from hedgegridd.core.flatten_worker import FLATTEN_LEVEL, OTHERS_CLOSE_NS
from hedgegridd.messages import LegFlat
from hedgegridd.model import Leg, parse_client_order_id
from tests.sim.loop import SECOND
from tests.sim.venue import ZERO, Order

if TYPE_CHECKING:
    from tests.sim.process import Process

LATELY = SECOND
ARRIVES = 6 * SECOND - 1  # recvWindow and the daemon's margin: what comes later is refused
STRAY = 10 * SECOND


class Sent(NamedTuple):
    """An order that has left, and that the venue has neither taken nor refused."""

    symbol: str
    leg: str
    process: "Process"
    at: int


class Close(NamedTuple):
    """A close of a leg: whether the venue has had it, and when it left."""

    leg: tuple[str, str]
    processed: bool
    at: int


class UnderWay:
    """Bound to the oracle of one world; `fail` is its."""

    def __init__(self, oracle: Any) -> None:
        self._world = oracle.world
        self.fail = oracle.fail
        self._ids: set[str] = set()
        self._sent: dict[str, Sent] = {}
        self._closes: dict[str, Close] = {}
        self._legs_were: deque[tuple[int, tuple[str, str], Decimal]] = deque(
            maxlen=20
        )  # until when, leg, was
        self._stray: dict[tuple[str, str], int] = {}  # an order of a dead process came, when

    # ------------------------------------------------------------------------------------------------- leaving

    def leaves(self, coid: str, params: dict[str, str], process: "Process") -> None:
        """An order, conditional or not, is leaving."""
        if coid in self._ids:
            self.fail("no order is sent twice", coid)
        self._ids.add(coid)
        self._sent[coid] = Sent(params["symbol"], params["positionSide"], process, self._world.time.now)

    def close_leaves(self, coid: str, params: dict[str, str], process: "Process") -> None:
        """A close at market is leaving: the only one of its leg, and not more than the leg."""
        symbol, leg, qty = params["symbol"], params["positionSide"], Decimal(params["quantity"])
        # A flatten waits for a close of the desk, but not for ever: it must not hang on one whose fate nobody tells.
        now, mine = self._world.time.now, _of_flatten(coid)
        others = [
            x
            for x, close in self._closes.items()
            if close.leg == (symbol, leg)
            and (_of_flatten(x) == mine or now - close.at < OTHERS_CLOSE_NS)
            and self._is_open(x, close, process)
        ]
        if others:
            self.fail("one close in flight per leg", f"{coid} while {others}")
        self._closes[coid] = Close((symbol, leg), processed=False, at=now)
        most = self._lately(process, symbol, leg)
        if qty > most:
            self.fail("a close is never larger than the last report", f"{coid} {qty} > {most}")

    def _is_open(self, coid: str, close: Close, process: "Process") -> bool:
        """Whether the close may still take something, as far as its sender can know."""
        if close.processed:
            return process.gateway._inflight.order(coid) is not None
        return self._world.time.now - close.at < ARRIVES

    def _lately(self, process: "Process", symbol: str, leg: str) -> Decimal:
        """The largest the leg was in our books, in the last report or at the venue a moment ago.

        Between the decision and the wire lies the journal: what the venue does meanwhile it answers with -2022.
        """
        now = self._world.time.now
        ours = process.machines.desk._ctx.ledger.leg(f"{symbol}-PERP.BINANCE", Leg(leg)).qty
        reported = process.reported.get((symbol, leg), ZERO)
        before = [qty for at, key, qty in self._legs_were if key == (symbol, leg) and now - at < LATELY]
        return max(ours, reported, *before, ZERO)

    # ------------------------------------------------------------------------------------------------- arriving

    def arrived(self, coid: str, *, taken: bool) -> None:
        """The venue has had it: taken, or refused."""
        close = self._closes.get(coid)
        if close is not None:
            self._closes[coid] = close._replace(processed=True)
        sent = self._sent.pop(coid, None)
        if sent is None or not taken:
            return
        process = sent.process
        if process.dead:
            self._stray[sent.symbol, sent.leg] = self._world.time.now
        elif process.connection.connected and process.gateway._inflight.order(coid) is None:
            self.fail("an order is given up only when it cannot arrive any more", coid)

    def lost(self, coid: str) -> None:
        """It will never be acted on."""
        self._closes.pop(coid, None)
        self._sent.pop(coid, None)

    def filled(self, order: Order, qty: Decimal) -> None:
        """A trade that made a leg smaller, by that much."""
        key = (order.symbol, order.leg)
        self._legs_were.append((self._world.time.now, key, self._world.venue.legs[key].qty + qty))

    def died(self) -> None:
        """What is still on the wire the next process cannot know; the venue refuses the second of two closes."""
        self._closes.clear()

    # ------------------------------------------------------------------------------------------------- flat

    def flat(self, told: LegFlat, process: "Process") -> None:
        """A flatten says that a leg is verified flat: the venue must agree, and nothing may be on its way."""
        venue, leg = self._world.venue, str(told.leg)
        symbol = told.instrument.partition("-")[0]
        if self._world.time.now - self._stray.get((symbol, leg), -STRAY) < STRAY:
            return  # it came out of the blue, between two looks
        market, since = venue.markets[symbol], self._world.time.now - ARRIVES
        coming = [
            coid
            for coid, sent in self._sent.items()
            if (sent.symbol, sent.leg) == (symbol, leg) and sent.process is process and sent.at > since
        ]
        resting = [o.coid for o in market.orders.values() if o.leg == leg and parse_client_order_id(o.coid)]
        stops = [a.coid for a in market.algos.values() if a.leg == leg]
        held = venue.legs[symbol, leg].qty
        if held or coming or resting or stops:
            text = f"{leg} {held}, resting {resting}, stops {stops}, under way {coming}"
            self.fail("a leg that is told flat is flat", text)


def _of_flatten(coid: str) -> bool:
    tag = parse_client_order_id(coid)
    return tag is not None and tag.level == FLATTEN_LEVEL

"""What the oracle knows of leg stops: what the venue has said of them, and since when inventory is without one.

Entries rest behind their stop, whatever befalls us: one that fills while the process is dead is judged as any other.
"""

from typing import TYPE_CHECKING, Any

from hedgegridd.model import Leg
from tests.sim.loop import SECOND
from tests.sim.venue import Order

if TYPE_CHECKING:
    from hedgegridd.core.state import LegState
    from tests.sim.process import Process

NAKED_BOUND = 10 * SECOND  # of a time in which nothing hinders us
SETTLES = 20 * SECOND  # after a disturbance, until the bounds hold again
ORDERS_OWN = -2000  # codes from here on are of the order itself, not of the way to the venue
RESTS, REFUSED, UNSURE, CANCELLED = "rests", "refused", "unsure", "cancelled by us"

type Key = tuple[str, str]


class Stops:
    """Bound to the oracle of one world."""

    def __init__(self, oracle: Any) -> None:
        self._oracle, self._world = oracle, oracle.world
        self.naked: dict[Key, int] = {}  # since when
        self._refused: dict[Key, int] = {}  # when
        self._said_no: set[Key] = set()  # legs whose stop the venue has ever refused for what it is
        self._last: dict[Key, str] = {}  # what became of the last one that was sent
        self.blind_from: int | None = None  # the venue has changed something and told nobody

    def rest(self, symbol: str, leg: str) -> bool:
        """Whether the venue holds a stop for the whole leg."""
        algos = self._world.venue.markets[symbol].algos.values()
        return any(a.leg == leg and a.close_position and a.status == "NEW" for a in algos)

    # ------------------------------------------------------------------------------------------------- the wire

    def sent(self, params: dict[str, str]) -> None:
        """A stop is leaving; while one rests it is a replacement."""
        key = params["symbol"], params["positionSide"]
        if not self.rest(*key):
            self._last[key] = UNSURE

    def answered(self, params: dict[str, str], code: int) -> None:
        """The venue has taken or refused it, or the way to the venue has refused it."""
        if params.get("closePosition") != "true":
            return
        key = params["symbol"], params["positionSide"]
        if not code:
            self._last[key] = RESTS
            return
        self._refused[key] = self._world.time.now
        if not self.rest(*key):
            self._last[key] = REFUSED
        if code <= ORDERS_OWN:
            self._said_no.add(key)

    def cancelled(self, coid: str) -> None:
        """The venue has cancelled a conditional order because we asked for it."""
        algo = self._world.venue.algo_by_coid[coid]
        key = algo.symbol, algo.leg
        if algo.close_position and not self.rest(*key):
            self._last[key] = CANCELLED

    # ------------------------------------------------------------------------------------------------- entries

    def filled(self, order: Order) -> None:
        """An entry of ours has filled."""
        process: Process | None = self._world.process
        key = order.symbol, order.leg
        manners = self._world.venue.manners
        if process is None or not manners.flat_stop or manners.stop_dies or self.rest(*key):
            return
        state = self._state(process, *key)
        if state.stop_needs_position:
            return  # a venue that has refused a stop of a flat leg, be it by mistake, is believed
        if process.dead:
            last = self._last.get(key, "never sent")
            # What the venue took away, or has refused behind our back, we would have put right; and where one stop is
            # all that it takes, an entry may fill between the old one and the new one.
            if last in (RESTS, REFUSED, UNSURE) or state.one_stop_only:
                return
            self._oracle.fail(
                "an entry fills behind its stop, also while we are dead", f"{order.coid}: {last}"
            )
        # Entries wait for the answer to their stop; when that is a refusal, those behind it are on their way.
        if self._world.time.now - self._refused.get(key, -SETTLES) <= SECOND:
            return
        if self.blind_from is None and self._oracle.undisturbed(SETTLES):
            self._oracle.fail("an entry fills behind its stop", order.coid)

    # ------------------------------------------------------------------------------------------------- inventory

    def changed(self) -> None:
        """Something has changed at the venue."""
        now = self._world.time.now
        for key, leg in self._world.venue.legs.items():
            if leg.qty and not self.rest(*key):
                self.naked.setdefault(key, now)
            else:
                self.naked.pop(key, None)
            self._believed(*key)

    def _believed(self, symbol: str, leg: str) -> None:
        """That a stop needs inventory is taken from the venue alone: entries would rest without theirs."""
        process = self._world.process
        if process is None or (symbol, leg) in self._said_no:
            return
        if self._state(process, symbol, leg).stop_needs_position:
            text = f"{leg}: stops need a position"
            self._oracle.fail("the venue is believed only what it has said", text)

    def look(self) -> None:
        """Inventory without its stop: not for longer than the bound of a time in which nothing hinders us."""
        world, oracle = self._world, self._oracle
        process = world.process
        if process is None or process.dead or not process.ready or not world.weather.fair or world.frozen:
            return  # dead: entries are judged as they fill, and a stop that rests stays
        if self.blind_from is not None or world.stream.silent:
            oracle.disturbed = world.time.now
            return
        free = max(oracle.disturbed, world.weather.last_bad) + SETTLES
        for (symbol, leg), since in self.naked.items():
            bare = world.time.now - max(since, free)
            if self.hands_off(process, symbol, leg):
                self.naked[symbol, leg] = world.time.now
            elif bare > NAKED_BOUND:
                text = f"{leg} for {bare / SECOND:.1f} s"
                oracle.fail("inventory has its leg stop within the bound", text)

    def hands_off(self, process: "Process", symbol: str, leg: str) -> bool:
        """Whether the daemon was told to leave the leg alone, or cannot know whose it is."""
        state = self._state(process, symbol, leg)
        if str(state.mode) == "manual":
            return True
        return not state.lots and self._oracle.foreign_at > 0

    def _state(self, process: "Process", symbol: str, leg: str) -> "LegState":
        return process.machines.desk._state.grids[f"{symbol}-PERP.BINANCE"].legs[Leg(leg)]

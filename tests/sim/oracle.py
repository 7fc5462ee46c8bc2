"""What must hold after every step, whatever happens; it sees venue, wire and machines, and believes none of them.

Each check raises `Violation` with the name of its invariant, which is what `shrink.py` keeps constant.
"""

from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.flatten_worker import FLATTEN_LEVEL
from hedgegridd.journal.record import decode_record
from hedgegridd.model import KillState, Leg, Purpose, parse_client_order_id
from hedgegridd.state import DaemonState, Machines
from tests.sim.loop import SECOND
from tests.sim.process import Process, new_machines
from tests.sim.stops import Stops
from tests.sim.underway import UnderWay
from tests.sim.venue import SIDES, ZERO, Order

SAFETY_WAIT = 100_000_000
LATCHED = (KillState.TRIPPED, KillState.HALTED)
MOVES = {
    KillState.STARTING: {KillState.ARMED, KillState.TRIPPED},
    KillState.ARMED: {KillState.TRIPPED},
    KillState.TRIPPED: {KillState.HALTED},
    KillState.HALTED: {KillState.TRIPPED, KillState.REARMING},
    KillState.REARMING: {KillState.ARMED, KillState.HALTED, KillState.TRIPPED},
}


class Violation(AssertionError):  # noqa: N818  # reads as the event it is
    """An invariant does not hold. `name` says which."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Oracle:
    """Bound to one world."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.way = UnderWay(self)
        self.stops = Stops(self)
        self.disturbed = 0  # when something that is not our doing happened last
        self.foreign: dict[str, Decimal] = dict.fromkeys(SIDES, ZERO)  # bought by hand
        self.foreign_at = -(10**18)
        self.kill = self.seen = KillState.STARTING  # as told, and as it is
        self.latched_from: int | None = None  # journal position from which on the latch must survive
        self.pending: dict[int, str] = {}  # commands asked and not answered
        self.answered = 0
        self._changes = -1
        self.done_trips: set[str] = set()
        self.last_state: bytes | None = None  # of a dead process of which the disk has everything

    def fail(self, name: str, text: str) -> None:
        raise Violation(name, text)

    def broken(self, error: BaseException) -> None:
        """Something in the daemon raised."""
        found = error if isinstance(error, Violation) else error.__cause__
        if isinstance(found, Violation):
            raise found
        raise Violation("no part of ours breaks", repr(error)) from error

    # ------------------------------------------------------------------------------------------------- the wire

    def sent(self, endpoint: str, params: dict[str, str], process: Process) -> None:
        """A request is leaving."""
        if endpoint == "POST /fapi/v1/order":
            self._order_sent(params, process)
        elif endpoint == "POST /fapi/v1/algoOrder":
            self.way.leaves(params["clientAlgoId"], params, process)
            self.stops.sent(params)
            self._durable(params["clientAlgoId"], process, wait=SAFETY_WAIT)
        elif endpoint in ("DELETE /fapi/v1/batchOrders", "DELETE /fapi/v1/allOpenOrders"):
            self._action_durable(process)

    def _order_sent(self, params: dict[str, str], process: Process) -> None:
        coid, symbol, leg = params["newClientOrderId"], params["symbol"], params["positionSide"]
        tag = parse_client_order_id(coid)
        if tag is None:
            self.fail("every order of ours carries its tag", coid)
            return
        self.way.leaves(coid, params, process)
        if tag.purpose is Purpose.ENTRY:
            state = process.machines.kill_switch._state.state
            if state is not KillState.ARMED:
                self.fail("no entry after a trip until rearm", f"{coid} leaves while {state}")
            if process.machines.desk._state.grids[f"{symbol}-PERP.BINANCE"].legs[Leg(leg)].latched:
                self.fail("no entry of a latched leg", coid)
            self._durable(coid, process, wait=None)
        elif tag.purpose is Purpose.CLOSE:
            self.way.close_leaves(coid, params, process)
            if tag.level == FLATTEN_LEVEL:
                self._action_durable(process)
            else:
                self._durable(coid, process, wait=SAFETY_WAIT)
        else:
            self._durable(coid, process, wait=SAFETY_WAIT)

    def _durable(self, coid: str, process: Process, wait: int | None) -> None:
        """The intent is on disk; what reduces may leave after 100 ms all the same."""
        found = process.journal.order_positions.get(coid)
        if found is None:
            self.fail("the intent is in the journal before its effect", coid)
            return
        position, at = found
        if position <= process.journal.durable_position:
            return
        journal = process.journal
        if wait is not None and (journal.failed or journal.behind_ns() >= wait - 1_000):
            return  # what reduces does not wait for a disk that hangs: once 100 ms are over, none of it does
        if wait is None or self.world.time.now - at < wait - 1_000:
            self.fail("the intent is durable before its effect", f"{coid} at {position}")

    def _action_durable(self, process: Process) -> None:
        """A flatten acts when it is on disk, or after 100 ms."""
        if process.stopping:
            return  # the last sweep of a stop is nobody's command
        known = list(process.journal.action_positions.values())
        journal, now = process.journal, self.world.time.now
        if not known or journal.failed:
            return  # taken up from before a restart: it was on disk then
        if all(p > journal.durable_position and now - at < SAFETY_WAIT - 1_000 for p, at in known):
            self.fail("a flatten is durable before its first cancel", str(known))

    def processed(self, endpoint: str, params: dict[str, str], code: int, process: Process) -> None:
        """The venue has taken or refused (`code`) a request."""
        if endpoint == "POST /fapi/v1/order":
            self.way.arrived(params["newClientOrderId"], taken=not code)
            if not code:
                self._exposure(params["symbol"], params["positionSide"])
        elif endpoint == "POST /fapi/v1/algoOrder":
            self.way.arrived(params["clientAlgoId"], taken=not code)
            self.stops.answered(params, code)
        elif endpoint == "DELETE /fapi/v1/algoOrder" and not code:
            self.stops.cancelled(params["clientAlgoId"])

    def lost(self, endpoint: str, params: dict[str, str], code: int) -> None:
        """A request will never be acted on; `code`: it was refused for no reason that the venue has."""
        if endpoint == "POST /fapi/v1/order":
            self.way.lost(params["newClientOrderId"])
        elif endpoint == "POST /fapi/v1/algoOrder":
            self.way.lost(params["clientAlgoId"])
            if code:
                self.stops.answered(params, code)

    def _exposure(self, symbol: str, leg: str) -> None:
        """Position and resting entries of a leg stay within its cap; a hand may have bought beside us."""
        venue, grid = self.world.venue, self.world.config.grid[0]
        resting = sum(
            (o.remaining for o in venue.markets[symbol].orders.values() if o.opens and o.leg == leg), ZERO
        )
        total = venue.legs[symbol, leg].qty + resting
        if total > grid.position.max_qty + self.foreign[leg]:
            self.fail("exposure within its limit", f"{leg} {total} > {grid.position.max_qty}")

    # ------------------------------------------------------------------------------------------------- the venue

    def filled(self, order: Order, qty: Decimal) -> None:
        """A trade of the account."""
        if not order.opens:
            self.way.filled(order, qty)
        if parse_client_order_id(order.coid) is None:
            self.foreign_at = self.world.time.now
            return
        if not order.opens:
            return
        self.stops.filled(order)

    def disturb(self, *, foreign: bool = False) -> None:
        """Something happened that no bound of ours covers."""
        self.disturbed = self.world.time.now
        if foreign:
            self.foreign_at = self.world.time.now

    def undisturbed(self, since: int) -> bool:
        """Whether nothing has hindered us for so long."""
        now, weather = self.world.time.now, self.world.weather
        return weather.fair and now - max(self.disturbed, weather.last_bad) > since

    def step(self) -> None:
        """After every step of the world."""
        venue = self.world.venue
        if venue.changes != self._changes:
            self._changes = venue.changes
            self.stops.changed()
        if self.stops.naked:
            self.stops.look()

    # ------------------------------------------------------------------------------------------------- machines

    def look(self) -> None:
        """After every callback of the daemon."""
        process = self.world.process
        state = process.machines.kill_switch._state.state
        if state is not self.seen:
            self.seen = state
            self.latched_from = process.journal.position if state in LATCHED else None

    def _moved(self, change: m.KillStateChanged, process: Process) -> None:
        """The kill switch has told a move."""
        before, state = change.previous, change.state
        if state is before:
            return
        if before is not self.kill or state not in MOVES[before]:
            self.fail("HALTED is left by rearm alone", f"{self.kill}: {before} -> {state}")
        if before is KillState.REARMING and state is KillState.ARMED and not process.rearm_asked:
            self.fail("HALTED is left by rearm alone", "nobody asked")
        self.kill = state
        if before is KillState.TRIPPED and state is KillState.HALTED:
            self._done(process.machines.kill_switch._state.action, SIDES)

    def _trips(self, told: m.TripsChanged, _process: Process) -> None:
        """Trips of legs and instruments: those that say for the first time that they are done."""
        for trip in told.trips:
            if trip.state is KillState.HALTED and trip.trip_id not in self.done_trips:
                self.done_trips.add(trip.trip_id)
                legs = SIDES if trip.scope.leg is None else (str(trip.scope.leg),)
                self._done(trip.action, legs)

    def _done(self, action: str, legs: tuple[str, ...]) -> None:
        """A trip says that it is done: the venue must agree."""
        venue = self.world.venue
        if self.world.time.now - self.foreign_at < 5 * SECOND:
            return
        for symbol, market in venue.markets.items():
            mine = [o for o in market.orders.values() if o.leg in legs and parse_client_order_id(o.coid)]
            entries = [o.coid for o in mine if o.opens]
            if entries:
                self.fail("a trip ends with its work done", f"{entries} rest")
            held = [f"{leg} {venue.legs[symbol, leg].qty}" for leg in legs if venue.legs[symbol, leg].qty]
            if action == "flatten" and held:
                self.fail("a trip ends with its work done", f"still held: {held}")

    def heard(self, message: m.Message, process: Process) -> None:
        """What the ear brings."""
        if isinstance(message, m.KillStateChanged):
            self._moved(message, process)
        elif isinstance(message, m.TripsChanged):
            self._trips(message, process)
        elif isinstance(message, m.LegFlat):
            if self.world.time.now - self.foreign_at >= 5 * SECOND:
                self.way.flat(message, process)
        elif isinstance(message, m.Reconciled):
            asked = message.asked_ns - self.world.machine.offset_ns
            if self.stops.blind_from is not None and asked > self.stops.blind_from:
                self.stops.blind_from = None
                self.disturb()
        elif isinstance(message, m.VenueTruth):
            for leg in message.legs:
                process.reported[leg.instrument.partition("-")[0], str(leg.leg)] = leg.qty

    # ------------------------------------------------------------------------------------------------- life and death

    def born(self, process: Process) -> None:
        """A new process has restored its state: that of the one before, when nothing was lost."""
        last, self.last_state = self.last_state, None
        if last is not None:
            self._same(in_order(process.machines), last)
        state = process.machines.kill_switch._state.state
        survives = self.latched_from is not None and self.latched_from <= process.first.position
        if survives and state not in LATCHED:
            self.fail("a latch survives a crash", f"{self.kill} -> {state}")
        if state is KillState.ARMED:
            self.fail("nothing is armed at start", "restored as ARMED")
        if state not in LATCHED:
            self.latched_from = None
        self.kill = self.seen = state
        self.disturb()

    def died(self, process: Process, *, whole: bool) -> None:
        """It was killed. `whole`: the next start replays all that it has handled, to the state in which it died."""
        self.last_state = in_order(process.machines) if whole else None
        self.pending.clear()
        if process.bus.answers()["doubled"]:
            self.fail("every command gets exactly one answer", "one got two")
        self.way.died()
        self.disturb()
        if (
            self.world.plan.seed % 8 == 0
        ):  # from its first snapshot, whatever was snapped since or is lost now
            self.replays(process, self.world.disk.lines[: -1 if process.unhandled else None])

    def stopped(self, confirmed: dict[str, bool]) -> None:
        """An orderly stop says what the venue has confirmed: it must be so, unless somebody has moved since."""
        if self.world.time.now - self.foreign_at < 20 * SECOND:
            return
        venue, answers = self.world.venue, self.world.answers
        for symbol, market in venue.markets.items():
            entries = [o.coid for o in market.orders.values() if o.opens and parse_client_order_id(o.coid)]
            held = [leg for leg in SIDES if venue.legs[symbol, leg].qty]
            bare = [
                leg
                for leg in held
                if not self.stops.rest(symbol, leg)
                and not self.stops.hands_off(self.world.process, symbol, leg)
            ]
            runs = answers.countdowns.get(symbol) is not None
            for fact, wrong in (
                ("entries_gone", entries),
                ("flat", held),
                ("dead_man_disarmed", runs),
                ("exits_at_venue", bare),
            ):
                if confirmed.get(fact) and wrong:
                    self.fail("a stop tells the truth", f"{symbol} {fact}: {wrong}")

    def replays(self, process: Process, lines: list[bytes]) -> None:
        """The journal replays to the same state."""
        config = self.world.config
        again, first = new_machines(config), process.first
        again.restore(first.state, [decode_record(line[:-1]) for line in lines[first.position :]])
        self._same(in_order(again), in_order(process.machines))

    def _same(self, left: bytes, lived: bytes) -> None:
        """The replayed state is the one that was lived, as a new process takes it up."""
        now = new_machines(self.world.config)
        now.restore(lived, ())
        right = in_order(now)
        if left != right:
            self.fail("the journal replays to the same state", _difference(left, right))

    def asked(self, seq: int, what: str) -> None:
        """A command was posted; exactly one answer must come."""
        self.pending[seq] = what

    def answer(self, seq: int, answer: object) -> None:
        """Its answer."""
        what = self.pending.pop(seq, None)
        if what is None:
            self.fail("every command gets exactly one answer", f"{seq}: another one: {answer}")
        if not isinstance(answer, m.Answer):
            self.fail("every command gets exactly one answer", f"{what}: {answer!r}")
        self.answered += 1


def in_order(machines: Machines) -> bytes:
    """The state, every dict in its own order, which is a part of it, whatever a snapshot makes of that."""
    state = DaemonState(**{name: each.snapshot() for name, each in machines.by_name.items()})
    return msgspec.json.encode(state)


def _difference(left: object, right: object, where: str = "") -> str:
    """The first place in which two snapshots differ: the replayed one first."""
    if isinstance(left, bytes) and isinstance(right, bytes):
        return _difference(msgspec.json.decode(left), msgspec.json.decode(right))
    if isinstance(left, dict) and isinstance(right, dict):
        for key in [*left, *(k for k in right if k not in left)]:
            if left.get(key) != right.get(key):
                return _difference(left.get(key), right.get(key), f"{where}.{key}")
        if list(left) != list(right):
            return f"{where}: in the order {list(left)[:5]} replayed, {list(right)[:5]} lived"
        for key in left:
            if msgspec.json.encode(left[key]) != msgspec.json.encode(right[key]):
                return _difference(left[key], right[key], f"{where}.{key}")
    return f"{where}: {left!r} replayed, {right!r} lived"

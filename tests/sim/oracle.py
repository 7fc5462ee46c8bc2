"""What must hold after every step, whatever happens; it sees venue, wire and machines, and believes none of them.

Each check raises `Violation` with the name of its invariant, which is what `shrink.py` keeps constant.
"""

from collections import deque
from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.flatten_worker import OTHERS_CLOSE_NS
from hedgegridd.journal.record import decode_record
from hedgegridd.model import KillState, Leg, Purpose, parse_client_order_id
from tests.sim.loop import SECOND
from tests.sim.process import Process, new_machines
from tests.sim.venue import SIDES, ZERO, Order

NAKED_BOUND = 10 * SECOND  # of a time in which nothing hinders us
SETTLES = 20 * SECOND  # after a disturbance, until the bounds hold again
SAFETY_WAIT = 100_000_000
LATELY = SECOND
ARRIVES = 6 * SECOND - 1  # recvWindow and the daemon's margin: what comes later is refused
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
        self.sent_ids: set[str] = set()
        self.closes: dict[str, tuple[tuple[str, str], bool, int]] = {}  # leg, whether the venue had it, when
        self.legs_were: deque[tuple[int, tuple[str, str], Decimal]] = deque(
            maxlen=20
        )  # until when, leg, quantity
        self.naked: dict[tuple[str, str], int] = {}
        self.disturbed = 0  # when something that is not our doing happened last
        self.foreign: dict[str, Decimal] = dict.fromkeys(SIDES, ZERO)  # bought by hand
        self.foreign_at = -(10**18)
        self.kill = self.seen = KillState.STARTING  # as told, and as it is
        self.latched_from: int | None = None  # journal position from which on the latch must survive
        self.pending: dict[int, str] = {}  # commands asked and not answered
        self.answered = 0
        self._changes = -1
        self.done_trips: set[str] = set()
        self.stop_refused: dict[tuple[str, str], int] = {}  # when
        self.blind_from: int | None = None
        self.last_state: bytes | None = None  # of a dead process of which the disk has everything

    def fail(self, name: str, text: str) -> None:
        raise Violation(name, text)

    def broken(self, error: BaseException) -> None:
        """Something in the daemon raised."""
        if isinstance(error, Violation):
            raise error
        raise Violation("no part of ours breaks", repr(error)) from error

    # ------------------------------------------------------------------------------------------------- the wire

    def sent(self, endpoint: str, params: dict[str, str], process: Process) -> None:
        """A request is leaving."""
        if endpoint == "POST /fapi/v1/order":
            self._order_sent(params, process)
        elif endpoint == "POST /fapi/v1/algoOrder":
            self._once(params["clientAlgoId"])
            self._durable(params["clientAlgoId"], process, wait=SAFETY_WAIT)
        elif endpoint in ("DELETE /fapi/v1/batchOrders", "DELETE /fapi/v1/allOpenOrders"):
            self._action_durable(process)

    def _once(self, coid: str) -> None:
        if coid in self.sent_ids:
            self.fail("no order is sent twice", coid)
        self.sent_ids.add(coid)

    def _order_sent(self, params: dict[str, str], process: Process) -> None:
        coid, symbol, leg = params["newClientOrderId"], params["symbol"], params["positionSide"]
        tag = parse_client_order_id(coid)
        if tag is None:
            self.fail("every order of ours carries its tag", coid)
            return
        self._once(coid)
        if tag.purpose is Purpose.ENTRY:
            state = process.machines.kill_switch._state.state
            if state is not KillState.ARMED:
                self.fail("no entry after a trip until rearm", f"{coid} leaves while {state}")
            if process.machines.desk._state.grids[f"{symbol}-PERP.BINANCE"].legs[Leg(leg)].latched:
                self.fail("no entry of a latched leg", coid)
            self._durable(coid, process, wait=None)
        elif tag.purpose is Purpose.CLOSE:
            self._close_sent(coid, symbol, leg, Decimal(params["quantity"]), process)
            if tag.level == 900:
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

    def _close_sent(self, coid: str, symbol: str, leg: str, qty: Decimal, process: Process) -> None:
        # A flatten waits for a close of the desk, but not for ever: it must not hang on one whose fate nobody tells.
        inflight, now = process.gateway._inflight, self.world.time.now
        others = [
            x
            for x, (where, processed, at) in self.closes.items()
            if where == (symbol, leg)
            and (("900C" in x) == ("900C" in coid) or now - at < OTHERS_CLOSE_NS)
            and (inflight.order(x) is not None if processed else now - at < ARRIVES)
        ]
        if others:
            self.fail("one close in flight per leg", f"{coid} while {others}")
        self.closes[coid] = ((symbol, leg), False, now)
        most = self._lately(process, symbol, leg)
        if qty > most:
            self.fail("a close is never larger than the last report", f"{coid} {qty} > {most}")

    def _lately(self, process: Process, symbol: str, leg: str) -> Decimal:
        """The largest the leg was in our books, in the last report or at the venue a moment ago.

        Between the decision and the wire lies the journal: what the venue does meanwhile it answers with -2022.
        """
        now = self.world.time.now
        ours = process.machines.desk._ctx.ledger.leg(f"{symbol}-PERP.BINANCE", Leg(leg)).qty
        reported = process.reported.get((symbol, leg), ZERO)
        before = [qty for at, key, qty in self.legs_were if key == (symbol, leg) and now - at < LATELY]
        return max(ours, reported, *before, ZERO)

    def processed(self, endpoint: str, params: dict[str, str], status: int) -> None:
        """The venue has taken or refused a request."""
        if endpoint == "POST /fapi/v1/order":
            coid = params["newClientOrderId"]
            if coid in self.closes:
                self.closes[coid] = (self.closes[coid][0], True, self.closes[coid][2])
            if status == 200:
                self._exposure(params["symbol"], params["positionSide"])

        elif endpoint == "POST /fapi/v1/algoOrder" and status != 200:
            self.stop_refused[params["symbol"], params["positionSide"]] = self.world.time.now

    def lost(self, endpoint: str, params: dict[str, str]) -> None:
        """A request will never arrive."""
        if endpoint == "POST /fapi/v1/order":
            self.closes.pop(params["newClientOrderId"], None)

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
        venue = self.world.venue
        if not order.opens:
            key = (order.symbol, order.leg)
            self.legs_were.append((self.world.time.now, key, venue.legs[key].qty + qty))
        if not order.opens or parse_client_order_id(order.coid) is None:
            return
        manners = venue.manners
        process = self.world.process
        if process is None:
            return
        state = process.machines.desk._state.grids[f"{order.symbol}-PERP.BINANCE"].legs[Leg(order.leg)]
        # A venue that has refused a stop of a flat leg, be it by mistake, is believed.
        sound = manners.flat_stop and not manners.stop_dies and not state.stop_needs_position
        # Entries wait for the answer to their stop; when that is a refusal, those behind it are on their way.
        refused = self.stop_refused.get((order.symbol, order.leg), -SETTLES)
        sound = sound and self.world.time.now - refused > SECOND
        if (
            sound
            and not self._stops(order.symbol, order.leg)
            and self.blind_from is None
            and self._undisturbed(SETTLES)
        ):
            self.fail("an entry fills behind its stop", order.coid)

    def _stops(self, symbol: str, leg: str) -> bool:
        algos = self.world.venue.markets[symbol].algos.values()
        return any(a.leg == leg and a.close_position and a.status == "NEW" for a in algos)

    def disturb(self, *, foreign: bool = False) -> None:
        """Something happened that no bound of ours covers."""
        self.disturbed = self.world.time.now
        if foreign:
            self.foreign_at = self.world.time.now

    def blind(self) -> None:
        """The venue has changed something and told nobody: only a comparison can find it."""
        self.blind_from = self.world.time.now

    def _undisturbed(self, since: int) -> bool:
        now, weather = self.world.time.now, self.world.weather
        return weather.fair and now - max(self.disturbed, weather.last_bad) > since

    def step(self) -> None:
        """After every step of the world."""
        venue = self.world.venue
        if venue.changes != self._changes:
            self._changes = venue.changes
            now = self.world.time.now
            for key, leg in venue.legs.items():
                if leg.qty and not self._stops(*key):
                    self.naked.setdefault(key, now)
                else:
                    self.naked.pop(key, None)
        if self.naked:
            self._look_at_naked()

    def _look_at_naked(self) -> None:
        world = self.world
        process = world.process
        if process is None or process.dead or not process.ready or not world.weather.fair or world.frozen:
            return
        if self.blind_from is not None or world.stream.silent:
            self.disturbed = world.time.now
            return
        free = max(self.disturbed, world.weather.last_bad) + SETTLES
        for (symbol, leg), since in self.naked.items():
            bare = world.time.now - max(since, free)
            if self._hands_off(process, symbol, leg):
                self.naked[symbol, leg] = world.time.now
            elif bare <= NAKED_BOUND:
                continue
            else:
                self._bare(leg, bare)

    def _bare(self, leg: str, bare: int) -> None:
        self.fail("inventory has its leg stop within the bound", f"{leg} for {bare / SECOND:.1f} s")

    def _hands_off(self, process: Process, symbol: str, leg: str) -> bool:
        """Whether the daemon was told to leave the leg alone, or cannot know whose it is."""
        grid = process.machines.desk._state.grids[f"{symbol}-PERP.BINANCE"]
        state = grid.legs[Leg(leg)]
        if str(state.mode) == "manual":
            return True
        return not state.lots and self.foreign_at > 0

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
        elif isinstance(message, m.Reconciled):
            asked = message.asked_ns - self.world.machine.offset_ns
            if self.blind_from is not None and asked > self.blind_from:
                self.blind_from = None
                self.disturb()
        elif isinstance(message, m.VenueTruth):
            for leg in message.legs:
                process.reported[leg.instrument.partition("-")[0], str(leg.leg)] = leg.qty

    # ------------------------------------------------------------------------------------------------- life and death

    def born(self, process: Process) -> None:
        """A new process has restored its state: that of the one before, when nothing was lost."""
        last, self.last_state = self.last_state, None
        if last is not None:
            self._same(process.first.state, last)
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
        self.last_state = process.machines.snapshot() if whole else None
        self.pending.clear()
        if process.bus.answers()["doubled"]:
            self.fail("every command gets exactly one answer", "one got two")
        self.closes.clear()  # what is still on the wire the next process cannot know; the venue refuses the second
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
                if not self._stops(symbol, leg) and not self._hands_off(self.world.process, symbol, leg)
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
        self._same(again.snapshot(), process.machines.snapshot())

    def _same(self, left: bytes, lived: bytes) -> None:
        """The replayed state is the one that was lived, as a new process takes it up."""
        now = new_machines(self.world.config)
        now.restore(lived, ())
        right = now.snapshot()
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


def _difference(left: object, right: object, where: str = "") -> str:
    """The first place in which two snapshots differ: the replayed one first."""
    if isinstance(left, bytes) and isinstance(right, bytes):
        return _difference(msgspec.json.decode(left), msgspec.json.decode(right))
    if isinstance(left, dict) and isinstance(right, dict):
        for key in [*left, *(k for k in right if k not in left)]:
            if left.get(key) != right.get(key):
                return _difference(left.get(key), right.get(key), f"{where}.{key}")
    return f"{where}: {left!r} replayed, {right!r} lived"

"""A small deterministic venue for the desk: orders, legs, stops and money of one instrument over a price path.

Time is virtual: a heap of deliveries. Events reach the desk in the order the venue made them, each after a seeded delay.
Faults are rates in `Faults`; a fault is the venue's doing (a refusal, a cancel by hand, a lost stream event), so the
books that must agree in the end are this venue's.
"""

import heapq
import random
from dataclasses import dataclass, field
from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.core.desk import Desk
from hedgegridd.model import (
    LEGS,
    ZERO,
    Instrument,
    KillState,
    Leg,
    OrderKind,
    OrderStatus,
    Purpose,
    Side,
    TimeInForce,
)
from tests.support.fake_venue_truth import BTC, WALL, truth_of

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
RULES = Instrument(
    id=BTC,
    symbol="BTCUSDT",
    tick=Decimal("0.1"),
    step=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(1000),
    market_max_qty=Decimal(120),
    min_notional=Decimal(5),
)
MAKER, TAKER = Decimal("0.0002"), Decimal("0.0005")


@dataclass
class Faults:
    """What the venue does wrong, and how strict it is."""

    delay_ns: int = 2_000_000  # up to twice this, each way
    partial: float = 0.0
    refuse_entry: float = 0.0
    refuse_exit: float = 0.0
    by_hand: float = 0.0  # an order of ours is cancelled by hand
    lose_fill: float = 0.0  # the stream does not tell; the history does
    stop_needs_position: bool = False
    flat_stop_code: int = -4509
    second_stop_code: int = -4130
    one_stop_only: bool = False
    min_notional: Decimal = ZERO  # of every order, exits too


@dataclass
class Resting:
    order: m.PlaceOrder
    filled: Decimal = ZERO
    venue_id: str = ""


@dataclass
class VLeg:
    qty: Decimal = ZERO
    average: Decimal = ZERO


@dataclass
class FakeVenue:
    """Drives `desk`; `price` is last, mark and book alike (bid and ask one tick around it)."""

    desk: Desk
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    rules: Instrument = RULES
    wallet: Decimal = Decimal(100000)
    price: Decimal = Decimal(40000)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.mono = SECOND
        self.market = WALL
        self.seq = 0
        self.order = 0
        self.heap: list = []
        self.last_delivery = 0
        self.timers: dict[str, int] = {}
        self.watch = ((), ())
        self.legs = {leg: VLeg() for leg in LEGS}
        self.resting: dict[str, Resting] = {}
        self.ids: set[str] = set()
        self.trades: list[tuple[m.Fill, bool]] = []
        self.incomes: list[m.IncomeBooked] = []
        self.said: list[m.Message] = []
        self.answers: dict[int, m.Answer] = {}
        self.places: list[m.PlaceOrder] = []
        self.closes_in_flight = dict.fromkeys(LEGS, 0)
        self.naked_since: dict[Leg, int | None] = dict.fromkeys(LEGS)
        self.worst_naked = 0
        self.envelopes: list[m.Envelope] = []
        self.refuse_next: list[tuple] = []  # (purpose, code[, leg]) of coming orders
        self.fail_truth = 0
        self.deaf: tuple[type, ...] = ()  # kinds of command that never arrive

    # ------------------------------------------------------------------------------------------------- time

    def _push(self, at, kind, what):
        self.order += 1
        heapq.heappush(self.heap, (at, self.order, kind, what))

    def _delay(self):
        return self.random.randint(0, 2 * self.faults.delay_ns)

    def tell(self, message, *, delay=None):
        """To the desk, never overtaking what was told before."""
        at = max(self.last_delivery, self.mono + (self._delay() if delay is None else delay))
        self.last_delivery = at
        self._push(at, "desk", message)

    def run(self, until):
        """Process everything that is due up to a time."""
        while self.heap and self.heap[0][0] <= until:
            at, _, kind, what = heapq.heappop(self.heap)
            self._clock(max(self.mono, at))
            if kind == "desk":
                self.feed(what)
            elif kind == "venue":
                self._act(what)
            elif self.timers.get(what) == at:
                del self.timers[what]
                self.feed(m.Woke(token=what))
        self._clock(max(self.mono, until))

    def _clock(self, mono):
        self.market += mono - self.mono
        self.mono = mono
        for leg in LEGS:
            stop = any(r.order.close_position and r.order.leg is leg for r in self.resting.values())
            if self.legs[leg].qty == ZERO or stop:
                self.naked_since[leg] = None
            else:
                self.naked_since[leg] = self.naked_since[leg] or mono
                self.worst_naked = max(self.worst_naked, mono - self.naked_since[leg])

    def settle(self, limit_s=30):
        """Run until nothing is under way at the venue and the desk says so too."""
        deadline = self.mono + limit_s * SECOND
        while True:
            self.run(self.mono)
            if not any(kind != "timer" for _, _, kind, _ in self.heap) and not self.view().unsettled:
                return
            assert self.mono < deadline, f"seed {self.seed}: not settled: {self.why()}"
            self.run(min(self.heap[0][0] if self.heap else deadline, deadline))

    def why(self):
        """What keeps the desk from settling, for a failing test."""
        state = self.desk.snapshot()
        grid = state.grids[BTC]
        odd = [o for o in grid.book.live.values() if o.status is not OrderStatus.WORKING]
        legs = [(leg, x.lots, x.waits, x.backoffs, x.closing, x.owned) for leg, x in grid.legs.items()]
        return "\n".join(map(str, (odd, legs, state.waiters, state.truth)))

    def feed(self, message):
        """One envelope to the desk, its outputs on their way."""
        self.seq += 1
        env = m.Envelope(
            seq=self.seq, time_ns=WALL + self.mono, mono_ns=self.mono, cause=0, actor="venue", message=message
        )
        self.envelopes.append(env)
        for out in self.desk.handle(env):
            self._take(out)
        return env.seq

    def ask(self, message):
        """Feed a command or query, settle, and return its answer."""
        seq = self.feed(message)
        self.run(self.mono + SECOND // 2)
        return self.answers.get(seq)

    def view(self) -> m.DeskView:
        seq = self.feed(m.GetStatus())
        return self.answers[seq].view

    def _take(self, out):
        self.said.append(out)
        match out:
            case m.WakeAt():
                at = max(out.at_ns, self.mono)
                self.timers[out.token] = at
                self._push(at, "timer", out.token)
            case m.Answer():
                assert out.to not in self.answers, "one answer each"
                self.answers[out.to] = out
            case m.PlaceOrder():
                assert out.client_order_id not in self.ids, "an id was used twice"
                self.ids.add(out.client_order_id)
                self.places.append(out)
                if out.purpose is Purpose.CLOSE:
                    self.closes_in_flight[out.leg] += 1
                    assert self.closes_in_flight[out.leg] == 1, "one close in flight per leg"
                self._push(self.mono + self._delay(), "venue", out)
            case m.CancelOrder() | m.ReadTruth():
                self._push(self.mono + self._delay(), "venue", out)
            case m.WatchPrices():
                self.watch = (out.above, out.below)

    # ------------------------------------------------------------------------------------------------ orders

    def hand(self, leg, qty):
        """Somebody closes a part of the leg at market by hand."""
        order = m.PlaceOrder(
            instrument=BTC,
            leg=leg,
            purpose=Purpose.CLOSE,
            level=0,
            client_order_id=f"web_{len(self.trades)}",
            side=leg.exit_side,
            kind=OrderKind.MARKET,
            time_in_force=TimeInForce.GTC,
            qty=qty,
        )
        self.closes_in_flight[leg] += 1
        self._fill(Resting(order, venue_id="web"), qty, self.price, maker=False)

    def flatten(self, leg, *, tell=True):
        """What a flatten does to the venue: orders go, inventory is closed at market, stops go last."""
        for rest in sorted(self.resting.values(), key=lambda r: r.order.purpose is Purpose.STOP):
            if rest.order.leg is not leg:
                continue
            if rest.order.purpose is Purpose.STOP and self.legs[leg].qty:
                lost, self.faults.lose_fill = self.faults.lose_fill, 0.0 if tell else 1.0
                self.hand(leg, self.legs[leg].qty)
                self.faults.lose_fill = lost
            del self.resting[rest.order.client_order_id]
            self._report(rest, "CANCELED")

    def _act(self, command):
        if isinstance(command, self.deaf):
            return
        if isinstance(command, m.PlaceOrder):
            self._place(command)
        elif isinstance(command, m.CancelOrder):
            self._cancel(command)
        else:
            self._truth(command)

    def _refusal(self, order):
        for index, (purpose, code, *legs) in enumerate(self.refuse_next):
            if purpose is order.purpose and (not legs or order.leg in legs):
                del self.refuse_next[index]
                return code
        leg = self.legs[order.leg]
        if order.purpose is Purpose.ENTRY:
            assert order.qty * order.price >= self.rules.min_notional
            through = order.price >= self.price if order.side is Side.BUY else order.price <= self.price
            if through and order.time_in_force is TimeInForce.GTX:
                return -5022
            return -1001 if self.random.random() < self.faults.refuse_entry else 0
        if order.close_position:
            others = [r for r in self.resting.values() if r.order.close_position and r.order.leg is order.leg]
            if self.faults.one_stop_only and others:
                return self.faults.second_stop_code
            if self.faults.stop_needs_position and leg.qty == ZERO:
                return self.faults.flat_stop_code
        if order.stop_price is not None and (self.price - order.stop_price) * order.leg.sign <= 0:
            return -2021
        if order.qty is not None and order.qty > leg.qty:
            return -2022
        if order.kind is OrderKind.LIMIT and order.qty * order.price < self.faults.min_notional:
            return -4164
        return -1001 if self.random.random() < self.faults.refuse_exit else 0

    def _place(self, order):
        code = self._refusal(order)
        if code:
            self._closed(order)
            self.tell(
                m.OrderRejected(
                    instrument=BTC, client_order_id=order.client_order_id, code=code, reason="refused"
                )
            )
            return
        rest = Resting(order, venue_id=str(len(self.ids)))
        self.resting[order.client_order_id] = rest
        self.tell(
            m.OrderAccepted(
                instrument=BTC,
                client_order_id=order.client_order_id,
                venue_order_id=rest.venue_id,
                algo=order.kind is OrderKind.STOP_MARKET,
                ts_ns=self.market,
            )
        )
        if order.kind is OrderKind.MARKET:
            self._fill(rest, order.qty, self.price, maker=False)
            return
        if self.random.random() < self.faults.by_hand:
            del self.resting[order.client_order_id]
            self._report(rest, "CANCELED")
            return
        self._match()

    def _closed(self, order):
        if order.purpose is Purpose.CLOSE:
            # In flight until the desk has been told: it may send the next one only then.
            self.closes_in_flight[order.leg] -= 1

    def _cancel(self, command):
        rest = self.resting.pop(command.client_order_id, None)
        if rest is None:
            self.tell(
                m.CancelRejected(
                    instrument=BTC,
                    client_order_id=command.client_order_id,
                    code=-2011,
                    reason="unknown order",
                )
            )
            return
        assert command.algo == (rest.order.kind is OrderKind.STOP_MARKET)
        self._report(rest, "CANCELED")

    def _report(self, rest, how):
        self.tell(
            m.OrderClosed(
                instrument=BTC,
                client_order_id=rest.order.client_order_id,
                how=how,
                filled_qty=rest.filled,
                ts_ns=self.market,
            )
        )

    def _fill(self, rest, qty, price, *, maker):
        order = rest.order
        leg = self.legs[order.leg]
        if order.side is order.leg.exit_side:
            qty = min(qty, leg.qty)
            if qty == ZERO:
                self.resting.pop(order.client_order_id, None)
                self._closed(order)
                self._report(rest, "EXPIRED")
                return
            self.wallet += (price - leg.average) * qty * order.leg.sign
            leg.qty -= qty
            leg.average = leg.average if leg.qty else ZERO
        else:
            leg.average = (leg.average * leg.qty + price * qty) / (leg.qty + qty)
            leg.qty += qty
        fee = price * qty * (MAKER if maker else TAKER)
        self.wallet -= fee
        rest.filled += qty
        fill = m.Fill(
            instrument=BTC,
            leg=order.leg,
            client_order_id=order.client_order_id,
            venue_order_id=rest.venue_id,
            trade_id=str(len(self.trades) + 1),
            side=order.side,
            price=price,
            qty=qty,
            commission=fee,
            commission_asset="USDT",
            maker=maker,
            ts_ns=self.market,
            order_filled_qty=rest.filled,
        )
        lost = self.random.random() < self.faults.lose_fill
        self.trades.append((fill, lost))
        if not lost:
            self.tell(fill)
        total = order.qty
        if (total is not None and rest.filled >= total) or (order.close_position and leg.qty == ZERO):
            self.resting.pop(order.client_order_id, None)
            self._closed(order)
            self._report(rest, "FILLED")

    # ------------------------------------------------------------------------------------------------ market

    def start(self, bars=80):
        """Rules, warm-up bars, armed kill switch, a mark: all that trading waits for."""
        self.tell(m.InstrumentReady(instrument=self.rules))
        for _ in range(bars):
            self.bar(warmup=True)
        self.tell(m.KillStateChanged(state=KillState.ARMED, previous=KillState.STARTING))
        self.tell(self.mark())
        self.run(self.mono + SECOND)

    def restart(self, desk):
        """Our process dies and another takes its place: what was on its way to us is lost, what left us is not.

        The state is as of the last message handled, as a snapshot and the journal's tail give it.
        """
        desk.restore(self.desk.snapshot())
        desk.new_session()
        self.desk = desk
        on_the_way = {
            what.trade_id for _, _, kind, what in self.heap if kind == "desk" and isinstance(what, m.Fill)
        }
        self.trades = [(fill, lost or fill.trade_id in on_the_way) for fill, lost in self.trades]
        self.heap = [item for item in self.heap if item[2] == "venue"]
        heapq.heapify(self.heap)
        self.timers.clear()
        self.watch = ((), ())
        self.closes_in_flight = {
            leg: sum(
                kind == "venue"
                and isinstance(x, m.PlaceOrder)
                and x.purpose is Purpose.CLOSE
                and x.leg is leg
                for _, _, kind, x in self.heap
            )
            for leg in LEGS
        }
        self.run(self.mono + SECOND)
        self.start(bars=0)

    def mark(self):
        return m.MarkPrice(
            instrument=BTC,
            market_ns=self.market,
            mark=self.price,
            bid=self.price - self.rules.tick,
            ask=self.price + self.rules.tick,
        )

    def bar(self, *, warmup=False, high=None, low=None):
        self.market += MINUTE if warmup else 0
        self.tell(
            m.BarClosed(
                instrument=BTC,
                open_ns=self.market - MINUTE,
                close_ns=self.market,
                open=self.price,
                high=high or self.price,
                low=low or self.price,
                close=self.price,
                volume=Decimal(1),
                warmup=warmup,
            )
        )

    def move(self, price):
        """The market trades at a price: fills, triggers, watches; a mark follows."""
        self.price = price
        self._match()
        above, below = self.watch
        for level in [x for x in above if price >= x] + [x for x in below if price <= x]:
            above = tuple(x for x in above if x != level)
            below = tuple(x for x in below if x != level)
            self.tell(
                m.PriceCrossed(
                    instrument=BTC,
                    market_ns=self.market,
                    level=level,
                    mark=price,
                    bid=price - self.rules.tick,
                    ask=price + self.rules.tick,
                )
            )
        self.watch = (above, below)
        self.tell(self.mark())

    def _match(self):
        for rest in sorted(self.resting.values(), key=lambda r: (r.order.purpose.value, r.venue_id)):
            order = rest.order
            if order.client_order_id not in self.resting:
                continue
            if order.kind is OrderKind.STOP_MARKET:
                if (self.price - order.stop_price) * order.leg.sign <= 0:
                    self.tell(
                        m.OrderTriggered(
                            instrument=BTC, client_order_id=order.client_order_id, ts_ns=self.market
                        )
                    )
                    qty = order.qty if order.qty is not None else self.legs[order.leg].qty
                    self._fill(rest, qty, self.price, maker=False)
                continue
            through = self.price <= order.price if order.side is Side.BUY else self.price >= order.price
            if not through:
                continue
            left = order.qty - rest.filled
            if self.random.random() < self.faults.partial and left > self.rules.step:
                steps = int(left / self.rules.step)
                left = self.rules.step * self.random.randint(1, steps)
            self._fill(rest, left, order.price, maker=True)

    def minute(self, path):
        """A bar: the prices of the path one after another, then the close."""
        for price in path:
            self.move(price)
            self.run(self.mono + MINUTE // len(path))
        self.bar(high=max(path), low=min(path))
        self.run(self.mono + SECOND // 10)

    def fund(self, rate):
        """A settlement on both legs, booked as one income row that the next truth brings."""
        net = self.legs[Leg.SHORT].qty - self.legs[Leg.LONG].qty
        amount = rate * net * self.price
        self.wallet += amount
        self.income("FUNDING_FEE", amount)

    def transfer(self, amount):
        self.wallet += amount
        self.income("TRANSFER", amount)

    def income(self, kind, amount):
        event = m.IncomeBooked(
            income_id=f"{kind}-{len(self.incomes)}",
            kind=kind,
            asset="USDT",
            amount=amount,
            instrument=BTC if kind == "FUNDING_FEE" else None,
            ts_ns=self.market,
        )
        self.incomes.append(event)
        self.tell(event)

    # ------------------------------------------------------------------------------------------------- truth

    def _truth(self, command):
        if self.fail_truth:
            self.fail_truth -= 1
            self.tell(m.VenueFailed(token=command.token, ambiguous=False, code=-1001, reason="down"))
            return
        cursor = command.trades_from.get(BTC)
        if cursor is not None:
            for fill, lost in self.trades[cursor:]:
                if lost:
                    self.tell(fill)
        self.trades = [(fill, False) for fill, _ in self.trades]
        for income in self.incomes[command.income_from_ms or 0 :]:
            self.tell(income)
        self.tell(truth_of(self, command.token))

    # -------------------------------------------------------------------------------------------- comparisons

    def of(self, leg, purpose):
        return [r for r in self.resting.values() if r.order.leg is leg and r.order.purpose is purpose]

    def check(self):
        """What must hold whenever everything has settled."""
        view = self.view()
        assert not view.unsettled
        assert view.reconciled
        assert abs(view.ledger.wallet_usdt - self.wallet) < Decimal("0.0001"), (
            view.ledger.wallet_usdt,
            self.wallet,
        )
        books = self.answers[self.feed(m.GetOrders())].orders
        assert {o.client_order_id for o in books} == set(self.resting)
        for leg_view in view.instruments[0].legs:
            leg = leg_view.leg
            truth = self.legs[leg]
            assert leg_view.qty == truth.qty, (leg, leg_view.qty, truth.qty)
            if truth.qty:
                assert abs(leg_view.average_entry - truth.average) < Decimal("0.0001")
            covered = sum((r.order.qty - r.filled for r in self.of(leg, Purpose.TAKE_PROFIT)), ZERO)
            bare = truth.qty - covered
            assert bare >= ZERO, (leg, covered, truth.qty)
            assert bare == ZERO or bare * self.price < 2 * self.faults.min_notional, (leg, covered, truth.qty)
            stops = [r for r in self.of(leg, Purpose.STOP) if r.order.close_position]
            assert len(stops) == 1 if truth.qty else len(stops) <= 1, (leg, stops)
        return view

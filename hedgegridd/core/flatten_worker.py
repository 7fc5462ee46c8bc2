"""One instrument's flatten, sans-I/O: what the venue last reported decides what is cancelled and closed next.

A round: read the truth -> cancel the legs' entries and take-profits and close the legs at market at the same time
-> read again. Stops go last, when the venue reports the leg flat. One close in flight per leg; a lost answer is
resolved by client order id before anything is sent twice. A leg is flat when the venue has reported nothing on it
twice, 500 ms apart, or once after the user stream brought the fills that close it. It never gives up.
"""

from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import (
    ZERO,
    Instrument,
    Leg,
    OrderTag,
    Purpose,
    client_order_id,
    parse_client_order_id,
)

FLATTEN_LEVEL = 900  # in client order ids: a close of the flatten, not of the strategy
VERIFY_GAP_NS = 500_000_000
ROUND_NS = 1_000_000_000  # an unanswered cancel does not hold up the next look at the truth for longer
BACKOFF_NS = (100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000)
QUICK_ROUNDS = 6  # looks that follow each other at once; then they back off
OTHERS_CLOSE_NS = 10_000_000_000  # longer than it takes to learn what became of an order without an answer
CANCEL_CHUNK = 10  # as many as the venue's batch cancel takes
ALREADY_GONE = frozenset({-2011, -2013})


class LegWork(msgspec.Struct, kw_only=True):
    """What is known of one leg that is being removed."""

    leg: Leg
    since_ns: int
    flat: bool = False
    attempts: int = 0
    qty: Decimal | None = None  # the venue's last report
    orders: int | None = None  # ditto, stops included
    close_token: str = ""  # the close in flight, "" when none
    close_id: str = ""
    asking: bool = False  # its answer was lost: its fate is being asked for
    missing: int = 0  # times the venue said that it does not know the close
    others_mono_ns: int | None = None  # since when a close of the strategy's is seen under way
    held: Decimal = ZERO  # what the last truth that showed inventory said
    streamed: Decimal = ZERO  # fills the user stream brought since then
    zero_mono_ns: int | None = None  # when the first truth with nothing on the leg was asked
    proof: list[str] = []
    stream_proof: str = ""


class Worker(msgspec.Struct, kw_only=True):
    """The flatten of one instrument; legs may join while it runs."""

    flatten_id: str
    instrument: str
    symbol: str
    epoch: str
    started_mono_ns: int
    legs: dict[Leg, LegWork] = {}
    reading: str = ""  # token of the truth that is being read
    pending: dict[str, int] = {}  # tokens of cancels under way -> monotonic time they were sent
    failures: int = 0  # in a row, of calls that change something or of looks
    rounds: int = 0  # looks at the truth since the last leg joined
    cancelled: set[str] = set()
    closed: dict[str, Decimal] = {}
    seq: int = 0
    journal_late: bool = False  # its first calls left before its record was on disk

    @property
    def done(self) -> bool:
        """True when every leg is verified flat."""
        return all(work.flat for work in self.legs.values())

    # ------------------------------------------------------------------------------------------------- the start

    def begin(self, legs: tuple[Leg, ...], origin: str, env: m.Envelope) -> list[m.Message]:
        """Take on legs (again); the latch goes out first, then the first cancels and the first look.

        `origin` is the trip that asks, if one does. Legs that are being removed already become that trip's, for rearm
        to release; without a trip they stay whose they were.
        """
        fresh = tuple(leg for leg in legs if leg not in self.legs or self.legs[leg].flat)
        joined = tuple(leg for leg in legs if leg not in fresh)
        taken_over = [self._latch(joined, origin)] if joined and origin else []
        if not fresh:
            return taken_over
        self.rounds = 0
        for leg in fresh:
            self.legs[leg] = LegWork(leg=leg, since_ns=env.time_ns)
        out: list[m.Message] = [
            self._latch(fresh, origin),
            *taken_over,
            self._say(env, None, "entries refused"),
        ]
        if len([w for w in self.legs.values() if not w.flat]) == len(Leg):
            # Both legs go: one call removes every ordinary order of the symbol; stops are not touched by it.
            out.append(m.CancelRaw(token=self._token("A", env), instrument=self.instrument, all_orders=True))
        return [*out, *self._read(env)]

    def _latch(self, legs: tuple[Leg, ...], origin: str) -> m.Message:
        return m.LegsLatched(instrument=self.instrument, legs=legs, flatten_id=self.flatten_id, origin=origin)

    # --------------------------------------------------------------------------------------------------- messages

    def on_truth(self, truth: m.VenueTruth, env: m.Envelope, rules: Instrument | None) -> list[m.Message]:
        """The venue's report: act on what is really there."""
        if truth.token != self.reading:
            return []
        self.reading = ""
        out: list[m.Message] = []
        waiting = False
        for work in self.legs.values():
            if not work.flat:
                out += self._leg(work, truth, env, rules)
                waiting = waiting or not work.flat
        if not waiting:
            return out
        return [*out, *self._next(env)]

    def on_done(self, done: m.VenueDone, env: m.Envelope) -> list[m.Message]:
        """A call of ours succeeded."""
        if self.pending.pop(done.token, None) is not None:
            self.failures = 0
        for work in self.legs.values():
            if work.close_token == done.token:
                return self._close_resolved(work, done, env)
        return self._next(env)

    def on_failed(self, failed: m.VenueFailed, env: m.Envelope) -> list[m.Message]:
        """A call of ours failed: what is certain is dropped, what is not is asked for."""
        if failed.token == self.reading:
            self.reading = ""
            return self._again(env, failed.retry_after_s, f"venue not read: {_said(failed)}")
        if failed.token in self.pending:
            del self.pending[failed.token]
            return self._again(env, failed.retry_after_s, f"cancel failed: {_said(failed)}")
        for work in self.legs.values():
            if work.close_token == failed.token:
                return self._close_failed(work, failed, env)
        return []

    def on_fill(self, fill: m.Fill, env: m.Envelope) -> list[m.Message]:
        """The user stream brought a fill: it may be what proves the leg flat."""
        work = self.legs.get(fill.leg)
        if work is None or work.flat or fill.side is not fill.leg.exit_side:
            return []
        work.streamed += fill.qty
        self.closed[fill.leg.value] = self.closed.get(fill.leg.value, ZERO) + fill.qty
        if not work.held or work.streamed < work.held:
            return []
        work.stream_proof = f"{_utc(env.time_ns)} user stream {fill.leg.value} 0"
        if work.zero_mono_ns is None:
            return self._next(env)
        # The query was first, the stream is late: together they are the proof, there is nothing to wait for.
        work.proof.insert(0, work.stream_proof)
        return [*self._proven(work, env), *self._next(env)]

    def on_journal_late(self, why: str, env: m.Envelope) -> list[m.Message]:
        """The record of this flatten was not on disk when it began to act: said once, and in the answer."""
        self.journal_late = True
        return [self._say(env, None, f"acting before it is on disk: the journal is {why}")]

    def on_wake(self, env: m.Envelope) -> list[m.Message]:
        """The pause between two looks is over."""
        return [] if self.done else self._read(env)

    # ------------------------------------------------------------------------------------------------- one leg

    def _leg(
        self, work: LegWork, truth: m.VenueTruth, env: m.Envelope, rules: Instrument | None
    ) -> list[m.Message]:
        reported = [x for x in truth.legs if x.instrument == self.instrument and x.leg is work.leg]
        if not reported:  # no figure for the leg is not a zero
            return []
        work.qty = reported[0].qty
        orders = [x for x in truth.orders if x.instrument == self.instrument and x.leg is work.leg]
        work.orders = len(orders)
        stops = [x for x in orders if x.algo]
        plain = [x for x in orders if not x.algo]
        flying = [x for x in truth.in_flight if x.startswith(f"{self.symbol}-{work.leg.value[0]}")]
        out = self._cancel([x.client_order_id for x in plain], env, algo=False)
        if work.qty > 0:
            work.zero_mono_ns = None
            work.held = work.qty
            work.streamed = ZERO
            work.stream_proof = ""
            if self._closed_by_another(work, flying, env):
                return out
            return [*out, *self._close(work, env, rules)]
        if plain or flying or work.close_token:
            work.zero_mono_ns = None
            return out
        if stops:
            work.zero_mono_ns = None
            out.append(self._say(env, work.leg, f"{work.leg.value} flat, removing {len(stops)} stops"))
            return [*out, *self._cancel([x.client_order_id for x in stops], env, algo=True)]
        return [*out, *self._verify(work, truth, env)]

    def _closed_by_another(self, work: LegWork, flying: list[str], env: m.Envelope) -> bool:
        """Whether a close that the strategy sent before the latch may still shrink the leg: one at a time.

        It is waited for until its fate is known; not for ever, since a leg must not stay open for a fault of our books.
        """
        tags = [parse_client_order_id(name) for name in flying]
        if not any(tag and tag.purpose is Purpose.CLOSE and tag.level != FLATTEN_LEVEL for tag in tags):
            work.others_mono_ns = None
            return False
        if work.others_mono_ns is None:
            work.others_mono_ns = env.mono_ns
        return env.mono_ns - work.others_mono_ns < OTHERS_CLOSE_NS

    def _verify(self, work: LegWork, truth: m.VenueTruth, env: m.Envelope) -> list[m.Message]:
        query = f"{_utc(truth.answered_ns)} query {work.leg.value} 0, orders 0, algo 0"
        work.proof.append(query)
        if work.stream_proof:
            work.proof.insert(0, work.stream_proof)
        elif work.zero_mono_ns is None:
            work.zero_mono_ns = truth.asked_mono_ns
            work.proof = [query]
            return []
        elif truth.asked_mono_ns - work.zero_mono_ns < VERIFY_GAP_NS:
            work.proof.pop()
            return []
        return self._proven(work, env)

    def _proven(self, work: LegWork, env: m.Envelope) -> list[m.Message]:
        work.flat = True
        return [
            self._say(env, work.leg, f"{work.leg.value} flat, verified"),
            m.LegFlat(
                flatten_id=self.flatten_id,
                instrument=self.instrument,
                leg=work.leg,
                proof=tuple(work.proof),
            ),
        ]

    def _close(self, work: LegWork, env: m.Envelope, rules: Instrument | None) -> list[m.Message]:
        assert work.qty is not None
        if work.close_token:
            return []
        qty = work.qty if rules is None else min(work.qty, rules.floor_qty(rules.market_max_qty))
        self.seq += 1
        work.attempts += 1
        work.close_token = self._token("C", env, pending=False)
        work.missing = 0
        work.close_id = client_order_id(
            OrderTag(self.symbol, work.leg, FLATTEN_LEVEL, Purpose.CLOSE, self.epoch, self._order_seq(env))
        )
        return [
            self._say(env, work.leg, f"closing {work.leg.value} {qty}, attempt {work.attempts}"),
            m.CloseRaw(
                token=work.close_token,
                instrument=self.instrument,
                leg=work.leg,
                qty=qty,
                client_order_id=work.close_id,
            ),
        ]

    def _close_resolved(self, work: LegWork, done: m.VenueDone, env: m.Envelope) -> list[m.Message]:
        if done.status in ("NEW", "PARTIALLY_FILLED"):  # a market order that still works: look again at it
            work.asking = True
            return [self._wake(env, BACKOFF_NS[0], f"ask:{work.leg.value}")]
        work.close_token, work.asking = "", False
        self.failures = 0
        price = f" @{done.average_price}" if done.average_price else ""
        return [
            self._say(env, work.leg, f"{work.leg.value} close {done.status} {done.filled_qty or ''}{price}"),
            *self._next(env),
        ]

    def _close_failed(self, work: LegWork, failed: m.VenueFailed, env: m.Envelope) -> list[m.Message]:
        said = self._say(env, work.leg, f"close {work.leg.value}: {failed.code} {failed.reason}")
        if work.asking and failed.code in ALREADY_GONE:
            work.missing += 1
            if work.missing >= 2:  # asked twice, never arrived: only now may it be sent again
                work.close_token, work.asking = "", False
                return [said, *self._again(env, 0, "the close never arrived")]
            return [said, self._wake(env, VERIFY_GAP_NS, f"ask:{work.leg.value}")]
        if failed.ambiguous or work.asking:
            work.asking = True
            pause = max(BACKOFF_NS[1], int(failed.retry_after_s * 1e9))
            return [said, self._wake(env, pause, f"ask:{work.leg.value}")]
        work.close_token = ""
        return [said, *self._again(env, failed.retry_after_s, "close refused")]

    def on_ask(self, leg: Leg, env: m.Envelope) -> list[m.Message]:
        """Ask the venue what became of the leg's close."""
        work = self.legs.get(leg)
        if work is None or not work.close_token or not work.asking:
            return []
        work.close_token = self._token("Q", env, pending=False)
        return [m.AskOrder(token=work.close_token, instrument=self.instrument, client_order_id=work.close_id)]

    # ------------------------------------------------------------------------------------------------- the round

    def _cancel(self, ids: list[str], env: m.Envelope, *, algo: bool) -> list[m.Message]:
        self.cancelled.update(ids)
        return [
            m.CancelRaw(
                token=self._token("X", env),
                instrument=self.instrument,
                client_order_ids=tuple(ids[at : at + CANCEL_CHUNK]),
                algo=algo,
            )
            for at in range(0, len(ids), CANCEL_CHUNK)
        ]

    def _next(self, env: m.Envelope) -> list[m.Message]:
        """Look again when nothing is under way; while something is, at the latest when the round is over."""
        if self.done or self.reading:
            return []
        late = [token for token, sent in self.pending.items() if env.mono_ns - sent >= ROUND_NS]
        for token in late:
            del self.pending[token]
        if self.pending or any(w.close_token for w in self.legs.values()):
            return [self._wake(env, ROUND_NS, "read")]
        zeros = [w.zero_mono_ns for w in self.legs.values() if not w.flat]
        known = [zero for zero in zeros if zero is not None]
        if known and len(known) == len(zeros):
            return [self._wake(env, max(known) + VERIFY_GAP_NS - env.mono_ns, "read")]
        self.rounds += 1
        if self.rounds > QUICK_ROUNDS:  # something does not go away: go on, but do not hammer the venue
            pause = BACKOFF_NS[min(self.rounds - QUICK_ROUNDS, len(BACKOFF_NS)) - 1]
            return [self._wake(env, pause, "read")]
        return self._read(env)

    def _again(self, env: m.Envelope, retry_after_s: float, why: str) -> list[m.Message]:
        pause = max(BACKOFF_NS[min(self.failures, len(BACKOFF_NS) - 1)], int(retry_after_s * 1e9))
        self.failures += 1
        return [self._say(env, None, why), self._wake(env, pause, "read")]

    def _read(self, env: m.Envelope) -> list[m.Message]:
        if self.reading:
            return []
        self.reading = self._token("R", env, pending=False)
        return [m.ReadTruth(token=self.reading, instruments=(self.instrument,), history=False)]

    def _wake(self, env: m.Envelope, after_ns: int, what: str) -> m.WakeAt:
        return m.WakeAt(at_ns=env.mono_ns + max(after_ns, 1), token=f"flatten|{self.instrument}|{what}")

    def _token(self, kind: str, env: m.Envelope, *, pending: bool = True) -> str:
        self.seq += 1
        token = f"{self.flatten_id}|{self.instrument}|{kind}{self.seq}"
        if pending:
            self.pending[token] = env.mono_ns
        return token

    def _order_seq(self, env: m.Envelope) -> int:
        # The envelope's wall time in ms keeps ids unique over restarts and lost state; 36^7 ms are 2.4 years.
        return (env.time_ns // 1_000_000 + self.seq) % 36**7

    def _say(self, env: m.Envelope, leg: Leg | None, what: str) -> m.FlattenProgress:
        return m.FlattenProgress(
            flatten_id=self.flatten_id,
            instrument=self.instrument,
            leg=leg,
            after_s=seconds(env.mono_ns - self.started_mono_ns),
            what=what,
        )


def seconds(nanos: int) -> Decimal:
    """Nanoseconds as seconds with milliseconds."""
    return (Decimal(nanos) / 1_000_000_000).quantize(Decimal("0.001"))


def _utc(time_ns: int) -> str:
    """Time of day in UTC with milliseconds, from wall nanoseconds."""
    ms = time_ns // 1_000_000
    return f"{ms // 3_600_000 % 24:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _said(failed: m.VenueFailed) -> str:
    return f"{failed.code} {failed.reason}" if failed.code else failed.reason

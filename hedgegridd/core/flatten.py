"""Flatten: one procedure, whoever asks (operator, kill switch, shutdown, mode panic); spec/3-safety.md.

The machine keeps one `Worker` per instrument and the askers who wait for legs. A second flatten joins the running
one. An asker is answered when all its legs are verified flat, or at its deadline with what is left; the work goes
on past the deadline.
"""

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.flatten_worker import Worker, seconds
from hedgegridd.model import ZERO, Instrument, Leg

ASKERS_MAX = 1_000  # who wait at once; what they asked for goes on without them all the same


class Asker(msgspec.Struct, kw_only=True):
    """Who waits for which legs, since when."""

    to: int
    flatten_id: str
    origin: str
    legs: tuple[tuple[str, Leg], ...]
    started_mono_ns: int
    answered: bool = False


class FlattenState(msgspec.Struct, kw_only=True):
    """What must survive a restart: legs whose removal was not verified, and for whom."""

    running: list[tuple[str, str, tuple[Leg, ...], str]] = []  # flatten id, instrument, legs, origin


class Flattener:
    """The machine. `instruments` maps ids to venue symbols; all of them is what "no instrument" means."""

    def __init__(self, instruments: dict[str, str], epoch: str) -> None:
        self._symbols = instruments
        self._epoch = epoch
        self._rules: dict[str, Instrument] = {}
        self._workers: dict[str, Worker] = {}
        self._askers: list[Asker] = []
        self._restored: list[tuple[str, str, tuple[Leg, ...], str]] = []

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> FlattenState:
        """Legs that are still being removed."""
        running = list(self._restored)
        for asker in self._askers:
            open_legs: dict[str, list[Leg]] = {}
            for instrument, leg in asker.legs:
                if not self._workers[instrument].legs[leg].flat:
                    open_legs.setdefault(instrument, []).append(leg)
            running += [(asker.flatten_id, name, tuple(x), asker.origin) for name, x in open_legs.items()]
        return FlattenState(running=running)

    def restore(self, state: FlattenState) -> None:
        """Take up what was running; it goes on when the venue is up, and from the start: no answer comes any more."""
        self._workers.clear()
        self._askers.clear()
        self._restored = [item for item in state.running if item[1] in self._symbols]

    # --------------------------------------------------------------------------------------------------- messages

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.Flatten():
                return self._flatten(env, message)
            case m.VenueTruth():
                worker = self._owner(message.token)
                rules = self._rules.get(worker.instrument) if worker else None
                out = worker.on_truth(message, env, rules) if worker else []
            case m.VenueDone():
                worker = self._owner(message.token)
                out = worker.on_done(message, env) if worker else []
            case m.VenueFailed():
                worker = self._owner(message.token)
                out = worker.on_failed(message, env) if worker else []
            case m.Fill():
                running = self._workers.get(message.instrument)
                out = running.on_fill(message, env) if running else []
            case m.Woke():
                return self._woke(env, message.token)
            case m.InstrumentReady():
                self._rules[message.instrument.id] = message.instrument
                return []
            case m.VenueUp():
                return self._resume(env)
            case m.JournalLate():
                late = [w for w in self._workers.values() if w.flatten_id == message.action_id]
                return [said for w in late for said in w.on_journal_late(message.detail, env)]
            case m.GetFlattens():
                return [self._view(env.seq)]
            case _:
                raise TypeError(f"flatten has no row for {type(message).__name__}")
        return [*out, *self._settle(env)]

    def _flatten(self, env: m.Envelope, order: m.Flatten) -> list[m.Message]:
        if order.instrument is not None and order.instrument not in self._symbols:
            return [m.Refused(to=env.seq, reason=f"instrument {order.instrument!r} is not traded here")]
        if not order.legs:
            return [m.Refused(to=env.seq, reason="legs must name long, short or both")]
        names = (order.instrument,) if order.instrument else tuple(self._symbols)
        if refused := self._too_many(env, order, names):
            return refused
        flatten_id = f"F-{env.seq}"
        out: list[m.Message] = []
        for name in names:
            out += self._worker(name, flatten_id, env).begin(order.legs, order.origin, env)
        self._askers.append(
            Asker(
                to=env.seq,
                flatten_id=flatten_id,
                origin=order.origin,
                legs=tuple((name, leg) for name in names for leg in order.legs),
                started_mono_ns=env.mono_ns,
            )
        )
        out.append(m.WakeAt(at_ns=env.mono_ns + int(order.deadline_s * 1e9), token=f"deadline|{flatten_id}|"))
        return out

    def _too_many(self, env: m.Envelope, order: m.Flatten, names: tuple[str, ...]) -> list[m.Message]:
        """Refuse to wait for what runs anyway when very many wait already; what does not run yet is never refused.

        A trip is taken on as well: nobody but its own `FlattenFinished` can tell it that it is done.
        """
        legs = [(name, leg) for name in names for leg in order.legs]
        running = all(
            name in self._workers
            and leg in self._workers[name].legs
            and not self._workers[name].legs[leg].flat
            for name, leg in legs
        )
        if len(self._askers) < ASKERS_MAX or order.origin or not running:
            return []
        ids = ", ".join(dict.fromkeys(self._workers[name].flatten_id for name in names))
        reason = f"{ASKERS_MAX} wait already; these legs are being flattened by {ids}, which goes on"
        return [m.Refused(to=env.seq, reason=reason, accepted=("status",))]

    def _resume(self, env: m.Envelope) -> list[m.Message]:
        restored, self._restored = self._restored, []
        out: list[m.Message] = []
        for flatten_id, name, legs, origin in restored:
            out += self._worker(name, flatten_id, env).begin(legs, origin, env)
            self._askers.append(
                Asker(
                    to=0,
                    flatten_id=flatten_id,
                    origin=origin,
                    legs=tuple((name, leg) for leg in legs),
                    started_mono_ns=env.mono_ns,
                    answered=True,  # its asker is gone with the process
                )
            )
        return out

    def _woke(self, env: m.Envelope, token: str) -> list[m.Message]:
        kind, name, what = token.split("|")
        if kind == "deadline":
            out: list[m.Message] = []
            for asker in self._askers:
                if asker.flatten_id == name and not asker.answered:
                    asker.answered = True
                    out.append(self._answer(asker, env, verified=False))
            return out
        worker = self._workers.get(name)
        if worker is None:
            return []
        if what.startswith("ask:"):
            return worker.on_ask(Leg(what[4:]), env)
        return worker.on_wake(env)

    # ---------------------------------------------------------------------------------------------------- answers

    def _settle(self, env: m.Envelope) -> list[m.Message]:
        """Answer whoever's legs are all flat now."""
        out: list[m.Message] = []
        for asker in list(self._askers):
            if not all(self._workers[name].legs[leg].flat for name, leg in asker.legs):
                continue
            self._askers.remove(asker)
            after_s = seconds(env.mono_ns - asker.started_mono_ns)
            # A trip is done when all that was asked for it is: after a restart single legs are asked for as well.
            more = any(other.origin == asker.origin for other in self._askers)
            origin = "" if more else asker.origin
            out.append(m.FlattenFinished(flatten_id=asker.flatten_id, origin=origin, after_s=after_s))
            if not asker.answered:
                out.append(self._answer(asker, env, verified=True))
        return out

    def _answer(self, asker: Asker, env: m.Envelope, *, verified: bool) -> m.FlattenAnswer:
        closed: dict[str, str] = {}
        residuals: dict[str, str] = {}
        proof: list[str] = []
        residual_orders = cancelled = 0
        for name in dict.fromkeys(name for name, _ in asker.legs):
            cancelled += len(self._workers[name].cancelled)
        for name, leg in asker.legs:
            worker = self._workers[name]
            work = worker.legs[leg]
            key = f"{name}-{leg.value}"
            closed[key] = str(worker.closed.get(leg.value, ZERO))
            proof += work.proof
            if not work.flat:
                residuals[key] = "unknown" if work.qty is None else str(work.qty)
                residual_orders += work.orders or 0
        return m.FlattenAnswer(
            to=asker.to,
            flatten_id=asker.flatten_id,
            verified=verified,
            after_s=seconds(env.mono_ns - asker.started_mono_ns),
            cancelled_orders=cancelled,
            closed=closed,
            residuals=residuals,
            residual_orders=residual_orders,
            proof=tuple(proof) if verified else (),
            journal_late=any(self._workers[name].journal_late for name, _ in asker.legs),
        )

    def _view(self, to: int) -> m.FlattensAnswer:
        views = [
            m.FlattenView(
                flatten_id=worker.flatten_id,
                instrument=worker.instrument,
                leg=work.leg,
                state="flat" if work.flat else "removing",
                attempts=work.attempts,
                residual_qty=work.qty,
                residual_orders=work.orders,
                since_ns=work.since_ns,
            )
            for worker in self._workers.values()
            for work in worker.legs.values()
        ]
        return m.FlattensAnswer(to=to, flattens=tuple(views))

    # ---------------------------------------------------------------------------------------------------- workers

    def _owner(self, token: str) -> Worker | None:
        """The worker whose call `token` was; None for other machines' tokens and for calls of an earlier worker."""
        flatten_id, _, rest = token.partition("|")
        worker = self._workers.get(rest.partition("|")[0])
        return worker if worker is not None and worker.flatten_id == flatten_id else None

    def _worker(self, name: str, flatten_id: str, env: m.Envelope) -> Worker:
        worker = self._workers.get(name)
        if worker is None or worker.done:
            worker = Worker(
                flatten_id=flatten_id,
                instrument=name,
                symbol=self._symbols[name],
                epoch=self._epoch,
                started_mono_ns=env.mono_ns,
                # Legs that are flat already stay so for an asker who still waits for another instrument.
                legs=worker.legs if worker else {},
            )
            self._workers[name] = worker
        return worker

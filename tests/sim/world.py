"""One run of one plan: venue, weather, machine, disk and the lives of the daemon, step by step under the oracle."""

import random
from collections import Counter, deque
from decimal import Decimal
from functools import partial

from hedgegridd import messages as m
from hedgegridd.model import LEGS, Leg, LegMode
from tests.sim.answers import Answers
from tests.sim.journal import HUNG_NS, Disk
from tests.sim.loop import SECOND, Machine, Time
from tests.sim.market import Market
from tests.sim.network import Stream, Weather
from tests.sim.oracle import Oracle
from tests.sim.plan import Plan, Step
from tests.sim.process import Process
from tests.sim.settle import Settling
from tests.sim.venue import WALL_NS, Rules, Venue

D = Decimal
STEPS_MAX = 2_000_000
ASK_S = 90.0
EVENTS_MIN = 500  # of the venue, in each seed


class World:
    """Everything of a run. `run` returns when the plan is over, or raises the oracle's `Violation`."""

    def __init__(self, plan: Plan, *, trace: int = 0) -> None:
        self.plan = plan
        self.config = plan.config
        self.rng = random.Random(f"run {plan.seed}")
        self.time = Time()
        self.trace: deque[str] | None = deque(maxlen=trace) if trace else None
        self.machine = Machine(self.time, WALL_NS)
        self.disk = Disk()
        self.weather = Weather(self.time, self.rng)
        rules = [Rules(symbol=grid.symbol) for grid in plan.config.grid]
        self.venue = Venue(self.time, self.rng, rules, D(40000), plan.manners)
        self.answers = Answers(self.venue)
        self.stream = Stream(self.time, self.rng, self.weather, self.venue)
        self.process: Process | None = None
        self.frozen = False
        self.traps: list[
            tuple[str, int, int]
        ] = []  # kind of record, records and requests until death, time down
        self.counts: Counter[str] = Counter()
        self.lives = 0
        self.oracle = Oracle(self)
        self.venue.on_fill = self.oracle.filled
        market_rng = random.Random(f"market {plan.seed}")
        self.markets = [
            Market(self, market_rng, symbol=r.symbol, volatility_bps=plan.volatility_bps, busy=plan.busy)
            for r in rules
        ]
        self.market = self.markets[0]
        self.settling = Settling(self)
        self._mono_base = 10**12

    # ------------------------------------------------------------------------------------------------- the run

    def run(self) -> None:
        """To the end of the plan."""
        time, plan = self.time, self.plan
        for step in plan.steps:
            time.at(step.at, self._do, step)
        time.at(plan.fair_at, self.settling.begin)
        self.start()
        count = 0
        while True:
            process = self.process
            if process is not None and process.loop.ready and not process.dead:
                process.run()
                if process.dead:
                    self._bury(process)
            else:
                at = time.next_at()
                if at is None or at > plan.end_at:
                    break
                time.step()
            self.oracle.step()
            count += 1
            assert count < STEPS_MAX, "a run does not end"
        self.counts["steps"] = count
        self.settling.end()

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.time.now / SECOND:10.4f} {text}")

    # ------------------------------------------------------------------------------------------------- lives

    def start(self) -> None:
        """A new process begins, as systemd would have it."""
        if self.process is not None and not self.process.dead:
            return
        self.lives += 1
        self.note(f"-- start {self.lives}")
        self.process = Process(self, self._mono_base)
        self.oracle.born(self.process)

    def _bury(self, process: Process) -> None:
        """It is dead: what was not durable is lost, as far as the disk happened not to write it."""
        journal = process.journal
        self.note(f"-- dies, records {journal.position}, durable {journal.durable_position}")
        handled = journal.position - process.unhandled
        kept = journal.position
        if not process.clean:  # half of the time all that was handled has reached the disk
            whole = self.rng.random() < 0.5
            kept = handled if whole else self.rng.randint(journal.durable_position, journal.position)
            if self._torn:  # all that the disk did not say it had
                kept = journal.durable_position
        self.oracle.died(process, whole=kept == handled)
        self.disk.cut(kept)
        if self.disk.snapshot is not None and self.disk.snapshot.position > len(self.disk.lines):
            raise AssertionError("a snapshot outlives its journal")
        self.disk.broken = False
        reboot, down = self._down
        self._torn = False
        if reboot:
            self._mono_base = self.rng.randint(10**9, 10**12)
        self.time.after(down, self.start)

    _down: tuple[bool, int] = (False, 3 * SECOND)
    _torn = False

    # ------------------------------------------------------------------------------------------------- steps

    def _do(self, step: Step) -> None:
        if self.time.now >= self.plan.fair_at and step.kind != "command":
            return
        self.note(f"== {step.kind} {step.args}")
        self.trouble()
        self.counts[f"step {step.kind}"] += 1
        getattr(self, f"_{step.kind}")(*step.args)

    def trouble(self) -> None:
        """Something is wrong or may be: the bounds of the oracle begin anew, the daemon's watch looks more often."""
        self.oracle.disturb()
        if self.process is not None and not self.process.dead:
            self.process.call(self.process.trouble.set)

    def _weather(self, kind: str, rate: float, length: int) -> None:
        if kind == "slow":
            self.weather.slow = True
            self.time.after(length, self._calm)
            return
        self.weather.begin(kind, rate)
        if kind == "down":
            self._stream("drop")
        self.time.after(length, self.weather.end, kind)

    def _calm(self) -> None:
        self.weather.slow = False
        self.weather.last_bad = self.time.now

    def _stream(self, how: str) -> None:
        if self.process is None or self.process.dead:
            return
        if how == "silent":
            self.stream.silent = True
        else:
            self.process.connection.drop(dead=how == "dead")

    def _node_end(self, _length: int) -> None:
        if self.process is not None and not self.process.dead:
            self.process.connection.end()

    def _freeze(self, length: int) -> None:
        self.frozen = True
        self.time.after(length, self.thaw)

    def thaw(self) -> None:
        """Market data flow again."""
        self.frozen = False
        self.oracle.disturb()

    def _disk(self, how: str, length: int) -> None:
        if how == "broken":
            self.disk.broken = True
            return
        self.disk.commit_ns = 30_000_000 if how == "slow" else HUNG_NS
        self.time.after(length, self.heal_disk)

    def heal_disk(self) -> None:
        """Commits are quick again."""
        self.disk.commit_ns = 300_000
        self.oracle.disturb()

    def _clock(self, jump_ms: int, length: int) -> None:
        self.set_clock(jump_ms)
        self.time.after(length, self.set_clock, 0)

    def set_clock(self, off_ms: int) -> None:
        """The machine's wall clock is set."""
        self.machine.set_off(off_ms * 1_000_000)
        self.trouble()

    def _crash(self, fuse: int, down: int, torn: bool = False) -> None:
        if self.process is not None and not self.process.dead:
            self.process.fuse = fuse
            self._down = (self.rng.random() < 0.3, down)
            self._torn = torn

    def _aim(self, kind: str, target: str, count: int, length: int) -> None:
        self.time.after(length, self.weather.unaim, self.weather.aim(kind, target, count))

    def _trap(self, name: str, fuse: int, down: int) -> None:
        self.traps.append((name, fuse, down))

    def sprung(self, name: str) -> int:
        """A record of that kind was written: the fuse that a trap for it lights; 0 for none."""
        for trap in self.traps:
            if trap[0] == name:
                self.traps.remove(trap)
                self._down = (self.rng.random() < 0.3, trap[2])
                return trap[1]
        return 0

    @property
    def events(self) -> int:
        """Of the venue, so far: user-stream messages and requests processed."""
        return self.venue.events + self.counts["requests"]

    def _encore(self, *scene: tuple[int, str, tuple]) -> None:
        """One scene more, when little has happened."""
        if self.events < EVENTS_MIN:
            for at, kind, args in scene:
                self.time.at(at, self._do, Step(at, kind, args))

    def _ready(self) -> None:
        """An operator puts everything back, so that there is something to disturb."""
        for name in ("rearm", "rearm_leg", "resume", "start", "normal", "full"):
            self._command(name, "LONG", 0.0)

    def _stop(self, down: int) -> None:
        process = self.process
        if process is not None and not process.dead and process.ready and not process.stopping:
            self._down = (False, down)
            process.call(process.loop.spawn, process.stop_in_order())

    def _snapshot(self) -> None:
        if self.process is not None and not self.process.dead:
            self.process.call(self.process.save)

    def _jump(self, bps: int) -> None:
        self.market.move(bps)

    def _venue(self, kind: str, side: str, number: float) -> None:
        venue, symbol = self.venue, self.market.symbol
        market, leg = venue.markets[symbol], venue.legs[symbol, side]
        ours = list(market.orders.values())
        step = market.rules.step
        part = max(leg.qty * D(round(number * 100)) / 100 // step * step, ZERO_STEP)
        self.oracle.disturb(foreign=True)
        match kind:
            case "adl":
                venue.force_close(symbol, side, "adl_autoclose", D(round(number, 2)))
            case "liquidate":
                venue.force_close(symbol, side, "autoclose-")
            case "expire" | "hand_cancel" if ours:
                order = ours[int(number * len(ours))]
                if kind == "expire":
                    venue.expire(order)
                else:
                    venue.cancel({"origClientOrderId": order.coid})
            case "hand_close":
                venue.hand_trade(symbol, side, part, opens=False)
            case "hand_open":
                self.oracle.foreign[side] += D("0.003")
                venue.hand_trade(symbol, side, D("0.003"), opens=True)
            case "hand_order":
                away = D("0.98") if side == "LONG" else D("1.02")
                self.oracle.foreign[side] += D("0.003")
                venue.hand_order(symbol, side, market.price * away // D("0.1") * D("0.1"), D("0.003"))
            case "funding":
                venue.fund(symbol, D(round(number * 20 - 10)) / 10000)
            case "transfer":
                venue.book_income("TRANSFER", D(round(number * 400 - 200)))
            case "drop_algo" if market.algos:
                algos = list(market.algos.values())
                venue.drop_algo(algos[int(number * len(algos))], silent=number < 0.3)
                if number < 0.3:
                    self.oracle.stops.blind_from = self.time.now
            case _:
                pass

    def _command(self, name: str, leg: str, number: float) -> None:
        process = self.process
        if process is None or process.dead or process.stopping:
            return
        side = Leg(leg)
        commands: dict[str, m.Message] = {
            "pause": m.PauseEntries(reason="news"),
            "resume": m.ResumeEntries(reason="over"),
            "full": m.SetThrottle(throttle=D(1)),
            "throttle": m.SetThrottle(throttle=D(round(number, 1))),
            "stop": m.StopTrading(),
            "start": m.StartTrading(),
            "mode": m.SetMode(leg=side, mode=list(LegMode)[int(number * 5)]),
            "normal": m.SetMode(leg=None, mode=LegMode.NORMAL),
            "flatten": m.Flatten(legs=LEGS if number < 0.5 else (side,), reason="operator"),
            "kill": m.Kill(reason="operator", action=(None, "halt", "flatten")[int(number * 3)]),
            "kill_leg": m.Kill(
                reason="operator",
                action=("halt", "flatten")[int(number * 2)],
                instrument=self.market.instrument,
                legs=(side,) if number < 0.7 else (),
            ),
            "rearm_leg": m.Rearm(reason="all is well", instrument=self.market.instrument),
            "trim": m.TrimLeg(
                instrument=self.market.instrument,
                leg=side,
                share=D(round(number, 2)) or D(1),
                reason="operator",
            ),
            "rearm": m.Rearm(reason="all is well"),
            "reconcile": m.Reconcile(cause="operator"),
            "status": m.GetStatus(),
        }
        self.command(commands[name])

    def command(self, command: m.Message) -> None:
        """An operator asks for something."""
        process = self.process
        if process is not None and not process.dead and not process.stopping:
            process.call(self._ask, process, command)

    def _ask(self, process: Process, command: m.Message) -> None:
        seq = process.bus.next_seq
        if isinstance(command, m.Rearm):
            process.rearm_asked = True
        process.ask(command, partial(self._answered, seq, type(command).__name__), ASK_S)
        self.oracle.asked(seq, type(command).__name__)

    def _answered(self, seq: int, name: str, answer: object) -> None:
        self.note(f"answer to {name}: {answer}"[:200])
        self.oracle.answer(seq, answer)


ZERO_STEP = D("0.001")

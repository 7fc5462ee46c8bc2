"""From a guard's breach to what follows: `python -m bench.reaction`.

In process: the real bus with the risk machine (every guard, at its defaults), the kill switch and the flatten machine;
from posting the figures that breach to the flatten's first cancel in the venue's mailbox. The strategy's mailbox gets
ticks of 12 us each: none, 15,000 a second, and bursts of 5,000. Beside it a bare turn of the same loop at the same
times, which the p99 is judged net of. The time counts from when the breach was due, so waiting for the loop counts.

At the exchange: a real daemon on a real exchange, its streams tapped (bench.tap). A price jump fills an entry, which
breaches `exposure`: the time runs from the passing of that fill to the passing of the first CANCELED. Judgement,
journal (the trip is on disk first), request, the exchange's work and its event are in it. Bursts are 5,000 ticks at
once, sixteen times a second, so that a fill meets them. Net of what the processes waited for a core (bench.noise), with
the measured times beside; percentiles over all breaches, as each run has few.
"""

import argparse
import asyncio
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar, NamedTuple

import uvloop

from bench import rig
from bench.bus import TICK_COST_NS, TICKS, burn
from bench.noise import RunDelay
from bench.orders import Took, first
from bench.panic import rearmed
from bench.table import Row, p, text, verdict
from hedgegridd import messages as m
from hedgegridd.actors.machines import FlattenActor, KillSwitchActor, RiskActor
from hedgegridd.config import Config, Grid, KillSwitch
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch as KillMachine
from hedgegridd.model import LEGS, KillState
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import settings
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from tests.support.truth import ENTRY_SIDE, exchange_books

BTC = "BTCUSDT-PERP.BINANCE"
BREACHES = 150  # of a run in process
WARM = 20
IDLE_MS, BURST_MS = 0.25, 1.0
EXCHANGE_MS = 5.0
PER_RUN = 4  # breaches of a run at the exchange
BEFORE_NS = 20_000_000  # of ticks at their rate
SPREAD = 37  # moments within a burst at which breaches come
BURST_EVERY_MS = 60
LOADS = ("idle", f"{rig.TICKS_PER_S:,} ticks/s", f"bursts of {TICKS:,}")
GUARD = {"type": "exposure", "action": "flatten", "trip_total_usdt": 100, "confirm": 1, "clear_s": 0}
REPEATED = {"type": "repeated_execution", "enabled": False}  # what this benchmark does all the time
LEVELS, STEP_BPS = 2, 200  # wide: a jump fills one entry, and nothing but the breach cancels the others


class Quote(m.Event, frozen=True, kw_only=True):
    """A tick on its way to the strategy."""

    lane: ClassVar[str] = "data"
    n: int


# --- in process -----------------------------------------------------------------------------------


class Strategy(Actor):
    """Whose handler of a tick costs 12 us."""

    name = "strategy"
    events = (Quote,)
    data_max = 1 << 20

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        return burn(envelope)


class Venue(Actor):
    """Sees the first cancel of the flatten; all that the parts under test do not take ends here as well."""

    name = "venue"

    def __init__(self, taken: set[type[m.Message]]) -> None:
        kinds = set(m.ALL) - taken
        self.commands = tuple(kind for kind in kinds if issubclass(kind, m.Command))  # type: ignore[misc]
        self.queries = tuple(kind for kind in kinds if issubclass(kind, m.Query))  # type: ignore[misc]
        self.cancelled: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        if isinstance(envelope.message, m.CancelRaw) and not self.cancelled.done():
            self.cancelled.set_result(time.perf_counter_ns())
        return ()


def figures(session_usdt: int) -> m.RiskFigures:
    """An account in order but for what it has lost since start."""
    legs = tuple(
        m.LegFigures(
            leg=leg,
            qty=Decimal("0.1"),
            notional_usdt=Decimal(6_500),
            entries_usdt=Decimal(0),
            stop_resting=True,
        )
        for leg in LEGS
    )
    return m.RiskFigures(
        equity_usdt=Decimal(100_000 + session_usdt),
        session_peak_usdt=Decimal(100_000),
        peak_usdt=Decimal(100_000),
        session_usdt=Decimal(session_usdt),
        day_usdt=Decimal(session_usdt),
        maint_margin_usdt=Decimal(100),
        margin_balance_usdt=Decimal(100_000),
        instruments=(
            m.InstrumentFigures(
                instrument=BTC,
                mark=Decimal(65_000),
                legs=legs,
                funding_rate=Decimal(0),
                market_ns=time.time_ns(),
            ),
        ),
        reconciled=True,
    )


class Desk:
    """Armed parts on a bus of their own; one breach each."""

    def __init__(self) -> None:
        guard = {"type": "session_loss", "trip_usdt": 1_000, "confirm": 1}
        risk = RiskMachine(settings(Config(grid=(Grid(),), guard=(guard,))), (BTC,))
        actors: list[Actor] = [
            RiskActor(risk), KillSwitchActor(KillMachine(KillSwitch())), FlattenActor(Flattener({BTC: "BTCUSDT"}, "b")),
        ]  # fmt: skip
        taken = {kind for actor in actors for kind in (*actor.commands, *actor.queries)}
        self.venue = Venue(taken)
        self.bus = Bus(RealClock(), [*m.ALL, Quote])
        for actor in (*actors, self.venue, Strategy()):
            actor.register(self.bus)
        self.bus.start(asyncio.get_running_loop())
        self._killed = actors[1]

    async def armed(self) -> None:
        """Everything read once, the switch ARMED."""
        for _ in range(WARM):  # as a daemon has read some when one breaches
            self.bus.publish(figures(0))
        self.bus.publish(m.StartChecked())
        await self.bus.ask(m.GetGuards(), 5.0)  # behind them in its mailbox
        answer = await self.bus.ask(m.GetKillSwitch(), 5.0)
        assert isinstance(answer, m.KillSwitchAnswer)
        assert answer.state is KillState.ARMED

    async def react(self) -> int:
        """Breach; when the first cancel was in the venue's mailbox (perf_counter ns)."""
        self.bus.publish(figures(-5_000))
        async with asyncio.timeout(10):
            return await self.venue.cancelled


class BareLoop:
    """No parts: one turn of the loop."""

    def __init__(self) -> None:
        self.bus = Bus(RealClock(), [Quote])
        Strategy().register(self.bus)
        self.bus.start(asyncio.get_running_loop())

    async def armed(self) -> None:
        """There is nothing to arm."""

    async def react(self) -> int:
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: turn.set_result(time.perf_counter_ns()))
        return await turn


class Due(NamedTuple):
    """When a breach is due, and how much of the time since then the process has waited for a core."""

    at_ns: int
    excused_ns: int = 0


class Turns:
    """Lets the loop turn until a moment, and knows what of its being late the process has waited for a core."""

    def __init__(self, delay: RunDelay) -> None:
        self._delay = delay
        self._in_time_ns = delay.ns()  # waits until the last turn that was in time

    async def until(self, due_ns: int) -> Due:
        while (now_ns := time.perf_counter_ns()) < due_ns:
            self._in_time_ns = self._delay.ns()
            await asyncio.sleep(0)  # timers of the loop are too coarse
        return Due(due_ns, min(now_ns - due_ns, self._delay.ns() - self._in_time_ns))


async def under(load: str, desk: Desk | BareLoop, number: int, turns: Turns) -> Due:
    """When the breach is due, with the ticks of the load before and behind it."""
    now_ns = time.perf_counter_ns()
    if load == LOADS[0]:
        return Due(now_ns)
    if load == LOADS[1]:
        for n in range(BEFORE_NS * rig.TICKS_PER_S // 1_000_000_000):
            await turns.until(now_ns + n * 1_000_000_000 // rig.TICKS_PER_S)
            desk.bus.publish(Quote(n=n))
        return await turns.until(now_ns + BEFORE_NS)
    for n in range(TICKS):
        desk.bus.publish(Quote(n=n))
    into_ns = TICKS * TICK_COST_NS * (number % SPREAD) // SPREAD
    return await turns.until(time.perf_counter_ns() + into_ns)


async def reactions(load: str, make: Callable[[], Desk | BareLoop], count: int) -> list[float]:
    """Milliseconds of each breach, net of waits for a core."""
    delay, times = RunDelay(os.getpid()), []
    gc.collect()
    gc.freeze()  # as the daemon does at READY
    for number in range(count):
        desk = make()
        await desk.armed()
        due = await under(load, desk, number, Turns(delay))
        waited = delay.ns()
        took_ns = await desk.react() - due.at_ns
        times.append(max(0, took_ns - due.excused_ns - (delay.ns() - waited)) / 1e6)
        desk.bus.stop()
    delay.close()
    return times


def in_process(runs: int) -> list[Row]:
    """A row for each load."""
    rows = []
    for load in LOADS:
        found: dict[str, tuple[float, float]] = {}
        makers: dict[str, Callable[[], Desk | BareLoop]] = {"parts": Desk, "loop": BareLoop}
        for name, make in makers.items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                timed = [runner.run(reactions(load, make, BREACHES)) for _ in range(runs)]
            found[name] = (
                statistics.median(p(times, 0.5) for times in timed),
                statistics.median(p(times, 0.99) for times in timed),
            )
        (p50, p99), (_, bare) = found["parts"], found["loop"]
        limit = IDLE_MS if load == LOADS[0] else BURST_MS
        rows.append(
            Row(
                bench="reaction",
                what=f"breach -> flatten handled, in process, {load} ({runs} x {BREACHES})",
                measured=f"p50 {p50:.3f}, p99 {p99:.3f} ms",
                peer=f"bare loop p99 {bare:.3f} ms",
                target=f"p99 {limit:g} ms net",
                verdict=verdict(p99 - bare <= limit),
            )
        )
    return rows


# --- at the exchange ------------------------------------------------------------------------------


def breach(bot: rig.Bot, leg: str) -> tuple[Took, Took] | None:
    """Fill an entry of the leg: from the fill to the first cancel, and to the trip's end; then rearmed."""
    bot.market.seen()
    through_nearest(bot, leg)
    bot.wait(lambda: bot.ask("status")["kill_switch"]["state"] == "HALTED", "HALTED", 30)
    notes = bot.market.seen()
    filled = next((note for note in notes if note.kind in ("FILLED", "PARTIALLY_FILLED")), None)
    bot.wait(lambda: rearmed(bot), "rearmed", 30)
    bot.ask("resume")
    bot.wait(lambda: bot.resting() >= LEVELS, "the entries rest", 30)
    if filled is None:
        return None
    cancel = first(notes, filled, "CANCELED")
    closes = [note for note in notes if note.kind == "FILLED" and "900C" in note.name]
    if cancel is None or not closes:
        return None
    last = closes[-1]
    raw_ns = last.ns - filled.ns
    return cancel, Took(raw_ns / 1e6, max(0, raw_ns - (last.waited_ns - filled.waited_ns)) / 1e6)


def through_nearest(bot: rig.Bot, leg: str) -> None:
    """One jump of the price just through the nearest entry of the leg."""
    venue = bot.market.venue
    orders = exchange_books(venue.truth(), rig.SYMBOL).orders.values()
    prices = [order.price for order in orders if order.leg == leg and order.side == ENTRY_SIDE[leg]]
    near, past = (max(prices), "0.9998") if leg == "LONG" else (min(prices), "1.0002")
    last = Decimal(venue.premium_index(rig.SYMBOL)["indexPrice"])
    factor = near / last * Decimal(past)
    venue.admin("POST", "/jump", {"symbol": rig.SYMBOL, "factor": f"{factor:.6f}"})


def at_exchange(runs: int) -> list[Row]:
    """Rows for each load."""
    rows = []
    with (
        rig.market() as market,
        rig.bot(
            market,
            LEVELS,
            STEP_BPS,
            guards=[GUARD, REPEATED],
            recenter_trigger_bps=2_000,
            tp_steps=3,
            sl_steps=5,
        ) as bot,
    ):
        market.watch(bot.pid)
        for load in LOADS:
            market.rate(rig.TICKS_PER_S if load == LOADS[1] else 0)
            market.burst(TICKS if load == LOADS[2] else 0, BURST_EVERY_MS)
            found = [
                took
                for n in range(runs * PER_RUN)
                if (took := breach(bot, ("LONG", "SHORT")[n % 2])) is not None
            ]
            market.rate(0)
            market.burst(0)
            cancels, closes = [each[0] for each in found], [each[1] for each in found]
            target = load == LOADS[1]
            p99 = p([each.net for each in cancels], 0.99)
            rows.append(
                Row(
                    bench="reaction",
                    what=f"breach -> first cancel at the exchange, {load} ({len(found)} breaches)",
                    measured=told(cancels),
                    target=f"p99 {EXCHANGE_MS:.0f} ms" if target else "",
                    verdict=verdict(p99 <= EXCHANGE_MS) if target else "",
                )
            )
            rows.append(
                Row(
                    bench="reaction",
                    what=f"breach -> legs closed at the exchange, {load}",
                    measured=told(closes),
                )
            )
    return rows


def told(times: Sequence[Took]) -> str:
    net, raw = [each.net for each in times], [each.raw for each in times]
    return f"p50 {p(net, 0.5):.1f}, p99 {p(net, 0.99):.1f} ms (raw {p(raw, 0.5):.1f}, {p(raw, 0.99):.1f})"


def measure(runs: int) -> list[Row]:
    """All rows."""
    return [*in_process(runs), *at_exchange(runs)]


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--only", choices=("in-process", "exchange"))
    asked = line.parse_args()
    found = {"in-process": in_process, "exchange": at_exchange}
    print(text(found[asked.only](asked.runs) if asked.only else measure(asked.runs)))


if __name__ == "__main__":
    main()

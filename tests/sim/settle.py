"""The end of a run: trouble is over, the operator puts everything back, and all must be well within minutes."""

from decimal import Decimal
from typing import Any

from hedgegridd import messages as m
from hedgegridd.core import lots
from hedgegridd.core.entries import wanted_entries, why_leg_has_none
from hedgegridd.model import KillState, Leg, LegMode, parse_client_order_id
from tests.sim.loop import SECOND
from tests.sim.venue import SIDES

D = Decimal
MONEY = D("0.0001")


class Settling:
    """Bound to one world."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self._rearmed_ns = 0

    def begin(self) -> None:
        """Fair weather, a sound disk, a true clock, and a daemon that runs."""
        world = self.world
        world.note("== fair weather")
        world.weather.clear()
        world.traps.clear()
        world.disk.commit_ns = 300_000
        world.set_clock(0)
        world.thaw()
        process = world.process
        if process is not None and not process.dead and (process.journal.failed or world.disk.broken):
            process.fuse = 1  # a failed journal needs a restart
        world.disk.broken = False
        world.time.after(90 * SECOND, world.start)
        world.time.after(180 * SECOND, world.command, m.Rearm(reason="settling"))
        world.time.after(
            181 * SECOND, world.command, m.Rearm(reason="settling", instrument=world.market.instrument)
        )
        world.time.after(240 * SECOND, self._back_to_normal)
        world.time.after(420 * SECOND, world.command, m.Reconcile(cause="settling"))

    def _back_to_normal(self) -> None:
        self._rearmed_ns = self.world.machine.wall_ns()
        for command in (
            m.SetMode(leg=None, mode=LegMode.NORMAL),
            m.ResumeEntries(reason="settling"),
            m.StartTrading(),
            m.SetThrottle(throttle=D(1)),
            m.Rearm(reason="settling"),
            m.Rearm(reason="settling", instrument=self.world.market.instrument),
        ):
            self.world.command(command)

    # ------------------------------------------------------------------------------------------------- the verdict

    def end(self) -> None:
        """Everybody is answered, books and venue agree, inventory is covered, entries rest."""
        world = self.world
        oracle, process = world.oracle, world.process
        if process is None or process.dead or not process.ready:
            oracle.fail("the daemon comes up", "it is not ready")
        waiting = dict(oracle.pending.items())
        if waiting:
            oracle.fail("every command gets exactly one answer", f"still waiting: {waiting}")
        asks = process.bus.answers()
        if asks["doubled"] or asks["late"]:
            oracle.fail("every command gets exactly one answer", str(asks))
        self._books(process)
        self._kill_switch(process)
        self._covered(process)
        self._explained(process)
        self._trading(process)
        if world.plan.seed % 4 == 0:  # the others are replayed where they crash
            oracle.replays(process, world.disk.lines)

    def _books(self, process: Any) -> None:
        """The ledger equals the venue's truth."""
        world = self.world
        oracle, venue = world.oracle, world.venue
        desk = process.machines.desk
        ledger = desk._state.ledger
        for symbol, market in venue.markets.items():
            name = f"{symbol}-PERP.BINANCE"
            for side in SIDES:
                theirs, ours = venue.legs[symbol, side], ledger.legs[name][Leg(side)]
                if theirs.qty != ours.qty:
                    oracle.fail("the ledger equals the venue", f"{side} {ours.qty}, venue {theirs.qty}")
                if abs(theirs.entry - ours.average) * theirs.qty > MONEY:
                    oracle.fail(
                        "the ledger equals the venue", f"{side} @{ours.average}, venue {theirs.entry}"
                    )
            live = {o.client_order_id for o in desk._grids[name].book.live()}
            rest = {o.coid for o in market.orders.values() if parse_client_order_id(o.coid)}
            rest |= {a.coid for a in market.algos.values()}
            flying = set(process.gateway._inflight.order_ids)
            if (live ^ rest) - flying:
                oracle.fail("orders equal the venue's", f"only ours {live - rest}, only theirs {rest - live}")
        if ledger.residual is not None and abs(ledger.residual) > D("0.01"):
            oracle.fail("the ledger equals the venue", f"wallet is off by {ledger.residual}")
        if desk._state.truth.ok_ns is None:
            oracle.fail("the daemon is reconciled", "no comparison has agreed")

    def _kill_switch(self, process: Any) -> None:
        state = process.machines.kill_switch._state.state
        if state not in (KillState.ARMED, KillState.HALTED):
            self.world.oracle.fail("trips and starts end", str(state))

    def _covered(self, process: Any) -> None:
        view = process.machines.desk
        for grid in view._grids.values():
            for side in SIDES:
                state = grid.state.legs[Leg(side)]
                qty = self.world.venue.legs[grid.grid.symbol, side].qty
                if not qty or not state.lots or grid.state.refused:
                    continue
                if not self.world.oracle.stops.rest(grid.grid.symbol, side) and not state.closing:
                    self.world.oracle.fail("inventory is covered in the end", f"{side} {qty} has no stop")

    def _explained(self, process: Any) -> None:
        """Inventory is that of our lots; what a hand bought is adopted, refused or left alone, as the config says."""
        for grid in process.machines.desk._grids.values():
            for side in SIDES:
                state = grid.state.legs[Leg(side)]
                more = self.world.venue.legs[grid.grid.symbol, side].qty - lots.total(state.lots)
                policy = grid.grid.manual_position
                unheard = policy == "adopt" or (policy == "refuse" and not grid.state.refused)
                if more < 0 or (more > 0 and unheard and not state.owned):
                    text = f"{side}: {more} of no lot, {policy}, refused: {grid.state.refused}"
                    self.world.oracle.fail("inventory is explained", text)

    def _trading(self, process: Any) -> None:
        """Armed, and nothing in the way: entries rest."""
        world = self.world
        switch = process.machines.kill_switch._state
        if switch.guard and switch.since_ns > self._rearmed_ns:
            return  # a guard has tripped since: HALTED is right, and that it was armed is shown by it
        if switch.state is not KillState.ARMED:
            world.oracle.fail("trips and starts end", "not armed again after rearm")
        for grid in process.machines.desk._grids.values():
            why = grid.why()
            allowed = ("halted", "not ours", "paused")
            bad = [reason for reason in why if not reason.startswith(allowed)]
            if bad:
                world.oracle.fail("entries rest in the end", "; ".join(bad))
            if why:
                continue
            for side in SIDES:
                self._leg_trades(grid, Leg(side))

    def _leg_trades(self, grid: Any, leg: Leg) -> None:
        """What is wanted rests, or it is known why not."""
        world, state = self.world, grid.state.legs[leg]
        if state.closing:
            return
        why = why_leg_has_none(grid.grid, grid.state, leg, grid.ctx)
        if why is not None:
            world.oracle.fail("entries rest in the end", why)
        wanted = wanted_entries(
            grid.grid,
            grid.state,
            grid.state.instrument,
            book=grid.book,
            reading=grid.filter.reading,
            ctx=grid.ctx,
        )
        orders = world.venue.markets[grid.grid.symbol].orders.values()
        resting = [o for o in orders if o.opens and o.leg == str(leg)]
        ours = [w.reason for w in state.waits.values() if "latched" in w.reason or "kill switch" in w.reason]
        if ours and not resting:
            world.oracle.fail("entries rest in the end", f"{leg}: {ours[0]}")
        if wanted.targets[leg] and not resting and not state.waits and not state.dropped:
            world.oracle.fail(
                "entries rest in the end", f"{leg}: {len(wanted.targets[leg])} wanted, none rests"
            )

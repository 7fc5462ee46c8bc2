"""`status`: the four answers and every figure behind them."""

from typing import ClassVar

from hedgegridd.control import dead_man, kept_away, views
from hedgegridd.control.gather import gather
from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.verdict import Facts, Verdict, judge, trading_enabled


class Status(Operation, frozen=True, kw_only=True):
    """Show in four answers whether it is safe, what it does, what is wrong and what you can do, with all figures.

    Example: hedgegridctl status --json
    """

    verb: ClassVar[str] = "status"
    paths: ClassVar[tuple[str, ...]] = ("/status",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    async def run(self, context: Context) -> Outcome:
        """Ask every part at once; what does not answer is null and named in `wrong`."""
        facts = await gather(context)
        body = {**_answers(facts, judge(facts)), **_figures(facts)}
        body["environment"] = context.services.environment
        body["account"] = context.services.account
        body["recent"] = context.services.recent()
        return Outcome(body)


def _answers(facts: Facts, verdict: Verdict) -> dict[str, object]:
    return {
        "state": verdict.state,
        "time": views.utc(facts.now_ns),
        "safe": verdict.safe,
        "safe_reason": verdict.why_safe,
        "doing": verdict.doing,
        "wrong": list(verdict.wrong),
        "do": list(verdict.do),
        "trading_enabled": trading_enabled(facts),
    }


def _figures(facts: Facts) -> dict[str, object]:
    desk, boot, venue, now_ns = facts.desk, facts.boot, facts.venue, facts.now_ns
    return {
        # Start-up restores snapshot and journal tail in its first stage, before anything else.
        "snapshot_loaded": None if boot is None else boot.ready or boot.number > 1,
        # Nothing waits to be decided here and nothing is on its way to the venue: what we show is what it has.
        "settled": None if desk is None or venue is None else not desk.unsettled and venue.in_flight == 0,
        "unsettled": None if desk is None else list(desk.unsettled),
        "reconciled": None if desk is None else desk.reconciled,
        "reconciled_age_s": None if desk is None else views.age_s(desk.reconciled_ns, now_ns),
        "boot": None
        if boot is None
        else {
            "ready": boot.ready,
            "stage": boot.stage,
            "number": boot.number,
            "of": boot.of,
            "waits_for": boot.waits_for or None,
            "stopping": boot.stopping,
            "age_s": views.age_s(boot.since_ns, now_ns),
        },
        "kill_switch": views.kill_switch(facts.kill, now_ns),
        "guards": views.guards(facts.guards),
        "dead_man": dead_man.facts(facts.dead_man, desk, now_ns),
        "trips": None
        if facts.kill is None
        else [kept_away.trip_facts(trip, now_ns) for trip in facts.kill.trips],
        "holds": None if desk is None else [kept_away.hold_facts(hold, now_ns) for hold in desk.holds],
        "why_no_entries": None
        if desk is None
        else [
            {"instrument": item.instrument, "cause": reason}
            for item in desk.instruments
            for reason in item.why_no_entries
        ],
        "limits": None if desk is None else [views.limit(item, now_ns) for item in desk.limits],
        "flattens": None
        if facts.flattens is None
        else [views.flatten(item, now_ns) for item in facts.flattens.flattens],
        "balances": views.balances(venue),
        "margin_ratio": views.margin_ratio(venue),
        "pnl": None if desk is None else views.pnl(desk.ledger),
        "open_orders": None if desk is None else sum(item.open_orders for item in desk.instruments),
        "feeds": views.feeds(venue, desk),
        "instruments": None
        if desk is None
        else [views.instrument(item, venue, now_ns) for item in desk.instruments],
    }

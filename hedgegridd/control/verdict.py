"""The four answers for people, from the daemon's views: is it safe, what is it doing, what is wrong, what to do.

Pure. `safe`: *yes* = reconciled within 60 s, every leg with inventory has its stop at the venue, nothing being removed;
*not yet* = removal running; *no* = stop missing, mismatch, past a deadline; *unknown* = venue not read: its REST calls
fail, the account's figures are older than a few polls, or the last comparison that agreed is older than 60 s.
"""

from dataclasses import dataclass
from decimal import Decimal

from hedgegridd.control import dead_man
from hedgegridd.control.figures import counted, on_grid
from hedgegridd.control.kept_away import holds_wrong, planned, trips_wrong, ways_out, whole_paused
from hedgegridd.control.views import age_s
from hedgegridd.core.scopes import DISABLED
from hedgegridd.messages import (
    BootAnswer,
    DeadManAnswer,
    DeskView,
    FlattensAnswer,
    FlattenView,
    GuardsAnswer,
    InstrumentView,
    KillSwitchAnswer,
    LegView,
    VenueAnswer,
)
from hedgegridd.model import ACCOUNT_KEY, JOURNAL_KEY, NEEDS_YOU, KillState

FRESH_S = 60.0
POLLS = 3  # the account is read so often: older figures mean that reading fails
POLLS_MIN_S = 10.0
CENT = Decimal("0.01")
REMOVAL_S = 10.0
MEND = "mend it at the venue: it is looked at again within a minute; another key or config: restart with it"
FREE = "make room on the disk of state_dir, or have it answer: the journal goes on by itself within seconds"
FLAT_STATES = frozenset({"flat", "verified", "done", "finished"})


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the verdict is made of; None: the part did not answer (`silent` says why)."""

    desk: DeskView | None
    venue: VenueAnswer | None
    kill: KillSwitchAnswer | None
    flattens: FlattensAnswer | None
    boot: BootAnswer | None
    now_ns: int
    account_poll_s: float = 5.0
    silent: tuple[str, ...] = ()
    dead_man: DeadManAnswer | None = None
    troubles: tuple[str, ...] = ()  # parts of the daemon that broke
    guards: GuardsAnswer | None = None

    @property
    def removing(self) -> tuple[FlattenView, ...]:
        """Flattens that are not verified yet."""
        if self.flattens is None:
            return ()
        return tuple(item for item in self.flattens.flattens if item.state.lower() not in FLAT_STATES)

    @property
    def legs(self) -> tuple[tuple[InstrumentView, LegView], ...]:
        """Every leg of the desk with its instrument."""
        if self.desk is None:
            return ()
        return tuple((item, leg) for item in self.desk.instruments for leg in item.legs)


@dataclass(frozen=True, slots=True)
class Verdict:
    """State word and the four answers; `safe` is yes, not yet, no or unknown, `why_safe` its reason."""

    state: str
    safe: str
    why_safe: str
    doing: str
    wrong: tuple[str, ...]
    do: tuple[str, ...]


def short(instrument: str) -> str:
    """The venue's symbol of an instrument id, for people: `BTCUSDT`."""
    return instrument.partition(".")[0].removesuffix("-PERP")


def state_of(facts: Facts) -> str:
    """STARTING, STOPPING, HALTED, TRIPPED, HELD, TRADING, or UNKNOWN when a part does not answer."""
    if facts.boot is None or facts.kill is None or facts.desk is None:
        return "UNKNOWN"
    if facts.boot.stopping or facts.desk.stopping:
        return "STOPPING"
    if facts.kill.state in (KillState.HALTED, KillState.REARMING):
        return "HALTED"
    scoped = any(trip.state is KillState.TRIPPED for trip in facts.kill.trips)
    if facts.kill.state is KillState.TRIPPED or facts.removing or scoped:
        return "TRIPPED"
    if not facts.boot.ready or facts.kill.state is KillState.STARTING:
        return "STARTING"
    wanted = [item for item in facts.desk.instruments if not _is_disabled(item)]
    if not wanted or any(item.paused or not item.trading or item.why_no_entries for item in wanted):
        return "HELD"
    if any(leg.latched for item in wanted for leg in item.legs) or facts.kill.trips:
        return "HELD"
    return "HELD" if any(hold.action != "notify" for hold in facts.desk.holds) else "TRADING"


def _is_disabled(item: InstrumentView) -> bool:
    """As the config wants it: nothing is wrong when it has no entries."""
    return DISABLED in item.why_no_entries


def trading_enabled(facts: Facts) -> bool | None:
    """True when new entries may be placed on at least one instrument; None: not known."""
    if facts.boot is None or facts.kill is None or facts.desk is None:
        return None
    if not facts.boot.ready or facts.boot.stopping or facts.desk.stopping:
        return False
    if facts.kill.state is not KillState.ARMED:
        return False
    if facts.desk.silent_sources:
        return False
    trips = facts.kill.trips
    return any(
        item.trading and not item.paused and not whole_paused(item.instrument, facts.desk.holds, trips)
        for item in facts.desk.instruments
    )


def safe_of(facts: Facts) -> tuple[str, str]:
    """The first answer and its reason."""
    if facts.venue is None or facts.venue.account is None or facts.venue.account_age_s is None:
        return "unknown", "account not read"
    if facts.desk is None or facts.flattens is None:
        return "unknown", "the desk does not answer"
    for item in facts.removing:
        elapsed = age_s(item.since_ns, facts.now_ns) or 0.0
        if elapsed > REMOVAL_S:
            return "no", f"{_left(item)} after {elapsed:.0f} s, attempt {item.attempts}; still working"
    naked = [
        f"{leg.leg.value} {leg.qty:f} {short(item.instrument)} has no stop at the venue"
        for item, leg in facts.legs
        if leg.qty > 0 and not leg.stop_resting
    ]
    if naked:
        return "no", "; ".join(naked)
    if facts.removing:
        return "not yet", "; ".join(_left(item) for item in facts.removing)
    if facts.kill is not None and facts.kill.state is KillState.TRIPPED:
        return "not yet", "the trip is being carried out"
    unread = _unread(facts)
    if unread is not None:
        return "unknown", unread
    difference = _difference(facts)
    if difference is not None:
        return "no", difference
    return "yes", _why_yes(facts)


def _unread(facts: Facts) -> str | None:
    """Why the venue's state is not known now, in words; None: it has been read and compared lately."""
    venue, desk = facts.venue, facts.desk
    if venue is None or desk is None or venue.account_age_s is None:
        return "account not read"
    lately = f"account last read {venue.account_age_s:.0f} s ago"
    if not venue.connected:
        return f"not connected to the venue; {lately}"
    if venue.limited_s > 0:
        return f"the venue asks us to send nothing for {venue.limited_s:.0f} s more; {lately}"
    if "rest" in desk.feeds_down or venue.failed_in_a_row:
        return f"the venue does not answer; {lately}"
    if venue.account_age_s > max(POLLS * facts.account_poll_s, POLLS_MIN_S):
        return lately
    if not desk.reconciled:
        return "our books were not compared with the venue's yet"
    compared = age_s(desk.reconciled_ns, facts.now_ns)
    if compared is None or compared > FRESH_S:
        return f"our books and the venue's last agreed {'—' if compared is None else f'{compared:.0f} s ago'}"
    return None


def _difference(facts: Facts) -> str | None:
    """How far our wallet is from the venue's, in words; None: to the cent, or not compared yet."""
    residual = None if facts.desk is None else facts.desk.ledger.residual_usdt
    if residual is None or abs(residual) < CENT:
        return None
    where = "above" if residual > 0 else "below"
    return f"our ledger is {abs(residual):,.2f} USDT {where} the venue's wallet"


def _left(item: FlattenView) -> str:
    qty = "quantity not known"
    if item.residual_qty is not None:
        qty = f"{item.residual_qty:f} open" if item.residual_qty else "flat, not verified yet"
    orders = "" if not item.residual_orders else f", {counted(item.residual_orders, 'order', 'orders')}"
    return f"{item.leg.value} {short(item.instrument)} {qty}{orders}"


def _why_yes(facts: Facts) -> str:
    compared = None if facts.desk is None else age_s(facts.desk.reconciled_ns, facts.now_ns)
    held = [leg for _, leg in facts.legs if leg.qty > 0]
    stops = {0: "no inventory", 1: "the leg's stop rests", 2: "both leg stops rest"}.get(
        len(held), f"all {len(held)} leg stops rest"
    )
    return f"{stops}, reconciled {compared or 0:.0f} s ago"


def doing_of(facts: Facts, state: str) -> str:
    """The second answer: one line."""
    if state == "STOPPING" and facts.boot is not None and facts.boot.stopping:
        return f"stopping, stage {facts.boot.number} of {facts.boot.of}: {facts.boot.waits_for}"
    if state == "STARTING" and facts.boot is not None:
        waits = f", waits for {facts.boot.waits_for}" if facts.boot.waits_for else ""
        return f"stage {facts.boot.number} of {facts.boot.of}, {facts.boot.stage}{waits}"
    if facts.removing:
        return "; ".join(
            f"closing {item.leg.value} {short(item.instrument)}, {item.state}, attempt {item.attempts}"
            for item in facts.removing
        )
    if facts.desk is None:
        return "not known"
    if not facts.desk.instruments:
        return "no instrument is configured"
    doing = [_doing_one(item, facts.venue) for item in facts.desk.instruments]
    return "; ".join((*doing, *planned(facts.desk.holds)))


def _doing_one(item: InstrumentView, venue: VenueAnswer | None) -> str:
    entries = item.rungs_resting_long + item.rungs_resting_short
    # Its age is since it came, on our clock: in a replay the market's clock is another.
    mark_age = None if venue is None else venue.market_age_s.get(item.instrument)
    mark = "mark not known"
    if item.mark is not None:
        mark = f"mark {on_grid(item.mark, item.tick)}" + ("" if mark_age is None else f" ({mark_age:.1f} s)")
    resting = (
        f"{counted(entries, 'entry', 'entries')}, {counted(item.exits_resting, 'exit', 'exits')} resting"
    )
    moving = item.open_orders - entries - item.exits_resting
    under_way = f", {moving} under way" if moving > 0 else ""
    return f"{short(item.instrument)}: {resting}{under_way}; {mark}"


def wrong_of(facts: Facts) -> tuple[str, ...]:
    """The third answer: what is not as it should be, worst first."""
    found = [*facts.silent, *facts.troubles]
    if facts.kill is not None and facts.kill.state in (KillState.TRIPPED, KillState.HALTED):
        found.append(f"kill switch {facts.kill.state.value}: {facts.kill.cause or 'no cause given'}")
    if facts.kill is not None:
        found += trips_wrong(facts.kill.trips)
    found += [
        f"{leg.leg.value} {short(item.instrument)}: {leg.qty:f} without its stop at the venue"
        for item, leg in facts.legs
        if leg.qty > 0 and not leg.stop_resting
    ]
    if facts.venue is not None and not facts.venue.connected:
        found.append("not connected to the venue")
    found += dead_man.wrong(facts.dead_man)
    if facts.desk is not None:
        if not facts.desk.reconciled:
            found.append("not reconciled with the venue")
        difference = _difference(facts)
        if difference is not None:
            found.append(difference)
        found += [
            f"{short(item.instrument)}: no entries, {reason}"
            for item in facts.desk.instruments
            if not _is_disabled(item)
            for reason in item.why_no_entries
            if not _told_already(reason, facts)
        ]
        found += holds_wrong(facts.desk.holds, facts.now_ns)
    return tuple(found)


def _told_already(reason: str, facts: Facts) -> bool:
    """Holds and trips are told once, with their scope, and not again for each instrument and leg."""
    if facts.desk is None or facts.kill is None:
        return False
    names = [f"held by {hold.key}: " for hold in facts.desk.holds]
    names += [f"ed by {trip.trip_id}: " for trip in facts.kill.trips]
    return any(name in reason for name in names)


def do_of(facts: Facts, state: str, safe: str) -> tuple[str, ...]:
    """The fourth answer: what a person can do now; empty: nothing."""
    if state == "UNKNOWN":
        return ("look at the daemon's log", "if it lasts: hedgegridctl panic")
    if state == "STARTING":
        return _ways_to_start(facts)
    if state == "HALTED":
        return ways_out(facts.kill, facts.now_ns)
    if state == "TRIPPED":
        if _limited(facts):
            return (_limited(facts), "then it goes on by itself until the venue reports nothing")
        if _account_held(facts):
            return (MEND, "then it goes on by itself until the venue reports nothing")
        return ("wait: it goes on until the venue reports nothing", "if it hangs: hedgegridctl panic")
    ways = _ways_to_safety(facts, safe)
    if _account_held(facts):
        ways.append(MEND)
    if state == "HELD" and facts.desk is not None:
        latched = any(leg.latched and not leg.trip_id for _, leg in facts.legs)
        if latched or any(item.paused for item in facts.desk.instruments):
            ways.append("hedgegridctl resume")
        if facts.kill is not None and facts.kill.trips:
            ways += ways_out(facts.kill, facts.now_ns)
        if any(hold.key == JOURNAL_KEY for hold in facts.desk.holds):
            ways.append(FREE)
        by_hand = (ACCOUNT_KEY, JOURNAL_KEY)
        if any(hold.action != "notify" and hold.key not in by_hand for hold in facts.desk.holds):
            ways.append("wait: holds clear by themselves")
        if any(item.throttle == 0 for item in facts.desk.instruments):
            ways.append("hedgegridctl throttle 1")
        if any("trading is stopped" in item.why_no_entries for item in facts.desk.instruments):
            ways.append("hedgegridctl start")  # not for `enabled = false`: only the config can change that
        if any("not ours" in why for item in facts.desk.instruments for why in item.why_no_entries):
            ways += [
                "close what is not ours, by hand or by flatten",
                'or say manual_position = "adopt" or "ignore"',
            ]
    return tuple(ways)


def _account_held(facts: Facts) -> bool:
    """Whether account or key are not as they must be."""
    return facts.desk is not None and any(hold.key == ACCOUNT_KEY for hold in facts.desk.holds)


def _limited(facts: Facts) -> str:
    """What to do while the venue wants to hear nothing; empty: it does not ask for that."""
    if facts.venue is None or facts.venue.limited_s <= 0:
        return ""
    return (
        f"wait {facts.venue.limited_s:.0f} s, as the venue asks: more calls from here can end in a longer ban"
        " · to get out now: the venue's own app"
    )


def _ways_to_start(facts: Facts) -> tuple[str, ...]:
    """The venue that refuses our key does so until somebody has mended it."""
    if facts.boot is not None and NEEDS_YOU in facts.boot.waits_for:
        return (MEND,)
    return ("wait",)


def _ways_to_safety(facts: Facts, safe: str) -> list[str]:
    """What brings `safe` back to yes."""
    if safe == "unknown":
        venue = facts.venue
        if _limited(facts):
            return [_limited(facts)]
        down = facts.desk is not None and "rest" in facts.desk.feeds_down
        if _account_held(facts):
            return ["to get out now: the venue's own app, or hedgegridctl panic with another key"]
        if venue is None or not venue.connected or venue.failed_in_a_row or down:
            return ["wait: the venue is asked again and again", "if it lasts: hedgegridctl panic"]
        return ["hedgegridctl reconcile", "look at the daemon's log"]
    if safe != "no":
        return []
    if not any(leg.qty > 0 and not leg.stop_resting for _, leg in facts.legs) and _difference(facts):
        return ["hedgegridctl reconcile", "if it stays: flatten both, stop, and begin with a new state_dir"]
    return ["hedgegridctl reconcile", "hedgegridctl flatten both"]


def judge(facts: Facts) -> Verdict:
    """All four answers."""
    state = state_of(facts)
    safe, why = safe_of(facts)
    return Verdict(state, safe, why, doing_of(facts, state), wrong_of(facts), do_of(facts, state, safe))
